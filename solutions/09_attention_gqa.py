# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 09 · Attention, and heads that share
#
# **What you build.** The attention layer of our model, from its pieces: scores, scaling, the causal mask, heads, and groups
# of heads that share their keys and values (GQA), with a test that it does not look ahead. A small model trains on your
# layer, and you find out by removal what its heads and layers do. Then attention without the matrix of its weights, as fused
# kernels compute it, and what sharing saves.
#
# **What you need.** Matrices in PyTorch, the softmax of notebook 06. From [08 · RoPE](08_rope.ipynb): that queries and keys
# are turned by their positions; from [07 · RMSNorm](07_rmsnorm.ipynb) the norm.
#
# **How long.** About 100 minutes to work through, with seven exercises. All cells together run in under 30 seconds on two
# CPU cores.
#
# > **中文提要** 注意力就是加权平均：查询与每个键比较，得分经 softmax 变成权重，再对值加权求和。本节从一维核回归出发写出注意力，用方差解释为什么要除以 √d，并介绍 QK 归一化；用因果掩码保证看不到未来（若在 softmax 之后才掩蔽，未来的得分仍留在分母中），并写出检验泄漏的测试。然后自己拼出整个注意力层：拆分各头、分组共享键值（GQA）、合并输出。三个会回答五种小问题的模型就用这一层训练，用滑块查看注意力图，再逐一去掉某个头或某一层，用干预而不只凭图像判断它们的作用。最后用在线 softmax 分块计算注意力，精确计算 KV 缓存的字节数，并实测从 MHA 到 GQA 再到 MQA 时单步注意力的耗时。

# %%
import random
import time

import ipywidgets as widgets
import matplotlib.pyplot as plt
import torch
from torch import nn

from minillm_lib import MiniLLM, ModelConfig, check, course
from minillm_lib.model import GroupedQueryAttention, KVCache, RotaryEmbedding, attend, rotate
from minillm_lib.training import fit
from minillm_lib.viz import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    interactive_figure,
    plot_attention,
    plot_removals,
    plot_shares,
)

# %% tags=["nbval-ignore-output"]
pieces = course.setup("rms_norm", "rotate_pairs")
pieces

# %% [markdown]
# ## 1 · A weighted average
#
# Forget language for a moment. At points $k_1, \dots, k_n$ we have measured $v_1, \dots, v_n$, and want to know the value
# at a new point $q$. A natural guess is an average in which near measurements count more. With the weight
# $e^{-(q-k)^2/2b^2}$, where $b$ says what "near" means:
#
# $$\hat v(q) = \sum_j w_j\, v_j, \qquad w_j = \frac{e^{-(q-k_j)^2/2b^2}}{\sum_l e^{-(q-k_l)^2/2b^2}} . \tag{1}$$
#
# This is *kernel regression* (Nadaraya 1964, Watson 1964). The weights are a softmax. Multiply the exponent out:
# $-(q-k_j)^2 = 2\,q k_j - k_j^2 - q^2$. The last term is the same for all $j$ and cancels in the quotient. What is left
# is twice a scalar product, of $(q, 1)$ with $(k_j, -k_j^2/2)$. So with suitable vectors $q$ and $k_j$, equation (1) says:
#
# $$w = \operatorname{softmax}_j\!\Big(\frac{q\cdot k_j}{\text{scale}}\Big), \qquad \hat v = \sum_j w_j\, v_j . \tag{2}$$
#
# That is attention. The one thing that is new: where $q$, $k$ and $v$ come from is *learned*.


# %%
def kernel_average(new, points, measured, width):
    """Equation (1) for many new points."""
    weights = torch.exp(-(new[:, None] - points).square() / (2 * width**2))
    return weights @ measured / weights.sum(dim=1)


# %%
torch.manual_seed(0)
points = torch.rand(30) * 6
measured = points.sin() + 0.2 * torch.randn(30)
new = torch.linspace(0, 6, 200)
figure, axis = plt.subplots(figsize=(7, 3))
axis.plot(points, measured, "o", color=INK, alpha=0.6, label="measured")
for width, colour in ((0.05, ORANGE), (0.4, BLUE), (5.0, GREEN)):
    axis.plot(new, kernel_average(new, points, measured, width), color=colour, label=f"b = {width}")
axis.set(xlabel="point", ylabel="value", ylim=(-2.2, 1.8))
axis.legend(ncols=4, loc="lower left")
plt.show()

# %% [markdown]
# **What to see.** The width decides everything. If it is small (orange), the softmax is nearly all or nothing: each query
# copies its nearest neighbour, noise included. If it is large (green), all weights are nearly equal: every query gets about
# the mean of everything. In between lies what one wants. The scalar products differ from the squares only by a number for
# each query, which the softmax does not see:

# %%
query = torch.stack([new, torch.ones(200)], dim=1)
key = torch.stack([points, -points.square() / 2], dim=1)
difference = query @ key.T + (new[:, None] - points).square() / 2  # (queries, keys)
print("one number for each query:", bool((difference.amax(dim=1) - difference.amin(dim=1) < 1e-4).all()))

# %% [markdown]
# ## 2 · Why the scores are divided by √d
#
# In a Transformer the queries and keys have $d$ coordinates. Say these are independent, with mean 0 and variance 1. Then
# each product $q_i k_i$ has the mean $\mathbb E\,q_i\;\mathbb E\,k_i = 0$ and the variance
# $\mathbb E\,q_i^2\;\mathbb E\,k_i^2 = 1$. Variances of independent terms add up, so
#
# $$\operatorname{Var}(q\cdot k) = \sum_{i=1}^d \operatorname{Var}(q_i k_i) = d . \tag{3}$$
#
# Scores have the typical size $\sqrt d$: the larger the heads, the closer the softmax comes to all or nothing, before
# anything has been learned. And there it hardly learns: if $w = \operatorname{softmax}(s)$, then
# $\partial w_i/\partial s_j = w_i(\delta_{ij} - w_j)$, where $\delta_{ij}$ is 1 for $i = j$ and else 0. That is next to
# nothing when every $w$ is close to 0 or 1. Dividing by $\sqrt d$ brings the variance back to 1, whatever $d$. This is
# *scaled dot-product attention* (Vaswani et al. 2017, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762), section 3.2.1):
#
# $$\operatorname{attention}(Q, K, V) = \operatorname{softmax}\!\Big(\frac{QK^\top}{\sqrt d}\Big)\,V . \tag{4}$$
#
# We draw 64 keys and many queries for each $d$, and look at the largest weight, and at the size of the derivatives.


# %%
def largest_and_slope(scores):
    """The largest weight, and the sum over the keys of ∂w/∂s, each weight by its own score; averaged over the queries."""
    weights = scores.softmax(dim=-1)
    return weights.amax(dim=-1).mean().item(), (weights * (1 - weights)).sum(dim=-1).mean().item()


torch.manual_seed(0)
sizes = (4, 16, 64, 256, 1024)
scores = [torch.randn(500, d) @ torch.randn(64, d).T for d in sizes]
curves = {
    "q·k": [largest_and_slope(score) for score in scores],
    "q·k / √d": [largest_and_slope(score / d**0.5) for score, d in zip(scores, sizes, strict=True)],
}
assert curves["q·k"][-1][0] > 0.8
assert max(largest for largest, slope in curves["q·k / √d"]) < 0.2

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
for (name, values), colour in zip(curves.items(), (ORANGE, BLUE), strict=True):
    for axis, of_axis in zip(axes, zip(*values, strict=True), strict=True):
        axis.plot(sizes, of_axis, "o-", color=colour, label=name)
for axis, label in zip(axes, ("largest weight", "sum of ∂w/∂s"), strict=True):
    axis.set(xscale="log", ylim=(0, 1), xlabel="head dimension $d$", ylabel=label)
    axis.set_xticks(sizes, sizes)
    axis.minorticks_off()
axes[0].legend()
plt.show()

# %% [markdown]
# **What to see.** Without the division (orange) one key of 64 soon takes nearly all the weight, and the derivatives fade:
# a larger head would learn more slowly. With it (blue) nothing depends on $d$.
#
# ### QK-norm
#
# The division answers for the *beginning*. In training queries and keys may grow, and nothing limits their product. In a
# vision Transformer of 8 billion parameters the scores became so large that the weights were all but one-hot, and the loss
# diverged (Dehghani et al. 2023, [arXiv:2302.05442](https://arxiv.org/abs/2302.05442)). The remedy is a norm on each query
# and each key (Henry et al. 2020, [arXiv:2010.04245](https://arxiv.org/abs/2010.04245)): **QK-norm**. Take RMSNorm, as
# Qwen3 does. Then every query and every key has the length $\sqrt d$ (times learned weights), and the score
# $q\cdot k/\sqrt d = \sqrt d\,\cos(q, k)$ lies between $-\sqrt d$ and $\sqrt d$, however large the matrices have become.
# We let them grow:

# %%
torch.manual_seed(0)
query, key, ones = torch.randn(500, 64), torch.randn(64, 64), torch.ones(64)
for growth in (1, 2, 4, 8):  # of both, so that the scores grow with its square
    plain = largest_and_slope(growth * query @ (growth * key).T / 8)
    normed = [pieces.rms_norm(growth * x, ones, 1e-5) for x in (query, key)]
    with_norm = largest_and_slope(normed[0] @ normed[1].T / 8)
    print(f"times {growth}: largest weight {plain[0]:.2f}, with QK-norm {with_norm[0]:.2f}", end="")
    print(f"; slopes {plain[1]:.2f}, with QK-norm {with_norm[1]:.2f}")

# %% [markdown]
# The norm stands *before* the rotation of notebook 08. A rotation does not change a length, so without weights the order
# would not matter. But the weights of the norm multiply coordinate by coordinate. After the rotation they would stretch each
# pair in fixed directions, and the score would depend on more than the distance:

# %%
torch.manual_seed(0)
query, key, w = torch.randn(1, 8), torch.randn(1, 8), 1 + 0.5 * torch.randn(8)
frequencies = torch.tensor([1.0, 0.3, 0.1, 0.03])


def score(m, n, norm_first):
    """A score with QK-norm, of the query at position m and the key at n."""
    vectors = []
    for x, position in ((query, torch.tensor([m])), (key, torch.tensor([n]))):
        x = pieces.rms_norm(x, w, 1e-5) if norm_first else x
        x = pieces.rotate_pairs(x, position, frequencies)
        vectors.append(x if norm_first else pieces.rms_norm(x, w, 1e-5))
    return (vectors[0] * vectors[1]).sum()


# %%
for order, first in (("norm, then rotation", True), ("rotation, then norm", False)):
    same = torch.allclose(score(3, 0, first), score(13, 10, first), atol=1e-4)
    print(f"{order}: the same score at the same distance: {same}")

# %% [markdown]
# In the library QK-norm is the key `qk_norm` of the model's configuration. Our 26 M model is without.

# %% [markdown]
# ## 3 · The causal mask
#
# A language model predicts the next token, at all positions of a text at once. So position $i$ must not see what comes
# after it.
#
# It seems enough to set the *weights* of later keys to 0. It is not, and the mistake is hard to notice. The weight that
# is left for an earlier key is $e^{s_{ij}} / \sum_l e^{s_{il}}$, and the sum in the denominator still runs over the
# later keys $l > i$. So every output depends on tokens that are yet to come: the better they fit the query, the smaller
# is everything that position $i$ receives. Nothing keeps a model from learning to read that; its training loss is then
# too good to be true, and when it writes, the later tokens are not there. Instead the *scores* of later keys are set to
# $-\infty$ before the softmax: $e^{-\infty} = 0$, and the denominator is the sum of what may be seen.
#
# ### Exercise 1 · Causal attention (2 points)
#
# All three have the shape `(…, seq, head_dim)`, with any number of leading dimensions. Compute (4) with a causal mask, in
# which a token also sees itself. (`key.mT` transposes the last two dimensions.)


# %%
def causal_attention(query, key, value):
    """Equation (4) with a causal mask: three times (…, seq, head_dim) in, the same shape out."""
    ### BEGIN SOLUTION
    seq, head_dim = query.shape[-2:]
    scores = query @ key.mT / head_dim**0.5  # (…, seq, seq)
    visible = torch.ones(seq, seq, dtype=torch.bool).tril()
    return scores.masked_fill(~visible, float("-inf")).softmax(dim=-1) @ value
    ### END SOLUTION


# %%
check.causal_attention(causal_attention)

# %% [markdown]
# The library's is called `attend`, and hands the work to a fused kernel of PyTorch, which never holds the whole matrix of
# weights (section 6). From here on the notebook uses your function if it has passed, and the library's otherwise:

# %%
attended = check.causal_attention.function
torch.manual_seed(1)
query, key, value = torch.randn(3, 2, 4, 6, 8)  # each (batch, heads, seq, head_dim)
same = torch.allclose(attended(query, key, value), attend(query, key, value), atol=1e-5)
print("equal to the library's:", same)

# %% [markdown]
# ### Exercise 2 · Does it look ahead? (2 points)
#
# A leak is found by an experiment: change the input at one position, and see which outputs change. `layer` is a function
# from `(batch, seq, hidden)` to the same shape, and `x` an input for it. Return the list of all positions whose change shows
# in the output at an *earlier* position, in order. For a causal layer the list is empty.


# %%
def leaking_positions(layer, x):
    """The positions whose input gets into earlier outputs: a list of whole numbers."""
    ### BEGIN SOLUTION
    before, found = layer(x), []
    for t in range(x.shape[1]):
        changed = x.clone()
        changed[:, t] += torch.randn_like(x[:, t])
        if not torch.allclose(layer(changed)[:, :t], before[:, :t], atol=1e-5):
            found.append(t)
    return found
    ### END SOLUTION


# %%
check.leaking_positions(leaking_positions)


# %%
def masked_too_late(x):
    """Attention of x over itself whose weights are set to 0 after the softmax."""
    return (x @ x.mT / x.shape[-1] ** 0.5).softmax(dim=-1).tril() @ x


x = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(2))
leaks = check.leaking_positions.function
print("causal attention:         ", leaks(lambda x: attended(x, x, x), x))
print("masked after the softmax: ", leaks(masked_too_late, x))

# %% [markdown]
# ## 4 · Heads and groups
#
# One softmax is one average. A token that has to look at two others, at its subject and at the word before, gets a blend
# of both. *Multi-head* attention runs several attentions side by side, on smaller vectors: the `hidden_size` numbers of
# a token are projected to `n_heads` queries, keys and values of `head_dim` numbers each. What the heads find is laid side
# by side, and one more matrix mixes it:
#
# $$\text{head}_h = \operatorname{attention}(XW^Q_h,\, XW^K_h,\, XW^V_h), \qquad
# Y = [\text{head}_1, \dots, \text{head}_H]\,W^O . \tag{5}$$
#
# The matrices of four heads with 8 numbers are together as large as those of one head with 32. In code all heads' matrices
# are stacked into one, so that one product gives, for each token, the queries of all heads in a row: the first `head_dim`
# numbers are head 0's. Attention, however, wants the heads as a dimension of their own, before the positions. Two operations
# of PyTorch change a shape, and they are not the same. `reshape` (and `view`, `flatten`, `unflatten`) leaves all numbers in
# their order, read row by row, and only divides them differently; `transpose` exchanges two dimensions, and with them the
# order. Where one is needed and the other is used, the shape comes out right and the numbers are scrambled.
#
# ### Exercise 3 · Split the heads (1 point)


# %%
def split_heads(x, head_dim):
    """(batch, seq, heads * head_dim) to (batch, heads, seq, head_dim)."""
    ### BEGIN SOLUTION
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)
    ### END SOLUTION


# %%
check.split_heads(split_heads)

# %% [markdown]
# **Groups.** When a model writes, the keys and values of all earlier tokens are needed again at every step, and are kept: the
# *KV cache* (notebook 15 builds it). Section 7 counts what that costs. Queries are not kept. So let several query heads
# share one key–value head. With one for all this is *multi-query* attention (MQA, Shazeer 2019,
# [arXiv:1911.02150](https://arxiv.org/abs/1911.02150)), with one for each group *grouped-query* attention (GQA, Ainslie et
# al. 2023, [arXiv:2305.13245](https://arxiv.org/abs/2305.13245)). Ainslie et al. report quality close to that of full
# multi-head attention (MHA) at nearly the speed of MQA.
#
# ```
# MHA: 4 key–value heads     GQA: 2               MQA: 1
#
# keys, values   k k k k        k     k               k
#                | | | |       / \   / \          / / \ \
# queries        q q q q       q q   q q          q q q q
# ```
#
# ### Exercise 4 · Repeat the heads (1 point)
#
# The plainest way to compute it is to repeat each key–value head `group_size` times, and go on as before. `x` has the
# shape `(batch, n_kv_heads, seq, head_dim)`. Query heads 0 to `group_size` − 1 share key–value head 0, the next ones head
# 1, and so on.


# %%
def repeat_key_value_heads(x, group_size):
    """(batch, n_kv_heads, seq, head_dim) to (batch, n_kv_heads * group_size, seq, head_dim)."""
    ### BEGIN SOLUTION
    return x.repeat_interleave(group_size, dim=1)
    ### END SOLUTION


# %%
check.repeat_key_value_heads(repeat_key_value_heads)

# %% [markdown]
# ### Exercise 5 · The attention layer (3 points)
#
# Now put it together: project, split into heads, turn queries and keys by their positions, attend with the causal mask, each
# query head with the key–value head of its group, and mix by the last matrix. The matrices are those of `nn.Linear`,
# `(outputs, inputs)`: `w_q` has `n_heads · head_dim` rows, `w_k` and `w_v` have `n_kv_heads · head_dim`. How many heads there
# are, the shapes say. `rotation` is a pair of cosines and sines, and `rotate(query, *rotation)` is the library's turning of
# notebook 08. You may call `causal_attention`, `split_heads` and `repeat_key_value_heads` as you have written them, if they have
# passed.


# %%
def attention_layer(x, w_q, w_k, w_v, w_o, head_dim, rotation):
    """Grouped-query attention with a causal mask: x is (batch, seq, hidden), and so is the result."""
    ### BEGIN SOLUTION
    query, key, value = (split_heads(x @ weight.T, head_dim) for weight in (w_q, w_k, w_v))
    query, key = rotate(query, *rotation), rotate(key, *rotation)
    group_size = query.shape[1] // key.shape[1]
    key, value = (repeat_key_value_heads(each, group_size) for each in (key, value))
    heads = causal_attention(query, key, value)  # (batch, heads, seq, head_dim)
    return heads.transpose(1, 2).flatten(2) @ w_o.T
    ### END SOLUTION


# %%
check.attention_layer(attention_layer)

# %% [markdown]
# The library's layer is a module, `GroupedQueryAttention`, that holds the four matrices. `Attention` takes such a module and
# goes your way through its matrices. It computes the same, and it does not look ahead:


# %%
class Attention(nn.Module):
    """The matrices of the library's layer, with attention_layer in the place of its forward()."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, rotation, mask=None, cache=None):
        projections = self.layer.q_proj, self.layer.k_proj, self.layer.v_proj, self.layer.o_proj
        return check.attention_layer.function(
            x, *(p.weight for p in projections), self.layer.head_dim, rotation
        )


# %%
torch.manual_seed(2)
config = ModelConfig(hidden_size=32, n_heads=4, n_kv_heads=2)
layer, x, rotation = (
    GroupedQueryAttention(config),
    torch.randn(2, 6, 32),
    RotaryEmbedding(config)(torch.arange(6)[None]),
)
print("equal to the library's:", torch.allclose(Attention(layer)(x, rotation), layer(x, rotation), atol=1e-5))
print("positions that leak:   ", leaks(lambda x: Attention(layer)(x, rotation), x))

# %% [markdown]
# ## 5 · Watching heads at work
#
# What do heads look at? In a model of natural language the answer is a research field. We make a language in which it is
# easy. A text is a sequence of random letters, one of them a capital. Now and then comes a question, and the next letter
# answers it:
#
# | question | answer |
# | --- | --- |
# | `1`, `2`, `3` | the letter so many positions before the question |
# | `^` | the first letter of the text |
# | `?` | the capital |
#
# The first three ask for a *distance*, `?` for a *content*, and `^` for a *position*.

# %%
LOWER, UPPER, QUESTIONS = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "123^?"
ALPHABET = LOWER + UPPER + QUESTIONS


def riddle(rng, length=24):
    """A text with one letter more, and for each question its position and that of its answer."""
    capital, answers = rng.randrange(1, 7), {}
    text = [*rng.choices(LOWER, k=capital), rng.choice(UPPER), *rng.choices(LOWER, k=2)]
    while len(text) <= length:
        question, here = rng.choice(QUESTIONS), len(text)
        answers[here] = {"^": 0, "?": capital}[question] if question in "^?" else here - int(question)
        text += [question, text[answers[here]], *rng.choices(LOWER, k=rng.randrange(2, 4))]
    return "".join(text[: length + 1]), {here: there for here, there in answers.items() if here < length}


# %%
example, answers = riddle(random.Random(0))
print(example)
print([f"{example[here]} at {here}: {example[there]}" for here, there in answers.items()])


# %% [markdown]
# Three models of two layers with four heads each, in groups of two, train on your layer; each of the 200 steps has 32 fresh
# texts. Only the answers count for the loss: a label of −100 is ignored.


# %%
def batch(rng, size):
    """Token ids (size, 24), and as labels the answers, -100 where none is asked for."""
    ids = torch.tensor([[ALPHABET.index(letter) for letter in riddle(rng)[0]] for _ in range(size)])
    return ids[:, :-1], ids[:, 1:].where(ids[:, :-1] >= ALPHABET.index("1"), -100)


# %%
shape = {"hidden_size": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 128}
config = ModelConfig(vocab_size=len(ALPHABET), **shape, rope_theta=100.0, initializer_range=0.1)


def trained(seed):
    torch.manual_seed(seed)
    model, rng = MiniLLM(config), random.Random(seed)
    for block in model.layers:
        block.self_attn = Attention(block.self_attn)
    fit(model, lambda step: model.loss(*batch(rng, 32)), 200, lr=0.02)
    return model.requires_grad_(False)


models = [trained(seed) for seed in (0, 1, 2)]

# %%
ids, labels = batch(random.Random(100), 300)


def accuracies(model):
    """The share of right answers to each kind of question, over 300 texts that are new."""
    right = model(ids).argmax(dim=-1) == labels
    return torch.stack([right[ids == ALPHABET.index(question)].float().mean() for question in QUESTIONS])


whole = torch.stack([accuracies(model) for model in models])  # (seeds, questions)
assert (whole > 0.9).all()
print("all three answer more than 90 % of each kind:", (whole > 0.9).all().item())

# %% [markdown]
# They answer all five. Where do their heads look? The layer returns its result and not its weights, so we compute these
# once more, layer by layer.


# %%
split, repeated = check.split_heads.function, check.repeat_key_value_heads.function


def attention_weights(layer, x, rotation):
    """The weights of all heads of a layer, (batch, n_heads, seq, seq)."""
    query, key = (split(project(x), layer.head_dim) for project in (layer.q_proj, layer.k_proj))
    query, key = rotate(query, *rotation), rotate(key, *rotation)
    key = repeated(key, query.shape[1] // key.shape[1])
    later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
    return (query @ key.mT / layer.head_dim**0.5).masked_fill(later, float("-inf")).softmax(dim=-1)


# %%
def attention_maps(model, ids):
    """The weights of all layers and heads, (n_layers, batch, n_heads, seq, seq)."""
    rotation = model.rotary(torch.arange(ids.shape[1])[None])
    x, maps = model.embed_tokens(ids), []
    for block in model.layers:
        maps.append(attention_weights(block.self_attn.layer, block.input_layernorm(x), rotation))
        x = block(x, rotation)
    return torch.stack(maps)


# %%
def solved(number):
    """A text, the answers of its questions, and the maps of the first model, (n_layers, n_heads, seq, seq)."""
    text, answers = riddle(random.Random(number))
    maps = attention_maps(models[0], torch.tensor([[ALPHABET.index(letter) for letter in text[:-1]]]))
    return text[:-1], answers, maps[:, 0]


text, answers, maps = solved(4)
figure, axes = plt.subplots(4, 2, figsize=(10, 7))
for number, axis in enumerate(axes.T.flat):
    layer, head = divmod(number, 4)
    plot_attention(maps[layer, head], text, answers, queries=list(answers), ax=axis)
    axis.set(title=f"layer {layer}, head {head}", xlabel="key" if head == 3 else "")
plt.show()

# %% [markdown]
# **What to see.** Each line of a panel is the query of one question: the stronger the colour of a square, the more weight on the key of that
# column. A ring marks the answer. Right of the question is the future, always empty. Strongly coloured squares in rings are heads that have
# found the answer.
#
# The same head looks at different distances in different lines. That is the point of queries: a head is not a fixed look-up
# but a *comparison*, and the question's query decides what fits. Choose layer, head
# and text yourself, and see the lines of the letters too:


# %%
def map_of(layer, head, text):
    """The map of one head on one text."""
    letters, answers, maps = solved(text)
    figure, axis = plt.subplots(figsize=(5.4, 5.4))
    plot_attention(maps[layer, head], letters, answers, ax=axis)
    axis.set_title(f"layer {layer}, head {head}, text {text}")
    return figure


largest = {"layer": 1, "head": 3, "text": 50}
sliders = {name: widgets.IntSlider(0, 0, most, description=name) for name, most in largest.items()}
interactive_figure(map_of, sliders, max_width=486)

# %% [markdown]
# ### Looking is not needing
#
# A map shows where a head looks, not whether the model needs it. So remove one head at a time, by setting the columns of
# $W^O$ that read it to zero, and count the answers that are still right. Beside it the maps' own answer: how much weight each
# head puts on the answer's position.


# %%
def without_head(model, layer, head):
    """The accuracies with one head removed."""
    weight, dim = model.layers[layer].self_attn.layer.o_proj.weight, config.head_dim
    kept = weight.clone()
    weight[:, head * dim : (head + 1) * dim] = 0
    accuracy = accuracies(model)
    weight.copy_(kept)
    return accuracy


# %%
rng = random.Random(100)
asked = [(which, here, there) for which in range(300) for here, there in riddle(rng)[1].items()]
which, here, there = map(torch.tensor, zip(*asked, strict=True))
kinds, heads = ids[which, here], [(layer, head) for layer in range(2) for head in range(4)]
looking, needing = [], []  # for each model (questions, heads)
for model in models:
    on_answer = attention_maps(model, ids)[:, which, :, here, there].flatten(1)  # (questions asked, heads)
    looking.append(torch.stack([on_answer[kinds == ALPHABET.index(q)].mean(dim=0) for q in QUESTIONS]))
    needing.append(torch.stack([without_head(model, *head) for head in heads], dim=1))

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 2.8))
panels = {"weight on the answer": looking[0], "right answers without the head": needing[0]}
for axis, (title, values) in zip(axes, panels.items(), strict=True):
    plot_shares(values, QUESTIONS, [f"{layer}.{head}" for layer, head in heads], ax=axis)
    axis.set(title=title, xlabel="layer.head", ylabel="question")
plt.show()

# %%
looking, needing = torch.stack(looking), torch.stack(needing)  # (seeds, questions, heads)
unharmed = (needing > 0.85).float().mean().item()
looks_in_vain = ((looking > 0.5) & (needing > 0.9)).flatten(1).sum(dim=1)
assert unharmed > 0.8
assert (looks_in_vain >= 3).all()
print(
    "of all pairs of a question and a removed head, over 80 % leave 85 % of the answers right:",
    unharmed > 0.8,
)
print(
    "pairs with most of the weight on the answer, not needed: 3 or more per model:",
    (looks_in_vain >= 3).all().item(),
)

# %% [markdown]
# **What to see.** (The figure shows the first model; the statements are checked for all three.) On the left several heads look
# at the right key for the same question, and one head does so for several. On the right nearly all questions are still
# answered when any one head is gone: the others cover for it. Heads divide the work, but nobody made them do so cleanly. In
# large models, too, many heads can be removed one at a time with little loss (Michel, Levy and Neubig 2019,
# [arXiv:1905.10650](https://arxiv.org/abs/1905.10650)). Take a beautiful attention map as a hypothesis, and a removal as the
# test.
#
# ### Two layers together
#
# The left panel holds a riddle. For `1`, `2`, `3` and `?` it is layer 0 that looks at the answer, and layer 1 hardly;
# for `^` all heads of layer 1 do. Why? The first four can be answered by one comparison: of distances, or of what the
# letter is. `^` cannot ask for *one* distance, as the first letter is at another one each time, and the first letter is
# a letter like all others. What makes it different is that nothing stands before it. So layer 0 could *mark* it:
# attention over a single key brings something else to a position than attention over many. Layer 1 could then look for
# the mark. That would be a composition of two layers, and it would give a meaning to what layer 0 does at letters,
# where nothing is asked.
#
# A hypothesis; here is the test. Switch a layer's attention off at some positions only, by setting its output there to zero.
# As a last test, take the rotation away: then nothing knows a position but the causal mask.
# (A *hook* is a function that PyTorch calls with the output of a module, and that may put another in its place.)


# %%
def without_attention(model, layer, where):
    """The accuracies with a layer's attention switched off at the positions (300, 24) where `where` is true."""
    attention = model.layers[layer].self_attn
    hook = attention.register_forward_hook(
        lambda part, inputs, output: output.masked_fill(where[..., None], 0)
    )
    accuracy = accuracies(model)
    hook.remove()
    return accuracy


# %%
def without_rotation(model):
    """The accuracies with all angles of the rotation at 0."""
    frequencies = model.rotary.frequencies.clone()
    model.rotary.frequencies.zero_()
    accuracy = accuracies(model)
    model.rotary.frequencies.copy_(frequencies)
    return accuracy


# %%
asks = ids >= ALPHABET.index("1")
is_first = torch.zeros_like(asks)
is_first[:, 0] = True
tests = {
    "nothing": (0, torch.zeros_like(asks)),
    "attention of layer 0, at the questions": (0, asks),
    "attention of layer 1, at the questions": (1, asks),
    "attention of layer 0, at the letters": (0, ~asks),
    "attention of layer 1, at the letters": (1, ~asks),
    "attention of layer 0, at the first letter": (0, is_first),
    "attention of layer 0, at all letters but the first": (0, ~asks & ~is_first),
}

# %%
results = {
    name: torch.stack([without_attention(model, *test) for model in models]) for name, test in tests.items()
}
results["the rotation, everywhere"] = torch.stack([without_rotation(model) for model in models])

# %%
axis = plot_removals(results, QUESTIONS, ax=plt.figure(figsize=(9, 3.8)).gca())
axis.set(xlabel="right answers (three seeds)", ylabel="switched off")
plt.show()

# %%
part = list(results.values())  # (seeds, questions) each, in the order of the figure
simple, caret = [0, 1, 2, 4], 3  # 1, 2, 3 and ?; and ^


def caret_alone(accuracy):
    """Whether ^ suffers, in every model and clearly on average, and nothing else does."""
    suffers = accuracy[:, caret].max() < 0.9 and accuracy[:, caret].mean() < 0.7
    return bool(suffers and accuracy[:, simple].min() > 0.85)


# %%
said = {
    "without layer 0 at the questions, less than half of the others": part[1][:, simple].max() < 0.5,
    "without layer 1 at the questions, ^ alone suffers": caret_alone(part[2]),
    "without layer 0 at the letters, ^ alone suffers": caret_alone(part[3]),
    "without layer 1 at the letters, nothing suffers": part[4].min() > 0.9,
    "^ suffers more than with the first letter alone": (part[5] - part[3])[:, caret].mean() > 0.15,
    "^ suffers more than with all letters but the first": (part[6] - part[3])[:, caret].mean() > 0.15,
    "without the rotation, less than 60 % of 1, 2 and 3": part[7][:, :3].max() < 0.6,
    "without the rotation, more than half of ^": part[7][:, caret].min() > 0.5,
    "without the rotation, more than 85 % of ?": part[7][:, 4].min() > 0.85,
}
assert all(said.values())
for statement, holds in said.items():
    print(f"{statement}: {bool(holds)}")

# %% [markdown]
# **What to see.** Each dot is a model, each colour a question. Without layer 0 at the questions, the four simple kinds
# are lost: they are answered there. `^` (the fourth) is answered in layer 1: without that layer at the questions
# it alone suffers. And it alone suffers if layer 0 is switched off *at the letters*, where its attention seemed to have
# no use: layer 1 reads what layer 0 has written there. (How much, differs from model to model.) At the letters of layer
# 1, finally, nothing is lost, as no layer comes after it. So the hypothesis holds: **`^` is answered by two layers
# together.**
#
# The last line takes the rotation away. Then `1`, `2` and `3` are lost: distances are found by the turning of notebook 08.
# `?` asks for a content, and is not lost. And `^` for the most part survives, as its mark comes from the causal mask, which
# lets the first letter see nothing but itself.
#
# The two lines above it say how the mark is made. It nearly suffices that layer 0 works at the first letter, or that it
# works at all the others: what layer 1 uses is the difference between them. Only when both are switched off, and so are
# alike, is much lost. (That these models do it so does not mean that they must. For a key that is always the farthest,
# distance alone could serve too: with `n_layers=1` a model learns all five kinds as well.)
#
# Heads of one layer that read what heads of an earlier one have written are found in large models, too; the best known are
# *induction heads* (Olsson et al. 2022, [arXiv:2209.11895](https://arxiv.org/abs/2209.11895)).
#
# ## 6 · Without the matrix of weights
#
# Your layer computes a matrix of scores, (seq, seq), for each head of each text. For 8 heads of 64 numbers and a text
# of 8,192 tokens these are $8 \cdot 8192^2$ numbers, with 2 bytes each 1 GiB per layer, though the result has only 8
# MiB. PyTorch's fused kernel gets along without: it takes the keys and values block by block, and never holds more than
# a block's scores. This is *FlashAttention* (Dao et al. 2022, [arXiv:2205.14135](https://arxiv.org/abs/2205.14135)).
# The difficulty is the softmax. Its denominator is a sum over *all* keys, and for large scores a maximum has to be
# subtracted first, over all keys too; neither is known before the last block. The **online softmax** (Milakov and
# Gimelshein 2018, [arXiv:1805.02867](https://arxiv.org/abs/1805.02867)) keeps for each query three things about the
# keys that it has seen:
#
# $$m = \max_j s_j, \qquad Z = \sum_j e^{s_j - m}, \qquad a = \sum_j e^{s_j - m}\, v_j . \tag{6}$$
#
# After the last block the result is $a / Z$. Before the first, $m = -\infty$, and $Z$ and $a$ are zero. What happens to $Z$ and
# $a$ when a block brings a higher maximum?
#
# ### Exercise 6 · One more block (3 points)
#
# `state` is `(highest, total, weighted)`, the $m$, $Z$ and $a$ of all queries: `(queries,)`, `(queries,)` and
# `(queries, head_dim)`. A block brings `scores`, `(queries, keys)`, and `value`, `(keys, head_dim)`. Return the new state, so
# that (6) holds for all keys seen so far. Scores may be in the thousands.


# %%
def add_block(state, scores, value):
    """The state (highest, total, weighted) of equation (6) after one more block of keys."""
    ### BEGIN SOLUTION
    highest, total, weighted = state
    new = torch.maximum(highest, scores.amax(dim=-1))
    factor = (highest - new).exp()  # what was added up before has the old maximum in its powers
    powers = (scores - new[:, None]).exp()
    return new, factor * total + powers.sum(dim=-1), factor[:, None] * weighted + powers @ value
    ### END SOLUTION


# %%
check.add_block(add_block)


# %%
def blockwise_attention(query, key, value, size=16):
    """Causal attention of one head, (seq, head_dim) each, with no more than `size` keys at a time."""
    seq, head_dim = query.shape
    state = torch.full((seq,), float("-inf")), torch.zeros(seq), torch.zeros(seq, head_dim)
    for start in range(0, seq, size):
        scores = query @ key[start : start + size].T / head_dim**0.5
        later = torch.arange(start, start + scores.shape[1]) > torch.arange(seq)[:, None]
        state = check.add_block.function(
            state, scores.masked_fill(later, float("-inf")), value[start : start + size]
        )
    return state[2] / state[1][:, None]


# %%
torch.manual_seed(3)
query, key, value = 3 * torch.randn(3, 100, 32)
whole_matrix = attended(query, key, value)
print(
    "the same as with the whole matrix:",
    torch.allclose(blockwise_attention(query, key, value), whole_matrix, atol=1e-4),
)

# %% [markdown]
# The arithmetic has even grown a little. What is saved is memory and its traffic: a block's scores stay in the fast memory
# of the chip, and the matrix of weights is never written to the slow one and read back. In the backward pass the weights are
# computed once more, block by block, from $m$ and $Z$.
#
# ## 7 · What sharing saves
#
# For each new token that a model writes the whole cache is read once, to compute very little; what takes the time is the
# reading (notebook 16 measures it). A smaller cache is therefore faster as well as smaller.
#
# ### Exercise 7 · What fits? (1 point)
#
# A server keeps `batch_size` conversations at a time and has `memory` bytes left for their caches. How many tokens may
# each of them have? All arguments are whole numbers; one of them does not matter.


# %%
def longest_context(memory, batch_size, n_layers, n_heads, n_kv_heads, head_dim, bytes_per_value):
    """The largest number of tokens for which the caches of all conversations fit into `memory` bytes."""
    ### BEGIN SOLUTION
    bytes_per_token = 2 * n_layers * n_kv_heads * head_dim * bytes_per_value  # a key and a value
    return memory // (batch_size * bytes_per_token)
    ### END SOLUTION


# %%
check.longest_context(longest_context)

# %% [markdown]
# For the 26 M model (8 layers, 8 query heads of 64 numbers) with 2 bytes per number: the cache of a context of 2,048 tokens,
# and how long a context fits into 1 GiB.

# %%
for n_kv_heads, name in ((8, "MHA"), (4, "GQA"), (2, "GQA"), (1, "MQA")):
    shape = ModelConfig(n_kv_heads=n_kv_heads)
    cache = KVCache(shape, batch_size=1, max_len=2048, dtype=torch.bfloat16)
    assert cache.nbytes == shape.kv_cache_bytes(batch_size=1, seq_len=2048)
    fits = check.longest_context.function(2**30, 1, 8, 8, n_kv_heads, 64, 2)
    print(
        f"{name}, {n_kv_heads} key–value heads: {cache.nbytes / 2**20:4.0f} MiB; 1 GiB holds {fits:7,} tokens"
    )

# %% [markdown]
# The 26 M model has two key–value heads: a quarter of the cache of MHA.
#
# ### What it costs in time
#
# One step of decoding, attention only: four texts, one new query for each of 8 heads, 2,048 keys and values in the
# cache. Times are of the machine that made this page, and will be others on yours.

# %%
query = torch.randn(4, 8, 1, 64)
caches = {n_kv_heads: torch.randn(2, 4, n_kv_heads, 2048, 64) for n_kv_heads in (8, 4, 2, 1)}
sizes = {n_kv_heads: cache.nbytes / 2**20 for n_kv_heads, cache in caches.items()}
milliseconds = dict.fromkeys(caches, float("inf"))
for _ in range(50):  # in turn, so that what else the machine does hits all of them alike
    for n_kv_heads, (key, value) in caches.items():
        start = time.perf_counter()
        attend(query, key, value)
        passed = 1000 * (time.perf_counter() - start)
        milliseconds[n_kv_heads] = min(milliseconds[n_kv_heads], passed)
for n_kv_heads, size in sizes.items():
    print(f"{n_kv_heads} key–value heads, {size:4.0f} MiB: ~{milliseconds[n_kv_heads]:.2f} ms")
assert milliseconds[8] > 1.3 * milliseconds[1]

# %%
figure, axis = plt.subplots(figsize=(5, 3))
axis.plot(sizes.values(), milliseconds.values(), "o-", color=BLUE)
for n_kv_heads, size in sizes.items():
    axis.annotate(
        f"{n_kv_heads}", (size, milliseconds[n_kv_heads]), xytext=(4, -12), textcoords="offset points"
    )
axis.set(xlabel="keys and values read (MiB)", ylabel="time of one step (ms)", xlim=(0, None), ylim=(0, None))
plt.show()

# %% [markdown]
# **What to see.** The number beside each point is that of the key–value heads. The arithmetic is the same at all four
# points: 8 query heads against 2,048 keys. What shrinks is the memory that is read, and the time shrinks with it. In a
# whole model the gain is smaller, since the matrices of all layers must be read too; notebook 16 measures that.
#
# ## Summary
#
# - Attention is a weighted average: a softmax over scalar products decides how much of each value goes in.
# - Scores of $d$ independent coordinates have the variance $d$. Divided by $\sqrt d$, the softmax starts where it can
#   learn, whatever the size of the head. QK-norm bounds the scores for the rest of the training.
# - The causal mask sets the scores of later keys to $-\infty$, *before* the softmax; after it, they would still stand in the
#   denominator. A test by changed inputs finds every such leak.
# - Several heads are several averages at once, for the price of one. They are split by cutting each vector up and transposing;
#   `reshape` alone scrambles them.
# - What heads look at can be drawn; whether they are needed must be tested by removal. What a layer does at one position may
#   be read by the next layer at another.
# - The online softmax gives the exact result block by block, without the matrix of weights.
# - In GQA groups of query heads share keys and values. The cache is smaller by a factor, the number of query heads in a
#   group, and with it falls the time that attention takes in decoding.
#
# **In the library:** `minillm_lib/model/attention.py`, and `minillm_lib/model/kv_cache.py`.
# **Next:** [10 · SwiGLU](10_swiglu.ipynb), the other half of a Transformer's block.
#
# **To read on.** Vaswani et al. 2017; Tsai et al. 2019, "Transformer Dissection",
# [arXiv:1908.11775](https://arxiv.org/abs/1908.11775), for attention as a kernel; Olsson et al. 2022 for heads that work
# together across layers; Dao et al. 2022 for the fused kernel; Wortsman et al. 2023, "Small-scale proxies for large-scale
# Transformer training instabilities", [arXiv:2309.14322](https://arxiv.org/abs/2309.14322), for what QK-norm does to the
# learning rates that a Transformer tolerates.
