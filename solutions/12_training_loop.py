# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 12 · The training loop
#
# **What you build.** Everything between a model and a trained model: the loss, the optimizers AdamW and Muon, the
# learning-rate schedule, gradient accumulation, clipping, mixed precision; then the step that ties them together, equal
# to the library's step by step. Last, you look at eight broken runs, and find out what is wrong with eight others.
#
# **What you need.** [11 · The decoder](11_decoder.ipynb), whose model is trained here, and the gradients of
# [06 · From counts to gradients](06_counts_to_gradients.ipynb).
#
# **How long.** About two and a half hours to work through. All cells together run in under 30 seconds on two CPU cores.
#
# > **中文提要** 本节写出完整的训练循环，用它训练你在第 11 节组装的解码器。先算损失：未经训练时，损失应接近 ln V；再推导 AdamW（动量、二阶矩、偏差校正、解耦的权重衰减），说明权重衰减在单轮训练中主要决定有效学习率；接着介绍 Muon：用 Newton–Schulz 迭代把矩阵的动量近似正交化。然后是带预热的余弦学习率、按标签总数平均的梯度累积、梯度裁剪，由你写成一个训练步，每一步的损失都与 `minillm_lib.pretrain` 一致。再看 bf16 与 fp16 各自丢失什么，以及损失缩放。最后故意埋下八个错误，逐一观察它们的损失曲线，并从八条新的曲线中认出错误。注意：有些错误的曲线“好得不真实”。

# %%
import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from minillm_lib import MiniLLM, PretrainConfig, check, course, load_grammar, pretrain
from minillm_lib.model import NGramModel, rotate
from minillm_lib.training import (
    Muon,
    OptimizerConfig,
    ScheduleConfig,
    fit,
    learning_rate_factor,
    make_optimizers,
    prepare_pretraining_data,
    rows_of_step,
)
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE, PURPLE, plot_broken_runs

# %% tags=["nbval-ignore-output"]
pieces = course.setup(*course.PIECES)
pieces

# %% [markdown]
# ## 1 · Text, a model, and a loss
#
# The text is the grammar of notebook 05: abstracts whose entropy is known, so that we know how low a loss can get. One
# configuration describes the whole run; we use its parts one after the other, and at the end all of it.

# %%
folder = tempfile.TemporaryDirectory()
shape = {"hidden_size": 48, "n_layers": 2, "n_heads": 4, "intermediate_size": 144, "max_seq_len": 32}
abstracts = {"name": "grammar", "options": {"n": 1500, "language": "en"}}
config = PretrainConfig.model_validate(
    {
        "run": f"{folder.name}/run",
        "output": f"{folder.name}/model.pt",
        "model": {"vocab_size": 600, **shape, "initializer_range": 0.05},
        "data": {"corpora": [abstracts], "vocab_size": 600, "folder": f"{folder.name}/data"},
        "train": {"steps": 20, "batch_size": 16, "lr": 0.02, "warmup_steps": 12, "precision": "float32"},
        "evaluation": {"max_tokens": 3000},
    }
)

# %%
data = prepare_pretraining_data(config.data, progress=False)
sequences, held_out = data.windows("train", 32), data.windows("validation", 32)[:96]
print(f"{len(data.train):,} documents, {len(sequences):,} sequences of {sequences.seq_len} tokens")

# %% [markdown]
# A sequence is a stretch of 32 tokens; its *labels* are the same stretch one token later. The label at position $t$ is
# what the model has to predict after reading positions $0$ to $t$.

# %%
batch = sequences[[0]]
print("input: ", [data.tokenizer.vocabulary[token] for token in batch.input_ids[0, :7]])
print("labels:", [data.tokenizer.vocabulary[token] for token in batch.labels[0, :7]])

# %% [markdown]
# The model gives for each position $V$ scores $z_1,\dots,z_V$ (*logits*). The softmax makes probabilities of them, and
# the loss is minus the logarithm of the probability of the label $y$, averaged over all positions:
#
# $$p_i = \frac{e^{z_i}}{\sum_j e^{z_j}}, \qquad
# \ell = -\log p_y = \log\sum_j e^{z_j} \;-\; z_y . \tag{1}$$
#
# It is the *cross-entropy*: the mean number of nats (natural units of information) that the model needs to write the
# text down. $e^\ell$ is the perplexity. On average over texts, no model gets below the entropy of the source.
#
# The model is the decoder that you put together in notebook 11. `course.assembled` makes it of your pieces; those that
# are missing are the library's. It begins with the weights of the library's model, so that the two can be compared.


# %%
def new_model():
    torch.manual_seed(config.train.seed)
    library = MiniLLM(config.model)
    model = course.assembled(config.model, pieces)
    model.load_state_dict(library.state_dict())
    return model


model = new_model()
batch = sequences[:16]
logits = model(batch.input_ids)  # (batch, seq, vocab)
label_logits = logits.gather(-1, batch.labels[..., None])[..., 0]  # (batch, seq)
by_hand = (logits.logsumexp(dim=-1) - label_logits).mean()
torch.allclose(by_hand, model.loss(batch.input_ids, batch.labels), atol=1e-5)

# %% [markdown]
# ### What the loss must be before the first step
#
# The gradient of (1) with respect to a score is $\partial\ell/\partial z_i = p_i - [i = y]$: probability minus truth.
# Before training, all scores are about 0, so all probabilities are about $1/V$, and
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
    print(f"initial weights of size {size:4}: loss {fresh.loss(batch.input_ids, batch.labels).item():4.0f}")

# %% [markdown]
# With weights of size 1 the first loss is several times $\ln V$, and training would spend its first steps on
# unlearning.
#
# ## 2 · AdamW
#
# Plain gradient descent takes the step $-\eta g$: one learning rate $\eta$ for all weights. But gradients of different
# weights have very different sizes.

# %%
model.loss(batch.input_ids, batch.labels).backward()
sizes = {
    name: model.get_parameter(name).grad.square().mean().sqrt().item()
    for name in (
        "embed_tokens.weight",
        "layers.0.self_attn.q_proj.weight",
        "layers.1.mlp.down_proj.weight",
        "norm.weight",
    )
}
for name, size in sizes.items():
    print(f"{name:34} about 10^{round(math.log10(size))}")
assert max(sizes.values()) > 5 * min(sizes.values())
print("the largest is at least five times the smallest: True")

# %% [markdown]
# A step that suits the largest moves the others several times less than they could. **Adam** (Kingma and Ba 2014,
# [arXiv:1412.6980](https://arxiv.org/abs/1412.6980)) gives each weight a step of its own size: it divides the mean of
# the recent gradients by their typical size. Both are running averages, for each weight, with $\beta_1 \approx 0.9$ and
# $\beta_2 \approx 0.95$ to $0.999$:
#
# $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\,g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2)\,g_t^2,
# \qquad m_0 = v_0 = 0 . \tag{3}$$
#
# **Bias correction.** Insert (3) into itself until only $m_0 = 0$ is left:
# $m_t = (1-\beta_1)\sum_{i\le t}\beta_1^{t-i} g_i$. If all gradients were the same $g$, the sum of the weights would
# give $m_t = (1-\beta_1^t)\,g$: too small by the factor $1-\beta_1^t$, because the average began at 0. So we divide by
# it, and for $v$ likewise:
#
# $$\hat m_t = \frac{m_t}{1-\beta_1^t}, \qquad \hat v_t = \frac{v_t}{1-\beta_2^t} . \tag{4}$$
#
# **Weight decay.** Each step also shrinks the weights by a small share. With plain gradient descent this can be
# achieved by adding $\lambda w$ to the gradient. With Adam it cannot: $\lambda w$ would be divided by $\sqrt{\hat v}$
# like everything else, and weights with large gradients would hardly decay. Loshchilov and Hutter (2019,
# [arXiv:1711.05101](https://arxiv.org/abs/1711.05101)) *decouple* it, which is the W in AdamW:
#
# $$w_t = w_{t-1} - \eta\,\lambda\, w_{t-1} - \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon} . \tag{5}$$
#
# ### Exercise 1 · One step of AdamW (2 points)
#
# All tensors have one shape. `m` and `v` are the averages *before* this step; `step` is $t$, and is 1 in the first
# step. Return the new weight, `m` and `v`; leave the arguments as they are.


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
# Six steps of it, and of PyTorch's, with gradients of very different sizes:

# %%
torch.manual_seed(1)
gradients, start = torch.randn(6, 5) * torch.tensor([1e-4, 1e-2, 1.0, 10.0, 100.0]), torch.randn(5)
weight, m, v = start.clone(), torch.zeros(5), torch.zeros(5)
parameter = nn.Parameter(start.clone())
optimizer = torch.optim.AdamW([parameter], lr=0.1, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
for step in range(6):
    weight, m, v = check.adamw_step.function(
        weight, gradients[step], m, v, step + 1, 0.1, 0.9, 0.95, 1e-8, 0.1
    )
    parameter.grad = gradients[step]
    optimizer.step()
torch.allclose(weight, parameter, atol=1e-6)

# %% [markdown]
# Now look at the very first step: $\hat m_1 = g$ and $\sqrt{\hat v_1} = |g|$, so that each weight moves by $\eta$
# exactly, up or down, whether its gradient is large or tiny.

# %%
parameter = nn.Parameter(torch.zeros(5))
parameter.grad = torch.tensor([1e-4, -1e-2, 1.0, -10.0, 100.0])
torch.optim.AdamW([parameter], lr=0.1).step()
print([round(moved, 4) for moved in parameter.tolist()])

# %% [markdown]
# That is Adam's strength, and the reason for two precautions. A weight whose gradient is nothing but noise is moved
# as well. And the first steps, whose averages rest on one or two batches, are as long as all others: hence
# warm-up (section 4). The library's `make_optimizers` builds AdamW as above, with decay on matrices only: the gains of
# norms are not supposed to be small.
#
# ### What weight decay does here
#
# Where a model reads its data many times, decay is meant to keep it from learning them by heart. In pretraining each
# sequence is read about once, and there is little to learn by heart. What does decay do then? Where a norm follows, the
# *size* of a weight does not matter: $\operatorname{norm}(c\,w x) = \operatorname{norm}(w x)$ for $c > 0$. (In our
# model the addition to the stream comes between, so there it is only roughly so.) Only the direction of the weight
# counts, and the effect of a step is the *angle* by which it turns the weight, about $\lVert\text{step}\rVert / \lVert
# w\rVert$. This is the **effective learning rate**.
#
# Along $w$ itself the loss is constant, so the gradient stands at right angles to $w$, and a step of Adam nearly so. By
# Pythagoras each step makes $w$ longer: $\lVert w\rVert^2$ grows by $\lVert\text{step}\rVert^2$. Without decay the
# angle becomes smaller and smaller. Decay takes $2\eta\lambda\lVert w\rVert^2$ away again. The two balance where
#
# $$2\eta\lambda\lVert w\rVert^2 = \lVert\text{step}\rVert^2 , \qquad\text{so that the angle is}\quad
# \frac{\lVert\text{step}\rVert}{\lVert w\rVert} = \sqrt{2\eta\lambda} , \tag{6}$$
#
# *whatever size the weight began with* (van Laarhoven 2017, [arXiv:1706.05350](https://arxiv.org/abs/1706.05350);
# Kosson et al. 2023, [arXiv:2305.17212](https://arxiv.org/abs/2305.17212)). Test it: weights of three initial sizes,
# with a norm after them, whose gradients are noise; AdamW without momentum, so that the steps are independent of one
# another.


# %%
def angles(weight_decay, sizes=(0.01, 0.1, 1.0), rate=0.01, steps=1200, d=256):
    """The angle of each step, (steps, len(sizes)), of weights that begin with these sizes."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.tensor(sizes)[:, None] * torch.randn(len(sizes), d, generator=generator)
    weights.requires_grad_()
    optimizer = torch.optim.AdamW([weights], lr=rate, betas=(0.0, 0.95), weight_decay=weight_decay)
    turned = []
    for _ in range(steps):
        before = nn.functional.normalize(weights.detach(), dim=1)
        noise = torch.randn(len(sizes), d, generator=generator)
        optimizer.zero_grad()
        (nn.functional.normalize(weights, dim=1) * noise).sum().backward()
        optimizer.step()
        after = nn.functional.normalize(weights.detach(), dim=1)
        turned.append((before * after).sum(dim=1).clamp(max=1).arccos())
    return torch.stack(turned)


# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.9), sharey=True)
for axis, decay in zip(axes, (0.0, 0.5), strict=True):
    measured = angles(decay)
    axis.plot(measured, label=["size 0.01 at first", "0.1", "1"], linewidth=1)
    axis.set(title=f"weight decay {decay}", xlabel="step", yscale="log")
balance = math.sqrt(2 * 0.01 * 0.5)
axes[1].axhline(balance, color=INK, linestyle=":")
axes[0].set_ylabel("angle of the step (radians)")
axes[0].legend()
plt.show()
assert (measured[-200:].mean(dim=0) / balance - 1).abs().max() < 0.2
print("with decay all three end within 20 % of equation (6): True")

# %% [markdown]
# **What to see.** Without decay (left) the angles only fall, and large first weights keep them small for ever. With
# decay (right) all three come to the dotted line of (6), from above and from below. So $\eta$ and $\lambda$ together
# set the pace, and decay makes it the same in all layers. It takes $1/(\eta\lambda)$ steps, here 200, or a few times as
# many. In the run of the 26 M model (notebook 13), with $\eta = 0.003$ and $\lambda = 0.1$, that is 3,333, and the run
# has 1,500: it ends before the balance is reached. In long runs decay matters, but not as a remedy against overfitting;
# D'Angelo et al. (2023, [arXiv:2310.04415](https://arxiv.org/abs/2310.04415)) find that it lowers the *training* loss
# of language models.
#
# ## 3 · Muon
#
# AdamW treats a matrix as a bag of numbers. But a matrix turns vectors into vectors, and has directions. By its
# singular value decomposition, $M = U S V^\top$, it reads along the columns of $V$, multiplies by the singular values
# $s_i$ on the diagonal of $S$, and writes along the columns of $U$. How equal are the singular values of a gradient?
# Ten steps into a training (by the library's `fit`; your own loop follows in section 7):

# %%
ten = [sequences[16 * step : 16 * (step + 1)] for step in range(11)]
model = new_model()


def loss_of_step(step):
    return model.loss(ten[step].input_ids, ten[step].labels)


fit(model, loss_of_step, 10, lr=0.02, optimizer="adamw", warmup_steps=8)
loss_of_step(10).backward()
gradient = model.get_parameter("layers.1.mlp.gate_proj.weight").grad
singular = torch.linalg.svdvals(gradient)
shares = singular.square() / singular.square().sum()
assert shares[:5].sum() > 0.7
print(f"{len(singular)} directions; the first five have more than 70 % of the sum of squares: True")

# %% [markdown]
# A step along such a gradient changes a few directions, and hardly touches the others, which may matter as much but
# speak more softly. **Muon** (*momentum orthogonalised by Newton–Schulz*; Jordan et al. 2024, [Muon: An optimizer for
# hidden layers in neural networks](https://kellerjordan.github.io/posts/muon/)) keeps all directions of the momentum
# and gives them equal lengths: it replaces all singular values by 1,
#
# $$M = U S V^\top \;\longmapsto\; U V^\top . \tag{7}$$
#
# Put differently: among all steps that change the output for no input of length 1 by more than length 1, this is the
# one along which the loss falls fastest (Bernstein and Newhouse 2024,
# [arXiv:2409.20325](https://arxiv.org/abs/2409.20325)).
#
# **The Newton–Schulz iteration.** A singular value decomposition in every step would be slow, on a GPU above all.
# Products are fast. What can they do? $X X^\top X = U S V^\top V S U^\top U S V^\top = U S^3 V^\top$: a product of
# three has the same directions, and the *third powers* of the singular values. So
#
# $$X \;\leftarrow\; a\,X + b\,(X X^\top) X + c\,(X X^\top)^2 X \tag{8}$$
#
# applies the polynomial $p(s) = a s + b s^3 + c s^5$ to all singular values at once, without knowing them. Now choose
# $p$ such that, applied again and again, it takes every $s$ between 0 and 1 to about 1. The classic choice is
# $\tfrac32 s - \tfrac12 s^3$. Jordan et al. take $a = 3.4445$, $b = -4.7750$, $c = 2.0315$. Both are made for singular
# values of at most 1 at the start. That is easily arranged, as the sum of their squares is the sum of the squares
# of all numbers of the matrix.
#
# ### Exercise 2 · Orthogonalise (3 points)
#
# Given a matrix of any size and shape, bring its singular values to 1 or below, and apply (8) `n_iterations` times. No
# decomposition is needed. Return a matrix of the same shape.


# %%
def newton_schulz(matrix, n_iterations, a, b, c):
    """About U Vᵀ for a matrix U S Vᵀ, by equation (8)."""
    ### BEGIN SOLUTION
    x = matrix / matrix.norm()
    for _ in range(n_iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
    ### END SOLUTION


# %%
check.newton_schulz(newton_schulz)

# %% [markdown]
# On the gradient from above, with both choices of the coefficients:

# %%
CHOICES = {"classic": (1.5, -0.5, 0.0), "Jordan et al.": (3.4445, -4.7750, 2.0315)}
s, polynomials, orthogonalised = torch.linspace(0, 1, 1001), {}, {}
for choice, (a, b, c) in CHOICES.items():
    powers = s
    for _ in range(5):
        powers = a * powers + b * powers**3 + c * powers**5
    polynomials[choice] = powers
    orthogonalised[choice] = torch.linalg.svdvals(check.newton_schulz.function(gradient, 5, a, b, c))
made = orthogonalised["Jordan et al."]
in_band = ((made > 0.6) & (made < 1.3)).float().mean()
assert in_band > 0.8
print("Jordan et al.: at least 80 % of the directions end between 0.6 and 1.3: True")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.9))
axes[1].plot(singular / gradient.norm(), color=INK, linewidth=1, label="before")
for choice, colour in zip(CHOICES, (BLUE, ORANGE), strict=True):
    axes[0].plot(s, polynomials[choice], color=colour)
    axes[1].plot(orthogonalised[choice], color=colour, label=choice)
axes[0].set(xlabel="singular value", ylabel="after five iterations", title="the polynomial")
axes[1].set(xlabel="direction, by size", ylabel="singular value", title="a gradient")
axes[1].legend()
plt.show()

# %% [markdown]
# **What to see.** Left: the classic polynomial (blue) tends to 1 exactly, but multiplies small values by only 1.5 in
# each iteration. That of Jordan et al. (orange) multiplies them by 3.4, so that it rises steeply from 0, and pays by
# wavering around 1. Right: what they do to a gradient. Five iterations of the second are near enough to (7); the
# lengths need not be exact.
#
# The rest of Muon is soon told. The momentum is a running average as in (3), looked at one step ahead (*Nesterov's*
# momentum). There is no $v$, so it remembers half as much as AdamW. A step is scaled by
# $0.2\sqrt{\max(\text{rows}, \text{columns})}$, which makes its numbers about as large as those of AdamW, so that one
# learning rate serves both (Liu et al. 2025, [arXiv:2502.16982](https://arxiv.org/abs/2502.16982), section 2.2). And it
# is for the matrices inside the blocks only. An embedding is a table and not a map from vectors to vectors: it stays
# with AdamW, and so do vectors. Here is the first step, by hand and by the library:

# %%
matrix = nn.Parameter(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)))
matrix.grad = torch.randn(12, 8, generator=torch.Generator().manual_seed(1))
update = check.newton_schulz.function(matrix.grad, 5, *CHOICES["Jordan et al."])  # of the first momentum, too
by_hand = matrix.detach() * (1 - 0.02 * 0.1) - 0.02 * 0.2 * max(matrix.shape) ** 0.5 * update
Muon([matrix], OptimizerConfig(name="muon", lr=0.02, weight_decay=0.1)).step()
print("as by the library:", torch.allclose(by_hand, matrix, atol=1e-4))

# %% [markdown]
# Whether it is worth it, section 7 will show.
#
# ## 4 · The learning rate over time
#
# Three phases are usual. **Warm-up**: from (nearly) 0 to the peak in a straight line, while Adam's averages fill.
# **Peak**: as high as stays stable. **Decay**: the loss of a batch is a noisy estimate, and with a constant rate
# the weights keep jittering around a good position; a falling rate lets them settle. The most used shape is half a
# cosine (Loshchilov and Hutter 2016, [arXiv:1608.03983](https://arxiv.org/abs/1608.03983)); *WSD* (warm-up, stable,
# decay; Hu et al. 2024, [arXiv:2404.06395](https://arxiv.org/abs/2404.06395)) stays at the peak and falls at the end.
#
# ### Exercise 3 · Cosine with warm-up (2 points)
#
# Return the factor that the peak rate is multiplied by. Steps count from 0 to `n_steps - 1`.
#
# - In the `warmup_steps` first steps it rises in a straight line, and reaches 1 in the last of them. A first step at
#   rate 0 would be lost: the line begins one step earlier.
# - After that it follows half a cosine, from 1 in the last step of the warm-up down to `final_share` in the last step
#   of all. ($\cos$ goes from 1 to $-1$ while its argument goes from 0 to $\pi$.)


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
# The library's `learning_rate_factor` has all three shapes. Yours, and WSD written out, equal it:


# %%
def wsd_factor(step, n_steps, warmup_steps, n_decay, final_share):
    rise = min((step + 1) / warmup_steps, 1.0)
    fall = min((n_steps - 1 - step) / n_decay, 1.0)
    return min(rise, final_share + (1 - final_share) * fall)


wsd = ScheduleConfig(name="wsd", warmup_steps=10, decay_share=0.3, final_share=0.1)
shapes = {
    name: [learning_rate_factor(step, 100, wsd.replace(name=name)) for step in range(100)]
    for name in ("cosine", "wsd", "constant")
}
print("WSD:   ", np.allclose(shapes["wsd"], [wsd_factor(step, 100, 10, 30, 0.1) for step in range(100)]))
cosine = [check.cosine_factor.function(step, 100, 10, 0.1) for step in range(100)]
print("cosine:", np.allclose(shapes["cosine"], cosine))

# %%
figure, axis = plt.subplots(figsize=(6, 2.6))
for (name, factors), colour in zip(shapes.items(), (BLUE, ORANGE, GREEN), strict=True):
    axis.plot(factors, color=colour, label=name)
axis.set(xlabel="step", ylabel="share of the peak rate", ylim=(0, 1.05))
axis.legend(loc="lower center")
plt.show()

# %% [markdown]
# **What to see.** All three share the warm-up of 10 steps. The cosine begins to fall at once, WSD only for the last 30
# steps. A run with a constant rate can be continued, and so can one with WSD, from where its decay began; one with a
# cosine must know its length beforehand.
#
# ## 5 · Accumulating gradients
#
# Large batches give gradients with less noise, but all their activations must be held in memory until the backward
# pass. The way out: gradients add. The loss of a batch is a mean over its $N$ labels, and a mean is a sum over parts,
#
# $$\frac1N\sum_{n=1}^{N}\ell_n \;=\; \frac1N\Big(\sum_{n\,\in\,\text{part 1}}\ell_n + \sum_{n\,\in\,\text{part 2}}\ell_n
# + \dots\Big), \tag{9}$$
#
# so that each part can go forward and backward alone, while its gradient is added to those before. Mind the divisor. In
# pretraining all parts have equally many labels. With padding or a loss mask (notebook 14) they have not.
#
# ### Exercise 4 · Accumulate, with unequal numbers of labels (2 points)
#
# The model here is one matrix: the scores are `hidden @ weight.T`. `parts` is a list of `(hidden, labels)`, of shapes
# `(n, d)` and `(n,)`, where the label $-100$ does not count. Return the gradient of the mean loss over *all* labels
# that count, taking one part at a time. `weight` is a leaf tensor that requires gradients. PyTorch's
# `nn.functional.cross_entropy` has the arguments `ignore_index` and `reduction`.


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
# What many training scripts computed for years, `transformers` among them until October 2024 ([the
# fix](https://github.com/huggingface/transformers/pull/34191)), is the mean of the parts' means. Is it the same? Four
# parts with all their labels, and then with a first part of which few count:

# %%
weight = torch.randn(600, 48, generator=torch.Generator().manual_seed(0)).requires_grad_()
hidden = torch.randn(64, 48, generator=torch.Generator().manual_seed(1))
labels = batch.labels.flatten()[:64].clone()
for n_ignored in (0, 14):
    labels[:n_ignored] = -100
    parts = list(zip(hidden.split(16), labels.split(16), strict=True))
    means = torch.stack([nn.functional.cross_entropy(x @ weight.T, y) for x, y in parts]).mean()
    of_means = torch.autograd.grad(means, weight)[0]
    right = check.accumulated_gradient.function(weight, parts)
    print(
        f"{n_ignored:2} labels ignored: mean of means is right:", torch.allclose(of_means, right, atol=1e-6)
    )

# %% [markdown]
# The few labels of the short part weigh too much, and nothing looks broken.
#
# ## 6 · Clipping
#
# Now and then a batch has a gradient many times as long as usual. Pascanu, Mikolov and Bengio (2013,
# [arXiv:1211.5063](https://arxiv.org/abs/1211.5063)) keep its direction and shorten it. The length is that of *all*
# gradients taken as one vector, so that all are scaled alike and the direction is kept:
#
# $$g \leftarrow g\cdot\min\!\Big(1, \frac{c}{\lVert g\rVert}\Big), \qquad
# \lVert g\rVert = \sqrt{\textstyle\sum_{\text{all parameters}}\ \sum_i g_i^2} . \tag{10}$$
#
# PyTorch has it as `nn.utils.clip_grad_norm_`, which changes the gradients in place and returns the length that it
# found:

# %%
parameters = list(model.parameters())
gradients = [parameter.grad.clone() for parameter in parameters]
norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
returned = nn.utils.clip_grad_norm_(parameters, 0.1)
scaled = [gradient * (0.1 / norm).clamp(max=1) for gradient in gradients]
same = [torch.allclose(a, parameter.grad, atol=1e-6) for a, parameter in zip(scaled, parameters, strict=True)]
print("as in (10):", all(same), "| returns the length before:", torch.allclose(norm, returned))

# %% [markdown]
# With Adam one might think that the length does not matter, since it is divided out. But one huge gradient stays in $v$
# for about $1/(1-\beta_2)$ steps, 20 at $\beta_2 = 0.95$, and makes all steps short meanwhile. And its recorded length
# is the best early warning that there is: **record the norm before clipping in every run.**
#
# ## 7 · The step, and the loop
#
# ### Exercise 5 · A step of training (4 points)
#
# Put it together: one step, with everything that sections 4 to 6 ask for. `model.loss(ids, labels, reduction=…)` is the
# loss of the labels that count, as their `"mean"` or their `"sum"`. `optimizers` is a list, since Muon comes with AdamW
# for the other parameters; each optimizer has groups, `optimizer.param_groups`, and each group a learning rate,
# `group["lr"]`. The batch comes in `parts`, a list of `(ids, labels)`. `schedule(step)` is the learning rate of a step.
# Clip at the length `max_norm`. After the step nothing of it may be left for the next.
#
# Return two numbers (not tensors): the mean loss over all labels of the batch, before the step, and the length of the
# gradient before clipping.


# %%
def training_step(model, optimizers, parts, step, schedule, max_norm):
    """One step on a batch in parts: (loss, length of the gradient)."""
    ### BEGIN SOLUTION
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = schedule(step)
    n_labels = sum((labels != -100).sum() for _, labels in parts)
    loss = 0.0
    for ids, labels in parts:
        share = model.loss(ids, labels, reduction="sum") / n_labels
        share.backward()
        loss += share.item()
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss, norm.item()
    ### END SOLUTION


# %%
check.training_step(training_step)

# %% [markdown]
# Which sequences does a step read? All of them in random order, then all again in another order (an *epoch* each). The
# library's `rows_of_step` computes that from the seed and the step's number alone; so a run that was killed can resume
# where it was. And this is the whole loop, with your step and your schedule, if they passed:


# %%
def batches(n_steps, batch_size=16, seed=0):
    """Batches in the order in which the library reads them."""
    for step in range(n_steps):
        yield sequences[rows_of_step(step, batch_size, len(sequences), seed=seed)]


# %%
N_STEPS = 100


def train(model, stream, n_steps=100, lr=0.02, warmup_steps=12, n_parts=1, name="adamw", before_step=None):
    """Trains in place; the loss and the length of the gradient of each step."""
    factor, take_step = check.cosine_factor.function, check.training_step.function

    def schedule(step):
        return lr * factor(step, n_steps, warmup_steps, 0.1)

    optimizers = make_optimizers(model, OptimizerConfig(name=name, lr=lr))
    if before_step is not None:
        optimizers[0].register_step_pre_hook(before_step)
    recorded = []
    for step, batch in enumerate(stream):
        parts = list(zip(batch.input_ids.chunk(n_parts), batch.labels.chunk(n_parts), strict=True))
        recorded.append(take_step(model, optimizers, parts, step, schedule, 1.0))
    losses, norms = zip(*recorded, strict=True)
    return losses, norms


# %% [markdown]
# Is it right? The library's `pretrain` is given the same configuration, and must come to the same losses, step by step.
# Besides the loop it does what a real run needs: checkpoints, evaluations, metrics, recovery.

# %%
ours, _ = train(new_model(), batches(20), 20)
in_parts, _ = train(new_model(), batches(20), 20, n_parts=4)
theirs = pretrain(config, progress=False).series("loss")[1]
print("as pretrain:  ", np.allclose(ours, theirs, rtol=1e-3))
print("in four parts:", np.allclose(ours, in_parts, rtol=1e-3))

# %% [markdown]
# ### First of all: overfit one batch
#
# Before a long run, give the loop one batch, again and again. A model with 80,000 weights must learn 16 sequences by
# heart: the loss goes to about 0. If it does not, something is broken, and you have found out in seconds. It is a test
# of the machinery, not of learning: held-out text gets worse.


# %%
@torch.no_grad()
def loss_on(model, batch):
    return model.loss(batch.input_ids, batch.labels).item()


one_batch = next(batches(1))
model = new_model()
overfitted, _ = train(model, [one_batch] * 60, 60)
print("loss below 0.1:", overfitted[-1] < 0.1)
print("on held-out text worse than no training at all:", loss_on(model, held_out) > math.log(600))

# %% [markdown]
# ### A healthy run
#
# 100 steps, each on new sequences. The yardsticks: $\ln V$, where every model begins; the loss of a bigram model, which
# looks at one token only (notebook 05); and the grammar's entropy, which nothing can pass.

# %%
floor = load_grammar("en").entropy_per_document() * len(data.train) / len(data.train.tokens)
bigram = NGramModel(2, 600).fit(data.train.tokens).loss(data.validation.tokens)
model = new_model()
losses, norms = train(model, batches(N_STEPS))
healthy = {"losses": losses, "norms": norms, "held_out": loss_on(model, held_out)}
gap = abs(healthy["held_out"] - np.mean(losses[-10:]))
assert gap < 0.3
assert bigram < healthy["held_out"] < bigram + 0.6
print("held-out text and the last batches within 0.3 nats:", gap < 0.3)

# %%
figure, axis = plt.subplots(figsize=(8, 3))
axis.plot(losses, color=BLUE, label="each batch")
axis.plot(N_STEPS, healthy["held_out"], "o", color=PURPLE, label="held-out text, at the end")
for height, name in ((math.log(600), "ln V"), (bigram, "bigram"), (floor, "entropy of the grammar")):
    axis.axhline(height, color=INK, linestyle=":", linewidth=1)
    axis.text(106, height, name, va="center", fontsize=9)
axis.set(xlabel="step", ylabel="loss (nats per token)", xlim=(-5, 105), ylim=(0, 7))
axis.legend(loc="upper center", bbox_to_anchor=(0.5, 0.88))
plt.show()

# %% [markdown]
# **What to see.** The curve begins at $\ln V$, falls steeply while the model learns how frequent each token is, and
# then more slowly, as it learns what follows what. The held-out dot lies on the curve: with every sequence read at
# most once, there is nothing yet to know by heart. After 100 steps the model has come near to what counting pairs
# achieves, and the entropy is still far away.
#
# ### AdamW or Muon?
#
# Each gets the best of three learning rates, found with one seed; then it is compared with two more. Short runs of 45
# steps will do, with the library's model, which computes the same as yours a little faster.


# %%
def held_out_loss(name, rate, seed):
    torch.manual_seed(seed)
    model = MiniLLM(config.model)
    train(model, batches(45, seed=seed), 45, lr=rate, warmup_steps=8, name=name)
    return loss_on(model, held_out)


results = {}
for name, rates in (("adamw", (0.01, 0.02, 0.04)), ("muon", (0.02, 0.04, 0.08))):
    tried = {rate: held_out_loss(name, rate, 0) for rate in rates}
    best = min(tried, key=tried.get)
    results[name] = [tried[best], *(held_out_loss(name, best, seed) for seed in (1, 2))]
assert max(results["muon"]) < min(results["adamw"]) - 0.2
print("every run with Muon ends at least 0.2 nats below every run with AdamW: True")

# %% [markdown]
# Three seeds each, and a distance many times as large as the spread between them. That is why the runs of the notebooks
# from here on use Muon. Two cautions. It was measured at one size and for few steps. (At a much larger scale Liu et al.
# 2025 find that Muon needs about half of AdamW's computation for the same loss.) And a step takes more time, for the
# products of (8): the fewer tokens a step reads, the more they weigh.
#
# ## 8 · Mixed precision
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
library = MiniLLM(config.model)
with torch.autocast("cpu", torch.bfloat16):
    product, loss = library(batch.input_ids), library.loss(batch.input_ids, batch.labels)
print("weights:", library.norm.weight.dtype, "| scores:", product.dtype, "| loss:", loss.dtype)

# %% [markdown]
# **float16 has more precision and little range.** Below about $6\cdot10^{-8} = 2^{-24}$ there is only zero. Are
# gradients that small? By section 1, the gradient of a mean over $N$ labels with respect to a score is $(p_i -
# [i=y])/N$. A step of the 26 M model (notebook 13) reads 16 sequences of 512 tokens, 8,192 labels, and its vocabulary
# has 6,400 pieces. At the beginning the gradient with respect to a score is $1/(6400 \cdot 8192)$:

# %%
small = torch.tensor(1 / (6400 * 16 * 512))
restored = (small * 2**16).half().float().item() / 2**16
print(f"in float32:                                                     {small.item():.1e}")
print(f"in float16:                                                     {small.half().item():.1e}")
print(f"times 65,536 in float16, and divided again in float32:          {restored:.1e}")

# %% [markdown]
# Zero; and it gets worse while a model learns, for then most $p_i$ are far below $1/V$. The model that we have just
# trained reads 512 labels at a time. These are the gradients with respect to its scores:

# %%
scores = model(batch.input_ids).detach().requires_grad_()
nn.functional.cross_entropy(scores.flatten(0, 1), batch.labels.flatten()).backward()
sizes = scores.grad.abs().log2().flatten().numpy()
figure, axis = plt.subplots(figsize=(7, 2.8))
bins = np.arange(-50, 20, 0.5)
axis.hist(sizes, bins, color=BLUE, alpha=0.8, label="as they are")
axis.hist(sizes + 16, bins, color=ORANGE, alpha=0.6, label="times $2^{16}$")
for limit, label in ((-24, "smallest\nabove 0"), (16, "largest")):
    axis.axvline(limit, color=INK, linestyle=":")
    axis.annotate(label, (limit + 0.4, 0.98), xycoords=("data", "axes fraction"), va="top", fontsize=9)
axis.set(xlabel="$\\log_2$ of the gradient's size", ylabel="number of scores", xlim=(-48, 24))
axis.legend(loc="upper left")
plt.show()

# %%
lost, lost_when_scaled = np.mean(sizes < -25), np.mean(sizes + 16 < -25)
assert lost > 0.4
assert lost_when_scaled < 0.02
print("more than 40 % would be 0 in float16:            ", lost > 0.4)
print("of those times 65,536, less than a fiftieth:     ", lost_when_scaled < 0.02)

# %% [markdown]
# **What to see.** Left of the first dotted line float16 has nothing but zero, right of the second nothing but infinity.
# A large part of the blue gradients lies left of the first line and would be lost; that is, the model would no longer
# be told which tokens it may rule out. Multiplying the *loss* by $2^{16}$ multiplies all gradients by it (orange), and
# they fit between the lines.
#
# That is *loss scaling* (Micikevicius et al. 2018, [arXiv:1710.03740](https://arxiv.org/abs/1710.03740)): multiply the
# loss before the backward pass, divide the gradients before clipping and the update. The factor looks after itself. If
# it is too large, a gradient comes out infinite, or as NaN, which is infinity minus infinity: then the step is skipped,
# for all parameters, and the factor is halved. After `patience` good steps in a row it is doubled: perhaps more is
# possible meanwhile.
#
# ### Exercise 6 · The scale that looks after itself (2 points)
#
# `gradients` is a list of tensors in float16, of a loss that was multiplied by `scale`; before this step there were
# `good_steps` good steps in a row. Return three things: the gradients of the loss itself, as a list of float32 tensors,
# or None if the step must be skipped; the scale for the next step; and the number of good steps in a row, which begins
# again at 0 whenever the scale changes.


# %%
def unscaled_gradients(gradients, scale, good_steps, patience):
    """(gradients or None, scale, good_steps) after a step."""
    ### BEGIN SOLUTION
    if not all(torch.isfinite(gradient).all() for gradient in gradients):
        return None, scale / 2, 0
    unscaled = [gradient.float() / scale for gradient in gradients]
    if good_steps + 1 >= patience:
        return unscaled, scale * 2, 0
    return unscaled, scale, good_steps + 1
    ### END SOLUTION


# %%
check.unscaled_gradients(unscaled_gradients)

# %% [markdown]
# Watch it find a scale. The gradients of the scores above, from a scale that is far too small, with a patience of 4
# steps:

# %%
scale, good, scales = 2.0**5, 0, []
for _ in range(120):
    scaled_gradient = (scores.grad * scale).half()
    _, scale, good = check.unscaled_gradients.function([scaled_gradient], scale, good, 4)
    scales.append(math.log2(scale))
figure, axis = plt.subplots(figsize=(6.5, 2.4))
axis.step(range(120), scales, where="post", color=BLUE)
axis.set(xlabel="step", ylabel="$\\log_2$ of the scale")
plt.show()
limit = math.log2(65504 / scores.grad.abs().max().item())
assert limit - 2 < min(scales[100:]) <= max(scales[100:]) < limit + 2
print("in the end within a factor of four of the largest scale that fits: True")

# %% [markdown]
# **What to see.** A staircase up to the largest scale that fits; from there on it tries one step more, is thrown back,
# and tries again.
#
# bfloat16, with float32's range, needs none of this. The library's `minillm_lib/training/precision.py` takes
# bfloat16 where the device computes with it, as newer CPUs do too, float16 with a scaler on older GPUs, and float32
# elsewhere. Here our configuration asks for float32, so that the numbers are nearly the same on every machine.
#
# ## 9 · What broken runs look like
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
# predicted. We put a layer without a mask in the place of yours.


# %%
def without_mask(x, w_q, w_k, w_v, w_o, head_dim, rotation):
    """An attention layer like that of notebook 09, in which every position sees all others."""
    query, key, value = (
        (x @ weight.T).unflatten(-1, (-1, head_dim)).transpose(1, 2) for weight in (w_q, w_k, w_v)
    )
    query, key = rotate(query, *rotation), rotate(key, *rotation)
    seen = nn.functional.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    return seen.transpose(1, 2).flatten(2) @ w_o.T


def no_mask(model):
    for block in model.layers:
        block.self_attn.attention_layer = without_mask


# %% [markdown]
# The other four are in the loop: **learning rate × 100**, **learning rate / 100**, **no warm-up**, and **gradients not
# zeroed**. The last one is planted from outside, whatever your step looks like: what is left of a gradient when the
# optimizer has used it is added to the next one.


# %%
def not_zeroed(model):
    for parameter in model.parameters():
        parameter.left_over = 0.0
        parameter.register_hook(lambda gradient, parameter=parameter: gradient + parameter.left_over)


def keep_gradients(optimizer, *_):
    for parameter in optimizer.param_groups[0]["params"] + optimizer.param_groups[1]["params"]:
        parameter.left_over = parameter.grad.clone()


# %% [markdown]
# A bug in the model is there as well when the model is evaluated, and one in the preparation of the data usually
# concerns the held-out text too. So the held-out loss at the end is measured *with* the bug, as one would see it in
# real life.


# %%
def broken(change=iter, stream=None, spoil=None, **options):
    """What is recorded of a run with a bug."""
    model = new_model()
    if spoil is not None:
        spoil(model)
    losses, norms = train(model, change(stream or batches(N_STEPS)), **options)
    return {"losses": losses, "norms": norms, "held_out": loss_on(model, next(iter(change([held_out]))))}


# %%
runs = {
    "labels not shifted": broken(unshifted),
    "labels shifted twice": broken(shifted_twice),
    "the same batch always": broken(stream=[one_batch] * N_STEPS),
    "no causal mask": broken(spoil=no_mask),
    "learning rate × 100": broken(lr=2.0),
    "learning rate / 100": broken(lr=2e-4),
    "no warm-up": broken(warmup_steps=0),
    "gradients not zeroed": broken(spoil=not_zeroed, before_step=keep_gradients),
}

# %%
plot_broken_runs(runs, healthy, floor=floor, start=math.log(600))

# %% [markdown]
# **What to see.** In each panel above the loss, and below it the length of the gradient; blue is the healthy run. The
# dotted line is the entropy of the grammar, the dots are held-out losses at the end.
#
# - **Labels not shifted**: the loss falls to 0, *on held-out text as well*. No model can be better than the entropy.
#   And it already began below $\ln V$: input and output share one matrix, so even an untrained model gives the token
#   that it reads a higher score.
# - **Labels shifted twice**: a curve like any other, only higher. Nothing tells you, unless you know what to expect.
#   Print a sequence of inputs and labels, as in section 1, and read it.
# - **The same batch always**: the training loss goes to 0, the held-out loss climbs above $\ln V$. The distance between
#   the two is what tells; a run without held-out text would look like a triumph.
# - **No causal mask**: as the healthy run for the first twenty steps or so, until attention has found the future; then
#   far below it, on held-out text too. Such a model writes nonsense, for when it writes there is no future to look at.
# - **Learning rate × 100**: up first, and then a plateau: the model has fallen back to how frequent each token is.
# - **Learning rate / 100**: smooth, and far too slow: all 100 steps achieve what the healthy run does in its first
#   five or so.
# - **No warm-up**: quicker for some steps, then behind the healthy run. How much it costs depends on the model and the
#   rate.
# - **Gradients not zeroed**: each step is made of all gradients since the beginning. It learns, which is why
#   this bug lives long: the loss is merely bad. But the gradient is never short, since the old ones are always in it.

# %%
at_the_end = {name: run["held_out"] for name, run in runs.items()}
assert at_the_end["labels not shifted"] < floor < at_the_end["no causal mask"] < 0.5
assert at_the_end["the same batch always"] > math.log(600) > 10 * runs["the same batch always"]["losses"][-1]
worse = ("labels shifted twice", "no warm-up", "gradients not zeroed")
assert all(at_the_end[name] > healthy["held_out"] + 0.3 for name in worse)
assert np.mean(runs["no warm-up"]["losses"][:6]) < np.mean(healthy["losses"][:6]) - 0.1
assert max(runs["learning rate × 100"]["losses"]) > 8
assert runs["learning rate / 100"]["losses"][-1] > 5.5
assert min(runs["gradients not zeroed"]["norms"][5:]) > 1 > np.median(healthy["norms"])
print("all of that holds in these runs: True")

# %% [markdown]
# So too low is as alarming as too high, and half of these bugs are seen only beside a curve that is known to be right.
# Keep one. For the mask there is a test that needs no curve: `leaking_positions` of notebook 09.
#
# ### Exercise 7 · Which of the eight bugs is this? (3 points)
#
# Eight runs of another model: larger, on Chinese text, with more steps, recorded beforehand
# (`benchmarks/broken_runs.py`). Each has one of the eight bugs, in another order. Blue is the healthy run of that
# model.

# %%
recorded = json.loads(Path("../results/training/broken_runs.json").read_text())
letters = {name: run for name, run in recorded.items() if len(name) == 1}
known = recorded["floor"]
plot_broken_runs(letters, recorded["healthy"], floor=known["entropy"], start=known["ln_V"])

# %% [markdown]
# Return a dictionary with the name of the bug for each letter, such as `{"A": "no warm-up", …}`, in the words of the
# list above. If two curves look alike, print the numbers: `letters["A"]["losses"]`, `letters["A"]["norms"]`,
# `letters["A"]["held_out"]`.


# %%
def which_bug():
    """The bug of each run, by its letter."""
    ### BEGIN SOLUTION
    return {
        "A": "gradients not zeroed",  # always longer than 1
        "B": "no causal mask",  # finds the future after a while
        "C": "learning rate / 100",
        "D": "labels shifted twice",  # gradients like the healthy run's, a harder task
        "E": "the same batch always",
        "F": "no warm-up",  # quicker at first
        "G": "labels not shifted",  # begins below ln V
        "H": "learning rate × 100",
    }
    ### END SOLUTION


# %%
check.which_bug(which_bug)

# %%
folder.cleanup()

# %% [markdown]
# ## Summary
#
# - The loss is $-\log p$ of the next token, and $\ln V$ before the first step. The entropy of the source is its floor.
# - AdamW: the bias-corrected mean of the recent gradients, divided by their typical size; weight decay apart from it.
#   Before a norm, decay and learning rate together set the angle of a step, $\sqrt{2\eta\lambda}$.
# - Muon: the momentum of a matrix with all singular values brought to about 1, by products alone.
# - Warm up, because Adam's first steps are long and rest on little; decay, to settle.
# - Gradients of parts add up to that of the batch, if the divisor is the number of labels of *all* parts.
# - Clip by the norm of all gradients together, and record it.
# - bfloat16 lacks precision: keep the weights in float32. float16 lacks range: scale the loss.
# - First overfit one batch; then look at the first loss, at a sequence of inputs and labels, and at a healthy curve
#   beside.
#
# **In the library:** `minillm_lib/training/trainer.py` is this loop with checkpoints, several processes and recovery;
# `minillm_lib/training/fitting.py` the loop for the small experiments of later notebooks;
# `minillm_lib/training/optimizer.py` has AdamW, Muon and the three schedules. The checks of
# `minillm_lib/analysis/health/` look at a run for the bugs of section 9 and others.
#
# **Next:** [13 · Pretraining](13_pretraining.ipynb), a real run.
#
# **To read on.** Karpathy 2019, [A Recipe for Training Neural Networks](https://karpathy.github.io/2019/04/25/recipe/),
# on distrust as a method; Wortsman et al. 2023, "Small-scale proxies for large-scale Transformer training
# instabilities", [arXiv:2309.14322](https://arxiv.org/abs/2309.14322), on what too high a learning rate does, and how
# it is seen beforehand; Jordan et al. 2024 for Muon.
