# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 08 · RoPE: position as rotation
#
# **What you build.** Rotary position embedding, the way in which Llama, Qwen and our own model know where a token
# stands: from one demand to its formula, then in a few lines of code. Then you take a model beyond the length that it
# was trained on, see it fail, and compare three repairs position by position.
#
# **What you need.** Vectors and matrices in PyTorch, sine and cosine. That attention compares a *query* with *keys* by
# a scalar product is enough to know about it; notebook 09 has the rest.
#
# **How long.** About 50 minutes to work through. All cells together run in under 40 seconds on two CPU cores.
#
# > **中文提要** 注意力本身看不到顺序：打乱键的次序，结果不变。本节从一个要求出发——查询与键的内积只能依赖两者的距离——推导出
# > 位置只能是旋转：每两个坐标组成一对，第 m 个位置把这一对转过 mω 角，各对的频率 ω 不同。本节说明“前后两半配对”（Hugging Face
# > 的 Llama 与本库）与“相邻配对”（原论文）的区别，用滑块观察旋转，并在一个现场训练的小模型上逐位置测量：超出训练长度后困惑度如何
# > 上升，线性内插、NTK 与 YaRN 各能挽回多少，再训练 20 步之后又如何。

# %%
import io

import matplotlib.pyplot as plt
import torch
from ipywidgets import HTML, Image, IntSlider, VBox
from torch.nn.functional import scaled_dot_product_attention

from minillm_lib import MiniLLM, ModelConfig, Tokenizer, check, load_grammar, perplexity_by_position
from minillm_lib.model import (
    RotaryEmbedding,
    dynamic_frequencies,
    inverse_frequencies,
    rotate,
    to_interleaved,
)
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, use_style

use_style()
torch.set_num_threads(1)  # for matrices as small as these, sharing the work out costs more than it saves

# %% [markdown]
# ## 1 · Attention sees a set
#
# A query $q$ is compared with each key $k_n$ by the scalar product $q\cdot k_n$; the larger it is, the more of the value
# $v_n$ goes into the result. Nothing in this says where a key stands. Shuffle keys and values together, and:

# %%
torch.manual_seed(0)
query, keys, values = torch.randn(1, 8), torch.randn(6, 8), torch.randn(6, 8)
order = torch.tensor([3, 0, 5, 1, 4, 2])
in_order = scaled_dot_product_attention(query, keys, values)
shuffled = scaled_dot_product_attention(query, keys[order], values[order])
torch.allclose(in_order, shuffled, atol=1e-6)

# %% [markdown]
# "Dog bites man" and "man bites dog" would be one sentence. The first transformers added a vector to each token's
# embedding, another one for each position (Vaswani et al. 2017, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)).
# In GPT-2 these are learned. That has two drawbacks. The table ends somewhere. And what language needs most, "the word
# before", "three words back", is a relation between two positions, which a model with a table has to learn for each
# pair of positions.
#
# ## 2 · What a position may do to a vector
#
# So let us ask for relations from the start. Before they are compared, a query at position $m$ is changed by a matrix
# $R_m$ and a key at position $n$ by $R_n$, with $R_0 = I$: at position 0 nothing happens. We demand that the score depend
# on the positions only through their distance. **For all vectors $q, k$ and positions $m, n$:**
#
# $$(R_m q)\cdot(R_n k) \;=\; q\cdot (R_{n-m}\, k). \tag{1}$$
#
# How much freedom is left? Write the left side as $q^\top R_m^\top R_n k$. It is to equal $q^\top R_{n-m} k$ for all
# vectors, so the matrices are equal: $R_m^\top R_n = R_{n-m}$.
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
# −1). If half steps are to make sense too, $R_1 = R_{1/2}R_{1/2}$ has the determinant $(\pm1)^2 = 1$: a rotation.
#
# So in two dimensions the demand leaves a single number open, the angle $\omega$ of one step:
#
# $$R_m = \begin{pmatrix}\cos m\omega & -\sin m\omega\\ \sin m\omega & \cos m\omega\end{pmatrix}. \tag{3}$$
#
# In $d$ dimensions linear algebra has a theorem for us: every orthogonal matrix with determinant 1 is, in a suitable
# basis, made of rotations of *pairs* of coordinates, each pair with an angle of its own. The basis need not concern us,
# because a learned matrix stands in front of $R_m$ and can contain the change of basis.
#
# This is *rotary position embedding*, RoPE (Su et al. 2021, [arXiv:2104.09864](https://arxiv.org/abs/2104.09864)). It
# was not one idea among many: it is the only linear way to fulfil (1). What the scalar product of one pair then sees
# follows from its geometry. If $\varphi$ is the angle from $q$ to $k$ before turning, then after it the angle is
# $\varphi + (n-m)\omega$:
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
# ## 3 · Many pairs, many frequencies
#
# One pair is a clock with one hand. If it turns fast, it tells neighbours apart but comes round again soon: with
# $\omega = 0.3$, distances 0 and 21 look nearly alike. If it turns slowly, it never comes round, but neighbours are hard
# to tell apart. A clock has several hands, and so does RoPE: pair $i$ of $d/2$ turns by
#
# $$\omega_i = \theta^{-2i/d}, \qquad i = 0, 1, \dots, \tfrac d2 - 1, \tag{5}$$
#
# radians a position. Pair 0 turns by 1 radian, whatever $\theta$; each further pair is slower by the same factor. The
# *base* $\theta$ was 10,000 in the paper.
#
# ### Exercise 1 · The frequencies (1 point)
#
# Return the $d/2$ frequencies of equation (5) as a float tensor. `torch.arange(n)` gives 0, 1, …, n − 1.


# %%
def pair_frequencies(head_dim, theta):
    """Equation (5): radians per position of each pair, a tensor (head_dim / 2,)."""
    ### BEGIN SOLUTION
    return theta ** (-2 * torch.arange(head_dim // 2) / head_dim)
    ### END SOLUTION


# %%
check.pair_frequencies(pair_frequencies)

# %% [markdown]
# The library's `inverse_frequencies` reads both arguments from the model's configuration. How far is one full turn? The
# *wavelength* $2\pi/\omega_i$ is measured in tokens. And what do all pairs together say of a distance? On the right a
# key equal to the query is moved away from it, and the score (4), averaged over the pairs, is drawn by distance; the
# dotted line is for a key that was turned by 20 positions beforehand.

# %%
bases = {10_000.0: BLUE, 1_000_000.0: ORANGE}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
distance = torch.arange(0, 101)
for theta, colour in bases.items():
    frequencies = inverse_frequencies(ModelConfig(rope_theta=theta))  # head_dim 64, as in the 26 M model
    angles = distance[:, None] * frequencies
    axes[0].plot(2 * torch.pi / frequencies, color=colour, label=f"$\\theta$ = {theta:,.0f}")
    axes[1].plot(distance, angles.cos().mean(dim=1), color=colour)
    if theta == 10_000:
        axes[1].plot(distance, (angles - 20 * frequencies).cos().mean(dim=1), color=colour, linestyle=":")
axes[0].axhline(2048, color=INK, linewidth=1)
axes[0].text(0, 2400, "2,048 tokens")
axes[0].set(yscale="log", xlabel="pair $i$", ylabel="wavelength (tokens)")
axes[0].legend()
axes[1].set(xlabel="distance (tokens)", ylabel="mean cosine over the pairs")
plt.show()

# %% [markdown]
# **What to see.** Left: with $\theta = 10{,}000$ two thirds of the pairs turn fully within the 2,048 tokens of our
# model, the rest only in part. A larger base makes the slow pairs slower. Right: the solid lines are highest at distance
# 0, and fall unevenly. All pairs agree only there; further off their cosines partly cancel. Su et al. call it long-term
# decay. A larger base makes it slower; Code Llama, which was made for long texts, has a base of 1,000,000 (Rozière et
# al. 2023, [arXiv:2308.12950](https://arxiv.org/abs/2308.12950)).
#
# It is no law that attention must fall with the distance, though. The dotted line is highest at 20: a learned matrix
# that turns the key beforehand makes a head that looks 20 tokens back, at *any* position. Notebook 09
# shows heads that look one, two and three tokens back.

# %% [markdown]
# ## 4 · Which coordinates make a pair?
#
# The paper pairs neighbours: (0, 1), (2, 3), … (*interleaved*). Hugging Face's Llama pairs coordinate $i$ with
# $i + d/2$ (*halves*), and so does this library, because then all pairs are turned by a few operations on two contiguous
# blocks. With the halves $a$ and $b$ of a vector, equation (3) for all pairs at once is
#
# $$(a,\, b) \;\mapsto\; (a\cos - b\sin,\;\; b\cos + a\sin), \tag{6}$$
#
# where $\cos$ and $\sin$ are vectors of $d/2$ numbers, of the angles $m\,\omega_i$.
#
# ### Exercise 2 · Turn the pairs (2 points)
#
# `x` has the shape `(…, seq, head_dim)`: a vector for each position, with any number of leading dimensions.
# `positions` has the shape `(seq,)` and says where each vector stands. Start with the table of all angles,
# `(seq, head_dim / 2)`. Pair halves.


# %%
def rotate_pairs(x, positions, frequencies):
    """Equation (6): x is (…, seq, head_dim), positions (seq,), frequencies (head_dim / 2,)."""
    ### BEGIN SOLUTION
    angles = positions[:, None] * frequencies  # (seq, head_dim / 2)
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
    ### END SOLUTION


# %%
check.rotate_pairs(rotate_pairs)

# %% [markdown]
# In the library the work is divided. `RotaryEmbedding` makes the cosines and sines once for the whole model, with the
# minus of (6) already in the first half of the sines; `rotate` uses them in each layer. Compare it with equation (3),
# pair by pair:

# %%
config = ModelConfig(hidden_size=8, n_heads=1, n_kv_heads=1, rope_theta=100.0)
rotary, frequencies = RotaryEmbedding(config), inverse_frequencies(config)
x = torch.randn(1, 1, 5, 8)  # (batch, heads, seq, head_dim)
turned = rotate(x, *rotary(torch.arange(5)[None]))
by_hand = torch.zeros_like(x)
for m in range(5):
    for i in range(4):
        angle = (m * frequencies[i]).item()
        by_hand[0, 0, m, [i, i + 4]] = rotation(angle) @ x[0, 0, m, [i, i + 4]]
torch.allclose(turned, by_hand, atol=1e-6)

# %% [markdown]
# ### Watch them turn
#
# Four pairs of a query (blue) and of a key (orange), $\theta = 100$. Between the rows both move on by 10 positions.


# %%
ARROW = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.03}


def at_position(x, position):
    """A vector (head_dim,) as the rotation leaves it at a position."""
    return rotate(x.view(1, 1, 1, -1), *rotary(torch.tensor([[position]]))).flatten()


def draw_pairs(axes, m, n):
    """The pairs of the query at m and of the key at n as arrows, one pair an axes; returns the score."""
    turned_q, turned_k = at_position(q, m), at_position(k, n)
    for i, axis in enumerate(axes):
        axis.add_patch(plt.Circle((0, 0), 1, fill=False, color=PALE))
        axis.quiver(0, 0, turned_q[i], turned_q[i + 4], color=BLUE, **ARROW)
        axis.quiver(0, 0, turned_k[i], turned_k[i + 4], color=ORANGE, **ARROW)
        axis.set(aspect="equal", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=[], yticks=[])
        axis.set(xlabel=f"coordinate {i}", ylabel=f"coordinate {i + 4}")
    return (turned_q @ turned_k).item()


# %%
phases = torch.tensor([[0.3, 1.9, 1.2, 0.4], [1.1, 0.2, 1.6, 1.5]])
q, k = torch.cat([phases.cos(), phases.sin()], dim=-1)  # each pair an arrow of length 1
figure, axes = plt.subplots(3, 4, figsize=(8, 6))
for row, (m, n) in zip(axes, ((3, 0), (13, 10), (23, 20)), strict=True):
    score = draw_pairs(row, m, n)
    row[0].set_title(f"query at {m}, key at {n}: score {score:.2f}")
plt.show()

# %% [markdown]
# **What to see.** Read each column from above. The fast pair 0 points anywhere, the slow pair 3 has moved only a little;
# but within a column the angle from blue to orange is the same in all three rows. So is the score. Now move the sliders:
# one alone, then both by the same amount.


# %%
def picture(m, n):
    """The figure as PNG bytes, and the score."""
    figure, axes = plt.subplots(1, 4, figsize=(8, 2.1))
    score, buffer = draw_pairs(axes, m, n), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    plt.close(figure)
    return buffer.getvalue(), f"distance <b>{m - n}</b>, score <b>{score:.3f}</b>"


def redraw(change=None):
    image.value, text.value = picture(query_at.value, key_at.value)


query_at, key_at = IntSlider(3, 0, 60, description="query at"), IntSlider(0, 0, 60, description="key at")
image, text = Image(format="png"), HTML()
for slider in (query_at, key_at):
    slider.observe(redraw, names="value")
redraw()
VBox([query_at, key_at, image, text])

# %% [markdown]
# ### The two conventions
#
# Which coordinates make a pair is a matter of numbering. A model trained in one convention runs in the other if the
# rows of its query and key matrices are reordered, which `to_interleaved` does. If they are *not* reordered, nothing
# complains: the shapes fit, and the scores are wrong.


# %%
def interleaved(x):
    """The rotation of the paper, on neighbours: complex numbers a + bi, each multiplied by exp(i m ω)."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    angles = torch.arange(x.shape[-2])[:, None] * frequencies
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


torch.manual_seed(1)
x, w_q, w_k = torch.randn(5, 16), torch.randn(8, 16), torch.randn(8, 16)
cos_sin = rotary(torch.arange(5)[None])
halves = [rotate((x @ w.T)[None, None], *cos_sin)[0, 0] for w in (w_q, w_k)]
reordered = [interleaved(x @ to_interleaved(w, n_heads=1).T) for w in (w_q, w_k)]
as_they_are = [interleaved(x @ w.T) for w in (w_q, w_k)]
scores = [query @ key.T for query, key in (halves, reordered, as_they_are)]
print("reordered, the same scores:  ", torch.allclose(scores[0], scores[1], atol=1e-4))
print("as they are, the same scores:", torch.allclose(scores[0], scores[2], atol=1e-4))

# %% [markdown]
# ## 5 · Beyond the trained length
#
# RoPE has no table that ends. Does a model then understand texts longer than those it was trained on? We try it. The
# corpus is written by a grammar (short abstracts, one after the other, as in notebook 05); the model has two layers, and
# in training sees windows of **32 tokens**, no more. Then it reads windows of 128.

# %%
documents = [document.text for document in load_grammar("en").generate(1200, seed=0)]
tokenizer = Tokenizer.train(documents[:300], vocab_size=900)
ids = torch.tensor([token for text in tokenizer.encode_batch(documents, add_eos=True) for token in text])
held_out, train = ids[:30_000], ids[30_000:]
print(f"{len(train):,} tokens to train on, {len(held_out):,} held out")


# %%
def fit(model, length, batch_size, steps, learning_rate):
    """Train on random windows; notebook 12 takes such a loop apart."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    rng = torch.Generator().manual_seed(0)
    for _ in range(steps):
        starts = torch.randint(len(train) - length, (batch_size, 1), generator=rng)
        windows = train[starts + torch.arange(length + 1)]
        optimizer.zero_grad()
        model.loss(windows[:, :-1], windows[:, 1:]).backward()
        optimizer.step()
        schedule.step()


# %%
trained = ModelConfig(vocab_size=900, hidden_size=64, n_layers=2, n_heads=4, n_kv_heads=4, intermediate_size=192,
                      max_seq_len=32)  # fmt: skip
torch.manual_seed(0)
model = MiniLLM(trained)
fit(model, length=32, batch_size=32, steps=300, learning_rate=4e-3)


# %% [markdown]
# `perplexity_by_position` cuts the held-out text into windows and averages the loss of all first tokens, all second
# tokens, and so on, here in buckets of 8. Perplexity is `exp(loss)`: among how many equally likely tokens the model
# hesitates. Beside it, how far each pair turns over the longest distance in training, and in the long windows.


# %%
def by_position(model):
    """Positions and perplexities over windows of 128 tokens."""
    buckets = perplexity_by_position(model, held_out, window=128, bucket=8, batch_size=16)
    return [(b.start + b.end) / 2 for b in buckets], [b.perplexity for b in buckets]


def draw_seen(axis):
    """Shade the turns that training has shown each pair: all angles, where it turned fully within 32 tokens."""
    turns = 32 * inverse_frequencies(trained) / (2 * torch.pi)
    axis.fill_between(
        range(8), 1e-3, turns.where(turns < 1, 100), color=PALE, step="mid", alpha=0.6, linewidth=0
    )
    axis.set(yscale="log", ylim=(3e-3, 40), xlabel="pair", ylabel="turns over the longest distance")


# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
axes[0].plot(*by_position(model), color=INK)
axes[0].axvline(32, color=INK, linewidth=1, linestyle=":")
axes[0].set(
    yscale="log", xlabel="position (tokens)", ylabel="perplexity", yticks=[2, 4, 8], yticklabels=[2, 4, 8]
)
axes[0].minorticks_off()
draw_seen(axes[1])
axes[1].plot(128 * inverse_frequencies(trained) / (2 * torch.pi), "o", color=INK)
plt.show()

# %% [markdown]
# **What to see.** Left: the first tokens of a window are hard, for nothing is known yet. Then the perplexity is low as
# far as the trained length (dotted). Beyond it, it rises and stays high, though ever more is known. A model that looked
# at nothing but the last 32 tokens would have stayed near the level it had reached.
#
# Right: the cause. Shaded is what each pair has shown in training. Pairs 0 and 1 turned more than once; for them there
# is no new angle. All others turned only in part. Over 128 tokens (dots) each turns four times as far, into angles that
# the model's weights have never met. RoPE extrapolates *formally*; what has been learned does not.
#
# ## 6 · Three repairs
#
# All three change the frequencies, nothing else, and need no training (a little helps, as we shall see). Let $s$ be the
# factor by which the text is longer, here 4.
#
# **Linear** (position interpolation, Chen et al. 2023, [arXiv:2306.15595](https://arxiv.org/abs/2306.15595)): divide
# every frequency by $s$. Position 128 then looks like position 32 before. No new angle occurs. The price: neighbours,
# always 1 radian apart in pair 0, are now a quarter of that apart.
#
# **NTK** (a post of 2023 under the name bloc97, described in section 3.1 of Peng et al. 2023,
# [arXiv:2309.00071](https://arxiv.org/abs/2309.00071)): fast pairs tell neighbours apart and have seen all angles; leave
# them. Slow pairs need stretching. A larger base $\theta'$ does both at once: by (5) pair 0 turns by 1 whatever the
# base, and the further up, the more a pair is slowed.
#
# **YaRN** (Peng et al., sections 3.2 and 3.4) decides pair by pair, by how often it turned within the trained length:
# above 32 turns it stays, below 1 it is divided by $s$, between them it is blended. It also multiplies the scores by a
# number above 1, for $s = 4$ by 1.3, since attention over more keys spreads thinner.
#
# ### Exercise 3 · A base for longer texts (3 points)
#
# For NTK, which base $\theta'$ slows the *slowest* pair by exactly the factor $s$? The slowest pair is the last of
# equation (5); write down its frequency with either base, and what you demand of the two, and solve for $\theta'$.


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
# `transformers`: beyond the trained length the slowest pair is slowed by $s\cdot\text{length}/\text{trained} - (s - 1)$,
# which is 1 at the trained length and, with $s = 4$, already 13 at four times that. All scalings are part of the model's
# configuration; the weights are the same.

# %%
scalings = {"none": INK, "linear": ORANGE, "dynamic": GREEN, "yarn": PURPLE}


def scaled(name):
    """The trained model, with its frequencies scaled for four times the length."""
    scaling = {"rope_type": name, "factor": 4}
    stretched = MiniLLM(trained if name == "none" else trained.with_rope_scaling(scaling))
    stretched.load_state_dict(model.state_dict())
    return stretched


def frequencies_of(config):
    """The frequencies over a window of 128 tokens; only those of `dynamic` depend on the window."""
    is_dynamic = config.rope_scaling is not None and config.rope_scaling.rope_type == "dynamic"
    length = torch.tensor([[128]])
    return dynamic_frequencies(config, length)[0] if is_dynamic else inverse_frequencies(config)


slowed = {name: inverse_frequencies(trained) / frequencies_of(scaled(name).config) for name in scalings}
for name, factors in slowed.items():
    print(f"{name:8} slows the pairs by", [round(factor, 1) for factor in factors.tolist()])

# %% [markdown]
# We measure each as it is, and again after 20 further steps of training on windows of 128 tokens, a fifteenth of the
# steps of the training proper.

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4))
draw_seen(axes[0])
for name, colour in scalings.items():
    stretched = scaled(name)
    turns = 128 * frequencies_of(stretched.config) / (2 * torch.pi)
    axes[0].plot(turns, "o-", color=colour, linewidth=1, label=name)
    axes[1].plot(*by_position(stretched), color=colour)
    fit(stretched, length=128, batch_size=8, steps=20, learning_rate=1e-3)
    axes[2].plot(*by_position(stretched), color=colour)
for axis, title in ((axes[1], "as they are"), (axes[2], "after 20 steps at length 128")):
    axis.axvline(32, color=INK, linewidth=1, linestyle=":")
    axis.set(yscale="log", ylim=(1.8, 10), title=title, xlabel="position (tokens)", ylabel="perplexity",
             yticks=[2, 4, 8], yticklabels=[2, 4, 8])  # fmt: skip
    axis.minorticks_off()
axes[0].legend(loc="upper right")
plt.show()

# %% [markdown]
# **What to see.** In the middle:
#
# - *Linear* (orange) has no new angle, and is the worst of all over most of the window, even within the first 32
#   tokens. What it has lost is the order of neighbours. Chen et al. used it with further training, never without.
# - *Dynamic NTK* (green) costs little near the beginning and stays low far beyond the trained length. Towards the end it
#   breaks down. The left panel shows why: pairs 2 and 3 leave the shaded area. The fastest pairs that have *not* seen all
#   angles are stretched too little.
# - *YaRN* (pink) keeps every pair within what it knows, and from position 40 on neither rises nor falls much. The price
#   is paid everywhere: it is clearly above what the model could do in the first 32 tokens.
#
# On the right, 20 steps have changed the picture. YaRN is now low from beginning to end, not far above what the model
# reached within 32 tokens. Linear has come down by about half, and is still high everywhere. Dynamic NTK and no scaling
# at all (black) are as good as YaRN where they were good before, but their far end stays high: there the new angles
# themselves must be learned, which takes longer. So scale in a way that makes few angles new, and train a little: that
# is how models are extended.
#
# One small model and one artificial corpus, in which most of what helps stands in the same sentence: the order of the
# curves follows from the argument about angles, their heights are this model's own. Try `"attention_factor": 1.0` with
# `yarn` to see what its sharpening of the attention contributes here.
#
# ## Summary
#
# - Attention alone sees a set. Demanding that scores depend on distances leaves one linear possibility: rotations of
#   pairs, by angles that grow with the position.
# - Pair $i$ turns by $\theta^{-2i/d}$ radians per token: fast pairs tell neighbours apart, slow ones far from near.
# - Halves or neighbours is a matter of numbering, and a frequent silent error when weights are converted.
# - Beyond the trained length slow pairs reach angles that were never trained on. Linear scaling avoids them at the price
#   of the neighbours, NTK spares the neighbours but not all pairs from new angles, YaRN does both; a few steps of
#   training repair most of what is left.
#
# **In the library:** `minillm_lib/model/rope.py`, with Llama 3's rule as the fourth scaling, and
# `minillm_lib/model/perplexity.py`.
# **Next:** [09 · Attention](09_attention_gqa.ipynb), where the turned queries and keys are used.
#
# **To read on.** Su et al. 2021 for RoPE; Peng et al. 2023 for all scalings in one notation; Press, Smith and Lewis 2021,
# "Train Short, Test Long", [arXiv:2108.12409](https://arxiv.org/abs/2108.12409), for ALiBi, which subtracts the distance
# from the score instead; Kazemnejad et al. 2023, "The Impact of Positional Encoding on Length Generalization",
# [arXiv:2305.19466](https://arxiv.org/abs/2305.19466), for how far a decoder gets with no positions at all.
