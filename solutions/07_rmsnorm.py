# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 07 · RMSNorm: keeping numbers in range
#
# **What you build.** The normalisation layer of Llama, Qwen and our own model, in three lines; its gradient, derived by
# hand and tested by finite differences; and a conversion that turns a network with LayerNorm into one with RMSNorm that
# computes the same.
#
# **What you need.** Notebook 06: tensors, `nn.Module`, gradients by autograd, SGD. The chain rule.
#
# **How long.** About 75 minutes to work through, with five exercises. All cells together run in under 20 seconds on two
# CPU cores.
#
# > **中文提要** 深层网络中，每一层都会放大或缩小数值，倍数逐层相乘，按指数增长或衰减。LayerNorm 减去均值再除以标准差；RMSNorm 只除以均方根，每个向量少求一次和，效果相当，因此成为 Llama 等模型的标准。本节从零写出 RMSNorm，手工推导它的梯度（梯度与输入正交，大小与输入的尺度成反比），并用有限差分验证；用三个随机种子的实验观察：没有归一化时，可用的学习率随输入的尺度与网络的深度而变，有归一化时同一个学习率到处可用。最后验证：只要让前一层的输出均值为零，LayerNorm（不计偏置）就等于 RMSNorm，并据此转换整个网络。

# %%
import matplotlib.pyplot as plt
import torch
from matplotlib.colors import LinearSegmentedColormap
from torch import nn

from minillm_lib import check, course
from minillm_lib.model import RMSNorm
from minillm_lib.viz import BLUE, GREEN, ORANGE, PALE, PURPLE

course.setup()

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
# The last factor is the *mean square* of $x$. Its root is the **root mean square**,
# $\operatorname{rms}(x) = \sqrt{\tfrac{1}{d}\sum_j x_j^2} = |x| / \sqrt d$, the typical size of a coordinate. So a layer
# multiplies the typical size by $\sqrt{d}\,\sigma$, its **gain**, and $L$ layers multiply it by the $L$-th power of that.
# Unless the gain is very close to 1, that is either a huge number or next to nothing.


# %%
def sizes_by_depth(gain, normalise, depth=40, size=256):
    """The root mean square of a vector after each of many random layers."""
    x, sizes = torch.randn(size), []
    for _ in range(depth):
        x = torch.randn(size, size) @ x * gain / size**0.5
        if normalise:
            x = x / (x.norm() / size**0.5)
        sizes.append(x.norm().item() / size**0.5)
    return sizes


# %% [markdown]
# Three gains, 40 layers. On the right we divide by the root mean square after each layer. That is nearly all there is to
# RMSNorm; the rest of this notebook is about why so little is enough.

# %%
torch.manual_seed(0)
figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
for axis, normalise, title in zip(axes, (False, True), ("as they come", "divided by their rms"), strict=True):
    for gain, colour in ((1.3, ORANGE), (1.0, BLUE), (0.8, GREEN)):
        sizes = sizes_by_depth(gain, normalise)
        assert max(sizes) < 1.01 if normalise else gain == 1 or not 1e-2 < sizes[-1] < 1e2
        axis.plot(sizes, color=colour, label=f"gain {gain}")
    axis.set(yscale="log", xlabel="layer", title=title)
axes[0].set_ylabel("root mean square")
axes[0].legend()
plt.show()

# %% [markdown]
# **What to see.** On the left the logarithmic axis shows lines that are nearly straight: growth and decay are exponential.
# In 40 layers a gain of 1.3 comes to $1.3^{40} \approx 36{,}000$, a gain of 0.8 to about $1/7{,}500$. On the right all three
# lines lie on one another at 1.
#
# The same holds backwards: gradients pass through the same matrices, and shrink or grow with them. A network in which
# they vanish does not learn; one in which they explode diverges.

# %% [markdown]
# ## 2 · LayerNorm: subtract the mean, divide by the spread
#
# Ba, Kiros and Hinton (2016, [arXiv:1607.06450](https://arxiv.org/abs/1607.06450)) proposed to normalise each vector on
# its own, without a look at the other examples of the batch:
#
# $$\operatorname{LayerNorm}(x) = w \odot \frac{x - \mu}{\sqrt{\tfrac{1}{d}\sum_j (x_j-\mu)^2 + \varepsilon}} + b,
# \qquad \mu = \tfrac{1}{d}\textstyle\sum_j x_j . \tag{1}$$
#
# $\odot$ multiplies coordinate by coordinate. The learned $w$ and $b$ let each coordinate have a size and an offset of
# its own after all; $\varepsilon$ keeps a vector of zeros from being divided by zero. LayerNorm does two things: it
# *centres* (takes the mean away) and it *rescales*. So neither a constant that is added to all coordinates nor a positive
# factor gets through:

# %%
torch.manual_seed(1)
x = 3 * torch.randn(5, 8) + 2
y = nn.functional.layer_norm(x, (8,))  # w = 1, b = 0
print("mean 0:", torch.allclose(y.mean(dim=-1), torch.zeros(5), atol=1e-5))
print("root mean square 1:", torch.allclose(y.norm(dim=-1) / 8**0.5, torch.ones(5), atol=1e-4))
print("100 added, the same:", torch.allclose(nn.functional.layer_norm(x + 100, (8,)), y, atol=1e-3))
print("times 100, the same:", torch.allclose(nn.functional.layer_norm(100 * x, (8,)), y, atol=1e-3))

# %% [markdown]
# Zhang and Sennrich (2019, [arXiv:1910.07467](https://arxiv.org/abs/1910.07467)) asked which of the two helps. Their
# finding: the rescaling. Without the centring networks train as well, and the layer is cheaper. How much cheaper? Count
# the operations for one vector of $d$ numbers. LayerNorm adds the numbers up for the mean ($d$ operations), subtracts it
# ($d$), squares ($d$), adds the squares up ($d$), divides by the root ($d$), multiplies by $w$ ($d$) and adds $b$ ($d$):
# $7d$. Without mean and offset $4d$ are left: square, add up, divide, multiply. RMSNorm also has half the parameters.
#
# That says little about time, for either is next to nothing beside the layers around it: a matrix from $d$ to $4d$ numbers
# takes $8d^2$ operations for the same vector. The time of a norm goes into reading and writing the vector, and into
# waiting: the squares of $x - \mu$ cannot be begun before the first sum has gone through the whole vector. RMSNorm has
# *one* such sum instead of two. Zhang and Sennrich measured 7 % to 64 % less running time,
# depending on the model. Where a fused kernel reads the vector once and does everything on the way, less of that is left;
# what remains in any case is that RMSNorm is simpler.

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
# From here on the notebook computes with *your* function if it has passed, and otherwise with the library's:
# `check.rms_norm.function`. The library's own layer, `RMSNorm`, is a module that holds `weight`; our 26 M model has
# seventeen of them, two in each of its eight blocks and one at the end. The two agree:

# %%
normalised = check.rms_norm.function
weight, norm = torch.randn(8), RMSNorm(8, eps=1e-5)
norm.load_state_dict({"weight": weight})
torch.allclose(norm(x), normalised(x, weight, 1e-5), atol=1e-6)

# %% [markdown]
# One line of the library's version is not in equation (2): it computes in float32, whatever comes in. Here is why.
# float16 ends at 65,504, and a coordinate of 300 is nothing unusual in a large model, but its square is 90,000:

# %%
large = torch.full((1, 4), 300.0, dtype=torch.float16)
print("squares in float16:  ", large.square().tolist()[0])
print("divided by their rms:", (large / large.square().mean().sqrt()).tolist()[0])
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
panels = {
    "x": points,
    "RMSNorm(x)": RMSNorm(2, eps=1e-12)(points).detach(),
    "LayerNorm(x)": nn.LayerNorm(2, eps=1e-12)(points).detach(),
}
around = LinearSegmentedColormap.from_list("around", (BLUE, GREEN, ORANGE, PURPLE, BLUE))
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharex=True, sharey=True)
for axis, (title, shown) in zip(axes, panels.items(), strict=True):
    axis.scatter(shown[:, 0], shown[:, 1], c=torch.atan2(*points.T.flip(0)), cmap=around, s=12)
    axis.axline((0, 0), slope=1, color=PALE, linewidth=1)
    axis.set(title=title, xlabel="first coordinate", aspect="equal", xlim=(-5, 5), ylim=(-5, 5))
axes[0].set_ylabel("second coordinate")
plt.show()

# %% [markdown]
# **What to see.** The colour is the direction of the point on the left. RMSNorm moves every point along its ray onto the
# circle of radius $\sqrt 2$ ($\sqrt d$ in general): the length is forgotten, the direction is kept. LayerNorm first
# drops everything along the grey diagonal, the direction $(1, 1)$. In two dimensions that leaves two points. In 512
# dimensions it costs one direction of 512, which is why nobody misses it; but it is not nothing, and section 5 shows that
# it is not needed.

# %% [markdown]
# ## 4 · The gradient
#
# Training needs derivatives. Let $g = \partial \mathcal L/\partial y$ be what comes back to the layer's output $y$ by
# backpropagation, a number for each coordinate. We want $\partial\mathcal L/\partial x$. PyTorch could give it, but
# there is something to be learned from it. So derive it, and let a test say whether you are right. The test comes first.
#
# **Central differences.** For a function $f$ of many numbers, the derivative with respect to $x_k$ is about
#
# $$\frac{\partial f}{\partial x_k} \approx \frac{f(x + \epsilon\, e_k) - f(x - \epsilon\, e_k)}{2\,\epsilon}, \tag{3}$$
#
# where $e_k$ is 1 at coordinate $k$ and 0 at all others. The terms of second order cancel, and the error falls with
# $\epsilon^2$. (The step $\epsilon$ is another number than the $\varepsilon$ of the norm.)
#
# ### Exercise 2 · A numerical gradient (2 points)
#
# `f` takes a tensor of the shape of `x` and gives a tensor of shape `()`. Return all derivatives by (3). `x` may have any
# number of dimensions, and must not be changed.


# %%
def numerical_gradient(f, x, epsilon):
    """The derivatives of f by each number of x, by central differences: the shape of x."""
    ### BEGIN SOLUTION
    gradient = torch.zeros_like(x)
    for i in range(x.numel()):
        step = torch.zeros_like(x)
        step.view(-1)[i] = epsilon
        gradient.view(-1)[i] = (f(x + step) - f(x - step)) / (2 * epsilon)
    return gradient
    ### END SOLUTION


# %%
check.numerical_gradient(numerical_gradient)

# %% [markdown]
# ### Exercise 3 · The gradient with respect to the input (3 points)
#
# Derive it on paper, for one vector. Write $r = \sqrt{\tfrac1d\sum_j x_j^2 + \varepsilon}$ and $\hat x = x / r$, so that
# $y = w \odot \hat x$. Mind that $x_k$ gets into *every* coordinate of $\hat x$, as $r$ depends on it. Then write the
# function. `grad` and `x` have the shape `(…, d)`, and each vector along the last dimension has a gradient of its own.


# %%
def rms_norm_input_gradient(grad, x, weight, eps):
    """The gradient with respect to x, given the one with respect to the output: both are (…, d)."""
    ### BEGIN SOLUTION
    r = (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()
    normalised, h = x / r, grad * weight
    return (h - normalised * (h * normalised).mean(dim=-1, keepdim=True)) / r
    ### END SOLUTION


# %%
check.rms_norm_input_gradient(rms_norm_input_gradient)

# %% [markdown]
# <details><summary><b>The derivation</b> (open it after you have tried)</summary>
#
# **Step 1: how the root mean square moves.** With $r^2 = \tfrac1d\sum_j x_j^2 + \varepsilon$, differentiating both
# sides with respect to $x_k$ gives $2 r\,\partial r/\partial x_k = \tfrac{2}{d} x_k$, so
# $\;\partial r/\partial x_k = \dfrac{x_k}{d\, r} = \dfrac{\hat x_k}{d}$.
#
# **Step 2: how the normalised vector moves.** By the quotient rule, with $\delta_{ik} = 1$ for $i = k$ and else $0$,
#
# $$\frac{\partial \hat x_i}{\partial x_k} = \frac{\delta_{ik}}{r} - \frac{x_i}{r^2}\,\frac{\hat x_k}{d}
# = \frac1r\Big(\delta_{ik} - \frac{\hat x_i \hat x_k}{d}\Big).$$
#
# **Step 3: the chain rule.** The loss depends on $\hat x_i$ through $y_i = w_i \hat x_i$, so its derivative with
# respect to $\hat x_i$ is $h_i = g_i w_i$. Summing over $i$:
#
# $$\frac{\partial\mathcal L}{\partial x_k} = \sum_i h_i\,\frac{\partial \hat x_i}{\partial x_k}
# = \frac1r\Big(h_k - \hat x_k \cdot \tfrac1d\textstyle\sum_i h_i \hat x_i\Big). \tag{4}$$
#
# </details>
#
# In words: take $h = g \odot w$, remove from it its component along $\hat x$, and divide by $r$. Three ways to the same
# numbers: the derivation; central differences of the loss $\sum_k g_k y_k$, with PyTorch's own RMSNorm and in float64, as
# small differences of large numbers need the digits; and autograd through the library's layer.


# %%
def loss(x):
    return (grad * nn.functional.rms_norm(x, (8,), w, 1e-5)).sum()


torch.manual_seed(3)
x, grad, w = 3 * torch.randn(5, 8).double() + 2, torch.randn(5, 8).double(), weight.double()
by_hand = check.rms_norm_input_gradient.function(grad, x, w, 1e-5)
by_differences = check.numerical_gradient.function(loss, x, 1e-4)
assert torch.allclose(by_differences, by_hand, atol=1e-6)
print("by central differences the same:", torch.allclose(by_differences, by_hand, atol=1e-6))
watched = x.float().requires_grad_()
norm(watched).backward(grad.float())
print("by autograd the same:           ", torch.allclose(watched.grad, by_hand.float(), atol=1e-5))

# %% [markdown]
# Two things can be read off the gradient.
#
# **It is orthogonal to $x$** (exactly so for $\varepsilon = 0$). Of $h$ just the component along $\hat x$ was removed. It must
# be so: a step along $x$ changes only its length, and RMSNorm does not see the length.
#
# **It is inversely proportional to the size of $x$**, through $1/r$. A vector that is ten times as long receives a tenth of
# the gradient.

# %%
lengths = []
for scale in (0.01, 0.1, 1.0, 10.0, 100.0):
    x = scale * torch.tensor([[0.5, -1.0, 2.0, 0.3]])
    grad, ones = torch.tensor([[1.0, 2.0, -1.0, 0.5]]), torch.ones(4)
    gradient = check.rms_norm_input_gradient.function(grad, x, ones, 0.0)
    lengths.append(scale * gradient.norm().item())
    print(f"x times {scale:6}: gradient {gradient.norm().item():9.4f}", end="")
    print(f"   cosine with x {abs(torch.cosine_similarity(x, gradient).item()):.3f}")
assert max(lengths) - min(lengths) < 1e-3 * max(lengths)

# %% [markdown]
# ### Exercise 4 · The gradient of the weight (1 point)
#
# Derive $\partial\mathcal L/\partial w$ in the same way. Start from $y_i = w_i\hat x_i$ for one vector. Then mind that
# the *same* weight is used for every vector of the batch: `grad` and `x` have the shape `(batch, seq, d)`, the result
# has the shape `(d,)`.


# %%
def rms_norm_weight_gradient(grad, x, eps):
    """The gradient with respect to the weight, (d,); grad is with respect to the output, (batch, seq, d)."""
    ### BEGIN SOLUTION
    normalised = x / (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()
    return (grad * normalised).sum(dim=(0, 1))
    ### END SOLUTION


# %%
check.rms_norm_weight_gradient(rms_norm_weight_gradient)

# %% [markdown]
# ## 5 · What a norm does for training
#
# Now a network that learns. It is made of residual blocks, $x \leftarrow x + W_2 \operatorname{ReLU}(W_1
# \operatorname{norm}(x))$, the shape that a Transformer has: each block adds something to what comes in. The norm stands in
# front of each block, and once more before the last layer. It has no weight here, so that nothing but the norm differs
# between the networks.


# %%
def output(norm, x, w1, w2, last):
    """All runs at once: x is (runs, points, size), w1 (runs, depth, size, hidden), w2 the other way round."""
    for block in range(w1.shape[1]):
        x = x + torch.relu(norm(x) @ w1[:, block]) @ w2[:, block]
    return norm(x) @ last


# %%
def problem(seed, depth, size=32):
    """128 points to fit, (x, y), and random weights with a gain of 1 to begin with."""
    torch.manual_seed(seed)
    x, direction = torch.randn(128, size), torch.randn(size, 8) / size**0.5
    w1, w2 = (
        torch.randn(depth, size, 2 * size) / size**0.5,
        torch.randn(depth, 2 * size, size) / (2 * size) ** 0.5,
    )
    return x, torch.tanh(2 * x @ direction).sum(dim=1, keepdim=True), w1, w2, torch.randn(size, 1) / size**0.5


# %% [markdown]
# Training is by gradient descent with *momentum*: each step is the plain one, against the gradient, plus 0.9 times the
# step before. We vary three things: the learning rate, the number of blocks, and the units in which the inputs are
# measured. Each setting runs with three seeds, which draw points and weights. All 18 runs of a setting are computed
# side by side, as a batch: their losses, each multiplied by its own learning rate, are added up, and so each run's
# gradient is its own.

# %%
RATES, SEEDS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1), (0, 1, 2)


def final_losses(norm, depth, scale, steps=60):
    """The loss after training, (seeds, rates), with the inputs multiplied by scale."""
    each = (torch.stack(parts) for parts in zip(*(problem(seed, depth) for seed in SEEDS), strict=True))
    x, y, *weights = (part.repeat_interleave(len(RATES), dim=0) for part in each)
    optimizer = torch.optim.SGD([w.requires_grad_() for w in weights], lr=1.0, momentum=0.9)
    for _ in range(steps):
        losses = (output(norm, scale * x, *weights) - y).square().mean(dim=(1, 2))
        optimizer.zero_grad()
        (losses * torch.tensor(RATES * len(SEEDS))).sum().backward()
        optimizer.step()
    return losses.detach().view(len(SEEDS), len(RATES))


# %%
NORMS = {
    "no norm": lambda x: x,
    "LayerNorm": lambda x: nn.functional.layer_norm(x, x.shape[-1:]),
    "RMSNorm": lambda x: normalised(x, torch.ones(x.shape[-1]), 1e-5),
}
SETTINGS = [(2, 1.0), (6, 1.0), (16, 1.0), (6, 0.1), (6, 10.0)]
results = {
    setting: {name: final_losses(norm, *setting) for name, norm in NORMS.items()} for setting in SETTINGS
}

# %% [markdown]
# A loss that is above 100, or not a number at all, means that training has diverged.

# %%
figure, axes = plt.subplots(2, 3, figsize=(9, 5.4), sharex=True, sharey=True)
panels = [*SETTINGS[:3], (6, 0.1), (6, 1.0), (6, 10.0)]
for axis, (depth, scale) in zip(axes.flat, panels, strict=True):
    for (name, losses), colour in zip(results[depth, scale].items(), (ORANGE, BLUE, GREEN), strict=True):
        kept = torch.where(losses < 100, losses, torch.nan)
        axis.plot(RATES, kept.nanmean(dim=0), "o-", color=colour, label=name, markersize=4)
        axis.plot(RATES, kept.T, ".", color=colour, markersize=3)
        diverged = kept.isnan().any(dim=0)
        height = {"no norm": 40, "LayerNorm": 25, "RMSNorm": 16}[name]
        axis.plot(torch.tensor(RATES)[diverged], [height] * int(diverged.sum()), "x", color=colour)
    axis.set(xscale="log", yscale="log", title=f"{depth} blocks, inputs times {scale:g}")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
figure.supxlabel("learning rate")
figure.supylabel("loss after 60 steps")
plt.show()

# %%
at_one_rate = {
    name: torch.stack([results[setting][name][:, RATES.index(3e-2)] for setting in SETTINGS])
    for name in ("LayerNorm", "RMSNorm")
}
without = torch.stack([results[setting]["no norm"] for setting in SETTINGS])  # (settings, seeds, rates)
works = (without < 0.4).all(dim=1).sum(dim=0)  # for each rate: settings in which it works with all seeds
assert all(losses.max() < 0.4 for losses in at_one_rate.values())
assert works.max() <= 2
for name, losses in at_one_rate.items():
    print(f"{name}, rate 0.03: below 0.4 in all five settings, with all seeds:", bool(losses.max() < 0.4))
print("no norm: a rate of the six that gets there in more than two settings:", bool(works.max() > 2))

# %% [markdown]
# **What to see.** The dots are single runs, the lines means of those that did not diverge; a cross marks a learning rate at
# which at least one did. Without a norm (orange) the learning rate that works depends on everything else. With more blocks (upper
# row, from left to right) it has to be ever smaller, since each block makes the numbers larger; with 16 blocks none of the
# six works. In other units of the input (lower row) it is another one again. With either norm (blue, green) one learning
# rate, 0.03, serves in all five settings. That is the use of a norm: what was tuned for one network works in the next.
#
# Look also at what a norm does *not* do. With two blocks, and inputs of the right size, the network without a norm
# comes below 0.05 as well, and at the smaller rates it is ahead: where numbers stay in range by themselves, there is
# little to gain. And a norm does not make the units quite irrelevant. At scale 10, at the same learning rate of 0.01,
# learning is slower than at scale 1. What runs past the blocks carries the large input, beside which the blocks'
# contributions, of size about 1, are small; and by section 4 the gradient that passes the last norm is divided by that
# size. A larger learning rate makes up for it: there 0.1 does best, which is too much everywhere else.
#
# The two norms end close to each other: taking the mean away has bought nothing here. All this, asserted:

# %%
final = {setting: {name: each.mean(dim=0) for name, each in results[setting].items()} for setting in SETTINGS}
ratios = torch.stack([final[each]["LayerNorm"][:3] / final[each]["RMSNorm"][:3] for each in SETTINGS])
alike = bool((ratios.log().abs() < 0.35).all())
best = [results[2, 1.0][name].nan_to_num(torch.inf).amin(dim=1).max() for name in NORMS]  # of the worst seed
at_ten, at_one = final[6, 10.0]["RMSNorm"], final[6, 1.0]["RMSNorm"]
assert alike
assert max(best) < 0.05
assert at_ten[3] > 5 * at_one[3]
assert at_ten.argmin() == 5
assert all(final[setting]["RMSNorm"].argmin() < 5 for setting in SETTINGS[:4])
print("losses with the two norms differ by a factor below 1.5, at rates up to 0.003:", alike)
print("two blocks, each with its best rate: all three below 0.05:", bool(max(best) < 0.05))
print(
    "RMSNorm, rate 0.01: at scale 10 more than 5 times the loss of scale 1:", bool(at_ten[3] > 5 * at_one[3])
)

# %% [markdown]
# ## 6 · From LayerNorm to RMSNorm, exactly
#
# A network trained with LayerNorm can be turned into one with RMSNorm that computes the same function (Ashkboos et al.
# 2024, "SliceGPT", [arXiv:2401.15024](https://arxiv.org/abs/2401.15024), section 3). Compare (1) with (2): if the mean
# of $x$ is already zero, then $\mu = 0$, and the two differ by the offset $b$ only. So two things are to be done.
#
# **The mean.** What comes into a norm is a sum: the output of the first layer, plus what each block before has added. If
# every one of these linear layers gives outputs of mean zero, LayerNorm's centring has nothing left to do. Does that change
# what the network computes? No: a mean that is taken away from the sum would have been taken away by the next LayerNorm
# anyway, and nothing else reads the sum.
#
# **The offset.** The layer behind the norm is linear: $A(w \odot \hat x + b) + c = A(w \odot \hat x) + (Ab + c)$. So $b$
# moves into that layer's bias.
#
# ### Exercise 5 · A linear layer with centred outputs (2 points)
#
# A linear layer gives $y = Ax + c$, where `weight` $A$ has the shape `(d_out, d_in)` and `bias` $c$ the shape
# `(d_out,)`. Find a layer $A', c'$ whose output is $y - \operatorname{mean}(y)$ for *every* $x$.


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
# Now a whole network: a first layer, four residual blocks with LayerNorm, a last norm and a last layer. Weights and offsets
# of the norms are drawn at random, so that they matter.


# %%
class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.norm, self.first = nn.LayerNorm(size), nn.Linear(size, 2 * size)
        self.second = nn.Linear(2 * size, size)

    def forward(self, x):
        return x + self.second(torch.relu(self.first(self.norm(x))))


# %%
class Network(nn.Module):
    def __init__(self, size=32, depth=4):
        super().__init__()
        self.embed, self.blocks = nn.Linear(8, size), nn.ModuleList(Block(size) for _ in range(depth))
        self.norm, self.last = nn.LayerNorm(size), nn.Linear(size, 1)

    def forward(self, x):
        return self.last(self.norm(nn.Sequential(self.embed, *self.blocks)(x)))


# %%
@torch.no_grad()
def convert(network):
    """Put an RMSNorm in the place of each LayerNorm, and change the layers around it so that nothing else changes."""
    for layer in (network.embed, *(block.second for block in network.blocks)):
        weight, bias = check.centre_outputs.function(layer.weight, layer.bias)
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    for part, reader in (*((block, block.first) for block in network.blocks), (network, network.last)):
        reader.bias += reader.weight @ part.norm.bias
        norm = RMSNorm(len(part.norm.weight), part.norm.eps)
        norm.weight.copy_(part.norm.weight)
        part.norm = norm


# %%
torch.manual_seed(4)
network, x = Network(), torch.randn(50, 8)
for parameter in network.parameters():
    if parameter.dim() == 1:
        nn.init.normal_(parameter, mean=0.5)
before = network(x)
convert(network)
print("a LayerNorm left:", any(isinstance(part, nn.LayerNorm) for part in network.modules()))
print("computes the same:", torch.allclose(network(x), before, atol=1e-4))
print("outputs differ from one another:", bool(before.std() > 0.1))

# %% [markdown]
# What the conversion saves is what section 2 counted, at each norm: a sum, a subtraction, an offset.
#
# ## Summary
#
# - A random layer multiplies the typical size of its inputs by a factor; depth makes that factor exponential.
# - LayerNorm centres and rescales. RMSNorm only rescales: $y = w \odot x / \operatorname{rms}(x)$. It keeps the
#   direction, forgets the length, and takes its statistics in float32. It needs one sum over the vector where LayerNorm
#   needs two.
# - Its gradient has no component along $x$, and is divided by $\operatorname{rms}(x)$. A derivation is tested by central
#   differences.
# - With a norm one learning rate serves for networks of different depth and inputs of different size. Without one it has
#   to be searched for each time, and in a deep network there may be none among those one would try. The centring contributes
#   nothing to that.
# - Where the mean is zero already, LayerNorm without its offset *is* RMSNorm. So a whole network can be converted.
#
# **In the library:** `minillm_lib/model/rms_norm.py`.
# **Next:** [08 · RoPE](08_rope.ipynb), how a Transformer knows the position of a token.
#
# **To read on.** Zhang and Sennrich 2019 for the layer; Xiong et al. 2020, "On Layer Normalization in the Transformer
# Architecture", [arXiv:2002.04745](https://arxiv.org/abs/2002.04745), for why the norm stands before the block and not
# after it; Zhang, Dauphin and Ma 2019, "Fixup Initialization", [arXiv:1901.09321](https://arxiv.org/abs/1901.09321), for
# how far one gets with no norm at all.
