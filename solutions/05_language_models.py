# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 05 · Language models, measured
#
# **What you build.** Models that predict the next word, from counting words to Kneser–Ney smoothing, with LDA
# as one of them. All see the same text in the same tokens, so that their losses can be compared, and below them all
# is drawn a floor that no model can pass, because the source of the text is known exactly. Then the same models on
# text that people wrote, where nobody knows the floor.
#
# **What you need.** Logarithms and conditional probabilities; LDA as in notebooks 02 and 03; for section 8, BPE
# (notebook 04).
#
# **How long.** About 75 minutes to work through, with the exercises. All cells together run in under 30 seconds on
# two CPU cores.
#
# > **中文提要** 语言模型就是给下一个词分配概率。本节先讲清三种度量：损失（nats）、困惑度、每字节比特数（与分词无关），再推导交叉熵等于熵加 KL 散度，因此任何模型都不可能低于熵。语料由一套概率语法生成，其熵可以精确算出，于是可以画出这条下限。在同一语料、同一分词上依次比较：一元模型、把 LDA 当语言模型（由前文推断主题，再预测下一词）、二元模型、Kneser–Ney 平滑的 n 元模型；其中的续接计数由你来写。结论：主题知道“在说什么”，n 元模型知道“怎么说”，两者可以互补，但所知有重叠：n 越大，主题还能带来的改进越小。最后换成真实文本（Python 包的文档字符串），同样的结论成立，只是下限未知，数据也远远不够。

# %%
import itertools
import random
import re
from math import log

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from minillm_lib import GibbsLDA, Grammar, Tokenizer, check, course, load_docstrings, load_grammar
from minillm_lib.model import NGramModel
from minillm_lib.topics import top_terms
from minillm_lib.viz import BLUE, GREEN, ORANGE, PALE, PURPLE
from minillm_lib.viz.language_model_plots import plot_gains, plot_losses_by_position, plot_losses_by_size

course.setup()

# %% [markdown]
# ## 1 · How good is a guess?
#
# A **language model** gives each possible next token a probability, given those before it. By the product rule that
# is all it takes to give a probability to a whole text:
#
# $$p(w_1, \dots, w_n) = p(w_1)\, p(w_2 \mid w_1)\, p(w_3 \mid w_1, w_2) \cdots = \prod_{t=1}^n p(w_t \mid w_{<t}) .
# \tag{1}$$
#
# A good model gives a high probability to text that it has not seen. The product is a tiny number, so take
# logarithms, and divide by the length so that texts of different lengths compare:
#
# $$\text{loss} = -\frac1n \sum_{t=1}^n \ln p(w_t \mid w_{<t}) , \qquad \text{perplexity} = e^{\text{loss}} . \tag{2}$$
#
# The loss is measured in *nats per token* (natural logarithm; with $\log_2$ it would be bits). The perplexity reads
# as a number of choices: a model that hesitates evenly among 20 tokens gives each $p = 1/20$, its loss is $\ln 20$,
# and its perplexity 20.
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
    value = check.perplexity.function(np.array(probabilities))
    print(f"{probabilities!s:28} loss {log(value):.2f} nats, perplexity {value:6.1f}")

# %% [markdown]
# A token of which the model was sure that it would not come spoils a text that was nearly perfect otherwise. A
# probability of 0 would make the loss infinite. Keep this in mind for section 5.
#
# **Bits per byte.** Loss and perplexity are per *token*, and what a token is, is a choice. A model with longer
# tokens has fewer and harder predictions to make, so its perplexity is higher even if it predicts the text equally
# well. What does not depend on the choice is the total: all bits for the whole text, divided by the text's bytes in
# UTF-8,
#
# $$\text{bits per byte} = \frac{-\sum_t \log_2 p(w_t \mid w_{<t})}{\text{bytes of the text}} . \tag{3}$$
#
# This is also a compression rate: a model with 1 bit per byte can, with arithmetic coding, store the text in an
# eighth of its size.
#
# ### Exercise 2 · Bits per byte (2 points)
#
# `losses` holds $-\ln p$ of each token, in nats; `text` is the text that these tokens make, a `str` in any
# language.


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
# Could a loss reach zero? Only if the text could be foreseen. Let the text really come from a distribution $p$, and
# let $q$ be the model. The expected loss of $q$ is the *cross-entropy*. Insert $\ln p - \ln p$:
#
# $$\mathbb{E}_p[-\ln q] = \underbrace{\mathbb{E}_p[-\ln p]}_{\text{entropy } H(p)} +
# \underbrace{\mathbb{E}_p\Big[\ln \frac{p}{q}\Big]}_{\text{divergence } \ge 0} . \tag{4}$$
#
# The second part (*Kullback–Leibler divergence*) is never negative: since $\ln x \le x - 1$, $\;\mathbb{E}_p[\ln
# \frac{q}{p}] \le \mathbb{E}_p[\frac{q}{p} - 1] = \sum q - 1 \le 0$. So the entropy of the source is the floor for
# every model, and what a model loses above it is exactly its own error.
#
# Of English nobody knows the entropy. So we take a source of which it is known: a *grammar*, which writes a text by
# replacing symbols by one of their alternatives, drawn by weight. Here is one that writes `tails` with probability
# 3/4 and goes on, or else ends.

# %%
coin = Grammar({"game": "[1] heads wins | [3] tails <game>"})
print([document.text for document in coin.generate(4, seed=1)])

# %% [markdown]
# Its entropy $H$: one draw has the entropy $h = -\frac14\ln\frac14 - \frac34\ln\frac34$, and in three of four cases
# another game follows, with the entropy $H$ again. So $H = h + \frac34 H$, and $H = 4h$. For a grammar with many
# symbols there is one such equation for each, and the library solves them together. (The draws can be read off the
# text, so the text has the entropy of the draws.)

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
# Words, numbers and punctuation marks are tokens; each document ends with an end token, number 0. Every model below
# has to predict all tokens, the end included. Do the tokens lose something of the text? Only the spaces, and these
# can be put back: different texts have different tokens.

# %%
vocabulary = [
    "<end>",
    *sorted({word for document in train for word in re.findall(r"\w+|[^\w\s]", document.text)}),
]
number = {word: i for i, word in enumerate(vocabulary)}
V = len(vocabulary)


def tokens_of(document):
    return [number[word] for word in re.findall(r"\w+|[^\w\s]", document.text)] + [0]


# %%
train_tokens, test_tokens = [tokens_of(d) for d in train], [tokens_of(d) for d in test]
stream, test_stream = np.concatenate(train_tokens), np.concatenate(test_tokens)
n_bytes = sum(len(document.text.encode()) for document in test)
different = len({d.text for d in train}) == len({tuple(tokens) for tokens in train_tokens})
print(f"{V} different tokens; {len(stream):,} to learn from, {len(test_stream):,} to predict")
print("different texts have different tokens:", different)

# %% [markdown]
# The floor, in nats per token, is the entropy of a document divided by its expected number of tokens. On our 100
# test documents the true probabilities give nearly that, up to chance:

# %%
floor = grammar.nats_per_word()
of_truth = -sum(document.meta["log_probability"] for document in test) / len(test_stream)
print(
    f"floor {floor:.2f}, the grammar itself on the test documents {of_truth:.2f}, uniform guesses {log(V):.2f}"
)

# %% [markdown]
# ## 3 · Unigrams: how often does each token occur?
#
# The simplest model, the *unigram model*, ignores all that came before: $p(w) = \text{count}(w)/n$. From here on we
# collect for each model $\ln p$ of every test token, in order.

# %%
frequency = np.bincount(stream, minlength=V) / len(stream)
log_p = {"unigram": np.log(frequency[test_stream])}
library = NGramModel(1, V).fit(stream)
print(f"loss {-log_p['unigram'].mean():.2f}, the library's {library.loss(test_stream):.2f}")

# %% [markdown]
# ## 4 · LDA as a language model
#
# LDA says what a document is about, and that helps to predict it: after *posterior* and *prior*, *likelihood* has
# become more likely. Its prediction for the next token is a mixture of the topics, in the shares that the words *so
# far* suggest:
#
# $$p(w_t \mid w_{<t}) = \sum_k \theta_k(w_{<t})\, \varphi_{k w_t} . \tag{5}$$
#
# We fit 20 topics to the training documents, over all tokens, as all have to be predicted.


# %%
def topic_model(documents, n_tokens, seed):
    counts = np.array([np.bincount(tokens, minlength=n_tokens) for tokens in documents])
    return GibbsLDA(20, n_sweeps=100, alpha=0.1, beta=0.01, n_chains=1, random_state=seed).fit(counts)


lda = topic_model(train_tokens, V, seed=0)
print("topics:", lda.topic_word_.shape)

# %% [markdown]
# **The shares, word by word.** At the start there is only the prior: $\theta_k \propto \alpha_k$. After some words,
# ask of each of them: how probable is it that it came from topic $k$? By Bayes' rule $r_{ik} \propto
# \theta_k\varphi_{k w_i}$. Add these up as if they were counts, $\theta_k \propto \alpha_k + \sum_i r_{ik}$, and
# repeat a few times, because $r$ depends on $\theta$ and $\theta$ on $r$. That is *folding in*, here by
# expectations instead of samples. It is an approximation, but the comparison stays fair: whatever $\theta$ is, (5)
# is a distribution, and it has not seen $w_t$.


# %%
def shares_so_far(tokens, lda, n_rounds=3):
    """The topic shares before each token of a document, (n_tokens, n_topics)."""
    likelihood, alpha = lda.topic_word_[:, tokens], lda.alpha_  # (n_topics, n_tokens), (n_topics,)
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
shares = [shares_so_far(tokens, lda) for tokens in test_tokens]
by_topics = np.concatenate(shares) @ lda.topic_word_  # (n_tokens, V)
log_p["LDA"] = np.log(by_topics[np.arange(len(test_stream)), test_stream])
test_counts = np.array([np.bincount(tokens, minlength=V) for tokens in test_tokens])
library_loss = log(lda.perplexity(test_counts, method="left_to_right", n_particles=10))
print(f"loss {-log_p['LDA'].mean():.1f}, the library's left-to-right estimate {library_loss:.1f}")

# %% [markdown]
# The library's estimator (Wallach et al. 2009) goes through a document in the same way, but averages over samples
# of the topics of all earlier words. It takes counts, not texts: by section 7 of notebook 03, LDA gives every order
# of a document the same probability, so the order in which the words are predicted does not matter.
#
# Below are the shares as one test document is read.

# %%
document = 1
top = np.argsort(-shares[document][-1])[:4]
characteristic = top_terms(lda.topic_word_, frequency, vocabulary, 4, relevance_lambda=0.3)
figure, axis = plt.subplots(figsize=(8, 3.6))
for k, colour in zip(top, (BLUE, ORANGE, GREEN, PURPLE), strict=True):
    axis.plot(shares[document][:, k], color=colour, label=", ".join(characteristic[k]))
axis.plot(np.delete(shares[document], top, axis=1), color=PALE, linewidth=0.8, zorder=1)
axis.set(xlabel="tokens read", ylabel="share of the topic", ylim=(0, 1))
figure.legend(title="characteristic tokens", fontsize=9, ncols=2, loc="outside upper center")
plt.show()

# %% [markdown]
# **What to see.** All topics start alike (pale are the other 16). After some twenty tokens one subject leads, and it
# keeps the lead. But not all of its topics are subjects: tokens that occur together in the set phrases of the grammar
# make topics as well. LDA does not know the difference; for its counts, a phrase is a topic.

# %% [markdown]
# ## 5 · Bigrams: the token before
#
# Now the order. A bigram model looks at one token, the last: $p(w \mid v) = \text{count}(v\,w) / \text{count}(v)$.
# The counts make a table with a row for each token $v$.


# %%
def pair_counts(tokens):
    """How often each pair of neighbours occurs: (V, V), a row for each token before."""
    table = np.zeros((V, V), dtype=int)
    np.add.at(table, (tokens[:-1], tokens[1:]), 1)
    return table


pairs = pair_counts(np.concatenate([[0], stream]))  # the first document, too, begins after an end
before = np.concatenate([[0], test_stream[:-1]])
print(f"{np.count_nonzero(pairs):,} different pairs in training")
for n_documents in (20, 200, 2000):
    seen = pair_counts(np.concatenate(train_tokens[:n_documents])) > 0
    missing = 1 - seen[before, test_stream].mean()
    print(f"of {n_documents:5,} documents: {missing:5.1%} of the test pairs were never seen")

# %% [markdown]
# The grammar has few pairs, and 2,000 documents show nearly all. In less text some are missing, in real text always
# (section 8). Each of them would have the probability 0, and make the loss infinite. Something has to be kept back
# for pairs that were never seen. **Absolute discounting** takes a fixed $D$ off each count, and gives what was
# freed to a simpler model $p_\text{lower}$ that looks at less:
#
# $$p(w \mid v) = \frac{\max(c_{vw} - D,\, 0)}{c_v} + \frac{D\, N_v}{c_v}\; p_\text{lower}(w) . \tag{6}$$
#
# $c_v = \sum_w c_{vw}$, and $N_v$ is the number of *different* tokens that followed $v$: so often was $D$ taken
# away. A frequent pair hardly notices; a pair that occurred once loses most. And a token $v$ that was followed by
# many different ones leaves more to the lower order than one whose follower is always the same.
#
# ### Exercise 3 · A discounted bigram model (3 points)
#
# `counts` is the table of pairs, `(V, V)`, with a row for each token before and a column for each token after;
# `lower` is a distribution, `(V,)`. Give the matrix of $p(w \mid v)$. It is a distribution in each row; where a
# token was never followed by any, it is `lower`.


# %%
def discounted_bigram(counts, lower, discount):
    """Equation (6) for all pairs: a row for each token before, (V, V)."""
    ### BEGIN SOLUTION
    totals = counts.sum(axis=1, keepdims=True)
    followers = (counts > 0).sum(axis=1, keepdims=True)
    kept = np.maximum(counts - discount, 0) + discount * followers * lower
    return np.where(totals > 0, kept / np.maximum(totals, 1), lower)
    ### END SOLUTION


# %%
check.discounted_bigram(discounted_bigram)

# %% [markdown]
# **Which lower order?** The unigram frequencies, one would think. Kneser and Ney (1995, "Improved backing-off for
# m-gram language modeling") saw something better. Take a token that is frequent, but always after the same one,
# such as `go` in "the game of go". Its frequency is high; and yet after *another* token we should hardly expect it.
# The lower order is only asked when the pair is new, so it should tell **after how many different tokens** $w$
# occurs, not how often. These are the **continuation counts**:
#
# $$p_\text{lower}(w) \;\propto\; N^{\text{before}}_w = \text{number of different } v \text{ with } c_{vw} > 0 . \tag{7}$$
#
# In our corpus:

# %%
occurrences, different_before = pairs.sum(axis=0), (pairs > 0).sum(axis=0)
for word in ("go", "the", "robot", "rises"):
    w = number[word]
    print(f"{word:6} occurs {occurrences[w]:6,} times after {different_before[w]:3} different tokens")

# %% [markdown]
# ### Exercise 4 · Continuation counts (2 points)
#
# A token that was never seen must not have the probability 0 here either. So the numbers (7) are discounted in
# turn: $D$ is taken off each of those that are above 0, what is freed goes to the uniform distribution over all V
# tokens, and everything is divided by the sum of the numbers. `counts` is the table of pairs, as before. Give the
# lower order, a distribution `(V,)`.


# %%
def continuation_probabilities(counts, discount):
    """The lower order by (7), discounted in favour of the uniform distribution: (V,)."""
    ### BEGIN SOLUTION
    kinds = (counts > 0).sum(axis=0)
    freed = discount * np.count_nonzero(kinds)
    return (np.maximum(kinds - discount, 0) + freed / len(kinds)) / kinds.sum()
    ### END SOLUTION


# %%
check.continuation_probabilities(continuation_probabilities)

# %% [markdown]
# Exercises 3 and 4 together are a **Kneser–Ney** bigram model. What passes goes on into what follows (the notebook
# takes the library's function in place of one that does not). The library's `NGramModel` does the same for any
# order; with $D = 0.75$ the two must agree:

# %%
D = 0.75
discounted = check.discounted_bigram.function
continuation = check.continuation_probabilities.function
kneser_ney = discounted(pairs, continuation(pairs, D), D)
bigram = NGramModel(2, V, discount=D).fit(np.concatenate([[0], stream]))
print("equal to the library's:", np.allclose(kneser_ney, [bigram.probabilities([v]) for v in range(V)]))
log_p["bigram"] = np.log(kneser_ney[before, test_stream])
print(f"loss {-log_p['bigram'].mean():.2f}, perplexity {np.exp(-log_p['bigram'].mean()):.2f}")

# %% [markdown]
# Is (7) really better than frequencies? It can only matter where pairs are missing. So take little text, five times
# 60 documents, no two of them the same. The frequencies are discounted like the continuation counts.

# %%
uniform, gains = np.full(V, 1 / V), []
for start in range(0, 300, 60):
    own = pair_counts(np.concatenate([[0], *train_tokens[start : start + 60]]))
    by_frequency = discounted(np.tile(own.sum(axis=0), (V, 1)), uniform, D)[0]  # of V rows that are the same
    by_kinds = continuation(own, D)
    losses = [
        -np.log(discounted(own, lower, D)[before, test_stream]).mean() for lower in (by_frequency, by_kinds)
    ]
    gains.append(losses[0] - losses[1])
assert min(gains) > 0.05
print("continuation counts gain more than 0.05 nats, each of five times:", min(gains) > 0.05)

# %% [markdown]
# ## 6 · More context, more data
#
# Nothing stops us from looking at two tokens, or five. The discounted counts of the longest context are filled up
# with the next shorter one, and so on down. To predict the same test tokens with every order, end tokens are put in
# front. As a grammar writes as much as one wants, we look beyond our 2,000 documents, too:


# %%
def padded(tokens, order, end=0):
    return np.concatenate([np.full(order - 1, end), tokens])


def losses_by_size(documents, test, n_tokens, orders, sizes, end=0):
    """The loss of n-gram models that have learned from so many documents: a row for each size, a column for each n."""
    table = pd.DataFrame(
        index=pd.Index(sizes, name="documents"), columns=pd.Index(orders, name="n"), dtype=float
    )
    for size, order in itertools.product(sizes, orders):
        part = padded(np.concatenate(documents[:size]), order, end)
        table.loc[size, order] = NGramModel(order, n_tokens).fit(part).loss(padded(test, order, end))
    return table


# %%
more_tokens = [tokens_of(document) for document in grammar.generate(20_000, seed=0)]
assert more_tokens[:2000] == train_tokens
sizes = (20, 60, 200, 600, 2000, 6000, 20_000)
by_size = losses_by_size(more_tokens, test_stream, V, range(1, 7), sizes)
print(by_size.round(2).to_string())

# %%
plot_losses_by_size(by_size, floor=floor, logarithmic=True).figure

# %%
fall = by_size.diff().abs()  # from one size to the next
assert fall.loc[2000, 6] > 0.08
assert fall.loc[20_000, 6] < 0.02
assert by_size.loc[20_000, 6] - floor > 0.15
assert by_size.loc[20, 6] > by_size.loc[20, 4] - 0.02
print("n = 6 falls by more than 0.08 from 600 to 2,000 documents:", True)
print("by less than 0.02 from 6,000 to 20,000:", True)
print("and is then still more than 0.15 nats above the floor:", True)

# %% [markdown]
# **What to see.** The unigrams have learned nearly all they can from 20 documents. The longer the context, the
# longer documents help. With few documents, contexts of three to five tokens are worth the same, as most of them
# have never been seen. At 2,000 documents, our training text, the high orders are not done: $n = 6$ still fell from
# 0.65 to 0.56 in the last step. Ten times as much text takes it to 0.51, but most of that comes in the first half
# of the way. There the curves flatten out, well above the floor: within five tokens there is not enough to know.

# %% [markdown]
# ## 7 · What each model knows
#
# LDA was poor (its loss is nearer to the unigrams' than to the bigrams'), and a bigram model is far better. But perhaps they know
# *different things*. Gildea and Hofmann (1999, "Topic-based language models using EM") combine them: multiply the
# probability of each token by the factor by which the topics have made it likelier, and normalise.
#
# $$p(w \mid v, \theta) \;\propto\; p_\text{n-gram}(w \mid v)\; \frac{p_\text{LDA}(w)}{p_\text{unigram}(w)} . \tag{8}$$
#
# For unigrams this is LDA itself. Gibbs sampling takes another course with each seed, so we take three.


# %%
def losses_of(model, tokens, factors=(1.0,), end=0):
    """-ln p of each token by (8), for each of several factors, (n_tokens, V) or (V,) or 1: (n_factors, n_tokens)."""
    contexts = sliding_window_view(padded(tokens, model.order, end), model.order)[:, :-1]
    different, which = np.unique(contexts, axis=0, return_inverse=True)
    p = np.array([model.probabilities(context) for context in different], dtype=np.float32)[which.ravel()]
    weighted = (p * factor for factor in factors)  # (n_tokens, V) each
    return np.array([np.log(each.sum(axis=1) / each[np.arange(len(tokens)), tokens]) for each in weighted])


def topic_factors(documents, ldas, frequency):
    """p_LDA / p_unigram of every token after each position, (n_tokens, V), by each of several topic models."""
    by_model = [np.concatenate([shares_so_far(tokens, lda) for tokens in documents]) for lda in ldas]
    return [
        np.float32(theta @ lda.topic_word_ / frequency) for theta, lda in zip(by_model, ldas, strict=True)
    ]


# %%
ldas = [lda, topic_model(train_tokens, V, seed=1), topic_model(train_tokens, V, seed=2)]
factors = topic_factors(test_tokens, ldas, frequency)

# %%
alone, together = {}, {}  # by the order: (n_tokens,), and for each topic model, (3, n_tokens)
for order in (1, 2, 3, 4):
    model = NGramModel(order, V).fit(padded(stream, order))
    alone[order], *others = losses_of(model, test_stream, (1.0, *factors))
    together[order] = np.array(others)
print("bigrams as before:", np.allclose(alone[2], -log_p["bigram"], atol=1e-4))

# %% tags=["nbval-ignore-output"]
names = {1: "unigram", 2: "bigram", 3: "3-gram", 4: "4-gram"}
of_all = {name: alone[order] for order, name in names.items()}
of_all |= {
    f"{name} + LDA" if order > 1 else "LDA": together[order].mean(axis=0) for order, name in names.items()
}
table = pd.DataFrame({"loss": {name: values.mean() for name, values in of_all.items()}})
table.loc["the grammar"] = of_truth
table["perplexity"] = np.exp(table["loss"])
table["bits per byte"] = table["loss"] * len(test_stream) / log(2) / n_bytes
table["above the floor"] = table["loss"] - of_truth
print(table.sort_values("loss", ascending=False).to_string(float_format="{:.2f}".format))

# %% [markdown]
# Every model is compared with the grammar itself, the last line: it has lost nothing but what nobody can know. How
# much do the topics gain, and how sure is that? The test documents are a sample. Draw 100 of them with replacement,
# many times (a *bootstrap*, as in notebook 03), and compute the gain of each sample: 90 % of these lie between the
# ends of the lines below.


# %%
def gain_by_document(alone, together, documents):
    """The mean gain in nats per token, and the ends of a 90 % interval by the bootstrap over documents."""
    lengths = np.array([len(tokens) for tokens in documents])
    sums = np.add.reduceat(alone - together.mean(axis=0), np.cumsum(lengths) - lengths)
    drawn = np.random.default_rng(0).integers(len(documents), size=(1000, len(documents)))
    samples = sums[drawn].sum(axis=1) / lengths[drawn].sum(axis=1)
    return sums.sum() / lengths.sum(), *np.quantile(samples, (0.05, 0.95))


# %%
gains = np.array([gain_by_document(alone[order], together[order], test_tokens) for order in alone])
by_seed = np.array([alone[order].mean() - together[order].mean(axis=1) for order in alone])  # (4, 3)
assert np.ptp(by_seed, axis=1).max() < 0.02
assert (gains[:-1, 1] > gains[1:, 2]).all()
assert gains[-1, 1] > 0.05
assert 0.6 < gains[0, 0] < 0.8
assert 0.28 < gains[1, 0] < 0.4
assert gains[-1, 0] < 0.2 * gains[0, 0]
print("three seeds differ by less than 0.02 nats:", True)
print("each gain is smaller than the one before, beyond its interval:", True)

# %%
plot_gains({"topics of LDA, mean of three seeds": gains}, list(names.values())).figure

# %% [markdown]
# **What to see.** Topics make every n-gram model better. But the gains do not add up: LDA gains some 0.7 nats on
# the unigrams, about half of that on the bigrams, and less than a fifth of it on the 4-grams. The knowledge of the
# two *overlaps*. Words that occur together often stand side by side, so a window of three tokens often holds a word
# that tells the subject; and LDA made topics of set phrases, which a 4-gram model knows by heart. What is left for
# the topics to add is what no short window holds: the subject, named three sentences ago.
#
# Where in a document does the knowledge come in?

# %%
position = np.concatenate([np.arange(len(tokens)) for tokens in test_tokens])
edges = [0, 3, 6, *range(10, 81, 10)]
middles = [(start + end) / 2 for start, end in itertools.pairwise(edges)]


def by_position(losses):
    return [losses[(position >= p) & (position < q)].mean() for p, q in itertools.pairwise(edges)]


panels = [
    {names[order]: [by_position(alone[order])], label: [by_position(losses) for losses in together[order]]}
    for order, label in ((1, "LDA (three seeds)"), (2, "bigram + LDA (three seeds)"))
]
plot_losses_by_position(middles, panels)

# %%
early, soon = position < 3, (position >= 3) & (position < 10)
harm = [losses[early].mean() - alone[2][early].mean() for losses in together[2]]
gain_soon = [alone[2][soon].mean() - losses[soon].mean() for losses in together[2]]
assert min(harm) > 0.05
assert min(gain_soon) > 0.3
assert max(abs(losses[early].mean() - alone[1][early].mean()) for losses in together[1]) < 0.2
assert all(np.less(by_position(losses)[1:], by_position(alone[1])[1:]).all() for losses in together[1])
print("bigram + LDA is more than 0.05 worse at the first three tokens:", True)
print("and more than 0.3 better at the next seven:", True)

# %% [markdown]
# **What to see.** On the left, LDA and unigrams begin nearly together, and then LDA stays below, to the end. On the
# right, "bigram + LDA" *begins worse* than the bigram: at the first three tokens there is no subject yet, and still
# the model draws conclusions. Is that the reason? Intervene: keep the shares at the prior for these three tokens.

# %%
prior_factors = [each.alpha_ / each.alpha_.sum() @ each.topic_word_ / frequency for each in ldas]  # (V,) each
with_prior = [
    losses[early].mean() - alone[2][early].mean() for losses in losses_of(bigram, test_stream, prior_factors)
]
assert max(np.divide(with_prior, harm)) < 0.5
print("more than half of the harm is gone, with each seed:", max(np.divide(with_prior, harm)) < 0.5)

# %% [markdown]
# That explains most of it: folding in takes one or two words for evidence, and (8) trusts them as it trusts fifty.
# (The rest is there before anything has been read: the average of the 20 topics is not the distribution of the
# unigrams.) From then on the topics help, to the end of the document. (The curves move up and down together because
# the grammar's sentences have an order: some positions are harder than others.)

# %% [markdown]
# ## 8 · Text that people wrote
#
# A grammar of some hundred rules is a small world. What remains of all this on real text? We take *docstrings*, the
# explanations inside Python packages, as in notebook 01: from ten packages up to 200 each to learn from, and up to
# eight to be tested on. They are read from the packages installed on this machine, so nothing is downloaded, and
# the versions of `requirements.lock` give the same texts everywhere. Each has a label, its package, which stands in
# for the subject.


# %%
PACKAGES = ["python", "numpy", "scipy", "pandas", "matplotlib", "scikit-learn", "torch", "sympy", "networkx"]
PACKAGES += ["transformers"]


def docstrings(split, n):
    """Up to n docstrings of 40 to 90 words from each package, in random order."""
    documents, chosen = load_docstrings(split, progress=False), []
    for package in PACKAGES:
        own = [d for d in documents if d.meta["package"] == package and 40 <= len(d.text.split()) <= 90]
        chosen += random.Random(0).sample(own, min(n, len(own)))
    return random.Random(1).sample(chosen, len(chosen))


# %%
real_train, real_test = docstrings("train", 200), docstrings("test", 8)
known = {word for document in real_train for word in document.text.split()}
unknown = [word not in known for document in real_test for word in document.text.split()]
assert np.mean(unknown) > 0.1
print("more than one in ten words of the test texts never occurs in the others:", np.mean(unknown) > 0.1)

# %% [markdown]
# Words will not do as tokens, then. We take those of notebook 04, a BPE vocabulary of 2,000 pieces learned from the
# training texts. Any text can be written with them, and comes back; so bits per byte can be compared with those of
# the grammar, while losses per token cannot. (A text can be split into pieces in several ways, and the loss is that
# of one of them. For the text itself it is an upper bound.)

# %%
tokenizer = Tokenizer.train([document.text for document in real_train], vocab_size=2000)
END, V_real = tokenizer.vocabulary.index("<|eos|>"), tokenizer.vocab_size
real_tokens, unread = [
    [[*ids, END] for ids in tokenizer.encode_batch([document.text for document in part])]
    for part in (real_train, real_test)
]
real_stream, unread_stream = np.concatenate(real_tokens), np.concatenate(unread)
seen = set(itertools.pairwise(real_stream.tolist()))
missing = np.mean([pair not in seen for pair in itertools.pairwise(unread_stream.tolist())])
assert missing > 0.1
print("more than one in ten pairs of the test texts never occurs in the others:", missing > 0.1)

# %% [markdown]
# Now the same models once more, with topic models of two seeds. The labels allow one comparison that the grammar
# did not: what if somebody *told* the model which package a text is from? Then (8) has the frequencies in that
# package, $p(w \mid \text{package})$, in place of $p_\text{LDA}$. They are discounted in favour of the unigrams, by
# (6) with the label in place of the token before.

# %%
real_frequency = (np.bincount(real_stream, minlength=V_real) + 0.5) / (len(real_stream) + 0.5 * V_real)
real_ldas = [topic_model(real_tokens, V_real, seed) for seed in (0, 1)]
real_factors = topic_factors(unread, real_ldas, real_frequency)
by_package = np.zeros((len(PACKAGES), V_real), dtype=int)
for document, tokens in zip(real_train, real_tokens, strict=True):
    np.add.at(by_package[PACKAGES.index(document.meta["package"])], tokens, 1)
told = np.float32(discounted(by_package, real_frequency, D) / real_frequency)
labels = np.repeat(
    [PACKAGES.index(document.meta["package"]) for document in real_test], list(map(len, unread))
)

# %%
real_alone, real_together, labelled = {}, {}, {}
for order in (1, 2, 3):
    model = NGramModel(order, V_real).fit(padded(real_stream, order, END))
    found = losses_of(model, unread_stream, (1.0, told[labels], *real_factors), END)
    real_alone[order], labelled[order], real_together[order] = found[0], found[1:2], found[2:]
real_by_size = losses_by_size(real_tokens, unread_stream, V_real, range(1, 5), (20, 60, 200, 600, 2000), END)

# %% tags=["nbval-ignore-output"]
real_bytes = sum(len(document.text.encode()) for document in real_test)
losses = {}
for order in (1, 2, 3):
    losses[names[order]] = real_alone[order].mean()
    losses[f"{names[order]}, package told"] = labelled[order].mean()
    losses[f"{names[order]} + LDA" if order > 1 else "LDA"] = real_together[order].mean()
table = pd.DataFrame({"loss": losses})
table["perplexity"] = np.exp(table["loss"])
table["bits per byte"] = table["loss"] * len(unread_stream) / log(2) / real_bytes
print(table.to_string(float_format="{:.2f}".format))

# %%
real_gains = np.array([gain_by_document(real_alone[n], real_together[n], unread) for n in (1, 2, 3)])
label_gains = np.array([gain_by_document(real_alone[n], labelled[n], unread) for n in (1, 2, 3)])
kinds = {"grammar, LDA": gains[:3], "docstrings, LDA": real_gains, "docstrings, package told": label_gains}
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4))
plot_losses_by_size(real_by_size, title="docstrings", ax=left)
plot_gains(kinds, ["unigram", "bigram", "3-gram"], ax=right)
plt.show()

# %%
assert (real_gains[:-1, 1] > real_gains[1:, 2]).all()
assert real_gains[-1, 1] > 0.01
over_label = gain_by_document(labelled[1][0], real_together[1], unread)
assert over_label[1] > 0
print("each gain by LDA is smaller than the one before, beyond its interval, and above 0.01 nats:", True)
print("on unigrams LDA gains more than the label, by an interval above 0:", True)

# %%
steps = real_by_size[3].diff().abs()
assert steps[2000] > max(0.4, 5 * fall.loc[2000, 3])
real_bits = real_alone[3].sum() / log(2) / real_bytes
assert real_bits > max(1.5, 7 * alone[3].sum() / log(2) / n_bytes)
print(
    "from 600 to 2,000 documents the 3-grams gain over 0.4 nats, five times as much as on the grammar:", True
)
print("bits per byte of the 3-grams: above 1.5, over seven times those on the grammar:", True)

# %% [markdown]
# **What to see.** On the left, nothing flattens out but the unigrams. With the same number of documents, real text
# is far from being learned: more than one in ten of its pairs is new, and the 3-grams are still falling steeply at
# the end. There is no dotted line, because nobody knows the entropy of docstrings. For English there is an
# estimate: Shannon (1951) let people guess the next letter, and concluded that it lies between 0.6 and 1.3 bits per
# letter. Our 3-grams need more than that.
#
# On the right, the gains by topics are smaller than on the grammar, but the pattern is the same: they help every
# model, the less the more it sees of the context. And topics found without labels gain *more* on the unigrams than
# being told the package. A package is one of ten labels for a whole text. The shares are twenty numbers that follow
# it, and may also tell a list of parameters from an example.
#
# So this is the task. The topic model knows *what* is talked about, from the whole document, and nothing of order.
# The n-gram knows the order within a short window, and forgets everything before it. A model that reads the whole
# document, in its order, would not need (8) to put the two together. It should come closer to the floor.
#
# Counting will not find it: a table for whole documents would have at least as many rows as there are documents. What is
# needed is a function of the context with numbers in it that can be *improved*, step by step, until the loss falls
# no further. The next notebook begins with that. It finds the counted bigrams of section 5 a second time, without a
# count, and then a small network that no table can hold. The rest of the course builds the model that reads
# everything, and notebook 17 measures it against these models.
#
# ## Summary
#
# - Loss is the mean of $-\ln p$ in nats per token; perplexity its exponential; bits per byte do not depend on the
#   tokens.
# - Cross-entropy is entropy plus a divergence: the entropy of the source is a floor. For a grammar it is known, for
#   real text it is not.
# - LDA predicts the next word from the words so far, by their topics. It about halves the perplexity
#   of the unigrams, and stays far above that of the bigrams.
# - Counts of pairs need smoothing. Kneser–Ney discounts each count, and asks the lower order in how many contexts a
#   token occurs.
# - Longer contexts need more data, and on real text far more. Within a short window there is not enough to know,
#   however much data.
# - Topics make every n-gram model better, but what they know overlaps: the longer the window, the less they add.
#
# **In the library:** `minillm_lib/model/ngram.py`, `minillm_lib/corpora/grammar.py`,
# `minillm_lib/topics/evaluation.py`. **Next:** [06 · From counts to gradients](06_counts_to_gradients.ipynb): the
# same bigram by gradient descent, and a first neural network.
#
# **To read on.** Shannon 1951, "Prediction and entropy of printed English", for the floor of English, estimated
# with human guessers; Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling",
# for everything about n-grams; Gildea and Hofmann 1999 for topics in language models; Kaplan et al. 2020, "Scaling
# laws for neural language models", [arXiv:2001.08361](https://arxiv.org/abs/2001.08361), for what happened to
# curves like those of section 6.
