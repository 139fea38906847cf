# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 09 · Attention, and heads that share
#
# **What you build.** Attention, step by step from a weighted average: scores, scaling, the causal mask, several heads,
# and heads that share their keys and values (GQA). You train a small model whose heads can be watched at work, and you
# count and measure what sharing saves.
#
# **What you need.** Matrices in PyTorch, the softmax. From [08 · RoPE](08_rope.ipynb): that queries and keys are turned
# by their positions.
#
# **How long.** About 50 minutes to work through. All cells together run in under 30 seconds on two CPU cores.
#
# > **中文提要** 注意力就是加权平均：查询与每个键比较，得分经 softmax 变成权重，再对值求平均。本节从一维核回归出发写出注意力，
# > 用方差解释为什么要除以 √d，用因果掩码保证看不到未来，再推广到多头与分组查询注意力（GQA）。随后训练一个会回答五种小问题的模型，
# > 用滑块逐层逐头查看注意力图；最后精确计算 KV 缓存的字节数，并实测从 MHA 到 GQA 再到 MQA 时解码速度的变化。

# %%
import io
import random
import time

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch
from ipywidgets import Image, IntSlider, VBox

from minillm_lib import MiniLLM, ModelConfig, check
from minillm_lib.model import GroupedQueryAttention, KVCache, RotaryEmbedding, attend, rotate
from minillm_lib.viz import BLUE, GREEN, ORANGE, PALE, use_style

use_style()
torch.set_num_threads(1)  # for matrices as small as these, sharing the work out costs more than it saves

# %% [markdown]
# ## 1 · A weighted average
#
# Forget language for a moment. At places $k_1, \dots, k_n$ we have measured $v_1, \dots, v_n$, and want to know the value
# at a new place $q$. A natural guess is an average in which near measurements count more. With the weight
# $e^{-(q-k)^2/2h^2}$, where $h$ says what "near" means:
#
# $$\hat v(q) = \sum_j w_j\, v_j, \qquad w_j = \frac{e^{-(q-k_j)^2/2h^2}}{\sum_l e^{-(q-k_l)^2/2h^2}} . \tag{1}$$
#
# This is *kernel regression* (Nadaraya 1964, Watson 1964). The weights are a softmax. Multiply the exponent out,
# $-(q-k_j)^2 = 2\,q k_j - k_j^2 - q^2$. The last term is the same for all $j$ and cancels in the quotient. What is left
# is a scalar product, of $(q, 1)$ with $(k_j, -k_j^2/2)$, divided by $h^2$. So with suitable vectors $q$ and $k_j$,
# equation (1) says:
#
# $$w = \operatorname{softmax}_j\!\Big(\frac{q\cdot k_j}{\text{scale}}\Big), \qquad \hat v = \sum_j w_j\, v_j . \tag{2}$$
#
# That is attention. The one thing that is new: where $q$, $k$ and $v$ come from is *learned*.


# %%
def average(query, key, value, scale):
    """Equation (2) for many queries: query (m, d), key (n, d), value (n, …)."""
    weights = (query @ key.T / scale).softmax(dim=-1)  # (m, n)
    return weights @ value


torch.manual_seed(0)
places = torch.rand(30) * 6
measured = places.sin() + 0.2 * torch.randn(30)
new = torch.linspace(0, 6, 200)
query = torch.stack([new, torch.ones(200)], dim=1)
key = torch.stack([places, -places.square() / 2], dim=1)
figure, axis = plt.subplots(figsize=(7, 3))
axis.plot(places, measured, "o", color=PALE, label="measured")
for width, colour in ((0.05, ORANGE), (0.4, BLUE), (5.0, GREEN)):
    axis.plot(new, average(query, key, measured, scale=width**2), color=colour, label=f"h = {width}")
axis.set(xlabel="place", ylabel="value", ylim=(-2.2, 1.8))
axis.legend(ncols=4, loc="lower left")
plt.show()

# %% [markdown]
# **What to see.** The scale decides everything. Small (orange), and the softmax is nearly all or nothing: each query
# copies its nearest neighbour, noise included. Large (green), and all weights are nearly equal: every query gets about
# the mean of everything. In between lies what one wants.
#
# ## 2 · Why the scores are divided by √d
#
# In a transformer the queries and keys have $d$ coordinates. Say these are independent, with mean 0 and variance 1. Then
# each product $q_i k_i$ has the mean $\mathbb E\,q_i\;\mathbb E\,k_i = 0$ and the variance
# $\mathbb E\,q_i^2\;\mathbb E\,k_i^2 = 1$. Variances of independent terms add up, so
#
# $$\operatorname{Var}(q\cdot k) = \sum_{i=1}^d \operatorname{Var}(q_i k_i) = d . \tag{3}$$
#
# Scores have the typical size $\sqrt d$: the larger the heads, the closer the softmax comes to all or nothing, before
# anything has been learned. And there it does not learn: if $w = \operatorname{softmax}(s)$, then
# $\partial w_i/\partial s_j = w_i(\delta_{ij} - w_j)$, which is next to nothing when every $w$ is close to 0 or 1. Dividing
# by $\sqrt d$ brings the variance back to 1, whatever $d$. This is *scaled dot-product attention* (Vaswani et al. 2017,
# [arXiv:1706.03762](https://arxiv.org/abs/1706.03762), section 3.2.1):
#
# $$\operatorname{attention}(Q, K, V) = \operatorname{softmax}\!\Big(\frac{QK^\top}{\sqrt d}\Big)\,V . \tag{4}$$
#
# We draw 64 keys and many queries for each $d$, and look at the largest weight, and at the size of the derivatives.

# %%
torch.manual_seed(0)
rows = []
for d in (4, 16, 64, 256, 1024):
    scores = torch.randn(500, d) @ torch.randn(64, d).T
    for name, scale in (("q·k", 1.0), ("q·k / √d", d**0.5)):
        weights = (scores / scale).softmax(dim=-1)
        slope = (weights * (1 - weights)).sum(dim=-1)  # of each weight by its own score
        rows.append(
            {"d": d, "scores": name, "largest": weights.amax(-1).mean().item(), "slope": slope.mean().item()}
        )
scaling = pd.DataFrame(rows)

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
for axis, column, label in zip(axes, ("largest", "slope"), ("largest weight", "sum of ∂w/∂s"), strict=True):
    sns.lineplot(scaling, x="d", y=column, hue="scores", marker="o", palette=[ORANGE, BLUE], ax=axis)
    axis.set(
        xscale="log", ylim=(0, 1), xlabel="head dimension $d$", ylabel=label, xticks=scaling["d"].unique()
    )
    axis.set_xticks(scaling["d"].unique(), scaling["d"].unique())
    axis.minorticks_off()
axes[1].get_legend().remove()
plt.show()

# %% [markdown]
# **What to see.** Without the division (orange) one key of 64 soon takes nearly all the weight, and the derivatives fade:
# a larger head would learn more slowly. With it (blue) nothing depends on $d$.
#
# ## 3 · The causal mask
#
# A language model predicts the next token, at all positions of a text at once. So position $i$ must not see what comes
# after it. Setting the *weights* of later keys to 0 is not enough, for the rest would no longer add up to 1. Instead
# their *scores* are set to $-\infty$ before the softmax; $e^{-\infty} = 0$, and the softmax divides by the sum of what is
# left.
#
# ### Exercise 1 · Causal attention (1 point)
#
# All three have the shape `(…, seq, head_dim)`. Row $i$ of the scores belongs to query $i$, and may use the columns
# $j \le i$. `torch.ones(n, n, dtype=torch.bool).tril()` is true on and below the diagonal, `masked_fill` fills where a
# mask is true, and `key.mT` transposes the last two dimensions.


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
# The library's is called `attend`, and hands the work to PyTorch's fused kernel, which never holds the whole matrix of
# weights. It equals (4), computed position by position, each with the keys up to its own:

# %%
torch.manual_seed(1)
query, key, value = torch.randn(3, 1, 1, 6, 8)  # each (batch, heads, seq, head_dim)
by_hand = [
    average(query[0, 0, [i]], key[0, 0, : i + 1], value[0, 0, : i + 1], scale=8**0.5) for i in range(6)
]
print(
    "equal to the library's:", torch.allclose(attend(query, key, value)[0, 0], torch.cat(by_hand), atol=1e-6)
)
later = value.clone()
later[0, 0, 4] = 100.0  # the value at position 4 changes: where does the result?
changed = (attend(query, key, later) - attend(query, key, value)).abs().amax(dim=-1).flatten() > 0
print("changed at positions", changed.nonzero().flatten().tolist())

# %% [markdown]
# ## 4 · Several heads
#
# One softmax is one average. A token that has to look at two places, at its subject and at the word before, gets a blend
# of both. *Multi-head* attention runs several attentions side by side, on smaller vectors: the `hidden_size` numbers of
# a token are projected to `n_heads` queries, keys and values of `head_dim` numbers each. What the heads find is laid side
# by side, and one more matrix mixes it:
#
# $$\text{head}_h = \operatorname{attention}(XW^Q_h,\, XW^K_h,\, XW^V_h), \qquad
# Y = [\text{head}_1, \dots, \text{head}_H]\,W^O . \tag{5}$$
#
# In code all heads' matrices are stacked into one, and the result is cut up. Below is the whole layer, with the turning
# of notebook 08 between projection and comparison.


# %%
def split_heads(x, head_dim):
    """(batch, seq, heads * head_dim) to (batch, heads, seq, head_dim)."""
    return x.unflatten(-1, (-1, head_dim)).transpose(1, 2)


def multi_head_attention(layer, x, rotation):
    """Equation (5), head by head, with the matrices of the library's layer."""
    projections = layer.q_proj, layer.k_proj, layer.v_proj
    query, key, value = (split_heads(projection(x), layer.head_dim) for projection in projections)
    query, key = rotate(query, *rotation), rotate(key, *rotation)
    heads = [attend(query[:, [h]], key[:, [h]], value[:, [h]])[:, 0] for h in range(query.shape[1])]
    return layer.o_proj(torch.cat(heads, dim=-1))  # (batch, seq, hidden)


torch.manual_seed(2)
config = ModelConfig(hidden_size=32, n_heads=4, n_kv_heads=4)
layer, x = GroupedQueryAttention(config), torch.randn(2, 6, 32)
rotation = RotaryEmbedding(config)(torch.arange(6)[None])
torch.allclose(multi_head_attention(layer, x, rotation), layer(x, rotation), atol=1e-6)

# %% [markdown]
# The matrices of four heads with 8 numbers are as large as those of one head with 32.
#
# ## 5 · Watching heads at work
#
# What do heads look at? In a model of natural language the answer is a research field. We make a language in which it is
# easy. A text is a row of random letters, one of them a capital. Now and then comes a question, and the next letter
# answers it:
#
# | question | answer |
# | --- | --- |
# | `1`, `2`, `3` | the letter that stands so many places before the question |
# | `^` | the first letter of the text |
# | `?` | the capital |
#
# The first three ask for a *distance*, the last for a *content*.

# %%
LOWER, UPPER, QUESTIONS = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "123^?"
ALPHABET = LOWER + UPPER + QUESTIONS


def riddle(rng, length=25):
    """A text, and for each question in it where its answer stands."""
    letters = rng.choices(LOWER, k=length)
    capital = rng.randrange(1, 7)
    text = [*letters[:capital], rng.choice(UPPER), *rng.choices(LOWER, k=2)]
    places = {}
    while len(text) < length:
        question, here = rng.choice(QUESTIONS), len(text)
        places[here] = {"^": 0, "?": capital}.get(question, here - "0123^?".index(question))
        text += [question, text[places[here]], *rng.choices(LOWER, k=rng.randrange(2, 4))]
    return "".join(text[:length]), places


example, places = riddle(random.Random(0))
print(example)
print([f"{example[here]} at {here}: {example[there]}" for here, there in places.items()])

# %% [markdown]
# A model of two layers with four heads each, trained on 300 batches of fresh texts. Only the answers count for the loss:
# a label of −100 is ignored.


# %%
def batch(rng, size):
    """Token ids (size, 24), and as labels the answers, -100 where none is asked for."""
    texts = [riddle(rng)[0] for _ in range(size)]
    ids = torch.tensor([[ALPHABET.index(letter) for letter in text] for text in texts])
    is_question = ids[:, :-1] >= ALPHABET.index("1")
    return ids[:, :-1], ids[:, 1:].where(is_question, -100)


# %%
config = ModelConfig(vocab_size=len(ALPHABET), hidden_size=64, n_layers=2, n_heads=4, n_kv_heads=2,
                     intermediate_size=128, rope_theta=100.0, initializer_range=0.1)  # fmt: skip
torch.manual_seed(0)
model, rng = MiniLLM(config), random.Random(0)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.98))
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=300, pct_start=0.1)
for _ in range(300):
    ids, labels = batch(rng, 32)
    optimizer.zero_grad()
    model.loss(ids, labels).backward()
    optimizer.step()
    schedule.step()

# %%
ids, labels = batch(random.Random(1), 500)
asked = labels != -100
with torch.inference_mode():
    correct = model(ids).argmax(dim=-1) == labels
for question in QUESTIONS:
    of_this_kind = ids == ALPHABET.index(question)
    print(f"{question}: more than 90% right: {(correct[of_this_kind].float().mean() > 0.9).item()}")

# %% [markdown]
# It answers all five. Where do its heads look? The fused kernel keeps the weights to itself, so we compute them once
# more, layer by layer. (The four query heads share two key heads, in groups; section 6 explains that.)


# %%
@torch.inference_mode()
def attention_maps(model, ids):
    """The weights of all heads, (n_layers, batch, n_heads, seq, seq): row by row what each query looks at."""
    rotation = model.rotary(torch.arange(ids.shape[1])[None])
    future = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).triu(1)
    x, maps = model.embed_tokens(ids), []
    for block in model.layers:
        layer, normed = block.self_attn, block.input_layernorm(x)
        query = rotate(split_heads(layer.q_proj(normed), layer.head_dim), *rotation)
        key = rotate(split_heads(layer.k_proj(normed), layer.head_dim), *rotation)
        groups = query.unflatten(1, (key.shape[1], -1))  # (batch, n_kv_heads, group, seq, head_dim)
        scores = groups @ key[:, :, None].mT / layer.head_dim**0.5
        maps.append(scores.masked_fill(future, float("-inf")).softmax(dim=-1).flatten(1, 2))
        x = block(x, rotation)
    return torch.stack(maps)


# %%
def draw_map(axis, weights, text, places, size=6):
    """One head's weights; a ring marks where the answer to each question stands."""
    axis.imshow(weights, cmap="Blues", vmin=0, vmax=1)
    axis.plot(places.values(), places.keys(), "o", markersize=size, markerfacecolor="none", color=ORANGE)
    axis.set_xticks(range(len(text)), text)
    axis.set_yticks(range(len(text)), text)
    axis.tick_params(labelsize=size, length=0)
    axis.grid(visible=False)


# %%
text, places = riddle(random.Random(4))
text, places = text[:-1], {here: there for here, there in places.items() if here < len(text) - 1}
maps = attention_maps(model, torch.tensor([[ALPHABET.index(letter) for letter in text]]))[:, 0]
figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), sharex=True, sharey=True)
for layer, row in enumerate(axes):
    for head, axis in enumerate(row):
        draw_map(axis, maps[layer, head], text, places, size=5)
        axis.set_title(f"layer {layer}, head {head}")
for axis in axes[:, 0]:
    axis.set_ylabel("query")
for axis in axes[1]:
    axis.set_xlabel("key")
plt.show()

# %% [markdown]
# **What to see.** Each row is one query: the darker, the more weight on the key of that column. Above the diagonal is the
# future, always white. Look at the rows of the questions, where a ring marks the place of the answer. Dark squares in
# rings are heads that have found it. In the rows of ordinary letters, where nothing is asked for, the weights are
# whatever they happen to be: they cost nothing.
#
# The same head looks one place back in one row, three back in another, and at the capital in a third. That is the point
# of queries: a head is not a fixed look-up but a *comparison*, and the question token's query decides what fits.
# Distance questions find their key by the turning of notebook 08, whatever letter stands there; `?` finds the capital
# wherever it stands. Choose layer, head and text yourself:


# %%
def picture(layer, head, number):
    """The map of one head on one text, as PNG bytes."""
    text, places = riddle(random.Random(number))
    text, places = text[:-1], {here: there for here, there in places.items() if here < len(text) - 1}
    maps = attention_maps(model, torch.tensor([[ALPHABET.index(letter) for letter in text]]))
    figure, axis = plt.subplots(figsize=(5, 5))
    draw_map(axis, maps[layer, 0, head], text, places, size=9)
    axis.set(xlabel="key", ylabel="query", title=f"layer {layer}, head {head}, text {number}")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    plt.close(figure)
    return buffer.getvalue()


def redraw(change=None):
    image.value = picture(*(slider.value for slider in sliders))


# %%
names = {"layer": 1, "head": 3, "text": 50}
sliders = [IntSlider(0, 0, largest, description=name) for name, largest in names.items()]
image = Image(format="png")
for slider in sliders:
    slider.observe(redraw, names="value")
redraw()
VBox([*sliders, image])

# %% [markdown]
# ### Looking is not needing
#
# A map shows where a head looks, not whether the model needs it. So we test both over 500 texts: for each question, how
# much weight each head puts on the place of the answer; and how many answers go wrong when the head is removed, that is,
# when the columns of $W^O$ that read it are set to zero.


# %%
@torch.inference_mode()
def accuracies_without(layer, head):
    """The share of right answers to each question with one head removed."""
    weight, dim = model.layers[layer].self_attn.o_proj.weight, config.head_dim
    kept = weight.clone()
    weight[:, head * dim : (head + 1) * dim] = 0
    correct = model(ids).argmax(dim=-1) == labels
    weight.copy_(kept)
    return [correct[ids == ALPHABET.index(question)].float().mean().item() for question in QUESTIONS]


rng = random.Random(1)
asked = [(row, here, there) for row in range(500) for here, there in riddle(rng)[1].items() if here < 24]
row, here, there = map(torch.tensor, zip(*asked, strict=True))
on_answer = attention_maps(model, ids)[:, row, :, here, there]  # (questions asked, n_layers, n_heads)
kinds = ids[row, here]
heads = [f"{layer}.{head}" for layer in range(2) for head in range(4)]
looking = [on_answer[kinds == ALPHABET.index(q)].mean(dim=0).flatten().tolist() for q in QUESTIONS]
without = torch.tensor([accuracies_without(layer, head) for layer in range(2) for head in range(4)]).T

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 2.8))
panels = {"weight on the answer's place": looking, "right answers without the head": without.tolist()}
for axis, (title, values) in zip(axes, panels.items(), strict=True):
    table = pd.DataFrame(values, index=list(QUESTIONS), columns=heads)
    sns.heatmap(
        table, vmin=0, vmax=1, cmap="Blues", annot=True, fmt=".2f", cbar=False, ax=axis, annot_kws={"size": 8}
    )
    axis.set(title=title, xlabel="layer.head", ylabel="question")
    axis.tick_params(axis="y", rotation=0)
plt.show()

# %% [markdown]
# **What to see.** On the left several heads look at the right place for the same question, and one head does so for
# several. On the right nearly all questions are still answered when any one head is gone: the others cover for it. Heads
# divide the work, but nobody made them do so cleanly. In large models, too, many heads can be removed one at a time with
# little loss (Michel, Levy and Neubig 2019, [arXiv:1905.10650](https://arxiv.org/abs/1905.10650)). Take a beautiful
# attention map as a hypothesis, and a removal as the test.
#
# ## 6 · Heads that share keys and values
#
# When a model writes, it adds one token at a time. The keys and values of all earlier tokens are needed again at every
# step, so they are kept: the *KV cache* (notebook 15 builds it). For each new token the whole cache is read once, to
# compute very little; what takes the time is the reading. A smaller cache is therefore faster as well as smaller.
#
# Queries are not kept. So let several query heads share one key–value head. With one for all this is *multi-query*
# attention (MQA, Shazeer 2019, [arXiv:1911.02150](https://arxiv.org/abs/1911.02150)), with one for each group
# *grouped-query* attention (GQA, Ainslie et al. 2023, [arXiv:2305.13245](https://arxiv.org/abs/2305.13245)). Ainslie et
# al. report quality close to that of full multi-head attention (MHA) at nearly the speed of MQA.
#
# ```
# MHA: 4 key–value heads     GQA: 2               MQA: 1
#
# keys, values   k k k k        k     k               k
#                | | | |       / \   / \          / / \ \
# queries        q q q q       q q   q q          q q q q
# ```
#
# ### Exercise 2 · Repeat the heads (2 points)
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
# The library's `attend` sees from the shapes how many query heads share, and copies nothing. Query head $h$ uses
# key–value head $\lfloor h / \text{group}\rfloor$. Head by head:

# %%
torch.manual_seed(3)
query, key, value = torch.randn(1, 6, 5, 8), torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 8)
by_hand = [attend(query[:, [h]], key[:, [h // 3]], value[:, [h // 3]]) for h in range(6)]
torch.allclose(attend(query, key, value), torch.cat(by_hand, dim=1), atol=1e-6)

# %% [markdown]
# ### What the cache costs
#
# Each token leaves in each layer a key and a value, of `n_kv_heads * head_dim` numbers each. For the 26 M model (8
# layers, 8 query heads of 64 numbers) with 2 bytes a number, and a context of 2,048 tokens:

# %%
for n_kv_heads, name in ((8, "MHA"), (4, "GQA"), (2, "GQA"), (1, "MQA")):
    shape = ModelConfig(n_kv_heads=n_kv_heads)
    cache = KVCache(shape, batch_size=1, max_len=2048, dtype=torch.bfloat16)
    per_token = 2 * shape.n_layers * n_kv_heads * shape.head_dim * 2
    same = cache.nbytes == shape.kv_cache_bytes(batch_size=1, seq_len=2048) == 2048 * per_token
    print(
        f"{name}, {n_kv_heads} key–value heads: {per_token:6,} bytes per token, {cache.nbytes / 2**20:4.1f} MiB",
        same,
    )

# %% [markdown]
# The last column says that our count, `kv_cache_bytes` and the memory that a `KVCache` takes are the same. The 26 M model
# has two key–value heads: a quarter of the cache of MHA.
#
# ### Exercise 3 · What fits? (3 points)
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
# whole model the gain is smaller, since the matrices of all layers must be read too; notebook 15 measures that.
#
# ## Summary
#
# - Attention is a weighted average: a softmax over scalar products decides how much of each value goes in.
# - Scores of $d$ independent coordinates have the variance $d$. Divided by $\sqrt d$, the softmax starts where it can
#   learn, whatever the size of the head.
# - The causal mask sets the scores of later keys to $-\infty$, before the softmax.
# - Several heads are several averages at once, for the price of one. What they look at can be drawn; whether they are
#   needed must be tested.
# - In GQA groups of query heads share keys and values. The cache shrinks by the size of the groups, and with it the time
#   of decoding.
#
# **In the library:** `minillm_lib/model/attention.py`, and `minillm_lib/model/kv_cache.py`.
# **Next:** [10 · SwiGLU](10_swiglu.ipynb), the other half of a transformer's block.
#
# **To read on.** Vaswani et al. 2017; Tsai et al. 2019, "Transformer Dissection",
# [arXiv:1908.11775](https://arxiv.org/abs/1908.11775), for attention as a kernel; Olsson et al. 2022, "In-context Learning
# and Induction Heads", [arXiv:2209.11895](https://arxiv.org/abs/2209.11895), for heads that work together across layers;
# Dao et al. 2022, "FlashAttention", [arXiv:2205.14135](https://arxiv.org/abs/2205.14135), for how the fused kernel avoids
# the matrix of weights.
