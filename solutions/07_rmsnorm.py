# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 07 · RMSNorm: keeping numbers in range
#
# **What you build.** The normalisation layer of Llama, Qwen and our own model, in three lines; its gradient, by hand;
# and a way to turn a network with LayerNorm into one with RMSNorm that computes the same.
#
# **What you need.** Notebook 06: tensors, `nn.Module`, gradients by autograd, SGD. The chain rule.
#
# **How long.** About 40 minutes to work through. All cells together run in under 20 seconds on two CPU cores.
#
# > **中文提要** 深层网络中，每一层都会放大或缩小数值，倍数逐层相乘，按指数增长或衰减。LayerNorm 减去均值再除以标准差；RMSNorm 只除以均方根，
# > 少一步运算，效果相当，因此成为 Llama 等模型的标准。本节从零写出 RMSNorm，手工推导它的梯度（梯度与输入正交，大小与输入的
# > 尺度成反比），用实验观察输入尺度如何决定可用的学习率，最后证明：只要让前一层的输出均值为零，LayerNorm 就等于 RMSNorm。

# %%
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch
from torch import nn

from minillm_lib import check
from minillm_lib.model import RMSNorm
from minillm_lib.viz import BLUE, GREEN, ORANGE, PALE, use_style

use_style()
torch.set_num_threads(1)  # for matrices as small as these, sharing the work out costs more than it saves

# %% [markdown]
# ## 1 · Why numbers need looking after
#
# The network of notebook 06 had two layers. A Transformer has dozens: what becomes of the size of a vector on its way
# through them?
#
# A layer multiplies a vector $x$ of $d$ numbers by a matrix. Each output is a sum of $d$ products,
#
# $$y_i = \sum_{j=1}^{d} w_{ij}\, x_j .$$
#
# Draw the weights independently with mean $0$ and variance $\sigma^2$. Products of different weights average to zero, so
# only the squares are left when we ask for the average of $y_i^2$:
#
# $$\mathbb{E}\, y_i^2 = \sum_j \mathbb{E}\, w_{ij}^2\; x_j^2 = \sigma^2 \sum_j x_j^2 = d\,\sigma^2 \cdot
# \frac{1}{d}\sum_j x_j^2 .$$
#
# The last factor is the *mean square* of $x$; its root is the **root mean square**,
# $\operatorname{rms}(x) = \sqrt{\tfrac{1}{d}\sum_j x_j^2}$, the typical size of a coordinate. So a layer multiplies the
# typical size by $g = \sqrt{d}\,\sigma$, and $L$ layers multiply it by $g^L$. Unless $g$ is very close to 1, that is
# either a huge number or next to nothing.


# %%
def rms(x):
    """The typical size of a coordinate, along the last dimension."""
    return x.square().mean(dim=-1, keepdim=True).sqrt()


def sizes_by_depth(gain, normalise, depth=40, size=256):
    """The root mean square after each of many random layers."""
    x, sizes = torch.randn(1, size), []
    for _ in range(depth):
        x = x @ (torch.randn(size, size) * gain / size**0.5)
        x = x / rms(x) if normalise else x
        sizes.append(rms(x).item())
    return sizes


# %% [markdown]
# Three gains, 40 layers. On the right we divide by the root mean square after each layer. That is all there is to
# RMSNorm; the rest of this notebook is about why so little is enough.

# %%
torch.manual_seed(0)
figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
for axis, normalise, title in zip(axes, (False, True), ("as they come", "divided by their rms"), strict=True):
    for gain, colour in ((1.3, ORANGE), (1.0, BLUE), (0.8, GREEN)):
        axis.plot(sizes_by_depth(gain, normalise), color=colour, label=f"gain {gain}")
    axis.set(yscale="log", xlabel="layer", title=title)
axes[0].set_ylabel("root mean square")
axes[0].legend()
plt.show()

# %% [markdown]
# **What to see.** On the left the logarithmic axis shows straight lines: growth and decay are exponential. In 40 layers a
# gain of 1.3 comes to $1.3^{40} \approx 36{,}000$, a gain of 0.8 to about $1/7{,}500$. On the right all three lines lie on
# one another at 1.
#
# The same holds backwards: gradients pass through the same matrices, and shrink or grow with them. A network in which
# they vanish does not learn; one in which they explode diverges.

# %% [markdown]
# ## 2 · LayerNorm: subtract the mean, divide by the spread
#
# Ba, Kiros and Hinton (2016, [arXiv:1607.06450](https://arxiv.org/abs/1607.06450)) proposed to normalise each vector on
# its own, with no look at the other examples of the batch:
#
# $$\operatorname{LayerNorm}(x) = w \odot \frac{x - \mu}{\sqrt{\tfrac{1}{d}\sum_j (x_j-\mu)^2 + \varepsilon}} + b,
# \qquad \mu = \tfrac{1}{d}\textstyle\sum_j x_j . \tag{1}$$
#
# $\odot$ multiplies coordinate by coordinate. The learned $w$ and $b$ let each coordinate have a size and an offset of
# its own after all; $\varepsilon$ keeps a vector of zeros from being divided by zero.


# %%
def layer_norm(x, weight, bias, eps):
    centred = x - x.mean(dim=-1, keepdim=True)
    return weight * centred / (centred.square().mean(dim=-1, keepdim=True) + eps).sqrt() + bias


torch.manual_seed(1)
x, weight, bias = 3 * torch.randn(5, 8) + 2, torch.randn(8), torch.randn(8)
expected = nn.functional.layer_norm(x, (8,), weight, bias, eps=1e-5)
torch.allclose(layer_norm(x, weight, bias, 1e-5), expected, atol=1e-5)

# %% [markdown]
# Equal to PyTorch's. Note that LayerNorm does two things: it *centres* (takes the mean away) and it *rescales*. Zhang
# and Sennrich (2019, [arXiv:1910.07467](https://arxiv.org/abs/1910.07467)) asked which of the two helps. Their finding:
# the rescaling. Without the centring networks train as well, and the layer is cheaper.

# %% [markdown]
# ## 3 · RMSNorm
#
# Leave out the mean and the offset, and (1) becomes
#
# $$\operatorname{RMSNorm}(x) = w \odot \frac{x}{\sqrt{\tfrac{1}{d}\sum_j x_j^2 + \varepsilon}} . \tag{2}$$
#
# ### Exercise 1 · Write it (1 point)
#
# `x` has the shape `(…, d)`: any number of leading dimensions, and each vector along the last one is normalised on its
# own. The check calls your function with random inputs, and with an `eps` large enough to matter.


# %%
def rms_norm(x, weight, eps):
    """Equation (2): x is (…, d), weight is (d,); the result is (…, d)."""
    ### BEGIN SOLUTION
    mean_square = x.square().mean(dim=-1, keepdim=True)  # (…, 1)
    return weight * x / (mean_square + eps).sqrt()
    ### END SOLUTION


# %%
check.rms_norm(rms_norm)

# %% [markdown]
# The library's `RMSNorm` is a module that holds `weight`; this is the piece that the model of notebook 11 is made of.
# Compare it with equation (2), written out once more:

# %%
norm = RMSNorm(8, eps=1e-5)
norm.weight.data = weight
by_hand = weight * x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
torch.allclose(norm(x), by_hand, atol=1e-6)

# %% [markdown]
# One line of the library's version is not in equation (2): it computes in float32, whatever comes in. Here is why.
# float16 ends at 65,504, and a coordinate of 300 is nothing unusual in a large model, but its square is 90,000:

# %%
large = torch.full((1, 4), 300.0, dtype=torch.float16)
print("squares in float16: ", large.square().tolist()[0])
print("normalised from them:", (large / rms(large)).tolist()[0])
print("the library:         ", RMSNorm(4).half()(large).tolist()[0])

# %% [markdown]
# The squares are infinite, the division makes zeros, and the vector is lost; no error is raised. Computed in float32,
# the result is the right one.
#
# ### What the two norms keep
#
# In two dimensions we can look at it. 300 random points go through both norms, with $w = 1$ and $b = 0$.

# %%
torch.manual_seed(2)
points = torch.randn(300, 2) * torch.tensor([1.6, 0.8]) + torch.tensor([0.6, 0.4])
angle = torch.atan2(points[:, 1], points[:, 0])
panels = {
    "x": points,
    "RMSNorm(x)": RMSNorm(2, eps=1e-12)(points).detach(),
    "LayerNorm(x)": nn.LayerNorm(2, eps=1e-12)(points).detach(),
}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharex=True, sharey=True)
for axis, (title, shown) in zip(axes, panels.items(), strict=True):
    axis.scatter(shown[:, 0], shown[:, 1], c=angle, cmap="twilight", s=12)
    axis.axline((0, 0), slope=1, color=PALE, linewidth=1)
    axis.set(title=title, xlabel="first coordinate", aspect="equal", xlim=(-5, 5), ylim=(-5, 5))
axes[0].set_ylabel("second coordinate")
plt.show()

# %% [markdown]
# **What to see.** The colour is the direction of the point on the left. RMSNorm moves every point along its ray onto the
# circle of radius $\sqrt 2$ ($\sqrt d$ in general): the length is forgotten, the direction is kept. LayerNorm first
# drops everything along the grey diagonal, the direction $(1, 1)$. In two dimensions that leaves two points. In 512
# dimensions it costs one direction of 512, which is why nobody misses it; but it is not nothing, and it is not needed.

# %% [markdown]
# ## 4 · The gradient
#
# Training needs derivatives. Write $r = \sqrt{\tfrac1d\sum_j x_j^2 + \varepsilon}$ and $\hat x = x / r$, so that
# $y = w \odot \hat x$. Let $g = \partial \mathcal L/\partial y$ be what comes from above. We want
# $\partial\mathcal L/\partial x$.
#
# **Step 1: how the root mean square moves.** With $r^2 = \tfrac1d\sum_j x_j^2 + \varepsilon$, differentiating both
# sides by $x_k$ gives $2 r\,\partial r/\partial x_k = \tfrac{2}{d} x_k$, so
# $\;\partial r/\partial x_k = \dfrac{x_k}{d\, r} = \dfrac{\hat x_k}{d}$.
#
# **Step 2: how the normalised vector moves.** By the quotient rule, with $\delta_{ik} = 1$ for $i = k$ and else $0$,
#
# $$\frac{\partial \hat x_i}{\partial x_k} = \frac{\delta_{ik}}{r} - \frac{x_i}{r^2}\,\frac{\hat x_k}{d}
# = \frac1r\Big(\delta_{ik} - \frac{\hat x_i \hat x_k}{d}\Big).$$
#
# **Step 3: the chain rule.** The loss depends on $\hat x_i$ through $y_i = w_i \hat x_i$, so its derivative by
# $\hat x_i$ is $h_i = g_i w_i$. Summing over $i$:
#
# $$\frac{\partial\mathcal L}{\partial x_k} = \sum_i h_i\,\frac{\partial \hat x_i}{\partial x_k}
# = \frac1r\Big(h_k - \hat x_k \cdot \tfrac1d\textstyle\sum_i h_i \hat x_i\Big). \tag{3}$$
#
# In words: take $h = g \odot w$, remove from it its component along $\hat x$, and divide by $r$.


# %%
def rms_norm_backward(grad, x, weight, eps):
    """Equation (3): the gradient by x, given the gradient by the output."""
    r = (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()
    normalised, h = x / r, grad * weight
    return (h - normalised * (h * normalised).mean(dim=-1, keepdim=True)) / r


# %%
torch.manual_seed(3)
x = (3 * torch.randn(5, 8) + 2).requires_grad_()
grad = torch.randn(5, 8)
norm(x).backward(grad)
by_hand = rms_norm_backward(grad, x.detach(), weight, 1e-5)
torch.allclose(x.grad, by_hand, atol=1e-6)

# %% [markdown]
# PyTorch's automatic gradient of the library's layer equals equation (3). Two things can be read off it.
#
# **The gradient is orthogonal to $x$** (exactly so for $\varepsilon = 0$). Multiply (3) by $x_k = r\,\hat x_k$ and sum:
# $\sum_k h_k\hat x_k - \sum_k \hat x_k^2\cdot\tfrac1d\sum_i h_i\hat x_i = 0$, because $\sum_k\hat x_k^2 = d$. It must be
# so: a step along $x$ changes only its length, and RMSNorm does not see the length.
#
# **The gradient is inversely proportional to the size of $x$**, through $1/r$. Layers with large activations receive
# small gradients, and the other way round.

# %%
lengths = []
for scale in (0.01, 0.1, 1.0, 10.0, 100.0):
    x = (scale * torch.tensor([[0.5, -1.0, 2.0, 0.3]])).requires_grad_()
    RMSNorm(4, eps=0.0)(x).backward(torch.tensor([[1.0, 2.0, -1.0, 0.5]]))
    cosine = torch.cosine_similarity(x, x.grad).item()
    lengths.append(x.grad.norm().item())
    print(f"rms {rms(x).item():8.3f}   gradient {lengths[-1]:9.4f}   cosine with x {abs(cosine):.3f}")

# %% [markdown]
# ### Exercise 2 · The gradient of the weight (2 points)
#
# Derive $\partial\mathcal L/\partial w$ in the same way. Start from $y_i = w_i\hat x_i$ for one vector. Then mind that
# the *same* weight is used for every vector of the batch: `grad` and `x` have the shape `(batch, seq, d)`, the result
# has the shape `(d,)`.


# %%
def rms_norm_weight_gradient(grad, x, eps):
    """The gradient by the weight, (d,), given the gradient by the output, (batch, seq, d)."""
    ### BEGIN SOLUTION
    normalised = x / (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()
    return (grad * normalised).sum(dim=(0, 1))
    ### END SOLUTION


# %%
check.rms_norm_weight_gradient(rms_norm_weight_gradient)

# %% [markdown]
# ## 5 · What scale does to training
#
# Now a network that learns: six residual blocks, $x \leftarrow x + \mathrm{MLP}(\mathrm{norm}(x))$, the shape that a
# transformer has. The norm stands in front of the MLP ("pre-norm"), and once more before the last layer.


# %%
class Block(nn.Module):
    """A residual block: the norm, an MLP, and the way around both."""

    def __init__(self, norm, size):
        super().__init__()
        layers = nn.Linear(size, 2 * size, bias=False), nn.ReLU(), nn.Linear(2 * size, size, bias=False)
        self.change = nn.Sequential(norm(size), *layers)

    def forward(self, x):
        return x + self.change(x)


def network(norm, size=32, depth=6):
    return nn.Sequential(*[Block(norm, size) for _ in range(depth)], norm(size), nn.Linear(size, 1))


# %% [markdown]
# It fits 128 points by plain gradient descent with momentum. We vary two things that should not matter much: the units
# in which the inputs are measured (times 0.1, 1 or 10), and the learning rate. A loss that is not a finite number
# means that training has diverged.


# %%
def final_loss(norm, scale, learning_rate, steps=60):
    torch.manual_seed(0)
    x = torch.randn(128, 32)
    y = torch.tanh(2 * x @ (torch.randn(32, 8) / 32**0.5)).sum(dim=1, keepdim=True)
    model = network(norm)
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    for _ in range(steps):
        loss = nn.functional.mse_loss(model(scale * x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


# %%
norms = {"no norm": lambda size: nn.Identity(), "LayerNorm": nn.LayerNorm, "RMSNorm": RMSNorm}
rows = [
    {"norm": name, "input scale": scale, "learning rate": rate, "loss": final_loss(norm, scale, rate)}
    for name, norm in norms.items()
    for scale in (0.1, 1.0, 10.0)
    for rate in (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
]
runs = pd.DataFrame(rows)
runs["diverged"] = ~(runs["loss"] < 100)
print(runs.groupby("norm", sort=False)["diverged"].sum())

# %%
shown = runs.assign(loss=runs["loss"].where(~runs["diverged"]))
figure, axes = plt.subplots(1, 3, figsize=(9, 3), sharey=True)
colours = {"no norm": ORANGE, "LayerNorm": BLUE, "RMSNorm": GREEN}
for axis, (scale, panel) in zip(axes, shown.groupby("input scale"), strict=True):
    sns.lineplot(panel, x="learning rate", y="loss", hue="norm", style="norm", markers=True, dashes=False,
                 palette=colours, ax=axis, legend=scale == 10.0)  # fmt: skip
    lost = panel.loc[panel["diverged"], "learning rate"]
    axis.plot(lost, [20.0] * len(lost), "x", color=ORANGE, markersize=8)
    axis.set(xscale="log", yscale="log", title=f"inputs times {scale:g}", ylabel="loss after 60 steps")
plt.show()

# %% [markdown]
# **What to see.** A cross marks a run that diverged. Without a norm (orange) the usable learning rates depend on the
# units of the input: what is right for inputs of size 0.1 blows up at size 10. With either norm, no run diverged, and
# the two curves lie close to each other: taking the mean away has bought nothing. In the middle, where the inputs have
# the right size as they come, a norm gains nothing but safety: that is what it is for.
#
# One thing a norm does *not* undo: at scale 10 (right) learning is slower than at scale 1. The way around the blocks
# carries the large input, so the blocks' own contributions, of size about 1, are small beside it, and by section 4 the
# gradient that passes the last norm is divided by that size.

# %% [markdown]
# ## 6 · From LayerNorm to RMSNorm, exactly
#
# A network trained with LayerNorm can be turned into one with RMSNorm that computes the same function (Ashkboos et al.
# 2024, "SliceGPT", [arXiv:2401.15024](https://arxiv.org/abs/2401.15024), section 3). Compare (1) with (2): if the mean
# of $x$ is already zero, then $\mu = 0$, and the two differ by the offset $b$ only. So if the linear layer *before* the
# norm can be made to give outputs of mean zero, LayerNorm's centring has nothing left to do.
#
# ### Exercise 3 · A linear layer with centred outputs (3 points)
#
# A linear layer gives $y = Ax + c$, where `weight` $A$ has the shape `(d_out, d_in)` and `bias` $c$ the shape
# `(d_out,)`. Find a layer $A', c'$ whose output is $y - \operatorname{mean}(y)$ for *every* $x$. Write the mean of $y$
# as a sum over $i$, sort the terms by what multiplies each $x_j$, and read off what to subtract from $A$ and from $c$.


# %%
def centre_outputs(weight, bias):
    """Return (weight, bias) of the layer whose outputs are those of the given one, less their mean."""
    ### BEGIN SOLUTION
    # mean(y) = sum_j (mean_i A_ij) x_j + mean_i c_i: the mean of each column of A, and the mean of c
    return weight - weight.mean(dim=0), bias - bias.mean()
    ### END SOLUTION


# %%
check.centre_outputs(centre_outputs)

# %% [markdown]
# With the outputs centred as a separate step, the claim can be tested without giving the exercise away: LayerNorm of a
# layer's outputs is RMSNorm of the centred ones.

# %%
torch.manual_seed(4)
layer = nn.Linear(4, 16)
y = layer(torch.randn(10, 4))
centred = y - y.mean(dim=-1, keepdim=True)
torch.allclose(nn.LayerNorm(16)(y), RMSNorm(16)(centred), atol=1e-6)

# %% [markdown]
# ## Summary
#
# - A random layer multiplies the typical size of its inputs by a factor; depth makes that factor exponential.
# - LayerNorm centres and rescales. RMSNorm only rescales: $y = w \odot x / \operatorname{rms}(x)$. It keeps the
#   direction, forgets the length, and takes its statistics in float32.
# - Its gradient has no component along $x$, and is divided by $\operatorname{rms}(x)$.
# - With a norm the learning rate need not follow the units of the input. The centring contributes nothing to that.
# - Where the mean is zero already, LayerNorm without its offset *is* RMSNorm.
#
# **In the library:** `minillm_lib/model/rms_norm.py`, 27 lines.
# **Next:** [08 · RoPE](08_rope.ipynb), how a transformer knows where a token stands.
#
# **To read on.** Zhang and Sennrich 2019 for the layer; Xiong et al. 2020, "On Layer Normalization in the Transformer
# Architecture", [arXiv:2002.04745](https://arxiv.org/abs/2002.04745), for why the norm stands before the block and not
# after it; Zhang, Dauphin and Ma 2019, "Fixup Initialization", [arXiv:1901.09321](https://arxiv.org/abs/1901.09321), for
# how far one gets with no norm at all.
