# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 12 · The training loop
#
# **What you build.** Everything between a model and a trained model: the loss, AdamW, the learning-rate schedule,
# gradient accumulation, clipping, mixed precision; then the loop that ties them together, equal to the library's step
# by step. Last, you break it in eight ways and look at the curves, so that you will know them when you meet them.
#
# **What you need.** [11 · The decoder](11_decoder.ipynb), or the knowledge that a language model gives scores for the
# next token. Derivatives.
#
# **How long.** About 75 minutes to work through. All cells together run in about 40 seconds on two CPU cores.
#
# > **中文提要** 本节写出完整的训练循环。先算损失：未经训练的模型应当接近 ln V；再推导 AdamW（动量、二阶矩、偏差校正、解耦的
# > 权重衰减），写出带预热的余弦学习率，说明为什么梯度累积必须按标签总数平均，以及 bf16 与 fp16 各自丢失什么。随后用二十几行代码
# > 拼成训练循环，逐步与 `minillm_lib.pretrain` 的损失相等。最后故意埋下八个错误：标签错位、学习率过大或过小、没有预热、
# > 梯度不清零、只用一个批次、掩码缺失等，逐一观察它们的损失曲线。注意：有些错误的曲线“好得不真实”。

# %%
import math
import tempfile
from dataclasses import replace
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from minillm_lib import MiniLLM, PretrainConfig, check, load_grammar, pretrain
from minillm_lib.model import NGramModel
from minillm_lib.training import (
    OptimizerConfig,
    ScheduleConfig,
    learning_rate_factor,
    make_optimizers,
    prepare_pretraining_data,
    rows_of_step,
)
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE, PURPLE, use_style

use_style()
torch.set_num_threads(1)  # for matrices as small as these, sharing the work out costs more than it saves

# %% [markdown]
# ## 1 · Text, a model, and a loss
#
# The text is the grammar of notebook 05: abstracts whose entropy is known, so that we know how low a loss can get. One
# configuration describes the whole run; we use its parts one after the other, and at the end all of it.

# %%
folder = tempfile.TemporaryDirectory()
config = PretrainConfig.model_validate({
    "run": f"{folder.name}/run",
    "output": f"{folder.name}/model.pt",
    "model": {"vocab_size": 600, "hidden_size": 48, "n_layers": 2, "n_heads": 4, "intermediate_size": 144,
              "max_seq_len": 48, "initializer_range": 0.05},
    "data": {"corpora": [{"name": "grammar", "options": {"n": 1500, "language": "en"}}], "vocab_size": 600,
             "folder": f"{folder.name}/data"},
    "train": {"steps": 20, "batch_size": 16, "lr": 0.02, "warmup_steps": 20, "precision": "float32"},
    "evaluation": {"max_tokens": 3000},
})  # fmt: skip
data = prepare_pretraining_data(config.data, progress=False)
rows, held_out = data.windows("train", 48), data.windows("validation", 48)[:64]
print(f"{len(data.train):,} documents, {len(rows):,} rows of {rows.seq_len} tokens")

# %% [markdown]
# A row is a stretch of 48 tokens; its *labels* are the same stretch one token later. What stands at place $t$ in the
# labels is what the model has to predict after reading places $0$ to $t$.

# %%
batch = rows[[0]]
print("input: ", [data.tokenizer.vocabulary[token] for token in batch.input_ids[0, :7]])
print("labels:", [data.tokenizer.vocabulary[token] for token in batch.labels[0, :7]])

# %% [markdown]
# The model gives for each place $V$ scores $z_1,\dots,z_V$ (*logits*). The softmax makes probabilities of them, and the
# loss is minus the logarithm of the probability of the label $y$, averaged over all places:
#
# $$p_i = \frac{e^{z_i}}{\sum_j e^{z_j}}, \qquad
# \ell = -\log p_y = \log\sum_j e^{z_j} \;-\; z_y . \tag{1}$$
#
# It is the *cross-entropy*: the mean number of nats (natural units of information) that the model needs to write the
# text down. $e^\ell$ is the perplexity. No model gets below the entropy of the source.


# %%
def new_model():
    torch.manual_seed(config.train.seed)
    return MiniLLM(config.model)


model = new_model()
batch = rows[:16]
logits = model(batch.input_ids)  # (batch, seq, vocab)
label_logits = logits.gather(-1, batch.labels[..., None])[..., 0]  # (batch, seq)
by_hand = (logits.logsumexp(dim=-1) - label_logits).mean()
torch.allclose(by_hand, model.loss(batch.input_ids, batch.labels), atol=1e-5)

# %% [markdown]
# ### What the loss must be before the first step
#
# The gradient of (1) by a score is $\partial\ell/\partial z_i = p_i - [i = y]$: probability minus truth. Before
# training, all scores are about 0, so all probabilities are about $1/V$, and
#
# $$\ell \approx -\log\tfrac1V = \ln V . \tag{2}$$
#
# That is the first thing to check in any run, before a single step. A start well *above* $\ln V$ means that the model
# is confident and wrong: its weights are too large. A start *below* means that it knows something it cannot know.

# %%
print(f"ln {config.model.vocab_size} = {math.log(config.model.vocab_size):.2f}")
for size in (0.02, 0.05, 0.2, 1.0):
    torch.manual_seed(0)
    fresh = MiniLLM(config.model.replace(initializer_range=size))
    print(f"initial weights of size {size:4}: loss {fresh.loss(batch.input_ids, batch.labels).item():6.1f}")

# %% [markdown]
# With weights of size 1 the first loss is several times $\ln V$, and training would spend its first steps on unlearning.
#
# ## 2 · AdamW
#
# Plain gradient descent takes the step $-\eta g$: one learning rate $\eta$ for all weights. But gradients of different
# weights have very different sizes.

# %%
model.loss(batch.input_ids, batch.labels).backward()
for name in (
    "embed_tokens.weight",
    "layers.0.self_attn.q_proj.weight",
    "layers.1.mlp.down_proj.weight",
    "norm.weight",
):
    gradient = model.get_parameter(name).grad
    print(f"{name:34} about 10^{round(math.log10(gradient.square().mean().sqrt().item()))}")

# %% [markdown]
# A step that suits the last line moves the second line's weights ten times less. **Adam** (Kingma and Ba 2014,
# [arXiv:1412.6980](https://arxiv.org/abs/1412.6980)) gives each weight a step of its own size: it divides the mean of the
# recent gradients by their typical size. Both are running averages, for each weight, with $\beta_1 \approx 0.9$ and
# $\beta_2 \approx 0.95$ to $0.999$:
#
# $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\,g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2)\,g_t^2,
# \qquad m_0 = v_0 = 0 . \tag{3}$$
#
# **Bias correction.** Insert (3) into itself until nothing is left of it: $m_t = (1-\beta_1)\sum_{i\le t}\beta_1^{t-i} g_i$.
# If all gradients were the same $g$, the sum of the weights would give $m_t = (1-\beta_1^t)\,g$: too small by the factor
# $1-\beta_1^t$, because the average began at 0. So we divide by it, and for $v$ likewise:
#
# $$\hat m_t = \frac{m_t}{1-\beta_1^t}, \qquad \hat v_t = \frac{v_t}{1-\beta_2^t} . \tag{4}$$
#
# **Weight decay.** Large weights make a model brittle, so each step also shrinks them by a small share. With plain
# gradient descent this can be had by adding $\lambda w$ to the gradient. With Adam it cannot: $\lambda w$ would be divided
# by $\sqrt{\hat v}$ like everything else, and weights with large gradients would hardly decay. Loshchilov and Hutter
# (2019, [arXiv:1711.05101](https://arxiv.org/abs/1711.05101)) *decouple* it, which is the W in AdamW:
#
# $$w_t = w_{t-1} - \eta\,\lambda\, w_{t-1} - \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon} . \tag{5}$$
#
# ### Exercise 1 · One step of AdamW (1 point)
#
# All tensors have one shape. `m` and `v` are the averages *before* this step; `step` is $t$, and is 1 in the first step.
# Return the new weight, `m` and `v`; leave the arguments as they are.


# %%
def adamw_step(weight, grad, m, v, step, lr, beta1, beta2, eps, weight_decay):
    """Equations (3) to (5): returns (weight, m, v), all of one shape."""
    ### BEGIN SOLUTION
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad.square()
    direction = (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + eps)
    return weight - lr * weight_decay * weight - lr * direction, m, v
    ### END SOLUTION


# %%
check.adamw_step(adamw_step)

# %% [markdown]
# Equations (3) and (4) together say something simple: $\hat m_t$ is the weighted mean of all gradients so far, with the
# weights $\beta_1^{t-i}$, divided by their sum. In this form, with no recursion at all, we compare with PyTorch's AdamW.


# %%
def recent_mean(values, beta):
    """The mean of values (t, …) in which one that is i steps old counts beta^i."""
    ages = torch.arange(len(values) - 1, -1, -1)
    return torch.tensordot(beta**ages / (beta**ages).sum(), values, dims=1)


torch.manual_seed(1)
gradients, start = torch.randn(6, 5) * torch.tensor([1e-4, 1e-2, 1.0, 10.0, 100.0]), torch.randn(5)
weight, parameter = start.clone(), nn.Parameter(start.clone())
optimizer = torch.optim.AdamW([parameter], lr=0.1, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
for step in range(6):
    past = gradients[: step + 1]
    direction = recent_mean(past, 0.9) / (recent_mean(past.square(), 0.95).sqrt() + 1e-8)
    weight = weight - 0.1 * 0.1 * weight - 0.1 * direction
    parameter.grad = gradients[step]
    optimizer.step()
torch.allclose(weight, parameter, atol=1e-6)

# %% [markdown]
# Now look at the very first step: $\hat m_1 = g$ and $\sqrt{\hat v_1} = |g|$, so that each weight moves by $\eta$ exactly,
# up or down, whether its gradient is large or tiny.

# %%
parameter = nn.Parameter(torch.zeros(5))
parameter.grad = torch.tensor([1e-4, -1e-2, 1.0, -10.0, 100.0])
torch.optim.AdamW([parameter], lr=0.1).step()
print([round(moved, 4) for moved in parameter.tolist()])

# %% [markdown]
# That is Adam's strength, and the reason for two precautions. A weight whose gradient is nothing but noise also moves by
# about $\eta$. And the first steps, whose averages rest on one or two batches, are as long as all others: hence
# warm-up, next. The library's `make_optimizers` builds AdamW as above, with decay on matrices only: the gains of norms
# are not supposed to be small.
#
# ## 3 · The learning rate over time
#
# Three phases are usual. **Warm-up**: from (nearly) 0 to the peak in a straight line, while Adam's averages fill.
# **Peak**: as high as stays stable. **Decay**: the loss of a batch is a noisy estimate, and with a constant rate
# the weights keep jittering around a good place; a falling rate lets them settle. The most used shape is half a
# cosine (Loshchilov and Hutter 2016, [arXiv:1608.03983](https://arxiv.org/abs/1608.03983)); *WSD* (warm-up, stable,
# decay; Hu et al. 2024, [arXiv:2404.06395](https://arxiv.org/abs/2404.06395)) stays at the peak and falls at the end.
#
# ### Exercise 2 · Cosine with warm-up (2 points)
#
# Return the factor that the peak rate is multiplied by. Steps count from 0 to `n_steps - 1`.
#
# - In the `warmup_steps` first steps it rises in a straight line: $1/w, 2/w, \dots, 1$ for $w$ = `warmup_steps`, since a
#   first step at rate 0 would be lost.
# - After that it follows half a cosine, from 1 in the last step of the warm-up down to `final_share` in the last step of
#   all: $f + (1 - f)\,\tfrac12(1 + \cos \pi p)$, where the progress $p$ is 0 in the one and 1 in the other.


# %%
def cosine_factor(step, n_steps, warmup_steps, final_share):
    """The factor of the peak learning rate in a step, a number from 0 to 1."""
    ### BEGIN SOLUTION
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - (warmup_steps - 1)) / (n_steps - warmup_steps)
    return final_share + (1 - final_share) * (1 + math.cos(math.pi * progress)) / 2
    ### END SOLUTION


# %%
check.cosine_factor(cosine_factor)

# %% [markdown]
# The library's `learning_rate_factor` has all three shapes. WSD, written out, equals it:


# %%
def wsd_factor(step, n_steps, warmup_steps, n_decay, final_share):
    rise = min((step + 1) / warmup_steps, 1.0)
    fall = min((n_steps - 1 - step) / n_decay, 1.0)
    return min(rise, final_share + (1 - final_share) * fall)


wsd = ScheduleConfig(name="wsd", warmup_steps=10, decay_share=0.3, final_share=0.1)
np.allclose([wsd_factor(step, 100, 10, 30, 0.1) for step in range(100)],
            [learning_rate_factor(step, 100, wsd) for step in range(100)])  # fmt: skip

# %%
figure, axis = plt.subplots(figsize=(6, 2.6))
for name, colour in (("cosine", BLUE), ("wsd", ORANGE), ("constant", GREEN)):
    factors = [learning_rate_factor(step, 100, wsd.replace(name=name)) for step in range(100)]
    axis.plot(factors, color=colour, label=name)
axis.set(xlabel="step", ylabel="share of the peak rate", ylim=(0, 1.05))
axis.legend(loc="lower center")
plt.show()

# %% [markdown]
# **What to see.** All three share the warm-up of 10 steps. The cosine begins to fall at once, WSD only for the last 30
# steps. A run with WSD or a constant rate can be continued; one with a cosine must know its length beforehand.
#
# ## 4 · Accumulating gradients
#
# Large batches give gradients with less noise, but all their activations must be held in memory until the backward pass.
# The way out: gradients add. The loss of a batch is a mean over its $N$ labels, and a mean is a sum over parts,
#
# $$\frac1N\sum_{n=1}^{N}\ell_n \;=\; \frac1N\Big(\sum_{n\,\in\,\text{part 1}}\ell_n + \sum_{n\,\in\,\text{part 2}}\ell_n
# + \dots\Big), \tag{6}$$
#
# so that each part can go forward and backward alone, while PyTorch adds up the gradients in `.grad`. What counts is the
# divisor: $N$ is the number of labels of the *whole* batch. In pretraining all parts have equally many, and the mean of
# the parts' means is the same. With padding or a loss mask (notebook 14) they have not.


# %%
def gradient_of(parts):
    """The gradient, as one long vector, of the sum of losses that `parts` yields."""
    model = new_model()
    for loss in parts(model):
        loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


inputs, labels = batch.input_ids, batch.labels.clone()
labels[0:4, 5:] = -100  # the first four rows count for their first five labels only
n_labels = (labels != -100).sum()
whole = gradient_of(lambda m: [m.loss(inputs, labels)])
halves = list(zip(inputs.split(4), labels.split(4), strict=True))
summed = gradient_of(lambda m: (m.loss(x, y, reduction="sum") / n_labels for x, y in halves))
averaged = gradient_of(lambda m: (m.loss(x, y) / len(halves) for x, y in halves))
print("sums, divided by all labels:", torch.allclose(summed, whole, atol=1e-6))
print("mean of the parts' means:   ", torch.allclose(averaged, whole, atol=1e-6))

# %% [markdown]
# The second one is what many training scripts computed for years, `transformers` among them until October 2024
# ([the fix](https://github.com/huggingface/transformers/pull/34191)): the few labels of the short part weigh too much,
# and nothing looks broken.
#
# ### Exercise 3 · Accumulate, with unequal numbers of labels (2 points)
#
# The model here is one matrix: the scores are `hidden @ weight.T`. `parts` is a list of `(hidden, labels)`, of shapes
# `(n, d)` and `(n,)`, where the label $-100$ does not count. Return the gradient of the mean loss over *all* labels that
# count, taking one part at a time. `weight` is a leaf tensor that requires gradients; use
# `nn.functional.cross_entropy(..., ignore_index=-100, reduction=...)`, and `torch.autograd.grad(loss, weight)`
# or `loss.backward()`.


# %%
def accumulated_gradient(weight, parts):
    """The gradient (vocab, d) of the mean loss over the labels of all parts."""
    ### BEGIN SOLUTION
    n_labels = sum((labels != -100).sum() for _, labels in parts)
    total = torch.zeros_like(weight)
    for hidden, labels in parts:
        loss = nn.functional.cross_entropy(hidden @ weight.T, labels, ignore_index=-100, reduction="sum")
        total += torch.autograd.grad(loss / n_labels, weight)[0]
    return total
    ### END SOLUTION


# %%
check.accumulated_gradient(accumulated_gradient)

# %% [markdown]
# ## 5 · Clipping
#
# Now and then a batch has a gradient many times as long as usual. Pascanu, Mikolov and Bengio (2013,
# [arXiv:1211.5063](https://arxiv.org/abs/1211.5063)) keep its direction and shorten it. The length is that of *all*
# gradients taken as one vector, so that all are scaled alike and the direction is kept:
#
# $$g \leftarrow g\cdot\min\!\Big(1, \frac{c}{\lVert g\rVert}\Big), \qquad
# \lVert g\rVert = \sqrt{\textstyle\sum_{\text{all parameters}}\ \sum_i g_i^2} . \tag{7}$$

# %%
parameters = list(model.parameters())
gradients = [parameter.grad.clone() for parameter in parameters]
norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
nn.utils.clip_grad_norm_(parameters, 0.1)
scaled = [gradient * (0.1 / norm).clamp(max=1) for gradient in gradients]
all(torch.allclose(a, parameter.grad, atol=1e-6) for a, parameter in zip(scaled, parameters, strict=True))

# %% [markdown]
# With Adam one might think that the length does not matter, since it is divided out. But one huge gradient stays in
# $v$ for about $1/(1-\beta_2)$ steps, 20 at $\beta_2 = 0.95$, and makes all steps short meanwhile. And its recorded length
# is the best early warning that there is: **record the norm before clipping in every run.**
#
# ## 6 · The loop
#
# Which rows does a step read? All of them in random order, then all again in another order (an *epoch* each). The
# library's `rows_of_step` computes that from the seed and the step's number alone; so a run that was killed can go on
# where it was.


# %%
def batches(n_steps, batch_size=16):
    """Batches in the order in which the library reads them."""
    for step in range(n_steps):
        yield rows[rows_of_step(step, batch_size, len(rows), seed=0)]


@torch.no_grad()
def loss_on(model, batch):
    return model.loss(batch.input_ids, batch.labels).item()


# %% [markdown]
# And this is the whole loop. Each line has had its section.


# %%
def train(model, batches, n_steps, lr=0.02, warmup_steps=20, zeroes_gradients=True, n_parts=1):
    """Trains in place; the loss of each step."""
    schedule = ScheduleConfig(name="cosine", warmup_steps=warmup_steps)
    (optimizer,) = make_optimizers(model, OptimizerConfig(name="adamw", lr=lr))
    losses = []
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = lr * learning_rate_factor(step, n_steps, schedule)
        loss = 0.0
        for part in np.array_split(np.arange(len(batch.input_ids)), n_parts):
            share = model.loss(batch.input_ids[part], batch.labels[part], reduction="sum") / batch.n_labels
            share.backward()
            loss += share.item()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if zeroes_gradients:
            optimizer.zero_grad()
        losses.append(loss)
    return losses


# %% [markdown]
# Is it right? The library's `pretrain` is given the same configuration, and must come to the same losses, step by step.
# Besides the loop it does what a real run needs: checkpoints, evaluations, metrics, recovery.

# %%
ours = train(new_model(), batches(20), 20)
in_parts = train(new_model(), batches(20), 20, n_parts=4)
run = pretrain(config, progress=False)
theirs = run.series("loss")[1]
print(
    "as pretrain:",
    np.allclose(ours, theirs, rtol=1e-3),
    "| in four parts:",
    np.allclose(ours, in_parts, rtol=1e-3),
)

# %% [markdown]
# ### First of all: overfit one batch
#
# Before a long run, give the loop one batch, again and again. A model with 80,000 weights must learn 16 rows by heart: the
# loss goes to about 0. If it does not, something is broken, and you have found out in seconds. It is a test of the
# machinery, not of learning: held-out text gets worse.

# %%
one_batch = next(batches(1))
model = new_model()
overfitted = train(model, [one_batch] * 80, 80)
print("loss below 0.1:", overfitted[-1] < 0.1)
print("on held-out text worse than no training at all:", loss_on(model, held_out) > math.log(600))

# %% [markdown]
# ### A healthy run
#
# 160 steps, on new rows each. The yardsticks: $\ln V$, where every model begins; the loss of a bigram model, which looks
# at one token only (notebook 05); and the grammar's entropy, which nothing can pass.

# %%
N_STEPS = 160
n_tokens = len(data.train.tokens)
floor = load_grammar("en").entropy_per_document() * len(data.train) / n_tokens
bigram = NGramModel(2, 600).fit(data.train.tokens).loss(data.validation.tokens)
model = new_model()
healthy = train(model, batches(N_STEPS), N_STEPS), loss_on(model, held_out)

# %%
figure, axis = plt.subplots(figsize=(7, 3))
axis.plot(healthy[0], color=BLUE, label="each batch")
axis.plot(N_STEPS, healthy[1], "o", color=PURPLE, label="held-out text, at the end")
for height, name in ((math.log(600), "ln V"), (bigram, "bigram"), (floor, "entropy of the grammar")):
    axis.axhline(height, color=INK, linestyle=":", linewidth=1)
    axis.text(0, height + 0.08, name, fontsize=8)
axis.set(xlabel="step", ylabel="loss (nats per token)", ylim=(0, 7))
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** The curve begins at $\ln V$, falls steeply while the model learns how frequent each token is, and then
# more slowly, as it learns what follows what. The held-out dot lies on the curve: with every row read less than once,
# there is nothing yet to know by heart. Some 100 steps take the model past what counting pairs achieves; the entropy is
# still far away.
#
# ## 7 · Mixed precision
#
# On accelerators, 16-bit numbers are several times faster to multiply than 32-bit ones, and need half the memory. But
# 16 bits can be dealt out in two ways: to the *exponent* (range), or to the *fraction* (precision).

# %%
print("             bits: exponent, fraction   largest   smallest normal   next after 1")
for name, exponent, fraction in (("float32", 8, 23), ("bfloat16", 8, 7), ("float16", 5, 10)):
    info = torch.finfo(getattr(torch, name))
    print(f"{name:10} {exponent:14}, {fraction:8} {info.max:15.1e} {info.tiny:14.1e} {1 + info.eps:17.7f}")

# %% [markdown]
# **bfloat16 has float32's range and little precision.** After 1 it knows 1.0078 and nothing in between. A weight of 1
# that is to move by 0.001 stays where it is, a thousand times over:

# %%
for dtype in (torch.bfloat16, torch.float32):
    weight = torch.ones((), dtype=dtype)
    for _ in range(1000):
        weight += 0.001
    print(f"{dtype!s:15} 1 + 1000 × 0.001 = {weight.item():.3f}")

# %% [markdown]
# So *weights are kept in float32* ("master weights"), and only the products are computed in 16 bits. PyTorch's
# `autocast` does it: products take rounded copies of the weights; the loss, a sum over many terms, stays in float32.

# %%
with torch.autocast("cpu", torch.bfloat16):
    product, loss = model(batch.input_ids), model.loss(batch.input_ids, batch.labels)
print("weights:", model.norm.weight.dtype, "| scores:", product.dtype, "| loss:", loss.dtype)

# %% [markdown]
# **float16 has more precision and little range.** Below about $6\cdot10^{-8} = 2^{-24}$ there is only zero. Are gradients
# that small? By section 1, the gradient of a mean over $N$ labels by a score is $(p_i - [i=y])/N$. For a step of 16,384
# labels and a vocabulary of 6,400, that of the 26 M model, it is $1/(6400 \cdot 16{,}384)$ at the beginning:

# %%
small = torch.tensor(1 / (6400 * 16384))
print(f"in float32:  {small.item():.1e}")
print(f"in float16:  {small.half().item():.1e}")
print(
    f"times 65,536 in float16, and divided again in float32:  {(small * 2**16).half().float().item() / 2**16:.1e}"
)

# %% [markdown]
# Zero; and it gets worse while a model learns, for then most $p_i$ are far below $1/V$. The model that we have just
# trained reads 768 labels at a time. These are the gradients by its scores:

# %%
hidden = model.hidden_states(batch.input_ids).detach()
scores = (hidden @ model.output_weight.detach().T).requires_grad_()
nn.functional.cross_entropy(scores.flatten(0, 1), batch.labels.flatten()).backward()
sizes = scores.grad.abs().log2().flatten().numpy()
figure, axis = plt.subplots(figsize=(7, 2.8))
bins = np.arange(-50, 20, 0.5)
axis.hist(sizes, bins, color=BLUE, alpha=0.8, label="as they are")
axis.hist(sizes + 16, bins, color=ORANGE, alpha=0.6, label="times $2^{16}$")
for limit, label in ((-24, "smallest\nabove 0"), (16, "largest")):
    axis.axvline(limit, color=INK, linestyle=":")
    axis.annotate(label, (limit + 0.4, 0.98), xycoords=("data", "axes fraction"), va="top", fontsize=8)
axis.set(xlabel="$\\log_2$ of the gradient's size", ylabel="number of scores", xlim=(-48, 24))
axis.legend(loc="upper left")
plt.show()

# %%
print("more than half would be 0 in float16:          ", np.mean(sizes < -25) > 1 / 2)
print("of those times 65,536, more than a hundredth:  ", np.mean(sizes + 16 < -25) > 0.01)

# %% [markdown]
# **What to see.** Left of the first dotted line float16 has nothing but zero, right of the second nothing but infinity.
# Most of the blue gradients lie left of the first line and would be lost; that is, the model would no longer be told
# which tokens it may rule out. Multiplying the *loss* by $2^{16}$ multiplies all gradients by it (orange), and
# they fit between the lines.
#
# That is *loss scaling* (Micikevicius et al. 2018, [arXiv:1710.03740](https://arxiv.org/abs/1710.03740)): multiply the
# loss before the backward pass, divide the gradients in float32 before clipping and the update. The factor looks after
# itself: where a gradient comes out infinite, the step is skipped and the factor halved; after many good steps it is
# doubled. bfloat16, with float32's range, needs none of this. The library's `minillm_lib/training/precision.py` takes
# bfloat16 where the device computes with it, as newer CPUs do too, float16 with a scaler on older GPUs, and float32
# elsewhere. Here our configuration asks for float32, so that the numbers are the same on every machine.
#
# ## 8 · What broken runs look like
#
# Eight bugs, planted one at a time. Three of them are in the data:
#
# - **labels not shifted**: the labels are the inputs themselves, so the model has to repeat what it reads.
# - **labels shifted twice**: the data shifts, and then the model's code does so once more.
# - **the same batch always**: a data loader that starts again with every step.


# %%
def unshifted(batches):
    return (replace(batch, labels=batch.input_ids) for batch in batches)


def shifted_twice(batches):
    return (
        replace(batch, input_ids=batch.input_ids[:, :-1], labels=batch.labels[:, 1:]) for batch in batches
    )


# %% [markdown]
# One is in the model: **no causal mask**. Attention then sees the future, and with it the very token that is to be
# predicted. We put a mask that hides nothing in the place of the right one.


# %%
def see_everything(past, seq, is_token, device, segment_ids=None):
    return torch.ones(1, 1, seq, past + seq, dtype=torch.bool)


no_mask = mock.patch("minillm_lib.model.decoder.causal_mask", see_everything)

# %% [markdown]
# The other four are in the loop. A bug in the model is there as well when the model is evaluated, and one in the
# preparation of the data usually concerns the held-out text too. So the held-out loss at the end is measured *with* the
# bug, as one would see it in real life.


# %%
def broken(change=iter, stream=None, patch=None, **options):
    """The losses of a run with a bug, and the held-out loss at the end."""
    model = new_model()
    with patch or mock.patch.dict({}):
        losses = train(model, change(stream or batches(N_STEPS)), N_STEPS, **options)
        return losses, loss_on(model, next(iter(change([held_out]))))


runs = {
    "labels not shifted": broken(unshifted),
    "labels shifted twice": broken(shifted_twice),
    "the same batch always": broken(stream=[one_batch] * N_STEPS),
    "no causal mask": broken(patch=no_mask),
    "learning rate × 100": broken(lr=2.0),
    "learning rate / 100": broken(lr=2e-4),
    "no warm-up": broken(warmup_steps=0),
    "gradients not zeroed": broken(zeroes_gradients=False),
}

# %%
figure, axes = plt.subplots(2, 4, figsize=(11, 5), sharex=True, sharey=True)
for axis, (name, (losses, held_out_loss)) in zip(axes.flat, runs.items(), strict=True):
    axis.plot(healthy[0], color=BLUE, label="healthy")
    axis.plot(N_STEPS, healthy[1], "o", color=BLUE)
    axis.plot(np.minimum(losses, 12), color=ORANGE, label="broken")
    axis.plot(N_STEPS, min(held_out_loss, 12), "o", color=PURPLE, label="held-out")
    axis.axhline(floor, color=INK, linestyle=":", linewidth=1)
    axis.set(title=name, ylim=(-0.3, 12.3), xlabel="step", ylabel="loss (nats per token)")
    axis.label_outer()
axes[0, 0].legend()
plt.show()

# %%
too_good = [name for name, (_, held_out_loss) in runs.items() if held_out_loss < floor]
print("below the entropy, on held-out text:", ", ".join(too_good))

# %% [markdown]
# **What to see.** The dotted line is the entropy of the grammar.
#
# - **Labels not shifted**: the loss falls to 0, *on held-out text as well*. No model can be better than the entropy. And
#   it already began below $\ln V$: input and output share one matrix, so even an untrained model gives the token that
#   it reads a higher score.
# - **Labels shifted twice**: a curve like any other, only higher. Nothing tells you, unless you know what to expect. Print
#   a row of inputs and labels, as in section 1, and read it.
# - **The same batch always**: the training loss goes to 0, the held-out loss climbs above $\ln V$. The distance between
#   the two is what tells; a run without held-out text would look like a triumph.
# - **No causal mask**: as the healthy run for some 30 steps, until attention has found the future; then far below it, and
#   in the end below the entropy, on held-out text too. Such a model writes nonsense, for when it writes there is no
#   future to look at.
# - **Learning rate × 100**: up first, and then a plateau: the model has fallen back to how frequent each token is.
# - **Learning rate / 100**: smooth, and far too slow: all 160 steps achieve what the healthy run does in ten.
# - **No warm-up**: quicker for some steps, then behind the healthy run for a hundred. The larger the model and the rate,
#   the more it costs; here the two have nearly met at the end.
# - **Gradients not zeroed**: each step is made of all gradients since the beginning. It learns, which is why
#   this bug lives long: the curve is merely bad.
#
# So too low is as alarming as too high, and half of these bugs are seen only beside a curve that is known to be right. Keep
# one. The mask has a test that needs no curve: changing the last token must not change any score before it.


# %%
def sees_the_future(model):
    changed = held_out.input_ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % config.model.vocab_size
    before, after = model(held_out.input_ids), model(changed)
    return not torch.allclose(before[:, :-1], after[:, :-1], atol=1e-5)


print("with the causal mask:", sees_the_future(new_model()))
with no_mask:
    print("without it:          ", sees_the_future(new_model()))
folder.cleanup()

# %% [markdown]
# ## Summary
#
# - The loss is $-\log p$ of the next token, and $\ln V$ before the first step. The entropy of the source is its floor.
# - AdamW: the bias-corrected mean of the recent gradients, divided by their typical size; weight decay apart from it.
# - Warm up, because Adam's first steps are long and rest on little; decay, to settle.
# - Gradients of parts add up to that of the batch, if the divisor is the number of labels of *all* parts.
# - Clip by the norm of all gradients together, and record it.
# - bfloat16 lacks precision: keep the weights in float32. float16 lacks range: scale the loss.
# - First overfit one batch; then look at the first loss, at a row of inputs and labels, and at a healthy curve beside.
#
# **In the library:** `minillm_lib/training/trainer.py` is this loop with checkpoints, several processes and recovery;
# `minillm_lib/training/optimizer.py` has AdamW and Muon; `minillm_lib/training/optimizer.py` the three schedules. The
# checks of `minillm_lib/analysis/health/` look at a run for the bugs of section 8 and others.
#
# **Next:** [13 · Pretraining](13_pretraining.ipynb), a real run.
#
# **To read on.** Karpathy 2019, [A Recipe for Training Neural Networks](https://karpathy.github.io/2019/04/25/recipe/), on
# distrust as a method; Wortsman et al. 2023, "Small-scale proxies for large-scale Transformer training instabilities",
# [arXiv:2309.14322](https://arxiv.org/abs/2309.14322), on what too high a learning rate does, and how it is seen
# beforehand.
