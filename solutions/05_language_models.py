# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 05 · Language models, measured
#
# **What you build.** Five models that predict the next word, from counting words to Kneser–Ney smoothing, with LDA as one
# of them. All see the same text in the same tokens, so that their losses can be compared, and below them all is drawn a
# floor that no model can pass, because the source of the text is known exactly.
#
# **What you need.** Logarithms and conditional probabilities; LDA as in notebooks 02 and 03.
#
# **How long.** About 50 minutes to work through. All cells together run in under 20 seconds on two CPU cores.
#
# > **中文提要** 语言模型就是给下一个词分配概率。本节先讲清三种度量：损失（nats）、困惑度、每字节比特数（与分词无关），再推导交叉熵
# > 等于熵加 KL 散度，因此任何模型都不可能低于熵。语料由一部概率文法生成，其熵可以精确算出，于是“地板”画得出来。在同一语料、同一分词上
# > 依次比较：一元模型、把 LDA 当语言模型（由前文推断主题，再预测下一词）、二元模型、Kneser–Ney 平滑的 n 元模型。结论：主题知道
# > “在说什么”，n 元知道“怎么说”，两者的知识可以相加。

# %%
import itertools
import re
from collections import Counter
from math import log

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from minillm_lib import GibbsLDA, Grammar, check, load_grammar
from minillm_lib.model import NGramModel
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, use_style

use_style()

# %% [markdown]
# ## 1 · How good is a guess?
#
# A **language model** gives each possible next token a probability, given those before it. By the product rule that is
# all it takes to give a probability to a whole text:
#
# $$p(w_1, \dots, w_n) = p(w_1)\, p(w_2 \mid w_1)\, p(w_3 \mid w_1, w_2) \cdots = \prod_{t=1}^n p(w_t \mid w_{<t}) .
# \tag{1}$$
#
# A good model gives a high probability to text that it has not seen. The product is a tiny number, so take logarithms,
# and divide by the length so that texts of different lengths compare:
#
# $$\text{loss} = -\frac1n \sum_{t=1}^n \ln p(w_t \mid w_{<t}) , \qquad \text{perplexity} = e^{\text{loss}} . \tag{2}$$
#
# The loss is measured in *nats per token* (natural logarithm; with $\log_2$ it would be bits). The perplexity reads as a
# number of choices: a model that hesitates evenly among 20 tokens gives each $p = 1/20$, its loss is $\ln 20$, and its
# perplexity 20.
#
# ### Exercise 1 · Perplexity (1 point)
#
# `probabilities` holds what a model gave to each token of a text, when that token came.


# %%
def perplexity(probabilities):
    """The perplexity of a text, by equation (2): a number."""
    ### BEGIN SOLUTION
    return np.exp(-np.mean(np.log(probabilities)))
    ### END SOLUTION


# %%
check.perplexity(perplexity)

# %% [markdown]
# One bad guess counts: the logarithm falls without end as $p$ goes to 0. Three texts of four tokens:

# %%
for probabilities in ([0.25, 0.25, 0.25, 0.25], [0.97, 0.01, 0.01, 0.01], [0.97, 0.97, 0.97, 1e-9]):
    loss = -sum(map(log, probabilities)) / 4
    print(f"{probabilities!s:28} loss {loss:.2f} nats, perplexity {2.718281828**loss:6.1f}")

# %% [markdown]
# A token of which the model was sure that it would not come spoils a text that was nearly perfect otherwise. A
# probability of 0 would make the loss infinite. Keep this in mind for section 5.
#
# **Bits per byte.** Loss and perplexity are per *token*, and what a token is, is a choice. A model with longer tokens has
# fewer and harder predictions to make, so its perplexity is higher even if it predicts the text equally well. What does
# not depend on the choice is the total: all bits for the whole text, divided by the text's bytes in UTF-8,
#
# $$\text{bits per byte} = \frac{-\sum_t \log_2 p(w_t \mid w_{<t})}{\text{bytes of the text}} . \tag{3}$$
#
# This is also a compression rate: a model with 1 bit per byte can, with arithmetic coding, store the text in an eighth of
# its size.
#
# ### Exercise 2 · Bits per byte (2 points)
#
# `losses` holds $-\ln p$ of each token, in nats; `text` is the text that these tokens make, a `str` in any language.


# %%
def bits_per_byte(losses, text):
    """Equation (3): a number."""
    ### BEGIN SOLUTION
    return losses.sum() / log(2) / len(text.encode())
    ### END SOLUTION


# %%
check.bits_per_byte(bits_per_byte)

# %% [markdown]
# ## 2 · The floor
#
# Could a loss reach zero? Only if the text could be foreseen. Let the text really come from a distribution $p$, and let
# $q$ be the model. The expected loss of $q$ is the *cross-entropy*. Insert $\ln p - \ln p$:
#
# $$\mathbb{E}_p[-\ln q] = \underbrace{\mathbb{E}_p[-\ln p]}_{\text{entropy } H(p)} +
# \underbrace{\mathbb{E}_p\Big[\ln \frac{p}{q}\Big]}_{\text{divergence } \ge 0} . \tag{4}$$
#
# The second part (*Kullback–Leibler divergence*) is never negative: since $\ln x \le x - 1$,
# $\;\mathbb{E}_p[\ln \frac{q}{p}] \le \mathbb{E}_p[\frac{q}{p} - 1] = \sum q - 1 \le 0$. So the entropy of the source is
# the floor for every model, and what a model loses above it is exactly its own fault.
#
# Of English nobody knows the entropy. So we take a source of which it is known: a *grammar*, which writes a text by
# replacing symbols by one of their alternatives, drawn by weight. Here is one that writes `tails` with probability 3/4
# and goes on, or else ends.

# %%
coin = Grammar({"game": "[1] heads wins | [3] tails <game>"})
print([document.text for document in coin.generate(4, seed=1)])

# %% [markdown]
# Its entropy $H$: one draw has the entropy $h = -\frac14\ln\frac14 - \frac34\ln\frac34$, and in three of four cases
# another game follows, with the entropy $H$ again. So $H = h + \frac34 H$, and $H = 4h$. For a grammar with many symbols
# there is one such equation for each, and the library solves them together. (The draws can be read off the text, so the
# text has the entropy of the draws.)

# %%
h = -(log(1 / 4) / 4 + 3 * log(3 / 4) / 4)
print("equal to the library's:", np.isclose(4 * h, coin.entropy_per_document()))

# %% [markdown]
# The course's grammar writes abstracts of machine-learning papers that do not exist, on ten topics.

# %%
grammar = load_grammar("en")
train, test = list(grammar.generate(2000, seed=0)), list(grammar.generate(100, seed=1))
print(test[1].text)
print(
    f"\nentropy of a document {grammar.entropy_per_document():.2f} nats = {grammar.bits_per_byte():.4f} bits per byte"
)

# %% [markdown]
# ### One tokenization for all
#
# Words, numbers and punctuation marks are tokens; each document ends with an end token, number 0. Every model below has to
# predict all tokens, the end included. Do the tokens lose something of the text? Only the spaces, and these can be put
# back: different texts have different tokens.

# %%
vocabulary = [
    "<end>",
    *sorted({word for document in train for word in re.findall(r"\w+|[^\w\s]", document.text)}),
]
number = {word: i for i, word in enumerate(vocabulary)}
V = len(vocabulary)


def tokens_of(document):
    return [number[word] for word in re.findall(r"\w+|[^\w\s]", document.text)] + [0]


train_tokens, test_tokens = [tokens_of(d) for d in train], [tokens_of(d) for d in test]
stream, test_stream = np.concatenate(train_tokens), np.concatenate(test_tokens)
n_bytes = sum(len(document.text.encode()) for document in test)
different = len({d.text for d in train}) == len({tuple(tokens) for tokens in train_tokens})
print(
    f"{V} different tokens; {len(stream):,} to learn from, {len(test_stream):,} to predict. Nothing lost: {different}"
)

# %% [markdown]
# The floor, in nats per token, is the entropy of a document divided by its expected number of tokens. On our 100 test
# documents the true probabilities give nearly that, up to chance:

# %%
floor = grammar.nats_per_word()
of_truth = -sum(document.meta["log_probability"] for document in test) / len(test_stream)
print(
    f"floor {floor:.2f}, the grammar itself on the test documents {of_truth:.2f}, uniform guesses {log(V):.2f}"
)

# %% [markdown]
# ## 3 · Unigrams: how often does each token occur?
#
# The simplest model ignores all that came before: $p(w) = \text{count}(w)/n$. From here on we collect for each model
# $\ln p$ of every test token, in order.

# %%
frequency = np.bincount(stream, minlength=V) / len(stream)
log_p = {"unigram": np.log(frequency[test_stream])}
library = NGramModel(1, V).fit(stream)
print(f"loss {-log_p['unigram'].mean():.2f}, the library's {library.loss(test_stream):.2f}")

# %% [markdown]
# ## 4 · LDA as a language model
#
# LDA says what a document is about, and that helps to predict it: after *posterior* and *prior*, *likelihood* has become
# more likely. Its prediction for the next token is a mixture of the topics, in the shares that the words *so far* suggest:
#
# $$p(w_t \mid w_{<t}) = \sum_k \theta_k(w_{<t})\, \varphi_{k w_t} . \tag{5}$$
#
# We fit 20 topics to the training documents, over all tokens, as all have to be predicted.

# %%
counts = np.array([np.bincount(tokens, minlength=V) for tokens in train_tokens])
lda = GibbsLDA(20, n_sweeps=100, alpha=0.1, beta=0.01, n_chains=1, random_state=0).fit(counts)
print("topics:", lda.topic_word_.shape)

# %% [markdown]
# **The shares, word by word.** At the start there is only the prior: $\theta_k \propto \alpha_k$. After some words, ask of
# each of them: how probable is it that it came from topic $k$? By Bayes' rule $r_{ik} \propto \theta_k\varphi_{k w_i}$.
# Add these up as if they were counts, $\theta_k \propto \alpha_k + \sum_i r_{ik}$, and repeat a few times, because $r$
# depends on $\theta$ and $\theta$ on $r$. That is *folding in*, here by expectations instead of samples. It is an
# approximation, but the comparison stays fair: whatever $\theta$ is, (5) is a distribution, and it has not seen $w_t$.


# %%
def shares_so_far(tokens, topic_word, alpha, n_rounds=3):
    """The topic shares before each token of a document, (n_tokens, n_topics)."""
    likelihood = topic_word[:, tokens]  # (n_topics, n_tokens)
    theta = alpha / alpha.sum()
    shares = [theta]
    for t in range(1, len(tokens)):
        for _ in range(n_rounds):  # from where the token before it left off
            by_topic = theta[:, None] * likelihood[:, :t]
            expected = alpha + (by_topic / by_topic.sum(axis=0)).sum(axis=1)
            theta = expected / expected.sum()
        shares.append(theta)
    return np.array(shares)


# %%
shares = [shares_so_far(tokens, lda.topic_word_, lda.alpha_) for tokens in test_tokens]
log_p["LDA"] = np.concatenate(
    [
        np.log((theta * lda.topic_word_[:, tokens].T).sum(axis=1))
        for theta, tokens in zip(shares, test_tokens, strict=True)
    ]
)
test_counts = np.array([np.bincount(tokens, minlength=V) for tokens in test_tokens])
library_loss = log(lda.perplexity(test_counts, method="left_to_right", n_particles=10))
print(f"loss {-log_p['LDA'].mean():.1f}, the library's left-to-right estimate {library_loss:.1f}")

# %% [markdown]
# The library's estimator (Wallach et al. 2009) goes through a document in the same way, but averages over samples of the
# topics of all earlier words. It takes counts, not texts: by section 7 of notebook 03, LDA gives every order of a
# document the same probability, so the order in which the words are predicted does not matter.
#
# Below are the shares as one test document is read.

# %%
document = 1
top = np.argsort(-shares[document][-1], kind="stable")[:4]
figure, axis = plt.subplots(figsize=(8, 3.2))
for k, colour in zip(top, (BLUE, ORANGE, GREEN, PURPLE), strict=True):
    lift = lda.topic_word_[k] / (frequency + 1e-3)
    label = ", ".join(vocabulary[w] for w in np.argsort(-lift, kind="stable")[:4])
    axis.plot(shares[document][:, k], color=colour, label=label)
axis.plot(np.delete(shares[document], top, axis=1), color=PALE, linewidth=0.8, zorder=1)
axis.set(xlabel="tokens read", ylabel="share of the topic", ylim=(0, 1))
axis.legend(title="characteristic tokens", fontsize=9)
plt.show()

# %% [markdown]
# **What to see.** All topics start alike (pale are the other 16). After some twenty tokens the model has made up its mind
# on the subject. But not all of its topics are subjects: tokens that occur together in the set phrases of the grammar
# make topics as well. LDA does not know the difference; for its counts, a phrase is a topic.

# %% [markdown]
# ## 5 · Bigrams: the token before
#
# Now the order. A bigram model looks at one token, the last: $p(w \mid v) = \text{count}(v\,w) / \text{count}(v)$. The
# counts make a table with a row for each token $v$.

# %%
pairs = np.zeros((V, V), dtype=int)
np.add.at(pairs, (stream[:-1], stream[1:]), 1)
before = np.concatenate([[0], test_stream[:-1]])  # the first document, too, begins after an end
print(f"{np.count_nonzero(pairs):,} different pairs in training")
for n_documents in (20, 200, 2000):
    part = np.concatenate(train_tokens[:n_documents])
    seen = np.zeros((V, V), dtype=bool)
    seen[part[:-1], part[1:]] = True
    missing = 1 - seen[before, test_stream].mean()
    print(f"of {n_documents:5,} documents: {missing:5.1%} of the test pairs were never seen")

# %% [markdown]
# The grammar has few pairs, and 2,000 documents show them all. In less text some are missing, in English always. Each of
# them would have the probability 0, and make the loss infinite. Something has to be kept back for pairs that were never
# seen. **Absolute discounting** takes a fixed $D$ off each count, and gives what was freed to a simpler
# model $p_\text{lower}$ that looks at less:
#
# $$p(w \mid v) = \frac{\max(c_{vw} - D,\, 0)}{c_v} + \frac{D\, N_v}{c_v}\; p_\text{lower}(w) . \tag{6}$$
#
# $c_v = \sum_w c_{vw}$, and $N_v$ is the number of *different* tokens that followed $v$: so often was $D$ taken away. A
# frequent pair hardly notices; a pair that occurred once loses most. And a token $v$ that was followed by many
# different ones leaves more to the lower order than one whose follower is always the same.
#
# ### Exercise 3 · A discounted bigram model (3 points)
#
# `counts` is the table of pairs, `(V, V)`, with a row for the token before; `lower` is a distribution, `(V,)`. Give the
# matrix of $p(w \mid v)$. It is a distribution in each row; where a token was never followed by any, it is `lower`.


# %%
def discounted_bigram(counts, lower, discount):
    """Equation (6) for all pairs: (V, V), a row for each token v before."""
    ### BEGIN SOLUTION
    totals = counts.sum(axis=1, keepdims=True)
    followers = (counts > 0).sum(axis=1, keepdims=True)
    kept = np.maximum(counts - discount, 0) + discount * followers * lower
    return np.where(totals > 0, kept / np.maximum(totals, 1), lower)
    ### END SOLUTION


# %%
check.discounted_bigram(discounted_bigram)

# %% [markdown]
# **Which lower order?** The unigram frequencies, one would think. Kneser and Ney (1995) saw something better. Take a
# token that is frequent, but always after the same one, such as `go` in "the game of go". Its frequency is high; and yet
# after *another* token we should hardly expect it. The lower order is only asked when the pair is new, so it should tell
# **after how many different tokens** $w$ occurs, not how often:
#
# $$p_\text{lower}(w) \;\propto\; N^{\text{before}}_w = \text{number of different } v \text{ with } c_{vw} > 0 . \tag{7}$$
#
# These counts are discounted in turn, in favour of the uniform distribution. In our corpus:

# %%
different_before = (pairs > 0).sum(axis=0)
for word in ("go", "the", "robot", "rises"):
    print(
        f"{word:6} occurs {np.bincount(stream, minlength=V)[number[word]]:6,} times after {different_before[number[word]]:3} different tokens"
    )

# %% [markdown]
# The library's `NGramModel` does (6) and (7) for any order. Here it is once more for bigrams, by dictionaries and pair by
# pair, with $D = 0.75$:

# %%
D = 0.75
pair_count = Counter(zip(stream[:-1].tolist(), stream[1:].tolist(), strict=True))
total = Counter(stream[:-1].tolist())
followers, preceding = Counter(v for v, _ in pair_count), Counter(w for _, w in pair_count)


def lower_order(w):
    return (max(preceding[w] - D, 0) + D * len(preceding) / V) / len(pair_count)


def kneser_ney(v, w):
    return (max(pair_count[v, w] - D, 0) + D * followers[v] * lower_order(w)) / total[v]


bigram = NGramModel(2, V).fit(stream)
by_hand = [[kneser_ney(v, w) for w in range(V)] for v in (0, number["the"], number["go"])]
print(
    "equal to the library's:",
    np.allclose(by_hand, [bigram.probabilities([v]) for v in (0, number["the"], number["go"])]),
)
log_p["bigram"] = np.log(
    [kneser_ney(v, w) for v, w in zip(before.tolist(), test_stream.tolist(), strict=True)]
)
print(f"loss {-log_p['bigram'].mean():.2f}, perplexity {np.exp(-log_p['bigram'].mean()):.1f}")

# %% [markdown]
# ## 6 · More context, more data
#
# Nothing stops us from looking at two tokens, or five. The discounted counts of the longest context are filled up with
# the next shorter one, and so on down. To predict the same test tokens with every order, end tokens are put in front.


# %%
def padded(tokens, order):
    return np.concatenate([np.zeros(order - 1, dtype=int), tokens])


rows = []
for n_documents in (20, 60, 200, 600, 2000):
    part = np.concatenate(train_tokens[:n_documents])
    for order in range(1, 7):
        model = NGramModel(order, V).fit(padded(part, order))
        rows.append((n_documents, order, model.loss(padded(test_stream, order))))
losses = pd.DataFrame(rows, columns=["documents", "order", "loss"]).pivot(
    index="documents", columns="order", values="loss"
)
print(losses.round(1).to_string())

# %%
figure, axis = plt.subplots(figsize=(7, 3.6))
for order, colour in zip(losses, (INK, BLUE, ORANGE, GREEN, PURPLE, PALE), strict=True):
    axis.plot(losses.index, losses[order], marker="o", markersize=4, color=colour, label=f"n = {order}")
axis.axhline(floor, color=INK, linewidth=1, linestyle=":")
axis.text(20, floor * 0.97, "entropy of the grammar", va="top")
axis.set(
    xscale="log",
    yscale="log",
    xlabel="documents to learn from",
    ylabel="loss (nats per token)",
    ylim=(0.28, 8),
)
axis.set_yticks([0.5, 1, 2, 5], ["0.5", "1", "2", "5"])
axis.minorticks_off()
axis.legend(ncols=2, fontsize=9, loc="center right", bbox_to_anchor=(1, 0.7))
plt.show()

# %% [markdown]
# **What to see.** The unigrams have learned all they can from 20 documents. Longer contexts gain with every document and
# are not done at 2,000; with few documents a context of five tokens is worth no more than one of two or three, for
# most of them have never been seen. And none reaches the floor. How far would data take us? The curves of the high orders
# flatten out above it: within five tokens there is not enough to know.

# %% [markdown]
# ## 7 · What each model knows
#
# LDA was poor (its loss lies near that of the unigrams), and a bigram model is far better. But perhaps they know
# *different things*. Gildea and Hofmann (1999, "Topic-based language models using EM") combine them: multiply the
# probability of each token by the factor by which the topics have made it likelier, and normalise.
#
# $$p(w \mid v, \theta) \;\propto\; p_\text{n-gram}(w \mid v)\; \frac{p_\text{LDA}(w)}{p_\text{unigram}(w)} . \tag{8}$$


# %%
def with_topics(model):
    """ln p of every test token by equation (8), where model gives the n-gram probabilities."""
    collected = []
    for tokens, theta in zip(test_tokens, shares, strict=True):
        history = padded(tokens, model.order + 1)  # a document begins after end tokens
        for t, token in enumerate(tokens):
            by_order = model.probabilities(history[: t + model.order])
            combined = by_order * (theta[t] @ lda.topic_word_) / frequency
            collected.append(log(combined[token] / combined.sum()))
    return np.array(collected)


four = NGramModel(4, V).fit(padded(stream, 4))
log_p["bigram + LDA"] = with_topics(bigram)
probabilities = [four.probabilities(padded(test_stream, 4)[t : t + 3])[w] for t, w in enumerate(test_stream)]
log_p["4-gram"] = np.log(probabilities)
log_p["4-gram + LDA"] = with_topics(four)

# %%
table = pd.DataFrame({"loss": {name: -values.mean() for name, values in log_p.items()}})
table["perplexity"] = np.exp(table["loss"])
table["bits per byte"] = [-values.sum() / log(2) / n_bytes for values in log_p.values()]
table.loc["the grammar"] = [of_truth, np.exp(of_truth), of_truth * len(test_stream) / log(2) / n_bytes]
print(table.round({"loss": 1, "perplexity": 0, "bits per byte": 1}).to_string())

# %%
figure, axis = plt.subplots(figsize=(7, 3))
colours = [BLUE if "LDA" in name else PALE for name in table.index[:-1]]
bars = axis.barh(table.index[:-1], table["loss"][:-1], color=colours)
axis.bar_label(bars, [f"{loss:.2f}" for loss in table["loss"][:-1]], padding=4)
axis.axvline(floor, color=ORANGE, linewidth=1.5, label="entropy of the grammar")
axis.legend(loc="lower right")
axis.set(
    xlabel="loss on the test documents (nats per token)", ylabel="model", xlim=(0, 6.2), ylim=(5.5, -0.5)
)
plt.show()

# %% [markdown]
# **What to see.** As a language model, LDA gains a tenth on the unigrams; one token of context gains more than five
# times as much. But the two gains add up: topics make the bigram better, and even the 4-gram. What they add is what no
# short window holds: the subject, named three sentences ago.
#
# Where in a document does the knowledge come in?

# %%
place = np.concatenate([np.arange(len(tokens)) for tokens in test_tokens])
edges = [0, 3, 6, *range(10, 81, 10)]
middles = [(start + end) / 2 for start, end in itertools.pairwise(edges)]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for axis, names in zip(axes, (("unigram", "LDA"), ("bigram", "bigram + LDA")), strict=True):
    for name, colour in zip(names, (INK, BLUE), strict=True):
        by_place = [-log_p[name][(place >= p) & (place < q)].mean() for p, q in itertools.pairwise(edges)]
        axis.plot(middles, by_place, marker="o", markersize=4, color=colour, label=name)
    axis.set(xlabel="place in the document (tokens)", ylabel="loss (nats per token)", ylim=(0, None))
    axis.legend()
plt.show()

# %% [markdown]
# **What to see.** At the first three tokens of a document (the leftmost points) the topics cannot help, as there is
# nothing yet to infer them from: the two curves begin together. Then LDA stays below, to the end. On the right, likewise:
# the topics' contribution comes when the subject has been named. (The curves move up and down together because the
# grammar's sentences have an order: some places are harder than others.)
#
# So this is the task. The topic model knows *what* is talked about, from the whole document, and nothing of order. The
# n-gram knows the order within a short window, and forgets everything before it. A model that reads the whole
# document, in its order, would not need (8) to put the two together. It should come closer to the floor.
#
# Counting will not find it: a table for whole documents would have as many rows as there are documents. What is needed is
# a function of the context with numbers in it that can be *improved*, step by step, until the loss falls no further.
# The next notebook begins with that. It finds the bigram table of section 5 a second time, without a count, and then a
# small network that no table can hold. The rest of the course builds the model that reads everything, and notebook 17
# measures it against this table.
#
# ## Summary
#
# - Loss is the mean of $-\ln p$ in nats per token; perplexity its exponential; bits per byte do not depend on the tokens.
# - Cross-entropy is entropy plus a divergence: the entropy of the source is a floor. For a grammar it is known.
# - LDA predicts the next word from the words so far, by their topics. It improves on unigrams, a little.
# - Counts of pairs need smoothing. Kneser–Ney discounts each count, and asks the lower order in how many contexts a token
#   occurs.
# - Longer contexts need more data. Topics and n-grams know different things, and together predict better than either.
#
# **In the library:** `minillm_lib/model/ngram.py`, `minillm_lib/corpora/grammar.py`, `minillm_lib/topics/evaluation.py`.
# **Next:** [06 · From counts to gradients](06_counts_to_gradients.ipynb): the same bigram by gradient descent, and a first
# neural network.
#
# **To read on.** Shannon 1951, "Prediction and entropy of printed English", for the floor of English, estimated with human
# guessers; Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling", for everything
# about n-grams; Gildea and Hofmann 1999 for topics in language models; Kaplan et al. 2020, "Scaling laws for neural language
# models", [arXiv:2001.08361](https://arxiv.org/abs/2001.08361), for what happened to curves like those of section 6.
