# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 16 · Faster: what a token waits for, and how it waits less
#
# **What you build.** You find out what a decoding step spends its time on, by measuring the processor and the memory of
# your own machine. Then you make it faster in the three ways that this leaves: weights in 8 bits, shared key–value heads,
# whose claim of "memory −40 %, inference 1.3–1.6×" you measure again, and speculative decoding, which you write, run and
# test: it must not change what the model says.
#
# **What you need.** [15 · Inference](15_inference.ipynb) for the KV cache and `generate()`; [09 ·
# Attention](09_attention_gqa.ipynb) for grouped heads; [05 · Language models](05_language_models.ipynb) for n-grams.
#
# **How long.** About an hour and a half to work through, with four exercises. All cells together run in under 30 seconds on
# two CPU cores. Times are measured on your machine: where one follows a `~`, yours will differ.
#
# > **中文提要** 逐个词元解码的速度受内存带宽限制：每生成一个词元，都要把全部权重读一遍。本节先测量内存带宽与峰值算力，由“每字节做几次运算”（算术强度）推出一次前向计算的时间下限，并与实测对照。由此得到三条加速途径：一是少读字节，把权重矩阵逐行量化为 8 位整数；二是少读缓存，用分组查询共享键值头，并重新测量“内存 −40 %，推理快 1.3–1.6 倍”的说法，说明它何时成立；三是一次读取换来多个词元，即投机解码：由小模型起草、大模型一次验证。你将推导接受规则，写出并完整运行投机解码，再用卡方检验确认它不改变文字的分布。同时展示库中编译的快速路径。

# %% tags=["nbval-ignore-output"]
import copy
import inspect
import json
import statistics
import time
from functools import cache, partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from scipy.stats import chisquare

from minillm_lib import MiniLLM, ModelConfig, check, course
from minillm_lib.corpora import faq_questions
from minillm_lib.course import milliseconds
from minillm_lib.model import NGramModel
from minillm_lib.viz import BLUE, GREEN, ORANGE, PURPLE

pieces = course.setup("drawn", "tempered", "generate")

# %% [markdown]
# ## 1 · Two phases, and one bottleneck
#
# The model of this notebook is the 26 M chat model that comes with the course, trained as notebooks 13 and 14 describe. We
# begin with one number (in float32, 4 bytes per weight): how long does it take to read $n$ new tokens in one pass? A prompt
# goes in with $n$ large (the *prefill*), a text is written with $n = 1$ (*decoding*). The number of operations per token is
# about the same in both. `milliseconds` runs something a few times, and gives the processor time of the shortest run.

# %%
model = MiniLLM.load_from_checkpoint("../results/26m/chat", dtype=torch.float32).eval().requires_grad_(False)
tokenizer = model.tokenizer
at_once = (1, 2, 4, 8, 16, 32, 64, 128)
pass_times = [milliseconds(partial(model.hidden_states, torch.ones(1, n, dtype=torch.long))) for n in at_once]
prefill, decoding = pass_times[-1] / at_once[-1], pass_times[0]
print(f"128 tokens at once: ~{prefill:.2f} ms per token; one at a time: ~{decoding:.1f} ms per token")
print("prefill is at least five times as fast per token:", decoding > 5 * prefill)

# %% [markdown]
# Why? Before a processor can multiply with a weight, the weight must come from memory. How fast does memory deliver? We
# measure the **memory bandwidth** by adding up a long vector, which does almost nothing but read, and repeat it with vectors of
# several sizes. And how fast can the processor compute, if the numbers are there already? That is measured by products
# of square matrices, in which each number that was read is used hundreds of times.


# %%
def bandwidth(mebibytes):
    """Bytes per second at which so much memory is read, several times over."""
    vector = torch.ones(mebibytes * 2**18)  # 4 bytes each
    n_times = max(1, 64 // mebibytes)
    return 1000 * n_times * vector.nbytes / milliseconds(lambda: [vector.sum() for _ in range(n_times)])


sizes = (1, 4, 16, 64, 256)
rates = [bandwidth(size) for size in sizes]
squares = [torch.rand(n, n) for n in (256, 512, 1024)]
peak = max(2000 * len(each) ** 3 / milliseconds(partial(torch.matmul, each, each)) for each in squares)
print(f"the processor: ~{peak / 1e9:.0f} billion operations per second")
print(f"the memory: ~{rates[-1] / 1e9:.0f} GB per second; 1 MiB, again and again: ~{rates[0] / 1e9:.0f}")
print("1 MiB is read at least 1.2 times as fast as 256 MiB:", rates[0] > 1.2 * rates[-1])

# %%
figure, axis = plt.subplots(figsize=(6, 2.8))
axis.plot(sizes, [rate / 1e9 for rate in rates], "o-", color=BLUE)
axis.set(xscale="log", xlabel="size of what is read (MiB)", ylabel="bandwidth (GB/s)", ylim=(0, None))
axis.set_xticks(sizes, sizes)
axis.minorticks_off()
plt.show()

# %% [markdown]
# **What to see.** What is small is read faster, because it stays in the *caches* of the processor (not to be confused with the
# KV cache): some MiB that are faster than the memory. A large vector must come from memory each time. The 100 MiB of our
# model's weights are on the right-hand side.
#
# Now compare what the two can do. A weight takes 4 bytes in float32. It is read once per pass, and used once for each of the
# $n$ tokens, for one multiplication and one addition. So a pass does
#
# $$I = \frac{2n}{4} = \frac n2 \text{ operations per byte,} \tag{1}$$
#
# the **arithmetic intensity** of the pass (Williams, Waterman and Patterson 2009, "Roofline"). The machine has a balance of its
# own: $\pi$ operations per second over $\beta$ bytes per second, $\pi/\beta$ operations per byte. A pass whose intensity is
# below that waits for memory, or is *memory-bound*; one above it waits for the processor.
#
# ### Exercise 1 · The least time of a pass (1 point)
#
# Reading and computing go on side by side: while the processor works with one part of the weights, the next part is being
# read. How long does a pass over `n_tokens` take at least, in seconds? The bandwidth is in bytes per second, the peak in
# operations per second.


# %%
def least_pass_time(n_weights, bytes_per_weight, n_tokens, bandwidth, peak):
    """Seconds that a pass takes at least."""
    ### BEGIN SOLUTION
    reading = n_weights * bytes_per_weight / bandwidth
    computing = 2 * n_weights * n_tokens / peak
    return max(reading, computing)
    ### END SOLUTION


# %%
check.least_pass_time(least_pass_time)

# %%
shape = model.config
n_weights = (
    shape.n_parameters - shape.vocab_size * shape.hidden_size
)  # without the embedding: hidden_states has no output head
beta = bandwidth(n_weights * 4 // 2**20)
least = [1000 * check.least_pass_time.function(n_weights, 4, n, beta, peak) for n in at_once]
print(f"balanced at ~{peak / beta:.0f} operations per byte, that is at ~{2 * peak / beta:.0f} tokens at once")
above = [took > 0.7 * bound for took, bound in zip(pass_times, least, strict=True)]
print("no pass took less than 0.7 times the least time:", all(above))
print("16 tokens took less than four times as long as one:", pass_times[4] < 4 * pass_times[0])

# %%
figure, axis = plt.subplots(figsize=(6, 3.2))
axis.plot(at_once, [1000 * n_weights * 4 / beta] * len(at_once), color=GREEN, label="to read the weights")
axis.plot(at_once, [1000 * 2 * n_weights * n / peak for n in at_once], color=ORANGE, label="to compute")
axis.plot(at_once, pass_times, "o", color=BLUE, label="measured")
axis.set(xscale="log", yscale="log", xlabel="tokens at once", ylabel="time of one pass (ms)")
axis.set_xticks(at_once, at_once)
axis.minorticks_off()
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** The larger of the two lines is the bound. The dots lie above it, by what else the passes do: little
# on the right, and much on the left, where the bound is low (section 3 does something about that). But they have its
# shape. From one token to 16 the work grows 16-fold, the time less than fourfold, for the same weights are read; on the
# right the time rises with the work. Decoding is the far left. On a GPU, whose $\pi/\beta$ is above 100 in half
# precision, it is far worse (Pope et al. 2022, [arXiv:2211.05102](https://arxiv.org/abs/2211.05102)). So there are
# three ways out, and the rest of the notebook takes them:
#
# 1. **Read fewer bytes** for the same numbers (sections 2 and 3), also of the cache (section 4).
# 2. **Use what was read for more texts**: a batch of 16 conversations shares one reading of the weights.
# 3. **Use what was read for more tokens of one text** (section 5).

# %% [markdown]
# ## 2 · Weights in 8 bits
#
# A trained weight does not need all 32 bits. **Quantisation** stores it as a whole multiple of a *step*: from −127 to 127 of
# them, one byte. The error is then at most half a step. One step for a whole matrix would have to suit its largest number;
# so each row of the matrix, which makes one output, gets a step of its own (after Dettmers et al. 2022, "LLM.int8()",
# [arXiv:2208.07339](https://arxiv.org/abs/2208.07339), sections 2.1 and 3.1).
#
# ### Exercise 2 · Quantise a matrix (2 points)
#
# Return the multiples, `(rows, columns)` in `torch.int8`, and the steps, `(rows,)`. In each row, the number that is largest in
# size becomes 127 or −127 steps. Round to the nearest multiple. In a row of zeros all multiples and the step are 0.


# %%
def quantised(weight):
    """Whole multiples of a step, (rows, columns) in int8, and the step of each row, (rows,)."""
    ### BEGIN SOLUTION
    steps = weight.abs().amax(dim=1) / 127
    multiples = (weight / steps.clamp(min=1e-30)[:, None]).round()
    return multiples.to(torch.int8), steps
    ### END SOLUTION


# %%
check.quantised(quantised)

# %%
weight = model.layers[0].mlp.up_proj.weight
multiples, steps = check.quantised.function(weight)
error = (weight - multiples * steps[:, None]).abs()
print("no error above half a step:", bool((error <= 0.5001 * steps[:, None]).all()))
print("bytes of this matrix:", weight.nbytes, "before,", multiples.nbytes + steps.nbytes, "after")
small = model.quantized()
theirs = small.layers[0].mlp.up_proj
same = torch.equal(multiples, theirs.weight_int8) and torch.allclose(steps, theirs.weight_scale)
print("the library's are the same:", same)

# %% [markdown]
# What does it cost? We quantise all matrices of a model, to fewer and fewer bits, with a step for each row and with one for
# the whole matrix, and ask each for its perplexity on a text: docstrings of Python's module `statistics`. The model is the
# pretrained one, since the chat model has forgotten how documentation goes on.

# %%
pretrained = (
    MiniLLM.load_from_checkpoint("../results/26m/base", dtype=torch.float32).eval().requires_grad_(False)
)
functions = (statistics.mean, statistics.median, statistics.mode, statistics.stdev, statistics.quantiles)
ids = tokenizer.encode("\n\n".join(map(inspect.getdoc, functions)))[:257]
ids = torch.tensor([[tokenizer.eos_id, *ids]])


# %%
def perplexity(model):
    return model.loss(ids[:, :-1], ids[:, 1:]).exp().item()


def rounded_to(bits, by_row):
    """A copy of the model with its matrices rounded to 2^(bits − 1) − 1 steps on each side of 0."""
    rounded = copy.deepcopy(pretrained)
    for matrix in rounded.parameters():
        if matrix.dim() == 2:
            largest = matrix.abs().amax(dim=1, keepdim=True) if by_row else matrix.abs().max()
            step = largest / (2 ** (bits - 1) - 1)
            matrix.copy_((matrix / step).round() * step)
    return rounded


# %%
exact, bits = perplexity(pretrained), (8, 6, 4, 3)
ratios = {by_row: [perplexity(rounded_to(n, by_row)) / exact for n in bits] for by_row in (True, False)}
print("8 bits by row: perplexity within 2 %:", abs(ratios[True][0] - 1) < 0.02)
print("3 bits by row: at least 10 % higher:", ratios[True][3] > 1.1)
print("4 bits by matrix: at least 30 % higher already:", ratios[False][2] > 1.3)

figure, axis = plt.subplots(figsize=(6, 3))
axis.plot(bits, ratios[True], "o-", color=BLUE, label="a step for each row")
axis.plot(bits, ratios[False], "o-", color=ORANGE, label="one step for each matrix")
axis.set(xlabel="bits per weight", ylabel="perplexity against float32", yscale="log", xlim=(8.3, 2.7))
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** Fewer bits from left to right. In 8 bits nothing is lost that could be seen here. Further right the
# perplexity grows quickly, and with one step for each matrix it does so earlier: smaller groups of weights need fewer bits.
# Formats of 4 bits, such as llama.cpp's, therefore give a step to every few dozen weights.
#
# ## 3 · The fast path
#
# Reading fewer bytes helps only if reading is what takes the time. Our layers read more slowly than the memory allows:
# between the matrix products lie some hundred calls of PyTorch, each with its own start. The **fast path** of the library,
# `minillm_lib/generation/fast_path.py`, computes a whole token in one compiled call, in which threads share the rows of
# each matrix. It is used by itself for a single text on a CPU. Where all weights of a model fit into bfloat16, as those of
# this model do, it reads them in that form, 2 bytes each, without any rounding; and it reads 8 bits as they are, 1 byte
# each.

# %%
question = [{"role": "user", "content": "What is a KV cache?"}]
asked = tokenizer.apply_chat_template(question, add_generation_prompt=True)


def written_by(model, fast, n_new):
    (result,) = model.generate([asked], temperature=0, max_new_tokens=n_new, fast=fast)
    return result.ids


def ms_per_token(model, fast):
    """Milliseconds for each token after the first few, so that reading the question does not count."""
    few, many = (milliseconds(partial(written_by, model, fast, n), repeats=3) for n in (2, 34))
    return (many - few) / 32


# %%
took = []
for name, each, fast, n_bytes in (
    ("layers, float32", model, False, 4),
    ("fast path, bfloat16", model, True, 2),
    ("fast path, 8 bits", small, True, 1),
):
    took.append(ms_per_token(each, fast))
    reading = 1000 * shape.n_parameters * n_bytes / bandwidth(shape.n_parameters * n_bytes // 2**20)
    print(f"{name:20} ~{took[-1]:.1f} ms per token, of which reading ~{reading:.1f}")
print("the fast path writes the same text:", written_by(model, False, 34) == written_by(model, True, 34))
print("it is at least 1.5 times as fast:", took[0] > 1.5 * took[1])
print("and with 8 bits at least twice as fast:", took[0] > 2 * took[2])

# %% [markdown]
# The last column is the time of reading alone, below which no program comes. All weights are read now: to score the next token,
# the output head reads the whole embedding, with which it is tied. Where a time lies well above it, something else takes longer, computing or the start of many calls, and still
# fewer bytes would not help. On a quiet machine with two threads, `python benchmarks/decoder.py` has compared them with
# Hugging Face's decoder, and left its record in the repository:

# %%
record = json.loads(Path("../results/benchmarks/decoder.json").read_text(encoding="utf-8"))
for row in record["decoding"]["rows"]:
    print(f"{row['package']:24} {row['tokens_per_second']:4.0f} tokens per second")

# %% [markdown]
# ## 4 · The cache, and a claim measured again
#
# Many conversations at once share one reading of the weights. The **KV cache** cannot be shared, for every conversation has its
# own. One number of it is read in a pass, and used by the $g$ query heads of its group, for each of the $m$ new tokens of
# the text, two operations each. With $b$ bytes per number,
#
# $$I_{\text{cache}} = \frac{2\,g\,m}{b} \text{ operations per byte,} \tag{2}$$
#
# whatever the batch, whatever the length. Three things raise it: more query heads to a key–value head, which is why Shazeer
# 2019 ([arXiv:1911.02150](https://arxiv.org/abs/1911.02150)) proposed to share them; fewer bytes per number, as in a cache in
# bfloat16 or 8 bits; and more tokens of a text per pass, as in section 5.
#
# The report that this course follows claims for its modern block, against the classic one, "**memory −40 %, inference
# 1.3–1.6×**". It does not say at which batch, nor at which length. Ours are `26m` (RMSNorm, SwiGLU, grouped queries, RoPE)
# and `26m-classic` (LayerNorm, GELU, full heads, learned positions), of equal size within 0.2 %. If reading decides, we can
# *predict*. Let $N$ be the number of tokens in the cache, batch times context, $w$ the bytes of the weights, and $c$ the
# bytes per token of the cache of `26m`; the classic one has $4c$. Then
#
# $$\frac{\text{memory of 26m}}{\text{memory of classic}} = \frac{w + cN}{w + 4cN}, \tag{3}$$
#
# and the speed is at best the inverse. For small $N$ both are 1; for large $N$ they approach ¼ and 4. The same benchmark has
# measured both models in full size:

# %%
big, classic = (ModelConfig.from_preset(name) for name in ("26m", "26m-classic"))
w = 4 * big.n_parameters
c, c_classic = (each.kv_cache_bytes(1, 1, bytes_per_value=4) for each in (big, classic))
print("the classic cache is four times as large:", c_classic == 4 * c)
print(f"by equation (3), −40 % is reached at {0.4 * w / (1.4 * c):,.0f} tokens in the cache")

peaks = {row["job"]: row["ratio"] for row in record["peak_memory"]}
print("batch × context  peak memory  speed")
for row in record["classic"]:
    batch, context, speed = row["batch"], row["context"], row["speed_ratio"]
    row["memory_ratio"] = peaks[f"{batch}x{context}"]
    print(f"{batch:5} × {context:7}  {row['memory_ratio'] - 1:+11.0%}  {speed:.2f}×")
print(f"a training step: peak memory {peaks['train'] - 1:+.0%}")


# %%
def predicted(n_tokens):
    """Equation (3)."""
    return (w + c * n_tokens) / (w + 4 * c * n_tokens)


in_cache = [row["batch"] * row["context"] for row in record["classic"]]
memory = [row["memory_ratio"] for row in record["classic"]]
errors = [abs(measured - predicted(n)) for measured, n in zip(memory, in_cache, strict=True)]
print("measured memory is within 4 points of equation (3):", max(errors) < 0.04)

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4))
n = torch.logspace(8, 18, 100, base=2)
axes[0].plot(n, 100 * (predicted(n) - 1), color=GREEN, label="equation (3)")
axes[0].plot(in_cache, [100 * (ratio - 1) for ratio in memory], "o", color=BLUE, label="measured")
axes[0].axhline(-40, color=ORANGE, label="the claim")
axes[0].set(ylabel="memory against classic (%)", ylim=(-80, 5))
axes[1].plot(n, 1 / predicted(n), color=GREEN)
axes[1].plot(in_cache, [row["speed_ratio"] for row in record["classic"]], "o", color=BLUE)
axes[1].axhspan(1.3, 1.6, color=ORANGE, alpha=0.4, linewidth=0)
axes[1].set(ylabel="speed against classic", ylim=(0.8, 4))
for axis in axes:
    axis.set(xscale="log", xlabel="tokens in the cache (batch × context)")
axes[0].legend()
plt.show()

# %% [markdown]
# **What to see.** Memory, on the left: the dots lie on the line, which has no free parameter. The claim of −40 % is one point
# of a curve that goes from 0 to −75 %. Speed, on the right: the line is a limit, which the measured gain does not reach,
# since attention must also compute, and a small model has other things to do. The claimed band is crossed at about 8,000
# tokens in the cache: one conversation of 8,192 tokens, or 16 of 512. So:
#
# - **It holds** for decoding with several thousand tokens in the cache; with many more, the gain is larger than claimed.
# - **It does not hold** for one short conversation, where the speed is the same and memory only some per cent smaller.
# - **It is wrong for training**, where no cache exists: there the modern block takes a third *more* memory.
#
# Why more? For the backward pass autograd keeps what each operation will need again. We let it tell us how many vectors
# as wide as the feed-forward layer it keeps for each token:


# %%
def wide_numbers_kept(config):
    """How many tensors of the feed-forward layer's width autograd keeps, and how many numbers they are per token."""
    layer, kept = MiniLLM(config.replace(n_layers=1)).layers[0].mlp, {}

    def keep(tensor):
        if tensor.numel() == 10 * config.intermediate_size:
            kept[tensor.data_ptr()] = tensor  # the same tensor may be needed twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(torch.randn(1, 10, config.hidden_size, requires_grad=True))
    return len(kept), len(kept) * config.intermediate_size


# %%
for name, each in (("SwiGLU", big), ("GELU", classic)):
    n_tensors, n_numbers = wide_numbers_kept(each)
    print(f"{name:6} {n_tensors} × {each.intermediate_size} = {n_numbers:,} numbers per token and layer")

# %% [markdown]
# SwiGLU keeps the gate before SiLU and after it, the up-projection, and the product; GELU keeps its input and its output.
#
# And on your machine? Both blocks with four layers instead of eight, so that it takes seconds. Memory is counted, weights and
# cache together; speed is measured. In the first line there is next to nothing to save, in the last one there is:


# %%
def with_full_cache(model, batch, context):
    """A pass for one token of each text after so many others. What is in the cache does not matter for the time."""
    cache = model.new_cache(batch, context + 64)
    cache.extend(batch, context)
    for memory in (cache.keys, cache.values):
        memory.fill_(1.0)
    return partial(model, torch.ones(batch, 1, dtype=torch.long), cache=cache)


# %%
names = ("26m", "26m-classic")
pair = [MiniLLM.from_preset(name, n_layers=4).eval().requires_grad_(False) for name in names]
shapes = [each.config for each in pair]
for batch, context in ((1, 128), (1, 1024), (16, 1024)):
    caches = [each.kv_cache_bytes(batch, context, bytes_per_value=4) for each in shapes]
    memory = [4 * each.n_parameters + cache for each, cache in zip(shapes, caches, strict=True)]
    runs = [with_full_cache(each, batch, context) for each in pair]
    # in turn, so that what else the machine does meets both
    in_turn = [[milliseconds(run, repeats=1) for run in runs] for _ in range(4)]
    ours, theirs = map(min, zip(*in_turn, strict=True))
    print(f"{batch:2} × {context:4}: memory {memory[0] / memory[1] - 1:+.0%}, speed ~{theirs / ours:.2f}×")
print("with 16 × 1,024 tokens in the cache, at least 1.1 times as fast:", theirs > 1.1 * ours)

# %% [markdown]
# ## 5 · Several tokens for one reading
#
# Section 1 left something on the table: further tokens in the same pass cost little. But the second token is not
# known before the first is chosen. **Speculative decoding** (Leviathan, Kalman and Matias 2023,
# [arXiv:2211.17192](https://arxiv.org/abs/2211.17192)) lets a small and quick **draft model** guess some tokens ahead. The
# large **target model** then reads all guesses in one pass, and so knows its own distribution at each of them. Guesses are
# accepted from left to right; at the first that is rejected, another token is drawn in its place.
#
# The beauty of it: the text is distributed *exactly* as if the target had written it alone. Let the target's distribution be
# $p$, the draft's $q$. A guess $x$, drawn from $q$, is accepted with a probability $a(x)$; otherwise the token is drawn from
# a distribution $r$. Token $x$ comes about in one of two ways, so we need, for every $x$,
#
# $$q(x)\,a(x) + \Big(1 - \sum_y q(y)\,a(y)\Big)\, r(x) = p(x). \tag{4}$$
#
# ### Exercise 3 · The rule of acceptance (3 points)
#
# Accept **as much as possible**, and keep (4). Return $a$ and $r$ for given $p$ and $q$, which are positive. (This is one
# of the exercises for pencil and paper: the code is short, once it is clear what (4) allows for a single token.)


# %%
def speculative_rule(target, draft):
    """a and r of equation (4), each (vocab,), for the distributions p = target and q = draft, each (vocab,)."""
    ### BEGIN SOLUTION
    accept = (target / draft).clamp(max=1)  # q a = min(q, p)
    missing = (target - draft).clamp(min=0)  # p - min(q, p)
    return accept, missing / missing.sum()
    ### END SOLUTION


# %%
check.speculative_rule(speculative_rule)

# %% [markdown]
# ### Exercise 4 · A step of speculative decoding (4 points)
#
# Write one step: guess, let the target read the guesses, accept or replace. What you are given:
#
# - `draft(text)` returns $q$ after a text, `(vocab,)`. Texts are lists of ids.
# - `target(text, guesses)` is *one* pass of the target. It returns its distributions after the text, after the text and the
#   first guess, and so on, `(n_guesses + 1, vocab)`. One pass per step must do.
# - `rule(p, q)` is exercise 3. `chance.draw(distribution)` returns a token; `chance.happens(probability)` returns true with a
#   probability.
#
# Return the list of new tokens: the accepted guesses, and *always* one more. If a guess is rejected, that is the token drawn in
# its place, and the step is over. If all are accepted, the target's pass has given one more distribution, and it is drawn from
# that.
#
# The check does not draw. It goes through *everything* that can happen, with small models of three tokens, and so knows the
# probability of each result exactly.


# %%
def speculative_step(target, draft, rule, text, n_guesses, chance):
    """The tokens that one pass of the target adds to a text, a list of 1 to n_guesses + 1 ids."""
    ### BEGIN SOLUTION
    guesses, proposed = [], []
    for _ in range(n_guesses):
        proposed.append(draft(text + guesses))
        guesses.append(chance.draw(proposed[-1]))
    p, new = target(text, guesses), []
    for n, (guess, q) in enumerate(zip(guesses, proposed, strict=True)):
        accept, missing = rule(p[n], q)
        if not chance.happens(accept[guess]):
            return [*new, chance.draw(missing)]
        new.append(guess)
    return [*new, chance.draw(p[-1])]
    ### END SOLUTION


# %%
check.speculative_step(speculative_step)

# %% [markdown]
# Now for the real thing. The target is our chat model, with its cache. Rejected guesses are in the cache, too, after the pass;
# the next one begins by forgetting them, which is cheap: the length is set back. The draft is a 4-gram model as in notebook 05,
# counted on the answers of `course-faq`, which the chat model has learned in training. It reads no weights at all.


# %%
class Chance:
    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def happens(self, probability):
        return torch.rand((), generator=self.generator).item() < probability

    def draw(self, distribution):
        u = torch.rand(1, generator=self.generator, dtype=torch.float64)
        return pieces.drawn(distribution[None], u).item()


# %%
class Target:
    """Passes of the model over what is new in a text and over guesses; it counts them."""

    def __init__(self, temperature):
        self.temperature, self.cache, self.read, self.n_passes = temperature, model.new_cache(1, 400), [], 0

    def __call__(self, text, guesses):
        known = 0
        while known < len(text) - 1 and self.read[known : known + 1] == text[known : known + 1]:
            known += 1
        self.cache.length, self.read, self.n_passes = known, text + guesses, self.n_passes + 1
        logits = model(torch.tensor([self.read[known:]]), cache=self.cache)[0, -len(guesses) - 1 :]
        return pieces.tempered(logits, self.temperature)


# %%
answers = [[*tokenizer.encode(each.answer), tokenizer.end_of_turn_id] for each in faq_questions("en")]
stream = [token for answer in answers for token in answer]
four_grams = NGramModel(4, shape.vocab_size, discount=0.3).fit(stream)


# %%
def draft(text):
    return torch.from_numpy(four_grams.probabilities(text[-3:])).float()


def speculative(target, text, n_guesses, n_new, seed=0):
    """The ids that follow a text, up to the end of the turn or until there are n_new."""
    step, rule = check.speculative_step.function, check.speculative_rule.function
    chance, new = Chance(seed), []
    while len(new) < n_new and tokenizer.end_of_turn_id not in new:
        new += step(target, draft, rule, text + new, n_guesses, chance)
    return new


# %% [markdown]
# Two first tests. With four guesses there must be more tokens than passes. And without any guesses it is plain decoding:
# from the same random numbers, the text must be that of `generate()` from notebook 15.

# %%
target = Target(temperature=1.0)
new = speculative(target, asked, n_guesses=4, n_new=40)
print("more tokens than passes:", len(new) > target.n_passes)


def step(ids, past):
    """A pass as `generate` wants it; the past is the text, as the target keeps its own cache."""
    whole = [*(past or []), *ids]
    return target(whole, []), whole


chance = Chance(seed=0)
ids, _ = pieces.generate(step, lambda p, text: chance.draw(p[0]), asked, 20, tokenizer.end_of_turn_id)
plain = speculative(target, asked, n_guesses=0, n_new=20)
print("without guesses, the text of generate():", ids == plain[:20])

# %% [markdown]
# ### Does it change the text?
#
# Equation (4) says no, but a slip in the code would not show in a text. So we test the distribution. Let the target be the
# model at temperature 2, cut to its three likeliest tokens: then a text of three tokens has only 27 possible forms, and the
# probability of each can be computed. The draft is the same model at temperature 0.7, cut to four: alike, but far from equal.
# We write 1,000 such texts speculatively, count, and compare the counts with what is expected, by the $\chi^2$ test. The same
# test must *fail* for the usual mistake, to draw from $p$ where a guess was rejected.

# %%
beginning = tuple(tokenizer.encode("The model"))


@cache
def cut(text, temperature, n):
    """The model's distribution after a text at a temperature, cut to the n likeliest tokens."""
    p = pieces.tempered(model(torch.tensor([text]))[:, -1], temperature)[0]
    likeliest = p.topk(n)
    return torch.zeros_like(p).scatter(0, likeliest.indices, likeliest.values / likeliest.values.sum())


# %%
def target_of_test(text, guesses):
    return torch.stack([cut((*text, *guesses[:n]), 2.0, 3) for n in range(len(guesses) + 1)])


def draft_of_test(text):
    return cut(tuple(text), 0.7, 4)


# %%
def three_tokens(rule, chance):
    """Three tokens after the beginning, written in speculative steps."""
    step, new = check.speculative_step.function, []
    while len(new) < 3:
        new += step(target_of_test, draft_of_test, rule, [*beginning, *new], 2 - len(new), chance)
    return tuple(new)


# %%
expected = {}
for first in cut(beginning, 2.0, 3).nonzero()[:, 0].tolist():
    for second in cut((*beginning, first), 2.0, 3).nonzero()[:, 0].tolist():
        p = target_of_test(list(beginning), [first, second])
        for third in p[2].nonzero()[:, 0].tolist():
            expected[first, second, third] = (p[0, first] * p[1, second] * p[2, third]).item()


# %%
def p_value(rule, n_texts=1000):
    """How probable counts as far from the expected ones are, if the texts are distributed as the target's."""
    chance, counts = Chance(seed=0), dict.fromkeys(expected, 0)
    for _ in range(n_texts):
        counts[three_tokens(rule, chance)] += 1
    shares = torch.tensor([*expected.values()]).double()
    return chisquare([*counts.values()], (n_texts * shares / shares.sum()).numpy()).pvalue


# %%
right = check.speculative_rule.function
print(len(expected), "possible texts, of probability", round(sum(expected.values()), 3), "together")
print("distributed as the target's text: not refuted, p-value above 0.001:", bool(p_value(right) > 0.001))
wrong = p_value(lambda p, q: (right(p, q)[0], p))
print("drawing from p after a rejection: refuted, p-value below 0.000001:", bool(wrong < 1e-6))

# %% [markdown]
# ### Is it faster?
#
# However you write $a$, what is accepted of token $x$ is at most $\min(p(x), q(x))$, for neither may be exceeded. In all this
# is $\alpha = \sum_x \min(p(x), q(x))$, the overlap of the two distributions: 1 if they are equal, 0 if they have nothing
# in common. If every guess is accepted with probability $\alpha$, independently, the first $i$ of $k$ all are with probability
# $\alpha^i$. One pass of the target then gives on average, the one token of its own included,
#
# $$1 + \alpha + \alpha^2 + \dots + \alpha^k = \frac{1-\alpha^{k+1}}{1-\alpha} \text{ tokens,} \tag{5}$$
#
# but no more than $1/(1-\alpha)$, however many are guessed. We let the model answer three questions at temperature 1,
# guessing $k$ tokens ahead, and count tokens, passes, and time. With $k = 0$ it is plain decoding.

# %%
questions = ("What is a KV cache?", "What is top-p sampling?", "What is RoPE?")
talks = [[{"role": "user", "content": question}] for question in questions]
chats = [tokenizer.apply_chat_template(talk, add_generation_prompt=True) for talk in talks]
GUESSED = (0, 1, 2, 4, 8)
tokens_per_pass, ms = torch.zeros(2, len(GUESSED), len(chats))
for row, k in enumerate(GUESSED):
    for column, chat in enumerate(chats):
        target, start = Target(temperature=1.0), time.process_time()
        n_new = len(speculative(target, chat, k, n_new=40, seed=column))
        tokens_per_pass[row, column] = n_new / target.n_passes
        ms[row, column] = 1000 * (time.process_time() - start) / n_new
print("with k = 4, more than 1.5 tokens per pass, for each question:", bool((tokens_per_pass[3] > 1.5).all()))
print("and on average less time per token than without guesses:", bool(ms[3].mean() < ms[0].mean()))


# %%
def overlap(chat):
    """The overlap of draft and target, averaged along a text that the target writes."""
    new = speculative(Target(1.0), chat, n_guesses=0, n_new=40)
    p = Target(1.0)(chat, new)[:-1]
    q = torch.stack([draft(chat + new[:n]) for n in range(len(new))])
    return torch.minimum(p, q).sum(dim=-1).mean().item()


alpha = statistics.mean(map(overlap, chats))
print("the measured overlap lies between 0.2 and 0.95:", 0.2 < alpha < 0.95)

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.2))
k = torch.arange(0, 9)
for value, colour, name in ((0.9, GREEN, "0.9"), (0.5, PURPLE, "0.5"), (alpha, ORANGE, "measured")):
    axes[0].plot(k, (1 - value ** (k + 1)) / (1 - value), color=colour, label=f"equation (5), α {name}")
axes[0].plot(GUESSED, tokens_per_pass, "o", color=BLUE, alpha=0.6)
axes[0].set(xlabel="tokens guessed ahead, $k$", ylabel="tokens per pass", ylim=(0, None))
axes[0].legend(fontsize=8)
axes[1].plot(GUESSED, ms, "o", color=BLUE, alpha=0.6)
axes[1].plot(GUESSED, ms.mean(dim=1), color=BLUE)
axes[1].set(xlabel="tokens guessed ahead, $k$", ylabel="time per token (ms)", ylim=(0, None))
plt.show()
print("the fast path with 8 bits takes less time per token:", took[2] < ms.min().item())

# %% [markdown]
# **What to see.** A dot is the answer to one question. On the left, the orange line is equation (5) with the overlap that
# was measured. The dots come near it, but need not lie on it: acceptance is no coin that is thrown afresh for each token.
# Where the draft knows an answer by heart, it is right many times in a row; elsewhere it is wrong at once. On the right is
# what counts. Each pass costs a little more with every guess, and each guess costs the draft some time, while less and less
# is gained: too many guesses no longer pay.
#
# Is that the fastest way to write with this model? No: the fast path of section 3 with 8 bits is faster still, one token at a
# time, as the line below the figure says. Speculation is for where a pass waits for memory and can no longer be made
# quicker otherwise: large models, above all on GPUs. And where a large batch keeps the processor busy already, nothing is
# left over for guesses.
#
# ## Summary
#
# - A pass takes as long as the slower of two things: reading the weights, and computing with them. Prefill computes, decoding
#   reads: it is memory-bound.
# - In 8 bits with a step for each row, weights take a quarter of the bytes, and perplexity stays the same within 2 %.
# - A batch shares the reading of the weights, but not that of the cache. Shared key–value heads, fewer bytes per number, or
#   more tokens per pass make less of it.
# - "Memory −40 %, inference 1.3–1.6×" is true of several thousand tokens in the cache, and of nothing else.
# - Guesses of a quick model, accepted with probability $\min(1, p/q)$, make a slow one faster without changing the
#   distribution of its text.
#
# **In the library:** `minillm_lib/model/quantization.py`, `minillm_lib/generation/fast_path.py` and
# `minillm_lib/model/kv_cache.py`. In a terminal: `minillm chat` decodes in 8 bits on the fast path, `--exact` with the
# layers.
#
# **Next:** [17 · LDA and the Transformer](17_lda_vs_transformer.ipynb), where the course returns to the question with
# which it began.
#
# **To read on.** Pope et al. 2022, "Efficiently Scaling Transformer Inference",
# [arXiv:2211.05102](https://arxiv.org/abs/2211.05102), for the arithmetic of section 1 on many processors; Chen et al. 2023,
# [arXiv:2302.01318](https://arxiv.org/abs/2302.01318), who found speculative sampling independently; Dettmers et al. 2022,
# [arXiv:2208.07339](https://arxiv.org/abs/2208.07339), on numbers so large that 8 bits do not hold them.
