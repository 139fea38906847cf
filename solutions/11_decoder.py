# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 11 · The decoder: all pieces, one model
#
# **What you build.** A complete language model in five small classes, with the parameters counted one by one. It loads
# the weights of `minillm_lib`, and gives the same scores; so does Hugging Face's Llama.
#
# **What you need.** The pieces of [07 · RMSNorm](07_rmsnorm.ipynb), [08 · RoPE](08_rope.ipynb),
# [09 · Attention](09_attention_gqa.ipynb) and [10 · SwiGLU](10_swiglu.ipynb). Each is written out again here, in a few
# lines, without the reasons.
#
# **How long.** About an hour to work through. All cells together run in under 20 seconds on two CPU cores.
#
# > **中文提要** 本节把前四节的零件组装成完整的解码器：词嵌入、若干个预归一化（pre-norm）块、最后一个归一化层、与词嵌入共享权重的输出
# > 层。我们先看残差流为什么要留一条不受归一化影响的直通路，再逐一数清 26M 模型的 25,829,888 个参数，写出下一个词元的损失
# > （标签是后一个词元），最后验证：同一组权重在自己写的模型、`minillm_lib` 和 Hugging Face 的 Llama 里给出相同的 logits。

# %%
import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is fetched: models are made from configurations

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch
from torch import nn
from torch.nn import functional

from minillm_lib import MiniLLM, ModelConfig, check
from minillm_lib.model import DecoderBlock
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE, PALE, use_style

use_style()
torch.set_num_threads(1)  # for matrices as small as these, sharing the work out costs more than it saves

# %% [markdown]
# ## 1 · The residual stream
#
# A token becomes a vector of $d$ numbers, its *embedding*. From there on every layer reads that vector and *adds*
# something to it. At no point is it replaced. The vector that is carried along, from the embedding to the output, is
# called the **residual stream**. One block adds to it twice:
#
# $$x \leftarrow x + \operatorname{Attention}(\operatorname{norm}_1(x)), \qquad
# x \leftarrow x + \operatorname{FFN}(\operatorname{norm}_2(x)). \tag{1}$$
#
# Each part reads a normalised *copy*. The stream itself passes by untouched.

# %%
figure, axis = plt.subplots(figsize=(8, 2.6))
axis.annotate("", (10.2, 0), (-0.2, 0), arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 2})
boxes = {(0.8, "norm₁", PALE), (2.1, "attention", BLUE), (5.1, "norm₂", PALE), (6.4, "SwiGLU", ORANGE)}
for left, name, colour in boxes:
    axis.add_patch(plt.Rectangle((left, 1.2), 1.1, 0.8, facecolor=colour, alpha=0.55))
    axis.text(left + 0.55, 1.6, name, ha="center", va="center", fontsize=9)
for left in (0.3, 4.6):
    axis.plot([left, left, left + 0.5], [0, 1.6, 1.6], color=INK, lw=1)
    axis.plot([left + 1.6, left + 1.8], [1.6, 1.6], color=INK, lw=1)
    axis.plot([left + 2.9, left + 3.4, left + 3.4], [1.6, 1.6, 0.25], color=INK, lw=1)
    axis.plot(left + 3.4, 0, "o", color="white", markeredgecolor=INK, markersize=14)
    axis.text(left + 3.4, 0, "+", ha="center", va="center", fontsize=12)
axis.text(-0.2, -0.55, "from the block before")
axis.text(10.2, -0.55, "to the next", ha="right")
axis.set(xlim=(-0.4, 10.4), ylim=(-0.8, 2.2), xticks=[], yticks=[])
axis.set_frame_on(False)
plt.show()

# %% [markdown]
# **What to see.** One straight line runs through the block, with nothing on it but additions.
#
# ### Exercise 1 · The block (1 point)
#
# Write (1). The four parts are functions that take a tensor and give one of the same shape.


# %%
def block_forward(x, first_norm, attention, second_norm, feed_forward):
    """Equation (1): (batch, seq, hidden) in and out."""
    ### BEGIN SOLUTION
    x = x + attention(first_norm(x))
    return x + feed_forward(second_norm(x))
    ### END SOLUTION


# %%
check.block_forward(block_forward)

# %% [markdown]
# ### Why the norm stands where it stands
#
# The first transformer (Vaswani et al. 2017, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)) had the norm *after*
# the addition, on the stream: $x \leftarrow \operatorname{norm}(x + f(x))$. That is **post-norm**; (1) is **pre-norm**.
# Compare how a gradient comes back through a block. Differentiating,
#
# $$\text{pre-norm: } I + \frac{\partial f(\operatorname{norm}(x))}{\partial x}, \qquad
# \text{post-norm: } J_{\operatorname{norm}}\Big(I + \frac{\partial f(x)}{\partial x}\Big). \tag{2}$$
#
# Through $L$ blocks these are multiplied. In pre-norm the product contains $I\cdot I\cdots I = I$: whatever else happens,
# one copy of the gradient arrives as it was sent. In post-norm each block multiplies everything by
# $J_{\operatorname{norm}}$ once more, and $L$ factors make an exponential, as in [07](07_rmsnorm.ipynb).
#
# Measure it. 48 blocks with random weights of gain 1, and a random gradient sent in at the top. How large is it when it
# arrives at each depth? As a third case, a stack with no way around the parts.


# %%
def through(block, x, order):
    """One block, with its parts put together in one of three ways."""
    if order == "pre-norm":
        return block(x)
    parts = (block.input_layernorm, block.self_attn), (block.post_attention_layernorm, block.mlp)
    for norm, part in parts:
        x = norm(x + part(x)) if order == "post-norm" else part(norm(x))
    return x


def stream_gradients(order, depth=48, size=64):
    """The typical size of the gradient by the stream before each block."""
    torch.manual_seed(0)
    config = ModelConfig(hidden_size=size, n_heads=4, n_kv_heads=2, intermediate_size=192)
    streams = [torch.randn(4, 32, size, requires_grad=True)]
    for _ in range(depth):
        block = DecoderBlock(config)
        for matrix in (parameter for parameter in block.parameters() if parameter.dim() == 2):
            nn.init.normal_(matrix, std=matrix.shape[1] ** -0.5)
        streams.append(through(block, streams[-1], order))
    gradients = torch.autograd.grad(streams[-1], streams, torch.randn(4, 32, size))
    return [gradient.square().mean().sqrt().item() for gradient in gradients]


# %%
figure, axis = plt.subplots(figsize=(6.5, 3.2))
for order, colour in (("pre-norm", BLUE), ("post-norm", ORANGE), ("no way around", GREEN)):
    axis.plot(stream_gradients(order), color=colour, label=order)
axis.set(yscale="log", xlabel="blocks below", ylabel="size of the gradient (rms)")
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** Read from right to left: the gradient is sent in at the right, with size 1, and arrives at the
# embedding on the left. On this axis a straight line is an exponential. With no way around the parts (green), each block
# multiplies the gradient by nearly one and a half, all 48 by more than ten million. Post-norm (orange) is exponential as
# well, if far more gently: every block finds a stream of the same size, and changes the gradient by about the same
# factor. In pre-norm (blue) the line bends. A block adds something of about the same size to a stream that has grown by
# all that was added before; so the higher up a block is, the less it changes, in the stream and in the gradient. (It reads
# the stream divided by its size, and the gradient is divided likewise: section 4 of notebook 07.) What is left is a slow
# growth: with twice as many blocks, not even twice as much.
#
# Xiong et al. (2020, [arXiv:2002.04745](https://arxiv.org/abs/2002.04745)) made this precise, and found that a
# pre-norm transformer trains without the slow start of the learning rate that post-norm needs.
#
# ## 2 · The pieces
#
# Five classes make the model. The names of their parts are those of the library and of Hugging Face's Llama, so that
# weights can be exchanged. First the norm and the feed-forward layer (notebooks 07 and 10):


# %%
class Norm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(size)), eps

    def forward(self, x):
        return self.weight * x / (x.square().mean(dim=-1, keepdim=True) + self.eps).sqrt()


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


# %% [markdown]
# Rotary positions (07): pair $i$ of a head, the coordinates $i$ and $i + \tfrac12$ `head_dim`, is turned by the angle
# position · $\theta^{-2i/\text{head\_dim}}$. Written with complex numbers a rotation is a product:


# %%
def rotated(x, theta):
    """x is (batch, heads, seq, head_dim); positions count from 0."""
    half = x.shape[-1] // 2
    frequencies = theta ** -(torch.arange(half) / half)
    angles = torch.arange(x.shape[2])[:, None] * frequencies  # (seq, half)
    pairs = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([pairs.real, pairs.imag], dim=-1)


# %% [markdown]
# Attention with grouped heads (08): each key–value head serves `n_heads / n_kv_heads` query heads, and no position looks
# at a later one.


# %%
class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, kv_width = config, config.n_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.n_heads * config.head_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, kv_width, bias=False)
        self.o_proj = nn.Linear(config.n_heads * config.head_dim, config.hidden_size, bias=False)

    def heads(self, x):
        return x.unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2)  # (batch, heads, seq, head_dim)

    def forward(self, x):
        query, key, value = (self.heads(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))
        query, key = rotated(query, self.config.rope_theta), rotated(key, self.config.rope_theta)
        group = self.config.n_heads // self.config.n_kv_heads
        key, value = (each.repeat_interleave(group, dim=1) for each in (key, value))
        scores = query @ key.transpose(-1, -2) / self.config.head_dim**0.5  # (batch, heads, seq, seq)
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(diagonal=1)
        return self.o_proj(
            (scores.masked_fill(later, -torch.inf).softmax(-1) @ value).transpose(1, 2).flatten(2)
        )


# %% [markdown]
# ## 3 · The model
#
# The block is (1), here as a loop over its two halves. The model is an embedding, the blocks, and a last norm.
#
# **The output head** turns the stream at each position into a score, a *logit*, for every piece of the vocabulary: a
# product with a `(vocab, d)` matrix. The embedding is a `(vocab, d)` matrix too. Press and Wolf (2017,
# [arXiv:1608.05859](https://arxiv.org/abs/1608.05859)) proposed to use the same one twice, *tied*. The score of a piece
# is then the inner product of the stream with that piece's own embedding: the model says "cat" by steering the stream
# towards the vector by which it reads "cat".


# %%
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.input_layernorm = Norm(config.hidden_size, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = Norm(config.hidden_size, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, x):
        halves = (self.input_layernorm, self.self_attn), (self.post_attention_layernorm, self.mlp)
        for norm, part in halves:
            x = x + part(norm(x))
        return x


# %%
class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = Norm(config.hidden_size, config.norm_eps)

    def forward(self, ids):
        x = self.embed_tokens(ids)  # (batch, seq, hidden)
        for block in self.layers:
            x = block(x)
        return self.norm(x) @ self.embed_tokens.weight.T  # (batch, seq, vocab)


# %% [markdown]
# That is all of it. Does it compute what the library computes? Take the library's `tiny`, make its weights large
# enough to matter (as they are drawn at first, all logits are close to zero, and a mistake would hide), and load them
# into ours. `load_state_dict` is strict: it would refuse a name or a shape that does not fit.


# %%
def with_large_weights(model):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(mean=1.0 if parameter.dim() == 1 else 0.0, std=0.1)
    return model.eval()


library = with_large_weights(MiniLLM.from_preset("tiny"))
mine = Decoder(library.config)
print(mine.load_state_dict(library.state_dict()))
ids = torch.randint(library.config.vocab_size, (2, 20), generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    logits = library(ids)
    print(tuple(logits.shape), "equal:", torch.allclose(mine(ids), logits, rtol=1e-3, atol=1e-3))
    print("largest logit in size: more than 1:", bool(logits.abs().max() > 1))

# %% [markdown]
# ### Two things to check in any decoder
#
# **No look ahead.** Change the token at one position, and see at which positions the logits change. If a single one
# before it does, the model can see its own answer, and its training loss means nothing.

# %%
seq = 12
changed = ids[:1, :seq].repeat(seq, 1)
changed[torch.arange(seq), torch.arange(seq)] += 1  # row s has another token at position s
with torch.no_grad():
    change = (library(changed) - library(ids[:1, :seq])).square().mean(dim=-1).sqrt()  # (changed at, seq)
print("nothing before the change moves:", bool((change.tril(-1) < 1e-3).all()))
figure, axis = plt.subplots(figsize=(4.8, 3.8))
sns.heatmap(change, cmap="Blues", square=True, ax=axis, cbar_kws={"label": "change of the logits (rms)"})
axis.set(xlabel="position whose logits are looked at", ylabel="position whose token is changed")
plt.show()

# %% [markdown]
# **What to see.** A row is one change. Left of the diagonal everything is white: no logits change before the token that
# has changed. From the diagonal on everything is blue: that token is used at its own place and at all later ones. A blue
# field on the left would be a look into the future; a white field on the right would be a token that is not seen.
#
# **The stream is a sum.** What reaches the last norm is the embedding plus everything that the parts have added. Catch each
# part's output and add up:

# %%
added = []
parts = [part for block in library.layers for part in (block.self_attn, block.mlp)]
hooks = [part.register_forward_hook(lambda part, inputs, output: added.append(output)) for part in parts]
with torch.no_grad():
    logits = library(ids)
    stream = library.embed_tokens(ids) + sum(added)
    print(len(added), "contributions:", end=" ")
    print(torch.allclose(library.norm(stream) @ library.embed_tokens.weight.T, logits, rtol=1e-3, atol=1e-3))
for hook in hooks:
    hook.remove()

# %% [markdown]
# So one can ask of a trained model which block contributed what to a prediction. Elhage et al. (2021,
# [A Mathematical Framework for Transformer Circuits](https://transformer-circuits.pub/2021/framework/index.html)) start
# from this view.
#
# ## 4 · The loss
#
# The logits at position $t$ are scores for the token at position $t+1$. With $\operatorname{softmax}$ they become
# probabilities, and the loss is the mean negative logarithm of the probability given to the token that came:
#
# $$\mathcal L = -\frac{1}{N}\sum_{t} \ln p_\theta(w_{t+1} \mid w_1, \dots, w_t) . \tag{3}$$
#
# A row of $n$ tokens has $n - 1$ such predictions: the last position has no successor, and the first token is
# predicted by no one. Rows of different length are filled up with padding, and nothing should be learned from that.
#
# ### Exercise 2 · Next-token loss (2 points)
#
# `logits` is `(batch, seq, vocab)`, `tokens` `(batch, seq)`, and `is_token` `(batch, seq)` is true for tokens and false
# for padding, which stands on the right. Return (3), with $N$ the number of predicted *tokens* in the whole batch.
# `functional.log_softmax` and `torch.gather` help; so does `functional.cross_entropy` with its `ignore_index`.


# %%
def next_token_loss(logits, tokens, is_token):
    """The mean loss of the tokens that are predicted: a tensor without dimensions, in nats."""
    ### BEGIN SOLUTION
    targets, counts = tokens[:, 1:], is_token[:, 1:]
    log_probabilities = functional.log_softmax(logits[:, :-1], dim=-1)
    losses = -log_probabilities.gather(-1, targets[..., None]).squeeze(-1)  # (batch, seq - 1)
    return losses[counts].mean()
    ### END SOLUTION


# %%
check.next_token_loss(next_token_loss)

# %% [markdown]
# In the library, `model.loss(ids[:, :-1], ids[:, 1:])` is this loss; it never holds all the logits at once (see
# `minillm_lib/model/loss.py`), and leaves the shift to the caller, where it can be seen.
#
# A model that knows nothing gives each of the 6,400 pieces about the same probability, so its loss should be about
# $\ln 6400$. That is the first thing to look at when a training run starts.

# %%
torch.manual_seed(0)
fresh = MiniLLM.from_preset("tiny")
with torch.no_grad():
    loss = fresh.loss(ids[:, :-1], ids[:, 1:])
    by_hand = functional.cross_entropy(fresh(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
print("equal:", torch.allclose(loss, by_hand, atol=1e-4))
print(f"fresh model {loss:.1f} nats, ln 6400 = {torch.tensor(6400.0).log():.1f}")

# %% [markdown]
# ## 5 · Counted to the last one
#
# The preset `26m`: $d = 512$, eight blocks, eight query heads and two key–value heads of 64 numbers each, and a
# feed-forward width of 1,408. On the device `meta` the model has shapes and no numbers. Here is one block:

# %%
config = ModelConfig.from_preset("26m")
with torch.device("meta"):
    model = Decoder(config)
rows = [(name, tuple(p.shape), f"{p.numel():,}") for name, p in model.layers[0].named_parameters()]
print(pd.DataFrame(rows, columns=["in one block", "shape", "parameters"]).to_string(index=False))

# %% [markdown]
# Nothing else: no biases, and rotary positions have no parameters. Add up.

# %%
block = sum(parameter.numel() for parameter in model.layers[0].parameters())
table, last = model.embed_tokens.weight.numel(), model.norm.weight.numel()
print(f"embedding, which is the output head too  {table:12,}")
print(f"8 blocks of {block:,}                    {8 * block:12,}")
print(f"the last norm                            {last:12,}")
print(f"together                                 {table + 8 * block + last:12,}")
print("the library counts the same:", config.n_parameters == table + 8 * block + last)

# %% [markdown]
# ### Exercise 3 · Any shape (3 points)
#
# Write the formula for models of this kind, whatever their shape. `head_dim` need not be `hidden_size / n_heads`.
# `tied` says whether the output head is the embedding. Do not build a model: multiply and add.


# %%
def count_parameters(
    vocab_size, hidden_size, n_layers, n_heads, n_kv_heads, head_dim, intermediate_size, tied
):
    """How many parameters the decoder of this notebook has, a whole number."""
    ### BEGIN SOLUTION
    attention = 2 * hidden_size * n_heads * head_dim + 2 * hidden_size * n_kv_heads * head_dim
    feed_forward = 3 * hidden_size * intermediate_size
    norms = 2 * hidden_size
    tables = (1 if tied else 2) * vocab_size * hidden_size
    return tables + n_layers * (attention + feed_forward + norms) + hidden_size
    ### END SOLUTION


# %%
check.count_parameters(count_parameters)

# %% [markdown]
# What a choice costs, by the library's count. Each line changes one thing in `26m`.

# %%
changes = {
    "as it is": {},
    "the output head not tied": {"tied_embeddings": False},
    "eight key–value heads": {"n_kv_heads": 8},
    "one key–value head": {"n_kv_heads": 1},
    "twice as deep": {"n_layers": 16},
    "a vocabulary of 32,000": {"vocab_size": 32_000},
}
for name, change in changes.items():
    count = ModelConfig.from_preset("26m", **change).n_parameters
    print(f"{name:26} {count:12,}   {count / config.n_parameters - 1:+7.1%}")

# %% [markdown]
# A vocabulary of 32,000, which Llama has, would add half the model once more, for rows that a small corpus hardly
# ever visits. That is why ours has 6,400 (notebook 04).
#
# ## 6 · The same weights elsewhere
#
# The architecture that we have built is Llama's (Touvron et al. 2023, [arXiv:2302.13971](https://arxiv.org/abs/2302.13971),
# with the grouped heads of the later versions). If that is true, Hugging Face's `LlamaForCausalLM`, written by other people,
# must compute the same with the same weights.

# %%
from transformers import LlamaConfig, LlamaForCausalLM  # here, where it is needed: the import is slow
from transformers.utils.logging import disable_progress_bar

disable_progress_bar()
config = library.config
theirs = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=config.vocab_size, hidden_size=config.hidden_size, num_hidden_layers=config.n_layers,
        num_attention_heads=config.n_heads, num_key_value_heads=config.n_kv_heads, head_dim=config.head_dim,
        intermediate_size=config.intermediate_size, max_position_embeddings=config.max_seq_len,
        rms_norm_eps=config.norm_eps, tie_word_embeddings=True,
    )
).eval()  # fmt: skip
print(f"{sum(p.numel() for p in theirs.parameters()):,} parameters, as many as ours: {config.n_parameters:,}")

# %% [markdown]
# Their names are ours with `model.` in front. The output head is listed separately there; it is the same tensor as the
# embedding.

# %%
weights = {f"model.{name}": tensor for name, tensor in library.state_dict().items()}
print(theirs.load_state_dict(weights, strict=False))
theirs.tie_weights()
with torch.no_grad():
    print("equal logits:", torch.allclose(theirs(ids).logits, library(ids), rtol=1e-3, atol=1e-3))

# %% [markdown]
# By hand this is needed only once. A checkpoint that the library writes as a folder is one that `transformers` opens:

# %%
with tempfile.TemporaryDirectory() as folder:
    library.save(f"{folder}/tiny")
    print(sorted(os.listdir(f"{folder}/tiny")))
    reopened = LlamaForCausalLM.from_pretrained(f"{folder}/tiny").eval()
with torch.no_grad():
    print("equal logits:", torch.allclose(reopened(ids).logits, mine(ids), rtol=1e-3, atol=1e-3))

# %% [markdown]
# Three programs, one function. That is worth more than any test of a single one: the same mistake would have to be made
# three times.
#
# ## Summary
#
# - A token's vector runs through the model as a stream, and each part adds to it. In pre-norm nothing stands on the
#   stream itself, so a gradient comes through any depth.
# - Embedding, eight blocks, a norm, and the embedding once more as the output head: 25,829,888 parameters.
# - The logits at $t$ are for the token at $t+1$. The loss shifts the labels by one, and leaves out padding.
# - A fresh model's loss is about $\ln$ of the vocabulary. A change at one position must never show before it.
# - With the same weights, the model of this notebook, the library's and Hugging Face's Llama give the same logits.
#
# **In the library:** `minillm_lib/model/decoder.py`, with `minillm_lib/model/hugging_face.py` for the exchange.
# **Next:** [12 · The training loop](12_training_loop.ipynb), in which the numbers get their values.
#
# **To read on.** Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2), for the model that
# set the pattern; Touvron et al. 2023, [arXiv:2302.13971](https://arxiv.org/abs/2302.13971), section 2.2, for what Llama
# changed in it, on one page; Elhage et al. 2021 for reading the stream as a sum.
