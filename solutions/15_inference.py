# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 15 · Inference: writing one token at a time
#
# **What you build.** What stands between a trained model and its text: the rules by which the next token is chosen, the
# KV cache that makes each token cheap, and a chat that shows its answer while it is being written. You measure why a
# processor spends most of this time waiting for memory, and test a published claim: "memory −40 %, inference 1.3–1.6×".
#
# **What you need.** [09 · Attention](09_attention_gqa.ipynb) and [08 · RoPE](08_rope.ipynb);
# [05 · Language models](05_language_models.ipynb) for entropy and bigrams, [14 · SFT](14_sft.ipynb) for the chat template.
#
# **How long.** About 70 minutes to work through. All cells together run in under 40 seconds on two CPU cores.
#
# > **中文提要** 模型只给出下一个词元的分布，怎样写出文字由推理决定。本节先写出各种采样规则：贪心、温度、top-k、top-p、min-p 与重复惩罚，
# > 用滑块观察它们如何改变分布，并用熵说明为什么贪心会重复。然后自己实现 KV 缓存：结果与不用缓存完全相同，每个词元的代价却不再随长度的平方增长。
# > 推理分预填充与解码两个阶段，后者受内存带宽限制，这可以从“每字节做几次运算”推出。最后重新测量“内存 −40 %，推理快 1.3–1.6 倍”的说法，
# > 用公式说明它何时成立；做一个流式聊天小部件；并推导投机采样的接受规则。

# %%
import io
import json
import time
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import torch

from minillm_lib import ChatSession, MiniLLM, ModelConfig, SamplingConfig, Tokenizer, check, load_grammar
from minillm_lib.corpora import Conversation, faq_questions
from minillm_lib.generation import sampling
from minillm_lib.model import attend, causal_mask, rotate
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE, PALE, use_style

use_style()
torch.set_num_threads(1)  # for matrices as small as these, sharing the work out costs more than it saves

# %% [markdown]
# ## 1 · A model to try things on
#
# It is to do two things: continue abstracts of the grammar of notebook 05, and answer 13 questions of `course-faq` about
# this notebook's own subject, each with one sentence. 80 abstracts are held out.

# %%
questions = [each for each in faq_questions("en") if each.topic in ("kv_cache", "sampling")]
answers = {each.id: each.answer.split(". ")[0].rstrip(".") + "." for each in questions}
questions = [q for q in questions if 40 < len(answers[q.id]) < 180 and "et al" not in answers[q.id]][:13]
conversations = [Conversation.of(asked, answers[q.id]) for q in questions for asked in q.phrasings[:7]]
abstracts = [document.text for document in load_grammar("en").generate(1280, seed=0)]
chat_texts = [turn.content for conversation in conversations for turn in conversation.turns]
tokenizer = Tokenizer.train(chat_texts + abstracts[:600], vocab_size=900)

ROW = 96
tokens = torch.tensor([i for text in abstracts[:1200] for i in tokenizer.encode(text, add_eos=True)])
n_rows = (len(tokens) - 1) // ROW
inputs, labels = tokens[: n_rows * ROW].view(-1, ROW), tokens[1 : n_rows * ROW + 1].view(-1, ROW)
print(f"{len(conversations)} conversations; {n_rows:,} rows of {ROW} tokens of abstracts")

# %% [markdown]
# The loop is that of notebook 14. Every step reads six rows of abstracts and two of conversations, so that the model learns
# to write and to answer at the same time.

# %%
from minillm_lib.training import (
    OptimizerConfig,
    ScheduleConfig,
    batch_loss,
    encode_conversations,
    learning_rate_factor,
    make_optimizers,
    pack_conversations,
    rows_of_step,
)

packed = pack_conversations(encode_conversations(conversations, tokenizer, 128)[0], 128, tokenizer.pad_id)
config = ModelConfig(vocab_size=900, hidden_size=96, n_layers=2, n_heads=4, n_kv_heads=2, intermediate_size=192,
                     max_seq_len=256, initializer_range=0.05)  # fmt: skip

# %%
torch.manual_seed(0)
model, n_steps = MiniLLM(config), 280
model.tokenizer = tokenizer
optimizers = make_optimizers(model, OptimizerConfig(name="muon", lr=0.015))
schedule = ScheduleConfig(name="cosine", warmup_steps=20, final_share=0.05)
for step in range(n_steps):
    rows, talks = rows_of_step(step, 6, n_rows, seed=0), rows_of_step(step, 2, len(packed), seed=1)
    loss = model.loss(inputs[rows], labels[rows]) + batch_loss(model, packed[talks])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = 0.015 * learning_rate_factor(step, n_steps, schedule)
        optimizer.step()
        optimizer.zero_grad()
model.eval().requires_grad_(False)
print(f"{config.n_parameters:,} parameters; loss of both together below 2: {loss.item() < 2}")

# %% [markdown]
# ## 2 · From scores to the next token
#
# The model gives a score, a *logit*, for each of its 900 tokens. The softmax makes a distribution of them:
# $p_i = e^{s_i}/\sum_j e^{s_j}$. That is all it says. Which token is written is our choice, and there are two pure ways:
# always take the likeliest (**greedy**), or **draw** from the distribution. Everything else reshapes the distribution
# before the draw.
#
# A draw needs one uniform number $u$ between 0 and 1. Lay the probabilities end to end on a line of length 1; the token
# on whose piece $u$ falls is the one. Piece $i$ has the length $p_i$, so token $i$ comes with probability $p_i$.


# %%
def next_logits(prompt):
    """Scores of the token after a text, (1, vocab)."""
    return model(torch.tensor([tokenizer.encode(prompt)]))[:, -1]


def draw(logits, generator):
    """One token by the inverse of the cumulative distribution."""
    ends = logits.double().softmax(dim=-1).cumsum(dim=-1)[0]  # where each token's piece ends
    u = torch.rand(1, generator=generator, dtype=torch.float64)
    return torch.searchsorted(ends / ends[-1], u, right=True).item()


unsure, sure = "We propose a", "The lesson is that a sharp image is worth a thousand"
logits = next_logits(unsure)
mine, theirs = (torch.Generator().manual_seed(5) for _ in range(2))
drawn = [draw(logits, mine) for _ in range(200)]
print("as the library:", drawn == [sampling.sample(logits, [theirs]).item() for _ in range(200)])

# %% [markdown]
# ### Temperature
#
# Divide all logits by a number $T$ first. Since $e^{s_i/T} = (e^{s_i})^{1/T}$, the probabilities become
# proportional to $p_i^{1/T}$. Below 1, differences grow: in the limit $T \to 0$ only the likeliest token is left, and the
# draw is greedy. Above 1 they shrink: in the limit $T\to\infty$ all tokens are equally likely. The name is from physics,
# where states of energy $E$ have probabilities proportional to $e^{-E/T}$.
#
# ### Exercise 1 · Temperature (1 point)
#
# Return the probabilities at a temperature above 0.


# %%
def tempered(logits, temperature):
    """Probabilities (batch, vocab) of logits (batch, vocab) at a temperature."""
    ### BEGIN SOLUTION
    return (logits / temperature).softmax(dim=-1)
    ### END SOLUTION


# %%
check.tempered(tempered)

# %% [markdown]
# ### Cutting the tail
#
# A trained model gives *every* token some probability, including hundreds that make no sense here. Each is unlikely, but
# they are many. If all nonsense together has 5 %, a text of 50 tokens drawn from the whole distribution escapes it with
# probability $0.95^{50} \approx 8\,\%$ only; and after one nonsensical token the model must continue a text unlike any that
# it was trained on. So the tail is cut off and the rest divided by its sum. Three rules say where:
#
# - **top-k** (Fan, Lewis and Dauphin 2018, [arXiv:1805.04833](https://arxiv.org/abs/1805.04833)) keeps the $k$ likeliest
#   tokens, however sure the model is.
# - **top-p**, or *nucleus* sampling (Holtzman et al. 2020, [arXiv:1904.09751](https://arxiv.org/abs/1904.09751)), keeps the
#   likeliest tokens until together they have probability $p$.
# - **min-p** (Nguyen et al. 2024, [arXiv:2407.01082](https://arxiv.org/abs/2407.01082)) keeps every token that is at least
#   $p$ times as likely as the likeliest one. The bar is low where the model is unsure, and high where it is sure.


# %%
def top_k(probabilities, k):
    """The k likeliest tokens, renormalised: (batch, vocab) in and out."""
    kth = probabilities.topk(k).values[:, -1:]
    kept = probabilities * (probabilities >= kth)
    return kept / kept.sum(dim=-1, keepdim=True)


def min_p(probabilities, p):
    """The tokens at least p times as likely as the likeliest, renormalised."""
    kept = probabilities * (probabilities >= p * probabilities.amax(dim=-1, keepdim=True))
    return kept / kept.sum(dim=-1, keepdim=True)


# %% [markdown]
# ### Exercise 2 · The nucleus (2 points)
#
# Keep the *smallest* set of likeliest tokens that has at least probability `p` in all: the token with which the sum
# reaches `p` belongs to it, and so the set is never empty. Return probabilities, each in the place of its token.
# `sort(descending=True)` returns values and indices; `scatter(-1, indices, values)` puts values back to these indices.


# %%
def nucleus(probabilities, p):
    """The nucleus, renormalised: (batch, vocab) in and out."""
    ### BEGIN SOLUTION
    ordered, order = probabilities.sort(descending=True)
    before = ordered.cumsum(dim=-1) - ordered  # what the likelier tokens have without this one
    ordered = ordered * (before < p)
    kept = torch.zeros_like(probabilities).scatter(-1, order, ordered)
    return kept / kept.sum(dim=-1, keepdim=True)
    ### END SOLUTION


# %%
check.nucleus(nucleus)

# %% [markdown]
# The library's rules take and return logits, in which a token that is out has $-\infty$; the softmax then renormalises
# by itself. They give the same probabilities:

# %%
probabilities = logits.softmax(dim=-1)
pairs = {
    "temperature": ((logits / 0.7).softmax(dim=-1), sampling.apply_temperature(logits, 0.7)),
    "top-k": (top_k(probabilities, 4), sampling.keep_top_k(logits, 4)),
    "min-p": (min_p(probabilities, 0.1), sampling.keep_min_p(logits, 0.1)),
}
for name, (by_hand, library) in pairs.items():
    print(f"{name:12}", torch.allclose(by_hand, library.softmax(dim=-1), atol=1e-6))

ordered = sampling.keep_top_p(logits, 0.8).softmax(dim=-1).sort(descending=True).values[0]
n_kept = (ordered > 0).sum()
sums = probabilities.sort(descending=True).values[0].cumsum(dim=0)
print(f"{'top-p':12}", (sums[n_kept - 2] < 0.8 <= sums[n_kept - 1]).item())

# %% [markdown]
# How do the rules treat a model that is unsure, and one that is sure? Entropy, $H = -\sum_i p_i \ln p_i$, measures it: it is
# 0 if one token has all the probability, and $\ln n$ if $n$ tokens share it equally.


# %%
def entropy(probabilities):
    """In nats; 0 · ln 0 counts as 0."""
    return torch.special.entr(probabilities).sum(dim=-1)


def draw_bars(axis, before, after, n=14):
    """The n likeliest tokens: pale what the model says, blue what the rules make of it."""
    shown = before.argsort(descending=True)[:n]
    axis.bar(range(n), after[shown], color=BLUE)
    axis.bar(range(n), before[shown], color="none", edgecolor=INK, linewidth=0.8)
    names = [tokenizer.vocabulary[token].replace("▁", "␣").replace("\n", "↵") for token in shown.tolist()]
    axis.set_xticks(range(n), names, rotation=90)
    axis.grid(visible=False, axis="x")
    n_left = int((after > 0).sum())
    axis.set_title(f"{n_left} token{'s' * (n_left > 1)}, {entropy(after):.2f} nats")


# %%
rules = {
    "as it is": {},
    "temperature 0.5": {"temperature": 0.5},
    "top-k 4": {"top_k": 4},
    "top-p 0.9": {"top_p": 0.9},
    "min-p 0.1": {"min_p": 0.1},
}
figure, axes = plt.subplots(2, 5, figsize=(13, 5.4), sharey=True)
for row, prompt in zip(axes, (unsure, sure), strict=True):
    scores = next_logits(prompt)
    for axis, (name, options) in zip(row, rules.items(), strict=True):
        reshaped = sampling.filter_logits(scores, SamplingConfig(**{"temperature": 1.0, **options}))
        draw_bars(axis, scores.softmax(dim=-1)[0], reshaped.softmax(dim=-1)[0], n=10)
        axis.set_title(f"{name}\n{axis.get_title(loc='left')}")
    row[0].set_ylabel(f"probability after\n“…{prompt[-18:]}”")
for axis in axes[1]:
    axis.set_xlabel("token")
plt.show()

# %% [markdown]
# **What to see.** Outlined is what the model says, blue what is drawn from; `␣` marks the beginning of a word. Above, a
# few adjectives could follow, and then come fragments that could not. Below, the model is sure of one token. A low
# temperature favours the front without cutting the tail off: the number of tokens stays. Top-k keeps four tokens in both
# rows, of which the lower row needs one. Top-p and min-p adapt: several above, one or two below.
#
# Now reshape it yourself. The rules act in the order of the sliders, each on what the one before has left.

# %%
CONTROLS = {
    "prompt": widgets.Dropdown(options=[unsure, sure, "On a", "In three"], description="prompt"),
    "temperature": widgets.FloatSlider(1.0, min=0.1, max=3, step=0.1, description="temperature"),
    "top_k": widgets.IntSlider(900, min=1, max=900, description="top-k"),
    "top_p": widgets.FloatSlider(1.0, min=0.05, max=1, step=0.05, description="top-p"),
    "min_p": widgets.FloatSlider(0.0, min=0, max=0.5, step=0.01, description="min-p"),
}


def distribution_picture(prompt, **options):
    """The distribution after a prompt, as PNG bytes."""
    scores = next_logits(prompt)
    reshaped = sampling.filter_logits(scores, SamplingConfig(**options))
    figure, axis = plt.subplots(figsize=(7, 3.2))
    draw_bars(axis, scores.softmax(dim=-1)[0], reshaped.softmax(dim=-1)[0], n=20)
    axis.set(xlabel="token", ylabel="probability", ylim=(0, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    plt.close(figure)
    return buffer.getvalue()


# %%
def redraw(change=None):
    image.value = distribution_picture(**{name: control.value for name, control in CONTROLS.items()})


image = widgets.Image(format="png", layout=widgets.Layout(max_width="640px"))
for control in CONTROLS.values():
    control.style.description_width = "100px"
    control.observe(redraw, names="value")
redraw()
widgets.VBox([*CONTROLS.values(), image])

# %% [markdown]
# ## 3 · How much chance is right?
#
# A text is drawn token by token, $p(x_1, \dots, x_n) = \prod_t p(x_t \mid x_{<t})$. Take the logarithm, and the mean over
# all texts that could be drawn. On the left this is the entropy of whole texts; on the right each term is, given the
# beginning, the entropy of one step:
#
# $$H(x_1, \dots, x_n) = \mathbb E\Big[-\sum_t \ln p(x_t\mid x_{<t})\Big] = \sum_t \mathbb E\big[H(p(\cdot\mid x_{<t}))\big]. \tag{1}$$
#
# So there are two ways to estimate the entropy of what a model writes. Average the *surprise* $-\ln p$ of the tokens that
# were drawn, or average the entropy of the distributions that they were drawn from. We let the model continue the first five
# tokens of each of the 80 held-out abstracts, at several temperatures, and try both.

# %%
LENGTH = 40
held_out = [[tokenizer.eos_id, *tokenizer.encode(text)] for text in abstracts[1200:]]
beginnings = [ids[:6] for ids in held_out]


def written_with(**options):
    """The beginnings and 40 tokens that the model adds to each, (80, 6 + 40)."""
    results = model.generate(beginnings, max_new_tokens=LENGTH, seed=0, end_ids=(), **options)
    return torch.tensor([begun + result.ids for begun, result in zip(beginnings, results, strict=True)])


def log_p_of(ids, temperature=1.0):
    """Log-distributions (batch, 40, vocab) before each added token, and the token's own log-probability."""
    log_p = (model(ids[:, :-1])[:, 5:] / temperature).log_softmax(dim=-1)
    return log_p, log_p.gather(-1, ids[:, 6:, None])[..., 0]


# %%
written = {T: written_with(temperature=T) for T in (0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)}
for temperature in (0.5, 1.0, 1.5):
    log_p, chosen = log_p_of(written[temperature], temperature)
    close = abs(entropy(log_p.exp()).mean() + chosen.mean()) < 0.15
    print(f"T = {temperature}: the two estimates agree within 0.15 nats: {close}")

# %% [markdown]
# How surprising *should* a text be? Show the model how the abstracts really go on, and ask for its mean surprise: that is
# its loss on them. Then ask for its surprise (at temperature 1) at what was written at each temperature.

# %%
real_ids = torch.tensor([ids[: 6 + LENGTH] for ids in held_out])
real = -log_p_of(real_ids)[1].mean().item()
surprise = {temperature: -log_p_of(ids)[1].mean().item() for temperature, ids in written.items()}
print("greedy texts are less surprising than real ones:", surprise[0] < real)
print("at temperature 1.5 they are more surprising than real ones:", surprise[1.5] > real)

figure, axis = plt.subplots(figsize=(6, 3))
axis.plot(surprise.keys(), surprise.values(), "o-", color=BLUE, label="written by the model")
axis.axhline(real, color=ORANGE, label="real abstracts")
axis.set(xlabel="temperature", ylabel="surprise (nats per token)", ylim=(0, None))
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** Real text (orange) is not the likeliest text. A writer who never surprises says nothing; the greedy text
# at temperature 0 is far more predictable to the model than anything that it was trained on. Holtzman et al. found the
# same with GPT-2 and human writing. The curve crosses the line below temperature 1: our model has learned the abstracts
# only in part, and a token drawn from its tail leads it further astray. There is no temperature that is right for
# everything: for an answer that is either right or wrong, low is good; for a story, it is dull.
#
# ### Why greedy writing repeats
#
# Take the simplest model of all, a bigram: the next token depends on the last one only. Greedy writing then is a *map*
# from tokens to tokens. There are only $V$ tokens, so after at most $V$ steps one must come a second time; and from there on
# everything repeats, for ever. It need not be a bad model: the best bigram does so, too. A model that sees the last $n$
# tokens must do so as well, only later: when the same $n$ tokens come a second time. We count what follows what in the
# abstracts, and walk until the circle closes.

# %%
stream = tokens.tolist()


def greedy_circle(n):
    """The tokens that come round for ever when the likeliest token after the last n is always taken."""
    following = {}
    for place in range(len(stream) - n):
        counts = following.setdefault(tuple(stream[place : place + n]), {})
        counts[stream[place + n]] = counts.get(stream[place + n], 0) + 1
    path, first_at = stream[:n], {}
    while (context := tuple(path[-n:])) not in first_at:
        first_at[context] = len(path)
        path.append(max(sorted(following[context]), key=following[context].get))
    return path[first_at[context] :]


# %%
circles = {n: greedy_circle(n) for n in (1, 2, 3, 4, 6, 8)}
for n, circle in circles.items():
    print(f"seeing {n} back: a circle of {len(circle):3} tokens")
print("seeing 1 back:", tokenizer.decode(circles[1] * 3), "…")

# %% [markdown]
# A transformer sees everything back to the beginning of its context, and the argument grants it circles of astronomical
# length. In practice they come soon, because repetition feeds itself: attention finds the earlier copy and copies what
# followed there, the more confidently the more copies there are (Holtzman et al., figure 4; Xu et al. 2022,
# [arXiv:2206.02369](https://arxiv.org/abs/2206.02369)). How often does our model use four tokens that it has used before:
# within one text of 200 tokens that goes on from abstract to abstract, and among the 80 short texts?


# %%
def repeated_share(texts, n=4):
    """The share of n-grams that occurred before in these texts, read one after the other."""
    grams = [tuple(ids[i : i + n]) for ids in texts for i in range(len(ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams)


def long_texts(**options):
    results = model.generate(beginnings[:12], max_new_tokens=200, seed=1, end_ids=(), **options)
    return [result.ids for result in results]


ways = {f"T = {T}": {"temperature": T} for T in (0, 0.25, 0.5, 1.0)}
ways |= {"T = 0,\npenalty 1.3": {"temperature": 0, "repetition_penalty": 1.3}}
long = {name: long_texts(**options) for name, options in ways.items()}
long["real"] = tokens[: 12 * 200].view(12, 200).tolist()
short = {name: written_with(**options)[:, 6:].tolist() for name, options in ways.items()}
short["real"] = real_ids[:, 6:].tolist()

# %%
within = {name: sum(repeated_share([text]) for text in texts) / len(texts) for name, texts in long.items()}
among = {name: repeated_share(texts) for name, texts in short.items()}
print("greedy writing repeats more than writing at temperature 1:",
      within["T = 0"] > within["T = 1.0"], among["T = 0"] > among["T = 1.0"])  # fmt: skip
figure, axes = plt.subplots(1, 2, figsize=(10, 3))
for axis, values, title in zip(axes, (within, among), ("within a text", "among 80 texts"), strict=True):
    colours = [ORANGE] + [BLUE] * 3 + [GREEN, PALE]
    axis.bar(values.keys(), [100 * share for share in values.values()], color=colours)
    axis.set(title=title, xlabel="how the text was written", ylabel="repeated 4-grams (%)")
plt.show()

# %% [markdown]
# **What to see.** Greedy writing (orange) repeats the most in both panels, more than real abstracts do (grey), which come from
# a grammar with a small stock of phrases; the higher the temperature, the less is repeated. Green is greedy with a
# *repetition penalty* (Keskar et al. 2019, [arXiv:1909.05858](https://arxiv.org/abs/1909.05858)), which makes every token
# that has occurred less likely. Within a text hardly anything is repeated any more, not even what should be, such as "the share of"
# and the full stop; and the 80 texts still resemble one another. Read such texts before you use it, and keep it close to 1.
#
# ### Exercise 3 · The repetition penalty (1 point)
#
# `seen` is true for the tokens that occurred. Lower their logits: with a penalty $\theta > 1$, a positive logit is divided
# by it. What must happen to a negative one?


# %%
def penalised(logits, seen, penalty):
    """Logits (batch, vocab), lower for the tokens that occurred."""
    ### BEGIN SOLUTION
    lower = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, lower, logits)
    ### END SOLUTION


# %%
check.penalised(penalised)

# %% [markdown]
# Note what is odd about this rule. Adding a constant to all logits changes no probability; but it moves the border
# between positive and negative, and so changes what the penalty does. Temperature and the three cuts do not care.

# %%
seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, torch.tensor([tokenizer.encode(unsure)]), True)
seen[0, logits[0].argmax()] = True
for shift in (0.0, 30.0):
    before, after = (
        each.softmax(dim=-1)
        for each in (logits + shift, sampling.penalise_repetition(logits + shift, seen, 1.3))
    )
    lowered = bool(after[0, logits[0].argmax()] < before[0, logits[0].argmax()])
    print(f"all logits + {shift:2.0f}: the same distribution {torch.allclose(before, probabilities, atol=1e-4)}, "
          f"likeliest token lowered {lowered}")  # fmt: skip
moved = sampling.penalise_repetition(logits + 30, seen, 1.3).softmax(dim=-1)
stayed = sampling.penalise_repetition(logits, seen, 1.3).softmax(dim=-1)
print("the same after the penalty:", torch.allclose(moved, stayed, atol=1e-2))

# %% [markdown]
# ## 4 · The KV cache
#
# The plainest way to write: give the model the text, choose a token, append it, give the model the whole text again. Each
# pass computes everything anew. A weight matrix costs two operations for each of its $W$ entries and each token, and
# token $t$ of a layer's attention is compared with $t$ keys and adds up $t$ values, $4\,t\,d$ operations for heads of
# total width $d$. So token $t$ costs $f(t) = 2W + 4Ldt$ with $L$ layers. A pass over $t$ tokens costs about $t f(t)$, if
# attention is computed as a full square, and writing $n$ tokens
#
# $$\underbrace{\sum_{t=1}^n t\,f(t)}_{\text{everything anew}} \approx W n^2 + \tfrac43 L d\, n^3
# \qquad\text{instead of}\qquad \underbrace{\sum_{t=1}^n f(t)}_{\text{each token once}} \approx 2Wn + 2Ld\,n^2 . \tag{2}$$
#
# Each token once: is that enough? In a causal model nothing that is computed for token $t$ depends on later tokens. When
# token $t+1$ comes, the only thing that it needs of the earlier ones are, in each layer, their keys and values: to be
# compared with, and to be added up. Their queries have done their work. So keep the **keys and values**, and nothing else.
# Keys are kept as RoPE has turned them: each by its own position, which never changes.
#
# ### Exercise 4 · Attention with a past (2 points)
#
# `query`, `key` and `value` are of the new tokens, `(batch, heads, n_new, head_dim)`, not yet turned. `past` is `None` for
# the first call, then what you returned as the second thing: a pair `(keys, values)` of all tokens before. New tokens may be
# several, as in a prompt. `rotary(positions)`, with positions `(1, n_new)`, gives what `rotate(x, *rotation)` needs;
# `causal_mask(n_past, n_new, None, query.device)` gives the mask, and `attend(query, keys, values, mask)` the output.


# %%
def cached_attention(query, key, value, past, rotary):
    """The output for the new tokens, and the pair (keys, values) of all tokens so far."""
    ### BEGIN SOLUTION
    n_past, n_new = 0 if past is None else past[0].shape[2], query.shape[2]
    rotation = rotary(torch.arange(n_past, n_past + n_new)[None])
    query, key = rotate(query, *rotation), rotate(key, *rotation)
    if past is not None:
        key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
    mask = causal_mask(n_past, n_new, None, query.device)
    return attend(query, key, value, mask), (key, value)
    ### END SOLUTION


# %%
check.cached_attention(cached_attention)

# %% [markdown]
# For a whole model we need such a pair for each layer. The model of the library asks its cache for two things: `extend`
# tells it how many tokens are coming, `update` gives it a layer's new keys and values and wants all of them back. That is
# soon built:


# %%
class GrowingCache:
    """Keys and values of every layer, longer with each call."""

    def __init__(self):
        self.length, self.layers = 0, {}

    def extend(self, batch_size, n_new, attention_mask=None):
        self.length += n_new

    def update(self, layer, keys, values):
        if layer in self.layers:
            past_keys, past_values = self.layers[layer]
            keys, values = torch.cat([past_keys, keys], dim=2), torch.cat([past_values, values], dim=2)
        self.layers[layer] = keys, values
        return keys, values


# %% [markdown]
# The library's `KVCache` allocates its memory once and writes into it, since `torch.cat` copies the whole past at every
# step. All three ways must give the same logits. The prompt goes in at once, then one token after the other:

# %%
prompt = tokenizer.encode("We propose a hierarchical policy network that learns by")
ours, theirs = GrowingCache(), model.new_cache(1, 64)
text, equal = list(prompt), []
new = torch.tensor([prompt])
for _ in range(30):
    anew = model(torch.tensor([text]))[:, -1]
    logits_of = [anew, model(new, cache=ours)[:, -1], model(new, cache=theirs)[:, -1]]
    equal += [torch.allclose(anew, each, atol=1e-4) for each in logits_of[1:]]
    text.append(anew.argmax().item())
    new = torch.tensor([text[-1:]])
print("30 steps, the same logits:", all(equal))
print("slots used:", ours.length, theirs.length, "of", theirs.max_len)
print("last key of layer 0 the same:", torch.allclose(ours.layers[0][0], theirs.keys[0, :, :, : ours.length]))

# %% [markdown]
# And what is it worth? On the left equation (2), exactly, for the shape of the `26m` model; on the right the time of the
# *next* token on this machine, for the smaller preset `tiny`, after texts of several lengths. (We measure the time of the
# processor, so that other programs on the machine do not count. With one thread, as here, it is otherwise the time that
# passes, waiting for memory included.)


# %%
def milliseconds(run, repeats=5):
    """Processor time of the shortest of some runs, after one that is not counted."""
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(1000 * (time.process_time() - start))
    return min(times)


def filled(model, batch, context, room=64):
    """A cache that holds `context` random tokens a row: what is read, not what it says, decides the time."""
    cache = model.new_cache(batch, context + room)
    cache.extend(batch, context)
    cache.keys[:, :, :, :context].normal_()
    cache.values[:, :, :, :context].normal_()
    return cache


# %%
big = ModelConfig.from_preset("26m")
lengths = torch.arange(1, 1025)
per_token = torch.tensor([big.flops_per_token(t, training=False) for t in lengths.tolist()]).double()
with_cache, anew = per_token.cumsum(dim=0), (lengths * per_token).cumsum(dim=0)
print(f"1,024 tokens: {with_cache[-1] / 1e9:,.0f} GFLOP with a cache, {anew[-1] / 1e9:,.0f} without")

tiny = MiniLLM.from_preset("tiny").eval().requires_grad_(False)
contexts, times = (16, 64, 128, 256, 448), {"without a cache": [], "with a cache": []}
for context in contexts:
    text, cache = torch.zeros(1, context + 1, dtype=torch.long), filled(tiny, 1, context)
    times["without a cache"].append(milliseconds(lambda text=text: tiny(text)))
    times["with a cache"].append(milliseconds(lambda t=text, c=cache: tiny(t[:, :1], cache=c)))

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for (name, values), flops, colour in zip(times.items(), (anew, with_cache), (ORANGE, BLUE), strict=True):
    axes[0].plot(lengths, flops / 1e9, color=colour, label=name)
    axes[1].plot(contexts, values, "o-", color=colour)
axes[0].set(xscale="log", yscale="log", xlabel="tokens written", ylabel="operations in all (GFLOP)")
axes[0].legend()
axes[1].set(xlabel="tokens before", ylabel="time of the next token (ms)", ylim=(0, None))
plt.show()

# %% [markdown]
# **What to see.** On the left both axes are logarithmic: without a cache the line is twice as steep, for the work grows with
# the square of the length. On the right, a token without a cache costs the more the longer the text is, with a cache
# nearly the same at every length. Nothing is approximated, and nothing has been lost but memory.
#
# ## 5 · Two phases, and one bottleneck
#
# With a cache, answering has two phases. **Prefill**: the whole prompt goes through the model in one pass. **Decode**: one
# pass for each token. The operations for a token are about the same in both. The times are not:

# %%
torch.manual_seed(0)
model_26m = MiniLLM.from_preset("26m").eval().requires_grad_(False)
at_once = (1, 2, 4, 8, 16, 32, 64, 128)
pass_times = [
    milliseconds(lambda n=n: model_26m.hidden_states(torch.zeros(1, n, dtype=torch.long))) for n in at_once
]
prefill, decode = pass_times[-1] / at_once[-1], pass_times[0]
print(
    f"prefill, 128 tokens at once: ~{prefill:.2f} ms a token; decode, one at a time: ~{decode:.1f} ms a token"
)
print("prefill is faster a token:", prefill < decode)

# %% [markdown]
# Why? Before a processor can multiply with a weight, the weight must come from memory. Take $N$ tokens at once. Each
# weight, 4 bytes in float32, is read once and used for $2N$ operations: one multiplication and one addition a token. The
# ratio is the *arithmetic intensity* (Williams, Waterman and Patterson 2009, "Roofline"):
#
# $$I = \frac{2N}{4} = \frac N2 \text{ operations a byte.} \tag{3}$$
#
# Let the processor do $\pi$ operations a second and the memory deliver $\beta$ bytes a second. The pass takes at
# least as long as the slower of the two: with $W$ weights
#
# $$\text{time} \;\ge\; \max\Big(\frac{4W}{\beta},\; \frac{2WN}{\pi}\Big), \tag{4}$$
#
# and the two are equal at $I = \pi/\beta$. Below it, a second token costs *nothing*: the weights are there anyway. We
# measure $\pi$ by a product of large matrices, and $\beta$ by adding up a long vector.

# %%
matrix, vector = torch.rand(1024, 1024), torch.rand(2**25)
peak = 2 * 1024**3 / milliseconds(lambda: matrix @ matrix) / 1e6  # GFLOP/s
bandwidth = vector.nbytes / milliseconds(lambda: vector.sum()) / 1e6  # GB/s
print(f"~{peak:.0f} GFLOP/s, ~{bandwidth:.0f} GB/s: balanced at ~{peak / bandwidth:.0f} operations a byte,")
print(f"that is, at ~{2 * peak / bandwidth:.0f} tokens at once")

n_read = (
    big.n_parameters - big.vocab_size * big.hidden_size
)  # the blocks; of the embedding only a row is read
n = torch.logspace(0, 7, 50, base=2)
reading, computing = torch.full((50,), 4 * n_read / bandwidth / 1e6), 2 * n_read * n / peak / 1e6
figure, axis = plt.subplots(figsize=(6, 3.2))
axis.plot(n, reading, color=GREEN, label="to read the weights")
axis.plot(n, computing, color=ORANGE, label="to compute")
axis.plot(at_once, pass_times, "o", color=BLUE, label="measured")
axis.set(xscale="log", yscale="log", xlabel="tokens at once", ylabel="time of one pass (ms)")
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** The dots lie above both lines, as they must, and go with the larger of the two. On the left reading the
# weights takes the time, and is there whether one token is computed or ten: from one to 16 tokens the work grows 16-fold,
# the time here about twofold. On the right the time rises with the work. One token at a time is the far left: the processor
# mostly waits. That is what *memory-bound* means, and on a GPU, whose $\pi/\beta$ is above 100 in half precision, it is far
# worse (Pope et al. 2022, [arXiv:2211.05102](https://arxiv.org/abs/2211.05102)).
#
# If the time is that of reading, there are three ways out. The first is to read no slower than the memory allows: between
# its operations, a pass through the layers does much else. `minillm_lib.generation.fast_path` computes a whole token in one
# compiled call, in which threads share the rows of each matrix. The second is to read fewer bytes. Round each row of a matrix
# to whole multiples of a step, from −127 to 127, and a weight takes one byte and not four; an error is at most half a step.
# Greedy text does not change with the first, and hardly does with the second:

# %%
small = model.quantized()
prompt = [tokenizer.eos_id, *tokenizer.encode("In this paper")]
(by_layers,), (by_fast_path,) = (
    model.generate([prompt], temperature=0, max_new_tokens=60, fast=fast) for fast in (False, True)
)
print("the fast path writes the same text:", by_layers.ids == by_fast_path.ids)
weight, multiples = model.layers[0].mlp.up_proj.weight, small.layers[0].mlp.up_proj
steps = multiples.weight_scale[:, None]  # one for each row
print("no error above half a step:", bool(((weight - multiples.weight).abs() <= 0.5001 * steps).all()))
print("bytes of this matrix:", weight.nbytes, "and", multiples.weight_int8.nbytes + steps.nbytes)
losses = [each.loss(real_ids[:, :-1], real_ids[:, 1:]).exp().item() for each in (model, small)]
print("held-out perplexity within 1%:", losses[1] < 1.01 * losses[0])

# %% [markdown]
# (`benchmarks/decoder.py` measures both against Hugging Face's decoder and the speed of the memory.)
#
# The third way out is a batch: 16 conversations share one reading. The **cache** cannot be shared, for every
# conversation has its own. A number of it is read for each new token, and used by the queries of one group, 2 operations
# each. With $g$ query heads to a key–value head:
#
# $$I_{\text{cache}} = \frac{2g}{4} = \frac g2 \text{ operations a byte,} \tag{5}$$
#
# whatever the batch, whatever the length. Full heads ($g=1$) are stuck at ½. To share key–value heads is the one thing
# that raises it, and that is the reason for which Shazeer 2019
# ([arXiv:1911.02150](https://arxiv.org/abs/1911.02150)) proposed it.

# %%
classic = ModelConfig.from_preset("26m-classic")
for name, shape in (("26m", big), ("26m-classic", classic)):
    group = shape.n_heads // shape.n_kv_heads
    cache_bytes = shape.kv_cache_bytes(batch_size=1, seq_len=1, bytes_per_value=4)
    print(f"{name:12} weights {4 * shape.n_parameters / 2**20:.1f} MiB, cache {cache_bytes / 1024:2.0f} KiB a token, "
          f"intensity of the cache {group / 2}")  # fmt: skip
one_token = model_26m.new_cache(1, 1).nbytes
print("as counted by hand:", one_token == 2 * big.n_layers * big.n_kv_heads * big.head_dim * 4)

# %% [markdown]
# ## 6 · A claim, measured again
#
# The report that this course follows claims for its modern block, against the classic one, "**memory −40 %, inference
# 1.3–1.6×**". It does not say at which batch, nor at which length. Ours are `26m` (RMSNorm, SwiGLU, grouped queries, RoPE)
# and `26m-classic` (LayerNorm, GELU, full heads, learned positions), of equal size within 0.2 %. If reading decides, we can
# *predict*. Let $n$ be the tokens in the cache, batch times context, $w$ the bytes of the weights, and $c$ the bytes per token
# of the cache of `26m`; the classic one has $4c$. Then
#
# $$\frac{\text{memory of 26m}}{\text{memory of classic}} = \frac{w + cn}{w + 4cn}, \tag{6}$$
#
# and the speed is at best the inverse. For small $n$ both are 1; for large $n$ they approach ¼ and 4.
# `python benchmarks/decoder.py` has measured both models in full size, at two threads, and left its record in the
# repository:

# %%
record = json.loads(Path("../results/benchmarks/decoder.json").read_text(encoding="utf-8"))
peaks = {row["job"]: row["ratio"] for row in record["peak_memory"]}
recorded = [(row["batch"], row["context"], row["cache_ratio"], peaks[f"{row['batch']}x{row['context']}"],
             row["speed_ratio"]) for row in record["classic"]]  # fmt: skip
print("batch  context  cache  peak memory  speed")
for batch, context, cache_ratio, memory_ratio, speed_ratio in recorded:
    print(f"{batch:5}  {context:7}  {cache_ratio - 1:+.0%}  {memory_ratio - 1:+11.0%}  {speed_ratio:.2f}×")
print(f"a training step: peak memory {peaks['train'] - 1:+.0%}")

w, c = 4 * big.n_parameters, big.kv_cache_bytes(1, 1, bytes_per_value=4)
print(f"by equation (6), −40 % is reached at {0.4 * w / (1.4 * c):,.0f} tokens in the cache")

# %%
n = torch.logspace(8, 18, 100, base=2)
predicted = (w + c * n) / (w + 4 * c * n)
in_cache = [batch * context for batch, context, *_ in recorded]
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4))
axes[0].plot(n, 100 * (predicted - 1), color=GREEN, label="equation (6)")
axes[0].plot(in_cache, [100 * (row[3] - 1) for row in recorded], "o", color=BLUE, label="measured")
axes[0].axhline(-40, color=ORANGE, label="the claim")
axes[0].set(ylabel="memory against classic (%)", ylim=(-80, 5))
axes[1].plot(n, 1 / predicted, color=GREEN)
axes[1].plot(in_cache, [row[4] for row in recorded], "o", color=BLUE)
axes[1].axhspan(1.3, 1.6, color=ORANGE, alpha=0.4, linewidth=0)
axes[1].set(ylabel="speed against classic", ylim=(0.8, 4))
for axis in axes:
    axis.set(xscale="log", xlabel="tokens in the cache (batch × context)")
axes[0].legend()
plt.show()

# %% [markdown]
# **What to see.** Memory, on the left: the dots lie on the line, which has no free parameter. The claim of −40 % is one point
# of a curve that goes from 0 to −75 %. Speed, on the right: the line is a limit, and the measured gain is half of it at most,
# since attention must also compute, and a small model has other things to do. The claimed band is crossed at about 8,000
# tokens in the cache: one conversation of 8,192 tokens, or 16 of 512. So:
#
# - **It holds** for decoding with several thousand tokens in the cache; with many more, the gain is larger than claimed.
# - **It does not hold** for one short conversation, where the speed is the same and memory only some per cent smaller.
# - **It is wrong for training**, where no cache exists: there the modern block takes a third *more* memory, as SwiGLU keeps
#   three wide activations for the backward pass where GELU keeps two.
#
# And on your machine? Both blocks with four layers instead of eight, so that it takes seconds. In the first line there is next
# to nothing to save, in the last one there is:

# %%
pair = {name: MiniLLM.from_preset(name, n_layers=4).eval().requires_grad_(False) for name in ("26m", "26m-classic")}  # fmt: skip
for batch, context in ((1, 128), (1, 1024), (8, 1024)):
    token = torch.zeros(batch, 1, dtype=torch.long)
    caches = {name: filled(each, batch, context) for name, each in pair.items()}
    times = {name: [] for name in pair}
    for _ in range(6):  # in turn, so that whatever else the machine does meets both
        for name, each in pair.items():
            start = time.process_time()
            each(token, cache=caches[name])
            times[name].append(time.process_time() - start)
    sizes = [each.config.kv_cache_bytes(batch, context, bytes_per_value=4) / 2**20 for each in pair.values()]
    speed = min(times["26m-classic"]) / min(times["26m"])
    print(f"{batch} × {context:4}: cache {sizes[0]:4.1f} MiB against {sizes[1]:5.1f}, speed ~{speed:.2f}×")

# %% [markdown]
# ## 7 · Batches, ends and seeds
#
# **Left padding.** In a batch, prompts have different lengths, but the next token of every row must be read from one column,
# the last. So short prompts are padded on the *left*. A mask hides the padding, and each row counts its positions from
# its own first token. A row must then get what it would get alone:

# %%
prompts = [tokenizer.encode(text) for text in ("We propose a", "The lesson is that a sharp image")]
longest = max(map(len, prompts))
padded = torch.tensor([[tokenizer.pad_id] * (longest - len(ids)) + ids for ids in prompts])
mask = torch.tensor([[False] * (longest - len(ids)) + [True] * len(ids) for ids in prompts])
print(padded.tolist())
together = model(padded, attention_mask=mask)[:, -1]
alone = torch.cat([model(torch.tensor([ids]))[:, -1] for ids in prompts])
print("with the mask:   ", torch.allclose(together, alone, atol=1e-4))
print("without the mask:", torch.allclose(model(padded)[:, -1], alone, atol=1e-4))

# %% [markdown]
# **Ends.** Writing ends for one of four reasons: an end token, a stop string, the number of tokens asked for, or a full
# context. A stop string may be spread over several tokens, so it is looked for in the text, not among the tokens.
#
# **Seeds.** The only chance is in the uniform numbers of the draws. The library gives each row $i$ of a batch a generator
# of its own, seeded with `seed + i`, so that a row does not depend on its neighbours.

# %%
asked = tokenizer.apply_chat_template(
    [{"role": "user", "content": questions[0].phrasings[0]}], add_generation_prompt=True
)
for options in ({}, {"stop": "."}, {"max_new_tokens": 3}, {"max_new_tokens": None, "end_ids": ()}):
    (result,) = model.generate([asked], temperature=0, **options)
    print(f"{options!s:42} {result.finish_reason}")
batch = model.generate([prompts[0]] * 3, temperature=1.0, max_new_tokens=10, seed=7)
(single,) = model.generate([prompts[0]], temperature=1.0, max_new_tokens=10, seed=9)
print("the third row, seeded with 7 + 2, is what seed 9 gives alone:", batch[2].ids == single.ids)

# %% [markdown]
# ## 8 · A chat in a widget
#
# A reader reads while the model writes, so a good chat shows each piece at once. Pieces are not quite tokens. A character
# that the vocabulary does not have is written as several byte tokens (notebook 04), and half a character cannot be
# shown. The library's `decode_stream` holds bytes back until the character is whole:

# %%
ids = tokenizer.encode("≈ 你")
print(len(ids), "tokens, one by one:", [tokenizer.decode([token]) for token in ids])
print("as a stream:       ", list(tokenizer.decode_stream(ids)))

# %% [markdown]
# `ChatSession` knows the template, the cache and the end of the turn; `stream` gives the pieces. When does each one
# arrive?

# %%
arrivals, reply = [], ""
start = time.process_time()
for piece in ChatSession(model, temperature=0).stream(questions[0].phrasings[0]):
    reply += piece
    arrivals.append((1000 * (time.process_time() - start), len(reply)))
print("the answer that was trained:", reply == answers[questions[0].id])

figure, axis = plt.subplots(figsize=(7, 2.8))
axis.step(*zip(*arrivals, strict=True), where="post", color=BLUE)
axis.axvspan(0, arrivals[0][0], color=PALE, linewidth=0, label="until the first piece")
axis.set(xlabel="time since the question was sent (ms)", ylabel="characters shown", xlim=(0, None), ylim=(0, None))  # fmt: skip
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# **What to see.** Before the first piece lies the prefill of the question; then pieces come at an even pace, one decode
# step each. *Time to first token* and *time per token* are the two numbers by which a chat service is judged, and by now
# you know what each is made of.
#
# The chat below is the library's `ChatWidget`: a line to type in, and a loop over these pieces that sets the value of one
# widget. The loop runs in a thread of its own, so that *Stop* can be pressed while it writes. (After each piece it waits
# for a thirtieth of a second, or you would see nothing: our model is too quick.) The model knows 13 answers, so ask about
# them, in your own words; at a high temperature you can watch it get lost.

# %%
from minillm_lib.viz import ChatWidget

talk = ChatWidget(
    model,
    text=questions[0].phrasings[0],
    pace=1 / 30,
    fresh=True,
    temperature=0.3,
    max_new_tokens=120,
    seed=0,
)
talk.send()
talk.wait()
talk

# %% [markdown]
# Without a kernel the button is dead. So here are some of its answers on paper, at temperature 0: to questions as they were
# trained, and to phrasings that were not.

# %% tags=["nbval-ignore-output"]
for each in questions[:4]:
    for kind, asked in (("trained", each.phrasings[0]), ("new", each.held_out[0])):
        print(f"({kind}) {asked}\n    → {model.chat(asked, temperature=0, max_new_tokens=120)}")

# %% [markdown]
# ## 9 · Several tokens for one reading
#
# Section 5 left something on the table: a second token in the same pass costs nearly nothing. But the second token is
# not known before the first is chosen. *Speculative* sampling (Leviathan, Kalman and Matias 2023,
# [arXiv:2211.17192](https://arxiv.org/abs/2211.17192)) lets a small and quick **draft** model guess some tokens
# ahead. The large **target** model then reads all guesses in one pass, and so knows its own distribution at each of them. Guesses
# are accepted from left to right; at the first that is rejected, another token is drawn in its place.
#
# The beauty of it: the text is distributed *exactly* as if the target had written it alone. Let the target's distribution be
# $p$, the draft's $q$. A proposal $x$, drawn from $q$, is accepted with a probability $a(x)$; otherwise the token is drawn from
# a distribution $r$. Token $x$ comes about in one of two ways, so we need, for every $x$,
#
# $$q(x)\,a(x) + \Big(1 - \sum_y q(y)\,a(y)\Big)\, r(x) = p(x). \tag{7}$$
#
# ### Exercise 5 · The rule of acceptance (3 points)
#
# Accept **as much as possible**, and keep (7). Hints: the first term of (7) must not exceed $p(x)$, and $a(x)$ is a
# probability; these two bounds decide $a$. What is then missing of $p(x)$ must come from $r$. Return both for given $p$ and
# $q$, which are positive.


# %%
def speculative_rule(target, draft):
    """a and r of equation (7), each (vocab,), for the distributions p = target and q = draft, each (vocab,)."""
    ### BEGIN SOLUTION
    accept = (target / draft).clamp(max=1)  # q a = min(q, p)
    missing = (target - draft).clamp(min=0)  # p - min(q, p)
    return accept, missing / missing.sum()
    ### END SOLUTION


# %%
check.speculative_rule(speculative_rule)

# %% [markdown]
# However you write $a$, what is accepted of token $x$ is at most $\min(p(x), q(x))$, for neither may be exceeded. In all this
# is $\alpha = \sum_x \min(p(x), q(x))$, the overlap of the two distributions: 1 if they are equal, 0 if they have nothing
# in common. If every proposal is accepted with probability $\alpha$, the first $i$ of $k$ all are with probability
# $\alpha^i$. One pass of the target then gives in the mean, the one token of its own included,
#
# $$1 + \alpha + \alpha^2 + \dots + \alpha^k = \frac{1-\alpha^{k+1}}{1-\alpha} \text{ tokens.} \tag{8}$$
#
# Let us take the cheapest draft there is, a bigram table, for our small model as the target:

# %%
bigram = torch.full((900, 900), 0.1)
bigram.index_put_((tokens[:-1], tokens[1:]), torch.ones(len(tokens) - 1), accumulate=True)
bigram /= bigram.sum(dim=-1, keepdim=True)
target = log_p_of(real_ids)[0].exp()
overlap = torch.minimum(target, bigram[real_ids[:, 5:-1]]).sum(dim=-1)  # (texts, seq)
alpha = overlap.mean().item()
print("the bigram's guesses are accepted more than one time in four:", alpha > 0.25)

k = torch.arange(0, 9)
figure, axis = plt.subplots(figsize=(6, 3))
for value, colour, name in ((0.9, GREEN, "α = 0.9"), (0.7, BLUE, "α = 0.7"), (alpha, ORANGE, "bigram draft, α measured")):  # fmt: skip
    axis.plot(k, (1 - value ** (k + 1)) / (1 - value), "o-", color=colour, label=name)
axis.set(xlabel="tokens guessed ahead, $k$", ylabel="tokens a pass of the target", ylim=(0, None))
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** Even a table of counts gives more than one token a pass, for nothing but a look-up. With a good draft it is
# several; but no more than $1/(1-\alpha)$, however many tokens are guessed, and each guess costs the draft some time. Where
# the processor waits for memory, this is free speed. In a large batch it is not, for there the computation is the
# bottleneck already.
#
# ## Summary
#
# - A model gives a distribution; temperature reshapes it, top-k, top-p and min-p cut its tail, and one uniform number draws.
# - Real text is more surprising than the likeliest text. Greedy writing is a map on a finite set, and runs in circles.
# - In a causal model keys and values never change: keep them, and each token is computed once, with the same result.
# - Decoding is memory-bound. A batch shares the reading of the weights; only shared heads shrink the reading of the cache.
# - "Memory −40 %, inference 1.3–1.6×" is true of several thousand tokens in the cache, and of nothing else.
# - Guesses of a quick model, accepted with probability $\min(1, p/q)$, make a slow one faster without changing its text.
#
# **In the library:** `minillm_lib/generation/sampling.py`, `minillm_lib/generation/decoding.py`,
# `minillm_lib/generation/streaming.py`, `minillm_lib/generation/chat_session.py`, `minillm_lib/generation/fast_path.py`,
# `minillm_lib/model/quantization.py` and `minillm_lib/model/kv_cache.py`. In a terminal:
# `minillm chat`.
#
# **Next:** [17 · LDA and the transformer](17_lda_vs_transformer.ipynb), where the course returns to the question with which it
# began.
#
# **To read on.** Pope et al. 2022, "Efficiently Scaling Transformer Inference", for the arithmetic of section 5 on many
# processors; Kwon et al. 2023, "PagedAttention", [arXiv:2309.06180](https://arxiv.org/abs/2309.06180), for caches of many
# conversations in one memory; Chen et al. 2023, [arXiv:2302.01318](https://arxiv.org/abs/2302.01318), who found speculative
# sampling independently.
