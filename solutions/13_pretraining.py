# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 13 · Pretraining: a real run
#
# **What you build.** A language model of real text: the documentation of the Python packages that lie on your disk already.
# Before the run you work out what it will cost; during it you watch the loss and the model's first words; after it you
# read its curve, and fit a law to it. Then three sizes race each other.
#
# **What you need.** [12 · The training loop](12_training_loop.ipynb), whose loop `minillm_lib.pretrain` is;
# [05 · Language models](05_language_models.ipynb) for perplexity and bigrams.
#
# **How long.** About 60 minutes to work through. All cells together run in less than two minutes on a CPU; the first time,
# collecting and cutting the text takes another.
#
# > **中文提要** 本节做一次真正的预训练：语料是本机所装 Python 包的文档，模型是 280 万参数的 `tiny`。开始之前先算账：读多少词元、几个轮次、
# > 多少次浮点运算（每个权重每个词元约 6 次，再加注意力）。训练中观察实时曲线：损失从 ln V 出发，先降到一元模型之下，再向二元模型靠近；
# > 同时看模型在各阶段写出的文字。之后学习读曲线：损失随数据量按幂律下降，在双对数坐标下才是直线。最后让三种大小的模型比赛：
# > 同样的词元，大模型更好；同样的计算量，开始时小模型更好。

# %%
import html
import math
import tempfile
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.ticker import NullFormatter
from torch.utils.flop_counter import FlopCounterMode

from minillm_lib import LivePlot, MiniLLM, ModelConfig, PretrainConfig, check, plot_losses, pretrain
from minillm_lib.analysis import count_baselines
from minillm_lib.training import RunResult, prepare_pretraining_data
from minillm_lib.viz import BLUE, GREEN, ORANGE, use_style

use_style()
torch.set_num_threads(1)  # so that the sums, and with them the losses, come out alike on any number of cores

# %% [markdown]
# ## 1 · One configuration
#
# Everything that decides a run stands in one place: the model, the text, the optimizer, when to look. The keys are those
# of `configs/pretrain-tiny.yaml`, and `minillm pretrain --config …` does from the command line what we do here.
#
# The model is `tiny`, 2.8 million parameters. The corpus is `docstrings`, the documentation of some forty Python packages
# as installed, with the questions and answers of this course four times over. The prepared text goes to the folder `data`
# of the repository and stays there for the next time; the run itself goes to a temporary folder.

# %%
folder = tempfile.TemporaryDirectory()
config = PretrainConfig.model_validate({
    "run": f"{folder.name}/run",
    "output": f"{folder.name}/model.pt",
    "model": "tiny",
    "data": {
        "corpora": [{"name": "docstrings", "options": {"progress": False}}, {"name": "course-faq", "repeat": 4}],
        "vocab_size": 6400,
        "tokenizer_megabytes": 6,
        "folder": "../data",
    },
    "train": {"steps": 100, "batch_size": 6, "seq_len": 256, "precision": "float32",
              "optimizer": {"name": "muon", "lr": 3e-3}, "schedule": {"warmup_steps": 20}},
    "evaluation": {"every": 50, "max_tokens": 10_000, "prompts": ["Return the", "The array"], "sample_tokens": 40},
    "checkpoint": {"every": 100},
})  # fmt: skip

# %% [markdown]
# `prepare_pretraining_data` trains a tokenizer on the text (notebook 04) and writes the text as a file of token numbers. 5 % of
# the documents are held out, chosen by a hash; near-copies of them are kept out of the training text.

# %%
data = prepare_pretraining_data(config.data, progress=False)
n_tokens = len(data.train.tokens)
rows = data.windows("train", config.seq_len)
print(
    f"about {n_tokens / 1e6:.0f} million tokens to train on; a model of {config.model.n_parameters:,} parameters"
)

# %% [markdown]
# ## 2 · Working out a run
#
# Three numbers describe how much a run reads. A *row* is `seq_len` tokens (and one more, the last label); a *step* reads
# `batch_size` rows; an *epoch* is all rows once.
#
# ### Exercise 1 · Rows, tokens, epochs (1 point)
#
# From a text of `n_tokens` tokens as many whole rows are cut as possible, one after the other; each needs the token after
# it as its last label. How many rows are there? How many tokens does a run of `n_steps` steps read, and how many epochs is
# that (not necessarily a whole number)?


# %%
def run_length(n_tokens, seq_len, batch_size, n_steps):
    """(rows of the text, tokens that the run reads, epochs)."""
    ### BEGIN SOLUTION
    n_rows = (n_tokens - 1) // seq_len
    n_read = n_steps * batch_size * seq_len
    return n_rows, n_read, n_read / (n_rows * seq_len)
    ### END SOLUTION


# %%
check.run_length(run_length)

# %% [markdown]
# Our run reads 100 · 6 · 256 = 153,600 tokens, a seventieth of an epoch. So every row is new to the model, and the training
# loss is as honest as the held-out one. That is how large models are trained too, but for them text is scarce: up to about four epochs, repeated text is nearly as good as new (Muennighoff et al. 2023,
# [arXiv:2305.16264](https://arxiv.org/abs/2305.16264)).
#
# ### What it costs
#
# Nearly all the work is matrix products. To multiply a vector by a matrix, every entry is used once: one multiplication,
# one addition, **2 operations for each weight and token**. Backwards the same matrix is needed twice: for the gradient
# of its input, and for the gradient of its weights. Each is a product of the same size, which makes 4 more. Together
#
# $$C \approx 6\,N D \tag{1}$$
#
# for $N$ weights and $D$ tokens (Kaplan et al. 2020, [arXiv:2001.08361](https://arxiv.org/abs/2001.08361)). $N$ counts the
# entries of all matrices that a token is *multiplied* with. Looking up its embedding is no multiplication; the output head
# is, even where it is the same matrix.
#
# Attention has products without weights: each query meets the keys of the row ($T$ products of length `head_dim`), and the
# values are summed up with the resulting weights (as many again). Counted as the full square, as is usual, that is
# $2 \cdot n_\text{heads}\, d_\text{head}\, T$ multiplications for a token and layer: just as if there were so many more
# weights. Hence
#
# $$C = 6\,\big(N + 2\, n_\text{layers}\, n_\text{heads}\, d_\text{head}\, T\big)\, D . \tag{2}$$
#
# ### Exercise 2 · The operations of a run (2 points)
#
# Write (2). `n_weights` is $N$ as above.


# %%
def training_flops(n_weights, n_layers, n_heads, head_dim, seq_len, n_tokens):
    """Floating-point operations of training on n_tokens tokens in rows of seq_len."""
    ### BEGIN SOLUTION
    attention = 2 * n_layers * n_heads * head_dim * seq_len
    return 6 * (n_weights + attention) * n_tokens
    ### END SOLUTION


# %%
check.training_flops(training_flops)

# %% [markdown]
# PyTorch can count the products that it really computes. Those of attention take place inside one fused operation, which
# its counter does not see; so it must come to exactly $6ND$.

# %%
model = MiniLLM(config.model)
n_weights = sum(each.numel() for each in model.parameters() if each.ndim == 2)
tokens = torch.zeros(4, 256, dtype=torch.int64)
with FlopCounterMode(display=False) as counter:
    model.loss(tokens, tokens).backward()
print("PyTorch counts 6ND:", counter.get_total_flops() == 6 * n_weights * tokens.numel())
attention = config.model.flops_per_token(256) - 6 * n_weights
print(f"in the library, attention adds {attention / (6 * n_weights):.0%} for rows of 256 tokens")

# %% [markdown]
# For larger models the share of attention is smaller at equal length, since $N$ grows with the square of the width and
# attention only with the width; for longer rows it is larger:

# %%
for name in ("nano", "tiny", "26m", "104m"):
    preset = ModelConfig.from_preset(name)
    shares = [1 - preset.flops_per_token(0) / preset.flops_per_token(length) for length in (128, 512, 2048)]
    print(f"{name:5} {preset.flops_per_token(512) / 1e6:7.1f} million operations per token;"
          f" attention {shares[0]:4.0%}, {shares[1]:4.0%}, {shares[2]:4.0%} of rows of 128, 512, 2,048")  # fmt: skip

# %% [markdown]
# How long will it take? Operations divided by speed; but no run reaches the speed of a bare matrix product. The share that
# it does reach is called *model FLOPs utilisation*, MFU. For models as small as ours it is low: between the products too
# much else is to be done. `minillm plan` measures all this before a run, with the real model on your machine.
#
# ## 3 · What there is to beat
#
# A loss means nothing by itself. Three yardsticks on the same held-out text: a model that knows nothing has $\ln V$; the
# *unigram* model knows how frequent each token is; the *bigram* model also knows the token before.

# %%
baselines = {"ln V": math.log(config.model.vocab_size)} | count_baselines(data.train, data.validation)
for name, loss in baselines.items():
    print(f"{name:8} {loss:.1f} nats per token, perplexity about {float(f'{math.exp(loss):.2g}'):,.0f}")

# %% [markdown]
# ## 4 · The run
#
# `LivePlot` is called with every record of the run, and draws itself anew below the cell: losses, speed, the time that is
# left, and what the model writes. Every 50 steps there is an evaluation on the held-out text (the dots) and a sample from
# each prompt. Watch it.

# %% tags=["nbval-ignore-output"]
live = LivePlot(steps=config.train.steps, baselines=baselines)
run = pretrain(config, progress=False, on_record=live)

# %%
plot_losses(run, baselines=baselines)

# %%
steps, held_out = run.series("loss", "evaluation")
print("evaluated after the steps", steps.tolist())
print("began within 0.2 of ln V:         ", abs(held_out[0] - baselines["ln V"]) < 0.2)
print("below the unigram model after 50: ", held_out[1] < baselines["unigram"])
print("a nat below it at the end:        ", held_out[-1] < baselines["unigram"] - 1)
print("ever better than before:          ", (np.diff(held_out) < 0).all())

# %% [markdown]
# **What to see.** The curve begins at $\ln V$. Within some 30 steps it falls below the unigram model, for how frequent each
# token is, is quickly learned. Then it slows down: to predict a token *from its context* is harder. The bigram model is
# still ahead at the end. It has counted all ten million tokens, seventy times what the run has read; the run of
# `configs/pretrain-tiny.yaml`, of 380 steps, passes it, and that of the 26 M model leaves it far behind. The dots lie close
# to the curve, not on it: they are measured at one moment, while the curve is smoothed over the steps before. Nothing
# is known by heart, for at a seventieth of an epoch training text is as new as held-out text; where dots rise *above* the
# curve and stay there, that has changed.
#
# The curve is not smooth, because each step reads other rows, and some are harder. The right axis has the perplexity.
#
# ### Its first words
#
# The first prompt after every 50 steps, in one line each (⏎ is a line break); with the slider, both prompts in full.


# %% tags=["nbval-ignore-output"]
def page(step):
    """The samples of a step, as HTML."""
    own = [each for each in run.of_kind("sample") if each["step"] == step]
    loss = held_out[steps == step].item()
    texts = "".join(f"<pre><b>{html.escape(s['prompt'])}</b>{html.escape(s['text'])}</pre>" for s in own)
    return f"after {step} steps, held-out loss {loss:.2f}{texts}"


for sample in run.of_kind("sample")[::2]:
    print(f"{sample['step']:4} | {sample['prompt']}{sample['text']}".replace("\n", "⏎")[:110])
slider = widgets.SelectionSlider(options=steps.tolist(), value=config.train.steps, description="after steps")
text = widgets.HTML(page(slider.value))
slider.observe(lambda change: setattr(text, "value", page(change["new"])), names="value")
widgets.VBox([slider, text])

# %% [markdown]
# **What to see.** After 0 steps: pieces drawn at random. After 50: frequent pieces, numbers in rows, punctuation. After 100 the
# *form* begins to show: line breaks and indentation, articles and prepositions where they belong, names in backquotes. The
# contents never come: the sentences mean nothing, and functions are named that do not exist. Form is cheap and contents are
# dear; the first hundred thousand tokens buy form.
#
# ## 5 · Reading a curve
#
# Over long runs losses fall by a **power law**: with $E$ the entropy of the text, the loss that no model gets below,
#
# $$L(D) = E + A\,D^{-\alpha}. \tag{3}$$
#
# Each doubling of the data $D$ takes the same *share* off what lies above $E$: the factor $2^{-\alpha}$. Hoffmann et al.
# (2022, "Chinchilla", [arXiv:2203.15556](https://arxiv.org/abs/2203.15556)) find an $\alpha$ of about 0.28 for large models:
# a doubling takes away less than a fifth. That is why curves look flat on linear axes when they are not: the last half of
# the run is *one* doubling. Take logarithms:
#
# $$\log\big(L - E\big) = \log A - \alpha \log D . \tag{4}$$
#
# On double-logarithmic axes a power law is a straight line of slope $-\alpha$, *if* $E$ is taken away first.

# %%
D = np.geomspace(1, 1000, 30)
losses = 1.7 + 4 * D**-0.3
figure, axes = plt.subplots(1, 3, figsize=(10, 2.8))
for axis, values, scale, title in (
    (axes[0], losses, "linear", "linear: looks finished"),
    (axes[1], losses, "log", "logarithmic: still bent"),
    (axes[2], losses - 1.7, "log", "less E: a straight line"),
):
    axis.plot(D, values, ".-", color=BLUE)
    axis.set(xscale=scale, yscale=scale, xlabel="tokens (millions)", title=title)
    axis.set_yticks([2, 3, 4, 5] if values is losses else [0.5, 1, 2, 4])
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
axes[0].set_ylabel("loss (nats per token)")
axes[2].set_ylabel("loss − E")
plt.show()

# %% [markdown]
# **What to see.** Three times the same 30 losses, computed from (3) with $E = 1.7$, $A = 4$, $\alpha = 0.3$. Only on the
# right can the exponent be read off, as a slope: over three decades of tokens the line falls by nine tenths of a decade.
#
# ### Exercise 3 · The exponent from points (3 points)
#
# `tokens` and `losses` are arrays of some noisy measurements, `floor` is $E$. Return $\alpha$, a positive number, by least
# squares for the straight line (4). `np.polyfit(x, y, 1)` gives slope and intercept.


# %%
def power_law_exponent(tokens, losses, floor):
    """The exponent α of losses = floor + A · tokens^(-α)."""
    ### BEGIN SOLUTION
    slope, _ = np.polyfit(np.log(tokens), np.log(losses - floor), 1)
    return -slope
    ### END SOLUTION


# %%
check.power_law_exponent(power_law_exponent)

# %% [markdown]
# In real life $E$ is unknown, and must be fitted together with $A$ and $\alpha$; then a short run leaves a wide range
# of answers. The library's `fit_scaling_law` gives intervals, and says when a fit is not to be trusted. Our six dots are
# too few, and the falling learning rate bends their end downwards.
#
# ### A longer run
#
# The model that this course is about has 26 million parameters, and its run costs some three hundred times the operations
# of ours. It is recorded in this repository (`results/26m`), and stands beside ours in the figure. It reads the same text,
# cut by the same tokenizer, so the losses may be compared; we take **bits per byte**, which would allow it for any two
# (notebook 05).

# %%
recorded = RunResult.of(Path("../results/26m/pretrain"))
figure, axis = plt.subplots(figsize=(7, 3))
for metrics, colour, whose in ((RunResult.of(run), ORANGE, "this run"), (recorded, BLUE, "recorded")):
    name = f"{whose}, {metrics.start['parameters'] / 1e6:.1f} M parameters"
    evaluations = [each for each in metrics.evaluations if each["tokens"] > 0]
    axis.plot([each["tokens"] for each in evaluations], [each["bits_per_byte"] for each in evaluations],
              ".-", color=colour, label=name)  # fmt: skip
axis.set(
    xscale="log",
    xlabel="tokens read",
    ylabel="held-out loss\n(bits per byte)",
    ylim=(0, None),
    xlim=(5e4, 3e7),
)
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** The orange run ends at 150 thousand tokens, the blue one, with nine times as many parameters, at
# twelve million and little more than one bit a byte. On this axis both are nearly straight, and one seems to go on where
# the other ends: each tenfold of the tokens takes off about the same, so each further drop costs several times as much as
# all before it. Section 6 compares sizes on one text at one rate.
# `minillm report results/26m/pretrain` shows the run with all its curves and samples.
#
# ## 6 · Scaling in miniature
#
# For a given budget of compute, is a small model on much text better, or a large one on little? To see the answer in
# seconds, we need a text on which small models soon reach their limits: the abstracts of the grammar of notebook 05. Three
# sizes read the same text in the same order, at a constant learning rate, so that every point of a curve could be the end
# of a run.

# %%
grammar = {"corpora": [{"name": "grammar", "options": {"n": 8000, "language": "en"}}], "vocab_size": 600,
           "folder": f"{folder.name}/data"}  # fmt: skip
train = config.train.model_dump() | {"batch_size": 16, "seq_len": 64, "optimizer": {"name": "muon", "lr": 0.02},
                                     "schedule": {"name": "constant", "warmup_steps": 10}}  # fmt: skip
shape = {"vocab_size": 600, "n_layers": 2, "n_heads": 2, "max_seq_len": 64, "initializer_range": 0.05}


def race_of(width, n_steps):
    """A run of a model of this width."""
    changes = {
        "run": f"{folder.name}/{width}",
        "output": f"{folder.name}/{width}.pt",
        "model": ModelConfig(hidden_size=width, intermediate_size=3 * width, **shape),
        "data": grammar,
        "train": train | {"steps": n_steps},
        "evaluation": {"every": 25, "max_tokens": 8000},
    }
    return pretrain(config.replace(**changes), progress=False)


# %%
race = {width: race_of(width, n_steps) for width, n_steps in ((8, 500), (16, 400), (32, 250))}

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
for run_of_size, colour in zip(race.values(), (ORANGE, GREEN, BLUE), strict=True):
    start, *points = run_of_size.of_kind("evaluation")
    facts = run_of_size.of_kind("start")[0]
    read, loss = np.array([each["tokens"] for each in points]), [each["loss"] for each in points]
    axes[0].plot(read, loss, ".-", color=colour, label=f"{facts['parameters']:,} parameters")
    axes[1].plot(read * facts["flops_per_token"], loss, ".-", color=colour)
axes[0].set(xscale="log", xlabel="tokens read", ylabel="held-out loss (nats per token)", xlim=(1e4, 1e6))
axes[1].set(xscale="log", xlabel="operations spent", xlim=(1e9, 1e11))
axes[0].legend()
plt.show()

# %%
n_evaluations = min(len(each.of_kind("evaluation")) for each in race.values())
after_as_many = [each.series("loss", "evaluation")[1][n_evaluations - 1] for each in race.values()]
print("for the same tokens the larger is better:", after_as_many == sorted(after_as_many, reverse=True))

# %% [markdown]
# **What to see.** *Left*, by tokens: from each token the larger model learns more. If text is what you lack, take the largest
# model that you can afford. *Right*, by operations: for the smallest budgets the smallest model is ahead, for it has read
# more. Then it flattens, it has learned what it can hold, and the next size overtakes it; later that one is
# overtaken in turn. The best that any size achieves for a given budget is the lower hull of the curves.
#
# Chinchilla measured such hulls for models of up to 16 billion parameters, and found that parameters and tokens should
# grow together, about 20 tokens for each parameter. Our `tiny` read one for every nine parameters; it would have liked far more.

# %%
folder.cleanup()

# %% [markdown]
# ## Summary
#
# - A run is described by rows, steps, epochs; it costs $6ND$ operations, and attention besides.
# - Compare with $\ln V$, unigram and bigram before you believe a loss. Across tokenizers compare bits per byte.
# - Form comes first, contents late: samples tell what a loss cannot.
# - Losses fall as a power law above a floor. It is a straight line on double-logarithmic axes, once the floor is taken away.
# - By tokens the larger model wins; by compute the smaller one leads until it flattens.
#
# **In the library:** `minillm_lib/training/stages.py` (`pretrain`), `minillm_lib/analysis/scaling_law.py`,
# `minillm_lib/viz/live_plot.py`. A larger run: `minillm plan --config configs/pretrain-tiny.yaml`,
# then `minillm pretrain --config configs/pretrain-tiny.yaml`; afterwards `minillm doctor runs/pretrain-tiny`.
#
# **Next:** [14 · Supervised fine-tuning](14_sft.ipynb): a model that continues becomes one that answers.
#
# **To read on.** Kaplan et al. 2020 and Hoffmann et al. 2022, as above; Hu et al. 2024, "MiniCPM",
# [arXiv:2404.06395](https://arxiv.org/abs/2404.06395), on small models and the WSD schedule; Biderman et al. 2023, "Pythia",
# [arXiv:2304.01373](https://arxiv.org/abs/2304.01373), a suite of models with all their checkpoints, made for watching
# what is learned when.
