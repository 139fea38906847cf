# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 11 · The decoder: all pieces, one model
#
# **What you build.** A complete language model in five small classes, out of the functions that you wrote in notebooks
# 07 to 10; its first weights; its parameters, counted one by one. It loads the weights of `minillm_lib`, and gives the
# same scores; so does Hugging Face's Llama.
#
# **What you need.** The pieces of [07 · RMSNorm](07_rmsnorm.ipynb), [08 · RoPE](08_rope.ipynb), [09 ·
# Attention](09_attention_gqa.ipynb) and [10 · SwiGLU](10_swiglu.ipynb). Those that you wrote are used here; those that
# are missing are the library's.
#
# **How long.** About 75 minutes to work through. All cells together run in under 20 seconds on two CPU cores.
#
# > **中文提要** 本节用你在前四节写的函数组装出完整的解码器：词嵌入、若干个预归一化（pre-norm）块、末端的归一化层、与词嵌入共享权重的输出层。我们先看残差流为什么要留一条不受归一化影响的直通路径，以及写入残差流的矩阵的初始值为什么要随深度缩小、缩小多少；然后写出整个解码器的前向计算，并检验它不会看到后面的词元；再写出下一个词元的损失，逐一数清 26M 模型的 25,829,888 个参数。最后验证：同一组权重在自己写的模型、`minillm_lib` 和 Hugging Face 的 Llama 里给出相同的 logits。

# %%
import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is fetched: models are made from configurations

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from minillm_lib import MiniLLM, ModelConfig, check, course
from minillm_lib.model import DecoderBlock
from minillm_lib.viz import BLUE, GREEN, ORANGE
from minillm_lib.viz.decoder_diagrams import plot_block, plot_look_ahead

# %% tags=["nbval-ignore-output"]
pieces = course.setup(*course.PIECES, "leaking_positions")
pieces

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
plot_block()

# %% [markdown]
# **What to see.** One straight line runs through the block, with nothing on it but additions. At each dot the stream is
# read, at each circle something is added to it.
#
# ### Exercise 1 · The block (1 point)
#
# Write (1). The four parts are functions that take a tensor and return one of the same shape.


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
# The first Transformer (Vaswani et al. 2017, [arXiv:1706.03762](https://arxiv.org/abs/1706.03762)) had the norm *after*
# the addition, on the stream: $x \leftarrow \operatorname{norm}(x + f(x))$. That is **post-norm**; (1) is **pre-norm**.
# Compare how a gradient comes back through a block. Differentiating,
#
# $$\text{pre-norm: } I + \frac{\partial f(\operatorname{norm}(x))}{\partial x}, \qquad
# \text{post-norm: } J_{\operatorname{norm}}\Big(I + \frac{\partial f(x)}{\partial x}\Big). \tag{2}$$
#
# Through $L$ blocks these are multiplied. In pre-norm the product contains $I\cdot I\cdots I = I$: whatever else
# happens, one copy of the gradient arrives as it was sent. In post-norm each block multiplies everything by
# $J_{\operatorname{norm}}$ once more, and $L$ factors make an exponential, as in [07](07_rmsnorm.ipynb).
#
# Measure it. 48 blocks with random weights of gain 1 (variance $1/d_\text{in}$, section 8 of [notebook
# 06](06_counts_to_gradients.ipynb)), and a random gradient sent in at the top. How large is it when it arrives at each
# depth? As a third case, a stack without the additions: each part replaces the stream.


# %%
def random_block(config, generator, depth, rule=None):
    """A block of gain 1, or with what a rule makes of it: see Exercise 2."""
    block = DecoderBlock(config)
    for name, matrix in block.named_parameters():
        if matrix.dim() == 2:
            deviation = matrix.shape[1] ** -0.5
            if rule is not None:
                deviation = rule(f"layers.0.{name}", depth, deviation)
            nn.init.normal_(matrix, std=deviation, generator=generator)
    return block


# %%
def through(block, x, order):
    """One block, with its parts put together in one of three ways."""
    if order == "pre-norm":
        return block(x)
    parts = (block.input_layernorm, block.self_attn), (block.post_attention_layernorm, block.mlp)
    for norm, part in parts:
        x = norm(x + part(x)) if order == "post-norm" else part(norm(x))
    return x


# %%
def through_depth(order, seed, rule=None, depth=48, size=64):
    """Root mean squares of the stream and of the gradient with respect to it, before each block and at the end."""
    generator = torch.Generator().manual_seed(seed)
    config = ModelConfig(hidden_size=size, n_heads=4, n_kv_heads=2, intermediate_size=192)
    streams = [torch.randn(4, 32, size, generator=generator).requires_grad_()]
    for _ in range(depth):
        block = random_block(config, generator, depth, rule)
        streams.append(through(block, streams[-1], order))
    sent = torch.randn(4, 32, size, generator=generator)
    gradients = torch.autograd.grad(streams[-1], streams, sent)
    return [[x.detach().square().mean().sqrt().item() for x in each] for each in (streams, gradients)]


orders = {"pre-norm": BLUE, "post-norm": ORANGE, "no addition": GREEN}
measured = {order: [through_depth(order, seed) for seed in range(3)] for order in orders}

# %%
figure, axis = plt.subplots(figsize=(6.5, 3.2))
for order, colour in orders.items():
    for seed, (_, gradients) in enumerate(measured[order]):
        axis.plot(gradients, color=colour, linewidth=1.2, label=order if seed == 0 else None)
axis.set(yscale="log", xlabel="blocks below", ylabel="size of the gradient (rms)")
axis.legend()
plt.show()
at_the_embedding = {order: [gradients[0] for _, gradients in measured[order]] for order in orders}
assert max(at_the_embedding["pre-norm"]) < 50 < 100 < min(at_the_embedding["post-norm"])
assert min(at_the_embedding["no addition"]) > 1e6
print("pre-norm below 50, post-norm above 100, without additions above a million, with each seed: True")

# %% [markdown]
# **What to see.** Three seeds for each order. Read from right to left: the gradient is sent in at the right, with size
# 1, and arrives at the embedding on the left. On this axis a straight line is an exponential. Without additions
# (green), each block multiplies the gradient by nearly one and a half, all 48 by more than a million. Post-norm
# (orange) is exponential as well, if far more gently: every block finds a stream of the same size, and changes the
# gradient by about the same factor. In pre-norm (blue) the line bends. A block adds something of about the same size to
# a stream that has grown by all that was added before; so the higher up a block is, the less it changes, in the stream
# and in the gradient.
#
# Xiong et al. (2020, [arXiv:2002.04745](https://arxiv.org/abs/2002.04745)) made this precise, and found that a
# pre-norm Transformer trains without the slow start of the learning rate that post-norm needs.
#
# ### Where to begin
#
# But a stream that grows has a price. Xavier's and He's rules (section 8 of notebook 06) keep numbers at their size
# through a *matrix*. The stream goes through no matrix. It is a *sum*: the embedding, and what each part adds. If the
# parts are independent, as they are before training, the variances add up, so that the stream grows with the depth like
# a root:

# %%
figure, axis = plt.subplots(figsize=(6.5, 2.8))
for seed, (streams, _) in enumerate(measured["pre-norm"]):
    axis.plot(
        [size**2 for size in streams], color=BLUE, linewidth=1.2, label="pre-norm" if seed == 0 else None
    )
axis.set(xlabel="blocks below", ylabel="variance of the stream", ylim=(0, None))
axis.legend()
plt.show()
final = [streams[-1] for streams, _ in measured["pre-norm"]]
assert min(final) > 5
print("after 48 blocks the stream is at least five times as large as the embedding: True")

# %% [markdown]
# **What to see.** The variance grows nearly along a straight line, by about the same amount in each block. So the
# embedding of the token itself has only a small share in what the last norm reads; and the blocks are unequal: the same
# amount is much at the bottom, and little at the top. The deeper the model is, the more unequal. GPT-2 (Radford et al.
# 2019) and many models since are therefore drawn in such a way that all parts *together* add about as much as one part
# would, however many there are.
#
# ### Exercise 2 · The first weights (2 points)
#
# Derive how. A model has `n_layers` blocks of two parts each. Its weights are drawn with mean 0 and the standard
# deviation `deviation`, apart from those that decide how large what a part adds is. Which of the matrices of a block
# are these (see the classes in section 2, and notebooks 09 and 10)? And with which standard deviation must they be
# drawn? `name` is the name of a matrix, such as `"layers.3.self_attn.q_proj.weight"` or `"embed_tokens.weight"`; return
# its standard deviation.


# %%
def initial_deviation(name, n_layers, deviation):
    """The standard deviation with which a matrix is drawn."""
    ### BEGIN SOLUTION
    writes_to_the_stream = name.endswith(("o_proj.weight", "down_proj.weight"))
    return deviation / (2 * n_layers) ** 0.5 if writes_to_the_stream else deviation
    ### END SOLUTION


# %%
check.initial_deviation(initial_deviation)

# %% [markdown]
# What does your rule do to our 48 blocks?

# %%
rule = check.initial_deviation.function
figure, axes = plt.subplots(1, 2, figsize=(8.5, 2.8))
for name, colour, runs in (
    ("all alike", BLUE, measured["pre-norm"]),
    ("by the rule", ORANGE, [through_depth("pre-norm", seed, rule) for seed in range(3)]),
):
    for axis, what in zip(axes, range(2), strict=True):
        axis.plot(torch.tensor(runs)[:, what].T, color=colour, linewidth=1.2, label=[name, "_", "_"])
for axis, title in zip(axes, ("stream", "gradient with respect to the stream"), strict=True):
    axis.set(xlabel="blocks below", ylabel="size (rms)", title=title, ylim=(0, None))
axes[0].legend()
plt.show()
ends = [(streams[-1], gradients[0]) for streams, gradients in runs]
assert max(map(max, ends)) < 2
print("by the rule, stream and gradient at most double over 48 blocks: True")

# %% [markdown]
# **What to see.** With the rule (orange) stream and gradient keep their size at any depth, and every block has the same
# share. Whether a model *learns* better so is another question, as pre-norm forgives much: the parts read a normalised
# copy, and training changes the sizes. The rule costs nothing, and it makes models of different depth begin alike.
#
# Why $\sigma = 0.02$ for all the others, as in GPT-2 and in the library, and not $1/\sqrt d$, which would be 0.044 for
# $d = 512$? All that the parts add is read through a norm, so that its size as a whole matters little. It matters at
# the output. A normalised vector has length $\sqrt d$. Its product with the embedding of a token is a logit, of
# standard deviation $s = \sigma\sqrt d$. Logits that mean nothing should be small: section 4 measures what they cost.
#
# ## 2 · The pieces
#
# Five classes make the model. They hold the parameters, and leave the computing to the functions that you wrote. The
# names of their parts are those of the library and of Hugging Face's Llama, so that weights can be exchanged. First the
# norm and the feed-forward layer (notebooks 07 and 10):


# %%
class Norm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(config.hidden_size)), config.norm_eps

    def forward(self, x):
        return pieces.rms_norm(x, self.weight, self.eps)


# %%
class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x):
        return pieces.swiglu(x, self.gate_proj.weight, self.up_proj.weight, self.down_proj.weight)


# %% [markdown]
# Attention (notebook 09) gets four matrices and the rotation. Cosines and sines of the angles come from the frequencies
# of notebook 08, one for each pair of coordinates of a head; as the pairs are halves, everything stands twice, and the
# sines of the first half have a minus.


# %%
class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        wide, narrow = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, wide, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, narrow, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, narrow, bias=False)
        self.o_proj = nn.Linear(wide, config.hidden_size, bias=False)
        self.head_dim = config.head_dim
        self.frequencies = pieces.pair_frequencies(config.head_dim, config.rope_theta)

    def rotation(self, seq):
        angles = torch.arange(seq)[:, None] * self.frequencies.float()  # (seq, head_dim / 2)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([cos, cos], dim=-1)[None, None], torch.cat([-sin, sin], dim=-1)[None, None]

    def forward(self, x):
        weights = (each.weight for each in (self.q_proj, self.k_proj, self.v_proj, self.o_proj))
        return pieces.attention_layer(x, *weights, self.head_dim, self.rotation(x.shape[1]))


# %% [markdown]
# And the block of Exercise 1 gets its four parts:


# %%
class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(config), Attention(config)
        self.post_attention_layernorm, self.mlp = Norm(config), FeedForward(config)

    def forward(self, x):
        return pieces.block_forward(
            x, self.input_layernorm, self.self_attn, self.post_attention_layernorm, self.mlp
        )


# %% [markdown]
# ## 3 · The model
#
# The model is an embedding, the blocks one after the other, and a last norm.
#
# **The output head** turns the stream at each position into a score, a *logit*, for every piece of the vocabulary: a
# product with a `(vocab, d)` matrix. The embedding is a `(vocab, d)` matrix too. Press and Wolf (2017,
# [arXiv:1608.05859](https://arxiv.org/abs/1608.05859)) proposed to use the same one twice, *tied*. The score of a piece
# is then the inner product of the stream with that piece's own embedding: the model says "cat" by steering the stream
# towards the vector by which it reads "cat".
#
# ### Exercise 3 · The decoder (2 points)
#
# Put it together. `model.embed_tokens` is an `nn.Embedding`, `model.layers` a list of blocks, `model.norm` the last
# norm; the head is tied. `ids` is `(batch, seq)`, whole numbers; return the logits of all positions,
# `(batch, seq, vocab)`. What you write becomes the method `forward` of the class below, and notebook 12 trains it.


# %%
def decoder_forward(model, ids):
    """The logits for the token after each position: (batch, seq) to (batch, seq, vocab)."""
    ### BEGIN SOLUTION
    x = model.embed_tokens(ids)  # (batch, seq, hidden)
    for block in model.layers:
        x = block(x)
    return model.norm(x) @ model.embed_tokens.weight.T
    ### END SOLUTION


# %%
check.decoder_forward(decoder_forward)


# %%
class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = Norm(config)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                deviation = check.initial_deviation.function(name, config.n_layers, config.initializer_range)
                nn.init.normal_(parameter, std=deviation)

    def forward(self, ids):
        return pieces.decoder_forward(self, ids)


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


# %%
library = with_large_weights(MiniLLM.from_preset("tiny"))
mine = Decoder(library.config)
print(mine.load_state_dict(library.state_dict()))
ids = torch.randint(library.config.vocab_size, (2, 20), generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    logits = library(ids)
    print(tuple(logits.shape), "equal:", torch.allclose(mine(ids), logits, rtol=1e-3, atol=1e-3))
    print("largest logit in size: more than 1:", bool(logits.abs().max() > 1))

# %% [markdown]
# And are its first weights drawn as the library draws them? Compare the standard deviations, matrix by matrix.

# %%
torch.manual_seed(0)
ours, theirs = Decoder(library.config), MiniLLM(library.config)
ratios = [
    (parameter.std() / ours.get_parameter(name).std()).item()
    for name, parameter in theirs.named_parameters()
    if parameter.dim() == 2
]
print(
    f"{len(ratios)} matrices, all with the same spread to 3 %:", all(0.97 < ratio < 1.03 for ratio in ratios)
)

# %% [markdown]
# ### Two things to check in any decoder
#
# **No look ahead.** Change the token at one position, and see at which positions the logits change. The library's
# `plot_look_ahead` does so for each position of a text in turn:

# %%
plot_look_ahead(mine, ids[:1, :12])

# %% [markdown]
# **What to see.** Each line of the square is one change. Left of the diagonal everything is empty: no logits change
# before the token that has changed. From the diagonal on everything is blue: that token is used at its own position and
# at all later ones. A blue field on the left would be a look into the future: the model could see its own answer, and
# its training loss would mean nothing. An empty field on the right would be a token that is not seen.
#
# The same as a test: `leaking_positions` of notebook 09, yours if it passed, on all blocks together; and, to be sure
# that it would find something, on the same blocks with the text read backwards.


# %%
def stack(x):
    for block in mine.layers:
        x = block(x)
    return x


with torch.no_grad():
    x = mine.embed_tokens(ids[:, :6])
    print("positions that leak into earlier ones:", list(pieces.leaking_positions(stack, x)))
    backwards = pieces.leaking_positions(lambda x: stack(x.flip(1)).flip(1), x)
    print("read backwards:", list(backwards))

# %% [markdown]
# **The stream is a sum.** What reaches the last norm is the embedding plus everything that the parts have added. Catch
# each part's output and add up:

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
# A sequence of $n$ tokens has $n - 1$ such predictions: the last position has no successor, and the first token is
# predicted by no one. Sequences of different length are filled up with padding, and nothing should be learned from
# that.
#
# ### Exercise 4 · Next-token loss (2 points)
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
    by_hand = check.next_token_loss.function(fresh(ids), ids, torch.ones_like(ids, dtype=torch.bool))
print("equal:", torch.allclose(loss, by_hand, atol=1e-4))
print(f"fresh model {loss:.1f} nats, ln 6400 = {torch.tensor(6400.0).log():.1f}")

# %% [markdown]
# More exactly: logits without meaning, of standard deviation $s$, cost about $s^2/2$ nats more than $\ln V$. (For the
# mean of $e^z$ over normal $z$ is $e^{s^2/2}$, so that $\ln \sum_j e^{z_j} \approx \ln V + s^2/2$, while the logit of
# the token that came is 0 on average.) Try it with normalised vectors of $d = 192$ numbers, and three sizes of the
# embedding:

# %%
generator = torch.Generator().manual_seed(0)
x = functional.rms_norm(torch.randn(2000, 192, generator=generator), (192,))
labels = torch.randint(6400, (2000,), generator=generator)
for deviation in (0.02, 192**-0.5, 0.2):
    logits_by_chance = x @ (deviation * torch.randn(6400, 192, generator=generator)).T
    more = functional.cross_entropy(logits_by_chance, labels).item() - torch.tensor(6400.0).log().item()
    print(f"σ = {deviation:.3f}: s²/2 = {deviation**2 * 192 / 2:4.2f}, measured {more:5.1f}")

# %% [markdown]
# With $\sigma = 0.02$ nothing is lost. With a tenfold $\sigma$ the model begins by believing in nonsense, and has to
# unlearn it.

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
# ### Exercise 5 · Any shape (3 points)
#
# Write the formula for models of this kind, whatever their shape. `head_dim` need not be `hidden_size / n_heads`; the
# shapes of all matrices follow from the classes of section 2.
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
# The architecture that we have built is Llama's (Touvron et al. 2023,
# [arXiv:2302.13971](https://arxiv.org/abs/2302.13971), with the grouped heads of the later versions). If that is true,
# Hugging Face's `LlamaForCausalLM`, written by other people, must compute the same with the same weights.

# %%
from transformers import LlamaConfig, LlamaForCausalLM  # here, where it is needed: the import is slow
from transformers.utils.logging import disable_progress_bar

disable_progress_bar()
config = library.config
llama = LlamaConfig(
    vocab_size=config.vocab_size,
    hidden_size=config.hidden_size,
    num_hidden_layers=config.n_layers,
    num_attention_heads=config.n_heads,
    num_key_value_heads=config.n_kv_heads,
    head_dim=config.head_dim,
    intermediate_size=config.intermediate_size,
    max_position_embeddings=config.max_seq_len,
    rms_norm_eps=config.norm_eps,
    tie_word_embeddings=True,
)

# %%
theirs = LlamaForCausalLM(llama).eval()
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
# - The stream is a sum of $1 + 2L$ terms. The matrices that write to it are drawn smaller by $1/\sqrt{2L}$, so that it
#   does not grow with the depth.
# - Embedding, eight blocks, a norm, and the embedding once more as the output head: 25,829,888 parameters.
# - The logits at $t$ are for the token at $t+1$. The loss shifts the labels by one, and leaves out padding.
# - A fresh model's loss is about $\ln$ of the vocabulary. A change at one position must never show before it.
# - With the same weights, the model of this notebook, the library's and Hugging Face's Llama give the same logits.
#
# **In the library:** `minillm_lib/model/decoder.py`, with `minillm_lib/model/hugging_face.py` for the exchange;
# `minillm_lib/course/decoder.py` has the classes of section 2, which make a model of your pieces in notebook 12.
# **Next:** [12 · The training loop](12_training_loop.ipynb), in which the numbers get their values.
#
# **To read on.** Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2), for the model that
# set the pattern, and for the factor $1/\sqrt N$ of its first weights; Touvron et al. 2023,
# [arXiv:2302.13971](https://arxiv.org/abs/2302.13971), section 2.2, for what Llama changed in it, on one page; Elhage
# et al. 2021 for reading the stream as a sum.
