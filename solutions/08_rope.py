# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 08 · RoPE: position as rotation
#
# **What you build.** Rotary position embedding, the way in which Llama, Qwen and our own model know the position of a
# token: from one demand to its formula, then in a few lines of code. Then you take models beyond the length that they were
# trained on, see them fail, find out which pairs of coordinates are to blame, and compare three repairs position by
# position.
#
# **What you need.** Vectors and matrices in PyTorch, sine and cosine; perplexity from notebook 05. That attention compares
# a *query* with *keys* by a scalar product is enough to know about it; notebook 09 has the rest.
#
# **How long.** About 80 minutes to work through, with five exercises. All cells together run in under 30 seconds on two
# CPU cores.
#
# > **中文提要** 注意力本身看不到顺序：打乱键的次序，结果不变。本节从一个要求出发——查询与键的内积只能依赖两者的距离——推导出：若查询与键受同一个线性变换，且位置可取任意实数，则位置的作用只能是旋转：每两个坐标组成一对，第 m 个位置把这一对转过 mω 角，各对的频率 ω 不同。本节说明“前后两半配对”（Hugging Face 的 Llama 与本库）与“相邻配对”（原论文）的区别，用滑块观察旋转，并在三个现场训练的小模型上逐位置测量：超出训练长度后困惑度如何上升，用干预实验找出是哪几对坐标造成的，线性内插、动态 NTK 与 YaRN 各能挽回多少，再训练 20 步之后又如何；还说明动态 NTK 与键值缓存并用时的陷阱。

# %%
import math

import ipywidgets as widgets
import matplotlib.pyplot as plt
import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from minillm_lib import MiniLLM, ModelConfig, Tokenizer, check, course, load_grammar, perplexity_by_position
from minillm_lib.model import KVCache, RotaryEmbedding, dynamic_frequencies, inverse_frequencies, rotate
from minillm_lib.training import fit
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, interactive_figure

course.setup()

# %% [markdown]
# ## 1 · Attention sees a set
#
# A query $q$ is compared with each key $k_n$ by the scalar product $q\cdot k_n$; the larger it is, the more of the value
# $v_n$ goes into the result. Nothing in this knows the position $n$. Shuffle keys and values together, and:

# %%
torch.manual_seed(0)
query, keys, values = torch.randn(1, 8), torch.randn(6, 8), torch.randn(6, 8)
order = torch.tensor([3, 0, 5, 1, 4, 2])
in_order = scaled_dot_product_attention(query, keys, values)
shuffled = scaled_dot_product_attention(query, keys[order], values[order])
torch.allclose(in_order, shuffled, atol=1e-6)

# %% [markdown]
# "Dog bites man" and "man bites dog" would be one sentence. There are three ways out.
#
# **Add a vector per position.** The first Transformer (Vaswani et al. 2017,
# [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)) adds to the embedding of the token at position $m$ a vector of
# sines and cosines, with $\sin(m\,\omega_i)$ at coordinate $2i$, $\cos(m\,\omega_i)$ at coordinate $2i + 1$ and
# $\omega_i = 10000^{-2i/d}$; in GPT-2 the vectors are learned, a table with a row for each position. A table ends
# somewhere. And what language needs most, "the word before", "three words back", is a relation between two positions, which
# with such a table a model has to learn for every pair of them.
#
# **Change the scores.** ALiBi (Press, Smith and Lewis 2021, [arXiv:2108.12409](https://arxiv.org/abs/2108.12409)) leaves the
# vectors alone and subtracts from each score the distance between query and key, times a fixed number of the head.
#
# **Change queries and keys**, so that their scalar product knows the distance. This is the way that most models go today.
#
# ## 2 · What a position may do to a vector
#
# Before they are compared, a query at position $m$ is multiplied by a matrix $R_m$ and a key at position $n$ by $R_n$. At
# position 0 nothing happens, $R_0 = I$. We demand that the score depend on the positions only through their distance. **For
# all vectors $q, k$ and positions $m, n$:**
#
# $$(R_m q)\cdot(R_n k) \;=\; q\cdot (R_{n-m}\, k). \tag{1}$$
#
# Three assumptions are in this: that the change is linear; that queries and keys are changed by the *same* matrices; and, as
# the third, let us say that positions are real numbers, so that there are half steps too. How much freedom is left? Write
# the left side as $q^\top R_m^\top R_n k$. It is to equal $q^\top R_{n-m} k$ for all vectors, so the matrices are equal:
# $R_m^\top R_n = R_{n-m}$.
#
# **Step 1: lengths stay.** For $n = m$ this says $R_m^\top R_m = R_0 = I$. Such a matrix is called *orthogonal*: it
# changes no length and no angle.
#
# **Step 2: positions add up.** Multiply from the left by $R_m$, and use $R_m R_m^\top = I$: $\;R_n = R_m R_{n-m}$. One
# step further is one more factor, and so
#
# $$R_m = R_1^{\,m}. \tag{2}$$
#
# **Step 3: no mirrors.** In the plane an orthogonal matrix is a rotation (determinant 1) or a reflection (determinant
# −1). Here the half steps come in: $R_1 = R_{1/2}R_{1/2}$ has the determinant $(\pm1)^2 = 1$, and is a rotation.
#
# So in two dimensions the demand leaves a single number open, the angle $\omega$ of one step:
#
# $$R_m = \begin{pmatrix}\cos m\omega & -\sin m\omega\\ \sin m\omega & \cos m\omega\end{pmatrix}. \tag{3}$$
#
# For even $d$ linear algebra has a theorem for us: every orthogonal matrix with determinant 1 is, in a suitable
# basis, made of rotations of *pairs* of coordinates, each pair with an angle of its own. The basis need not concern us,
# because a learned matrix stands in front of $R_m$ and can contain the change of basis.
#
# This is *rotary position embedding*, RoPE (Su et al. 2021, [arXiv:2104.09864](https://arxiv.org/abs/2104.09864)). What the
# scalar product of one pair then sees follows from its geometry. If $\varphi$ is the angle from $q$ to $k$ before turning,
# then after it the angle is $\varphi + (n-m)\omega$:
#
# $$(R_m q)\cdot(R_n k) = |q|\,|k| \cos\!\big(\varphi + (n-m)\,\omega\big). \tag{4}$$


# %%
def rotation(angle):
    """Equation (3) for m ω = angle."""
    cos, sin = torch.tensor(angle).cos(), torch.tensor(angle).sin()
    return torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])


q, k = torch.tensor([1.0, 0.5]), torch.tensor([0.3, 1.2])
for m, n in ((0, 4), (10, 14), (70, 74), (70, 75)):
    score = (rotation(0.3 * m) @ q) @ (rotation(0.3 * n) @ k)
    print(f"query at {m:2}, key at {n:2}, distance {n - m}: score {score:.3f}")

# %% [markdown]
# Rotation is the only way as long as all three assumptions hold. Give one up, and there are others. With whole steps
# only, the matrices $\operatorname{diag}(1, (-1)^m)$ fulfil (1) as well: they mirror at every step. And if queries may
# be changed otherwise than keys, a rotated query can also be multiplied by $\xi^m$ and a rotated key by $\xi^{-n}$,
# with a number $\xi$ just below 1: the product has the factor $\xi^{m-n}$, which again depends on the distance alone.
# That is xPos (Sun et al. 2022, [arXiv:2212.10554](https://arxiv.org/abs/2212.10554)), in which scores decay with the
# distance.


# %%
def mirrored(x, m):
    return x * torch.tensor([1.0, (-1.0) ** m])


positions = [(0, 3), (10, 13), (41, 44)]  # always at distance 3
by_mirrors = [mirrored(q, m) @ mirrored(k, n) for m, n in positions]
by_xpos = [0.9**m * (rotation(0.3 * m) @ q) @ (rotation(0.3 * n) @ k) / 0.9**n for m, n in positions]
for name, scores in (("mirrors", by_mirrors), ("xPos", by_xpos)):
    print(
        f"{name}: the same score at the same distance:",
        torch.allclose(*torch.stack(scores).aminmax(), atol=1e-4),
    )

# %% [markdown]
# ## 3 · Many pairs, many frequencies
#
# One pair is a clock with one hand. If it turns fast, it tells neighbours apart but comes round again soon: with
# $\omega = 0.3$, distances 0 and 21 look nearly alike. If it turns slowly, it does not come round for long, but neighbours
# are hard to tell apart. A clock has several hands, and so does RoPE: pair $i$ of $d/2$ turns by
#
# $$\omega_i = \theta^{-2i/d}, \qquad i = 0, 1, \dots, \tfrac d2 - 1, \tag{5}$$
#
# radians per position. Pair 0 turns by 1 radian, whatever $\theta$; each further pair is slower by the same factor. The
# *base* $\theta$ is 10,000 in the paper, and (5) then gives the frequencies of the sines and cosines in section 1.
#
# ### Exercise 1 · The frequencies (1 point)
#
# Return the $d/2$ frequencies of equation (5) as a float tensor.


# %%
def pair_frequencies(head_dim, theta):
    """Equation (5): radians per position of each pair, a tensor (head_dim / 2,)."""
    ### BEGIN SOLUTION
    return theta ** (-2 * torch.arange(head_dim // 2) / head_dim)
    ### END SOLUTION


# %%
check.pair_frequencies(pair_frequencies)

# %% [markdown]
# What passes is used in what follows (`check.pair_frequencies.function` is yours, or else the library's). How far is one
# full turn? The *wavelength* $2\pi/\omega_i$ is measured in tokens. And what do all pairs together say of a distance? On the
# right a key equal to the query is moved away from it, and the score (4), averaged over the pairs, is drawn by distance; the
# dotted line is for a key that was turned by 20 positions beforehand.

# %%
frequencies_of_base = {base: check.pair_frequencies.function(64, base) for base in (1e4, 1e6)}
distance = torch.arange(0, 101)
scores = {base: (distance[:, None] * w).cos().mean(dim=1) for base, w in frequencies_of_base.items()}
moved = ((distance - 20)[:, None] * frequencies_of_base[1e4]).cos().mean(dim=1)
assert all(score.argmax() == 0 for score in scores.values())
assert moved.argmax() == 20
assert scores[1e6][100] > scores[1e4][100]
turned_fully = 2 * torch.pi / frequencies_of_base[1e4] < 2048
print(f"base 10,000: {turned_fully.sum()} of {len(turned_fully)} pairs turn fully within 2,048 tokens")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for (base, frequencies), colour in zip(frequencies_of_base.items(), (BLUE, ORANGE), strict=True):
    axes[0].plot(2 * torch.pi / frequencies, color=colour, label=f"$\\theta$ = {base:,.0f}")
    axes[1].plot(distance, scores[base], color=colour)
axes[1].plot(distance, moved, color=BLUE, linestyle=":")
axes[0].axhline(2048, color=INK, linewidth=1)
axes[0].text(0, 2400, "2,048 tokens")
axes[0].set(yscale="log", xlabel="pair $i$", ylabel="wavelength (tokens)")
axes[0].legend()
axes[1].set(xlabel="distance (tokens)", ylabel="mean cosine over the pairs")
plt.show()

# %% [markdown]
# **What to see.** Left: with $\theta = 10{,}000$ two thirds of the pairs turn fully within the 2,048 tokens of our
# 26 M model, the rest only in part. A larger base makes the slow pairs slower. Right: the solid lines are highest at distance
# 0, and fall unevenly. All pairs agree only there; further off their cosines partly cancel. Su et al. call it long-term
# decay. A larger base makes it slower; Code Llama, which was made for long texts, has a base of 1,000,000 (Rozière et
# al. 2023, [arXiv:2308.12950](https://arxiv.org/abs/2308.12950)).
#
# It is no law that attention must fall with the distance, though. The dotted line is highest at 20: a learned matrix
# that turns the key beforehand makes a head that looks 20 tokens back, at *any* position. Notebook 09 trains a model
# that has to look one, two and three tokens back.

# %% [markdown]
# ## 4 · Which coordinates make a pair?
#
# The paper pairs neighbours: the coordinates 0 and 1, 2 and 3, … (*interleaved*). Hugging Face's Llama pairs coordinate $i$
# with $i + d/2$ (*halves*), and so does this library. Either way pair $i$ is turned by (3), by the angle $m\,\omega_i$ at
# position $m$.
#
# ### Exercise 2 · Turn the pairs (2 points)
#
# `x` has the shape `(…, seq, head_dim)`: a vector for each position, with any number of leading dimensions.
# `positions` has the shape `(seq,)` and says at which position each vector stands. Pair halves, and do without loops.


# %%
def rotate_pairs(x, positions, frequencies):
    """Turn each pair (i, i + d/2): x is (…, seq, head_dim), positions (seq,), frequencies (head_dim / 2,)."""
    ### BEGIN SOLUTION
    angles = positions[:, None] * frequencies  # (seq, head_dim / 2)
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
    ### END SOLUTION


# %%
check.rotate_pairs(rotate_pairs)

# %% [markdown]
# The halves make it a matter of two contiguous blocks. With the halves $a$ and $b$ of a vector, (3) for all pairs at once
# is
#
# $$(a,\, b) \;\mapsto\; (a\cos - b\sin,\;\; b\cos + a\sin), \tag{6}$$
#
# where $\cos$ and $\sin$ are vectors of $d/2$ numbers, of the angles $m\,\omega_i$. In the library the work is divided.
# `RotaryEmbedding` makes the cosines and sines once for the whole model, with the minus of (6) already in the first half of
# the sines; `rotate` uses them in each layer.

# %%
turned = check.rotate_pairs.function
config = ModelConfig(hidden_size=8, n_heads=1, n_kv_heads=1, rope_theta=100.0)
rotary, frequencies = RotaryEmbedding(config), check.pair_frequencies.function(8, 100.0)
x = torch.randn(1, 1, 5, 8)  # (batch, heads, seq, head_dim)
by_library = rotate(x, *rotary(torch.arange(5)[None]))
print(
    "the library's the same:",
    torch.allclose(by_library, turned(x, torch.arange(5), frequencies), atol=1e-6),
)

# %% [markdown]
# ### Watch them turn
#
# Four pairs of a query (blue) and of a key (orange), $\theta = 100$. From each row of panels to the next, both move on by 10
# positions.


# %%
def draw_pairs(axes, m, n):
    """The pairs of the query at m and of the key at n as arrows, one pair in each panel; returns the score."""
    arrow = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.03}
    turned_q, turned_k = (turned(x[None], torch.tensor([at]), frequencies)[0] for x, at in ((q, m), (k, n)))
    for i, axis in enumerate(axes):
        axis.add_patch(plt.Circle((0, 0), 1, fill=False, color=PALE))
        axis.quiver(0, 0, turned_q[i], turned_q[i + 4], color=BLUE, **arrow)
        axis.quiver(0, 0, turned_k[i], turned_k[i + 4], color=ORANGE, **arrow)
        axis.set(aspect="equal", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=[], yticks=[])
        axis.set(xlabel=f"coordinate {i}", ylabel=f"coordinate {i + 4}")
    return (turned_q @ turned_k).item()


# %%
phases = torch.tensor([[0.3, 1.9, 1.2, 0.4], [1.1, 0.2, 1.6, 1.5]])
q, k = torch.cat([phases.cos(), phases.sin()], dim=-1)  # each pair an arrow of length 1
figure, axes = plt.subplots(3, 4, figsize=(8, 6))
for row, (m, n) in zip(axes, ((3, 0), (13, 10), (23, 20)), strict=True):
    row[0].set_title(f"query at {m}, key at {n}: score {draw_pairs(row, m, n):.2f}")
plt.show()

# %% [markdown]
# **What to see.** Read each column from above. The fast pair 0 points anywhere, the slow pair 3 has moved only a little;
# but within a column the angle from blue to orange is the same in all three rows. So is the score. Now move the sliders:
# one alone, then both by the same amount.


# %%
def pairs_at(m, n):
    figure, axes = plt.subplots(1, 4, figsize=(8, 2.3))
    axes[0].set_title(f"distance {m - n}: score {draw_pairs(axes, m, n):.2f}")
    return figure


query_at = widgets.IntSlider(3, 0, 60, description="query at")
key_at = widgets.IntSlider(0, 0, 60, description="key at")
interactive_figure(pairs_at, {"m": query_at, "n": key_at}, max_width=720)

# %% [markdown]
# ### The two conventions
#
# Which coordinates make a pair is a matter of numbering. A model trained in one convention runs in the other, if the rows of
# its query and key matrices are put into another order. If they are *not*, nothing complains: the shapes fit, and the
# scores are wrong. It is a frequent mistake when weights are converted.
#
# ### Exercise 3 · From halves to neighbours (2 points)
#
# `weight` is the query or key projection of a model that pairs halves, `(n_heads · head_dim, hidden)`: the first `head_dim`
# rows make the first head's coordinates, and so on. Return the projection with which a program that pairs *neighbours*
# computes the same scores.


# %%
def interleaved_rows(weight, n_heads):
    """The rows in the order for pairs of neighbours: (n_heads * head_dim, hidden) in and out."""
    ### BEGIN SOLUTION
    rows = weight.unflatten(0, (n_heads, 2, -1))  # (head, half, pair, hidden)
    return rows.transpose(1, 2).flatten(0, 2)
    ### END SOLUTION


# %%
check.interleaved_rows(interleaved_rows)

# %% [markdown]
# Try it. The rotation of the paper turns neighbours; with complex numbers $a + b\,\mathrm i$ for the pairs it is a
# product with $e^{\mathrm i m\omega}$.


# %%
def rotate_neighbours(x):
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    angles = torch.arange(x.shape[-2])[:, None] * frequencies
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


torch.manual_seed(1)
x, w_q, w_k = torch.randn(5, 16), torch.randn(8, 16), torch.randn(8, 16)
reorder = check.interleaved_rows.function
halves = [turned(x @ w.T, torch.arange(5), frequencies) for w in (w_q, w_k)]
reordered = [rotate_neighbours(x @ reorder(w, 1).T) for w in (w_q, w_k)]
as_they_are = [rotate_neighbours(x @ w.T) for w in (w_q, w_k)]
scores = [query @ key.T for query, key in (halves, reordered, as_they_are)]
print("reordered, the same scores:  ", torch.allclose(scores[0], scores[1], atol=1e-4))
print("as they are, the same scores:", torch.allclose(scores[0], scores[2], atol=1e-4))

# %% [markdown]
# ## 5 · Beyond the trained length
#
# RoPE has no table that ends. Does a model then understand texts longer than those it was trained on? We try it, with three
# models from three seeds. The corpus is written by the grammar of notebook 05 (short abstracts, one after the other). The
# models have two layers, and in training see windows of **32 tokens**, no more. Then they read windows of 128.

# %%
documents = [document.text for document in load_grammar("en").generate(1000, seed=0)]
tokenizer = Tokenizer.train(documents[:300], vocab_size=400)
ids = torch.tensor([token for text in tokenizer.encode_batch(documents, add_eos=True) for token in text])
held_out, train = ids[:16_000], ids[16_000:]
print(f"{len(train):,} tokens to train on, {len(held_out):,} held out")


# %%
def train_on_windows(model, length, batch_size, steps, lr, seed):
    """Train on random windows. (`fit` is the loop of notebook 12, optimizer and all.)"""
    generator = torch.Generator().manual_seed(seed)

    def loss_of_step(step):
        starts = torch.randint(len(train) - length, (batch_size, 1), generator=generator)
        windows = train[starts + torch.arange(length + 1)]
        return model.loss(windows[:, :-1], windows[:, 1:])

    fit(model, loss_of_step, steps, lr=lr)


# %%
trained = ModelConfig(
    vocab_size=400, hidden_size=48, n_layers=2, n_heads=3, n_kv_heads=3, intermediate_size=96, max_seq_len=32
)
models = []
for seed in (0, 1, 2):
    torch.manual_seed(seed)
    models.append(MiniLLM(trained))
    train_on_windows(models[-1], length=32, batch_size=16, steps=250, lr=0.02, seed=seed)


# %% [markdown]
# `perplexity_by_position` divides the held-out text into windows and averages the loss of all first tokens, all second
# tokens, and so on, here in buckets of 8. Beside it, how far each pair turns over the longest distance in training, and in
# the long windows.


# %%
def by_position(model, window=128):
    """The perplexity in each bucket of 8 positions, over windows of the held-out text."""
    buckets = perplexity_by_position(model, held_out, window=window, bucket=8, batch_size=16)
    return torch.tensor([bucket.perplexity for bucket in buckets])


# %%
def draw_positions(axis, curves, colour, label=None, positions=None):
    """The curves of all seeds: their mean as a line, from the lowest to the highest as a band."""
    positions = torch.arange(4, 128, 8) if positions is None else positions
    axis.fill_between(
        positions, curves.amin(dim=0), curves.amax(dim=0), color=colour, alpha=0.25, linewidth=0
    )
    axis.plot(positions, curves.mean(dim=0), color=colour, label=label)
    axis.set(yscale="log", ylim=(2.8, 45), xlabel="position (tokens)", ylabel="perplexity")
    axis.set_yticks([3, 5, 10, 20, 40], [3, 5, 10, 20, 40])
    axis.minorticks_off()


# %%
plain = torch.stack([by_position(model) for model in models])  # (seeds, buckets)
turns = inverse_frequencies(trained) / (2 * torch.pi)  # per token
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
draw_positions(axes[0], plain, INK)
axes[0].axvline(32, color=INK, linewidth=1, linestyle=":")
seen = (32 * turns).where(32 * turns < 1, 100)  # a pair that turned fully has shown every angle
axes[1].fill_between(range(8), 1e-3, seen, color=PALE, step="mid", alpha=0.6, linewidth=0)
axes[1].plot(128 * turns, "o", color=INK)
axes[1].set(yscale="log", ylim=(3e-3, 40), xlabel="pair", ylabel="turns over the longest distance")
plt.show()
assert (plain[:, 8:].amin(dim=1) > 1.8 * plain[:, 3]).all()
print("beyond 64 tokens at least 1.8 times the perplexity of positions 24 to 31, in all seeds:", True)

# %% [markdown]
# **What to see.** Left: the line is the mean of the three models, the band reaches from the lowest to the highest. The first
# tokens of a window are hard, for nothing is known yet. Then the perplexity is low as far as the trained length (dotted).
# Beyond it, it rises and stays high, though ever more is known. It need not: shown only the last 32 tokens at every
# position, the same model would stay at the level that it has reached there.
#
# Right: a suspicion. Shaded is what each pair has shown in training. Pairs 0 and 1 turned more than once; for them there
# is no new angle. All others turned only in part. Over 128 tokens (dots) each turns four times as far, into angles that
# the model's weights have never met.
#
# **Which pairs are to blame?** A suspicion is tested by an intervention. Slow down *some* pairs by 4, so that over 128 tokens
# they turn as far as they did over 32, and leave the others as they are. If the failure comes from new angles, slowing the
# right pairs cures it.


# %%
def slowed(model, pairs):
    """A copy of a model in which some pairs turn four times more slowly."""
    copy = MiniLLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy.rotary.frequencies[pairs] /= 4
    return copy


groups = {"none": [], "0 and 1": [0, 1], "2 and 3": [2, 3], "4 to 7": [4, 5, 6, 7], "all": list(range(8))}
curves = {
    name: torch.stack([by_position(slowed(model, pairs)) for model in models])
    for name, pairs in groups.items()
}
within = {name: curve[:, 1:4].mean(dim=1) for name, curve in curves.items()}  # positions 8 to 31, by seed
beyond = {name: curve[:, 8:].mean(dim=1) for name, curve in curves.items()}  # positions 64 to 127

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
for axis, values, title in ((axes[0], within, "positions 8 to 31"), (axes[1], beyond, "positions 64 to 127")):
    for place, of_seeds in enumerate(values.values()):
        axis.plot(of_seeds, [place] * 3, "o", color=BLUE, alpha=0.6)
    axis.set(xscale="log", xlim=(2.8, 45), title=title, xlabel="perplexity (three seeds)")
    axis.set_xticks([3, 5, 10, 20, 40], [3, 5, 10, 20, 40])
    axis.minorticks_off()
axes[0].set_yticks(range(len(groups)), groups)
axes[0].set_ylabel("pairs slowed by 4")
axes[0].invert_yaxis()
plt.show()

# %%
cures = beyond["2 and 3"] < 0.65 * beyond["none"]
no_effect = (beyond["4 to 7"] / beyond["none"]).log().abs() < 0.1
harms = within["0 and 1"] > 1.6 * within["none"]
assert cures.all()
assert no_effect.all()
assert harms.all()
assert (beyond["0 and 1"] > 1.5 * beyond["2 and 3"]).all()
print(
    "slowing pairs 2 and 3 takes away a third or more of the perplexity beyond 64 tokens:", cures.all().item()
)
print("slowing pairs 4 to 7 changes it by less than 10 %:", no_effect.all().item())
print("slowing pairs 0 and 1 costs 60 % or more within the trained length:", harms.all().item())

# %% [markdown]
# **What to see.** Each dot is a model. Slowing pairs 2 and 3 cures most of the failure (right), at a much smaller price within
# the trained length (left). Slowing pairs 4 to 7 does nothing at all, although they meet new angles too: they turn by so little,
# even over 128 tokens, that it makes no difference. And the fast pairs 0 and 1 must be left alone. They tell neighbours
# apart; a model with these slowed is poor everywhere.
#
# So the suspicion was right in the main, and wrong in part: it is the *middle* pairs, fast enough to matter and too slow to
# have shown all angles. RoPE extrapolates *formally*; what has been learned does not.
#
# ## 6 · Three repairs
#
# All three change the frequencies (YaRN the size of the scores too) and need no training (a little helps, as we shall
# see). Let $s$ be the factor by which the text is longer, here 4.
#
# **Linear** (position interpolation, Chen et al. 2023, [arXiv:2306.15595](https://arxiv.org/abs/2306.15595)): divide
# every frequency by $s$. Position 128 then looks like position 32 before, and no new angle occurs. That is the last row of
# the figure above, and you know its price.
#
# **NTK** (a post of 2023 under the name bloc97, described in section 3.1 of Peng et al. 2023,
# [arXiv:2309.00071](https://arxiv.org/abs/2309.00071)): leave the fast pairs, and stretch the slow ones. A larger base
# $\theta'$ does both at once: by (5) pair 0 turns by 1 whatever the base, and the further up, the more a pair is slowed.
#
# ### Exercise 4 · A base for longer texts (2 points)
#
# Which base $\theta'$ slows the *slowest* pair by exactly the factor $s$?


# %%
def ntk_base(theta, head_dim, factor):
    """The base with which the slowest pair turns `factor` times more slowly than with `theta`; a number."""
    ### BEGIN SOLUTION
    # theta'^-(d-2)/d = theta^-(d-2)/d / s, with 2i = d - 2 for the last pair; both sides to the power -d/(d-2)
    return theta * factor ** (head_dim / (head_dim - 2))
    ### END SOLUTION


# %%
check.ntk_base(ntk_base)

# %% [markdown]
# In practice the base is raised only as far as the text at hand demands: *dynamic* NTK. The library follows
# `transformers`: at length $\ell$, beyond the trained length $L$, the slowest pair is slowed by $s\,\ell/L - (s - 1)$,
# which is 1 at the trained length and, with $s = 4$, already 13 at four times that.
#
# **YaRN** (Peng et al., sections 3.2 and 3.4) decides pair by pair. A pair that turns often within the trained length keeps
# its frequency, one that turns less than about once is divided by $s$, and between the two lies a ramp. It also multiplies
# the scores by a number above 1, for $s = 4$ by 1.3, since attention over more keys spreads thinner.
#
# Here paper and practice part. In the paper the ramp is linear in the number of *turns*. In the code that the authors
# published, in `transformers` and in this library, it is linear in the *index* of the pair:
#
# - `low` is the index of the pair that turns `fast` times within the trained length. As a solution of an equation it is
#   hardly ever a whole number; it is rounded down, and if it is negative, it is 0.
# - `high` is the index of the pair that turns `slow` times, rounded up.
# - The share $t_i$ rises linearly from 0 at the index `low` to 1 at the index `high`, and stays at 0 below and at 1 above.
#   The new frequency is $(1 - t_i)\,\omega_i + t_i\,\omega_i / s$.
#
# ### Exercise 5 · YaRN's ramp (3 points)
#
# Write it, for any trained length. (`math.floor` and `math.ceil` round.)


# %%
def yarn_frequencies(head_dim, theta, trained, factor, fast, slow):
    """The frequencies of all pairs for a text `factor` times as long as `trained` tokens: (head_dim / 2,)."""
    ### BEGIN SOLUTION
    pairs = torch.arange(head_dim // 2)
    omega = theta ** (-2 * pairs / head_dim)
    # trained * theta^(-2i/d) / 2 pi = turns, solved for i
    index = [head_dim / 2 * math.log(trained / (2 * math.pi * turns), theta) for turns in (fast, slow)]
    low, high = max(math.floor(index[0]), 0), math.ceil(index[1])
    ramp = ((pairs - low) / (high - low)).clamp(0, 1)
    return omega * (1 - ramp) + omega / factor * ramp
    ### END SOLUTION


# %%
check.yarn_frequencies(yarn_frequencies)

# %% [markdown]
# The usual bounds are `fast = 32` and `slow = 1`. In our models not even pair 0 turns 32 times within 32 tokens, but 5.1
# times. By the formula in turns it would be slowed by 2.9; by the one over indices `low` is 0, and pair 0 stays as it is.
# This is how much each pair is slowed, with dynamic NTK at length 128:

# %%
omega = check.pair_frequencies.function(16, 10_000.0)
ntk = check.pair_frequencies.function(16, check.ntk_base.function(10_000.0, 16, 4 * 128 / 32 - 3))
yarn = check.yarn_frequencies.function(16, 10_000.0, 32, 4, 32, 1)
for name, new in (("linear", omega / 4), ("dynamic", ntk), ("yarn", yarn)):
    print(f"{name:8}", [round(factor, 1) for factor in (omega / new).tolist()])

# %% [markdown]
# All scalings are part of the model's configuration; the weights are the same. The library computes these very numbers:


# %%
def scaled(model, name):
    """A trained model, with its frequencies scaled for four times the length."""
    config = trained if name == "none" else trained.with_rope_scaling({"rope_type": name, "factor": 4})
    copy = MiniLLM(config)
    copy.load_state_dict(model.state_dict())
    return copy


dynamic = scaled(models[0], "dynamic").config
print("yarn:   ", torch.allclose(inverse_frequencies(scaled(models[0], "yarn").config), yarn))
print("dynamic:", torch.allclose(dynamic_frequencies(dynamic, torch.tensor([[128]]))[0], ntk))
short = torch.tensor([[8], [32]])
print("dynamic changes nothing up to 32:", torch.allclose(dynamic_frequencies(dynamic, short), omega))

# %% [markdown]
# ### What the base of dynamic NTK depends on
#
# With linear scaling and YaRN the frequencies are fixed. With dynamic NTK they depend on the length, and so there are three
# ways to compute a text of 128 tokens.
#
# - **In one pass**, with the base for the full length. That is how one measures a loss, and `perplexity_by_position` does it.
#   Then the first 32 tokens have the base for 128 too, which they would not need.
# - **Recomputed at each length**: for every next token, the whole text so far with the base for its length. That is what the
#   method says, and it is expensive.
# - **With a cache.** A chat keeps the keys of earlier tokens (notebook 15), *turned as they were when they came*. A query at
#   position 100 has the base for a length of 101, and meets a key with the base for a length of 40. Then the angle between
#   the two is not (distance) · $\omega$ any more: the demand (1), with which everything began, is broken.


# %%
def recomputed(model):
    """The last bucket of 8 positions in windows of 16, 32, …, 128 tokens."""
    return torch.stack([by_position(model, window)[-1] for window in range(16, 129, 16)])


@torch.inference_mode()
def with_cache(model):
    """All windows of 128 tokens side by side, token by token, with the keys kept as they were turned."""
    windows = held_out[: len(held_out) // 128 * 128].view(-1, 128)
    cache, losses = KVCache(model.config, batch_size=len(windows), max_len=128), []
    for i in range(127):
        logits = model(windows[:, [i]], cache=cache)[:, -1]
        losses.append(cross_entropy(logits, windows[:, i + 1]))
    return torch.stack([bucket.mean().exp() for bucket in torch.stack(losses).split(8)])


# %%
of_dynamic = [scaled(model, "dynamic") for model in models]
in_one_pass, at_each_length, cached = (
    torch.stack([measure(model) for model in of_dynamic]) for measure in (by_position, recomputed, with_cache)
)
figure, axis = plt.subplots(figsize=(7, 3.2))
draw_positions(axis, plain, INK, "no scaling")
draw_positions(axis, in_one_pass, ORANGE, "dynamic NTK in one pass")
draw_positions(axis, at_each_length, GREEN, "recomputed at each length", torch.arange(12, 128, 16))
draw_positions(axis, cached, PURPLE, "with a cache")
axis.axvline(32, color=INK, linewidth=1, linestyle=":")
axis.legend(loc="upper left")
plt.show()

# %%
needless = in_one_pass[:, 1:4].mean(dim=1) > 1.05 * plain[:, 1:4].mean(dim=1)
stale = cached[:, 5] > 1.05 * at_each_length[:, 2]  # positions 40 to 47
assert needless.all()
assert stale.all()
assert all((curves[:, -1] > 2 * plain[:, 3]).all() for curves in (in_one_pass, at_each_length, cached))
print("in one pass it costs something within the trained length:", needless.all().item())
print("with a cache it is worse at positions 40 to 47 than recomputed:", stale.all().item())

# %% [markdown]
# **What to see.** Up to position 32 the method itself (green) changes nothing. That it costs something there (orange) is an
# artefact of computing the window in one pass. Just beyond, the method works, and the cache (pink) is worse: its old
# keys have another base than the queries. Further out the order changes, and towards 128 all three break down.
#
# ### The three compared
#
# Each of the repairs as it is (dynamic NTK recomputed at each length), and again after 20 further steps of training on windows of
# 128 tokens, in one pass.

# %%
names = {"none": INK, "linear": ORANGE, "dynamic": GREEN, "yarn": PURPLE}
as_it_is = {
    name: torch.stack([by_position(scaled(model, name)) for model in models]) for name in ("linear", "yarn")
}
as_it_is |= {"none": plain, "dynamic": at_each_length}
after = {}
for name in names:
    tuned = [scaled(model, name) for model in models]
    for seed, model in enumerate(tuned):
        train_on_windows(model, length=128, batch_size=4, steps=20, lr=0.01, seed=seed + 10)
    after[name] = torch.stack([by_position(model) for model in tuned])

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
for name, colour in names.items():
    positions = torch.arange(12, 128, 16) if name == "dynamic" else None
    draw_positions(axes[0], as_it_is[name], colour, name, positions)
    draw_positions(axes[1], after[name], colour)
for axis, title in zip(axes, ("as they are", "after 20 steps at length 128"), strict=True):
    axis.axvline(32, color=INK, linewidth=1, linestyle=":")
    axis.set_title(title)
axes[0].legend(loc="upper left", ncols=2)
plt.show()

# %%
first, far = slice(1, 4), slice(12, 16)  # positions 8 to 31, and 96 to 127
linear_first = as_it_is["linear"][:, first].amin(dim=1) / plain[:, first].amax(dim=1)
yarn_range = as_it_is["yarn"][:, 5:].amax(dim=1) / as_it_is["yarn"][:, 5:].amin(dim=1)
yarn_first = as_it_is["yarn"][:, first].mean(dim=1) / plain[:, first].mean(dim=1)
dynamic_middle = at_each_length[:, 3] / as_it_is["yarn"][:, 7]  # positions 56 to 63
others = torch.stack([after[name][:, far].mean(dim=1) for name in ("none", "linear", "dynamic")]).amin(dim=0)
best_far = after["yarn"][:, far].mean(dim=1) / others
assert (linear_first > 1.5).all()
assert (yarn_range < 1.8).all()
assert (yarn_first > 1.15).all()
assert (dynamic_middle < 0.9).all()
assert (best_far < 0.9).all()
halved = after["linear"].mean(dim=1) / as_it_is["linear"].mean(dim=1)
assert ((halved > 0.35) & (halved < 0.65)).all()

# %%
print("linear is 50 % above no scaling, or more, within 32 tokens:", (linear_first > 1.5).all().item())
print("yarn stays within a factor of 1.8 from position 40 on:", (yarn_range < 1.8).all().item())
print("yarn costs 15 % or more within 32 tokens:", (yarn_first > 1.15).all().item())
print("dynamic is 10 % below yarn, or more, around position 60:", (dynamic_middle < 0.9).all().item())
print("after 20 steps yarn is 10 % below all others, or more, beyond 96:", (best_far < 0.9).all().item())

# %% [markdown]
# **What to see.** On the left, as they are:
#
# - *Linear* (orange) has no new angle, and is poor over the whole window, even within the first 32 tokens. It has slowed the
#   fast pairs too, and section 5 has shown what that costs. Chen et al. propose it together with
#   further training.
# - *Dynamic NTK* (green) costs nothing within the trained length, and for about as many tokens again it is the best. Then it
#   breaks down: pairs 2 and 3 are slowed by 2.1 and 3.0 at length 128, where a factor of 4 would be needed.
# - *YaRN* (pink) keeps every pair within what it knows, and from position 40 on it neither rises nor falls much. The price is
#   paid everywhere: it is clearly above what the models could do in the first 32 tokens.
#
# On the right, 20 steps have changed the picture. YaRN is now low from beginning to end, and the lowest of all at the far
# end. Linear has come down by about half, and is still high everywhere. Dynamic NTK and no scaling at all (`none`) are still
# high at their far end: there the new angles themselves must be learned, which takes longer. So scale in a way that makes
# few angles new, and train a little: that is how models are extended.
#
# Three small models and one artificial corpus, in which most of what helps stands in the same sentence: that the middle
# pairs fail and the fast ones must be spared follows from the interventions; how high the curves are is these models' own. Try
# `"attention_factor": 1.0` with `yarn` to see what its sharpening of the attention contributes here.
#
# ## Summary
#
# - Attention alone sees a set. Demand that scores depend on distances only. If the change is linear, the same for queries
#   and keys, and defined for half steps too, there is one possibility: rotations of pairs, by angles that grow with the
#   position.
# - Pair $i$ turns by $\theta^{-2i/d}$ radians per token: fast pairs tell neighbours apart, slow ones far from near.
# - Halves or neighbours is a matter of numbering, and a frequent silent error when weights are converted.
# - Beyond the trained length the middle pairs reach angles that were never trained on; slowing just these cures most of it.
#   Linear scaling slows the fast pairs too, at the price of the neighbours; NTK spares the neighbours, but not all pairs
#   from new angles; YaRN does both. A few steps of training repair most of what is left.
# - The base of dynamic NTK depends on the length: measured in one pass it shows a loss that it does not have, and with a
#   cache old keys have another base than new queries.
#
# **In the library:** `minillm_lib/model/rope.py`, with Llama 3's rule as the fourth scaling, and
# `minillm_lib/model/perplexity.py`.
# **Next:** [09 · Attention](09_attention_gqa.ipynb), where the turned queries and keys are used.
#
# **To read on.** Su et al. 2021 for RoPE; Peng et al. 2023 for all scalings in one notation; Press, Smith and Lewis 2021
# for ALiBi, and for what "extrapolate" means in earnest; Kazemnejad et al. 2023, "The Impact of Positional Encoding on
# Length Generalization", [arXiv:2305.19466](https://arxiv.org/abs/2305.19466), for how far a decoder gets with no positions
# at all.
