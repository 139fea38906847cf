# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 13 · Pretraining: a real run
#
# **What you build.** A language model of real text: the documentation of Python packages that lie on your disk already.
# Before the run you work out what it will cost, in hours and in bytes, and look for a good learning rate; during it you
# watch the loss and the model's first words; after it you read its curve, and fit a law to it. Then several sizes race
# each other, and you divide a budget between parameters and tokens.
#
# **What you need.** [12 · The training loop](12_training_loop.ipynb), whose loop `minillm_lib.pretrain` is;
# [05 · Language models](05_language_models.ipynb) for perplexity and bigrams.
#
# **How long.** About 90 minutes to work through, with six exercises. All cells together run in less than 30 seconds on two
# CPU cores; the first time, collecting and tokenizing the text takes some seconds more.
#
# > **中文提要** 本节做一次真正的预训练：语料是本机所装 NumPy 与 scikit-learn 的文档，模型只有 16 万参数。开始之前先算账：读多少词元、几个轮次、多少次浮点运算（每个权重每个词元约 6 次，再加注意力）、利用率（MFU）多少、要几小时，以及权重、梯度和优化器状态各占多少字节；再用几次短跑选学习率。训练中观察实时曲线：损失从 ln V 出发，先降到一元模型之下，再向二元模型靠近。之后学习读曲线：损失随数据量按幂律下降，减去下限 E 后，在双对数坐标下才是直线；而 E 未知时要一同拟合，短的曲线定不下它。最后让几种大小的模型比赛：读同样多的词元，大模型更好；花同样的计算量，起初小模型领先，由等算力曲线可读出每个预算下的最佳大小。课程的 2600 万参数模型每个参数只读了 0.48 个词元，按 Chinchilla 的比例还差约 40 倍。

# %%
import html
import math
import tempfile
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from minillm_lib import (
    LivePlot,
    MiniLLM,
    ModelConfig,
    PretrainConfig,
    Tokenizer,
    check,
    course,
    load_config,
    load_grammar,
    plot_losses,
    pretrain,
)
from minillm_lib.analysis import count_baselines, fit_scaling_law
from minillm_lib.training import (
    RunResult,
    batch_loss,
    fit,
    make_optimizers,
    prepare_pretraining_data,
    rows_of_step,
)
from minillm_lib.viz import (
    BLUE,
    ORANGE,
    isoflop_optimum,
    plot_isoflop,
    plot_power_law_axes,
    plot_race,
    plot_sweep,
)

course.setup()

# %% [markdown]
# ## 1 · One configuration
#
# Everything that decides a run stands in one file: the model, the text, the optimizer, when to look. Ours is
# `configs/course/pretrain.yaml`, and `minillm pretrain --config configs/course/pretrain.yaml` does from the command line
# what we do here.

# %%
config = load_config(PretrainConfig, "../configs/course/pretrain.yaml")
print(Path("../configs/course/pretrain.yaml").read_text(encoding="utf-8"))

# %% [markdown]
# The corpus is `docstrings`, the documentation of two packages as installed, with the English questions and answers of
# this course thirty times over, because notebook 14 fine-tunes this model on them. `prepare_pretraining_data` trains a
# tokenizer on the text (notebook 04) and writes the text as a file of token numbers. 5 % of the documents are held out,
# chosen by a hash; near-copies of them are kept out of the training text. What was prepared stays in the folder `data` of
# the repository for the next time; the run itself goes to a temporary folder.

# %% tags=["nbval-ignore-output"]
folder = tempfile.TemporaryDirectory()
config = config.replace(
    run=f"{folder.name}/run", output=f"{folder.name}/model.pt", data=config.data.replace(folder="../data")
)
data = prepare_pretraining_data(config.data)

# %%
n_tokens = len(data.train.tokens)
print(
    f"about {n_tokens / 1e6:.0f} million tokens to train on;"
    f" a model of {config.model.n_parameters:,} parameters"
)

# %% [markdown]
# ## 2 · Working out a run
#
# A **sequence** is `seq_len` tokens (and one more, the last label). A **step** reads a batch of `batch_size` sequences. An
# **epoch** is all sequences once.
#
# ### Exercise 1 · Sequences, tokens, epochs (1 point)
#
# From a text of `n_tokens` tokens as many whole sequences are cut as possible, one after the other; each needs the token
# after it as its last label. How many sequences are there? How many tokens does a run of `n_steps` steps read, and how many
# epochs is that (not necessarily a whole number)?


# %%
def run_length(n_tokens, seq_len, batch_size, n_steps):
    """(sequences of the text, tokens that the run reads, epochs)."""
    ### BEGIN SOLUTION
    n_sequences = (n_tokens - 1) // seq_len
    n_read = n_steps * batch_size * seq_len
    return n_sequences, n_read, n_read / (n_sequences * seq_len)
    ### END SOLUTION


# %%
check.run_length(run_length)

# %%
n_sequences, n_read, epochs = check.run_length.function(
    n_tokens, config.seq_len, config.train.batch_size, config.train.steps
)
print(f"our run reads {int(n_read):,} tokens; less than a tenth of an epoch: {epochs < 0.1}")

# %% [markdown]
# So every sequence is new to the model, and the training loss is as honest as the held-out one (but for the questions and
# answers, which stand in the text thirty times). That is how large models are trained too, but for them text is scarce: up
# to about four epochs, repeated text is nearly as good as new (Muennighoff et al. 2023,
# [arXiv:2305.16264](https://arxiv.org/abs/2305.16264)).
#
# ### Operations
#
# Nearly all the work is matrix products. To multiply a vector by a matrix, every entry is used once: one multiplication,
# one addition, **2 operations for each weight and token**. The backward pass has two products of the same size: the
# gradient of the layer's input is the matrix, transposed, times the gradient $\delta$ of its output; the gradient of the
# weights is the outer product of $\delta$ and the input, which does not read the matrix, and has as many entries. That
# makes 4 more. Together
#
# $$C \approx 6\,N D \tag{1}$$
#
# for $N$ weights and $D$ tokens (Kaplan et al. 2020, [arXiv:2001.08361](https://arxiv.org/abs/2001.08361)). $N$ counts the
# entries of all matrices that a token is *multiplied* with. Looking up its embedding is no multiplication; the output head
# is, even where it is the same matrix.
#
# Attention has products without weights. In each head of each layer, the query of a token is multiplied with every key of
# its sequence, and then the values of the sequence are added up, each times its attention weight. Keys and values are
# vectors of `head_dim` numbers. The usual count takes all `seq_len` of them, though the causal mask leaves only half.
#
# ### Exercise 2 · The operations of a run (2 points)
#
# Count weights *and* attention, for `n_tokens` tokens, forwards and backwards. `n_weights` is $N$ as above. With how many
# numbers is a token multiplied in attention? They cost as much as that many weights would.


# %%
def training_flops(n_weights, n_layers, n_heads, head_dim, seq_len, n_tokens):
    """Floating-point operations of training on n_tokens tokens in sequences of seq_len."""
    ### BEGIN SOLUTION
    attention = 2 * n_layers * n_heads * head_dim * seq_len
    return 6 * (n_weights + attention) * n_tokens
    ### END SOLUTION


# %%
check.training_flops(training_flops)

# %% [markdown]
# As a formula, with $T$ for the length of a sequence:
#
# $$C = 6\,\big(N + 2\, n_\text{layers}\, n_\text{heads}\, d_\text{head}\, T\big)\, D . \tag{2}$$
#
# PyTorch can count the products that it really computes. Those of attention take place inside one fused operation, which
# its counter does not see; so it must come to exactly $6ND$.

# %%
model = MiniLLM(config.model)
n_weights = sum(each.numel() for each in model.parameters() if each.ndim == 2)
tokens = torch.zeros(4, 128, dtype=torch.int64)
with FlopCounterMode(display=False) as counter:
    model.loss(tokens, tokens).backward()
shape = config.model
per_token = check.training_flops.function(n_weights, shape.n_layers, shape.n_heads, shape.head_dim, 128, 1)
print("PyTorch counts 6ND:", counter.get_total_flops() == 6 * n_weights * tokens.numel())
print(
    f"with attention, {per_token / (6 * n_weights) - 1:.0%} more;",
    "the library counts the same:",
    per_token == shape.flops_per_token(128),
)

# %% [markdown]
# For larger models the share of attention is smaller at equal length, since $N$ grows with the square of the width and
# attention only with the width; for longer sequences it is larger:

# %%
for name in ("nano", "tiny", "26m", "104m"):
    preset = ModelConfig.from_preset(name)
    shares = [1 - preset.flops_per_token(0) / preset.flops_per_token(length) for length in (128, 512, 2048)]
    print(
        f"{name:5} {preset.flops_per_token(512) / 1e6:7.1f} million operations per token; attention"
        f" {shares[0]:4.0%}, {shares[1]:4.0%}, {shares[2]:4.0%} in sequences of 128, 512, 2,048"
    )

# %% [markdown]
# ### Time and memory
#
# How long will it take? Operations divided by speed; but no run reaches the speed of a bare matrix product, the machine's
# *peak*. The share that it does reach is its **model FLOPs utilisation**, MFU (Chowdhery et al. 2022,
# [arXiv:2204.02311](https://arxiv.org/abs/2204.02311), appendix B):
#
# $$\text{MFU} = \frac{\text{operations per token} \times \text{tokens per second}}{\text{peak}} . \tag{3}$$
#
# It is 0.2 to 0.5 for most runs. And what must fit into memory? For each parameter its weight, its gradient, and what the
# optimizer remembers (notebook 12): AdamW keeps two running averages, of the gradient and of its square. Muon keeps one,
# the momentum; but it takes the matrices of the blocks only, and leaves the embedding and the norms to AdamW. A number in
# float32 takes four bytes. (Activations, which the backward pass needs, come on top, and grow with the tokens of a step:
# those can be computed in smaller parts, by accumulation, or a second time.)
#
# ### Exercise 3 · Time and memory of a run (2 points)
#
# `n_matrices` parameters are in the matrices of the blocks, `n_others` in the embedding and the norms; `optimizer` is
# `"adamw"` or `"muon"`. `peak` is in operations per second. Return the hours that `n_tokens` take, and the bytes of
# weights, gradients and optimizer state, all in float32.


# %%
def run_cost(n_matrices, n_others, optimizer, flops_per_token, n_tokens, peak, mfu):
    """(hours, bytes of weights, gradients and optimizer state)."""
    ### BEGIN SOLUTION
    seconds = flops_per_token * n_tokens / (mfu * peak)
    state = 2 * n_others + (1 if optimizer == "muon" else 2) * n_matrices
    return seconds / 3600, 4 * (2 * (n_matrices + n_others) + state)
    ### END SOLUTION


# %%
check.run_cost(run_cost)

# %% [markdown]
# Both can be compared with the facts. The bytes: one step of the real optimizers, and all its tensors counted. The hours:
# the run of the 26 M model, recorded in `results/26m`, whose first record has the peak that was measured before it began.

# %%
optimizers = make_optimizers(model, config.train.optimizer)
for each in optimizers:
    each.step()
states = [t for each in optimizers for state in each.state.values() for t in state.values()]
kept = sum(4 * t.numel() for t in states if torch.is_tensor(t) and t.numel() > 1)
n_matrices = sum(p.numel() for p in model.layers.parameters() if p.ndim == 2)
n_others = shape.n_parameters - n_matrices
_, n_bytes = check.run_cost.function(n_matrices, n_others, "muon", per_token, n_read, 1e11, 0.4)
print("bytes as computed:", n_bytes == kept + 2 * 4 * shape.n_parameters)

# %%
recorded = RunResult.of(Path("../results/26m/pretrain"))
began, steps_of_26m = recorded.start, recorded.of_kind("step")
mfu = np.median([step["tokens_per_second"] for step in steps_of_26m]) * began["flops_per_token"]
mfu /= began["matmul_flops"]
read_by_26m, n_26m = steps_of_26m[-1]["tokens"], began["parameters"]

# %%
others = 6400 * 512 + 17 * 512  # embedding and norms
hours, n_bytes = check.run_cost.function(
    n_26m - others, others, "muon", began["flops_per_token"], read_by_26m, began["matmul_flops"], mfu
)
took = sum(step["seconds"] for step in steps_of_26m) / 3600
print(f"the 26 M model: MFU {mfu:.2f}, {hours:.1f} hours computed, {took:.1f} hours taken on two cores")
print(f"weights, gradients and optimizer state: {n_bytes / 1e6:.0f} MB")

# %% [markdown]
# `minillm plan --config …` measures all this before a run, with the real model on your machine, activations included.
#
# ## 3 · What there is to beat
#
# A loss means nothing by itself. Three yardsticks on the same held-out text: a model that knows nothing has $\ln V$; the
# *unigram* model knows how frequent each token is; the *bigram* model also knows the token before.

# %%
baselines = {"ln V": math.log(shape.vocab_size)} | count_baselines(data.train, data.validation)
for name, loss in baselines.items():
    print(f"{name:8} {loss:.1f} nats per token, perplexity about {float(f'{math.exp(loss):.1g}'):,.0f}")

# %% [markdown]
# ## 4 · A short sweep of learning rates
#
# Of all the settings, the learning rate matters most: too low, and the run does not get far; too high, and it diverges. It
# cannot be worked out, but tried: three rates, a factor of five apart, for 20 steps each, with two seeds. `fit` of the
# library is the loop of notebook 12 in one call, for small experiments.

# %%
windows, unread = (
    data.windows("train", config.seq_len),
    data.windows("validation", config.seq_len)[list(range(64))],
)


def short_run(lr, seed, n_steps=20):
    """The held-out loss after a few steps at this rate."""
    torch.manual_seed(seed)
    model = MiniLLM(config.model)
    order = [rows_of_step(step, 8, len(windows), seed=seed) for step in range(n_steps)]
    fit(model, lambda step: batch_loss(model, windows[order[step]]), n_steps, lr=lr, warmup_steps=5)
    with torch.no_grad():
        return batch_loss(model, unread).item()


# %%
rates = [0.006, 0.03, 0.15]
swept = np.array([[short_run(rate, seed) for seed in (0, 1)] for rate in rates])
print("the rate in the middle is the best with both seeds:", (swept.argmin(axis=0) == 1).all())
plot_sweep(rates, swept, chosen=config.train.optimizer.lr)

# %% [markdown]
# **What to see.** A valley: each dot is one run, and with either seed the rate in the middle is the best. The best rate
# lies *within* the range; at the border, the sweep would have to go on. Two warnings. A short run favours high rates, whose
# harm shows late. And the best rate depends on the size of the model and of the batch: what a sweep found for one, another
# need not like. Sweeps on small models are still how the rates of large ones are found, with rules for the transfer (Yang
# et al. 2022, [arXiv:2203.03466](https://arxiv.org/abs/2203.03466)).
#
# ## 5 · The run
#
# `LivePlot` is called with every record of the run, and draws itself anew below the cell: losses, speed, the time that is
# left, and what the model writes. Every 50 steps there is an evaluation on the held-out text (the dots) and a sample from
# each prompt; `page` shows what a checkpoint wrote. Watch it.


# %%
def page(run, step):
    """The samples of a step, as HTML."""
    own = [each for each in run.of_kind("sample") if each["step"] == step]
    loss = next(each["loss"] for each in run.evaluations if each["step"] == step)
    texts = "".join(f"<pre><b>{html.escape(s['prompt'])}</b>{html.escape(s['text'])}</pre>" for s in own)
    return f"after {step} steps, held-out loss {loss:.2f}{texts}"


# %% tags=["nbval-ignore-output"]
live = LivePlot(steps=config.train.steps, baselines=baselines)
run = pretrain(config, progress=False, on_record=live)
slider = widgets.SelectionSlider(options=range(0, 101, 50), value=100, description="after steps")
text = widgets.HTML(page(run, slider.value))
slider.observe(lambda change: setattr(text, "value", page(run, change["new"])), names="value")
widgets.VBox([slider, text])

# %%
plot_losses(run, baselines=baselines)

# %%
steps, held_out = run.series("loss", "evaluation")
print("evaluated after the steps", steps.tolist())
print("began within 0.2 of ln V:               ", abs(held_out[0] - baselines["ln V"]) < 0.2)
print("below the unigram model after 50 steps: ", held_out[1] < baselines["unigram"])
print("a nat below it at the end:              ", held_out[-1] < baselines["unigram"] - 1)
print("ever better than before:                ", (np.diff(held_out) < 0).all())
print("the bigram model is still ahead:        ", held_out[-1] > baselines["bigram"])

# %% [markdown]
# **What to see.** The curve begins at $\ln V$ and soon falls below the unigram model, for how frequent each token is, is
# quickly learned. Then it slows down: to predict a token *from its context* is harder. The bigram model is still ahead at
# the end. It has counted all tokens of the text, some thirty times what the run has read; in notebook 18 a model of this
# kind passes it, and the 26 M model leaves it far behind. The curve is not smooth, because each step reads other
# sequences, and some are harder. The dots are held-out text, measured at one moment. Where dots rise *above* the curve
# and stay there, the model has begun to know its training text by heart. The right axis has the perplexity.
#
# ### Its first words
#
# **What to see** (below the live figure; the slider goes back in time). After 0 steps: pieces drawn at random. After 50:
# frequent pieces, brackets, line breaks. Towards the end the *form* begins to show: indentation, the headings of a
# docstring with their underlines, `array-like of shape`. The contents never come: the sentences mean nothing. Form is
# cheap and contents are dear.
#
# ## 6 · Reading a curve
#
# Over long runs losses fall by a **power law**,
#
# $$L(D) = E + A\,D^{-\alpha}. \tag{4}$$
#
# Each doubling of the data $D$ takes the same *share* off what lies above $E$: the factor $2^{-\alpha}$ is left.
# Hoffmann et al. (2022, "Chinchilla", [arXiv:2203.15556](https://arxiv.org/abs/2203.15556)) find an exponent of about
# 0.28 for large models: a doubling takes away less than a fifth. That is why curves look flat on linear axes when they
# are not: the last half of the run is *one* doubling.
#
# $E$ is where the curve of *this* model levels off: the entropy of the text and, on top of it, what a model of its size
# cannot learn from however much text. A larger model has a lower $E$; section 7 takes the two apart. Logarithms give
#
# $$\log\big(L - E\big) = \log A - \alpha \log D . \tag{5}$$
#
# On double-logarithmic axes a power law is a straight line of slope $-\alpha$, *if* $E$ is taken away first.

# %%
D = np.geomspace(1, 1000, 30)
plot_power_law_axes(D, 1.7 + 4 * D**-0.3, floor=1.7)

# %% [markdown]
# **What to see.** Three times the same 30 losses, computed from (4) with $E = 1.7$, $A = 4$, $\alpha = 0.3$. Only on the
# right can the exponent be read off, as a slope: over three decades of tokens the line falls by nine tenths of a decade.
#
# ### Exercise 4 · The exponent, with E known (1 point)
#
# `tokens` and `losses` are arrays of some noisy measurements, `floor` is $E$. Return $\alpha$, a positive number, by least
# squares for the straight line (5). `np.polyfit(x, y, 1)` gives slope and intercept.


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
# ### Exercise 5 · The law, with E unknown (3 points)
#
# In real life nobody knows $E$. It must be fitted together with $A$ and $\alpha$, and (5) does not help, for it needs $E$.
# Return all three, so that the sum of the squared errors of the *losses* is smallest. A straight line through logarithms, as
# in (5), does not give that where the points are noisy, even if many values of $E$ are tried: its $A$ and $\alpha$ have the
# smallest squared errors of logarithms. Two decimals of $\alpha$ are enough, which is a hint; `scipy.optimize` is allowed as
# well, but then mind where it starts.


# %%
def fit_power_law(tokens, losses):
    """(E, A, α) of losses = E + A · tokens^(-α), by least squares."""
    ### BEGIN SOLUTION
    best = (np.inf, None)
    for alpha in np.arange(0.01, 1.5, 0.002):
        scale, floor = np.polyfit(tokens**-alpha, losses, 1)
        error = ((floor + scale * tokens**-alpha - losses) ** 2).sum()
        if error < best[0]:
            best = error, (floor, scale, alpha)
    return best[1]
    ### END SOLUTION


# %%
check.fit_power_law(fit_power_law)

# %% [markdown]
# How well is $E$ determined? Take the recorded run of the 26 M model, its evaluations before the learning rate falls (our
# own three dots are too few), and compare laws whose $E$ was *chosen*: how far from the points do they run, and what do they
# predict for ten times the tokens?

# %%
law = fit_scaling_law(recorded, n_samples=100)
millions, losses = law.points.tokens / 1e6, law.points.loss
predictions = []
for floor in (0.0, 0.5, 1.0):
    alpha = check.power_law_exponent.function(millions, losses, floor)
    A = np.exp(np.mean(np.log(losses - floor) + alpha * np.log(millions)))
    distance = np.sqrt(np.mean((floor + A * millions**-alpha - losses) ** 2))
    predictions.append(floor + A * (10 * millions[-1]) ** -alpha)
    print(
        f"E = {floor}: α = {alpha:.2f}, {distance:.3f} nats from the points, predicts {predictions[-1]:.2f}"
    )
low, high = law.parameter_interval("floor")
print(f"by the bootstrap, 90 % of the fits have E between {low:.1f} and {high:.1f}")

# %% [markdown]
# All three laws run within some hundredths of a nat of the points. The bootstrap leaves room for the first two and puts
# only the last in doubt; but they differ in the exponent, and ten times the tokens would tell them apart. The points
# span a factor of six in tokens, and a curve that short does not determine three numbers. So give an exponent only with
# its $E$, and an $E$ only with an interval; the library's `fit_scaling_law` also lists reasons for doubt, in
# `law.doubts(…)`.
#
# ### A longer run
#
# The run of the 26 M model reads other tokens of a larger text (the documentation of some forty packages), so its losses per
# token cannot be compared with ours. **Bits per byte** can, roughly (notebook 05).

# %%
figure, axis = plt.subplots(figsize=(7, 3))
for metrics, colour, whose in ((RunResult.of(run), ORANGE, "this run"), (recorded, BLUE, "recorded")):
    name = f"{whose}, {metrics.start['parameters'] / 1e6:.1f} M parameters"
    points = np.array(
        [(each["tokens"], each["bits_per_byte"]) for each in metrics.evaluations if each["tokens"]]
    )
    axis.plot(*points.T, ".-", color=colour, label=name)
axis.set(xscale="log", xlabel="tokens read", ylabel="held-out loss\n(bits per byte)", ylim=(0, None))
axis.legend()
plt.show()
compute = [
    each.start["flops_per_token"] * each.evaluations[-1]["tokens"] for each in (recorded, RunResult.of(run))
]
print(f"the recorded run costs {float(f'{compute[0] / compute[1]:.1g}'):,.0f} times the operations of ours")
print(f"it read {read_by_26m / n_26m:.2f} tokens for each parameter")

# %% [markdown]
# **What to see.** The orange run ends at 100 thousand tokens, the blue one, with 157 times as many parameters, at
# twelve million and little more than one bit per byte. Each tenfold of the tokens takes off about the same, so each
# further drop of that size costs nine times as much as all before it. `minillm report results/26m/pretrain` shows the
# run with all its curves.

# %% [markdown]
# ## 7 · How large, for a given budget?
#
# For a given budget of operations, is a small model on much text better, or a large one on little? To see the answer in
# seconds, we need a text on which small models soon reach their limits: the abstracts of the grammar of notebook 05. Four
# sizes read it in the same order, each with two seeds, at a constant learning rate, so that every point of a curve could
# be the end of a run.

# %%
T, BATCH, BUDGET = 32, 8, 4e9
abstracts = [document.text for document in load_grammar("en").generate(4000, seed=0)]
tokenizer = Tokenizer.train(abstracts[:500], vocab_size=400)
stream = torch.tensor([token for each in abstracts for token in tokenizer.encode(each, add_eos=True)])
n_rows = (len(stream) - 1) // T
inputs, labels = (stream[shift : n_rows * T + shift].view(n_rows, T) for shift in (0, 1))
N_TRAIN = n_rows - 128  # the last ones are held out


# %%
def race_of(width, seed):
    """(parameters, operations per token, tokens read, held-out losses) of a model of this width."""
    torch.manual_seed(seed)
    shape = {"hidden_size": width, "n_layers": 2, "n_heads": 2, "intermediate_size": 3 * width}
    model = MiniLLM(ModelConfig(vocab_size=400, **shape, max_seq_len=T, initializer_range=0.05))
    cost, points = model.config.flops_per_token(T), []
    n_steps = int(BUDGET / (cost * BATCH * T)) + 1
    looks = set(np.geomspace(4, n_steps - 1, 14).astype(int).tolist())

    def loss(step):
        if step in looks:
            with torch.no_grad():
                points.append((step * BATCH * T, model.loss(inputs[N_TRAIN:], labels[N_TRAIN:]).item()))
        chosen = rows_of_step(step, BATCH, N_TRAIN, seed=seed)
        return model.loss(inputs[chosen], labels[chosen])

    fit(model, loss, n_steps, lr=0.02, schedule="constant", warmup_steps=10)
    return model.config.n_parameters, cost, *np.array(points).T


# %%
race = [race_of(width, seed) for seed in (0, 1) for width in (8, 16, 32, 48)]
plot_race(race)

# %%
after_equal_tokens = [np.interp(10_000, tokens, losses) for _, _, tokens, losses in race]
print(
    "after 10,000 tokens the larger is better up to width 32, with both seeds:",
    all(a > b > c for a, b, c in (after_equal_tokens[:3], after_equal_tokens[4:7])),
)

# %% [markdown]
# **What to see.** *Left*, by tokens: from each token the larger model learns more (each size has two lines, its seeds). If
# text is what you lack, take the largest model that you can afford. *Right*, by operations: for the smallest budgets the
# smallest model is ahead, for it has read more. Then it flattens, it has learned what it can hold, and the next size
# overtakes it. For the two largest the budget is too small to get that far.
#
# Now cut through the right-hand figure at some budgets $C$, and draw the losses there by the size $N$. Each is an
# **isoFLOP curve**: all its points cost the same. A parabola through them has its lowest point at the best size for this
# budget.

# %%
budgets = (0.9e9, 1.9e9, 3.9e9)
at_budget = {C: [np.interp(C, cost * tokens, losses) for _, cost, tokens, losses in race] for C in budgets}
best = {C: [int(np.argmin(losses[:4])), int(np.argmin(losses[4:]))] for C, losses in at_budget.items()}
print("smallest budget: the smallest model is the best, with both seeds:", best[budgets[0]] == [0, 0])
print("largest budget: a larger one is, with both seeds:", min(best[budgets[-1]]) > 0)
sizes, costs = zip(*[each[:2] for each in race], strict=True)
optimum = [isoflop_optimum(sizes, losses) for losses in at_budget.values()]
per_parameter = [C / np.interp(N, sizes[:4], costs[:4]) / N for C, N in zip(budgets, optimum, strict=True)]
print("the best size grows with the budget:", (np.diff(optimum) > 0).all())
print("it then reads between 2 and 12 tokens per parameter:", all(2 < each < 12 for each in per_parameter))
plot_isoflop(sizes, at_budget)

# %% [markdown]
# **What to see.** One curve per budget, two dots per size. On its left the models are too small, on its right they have read
# too little. The lowest points (the broken line) move to the right as the budget grows. For the smallest budget it is at
# the border: a still smaller model might do better.
#
# That is how Hoffmann et al. proceeded, with models up to 16 billion parameters. They put size and tokens into one law,
#
# $$L(N, D) = E + \frac{A}{N^{\alpha}} + \frac{B}{D^{\beta}} , \tag{6}$$
#
# whose $E$ no longer depends on the model: it is the loss that would be left for an infinite model with infinite text, an
# estimate of the entropy of the text. What (4) called $E$ is $E + A / N^\alpha$ here.
#
# ### Exercise 6 · Divide a budget (3 points)
#
# A budget of `flops` operations buys a model of $N$ parameters and $D$ tokens with $6ND = C$. Which $N$ and $D$ make (6)
# smallest? $E$ plays no part in it.


# %%
def compute_optimal(flops, A, B, alpha, beta):
    """(N, D): parameters and tokens of the lowest loss for this budget."""
    ### BEGIN SOLUTION
    n_parameters = (alpha * A / (beta * B) * (flops / 6) ** beta) ** (1 / (alpha + beta))
    return n_parameters, flops / (6 * n_parameters)
    ### END SOLUTION


# %%
check.compute_optimal(compute_optimal)

# %% [markdown]
# The published constants are $A = 406.4$, $B = 410.7$, $\alpha = 0.34$, $\beta = 0.28$. Besiroglu et al. 2024
# ([arXiv:2404.10102](https://arxiv.org/abs/2404.10102)) fitted the same points again and found $A = 482.01$,
# $B = 2085.43$, $\alpha = 0.3478$, $\beta = 0.3658$. The budget of Chinchilla was $5.76 \cdot 10^{23}$, and its 70 billion
# parameters read 1.4 trillion tokens, 20 per parameter:

# %%
laws = {
    "Hoffmann et al.": (406.4, 410.7, 0.34, 0.28),
    "Besiroglu et al.": (482.01, 2085.43, 0.3478, 0.3658),
}
for source, law in laws.items():
    n, d = check.compute_optimal.function(5.76e23, *law)
    print(f"{source:17} {n / 1e9:4.0f} billion parameters, {d / n:4.0f} tokens for each")
print(
    f"26 M model: {read_by_26m / n_26m:.2f} tokens for each; 20 would be {20 * n_26m / read_by_26m:.0f} times as many"
)

# %% [markdown]
# Look at the difference that two fits of the *same* points make, so far beyond most of them; the second agrees with the 20
# that Chinchilla was trained by. Such numbers are those of one kind of text, tokenizer and architecture: our grammar, which
# is soon learned, wants fewer. And compute is not always what is scarce. The 26 M model read 0.48 tokens for each parameter,
# some 40 times short of 20. By that rule it is far too large. But there were only ten million tokens, and a smaller model
# would have learned less from each. Conversely, a model that many people will use is trained far beyond 20, because a small
# one is cheaper to run.
#
# ## 8 · On many devices
#
# Large runs spread over many devices. The simplest way is **data parallelism**: each device holds a copy of the model, reads
# its own share of the batch, and computes a gradient; the gradients are averaged over all devices (an *all-reduce*); then
# each takes the same step, so that the copies stay equal. The step is the one that a single device would have taken, in
# less time. `torchrun --nproc_per_node 4 -m minillm_lib pretrain --config configs/gpu/pretrain.yaml` starts four processes
# with one GPU each: `torchrun` starts the same program four times and tells each its number, its *rank*. The configuration
# stays as it is: `batch_size` is that of all processes together. A model whose weights, gradients and optimizer state do
# not fit into one device is cut up as well, so that each keeps a part of all three (`train.distributed: fsdp`).

# %%
folder.cleanup()

# %% [markdown]
# ## Summary
#
# - A run is described by sequences, steps, epochs; it costs $6ND$ operations, and attention besides. MFU turns them into
#   hours; weights, gradients and optimizer state take 16 bytes per parameter in float32 with AdamW.
# - Compare with $\ln V$, unigram and bigram before you believe a loss. Across tokenizers compare bits per byte.
# - A sweep of short runs finds the learning rate; a best rate at the border is not yet found.
# - Losses fall as a power law above a floor. It is a straight line on double-logarithmic axes once the floor is taken away,
#   and a short curve does not determine the floor.
# - By tokens the larger model wins; by operations the smaller one leads until it flattens. IsoFLOP curves give the best size.
#
# **In the library:** `minillm_lib/training/stages.py` (`pretrain`), `minillm_lib/analysis/scaling_law.py`,
# `minillm_lib/training/planning.py` (`plan`). A larger run: `minillm plan --config configs/pretrain-tiny.yaml`,
# then `minillm pretrain --config configs/pretrain-tiny.yaml`; afterwards `minillm doctor runs/pretrain-tiny`.
#
# **Next:** [14 · Supervised fine-tuning](14_sft.ipynb): this model, which continues, becomes one that answers.
#
# **To read on.** Kaplan et al. 2020 and Hoffmann et al. 2022, as above; Hu et al. 2024, "MiniCPM",
# [arXiv:2404.06395](https://arxiv.org/abs/2404.06395), on small models and the WSD schedule; Biderman et al. 2023, "Pythia",
# [arXiv:2304.01373](https://arxiv.org/abs/2304.01373), a suite of models with all their checkpoints, made for watching
# what is learned when.
