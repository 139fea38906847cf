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
# KV cache that makes each token cheap, and the loop that joins the two, `generate()`. Yours writes the same text as the
# library's, token by token. Last comes a chat that shows its answer while it is being written.
#
# **What you need.** [09 · Attention](09_attention_gqa.ipynb) and [08 · RoPE](08_rope.ipynb);
# [05 · Language models](05_language_models.ipynb) for entropy and bigrams, [14 · SFT](14_sft.ipynb) for the chat template.
#
# **How long.** About two hours to work through, with seven exercises. All cells together run in under 30 seconds on two CPU
# cores.
#
# > **中文提要** 模型只给出下一个词元的分布；如何据此生成文字，取决于解码方法。本节先写出抽样与各种采样规则：贪心、温度、top-k、top-p、min-p 与重复惩罚，用滑块观察它们如何改变分布，并用熵说明为什么贪心会重复。然后自己实现 KV 缓存：结果与不用缓存完全相同，总计算量不再随长度的平方增长。把两者合在一起，就是带缓存的 `generate()`：同一个种子下，它写出的文字与库里的逐个词元相同。最后处理长度不同的一批提示（左侧填充），并做一个流式聊天小部件。解码为什么受内存带宽限制、怎样更快，见下一节 16。

# %%
import time
from functools import partial

import ipywidgets as widgets
import matplotlib.pyplot as plt
import torch

from minillm_lib import MiniLLM, ModelConfig, Tokenizer, check, course
from minillm_lib.corpora import Conversation, faq_questions, load_grammar
from minillm_lib.course import milliseconds
from minillm_lib.generation import ChatSession, SamplingConfig, sampling
from minillm_lib.model import attend, rotate
from minillm_lib.training import batch_loss, encode_conversations, fit, pack_conversations, rows_of_step
from minillm_lib.viz import (
    BLUE,
    GREEN,
    ORANGE,
    PALE,
    ChatWidget,
    interactive_figure,
    plot_next_token,
    plot_sampling_rules,
)

course.setup()

# %% [markdown]
# ## 1 · A model to try things on
#
# It is to do two things: continue abstracts of the grammar of notebook 05, and answer 13 questions of `course-faq` about
# the subjects of this notebook and the next, each with one sentence. 80 abstracts are held out.

# %%
questions = [each for each in faq_questions("en") if each.topic in ("kv_cache", "sampling")]
answers = {each.id: each.answer.split(". ")[0].rstrip(".") + "." for each in questions}
questions = [q for q in questions if 40 < len(answers[q.id]) < 180 and "et al" not in answers[q.id]][:13]
conversations = [Conversation.of(asked, answers[q.id]) for q in questions for asked in q.phrasings[:7]]
abstracts = [document.text for document in load_grammar("en").generate(1280, seed=0)]
chat_texts = [turn.content for conversation in conversations for turn in conversation.turns]
tokenizer = Tokenizer.train(chat_texts + abstracts[:600], vocab_size=900)

SEQ_LEN = 96
tokens = torch.tensor([i for text in abstracts[:1200] for i in tokenizer.encode(text, add_eos=True)])
n_sequences = (len(tokens) - 1) // SEQ_LEN
inputs, labels = (tokens[i : i + n_sequences * SEQ_LEN].view(-1, SEQ_LEN) for i in (0, 1))
packed = pack_conversations(encode_conversations(conversations, tokenizer, 128)[0], 128, tokenizer.pad_id)
print(f"{len(conversations)} conversations; {n_sequences:,} sequences of {SEQ_LEN} tokens of abstracts")

# %% [markdown]
# Each training step reads six sequences of abstracts and two of conversations, so that the model learns to write and to
# answer at the same time. (`fit` is the loop of notebook 12.)

# %%
config = ModelConfig.from_preset("nano", vocab_size=900, hidden_size=96, n_layers=2, initializer_range=0.05)
torch.manual_seed(0)
model = MiniLLM(config)
model.tokenizer = tokenizer


def loss_of_step(step):
    """Of six sequences of abstracts, plus that of two of conversations."""
    texts, talks = rows_of_step(step, 6, n_sequences, seed=0), rows_of_step(step, 2, len(packed), seed=1)
    return model.loss(inputs[texts], labels[texts]) + batch_loss(model, packed[talks])


losses = fit(model, loss_of_step, 280, lr=0.015)
model.eval().requires_grad_(False)
print(f"{config.n_parameters:,} parameters; loss of both together below 2: {losses[-1] < 2}")

# %% [markdown]
# ## 2 · From scores to the next token
#
# The model gives a score, a *logit*, for each of its 900 tokens. The softmax makes a distribution of them:
# $p_i = e^{s_i}/\sum_j e^{s_j}$. That is all it says. Which token is written is our choice, and there are two pure ways:
# always take the likeliest (**greedy decoding**), or **draw** from the distribution. Everything else reshapes the distribution
# before the draw.
#
# A draw needs one uniform number $u$, at least 0 and below 1. Lay the probabilities end to end on a line of length 1, in the
# order of the vocabulary: token $i$ gets a stretch of length $p_i$. The token on whose stretch $u$ falls is drawn, so token
# $i$ comes with probability $p_i$. A stretch includes its left end but not its right end: then a token with probability 0
# is never drawn.
#
# ### Exercise 1 · The draw (2 points)
#
# Return a token for each distribution of a batch, by its own number $u$. Add up in double precision
# (`probabilities.double()`): in a large vocabulary many small numbers meet. Even so the line may end a little before 1, or
# after it, say at 0.9999999; then $u$ must not fall off its end.


# %%
def drawn(probabilities, u):
    """Tokens (batch,), drawn from probabilities (batch, vocab) by uniform numbers u (batch,)."""
    ### BEGIN SOLUTION
    ends = probabilities.double().cumsum(dim=-1)  # where each token's stretch ends
    return (ends / ends[:, -1:] <= u[:, None]).sum(dim=-1)
    ### END SOLUTION


# %%
check.drawn(drawn)

# %% [markdown]
# From here on the notebook uses *your* function if it has passed, and otherwise the library's: `check.drawn.function` is the
# one or the other. It must draw what the library draws from the same random numbers:


# %%
def next_logits(prompt):
    """Scores of the token after a text, (1, vocab)."""
    return model(torch.tensor([tokenizer.encode(prompt)]))[:, -1]


unsure, sure = "We propose a", "The lesson is that a sharp image is worth a thousand"
logits = next_logits(unsure)
probabilities = logits.softmax(dim=-1)
mine, theirs = (torch.Generator().manual_seed(5) for _ in range(2))
uniform = torch.rand(200, generator=mine, dtype=torch.float64)
by_hand = check.drawn.function(probabilities.expand(200, -1), uniform).tolist()
print("as the library:", by_hand == [sampling.sample(logits, [theirs]).item() for _ in range(200)])

# %% [markdown]
# ### Temperature
#
# Raise all probabilities to the power $1/T$, and divide by their sum:
#
# $$p_i(T) = \frac{p_i^{1/T}}{\sum_j p_j^{1/T}}. \tag{1}$$
#
# Below $T = 1$, differences grow: in the limit $T \to 0$ only the likeliest token is left, and the draw is greedy. Above 1 they
# shrink: in the limit $T\to\infty$ all tokens are equally likely. The number is called **temperature**, from physics, where
# states of energy $E$ have probabilities proportional to $e^{-E/T}$.
#
# ### Exercise 2 · Temperature (1 point)
#
# Return equation (1) at a temperature above 0, from the logits. Do not compute it as it is written: at $T = 0.01$ a
# probability of 0.1 would become $10^{-100}$, which is 0 in float32, and so may all the others. What does (1) do to the
# logits?


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
# ### Exercise 3 · The nucleus (2 points)
#
# Keep the *smallest* set of likeliest tokens that has at least probability `p` in all: the token with which the sum
# reaches `p` belongs to it, and so the set is never empty. Return probabilities, each at the index of its token.
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
# The library's rules take and return logits, in which a token that is cut off has $-\infty$; the softmax then renormalises
# by itself. They give the same probabilities:

# %%
pairs = {
    "temperature": (check.tempered.function(logits, 0.7), sampling.apply_temperature(logits, 0.7)),
    "top-k": (top_k(probabilities, 4), sampling.keep_top_k(logits, 4)),
    "top-p": (check.nucleus.function(probabilities, 0.8), sampling.keep_top_p(logits, 0.8)),
    "min-p": (min_p(probabilities, 0.1), sampling.keep_min_p(logits, 0.1)),
}
for name, (by_hand, library) in pairs.items():
    print(f"{name:12}", torch.allclose(by_hand, library.softmax(dim=-1), atol=1e-6))

# %% [markdown]
# How do the rules treat a model that is unsure, and one that is sure? Entropy, $H = -\sum_i p_i \ln p_i$, measures it: it is
# 0 if one token has all the probability, and $\ln n$ if $n$ tokens share it equally.

# %%
RULES = {
    "as it is": {},
    "temperature 0.5": {"temperature": 0.5},
    "top-k 4": {"top_k": 4},
    "top-p 0.9": {"top_p": 0.9},
    "min-p 0.1": {"min_p": 0.1},
}


def reshaped(logits, **options):
    """Probabilities (vocab,) after the rules; those that are not named do nothing."""
    config = SamplingConfig(**{"temperature": 1.0, **options})
    return sampling.filter_logits(logits, config).softmax(dim=-1)[0]


# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4.4))
for axis, prompt in zip(axes, (unsure, sure), strict=True):
    by_rule = {name: reshaped(next_logits(prompt), **options) for name, options in RULES.items()}
    plot_sampling_rules(by_rule, tokenizer.vocabulary, n=9, ax=axis)
    entropy = torch.special.entr(by_rule["as it is"]).sum()
    axis.set_title(f"“… {prompt[-20:].lstrip()}”, entropy {entropy:.2f} nats")
plt.show()
for name, options in RULES.items():
    n_left = [int((reshaped(next_logits(prompt), **options) > 0).sum()) for prompt in (unsure, sure)]
    print(f"{name:15} cuts off: {n_left[0] < 900!s:5}  more where the model is sure: {n_left[1] < n_left[0]}")

# %% [markdown]
# **What to see.** Each column is a rule, each line a token, the likeliest first; `␣` marks the beginning of a word. The
# numbers are per cent, a dash is a token that was cut off, and the last line counts the tokens that are left. On the left
# several words could follow; on the right the model is sure of one. A low temperature favours the front but cuts nothing
# off. Top-k keeps four tokens on both sides, though on the right one would do. Top-p and min-p adapt: fewer tokens where the
# model is sure.
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


def distribution_after(prompt, **options):
    """The distribution after a prompt, before and after the rules."""
    logits = next_logits(prompt)
    axis = plot_next_token(logits.softmax(dim=-1)[0], reshaped(logits, **options), tokenizer.vocabulary, n=16)
    return axis.figure


interactive_figure(distribution_after, CONTROLS, max_width=640)

# %% [markdown]
# **What to see.** Outlined is what the model says, blue what is drawn from.
#
# ## 3 · How much chance is right?
#
# A text is drawn token by token, $p(x_1, \dots, x_n) = \prod_t p(x_t \mid x_{<t})$. Take the logarithm, and the mean over
# all texts that could be drawn. On the left this is the entropy of whole texts; on the right each term is, given the
# beginning, the entropy of one step:
#
# $$H(x_1, \dots, x_n) = \mathbb E\Big[-\sum_t \ln p(x_t\mid x_{<t})\Big] = \sum_t \mathbb E\big[H(p(\cdot\mid x_{<t}))\big]. \tag{2}$$
#
# So there are two ways to estimate the entropy of what a model writes. Average the *surprise* $-\ln p$ of the tokens that
# were drawn, or average the entropy of the distributions that they were drawn from. We let the model continue the first five
# tokens of each of the 80 held-out abstracts, at several temperatures, and try both.

# %%
N_NEW = 40
held_out = [[tokenizer.eos_id, *tokenizer.encode(text)] for text in abstracts[1200:]]
beginnings = [ids[:6] for ids in held_out]
N_GIVEN = len(beginnings[0])


def written_with(seed=0, **options):
    """The beginnings and the tokens that the model adds to each, (80, N_GIVEN + N_NEW)."""
    results = model.generate(beginnings, max_new_tokens=N_NEW, seed=seed, end_ids=(), **options)
    return torch.tensor([begun + result.ids for begun, result in zip(beginnings, results, strict=True)])


# %%
def log_p_of(ids, temperature=1.0):
    """Log-distributions (batch, N_NEW, vocab) before each added token, and the log-probability of that token."""
    log_p = (model(ids[:, :-1])[:, N_GIVEN - 1 :] / temperature).log_softmax(dim=-1)
    return log_p, log_p.gather(-1, ids[:, N_GIVEN:, None])[..., 0]


# %%
written = {T: written_with(temperature=T) for T in (0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)}
for temperature in (0.5, 1.0, 1.5):
    log_p, chosen = log_p_of(written[temperature], temperature)
    entropy = torch.special.entr(log_p.exp()).sum(dim=-1).mean()
    agree = bool(abs(entropy + chosen.mean()) < 0.15)
    print(f"T = {temperature}: the two estimates agree within 0.15 nats: {agree}")

# %% [markdown]
# How surprising *should* a text be? Show the model how the abstracts really go on, and ask for its mean surprise: that is
# its loss on them. Then ask for its surprise (at temperature 1) at what was written at each temperature.

# %%
real_ids = torch.tensor([ids[: N_GIVEN + N_NEW] for ids in held_out])
real = -log_p_of(real_ids)[1].mean().item()
surprise = {temperature: -log_p_of(ids)[1].mean().item() for temperature, ids in written.items()}
print("greedy texts are less surprising than real ones, by at least a fifth:", surprise[0] < 0.8 * real)
print("those at temperature 1 are more surprising, by at least a fifth:", surprise[1.0] > 1.2 * real)

figure, axis = plt.subplots(figsize=(6, 3))
axis.plot(surprise.keys(), surprise.values(), "o-", color=BLUE, label="written by the model")
axis.axhline(real, color=ORANGE, label="real abstracts")
axis.set(xlabel="temperature", ylabel="surprise (nats per token)", ylim=(0, None))
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** Real text (orange) is not the likeliest text: the greedy text at temperature 0 is clearly more predictable to
# the model than the abstracts are. Holtzman et al. found the same with GPT-2 and human writing. The curve
# crosses the line below temperature 1: our model has learned the abstracts only in part, and a token drawn from its tail
# leads it further astray. There is no temperature that is right for everything: for an answer that is either right or
# wrong, low is good; for a story, it is dull.
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
    for start in range(len(stream) - n):
        counts = following.setdefault(tuple(stream[start : start + n]), {})
        counts[stream[start + n]] = counts.get(stream[start + n], 0) + 1
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
# A Transformer sees everything back to the beginning of its context, and the argument grants it circles of astronomical
# length. In practice they come soon, because repetition feeds itself: attention finds the earlier copy and copies what
# followed there, the more confidently the more copies there are (Holtzman et al., figure 4; Xu et al. 2022,
# [arXiv:2206.02369](https://arxiv.org/abs/2206.02369)). How often does our model use four tokens that it has used before:
# within one text of 200 tokens that goes on from abstract to abstract, and among 20 short texts with different beginnings?


# %%
def repeated_share(texts, n=4):
    """The share of n-grams that occurred before in these texts, read one after the other, in per cent."""
    grams = [tuple(ids[i : i + n]) for ids in texts for i in range(len(ids) - n + 1)]
    return 100 * (1 - len(set(grams)) / len(grams))


def long_texts(**options):
    results = model.generate(beginnings[:12], max_new_tokens=200, seed=1, end_ids=(), **options)
    return [result.ids for result in results]


WAYS = {f"T = {T}": {"temperature": T} for T in (0, 0.25, 0.5, 1.0)}
WAYS |= {"T = 0,\npenalty 1.3": {"temperature": 0, "repetition_penalty": 1.3}}
long = {name: long_texts(**options) for name, options in WAYS.items()}
long["real"] = tokens[: 12 * 200].view(12, 200).tolist()

# %%
short = {}
for name, options in WAYS.items():
    plain = "repetition_penalty" not in options
    ids = written[options["temperature"]] if plain else written_with(**options)
    short[name] = ids[:, N_GIVEN:].tolist()
short["real"] = real_ids[:, N_GIVEN:].tolist()

# %%
within = {name: torch.tensor([repeated_share([text]) for text in texts]) for name, texts in long.items()}
among = {name: torch.tensor([repeated_share(texts[i::4]) for i in range(4)]) for name, texts in short.items()}
figure, axes = plt.subplots(1, 2, figsize=(10, 3))
for axis, shares, title in zip(axes, (within, among), ("within a text", "among 20 texts"), strict=True):
    means = [each.mean() for each in shares.values()]
    errors = [each.std() / len(each) ** 0.5 for each in shares.values()]
    axis.bar(shares.keys(), means, yerr=errors, capsize=3, color=[ORANGE, BLUE, BLUE, BLUE, GREEN, PALE])
    axis.set(title=title, xlabel="how the text was written", ylabel="repeated 4-grams (%)")
    more = min(shares["T = 0"].mean(), shares["T = 0.25"].mean()) > 2 * shares["T = 1.0"].mean()
    print(f"{title}, at T = 0 and at T = 0.25 at least twice as much as at T = 1: {bool(more)}")
plt.show()

# %% [markdown]
# **What to see.** The bars are means, with their standard errors: on the left over 12 texts, on the right over four
# groups of 20. Writing at low temperature, greedy (orange) or at 0.25, repeats clearly more than drawing at temperature
# 1, in both panels; which of the two low ones repeats more depends on the panel, and on the machine. Real abstracts
# (grey) repeat, too: they come from a grammar with a small stock of phrases. Green is greedy with a *repetition
# penalty* (Keskar et al. 2019, [arXiv:1909.05858](https://arxiv.org/abs/1909.05858)), which makes every token that has
# occurred less likely. Within a text hardly anything is repeated any more, not even what should be, such as "the share
# of" and the full stop; but as each text knows only itself, the texts still resemble one another. Read such texts
# before you use it, and keep it close to 1.
#
# ### Exercise 4 · The repetition penalty (1 point)
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
seen = torch.zeros_like(logits, dtype=torch.bool)
seen[0, logits[0].argmax()] = True
after = {shift: check.penalised.function(logits + shift, seen, 1.3).softmax(dim=-1) for shift in (0, 30)}
same_before = torch.allclose((logits + 30).softmax(dim=-1), probabilities, atol=1e-4)
print("with 30 added to all logits, the same distribution before the penalty:", same_before)
print("and after it:", torch.allclose(after[0], after[30], atol=1e-2))

# %% [markdown]
# ## 4 · The KV cache
#
# The plainest way to write: give the model the text, choose a token, append it, give the model the whole text again. Each
# pass computes everything anew. The weight matrices, of $W$ entries in all, cost two operations per entry and token, and
# token $t$ of a layer's attention is compared with $t$ keys and adds up $t$ values, $4\,t\,d$ operations for heads of
# total width $d$. So token $t$ costs $f(t) = 2W + 4Ldt$ with $L$ layers. A pass over $t$ tokens costs about $t f(t)$, if
# attention is computed as a full square, and writing $n$ tokens
#
# $$\underbrace{\sum_{t=1}^n t\,f(t)}_{\text{everything anew}} \approx W n^2 + \tfrac43 L d\, n^3
# \qquad\text{instead of}\qquad \underbrace{\sum_{t=1}^n f(t)}_{\text{each token once}} \approx 2Wn + 2Ld\,n^2 . \tag{3}$$
#
# Each token once: is that enough? In a causal model nothing that is computed for token $t$ depends on later tokens. When
# token $t+1$ comes, the only thing that it needs of the earlier ones are, in each layer, their keys and values: to be
# compared with, and to be added up. Their queries have done their work. So keep the **keys and values**, and nothing else:
# that is the **KV cache**. Keys are kept as RoPE has turned them: each by its own position, which never changes.
#
# ### Exercise 5 · Attention with a past (3 points)
#
# `query`, `key` and `value` are of the new tokens, `(batch, heads, n_new, head_dim)`, not yet turned. `past` is `None` for
# the first call, then what you returned as the second thing: a pair `(keys, values)` of all tokens before. New tokens may be
# several, as in a prompt, also when there is a past.
#
# Two tools: `rotate(x, *rotary(positions))` turns `x` by positions of shape `(1, n_new)`; `attend(query, keys, values, mask)`
# is the attention of notebook 09, softmax and all, with a mask `(n_new, n_keys)` that is true where a new token may see a key.


# %%
def cached_attention(query, key, value, past, rotary):
    """The output for the new tokens, and the pair (keys, values) of all tokens so far."""
    ### BEGIN SOLUTION
    n_past, n_new = 0 if past is None else past[0].shape[2], query.shape[2]
    positions = torch.arange(n_past, n_past + n_new)
    rotation = rotary(positions[None])
    query, key = rotate(query, *rotation), rotate(key, *rotation)
    if past is not None:
        key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
    mask = torch.arange(n_past + n_new) <= positions[:, None]
    return attend(query, key, value, mask), (key, value)
    ### END SOLUTION


# %%
check.cached_attention(cached_attention)

# %% [markdown]
# A whole model has such a pair for each layer. This is one pass of the decoder of notebook 11, with your attention in it: it
# takes the new tokens and the past of all layers, and returns the scores of the next token and the longer past.


# %%
def step(tokens, past):
    """Scores (1, vocab) of the token after the new ones, and the past to give to the next call; at first it is None."""
    x, longer = model.embed_tokens(torch.tensor([tokens])), []
    for block, pair in zip(model.layers, past or [None] * config.n_layers, strict=True):
        own, h = block.self_attn, block.input_layernorm(x)
        query, key, value = (
            project(h).unflatten(-1, (-1, config.head_dim)).transpose(1, 2)
            for project in (own.q_proj, own.k_proj, own.v_proj)
        )
        heads, pair = check.cached_attention.function(query, key, value, pair, model.rotary)
        x = x + own.o_proj(heads.transpose(1, 2).flatten(2))
        x = x + block.mlp(block.post_attention_layernorm(x))
        longer.append(pair)
    return model.norm(x)[:, -1] @ model.embed_tokens.weight.T, longer


# %% [markdown]
# The library's `KVCache` allocates its memory once and writes into it, since `torch.cat` copies the whole past at every
# step. All three ways must give the same logits. The prompt goes in at once, then one token after the other:

# %%
text = tokenizer.encode("We propose a hierarchical policy network that learns by")
new, past, cache, equal = text, None, model.new_cache(1, 64), []
for _ in range(30):
    anew = model(torch.tensor([text]))[:, -1]
    ours, past = step(new, past)
    theirs = model(torch.tensor([new]), cache=cache)[:, -1]
    equal += [torch.allclose(anew, each, atol=1e-4) for each in (ours, theirs)]
    new = [anew.argmax().item()]
    text = text + new
print("30 steps, the same logits:", all(equal))
print("tokens in both caches:", past[0][0].shape[2], cache.length, "of", cache.max_len)
print("keys of layer 0 the same:", torch.allclose(past[0][0], cache.keys[0, :, :, : cache.length], atol=1e-5))

# %% [markdown]
# And what is it worth? On the left equation (3), exactly, for the shape of the `26m` model; on the right the time of the
# *next* token on this machine, for the smaller preset `tiny`, after texts of several lengths. (`milliseconds` gives
# the time of the processor, so that other programs on the machine do not count. With one thread, as here, it is otherwise the time that
# passes, waiting for memory included.)


# %%
def with_a_past(model, n_past):
    """A pass for one token after a text that is in the cache."""
    cache = model.new_cache(1, n_past + 64)
    model(torch.zeros(1, n_past, dtype=torch.long), cache=cache)
    return partial(model, torch.zeros(1, 1, dtype=torch.long), cache=cache)


# %%
big = ModelConfig.from_preset("26m")
lengths = torch.arange(1, 1025)
per_token = torch.tensor([big.flops_per_token(t, training=False) for t in lengths.tolist()]).double()
operations = {"without a cache": (lengths * per_token).cumsum(dim=0), "with a cache": per_token.cumsum(dim=0)}
print(*(f"1,024 tokens {name}: {total[-1] / 1e9:,.0f} GFLOP" for name, total in operations.items()), sep="\n")

tiny = MiniLLM.from_preset("tiny").eval().requires_grad_(False)
contexts = (16, 64, 128, 256, 448)
texts = [torch.zeros(1, n + 1, dtype=torch.long) for n in contexts]
times = {
    "without a cache": [milliseconds(partial(tiny, text)) for text in texts],
    "with a cache": [milliseconds(with_a_past(tiny, n)) for n in contexts],
}
slow, quick = (each[-1] for each in times.values())
print("after 448 tokens, the next one comes at least three times as quickly:", slow > 3 * quick)

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for (name, values), colour in zip(times.items(), (ORANGE, BLUE), strict=True):
    axes[0].plot(lengths, operations[name] / 1e9, color=colour, label=name)
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
# ## 5 · `generate()`
#
# Now everything comes together. A pass of the model says what could come next, the rules choose, the token is appended, and
# the next pass reads it. The first pass, over the whole prompt, is called **prefill**; the others, one per token, are called
# **decoding**.
#
# All chance and all rules are in `choose`, made of your functions: it is given the scores and the text so far.


# %%
def chooser(temperature=1.0, top_p=1.0, penalty=1.0, seed=0):
    """A function that chooses the next token, given its scores (1, vocab) and the ids of prompt and text so far."""
    generator = torch.Generator().manual_seed(seed)

    def choose(logits, text):
        seen = torch.zeros_like(logits, dtype=torch.bool)
        seen[:, text] = True
        logits = check.penalised.function(logits, seen, penalty)
        if temperature == 0:
            return logits.argmax().item()
        kept = check.nucleus.function(check.tempered.function(logits, temperature), top_p)
        return check.drawn.function(kept, torch.rand(1, generator=generator, dtype=torch.float64)).item()

    return choose


# %% [markdown]
# ### Exercise 6 · The loop (4 points)
#
# Write `generate`. `step(ids, past)` is a pass as above: ids that were not read before and the past (at first `None`) in,
# scores and the longer past out. `choose(logits, text)` returns a token, and is given *all* of the text so far as a list of
# ids, the prompt included. The text ends with the token `end_id`, which is no part of it, or when it has `max_new_tokens`.
# Return the ids of the new tokens and the reason, `"stop"` or `"length"`. No pass may be in vain: a text of $n$ tokens that
# ended by its length took $n$ passes, the prefill included.


# %%
def generate(step, choose, prompt, max_new_tokens, end_id):
    """The ids of the new tokens, a list, and why the text ended: "stop" or "length"."""
    ### BEGIN SOLUTION
    unread, past, new = prompt, None, []
    for _ in range(max_new_tokens):
        logits, past = step(unread, past)
        token = choose(logits, prompt + new)
        if token == end_id:
            return new, "stop"
        new.append(token)
        unread = [token]
    return new, "length"
    ### END SOLUTION


# %%
check.generate(generate)

# %% [markdown]
# The proof: your loop, with your rules, your attention and your cache, must write what the library writes. Where chance is
# at work, the seed makes it the same chance.

# %%
asked = tokenizer.apply_chat_template(
    [{"role": "user", "content": questions[0].phrasings[0]}], add_generation_prompt=True
)
for prompt, options in (
    (asked, {"temperature": 0.0}),
    (beginnings[0], {"temperature": 1.0}),
    (beginnings[1], {"temperature": 0.9, "top_p": 0.8, "penalty": 1.2, "seed": 3}),
):
    ids, reason = check.generate.function(step, chooser(**options), prompt, 60, tokenizer.end_of_turn_id)
    names = {"penalty": "repetition_penalty"}
    by_library = {"seed": 0} | {names.get(name, name): value for name, value in options.items()}
    (theirs,) = model.generate([prompt], max_new_tokens=60, end_ids=[tokenizer.end_of_turn_id], **by_library)
    print(f"{reason:7} the same text: {(ids, reason) == (theirs.ids, theirs.finish_reason)}")

# %% [markdown]
# **Ends.** In practice, writing ends for one of four reasons: an end token, the number of tokens asked for, a full context,
# or a *stop string*, which may be spread over several tokens, so that it is looked for in the text, not among the tokens.

# %%
for options in ({}, {"stop": "."}, {"max_new_tokens": 3}, {"max_new_tokens": None, "end_ids": ()}):
    (result,) = model.generate([asked], temperature=0, **options)
    print(f"{options!s:42} {result.finish_reason}")

# %% [markdown]
# ## 6 · Several prompts at once
#
# In a batch, prompts have different lengths, but the next token of every text must be read from one column, the last. So
# short prompts are padded on the *left*. The model must then be told two things: which slots are padding, so that no token
# attends to them, and at which position each token of each text stands.
#
# ### Exercise 7 · Left padding (2 points)
#
# Return for a list of prompts, each a list of ids: the padded ids, a mask that is true for tokens and false for padding, and
# the positions, which each prompt counts from 0 at its own first token (0 for padding). Prompts may contain the id of the
# padding.


# %%
def left_padded(prompts, pad_id):
    """Ids, mask and positions, each (batch, longest prompt)."""
    ### BEGIN SOLUTION
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (longest - len(prompt)) + prompt for prompt in prompts])
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    is_token = torch.arange(longest) >= longest - lengths[:, None]
    return ids, is_token, (is_token.cumsum(dim=-1) - 1).clamp(min=0)
    ### END SOLUTION


# %%
check.left_padded(left_padded)

# %% [markdown]
# A text must get in the batch what it would get alone. Without the mask it attends to the padding. Wrong positions are a finer
# point: counting the slots instead shifts all positions of a text by the same number. RoPE depends only on differences of
# positions, so that nothing changes; in a model with learned positions it does.

# %%
prompts = [tokenizer.encode(text) for text in ("We propose a", "The lesson is that a sharp image", "On a")]
ids, is_token, positions = check.left_padded.function(prompts, tokenizer.pad_id)
slots = torch.arange(ids.shape[1]).expand_as(ids)
torch.manual_seed(0)
learned = MiniLLM(config.replace(positions="learned", initializer_range=0.2)).eval()
told = {"mask and positions": (is_token, positions), "no mask": (None, positions)}
told["slots as positions"] = (is_token, slots)
for name, each in (("RoPE", model), ("learned positions", learned)):
    alone = torch.cat([each(torch.tensor([prompt]))[:, -1] for prompt in prompts])
    for way, (mask, at) in told.items():
        together = each(ids, attention_mask=mask, positions=at)[:, -1]
        print(f"{name:17} {way:19} as alone: {torch.allclose(together, alone, atol=1e-4)}")

# %% [markdown]
# **Seeds.** The only chance is in the uniform numbers of the draws. The library gives each text $i$ of a batch a generator
# of its own, seeded with `seed + i`, so that a text does not depend on its neighbours.

# %%
batch = model.generate([prompts[0]] * 3, temperature=1.0, max_new_tokens=10, seed=7)
(single,) = model.generate([prompts[0]], temperature=1.0, max_new_tokens=10, seed=9)
print("the third text, seeded with 7 + 2, is what seed 9 gives alone:", batch[2].ids == single.ids)

# %% [markdown]
# ## 7 · Streaming: a chat in a widget
#
# A reader reads while the model writes, so a good chat shows each piece at once: **streaming**. Pieces are not quite tokens.
# A character that the vocabulary does not have is written as several byte tokens (notebook 04), and half a character cannot
# be shown. The library's `decode_stream` holds bytes back until the character is complete:

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
print("it came in more than ten pieces:", len(arrivals) > 10)

figure, axis = plt.subplots(figsize=(7, 2.8))
axis.step(*zip(*arrivals, strict=True), where="post", color=BLUE)
axis.axvspan(0, arrivals[0][0], color=PALE, linewidth=0, label="until the first piece")
axis.set(xlabel="time since the question was sent (ms)", ylabel="characters shown")
axis.set(xlim=(0, None), ylim=(0, None))
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# **What to see.** Before the first piece lies the prefill of the question; then the pieces come one by one, one pass of
# decoding each. *Time to first token* and *time per token* are the two numbers by which a chat service is judged. What each
# is made of is the subject of notebook 16.
#
# The chat below is the library's `ChatWidget`: a line to type in, and a loop over these pieces that sets the value of one
# widget. The loop runs in a thread of its own, so that *Stop* can be pressed while it writes. (After each piece it waits
# for a thirtieth of a second, or you would see nothing: our model is too quick.) The model knows 13 answers, so ask about
# them, in your own words; at a high temperature you can watch it get lost.

# %%
talk = ChatWidget(model, text=questions[0].phrasings[0], pace=1 / 30, fresh=True, temperature=0.3, seed=0)
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
# ## Summary
#
# - A model gives a distribution; temperature reshapes it, top-k, top-p and min-p cut its tail, and one uniform number draws.
# - Real text is more surprising than the likeliest text. Greedy writing is a map on a finite set, and runs in circles.
# - In a causal model keys and values never change: keep them, and each token is computed once, with the same result.
# - `generate()` is a loop: read what is new, choose, append, until the text ends. The first pass is the prefill.
# - In a batch, short prompts are padded on the left; a mask hides the padding, and each text counts its own positions.
#
# **In the library:** `minillm_lib/generation/sampling.py`, `minillm_lib/generation/decoding.py`,
# `minillm_lib/generation/streaming.py`, `minillm_lib/generation/chat_session.py` and `minillm_lib/model/kv_cache.py`. In a
# terminal: `minillm chat`.
#
# **Next:** [16 · Faster](16_faster.ipynb): why reading the weights from memory sets the limit of a decoding pass, and three
# ways to make it faster.
#
# **To read on.** Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration",
# [arXiv:1904.09751](https://arxiv.org/abs/1904.09751), on what goes wrong without chance and with too much of it; Kwon et
# al. 2023, "PagedAttention", [arXiv:2309.06180](https://arxiv.org/abs/2309.06180), for the caches of many conversations in
# one memory.
