# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 02 · LDA by Gibbs sampling
#
# **What you build.** A topic model: the story by which it explains documents, the one formula by which it is fitted,
# derived from start to end, and a sampler of twenty lines that finds ten hidden topics. Then two proofs that the sampler
# is right: it visits states as often as the exact posterior says, and it makes the same draws as the library's.
#
# **What you need.** Probabilities (product rule, Bayes' rule), a little NumPy. The document–term matrix of notebook 01.
#
# **How long.** About 60 minutes to work through. All cells together run in under 40 seconds on two CPU cores.
#
# > **中文提要** LDA 假设：每个主题是词上的概率分布，每篇文档是主题的混合，每个词先抽主题再抽词。反过来，只看到词，要推断每个词
# > 来自哪个主题。本节把主题分布与文档比例积分掉（Dirichlet 积分），完整推导出折叠 Gibbs 采样的条件概率，用二十行 NumPy 写成采样器；
# > 在 Griffiths 与 Steyvers 的 5×5 “条形”实验中逐轮观察主题如何显现；再在极小语料上枚举全部状态，验证采样频率等于精确后验；
# > 最后证明：给定同样的随机数，它与库中的采样器逐次抽样完全相同。最常见的错误——忘记先移除当前词——会得到错误的分布。

# %%
import io
import itertools

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import gammaln

from minillm_lib import GibbsLDA, check
from minillm_lib.topics import GibbsSampler, Tokens
from minillm_lib.viz import BLUE, INK, ORANGE, PALE, use_style

use_style()

# %% [markdown]
# ## 1 · The story
#
# A topic model begins with a story of how documents come about. Nobody believes it word for word; it is useful because
# it can be told backwards. This one is *latent Dirichlet allocation*, LDA (Blei, Ng and Jordan 2003,
# [JMLR 3](https://jmlr.org/papers/v3/blei03a.html)):
#
# 1. There are $K$ topics. Topic $k$ is a probability for each of the $V$ terms, a vector $\varphi_k$.
# 2. Each document $d$ mixes the topics in its own shares, a vector $\theta_d$ of $K$ numbers that sum to 1.
# 3. For each token: draw a topic $z$ from $\theta_d$, then a term $w$ from $\varphi_z$.
#
# We see the terms only. The topic of each token, the topics and the shares are to be found.
#
# To see whether they *are* found we need documents of which we know the story. Griffiths and Steyvers (2004, "Finding
# scientific topics", PNAS 101) had a good idea: let the vocabulary be the 25 pixels of a 5×5 image. A topic is then an
# image; theirs are the ten bars. A document is an image too: how often was each pixel drawn?

# %%
K, V = 10, 25
pixels = np.arange(V).reshape(5, 5)
bars = np.zeros((K, V))
for i in range(5):
    bars[i, pixels[i]] = bars[5 + i, pixels[:, i]] = 1 / 5

rng = np.random.default_rng(0)
n_documents, length = 150, 40
shares = rng.dirichlet(np.full(K, 0.3), size=n_documents)  # theta, one row a document
counts = np.array([rng.multinomial(length, theta @ bars) for theta in shares])
print("document–term matrix:", counts.shape, "with", counts.sum(), "tokens")


# %%
def draw_images(axes, images, darkest=None):
    for axis, image in zip(axes, images, strict=True):
        axis.imshow(np.reshape(image, (5, 5)), cmap="Blues", vmin=0, vmax=darkest)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color=PALE)


figure, rows = plt.subplots(3, 10, figsize=(9, 3))
draw_images(rows[0], bars)
draw_images(rows[1], counts[:10])
draw_images(rows[2], counts[10:20])
for row, name in zip(rows, ("topics", "documents", ""), strict=True):
    row[0].set_ylabel(name)
plt.show()

# %% [markdown]
# **What to see.** The top row is what we hide; below it are twenty of the 150 documents that we show. Dark is frequent.
# In some documents one or two bars can be made out, in none is a bar alone. From the blurred images we want the top row
# back.
#
# ### Where the shares come from
#
# We drew $\theta_d$ from a *Dirichlet distribution*, and LDA draws each $\varphi_k$ from one as well. It is a
# distribution over vectors $\theta$ of positive numbers that sum to 1, with the density
#
# $$p(\theta) = \frac{\Gamma(\sum_k \alpha_k)}{\prod_k \Gamma(\alpha_k)} \prod_k \theta_k^{\alpha_k - 1} . \tag{1}$$
#
# The product on the right is the shape. The fraction is there to make the integral 1, so that
# $\int \prod_k \theta_k^{\alpha_k-1}\,d\theta = \prod_k \Gamma(\alpha_k) / \Gamma(\sum_k \alpha_k)$: remember that. The
# *gamma function* continues the factorial, $\Gamma(n) = (n-1)!$, and obeys $\Gamma(x + 1) = x\,\Gamma(x)$.
#
# A small $\alpha$ gives lopsided shares (few topics a document), a large one even shares. We give all topics the same
# $\alpha$ and all terms the same $\beta$.

# %% [markdown]
# ## 2 · Telling it backwards: integrate out what you do not need
#
# Let $z$ stand for the topics of all tokens and $w$ for their terms. What we want is the *posterior* $p(z \mid w)$, which
# by Bayes' rule is proportional to the *joint* probability $p(w, z)$. That one we can compute, although neither
# $\theta$ nor $\varphi$ is known: we integrate over them.
#
# **One document.** Given $\theta$, a sequence of topics in which topic $k$ occurs $n_k$ times has the probability
# $\prod_k \theta_k^{n_k}$. Multiply by (1) and integrate:
#
# $$p(z_1, \dots, z_n) = \frac{\Gamma(\sum_k\alpha_k)}{\prod_k\Gamma(\alpha_k)} \int \prod_k
# \theta_k^{n_k + \alpha_k - 1}\, d\theta
# = \frac{\Gamma(\sum_k\alpha_k)}{\Gamma(n + \sum_k\alpha_k)} \prod_k \frac{\Gamma(n_k + \alpha_k)}{\Gamma(\alpha_k)} .
# \tag{2}$$
#
# The integral is the one to remember, with $n_k + \alpha_k$ in place of $\alpha_k$. Only the counts are left in it: the
# order of the topics does not matter.
#
# ### Exercise 1 · Write it (1 point)
#
# Give the logarithm of (2), for `counts` $n_k$ and `prior` $\alpha_k$, both arrays of shape `(K,)`. `gammaln` is the
# logarithm of $\Gamma$; the numbers themselves would overflow.


# %%
def log_sequence_probability(counts, prior):
    """Logarithm of equation (2): the probability of one sequence with these counts."""
    ### BEGIN SOLUTION
    total, prior_total = counts.sum(), prior.sum()
    whole = gammaln(prior_total) - gammaln(total + prior_total)
    return whole + np.sum(gammaln(counts + prior) - gammaln(prior))
    ### END SOLUTION


# %%
check.log_sequence_probability(log_sequence_probability)

# %% [markdown]
# **One more token.** What is the probability that the next topic is $k$, after $n$ topics with counts $n_1, \dots, n_K$?
# Divide (2) with $n_k + 1$ by (2). By $\Gamma(x+1) = x\,\Gamma(x)$ nearly everything cancels:
#
# $$p(z_{n+1} = k \mid z_1, \dots, z_n) = \frac{n_k + \alpha_k}{n + \sum_j \alpha_j} . \tag{3}$$
#
# A topic that has been used often is likely to be used again. This is *Pólya's urn*: start with $\alpha_k$ balls of
# colour $k$; draw one, and put it back with another of its colour. Equation (2) is the product of such steps. Below, a
# sequence of ten topics is built up step by step, in several orders.


# %%
def by_urn(sequence, alpha, n_topics):
    """The product of (3) over the steps of a sequence."""
    urn, probability = np.full(n_topics, alpha), 1.0
    for topic in sequence:
        probability *= urn[topic] / urn.sum()
        urn[topic] += 1
    return probability


sequence = np.array([0, 0, 2, 0, 1, 0, 2, 2, 0, 0])
orders = [np.random.default_rng(seed).permutation(sequence) for seed in range(5)]
print([f"{by_urn(order, 0.5, 3):.3e}" for order in orders])

# %% [markdown]
# **The whole corpus.** Given $z$, the terms of the tokens with topic $k$ are a sequence too, drawn from $\varphi_k$. So
# (2) applies to them, with $\beta$ for $\alpha$, terms for topics, and the counts $n_{kw}$ of term $w$ in topic $k$. The
# joint probability is one factor for each document and one for each topic:
#
# $$p(w, z) = \prod_{d} \frac{\Gamma(K\alpha)}{\Gamma(n_d + K\alpha)} \prod_{k}
# \frac{\Gamma(n_{dk} + \alpha)}{\Gamma(\alpha)} \;\cdot\; \prod_{k} \frac{\Gamma(V\beta)}{\Gamma(n_k + V\beta)}
# \prod_{w} \frac{\Gamma(n_{kw} + \beta)}{\Gamma(\beta)} . \tag{4}$$
#
# Three tables of counts are all it takes: $n_{dk}$, $n_{kw}$, and the totals $n_k$. Here they are, with (4).


# %%
def count_tables(documents, terms, topics, shape):
    """n_dk, n_wk (a row for each term) and n_k, for a corpus of shape (documents, terms, topics)."""
    n_documents, n_terms, n_topics = shape
    doc_topic, term_topic = np.zeros((n_documents, n_topics)), np.zeros((n_terms, n_topics))
    np.add.at(doc_topic, (documents, topics), 1)
    np.add.at(term_topic, (terms, topics), 1)
    return doc_topic, term_topic, term_topic.sum(axis=0)


def log_joint(doc_topic, term_topic, alpha, beta):
    """Logarithm of equation (4)."""
    value = 0.0
    for table, prior in ((doc_topic, alpha), (term_topic.T, beta)):  # a row for each factor
        totals, prior_total = table.sum(axis=1), prior * table.shape[1]
        value += (gammaln(prior_total) - gammaln(totals + prior_total)).sum()
        value += (gammaln(table + prior) - gammaln(prior)).sum()
    return value


# %% [markdown]
# ## 3 · The one formula
#
# The posterior is (4), divided by its sum over all $z$. For our 6,000 tokens and ten topics that sum has $10^{6000}$
# terms. We cannot compute it, but we can *draw* from the posterior without it, by **Gibbs sampling**: go through the
# tokens, and draw the topic of each anew, given the topics of all the others. Section 5 shows why that works.
#
# So we need $p(z_i = k \mid z_{-i}, w)$, where $-i$ means "all tokens but $i$". Let $d$ be the document of token $i$, and
# $w$ its term. Since conditional and joint probabilities differ by a factor in which $k$ does not occur,
#
# $$p(z_i = k \mid z_{-i}, w) \;\propto\; \frac{p(w, z_{-i}, z_i = k)}{p(w_{-i}, z_{-i})} .$$
#
# The numerator is (4) for all tokens, the denominator (4) without token $i$: the question is what *one more token*
# multiplies it by. That is (3), twice. In its document, a topic is added to the sequence of topics; in topic $k$, a term
# is added to the sequence of terms:
#
# $$p(z_i = k \mid z_{-i}, w) \;\propto\; \frac{n_{dk}^{-i} + \alpha}{n_d^{-i} + K\alpha} \cdot
# \frac{n_{kw}^{-i} + \beta}{n_k^{-i} + V\beta} \;\propto\; (n_{dk}^{-i} + \alpha)\,
# \frac{n_{kw}^{-i} + \beta}{n_k^{-i} + V\beta} . \tag{5}$$
#
# The first denominator is the same for all $k$, so it can go; the second is not. In words: a topic is likely for this
# token if the *document* uses the topic, and if the *topic* uses the term. All counts are without token $i$ itself.
#
# ### Exercise 2 · The conditional, from scratch (2 points)
#
# `documents`, `terms` and `topics` are arrays with one entry for each token. Give (5) for token `i`, normalised to sum
# to 1, an array of shape `(n_topics,)`. Count directly from the three arrays: `np.bincount(some_topics,
# minlength=n_topics)` counts topics, and a Boolean array picks the tokens that are to be counted.


# %%
def topic_conditional(documents, terms, topics, i, n_topics, n_terms, alpha, beta):
    """Equation (5): the probability of each topic for token i, given the topics of all other tokens."""
    ### BEGIN SOLUTION
    others = np.arange(len(topics)) != i
    in_document = np.bincount(topics[others & (documents == documents[i])], minlength=n_topics)
    of_term = np.bincount(topics[others & (terms == terms[i])], minlength=n_topics)
    totals = np.bincount(topics[others], minlength=n_topics)
    weights = (in_document + alpha) * (of_term + beta) / (totals + n_terms * beta)
    return weights / weights.sum()
    ### END SOLUTION


# %%
check.topic_conditional(topic_conditional)

# %% [markdown]
# ## 4 · The sampler
#
# Counting anew for each token would be slow. A chain keeps the three tables, takes a token out before its draw, and puts
# it back with its new topic.


# %%
class Chain:
    """The topic of each token, and the three tables that count them."""

    def __init__(self, documents, terms, topics, shape):
        self.documents, self.terms, self.topics = documents.tolist(), terms.tolist(), topics.tolist()
        self.doc_topic, self.term_topic, self.totals = count_tables(documents, terms, topics, shape)

    def count(self, i, by):
        d, w, k = self.documents[i], self.terms[i], self.topics[i]
        self.doc_topic[d, k] += by
        self.term_topic[w, k] += by
        self.totals[k] += by

    def weights(self, i, alpha, beta):
        """The right-hand side of (5), if token i has been taken out."""
        in_document, of_term = self.doc_topic[self.documents[i]], self.term_topic[self.terms[i]]
        return (in_document + alpha) * (of_term + beta) / (self.totals + len(self.term_topic) * beta)


# %% [markdown]
# Is (5) what follows from (4)? Before we use it, compare: put each topic on a token in turn, compute the joint by (4),
# and normalise. That is slow and needs no derivation.

# %%
rng = np.random.default_rng(1)
documents, terms, topics = rng.integers(0, (4, 6, 3), size=(30, 3)).T
chain = Chain(documents, terms, topics, (4, 6, 3))
chain.count(7, -1)
formula = chain.weights(7, 0.5, 0.3)
joints = []
for k in range(3):
    doc_topic, term_topic, _ = count_tables(
        documents, terms, np.where(np.arange(30) == 7, k, topics), (4, 6, 3)
    )
    joints.append(np.exp(log_joint(doc_topic, term_topic, 0.5, 0.3)))
print("equal:", np.allclose(formula / formula.sum(), joints / np.sum(joints)))


# %% [markdown]
# To draw from weights that do not sum to 1: lay them end to end on a line, choose a point on it uniformly, and see in
# whose stretch it lies. The uniform numbers come from outside, which will be of use in section 6. (`careful=False` is a
# mistake, for section 5.)


# %%
def sweep(chain, alpha, beta, uniforms, careful=True):
    """Draw every token's topic anew, in place; uniforms has a number in [0, 1) for each token."""
    for i, uniform in enumerate(uniforms):
        if careful:
            chain.count(i, -1)
        ends = chain.weights(i, alpha, beta).cumsum()
        if not careful:
            chain.count(i, -1)
        chain.topics[i] = int(ends.searchsorted(uniform * ends[-1], side="right"))
        chain.count(i, +1)


# %% [markdown]
# Now the bars. All topics are drawn at random at first. After each sweep we keep the topics as the chain sees them,
# estimated by $\hat\varphi_{kw} = (n_{kw} + \beta)/(n_k + V\beta)$, which is (3) again: the probability that topic $k$
# gives term $w$ next.

# %%
tokens = Tokens.from_matrix(csr_matrix(counts.astype(float)))  # the matrix, written out token by token
shape = (n_documents, V, K)
alpha, beta, n_sweeps = 0.3, 0.1, 60
rng = np.random.default_rng(2)
chain = Chain(tokens.documents, tokens.terms, rng.integers(K, size=len(tokens)), shape)
seen, joint = [], []
for number in range(n_sweeps + 1):
    seen.append(((chain.term_topic + beta) / (chain.totals + V * beta)).T)
    joint.append(log_joint(chain.doc_topic, chain.term_topic, alpha, beta) / len(tokens))
    if number < n_sweeps:
        sweep(chain, alpha, beta, rng.random(len(tokens)))

# %%
shown = (0, 2, 5, 10, 20, 40, 60)
figure, rows = plt.subplots(len(shown), K, figsize=(9, 6.3))
for row, number in zip(rows, shown, strict=True):
    draw_images(row, seen[number], darkest=0.2)
    row[0].set_ylabel(f"sweep {number}", rotation=0, ha="right", va="center")
for k in range(K):
    rows[-1, k].set_xlabel(f"topic {k}")
plt.show()

# %% [markdown]
# **What to see.** One row is one state of the chain, one column one topic. At first all topics are the average of all
# documents. Nothing tells them apart but chance; then a topic that happens to have a little more of one bar draws more
# of that bar's pixels to itself, because (5) favours what a topic already has. At the end there are ten bars. Their order
# is arbitrary: another seed gives another one.
#
# The same with a slider, if you run the notebook:


# %%
def picture(number):
    figure, axes = plt.subplots(1, K, figsize=(9, 1.2))
    draw_images(axes, seen[number], darkest=0.2)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90, metadata={"Software": None})
    plt.close(figure)
    return file.getvalue()


slider = widgets.IntSlider(value=10, min=0, max=n_sweeps, description="sweep")
image = widgets.Image(value=picture(slider.value), format="png")
slider.observe(lambda change: setattr(image, "value", picture(change["new"])), names="value")
widgets.VBox([slider, image])

# %% [markdown]
# And the joint probability (4) of each state, beside that of the truth: of the topics from which the story drew the
# tokens. (We draw those again, given $\theta$, $\varphi$ and the term: the topic of a token has the probability
# $\theta_{dk}\varphi_{kw}$, normalised.)

# %%
truth = shares[tokens.documents] * bars[:, tokens.terms].T
truth = truth.cumsum(axis=1) > rng.random((len(tokens), 1)) * truth.sum(axis=1, keepdims=True)
tables = count_tables(tokens.documents, tokens.terms, truth.argmax(axis=1), shape)
of_truth = log_joint(*tables[:2], alpha, beta) / len(tokens)
figure, axis = plt.subplots(figsize=(6, 3))
axis.axhline(of_truth, color=INK, linewidth=1, label="the topics of the story")
axis.plot(joint, color=BLUE, label="the chain")
axis.set(xlabel="sweep", ylabel="log p(w, z) per token (nats)")
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** The chain climbs towards the level of the truth, and then wanders about. It does not stop, and it must
# not: it is not looking for the best $z$, it draws from $p(z \mid w)$. The first part, the climb, says more about where
# the chain started than about the posterior. It is thrown away: that is the *burn-in*.
#
# A small gap to the truth remains. Bars are tidier than topics drawn from a Dirichlet with $\beta = 0.1$, which allows
# every topic a little of every pixel, and the chain makes use of that. (Draw `bars` from that Dirichlet instead, and the
# gap closes.)

# %% [markdown]
# ## 5 · Is it right? The exact posterior of a tiny corpus
#
# Nice pictures prove little, as we shall see: a wrong sampler can find the bars too. But for six tokens and two topics
# there are only $2^6 = 64$ states, so here the posterior can be computed exactly: (4) for each, divided by the sum.

# %%
tiny = Tokens.from_matrix(csr_matrix([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]))  # the texts "a a b" and "b c c"
states = np.array(list(itertools.product(range(2), repeat=6)))
log_joints = [
    log_joint(*count_tables(tiny.documents, tiny.terms, state, (2, 3, 2))[:2], 0.5, 0.3) for state in states
]
exact = np.exp(log_joints) / np.exp(log_joints).sum()
order = np.argsort(-exact.round(9), kind="stable")  # rounded, so that equal ones keep their order
for state in order[:4]:
    print(states[state], f"{exact[state]:.3f}")

# %% [markdown]
# The two most probable states give each document a topic of its own. With the topics exchanged, a state is another one,
# but its probability is the same: the posterior does not know which topic is called 0. In the states that come next, one
# of the two `b` has gone over to the other document's topic.
#
# Now run the sampler for 20,000 sweeps, and count how often each state is visited. Beside it the careless one, which
# does *not* take the token out before it computes the weights. It is the usual mistake: then a token votes for the topic
# that it already has.


# %%
def visits(careful, n_sweeps=20_000):
    rng = np.random.default_rng(3)
    chain = Chain(tiny.documents, tiny.terms, np.zeros(6, dtype=int), (2, 3, 2))
    number = np.zeros(64)
    for uniforms in rng.random((n_sweeps, 6)):
        sweep(chain, 0.5, 0.3, uniforms, careful)
        number[int("".join(map(str, chain.topics)), base=2)] += 1
    return number / n_sweeps


frequency = {"the sampler": visits(careful=True), "current token not removed": visits(careful=False)}
for name, found in frequency.items():
    print(f"{name:26} distance from the posterior {np.abs(found - exact).sum() / 2:.2f}")

# %%
figure, axis = plt.subplots(figsize=(8, 3))
axis.bar(range(64), exact[order], color="#e6e9ee", width=1, label="exact posterior")
for (name, found), colour, mark in zip(frequency.items(), (BLUE, ORANGE), ("o", "x"), strict=True):
    axis.plot(found[order], mark, color=colour, markersize=4, label=name)
axis.set(xlabel="the 64 states, most probable first", ylabel="probability, or share of sweeps", xlim=(-1, 64))
axis.legend()
plt.show()

# %% [markdown]
# **What to see.** The blue points lie on the grey bars: the chain visits each state as often as it should. (The
# *distance* printed above is half the sum of the differences, 0 for equal distributions and 1 for those that share
# nothing; 20,000 draws leave a little noise.) The orange crosses are another distribution. The careless sampler is in
# the two most probable states nearly a third too often, and in most others too rarely: it is too sure of itself. On
# the bars one would not have noticed:


# %%
def bars_found(topic_word):
    """How many bars differ from some topic by less than a quarter, in half the sum of the differences."""
    distance = np.abs(topic_word[:, None] - bars[None]).sum(axis=2) / 2
    return int((distance.min(axis=0) < 0.25).sum())


rng = np.random.default_rng(2)
careless = Chain(tokens.documents, tokens.terms, rng.integers(K, size=len(tokens)), shape)
for _ in range(n_sweeps):
    sweep(careless, alpha, beta, rng.random(len(tokens)), careful=False)
found = ((careless.term_topic + beta) / (careless.totals + V * beta)).T
print("bars found by the sampler:", bars_found(seen[-1]), "and by the careless one:", bars_found(found))

# %% [markdown]
#
# **Why it works.** Let $a$ and $b$ be two states that differ in token $i$ at most. Resampling token $i$ leads from $a$ to
# $b$ with the probability $p(b) / \sum_c p(c)$, where $c$ runs over the states that differ from $a$ in token $i$ at most.
# Those are the same states seen from $a$ and from $b$. So if the chain is in state $a$ with probability $p(a)$, then the
# flow from $a$ to $b$, which is $p(a)\,p(b)/\sum_c p(c)$, equals the flow from $b$ to $a$. Nothing changes on
# balance: once a chain is distributed as the posterior, it stays so. And as every state can be reached from every other,
# it gets there from anywhere.
#
# ### Exercise 3 · The chain as a matrix (3 points)
#
# `states` is an array `(n_states, n_tokens)`, in which each row is an assignment of topics, and every possible one occurs
# once; `log_joints` has the shape `(n_states,)`. Give the matrix `P` of shape `(n_states, n_states)` in which `P[a, b]` is
# the probability that resampling token `i`, and only that, leads from state `a` to state `b`.


# %%
def resampling_matrix(states, log_joints, i):
    """The probabilities P[a, b] of going from state a to state b when the topic of token i is drawn anew."""
    ### BEGIN SOLUTION
    others = np.delete(states, i, axis=1)
    alike = (others[:, None] == others[None]).all(axis=2)
    weights = alike * np.exp(log_joints - np.max(log_joints))
    return weights / weights.sum(axis=1, keepdims=True)
    ### END SOLUTION


# %%
check.resampling_matrix(resampling_matrix)

# %% [markdown]
# If it passes, multiply the matrices of the six tokens of the tiny corpus: that is the matrix of a sweep. Is `exact @ P`
# equal to `exact`? Start with all probability on one state, and multiply by `P` again and again: after how many sweeps is
# the distance from the posterior below 0.01?

# %% [markdown]
# ## 6 · The library's sampler makes the same draws
#
# `minillm_lib.topics.gibbs_sampler.GibbsSampler` is the same algorithm, compiled by numba to machine code. It draws its
# uniform numbers from a small generator, SplitMix64 (Steele, Lea and Flood 2014), which is six lines in Python. Given the
# same start and the same numbers, our chain must make the same draws, all of them. (It adds up weights in float32 and
# uses 23 bits of each number, so that once in a few million draws, on the border of two topics, it could differ.)


# %%
def splitmix64(state):
    """The library's random numbers in [0, 1): SplitMix64, the upper 53 bits of each output."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        yield ((mixed ^ (mixed >> 31)) >> 11) / 2**53


# %%
seed = 4
library = GibbsSampler(tokens, K, alpha=np.full(K, alpha), beta=beta, seed=np.random.SeedSequence(seed))
start = np.random.SeedSequence(seed).spawn(1)[0].generate_state(1, np.uint64)[0]
numbers = splitmix64(int(start))
ours = Chain(tokens.documents, tokens.terms, library.assignments, shape)
for _ in range(5):
    library.sweep()
    sweep(ours, alpha, beta, itertools.islice(numbers, len(tokens)))
    print("all 6,000 topics equal:", np.array_equal(ours.topics, library.assignments))

# %% [markdown]
# So are the quantities that follow from the counts: the log-likelihood, $\hat\varphi$ and $\hat\theta$, the last by (3)
# for the document's next token, $\hat\theta_{dk} = (n_{dk} + \alpha)/(n_d + K\alpha)$.

# %%
phi = ((ours.term_topic + beta) / (ours.totals + V * beta)).T
theta = (ours.doc_topic + alpha) / (length + K * alpha)
print("phi:  ", np.allclose(phi, library.topic_word()))
print("theta:", np.allclose(theta, library.doc_topic()))
own = log_joint(ours.doc_topic, ours.term_topic, alpha, beta) / len(tokens)
print("log p:", np.isclose(own, library.log_likelihoods[-1]))

# %% [markdown]
# The library has this sweep three times. `kernels/dense.py` is the loop of section 4. `kernels/register.py`, for up to 32
# topics, keeps the counts in the processor's vector registers and computes all topics at once. `kernels/sparse.py`, for
# many topics, uses that (1) is a sum of three parts, of which only the third has all topics in it (Yao, Mimno and
# McCallum 2009):
#
# $$\frac{(n_{dk} + \alpha_k)(n_{kw} + \beta)}{t_k} = \frac{(n_{dk} + \alpha_k)\, n_{kw}}{t_k} +
# \frac{n_{dk}\, \beta}{t_k} + \frac{\alpha_k\, \beta}{t_k}, \qquad t_k = n_k + V\beta .$$
#
# The first part is zero for all topics that the term does not have, the second for all that the document does not have,
# and the third is small. So a draw looks at ten or twenty topics, even if there are a thousand. All three sample from the
# same distribution, and the tests hold each of them against the exact posterior, as section 5 did.

# %%
sparse = GibbsSampler(
    tokens, K, alpha=np.full(K, alpha), beta=beta, seed=np.random.SeedSequence(2), kernel="sparse"
)
for _ in range(200):
    sparse.sweep()
print("bars found by the sparse sampler:", bars_found(sparse.topic_word()))

# %% [markdown]
# From here on we use the library's, which is much faster. How sure is it that a chain finds the bars? Twenty chains, each
# with its own seed:

# %%
found = {20: [], 60: [], 200: []}
for seed in range(20):
    chain = GibbsSampler(tokens, K, alpha=np.full(K, alpha), beta=beta, seed=np.random.SeedSequence(seed))
    for number in range(1, 201):
        chain.sweep()
        if number in found:
            found[number].append(bars_found(chain.topic_word()))
for number, of_chains in found.items():
    print(f"after {number:3} sweeps {of_chains.count(10):2} of 20 chains have all ten bars")

# %% [markdown]
# Some chains take longer: two topics share a bar while a third holds two, and to change that, many tokens must change at
# once. Here all get there in the end. On real text they need not: notebook 03 has to deal with that.
#
# `GibbsLDA` wraps the sampler as a scikit-learn estimator: it runs one or several chains, averages over the states after
# the burn-in, and folds in new documents. Here one chain is enough:

# %%
lda = GibbsLDA(K, n_sweeps=400, alpha=alpha, beta=beta, n_chains=1, random_state=0).fit(counts)
distance = np.abs(lda.topic_word_[:, None] - bars[None]).sum(axis=2) / 2
of_bar = distance.argmin(axis=0)  # the topic that is nearest to each bar
print("bars found:", bars_found(lda.topic_word_), "by different topics:", len(set(of_bar)) == K)
figure, axis = plt.subplots(figsize=(3.6, 3.4))
axis.plot([0, 1], [0, 1], color=INK, linewidth=1)
axis.plot(shares.ravel(), lda.doc_topic_[:, of_bar].ravel(), ".", color=BLUE, markersize=3, alpha=0.5)
axis.set(xlabel="share drawn by the story", ylabel="share found, mean of samples", aspect="equal")
plt.show()

# %% [markdown]
# **What to see.** A point is a document and a topic. The points follow the diagonal, but they scatter: from 40 tokens
# nobody can read shares to the percent. And none is at zero: $\alpha$ counts like $K\alpha = 3$ tokens that were never
# there, spread evenly over the topics, so the smallest shares come out too large, and the large ones a little too small.
#
# ## Summary
#
# - LDA's story: a document draws shares of topics, each token draws a topic, then a term from it.
# - A Dirichlet prior can be integrated out. What is left are counts, and "one more token" is Pólya's urn:
#   $(n_k + \alpha_k)/(n + \sum\alpha)$.
# - Collapsed Gibbs sampling draws each token's topic from $(n_{dk} + \alpha)(n_{kw} + \beta)/(n_k + V\beta)$, all counts
#   without the token itself. It leaves the posterior unchanged, and approaches it from any start.
# - A sampler is tested against the exact posterior of a tiny corpus. Pictures do not show the usual mistake; that test
#   does.
#
# **In the library:** `minillm_lib/topics/gibbs_sampler.py` (the chain), `minillm_lib/topics/kernels/` (the sweeps),
# `minillm_lib/topics/gibbs_lda.py` (the estimator).
# **Next:** [03 · Topics of a thousand papers](03_lda_neurips.ipynb).
#
# **To read on.** Griffiths and Steyvers 2004 for the sampler and the bars; Blei, Ng and Jordan 2003 for LDA and for its
# other way of fitting, variational inference; Heinrich 2005, "Parameter estimation for text analysis", for all
# derivations at length; Yan, Xu and Qi 2009, "Parallel inference for latent Dirichlet allocation on graphics processing
# units", for many threads; Wallach, Mimno and McCallum 2009, "Rethinking LDA: why priors matter", for $\alpha$ and
# $\beta$.
