# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 10 · SwiGLU: the layer with most of the parameters
#
# **What you build.** The feed-forward layer of a Transformer, twice: the classic one with GELU, and the gated one of
# Llama, Qwen and our own model. And a census that shows where 25,829,888 parameters live.
#
# **What you need.** [06 · From counts to gradients](06_counts_to_gradients.ipynb), which introduces PyTorch and
# activation functions; the chain rule and the product rule. No other notebook of the course.
#
# **How long.** About an hour to work through. All cells together run in under 20 seconds on two CPU cores.
#
# > **中文提要** 注意力在位置之间搬运信息，前馈层则对每个位置单独计算，而且占了模型三分之二的参数。本节先说明为什么需要激活函数，推导 GELU 和 SiLU 及其导数；再引入“门”：SwiGLU 对一个投影施加 SiLU，再与另一个逐元素相乘，两个门控单元就能精确算出乘积。为了与经典前馈层参数量相等，隐藏宽度取经典宽度的三分之二。最后在参数量相等、学习率各自调好、多个随机种子的条件下比较两者：哪一个更好取决于要学的函数，门控并非处处占优。

# %%
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch
from torch.nn import functional

from minillm_lib import MiniLLM, ModelConfig, check, course
from minillm_lib.model import GELUFeedForward, SwiGLU
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE
from minillm_lib.viz.decoder_diagrams import plot_census, plot_feed_forward_layers

course.setup()

# %% [markdown]
# ## 1 · What a feed-forward layer does
#
# A Transformer block has two parts. Attention moves information *between* positions. The feed-forward layer then works
# at each position *alone*: the vector $x$ of $d$ numbers is widened to $h$ numbers, each of these goes through a
# function $\varphi$, and the result is narrowed to $d$ numbers again:
#
# $$\operatorname{FFN}(x) = W_{\text{down}}\;\varphi(W_{\text{up}}\,x), \qquad W_{\text{up}} \in \mathbb R^{h\times d},
# \quad W_{\text{down}} \in \mathbb R^{d\times h}. \tag{1}$$
#
# "Alone" can be tested. If the positions are shuffled, the outputs are shuffled in the same way, and nothing else:


# %%
def feed_forward(x, up, down, activation):
    """Equation (1) for row vectors: x is (…, d), up is (h, d), down is (d, h)."""
    return activation(x @ up.T) @ down.T


torch.manual_seed(0)
x, up, down = torch.randn(5, 8), torch.randn(20, 8), torch.randn(8, 20)
shuffled = torch.tensor([3, 0, 4, 1, 2])
y = feed_forward(x, up, down, torch.relu)
torch.allclose(feed_forward(x[shuffled], up, down, torch.relu), y[shuffled], atol=1e-5)

# %% [markdown]
# **A memory of $h$ entries.** Let $k_j$ be row $j$ of $W_{\text{up}}$ and $v_j$ column $j$ of $W_{\text{down}}$.
# Written out, the product of matrices is a sum over the *units* $j$:
#
# $$\operatorname{FFN}(x) = \sum_{j=1}^{h} \varphi(k_j \cdot x)\; v_j .$$
#
# Each unit asks one question, "how much does $x$ look like $k_j$?", and adds that much of its answer $v_j$. Geva et al.
# (2021, [arXiv:2012.14913](https://arxiv.org/abs/2012.14913)) read the layer in this way, as keys and values, and found
# units in trained models whose keys respond to patterns that a human can name.

# %%
by_units = sum(torch.relu(x @ up[j])[:, None] * down[:, j] for j in range(20))
torch.allclose(by_units, y, atol=1e-5)

# %% [markdown]
# **Why $\varphi$ must not be missing.** Without it the two matrices are one: $W_{\text{down}}(W_{\text{up}}\,x) =
# (W_{\text{down}}W_{\text{up}})\,x$. A layer that is twenty wide in between could then do no more than a single
# 8 × 8 matrix.

# %%
linear_only = feed_forward(x, up, down, lambda z: z)
torch.allclose(linear_only, x @ (down @ up).T, atol=1e-4)

# %% [markdown]
# ## 2 · From ReLU to GELU and SiLU
#
# The first Transformer used $\operatorname{ReLU}(z) = \max(z, 0)$: pass what is positive, stop the rest. Read it as a
# decision, $z$ times either 1 or 0. Hendrycks and Gimpel (2016, [arXiv:1606.08415](https://arxiv.org/abs/1606.08415))
# made the decision a soft one. Pass $z$ if a number drawn from the standard normal distribution is below $z$. *On
# average* a share $\Phi(z) = P(Z \le z)$ of it then passes:
#
# $$\operatorname{GELU}(z) = z\,\Phi(z), \qquad
# \Phi(z) = \frac{1}{2}\Big(1 + \operatorname{erf}\frac{z}{\sqrt 2}\Big). \tag{2}$$
#
# $\operatorname{erf}$, the error function, is `torch.erf`. A cheaper share of the same shape is the logistic sigmoid
# $\sigma(z) = 1/(1+e^{-z})$. It makes the **SiLU**, which the same paper mentions and which was later found again under
# the name *Swish* (Ramachandran et al. 2017, [arXiv:1710.05941](https://arxiv.org/abs/1710.05941)):
#
# $$\operatorname{SiLU}(z) = z\,\sigma(z). \tag{3}$$
#
# ### Exercise 1 · GELU (1 point)
#
# Write equation (2) for a tensor of any shape. The exact formula is wanted, no approximation.


# %%
def gelu(x):
    """Equation (2), for each number of a tensor."""
    ### BEGIN SOLUTION
    return x * (1 + torch.erf(x / 2**0.5)) / 2
    ### END SOLUTION


# %%
check.gelu(gelu)

# %% [markdown]
# GPT-2 computed GELU by a formula with $\tanh$, which Hendrycks and Gimpel offer as the faster one. The two are not
# equal, and a checkpoint should be run with the one it was trained with. The library's layer uses the exact one; here
# it is yours, if it passed:

# %%
z = torch.linspace(-5, 5, 1001)
difference = check.gelu.function(z) - functional.gelu(z, approximate="tanh")
print(f"exact and tanh differ by up to {difference.abs().max():.4f}")

# %% [markdown]
# ### Their derivatives
#
# Training sends gradients through $\varphi$. Both functions are products, so the product rule applies. For GELU, the
# derivative of $\Phi$ is the density of the normal distribution, $\phi(z) = e^{-z^2/2}/\sqrt{2\pi}$:
#
# $$\operatorname{GELU}'(z) = \Phi(z) + z\,\phi(z).$$
#
# For SiLU we need the derivative of the sigmoid. With $\sigma = (1 + e^{-z})^{-1}$ the chain rule gives
# $\sigma' = e^{-z}(1+e^{-z})^{-2} = \sigma\cdot\dfrac{e^{-z}}{1+e^{-z}} = \sigma\,(1-\sigma)$, so
#
# $$\operatorname{SiLU}'(z) = \sigma(z) + z\,\sigma(z)\big(1-\sigma(z)\big)
# = \sigma(z)\,\Big(1 + z\,\big(1-\sigma(z)\big)\Big). \tag{4}$$
#
# Exercise 4 will need it, so test it now by hand: at $z = 0$ it must be $\tfrac12$, and far to the left and to the
# right it must tend to 0 and 1. For the figure PyTorch differentiates.


# %%
def slope(function, z):
    """The derivative at each point, by PyTorch."""
    z = z.clone().requires_grad_()
    return torch.autograd.grad(function(z).sum(), z)[0]


# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2))
curves = {"ReLU": (torch.relu, INK), "GELU": (functional.gelu, ORANGE), "SiLU": (functional.silu, BLUE)}
for name, (function, colour) in curves.items():
    axes[0].plot(z, function(z), color=colour, label=name)
    axes[1].plot(z, slope(function, z), color=colour)
axes[0].set(xlabel="$z$", ylabel=r"$\varphi(z)$", title="the function", xlim=(-5, 5), ylim=(-0.5, 3))
axes[1].set(xlabel="$z$", ylabel=r"$\varphi'(z)$", title="its derivative", xlim=(-5, 5))
axes[0].legend()
plt.show()
print(f"smallest values: GELU {functional.gelu(z).min():.2f}, SiLU {functional.silu(z).min():.2f}")
enlarged = 1.7 * functional.gelu(z / 1.7)
print(
    "SiLU is GELU drawn 1.7 times as large, within 0.04:",
    bool((functional.silu(z) - enlarged).abs().max() < 0.04),
)

# %% [markdown]
# **What to see.** Far from zero all three agree. Near zero GELU and SiLU are round where ReLU has a corner. Below zero
# they dip: a slightly negative number passes as a slightly negative one. On the right is what that does to training.
# ReLU's derivative is exactly zero on the left half; a unit that never sees a positive number gets no gradient,
# and stays as it is. The other two have a small slope even there. SiLU is nearly GELU, drawn 1.7 times as large.
#
# One identity for later. Because $\sigma(z) + \sigma(-z) = 1$,
#
# $$\operatorname{SiLU}(z) - \operatorname{SiLU}(-z) = z\,\sigma(z) + z\,\sigma(-z) = z. \tag{5}$$

# %% [markdown]
# ## 3 · The gate
#
# In (1) one projection of $x$ does two jobs: it decides *whether* a unit speaks and *how much* it says. Dauphin et al.
# (2017, [arXiv:1612.08083](https://arxiv.org/abs/1612.08083)) split the jobs between two projections and multiplied
# them: the *gated linear unit*, $\sigma(W_{\text{gate}}x) \odot W_{\text{up}}x$. Shazeer (2020,
# [arXiv:2002.05202](https://arxiv.org/abs/2002.05202)) put such units into the feed-forward layer of a Transformer and
# tried other functions in the gate. With SiLU (Swish) it is called **SwiGLU**:
#
# $$\operatorname{SwiGLU}(x) = W_{\text{down}}\big(\operatorname{SiLU}(W_{\text{gate}}\,x) \odot W_{\text{up}}\,x\big).
# \tag{6}$$
#
# ### Exercise 2 · The gated layer (1 point)
#
# The matrices are stored as `nn.Linear` stores them: `gate` and `up` have the shape `(h, d)`, `down` has `(d, h)`, and
# `x` is `(…, d)`. `functional.silu` is there for you. What passes becomes the feed-forward layer of your model in
# notebook 11.


# %%
def swiglu(x, gate, up, down):
    """Equation (6) for row vectors: (…, d) in, (…, d) out."""
    ### BEGIN SOLUTION
    return (functional.silu(x @ gate.T) * (x @ up.T)) @ down.T
    ### END SOLUTION


# %%
check.swiglu(swiglu)

# %% [markdown]
# The library's `SwiGLU` is a module with the three matrices. Compare it with the function, yours if it passed, and with
# equation (6) as a sum over units, as in section 1; here the amount of $v_j$ is a product of two answers. The library
# has the classic layer too.

# %%
torch.manual_seed(1)
config = ModelConfig(hidden_size=8, n_heads=2, n_kv_heads=1, intermediate_size=12)
gated, classic = SwiGLU(config), GELUFeedForward(config)
keys, ups, values = gated.gate_proj.weight, gated.up_proj.weight, gated.down_proj.weight
units = [functional.silu(x @ keys[j]) * (x @ ups[j]) for j in range(12)]
by_units = sum(unit[:, None] * values[:, j] for j, unit in enumerate(units))
print("SwiGLU, a sum over units:", torch.allclose(gated(x), by_units, atol=1e-6))
print(
    "SwiGLU, the function:    ",
    torch.allclose(gated(x), check.swiglu.function(x, keys, ups, values), atol=1e-6),
)
by_hand = feed_forward(x, classic.up_proj.weight, classic.down_proj.weight, functional.gelu)
print("GELU:                    ", torch.allclose(classic(x), by_hand, atol=1e-6))

# %% [markdown]
# ### What one unit can say
#
# Let $a = k\cdot x$ be what the gate sees and $b = u \cdot x$ the other projection. A classic unit depends on $a$
# alone. A gated unit depends on both. And two gated units with opposite gates multiply. By (5),
#
# $$\operatorname{SiLU}(a)\,b - \operatorname{SiLU}(-a)\,b = a\,b . \tag{7}$$
#
# No finite number of classic units does that exactly: far from zero their sum grows like $a$ and $b$, and not like a
# product.

# %%
a, b = torch.meshgrid(torch.linspace(-3, 3, 121), torch.linspace(-3, 3, 121), indexing="xy")
panels = {
    "GELU(a)": functional.gelu(a),
    "SiLU(a) b": functional.silu(a) * b,
    "SiLU(a) b − SiLU(−a) b": functional.silu(a) * b - functional.silu(-a) * b,
}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharey=True)
for axis, (title, height) in zip(axes, panels.items(), strict=True):
    drawn = axis.contourf(a, b, height, levels=range(-9, 10), cmap="PuOr")
    axis.contour(a, b, height, levels=range(-9, 10), colors=INK, linewidths=0.3)
    axis.set(title=title, xlabel="$a$", aspect="equal")
axes[0].set_ylabel("$b$")
figure.colorbar(drawn, ax=axes, label="output of the unit", shrink=0.85)
plt.show()
print("equation (7):", torch.allclose(panels["SiLU(a) b − SiLU(−a) b"], a * b, atol=1e-5))

# %% [markdown]
# **What to see.** The classic unit (left) is a *ridge*: along $b$ nothing changes, and its height is a curve drawn
# sideways. The gated unit (middle) is nearly closed on the left, where $a$ is negative; on the right, $b$ passes with
# its sign, and the steeper the larger $a$ is. Two of them (right) make the saddle $a\,b$.
#
# A product means "this *and* that". In a bounded region a sum of ridges can come close to it, but needs many.

# %% [markdown]
# ## 4 · The price: three matrices, so a narrower layer

# %%
plot_feed_forward_layers()

# %% [markdown]
# **What to see.** Blue boxes are matrices, grey ones functions, and beside the lines stands how many numbers go along.
# The classic layer on the left has two matrices, the gated one on the right has three. If both are to have equally many
# parameters, the vectors in the gated one must be narrower; by which factor is a matter of counting.
#
# The classic layer has two matrices, $2\,d\,h$ numbers. The gated one has three, $3\,d\,h$. To compare them, or to
# put one in the other's place, give them equally many: $3\,d\,h' = 2\,d\,h$, so $h' = \tfrac23 h$. With the usual
# classic width $h = 4d$ that is
#
# $$h' = \tfrac{8}{3}\,d,$$
#
# and since processors like round numbers, Llama (Touvron et al. 2023,
# [arXiv:2302.13971](https://arxiv.org/abs/2302.13971)) rounds it up to a multiple of some power of two.
#
# ### Exercise 3 · The width (2 points)
#
# Given `hidden_size` $d$ and `multiple_of`, return the width of a gated layer that has as many parameters as a classic
# one of width $4d$, rounded *up* to a multiple of `multiple_of`: a whole number. Mind that `/` gives a float.


# %%
def gated_width(hidden_size, multiple_of):
    """The smallest multiple of multiple_of that is at least two thirds of 4 * hidden_size."""
    ### BEGIN SOLUTION
    classic_width = 4 * hidden_size
    enough = -(-2 * classic_width // 3)  # the whole number at or above two thirds
    return -(-enough // multiple_of) * multiple_of
    ### END SOLUTION


# %%
check.gated_width(gated_width)

# %% [markdown]
# Our presets follow this rule with multiples of 64:

# %%
for name in ("nano", "tiny", "26m", "104m"):
    config = ModelConfig.from_preset(name)
    two_thirds = 8 / 3 * config.hidden_size
    print(
        f"{name:5} hidden {config.hidden_size:4}   8/3 of it {two_thirds:7.1f}   width {config.intermediate_size}"
    )

# %% [markdown]
# ## 5 · Where the parameters are
#
# Count them. On the device `meta` a tensor has a shape but no memory, so that a model of any size can be built for
# counting. Sort by what the name says:


# %%
def census(preset):
    """How many parameters each part of a model has."""
    with torch.device("meta"):
        model = MiniLLM.from_preset(preset)
    counts = dict.fromkeys(("embedding", "attention", "feed-forward", "norms"), 0)
    places = {"embed": "embedding", "self_attn": "attention", "mlp": "feed-forward", "norm": "norms"}
    for name, parameter in model.named_parameters():
        part = next(part for key, part in places.items() if key in name)
        counts[part] += parameter.numel()
    return counts


# %%
counts = census("26m")
for part, count in counts.items():
    print(f"{part:12} {count:11,}   {count / sum(counts.values()):6.2%}")
print(f"{'together':12} {sum(counts.values()):11,}")

# %% [markdown]
# By hand, for $d = 512$, a width of 1,408 and eight blocks: the feed-forward layers have
# $8\cdot 3\cdot 512\cdot 1408 = 17{,}301{,}504$. Notebook 11 does the other parts, to the last one.

# %%
presets = ("nano", "tiny", "26m", "26m-classic", "104m")
plot_census({preset: census(preset) for preset in presets})

# %% [markdown]
# **What to see.** In `26m` and `104m` the feed-forward layers hold two thirds of everything or more, and attention,
# which gives the architecture its fame, about a fifth. In the small models the vocabulary weighs most: its table has
# $6400\,d$ numbers and grows with $d$, while the blocks grow with $d^2$. The norms are there, but too thin to be seen.
# In `26m-classic` attention takes a larger share, because each of its heads has keys and values of its own (notebook
# 09), and the embedding includes a table of positions.
#
# A matrix costs two floating-point operations for each parameter and token, so these shares are nearly those of the
# arithmetic too; what is missing is the comparison of queries with keys, which has no parameters.

# %% [markdown]
# ## 6 · Is the gate worth it? A comparison at equal size
#
# Three layers with $d = 16$ that read and write 16 numbers, with 1,536 parameters each: GELU of width 48, SwiGLU of
# width 32, and for comparison the gate as Dauphin et al. had it, with the sigmoid alone, also of width 32. Each learns
# three kinds of functions from 3,072 examples, and is tested on 1,024 others. Each function has 16 outputs, random
# mixtures of twelve pieces. The pieces are made of directions $p$ and $q$ drawn at random:
#
# - **ridges**, $\tanh(p\cdot x)$: one direction a piece, as in a classic unit,
# - **products**, $(p\cdot x)(q\cdot x)$: as in equation (7),
# - **switches**, $q\cdot x$ where $p\cdot x > 0$, else 0: a hard gate. This should suit a gated layer, should it not?
#
# One run proves nothing, so each layer learns several functions of each kind. They are trained side by side, in a
# *stack*: all tensors have one dimension more in front, the number of the function.


# %%
def functions(kind, n, seed, pieces=12):
    """Inputs and outputs of n functions of a kind, (n, 4096, 16) each; the outputs have variance 1."""
    generator = torch.Generator().manual_seed(seed)
    x, p, q, mixture = (
        torch.randn(n, *shape, generator=generator)
        for shape in ((4096, 16), (16, pieces), (16, pieces), (pieces, 16))
    )
    a, b = x @ p / 2, x @ q  # the numbers of p are drawn with standard deviation 1/2
    y = {"ridges": torch.tanh(a), "products": a * b, "switches": (a > 0) * b}[kind] @ mixture
    return x, y / y.std(dim=(1, 2), keepdim=True)


# %%
LAYERS = {  # name: the shapes of its matrices, and what it computes
    "GELU": ([(16, 48), (48, 16)], lambda x, up, down: functional.gelu(x @ up) @ down),
    "SwiGLU": (
        [(16, 32), (16, 32), (32, 16)],
        lambda x, gate, up, down: functional.silu(x @ gate) * (x @ up) @ down,
    ),
    "GLU": (
        [(16, 32), (16, 32), (32, 16)],
        lambda x, gate, up, down: torch.sigmoid(x @ gate) * (x @ up) @ down,
    ),
}

# %% [markdown]
# The error is the share of the variance that is left over: 0 is perfect, 1 is no better than saying zero. The optimizer
# is Adam, a better one than SGD, which notebook 12 explains; its learning rate falls to zero.


# %%
def errors_on_test(kind, name, n, seed, rate, steps=300):
    """The error of a layer on each of n functions of a kind, (n,), after training."""
    shapes, layer = LAYERS[name]
    x, y = functions(kind, n, seed)
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(n, *shape, generator=generator) / shape[0] ** 0.5 for shape in shapes]
    optimizer = torch.optim.Adam([weight.requires_grad_() for weight in weights], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = torch.randint(3072, (96,), generator=generator)
        loss = (layer(x[:, chosen], *weights) - y[:, chosen]).square().mean(dim=(1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return (layer(x[:, 3072:], *weights) - y[:, 3072:]).square().mean(dim=(1, 2))


# %% [markdown]
# A layer that wins at one learning rate may lose at another. So each layer gets, for each kind, the best of three rates
# for itself. It is chosen on two functions, and the comparison is made on five others.


# %%
def best_rate(kind, name):
    return min((0.03, 0.1, 0.3), key=lambda rate: errors_on_test(kind, name, 2, 100, rate).mean().item())


n_parameters = {name: sum(a * b for a, b in shapes) for name, (shapes, _) in LAYERS.items()}
print("parameters, all of which are used:", n_parameters)
rows = []
for kind in ("ridges", "products", "switches"):
    for name in LAYERS:
        found = errors_on_test(kind, name, 5, 0, best_rate(kind, name)).tolist()
        rows += [
            {"kind": kind, "layer": name, "function": i, "error": error} for i, error in enumerate(found)
        ]
errors = pd.DataFrame(rows)

# %%
figure, axis = plt.subplots(figsize=(7, 3.2))
dots = {"palette": [ORANGE, BLUE, GREEN], "size": 6, "alpha": 0.7, "dodge": True, "jitter": False}
sns.stripplot(errors, x="kind", y="error", hue="layer", **dots, ax=axis)
axis.set(yscale="log", xlabel="kind of function", ylabel="test error (share of variance)")
sns.move_legend(axis, "lower right", title=None)
plt.show()

# %%
of = errors.pivot(index=["kind", "function"], columns="layer", values="error")
for kind, worse, better, factor in (
    ("ridges", "SwiGLU", "GELU", 1.5),
    ("products", "GELU", "SwiGLU", 3),
    ("switches", "SwiGLU", "GELU", 3),
    ("switches", "SwiGLU", "GLU", 3),
):
    holds = (of.loc[kind, worse] > factor * of.loc[kind, better]).all()
    assert holds
    print(f"{kind}: {worse} leaves more than {factor} times what {better} leaves, each time: {holds}")

# %% [markdown]
# **What to see.** A dot is a layer on one function. Where the lines below the figure say that one layer beats another,
# it does so with all five dots, so the differences are no accident. SwiGLU (blue) wins where products are to be
# learned, by a wide margin, as (7) promised. On ridges, GELU's own pieces, GELU beats SwiGLU (and GLU keeps level with
# GELU). On the switches GELU beats SwiGLU as well, clearly: SwiGLU does *badly* there.
#
# That asks for an explanation. SiLU's gate does not stop at "open". For large $a$ it is $a$ itself, so the unit gives
# about $a\,b$: make $x$ twice as large, and the output is four times as large. A switch doubles when $x$ doubles, and
# so does a classic unit far from zero. In fact two ReLU units make a switch, for any $M$ so large that $M\,|a| > |b|$:
#
# $$\operatorname{ReLU}(b + M a) - \operatorname{ReLU}(M a) = \begin{cases} b & a > 0 \\ 0 & a < 0 \end{cases} .$$
#
# SwiGLU is thus less a switch than a *multiplier*. GLU (green) puts this explanation to the test. It differs from
# SwiGLU in nothing but the gate, which ends at 1. And it does well on the switches.
#
# **What this says of language models: little.** The three kinds were made up, and no one knows which a language model
# needs. Shazeer (2020) trained Transformers of equal size with each layer, and there the gated layers, GEGLU and SwiGLU
# ahead of plain GLU, predicted held-out text better. He closes: "We offer no explanation as to why these architectures
# seem to work; we attribute their success, as all else, to divine benevolence." Our experiment shows why one should
# not expect a law: which layer is better depends on what is to be learned.

# %% [markdown]
# ## 7 · The gradient through a gate
#
# What does the gate do to training? Take one unit, $y = \operatorname{SiLU}(a)\,b$, and let
# $g = \partial\mathcal L/\partial y$ come from above. Before the derivation, look at one thing: where the gate is shut,
# what reaches $b$?

# %%
gate = torch.tensor([-8.0, -2.0, 0.0, 2.0, 8.0])
up = torch.full_like(gate, 3.0).requires_grad_()
reaches_up = torch.autograd.grad((functional.silu(gate) * up).sum(), up)[0]
for a, by_up in zip(gate.tolist(), reaches_up.tolist(), strict=True):
    print(f"a {a:4.0f}   gradient with respect to b {by_up:6.2f}")

# %% [markdown]
# A shut gate is shut both ways: what does not pass forwards is not taught backwards. An open gate amplifies the
# gradient as it amplifies the value.
#
# ### Exercise 4 · Both gradients (3 points)
#
# Derive $\partial\mathcal L/\partial a$ and $\partial\mathcal L/\partial b$ by the product rule and equation (4).
# `grad`, `gate` ($a$) and `up` ($b$) are tensors of one shape. Use no autograd.


# %%
def swiglu_backward(grad, gate, up):
    """The gradients of the loss with respect to gate and up, given the one with respect to silu(gate) * up."""
    ### BEGIN SOLUTION
    share = torch.sigmoid(gate)
    slope_of_gate = share * (1 + gate * (1 - share))
    return grad * up * slope_of_gate, grad * gate * share
    ### END SOLUTION


# %%
check.swiglu_backward(swiglu_backward)

# %% [markdown]
# ## Summary
#
# - The feed-forward layer works at each position alone: $h$ units, each a key that is compared with $x$ and a value
#   that is added. Without a function between its two matrices it would be one matrix.
# - GELU is $z\,\Phi(z)$, SiLU is $z\,\sigma(z)$: like ReLU far from zero, smooth near it, with a gradient below it.
# - SwiGLU multiplies two projections: $W_{\text{down}}(\operatorname{SiLU}(W_{\text{gate}}x)\odot W_{\text{up}}x)$. Two
#   such units compute a product exactly.
# - Three matrices instead of two: at equal parameters the width is two thirds, $\tfrac83 d$, rounded up.
# - Feed-forward layers hold 67% of the parameters of our model, attention 20%, the embedding 13%.
# - At equal size neither layer wins everywhere. The gate of SwiGLU is a multiplier, good at products, poor at hard
#   switches.
#
# **In the library:** `minillm_lib/model/feed_forward.py`, some 40 lines.
# **Next:** [11 · The decoder](11_decoder.ipynb), where all the pieces become a model.
#
# **To read on.** Shazeer 2020, a short paper, for the variants and their measurements; Geva et al. 2021, "Transformer
# Feed-Forward Layers Are Key-Value Memories", [arXiv:2012.14913](https://arxiv.org/abs/2012.14913), for what the units
# of trained models respond to; Elhage et al. 2022, "Toy Models of Superposition",
# [arXiv:2209.10652](https://arxiv.org/abs/2209.10652), for why a unit often answers to several things at once.
