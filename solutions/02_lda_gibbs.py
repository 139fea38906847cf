# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 02 · LDA by Gibbs sampling
#
# **What you build.** A topic model: the process by which it explains documents, the one formula by which it is fitted,
# derived from start to end, and a sampler, assembled from two functions that you write, that finds ten hidden topics. Then two tests:
# does it visit states as often as the exact posterior says, and does it make the same draws as the library's?
#
# **What you need.** Probabilities (product rule, Bayes' rule), a little NumPy. The document–term matrix of notebook 01.
#
# **How long.** About 100 minutes to work through, with the exercises. All cells together run in under 40 seconds on two CPU cores.
#
# > **中文提要** LDA 假设：每个主题是词上的概率分布，每篇文档是主题的混合，每个词先抽主题再抽词。反过来，只看到词，要推断每个词来自哪个主题。本节用盘式图表示这个生成过程，把主题分布与文档的主题比例积分掉（Dirichlet 积分），完整推导出坍缩 Gibbs 采样的条件概率，由你写出一轮扫描；在 Griffiths 与 Steyvers 的 5×5 “条形”实验中逐轮观察主题如何显现；再在极小语料上枚举全部状态，检验采样频率是否等于精确后验；最后验证：给定同样的随机数，它与库中的采样器逐次抽样完全相同。最常见的错误——忘记先移除当前词——会得到错误的分布。

# %%
import itertools

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import gammaln

from minillm_lib import GibbsLDA, check, course
from minillm_lib.topics import GibbsSampler, Tokens
from minillm_lib.viz import BLUE, INK, ORANGE, PALE, interactive_figure
from minillm_lib.viz.course_figures import plot_lda_plates

course.setup()

# %% [markdown]
# ## 1 · The generative process
#
# A topic model begins with a *generative process*: an account of how documents come about. Nobody believes it word for word; it is useful because
# it can be turned round. This one is *latent Dirichlet allocation*, LDA (Blei, Ng and Jordan 2003,
# [JMLR 3](https://jmlr.org/papers/v3/blei03a.html)):
#
# 1. There are $K$ topics. Topic $k$ is a probability for each of the $V$ terms, a vector $\varphi_k$.
# 2. Each document $d$ mixes the topics in its own shares, a vector $\theta_d$ of $K$ numbers that sum to 1.
# 3. For each token: draw a topic $z$ from $\theta_d$, then a term $w$ from $\varphi_z$.
#
# We see the terms only. The topic of each token, the topics and the shares are to be found.
#
# To see whether they *are* found we need documents of which we know the topics. Griffiths and Steyvers (2004, "Finding
# scientific topics", PNAS 101) had a good idea: let the vocabulary be the 25 pixels of a 5×5 image. A topic is then an
# image; theirs are the ten bars. A document is an image too: how often was each pixel drawn?

# %%
K, V = 10, 25
pixels = np.arange(V).reshape(5, 5)
bars = np.zeros((K, V))
for i in range(5):
    bars[i, pixels[i]] = bars[5 + i, pixels[:, i]] = 1 / 5

rng = np.random.default_rng(0)
n_documents, length = 100, 30
shares = rng.dirichlet(np.full(K, 0.2), size=n_documents)  # theta, a row for each document
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
# **What to see.** The top row is what we hide; below it are twenty of the 100 documents that we show. The stronger the colour, the more frequent.
# In some documents one or two bars can be made out. From the blurred images we want the top row back.
#
# Models of this kind are often drawn as a *plate diagram*:

# %%
plot_lda_plates()

# %% [markdown]
# **What to see.** A circle is a random variable, and an arrow says what it is drawn from. A *plate* stands for a repetition, as often as its corner
# says. Only the filled circle is observed: the terms. What has no circle is chosen by us. The arrow from $\varphi$ into the
# plate of the tokens is what the documents have in common: without it, each would have topics of its own.
#
# ### Where the shares come from
#
# We drew $\theta_d$ from a *Dirichlet distribution*, and LDA draws each $\varphi_k$ from one as well. It is a
# distribution over vectors $\theta$ of positive numbers that sum to 1, with the density
#
# $$p(\theta) = \frac{\Gamma(\sum_k \alpha_k)}{\prod_k \Gamma(\alpha_k)} \prod_k \theta_k^{\alpha_k - 1} . \tag{1}$$
#
# The product on the right is the shape. (The vectors that it is about are a piece of a plane, a *simplex*: for $K = 3$ a triangle with the
# three pure topics in its corners.) The fraction is there to make the integral 1, so that
# $\int \prod_k \theta_k^{\alpha_k-1}\,d\theta = \prod_k \Gamma(\alpha_k) / \Gamma(\sum_k \alpha_k)$: remember that. The
# *gamma function* continues the factorial, $\Gamma(n) = (n-1)!$, and obeys $\Gamma(x + 1) = x\,\Gamma(x)$.
#
# A small $\alpha$ gives lopsided shares (few topics per document), a large one even shares. We give all topics the same
# $\alpha$ and all terms the same $\beta$.

# %% [markdown]
# ## 2 · Turned round: integrate out what you do not need
#
# Let $z$ stand for the topics of all tokens and $w$ for their terms. What we want is the *posterior* $p(z \mid w)$, which
# by Bayes' rule is proportional to the *joint* probability $p(w, z)$. That one we can compute, although neither
# $\theta$ nor $\varphi$ is known: we integrate over them.
#
# **One sequence.** Given $\theta$, a sequence of $n$ topics in which topic $k$ occurs $c_k$ times has the probability
# $\prod_k \theta_k^{c_k}$. Multiply by (1) and integrate:
#
# $$p(z_1, \dots, z_n) = \frac{\Gamma(\sum_k\alpha_k)}{\prod_k\Gamma(\alpha_k)} \int \prod_k
# \theta_k^{c_k + \alpha_k - 1}\, d\theta
# = \frac{\Gamma(\sum_k\alpha_k)}{\Gamma(n + \sum_k\alpha_k)} \prod_k \frac{\Gamma(c_k + \alpha_k)}{\Gamma(\alpha_k)} .
# \tag{2}$$
#
# The integral is the one to remember, with $c_k + \alpha_k$ in place of $\alpha_k$. Only the counts are left in it: the
# order of the topics does not matter.
#
# ### Exercise 1 · Write it (1 point)
#
# Give the logarithm of (2), for `counts` $c_k$ and `prior` $\alpha_k$, both arrays of shape `(K,)`. `gammaln` is the
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
# **One more token.** What is the probability that the next topic is $k$, after $n$ topics with counts $c_1, \dots, c_K$?
# Divide (2) with $c_k + 1$ by (2). By $\Gamma(x+1) = x\,\Gamma(x)$ nearly everything cancels:
#
# $$p(z_{n+1} = k \mid z_1, \dots, z_n) = \frac{c_k + \alpha_k}{n + \sum_j \alpha_j} . \tag{3}$$
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
# Here $n_d$ is the number of tokens of document $d$, $n_{dk}$ how many of them have topic $k$, and $n_k = \sum_w n_{kw}$ how many
# tokens of the whole corpus have it. Since the parameters are integrated out, the model is called *collapsed*.
#
# Each factor of (4) is equation (2), so the logarithm is a sum of what you have just written, over the rows of two
# tables of counts. (`check.log_sequence_probability.function` is your function if it passed, and the library's otherwise.)

# %%
log_sequence_probability = check.log_sequence_probability.function


def count_tables(documents, terms, topics, shape):
    """n_dk and n_kw, for a corpus of shape (documents, terms, topics)."""
    n_documents, n_terms, n_topics = shape
    doc_topic, topic_term = np.zeros((n_documents, n_topics)), np.zeros((n_topics, n_terms))
    np.add.at(doc_topic, (documents, topics), 1)
    np.add.at(topic_term, (topics, terms), 1)
    return doc_topic, topic_term


def log_joint(documents, terms, topics, shape, alpha, beta):
    """Logarithm of equation (4)."""
    tables = count_tables(documents, terms, topics, shape)
    pairs = [(row, prior) for table, prior in zip(tables, (alpha, beta), strict=True) for row in table]
    return sum(log_sequence_probability(row, np.full(len(row), prior)) for row, prior in pairs)


# %% [markdown]
# ## 3 · The one formula
#
# The posterior is (4), divided by its sum over all $z$. For our 3,000 tokens and ten topics that sum has $10^{3000}$
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
# The first denominator is the same for all $k$, so it can go; the second is not. It counts the tokens of topic $k$ in the
# *whole corpus*, while $n_d$ counts those of one document. In words: a topic is likely for this
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
# Is (5) what follows from (4)? Before we use it, compare: put each topic on a token in turn, compute the joint by (4),
# and normalise. That is slow and needs no derivation.

# %%
topic_conditional = check.topic_conditional.function  # yours if it passed, and the library's otherwise
documents, terms, topics = np.random.default_rng(1).integers(0, (4, 6, 3), size=(30, 3)).T
others = [np.where(np.arange(30) == 7, k, topics) for k in range(3)]
joints = np.exp([log_joint(documents, terms, other, (4, 6, 3), 0.5, 0.3) for other in others])
formula = topic_conditional(documents, terms, topics, 7, 3, 6, 0.5, 0.3)
print("equal:", np.allclose(formula, joints / joints.sum()))

# %% [markdown]
# ## 4 · The sampler
#
# A *sweep* draws the topic of every token anew, one token after the other. How does one draw with given probabilities? Lay them end to
# end on the line from 0 to 1, topic 0 first; choose a point of the line at random; take the topic in whose stretch it lies. The
# random points come from outside, which will be of use in section 6.
#
# ### Exercise 3 · A sweep (3 points)
#
# `topics` is an array with one entry for each token. `conditional(topics, i)` gives the probabilities of the topics for token `i`, of shape
# `(n_topics,)`, given the topics of all other tokens. `uniforms` has a number in $[0, 1)$ for each token. Give the topics after one
# sweep, in the order of the tokens, as a *new* array.


# %%
def gibbs_sweep(topics, conditional, uniforms):
    """Draw every token's topic anew, given those of all the others."""
    ### BEGIN SOLUTION
    topics = topics.copy()
    for i, uniform in enumerate(uniforms):
        ends = np.cumsum(conditional(topics, i))
        topics[i] = np.searchsorted(ends, uniform * ends[-1], side="right")
    return topics
    ### END SOLUTION


# %%
check.gibbs_sweep(gibbs_sweep)

# %% [markdown]
# Now the bars, with your sweep and your conditional, if both have passed. All topics are drawn at random at first. After each
# sweep we keep the topics as the chain sees them, estimated by $\hat\varphi_{kw} = (n_{kw} + \beta)/(n_k + V\beta)$, which is (3)
# again: the probability that topic $k$ gives term $w$ next. (A *chain*, in full a *Markov chain*, is a sequence of random states
# in which each depends on the one before it only.)

# %% tags=["nbval-ignore-output"]
gibbs_sweep = check.gibbs_sweep.function
print("conditional:", check.topic_conditional.whose, "· sweep:", check.gibbs_sweep.whose)

# %%
documents, terms = np.repeat(np.argwhere(counts), counts[counts > 0], axis=0).T  # token by token
shape, alpha, beta, n_sweeps = (n_documents, V, K), 0.2, 0.1, 40


def conditional(topics, i):
    return topic_conditional(documents, terms, topics, i, K, V, alpha, beta)


def estimated_topics(topics):
    topic_term = count_tables(documents, terms, topics, shape)[1]
    return (topic_term + beta) / (topic_term.sum(axis=1, keepdims=True) + V * beta)


# %%
rng = np.random.default_rng(3)
chain = [rng.integers(K, size=len(terms))]
for _ in range(n_sweeps):
    chain.append(gibbs_sweep(chain[-1], conditional, rng.random(len(terms))))
seen = [estimated_topics(topics) for topics in chain]
joint = [log_joint(documents, terms, topics, shape, alpha, beta) / len(terms) for topics in chain]

# %%
shown = (0, 2, 5, 10, 20, 30, 40)
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
def topics_after(sweep):
    figure, axes = plt.subplots(1, K, figsize=(9, 1.2))
    draw_images(axes, seen[sweep], darkest=0.2)
    return figure


slider = widgets.IntSlider(value=10, min=0, max=n_sweeps, description="sweep")
interactive_figure(topics_after, {"sweep": slider}, max_width=810)

# %% [markdown]
# And the joint probability (4) of each state, beside that of the truth: of the topics from which the process drew the
# tokens. (We draw those again, given $\theta$, $\varphi$ and the term: the topic of a token has the probability
# $\theta_{dk}\varphi_{kw}$, normalised.)

# %%
truth = shares[documents] * bars[:, terms].T
truth = truth.cumsum(axis=1) > rng.random((len(terms), 1)) * truth.sum(axis=1, keepdims=True)
of_truth = log_joint(documents, terms, truth.argmax(axis=1), shape, alpha, beta) / len(terms)
figure, axis = plt.subplots(figsize=(6, 3))
axis.axhline(of_truth, color=INK, linewidth=1, label="the true topics")
axis.plot(joint, color=BLUE, label="the chain")
axis.set(xlabel="sweep", ylabel="log p(w, z) per token (nats)")
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# **What to see.** The chain climbs to just below the level of the truth, and from about sweep 30 on it mostly wanders up and down.
# It does not stop, and it must not: it is not looking for the best $z$, it draws from $p(z \mid w)$. The first part, the climb, says more about where
# the chain started than about the posterior. It is thrown away: that is the *burn-in*.
#
# (The true topics are not the best $z$ either. Bars are tidier than topics drawn from a Dirichlet with $\beta = 0.1$, and
# the two levels need not be equal.)

# %% [markdown]
# ## 5 · Is it right? The exact posterior of a tiny corpus
#
# Nice pictures prove little, as we shall see: a wrong sampler can find the bars too. But for six tokens and two topics
# there are only $2^6 = 64$ states, so here the posterior can be computed exactly: (4) for each, divided by the sum.

# %%
tiny = (
    np.array([0, 0, 0, 1, 1, 1]),
    np.array([0, 0, 1, 1, 2, 2]),
)  # documents and terms of "a a b" and "b c c"
states = np.array(list(itertools.product(range(2), repeat=6)))
log_joints = [log_joint(*tiny, state, (2, 3, 2), 0.5, 0.3) for state in states]
exact = np.exp(log_joints) / np.exp(log_joints).sum()
order = sorted(range(64), key=lambda number: -exact[number].round(9))  # equal ones keep their order
for state in order[:4]:
    print(states[state], f"{exact[state]:.3f}")

# %% [markdown]
# The two most probable states give each document a topic of its own. With the topics exchanged, a state is another one,
# but its probability is the same: the posterior does not know which topic is called 0. In the states that come next, one
# of the two `b` has gone over to the other document's topic.
#
# Now run the sampler for 8,000 sweeps, and count how often each state is visited. Beside it a careless one, which
# does *not* take the token out before it computes the weights. It is the usual mistake: then a token votes for the topic
# that it already has. (Here the mistake is made by giving the corpus a second copy of the token, which is not taken out.)


# %%
def tiny_conditional(topics, i):
    return topic_conditional(*tiny, topics, i, 2, 3, 0.5, 0.3)


def careless_conditional(topics, i):
    with_copy = [np.append(array, array[i]) for array in (*tiny, topics)]
    return topic_conditional(*with_copy, i, 2, 3, 0.5, 0.3)


def visits(conditional, n_sweeps=8_000):
    topics, number = np.zeros(6, dtype=int), np.zeros(64)
    for uniforms in np.random.default_rng(3).random((n_sweeps, 6)):
        topics = gibbs_sweep(topics, conditional, uniforms)
        number[topics @ (32, 16, 8, 4, 2, 1)] += 1  # the number of the state
    return number / n_sweeps


# %%
frequency = {"the sampler": visits(tiny_conditional), "token not taken out": visits(careless_conditional)}
distance = {name: np.abs(found - exact).sum() / 2 for name, found in frequency.items()}
print({name: round(float(value), 1) for name, value in distance.items()})

# %%
figure, axis = plt.subplots(figsize=(4.6, 4.4))
axis.axline((0, 0), slope=1, color=INK, linewidth=1)
for (name, found), colour, mark in zip(frequency.items(), (BLUE, ORANGE), ("o", "x"), strict=True):
    axis.plot(exact, found, mark, color=colour, markersize=5, label=name)
axis.set(xlabel="exact posterior probability of a state", ylabel="share of the sweeps that end in it")
axis.legend(loc="upper left")
plt.show()
right, wrong = (found[order] / exact[order] for found in frequency.values())
print("the two most probable states, visited as often as they should be:", abs(right[:2].mean() - 1) < 0.1)
print("and by the careless one too often by a fifth or more:", wrong[:2].mean() > 1.2)

# %% [markdown]
# **What to see.** A point is one of the 64 states. The blue ones lie on the line: the chain visits each state as often as it should, up to the
# noise of 8,000 draws. The orange crosses are another distribution. The careless sampler is in the most probable
# states (right) too often, and in most others too rarely: it is too sure of itself. (The *distance* printed above is half the sum of the differences, 0 for
# equal distributions and 1 for those that share nothing.) On the bars one would not have noticed:


# %%
def bars_found(topic_word):
    """How many bars differ from some topic by less than a quarter, in half the sum of the differences."""
    distance = np.abs(topic_word[:, None] - bars[None]).sum(axis=2) / 2
    return int((distance.min(axis=0) < 0.25).sum())


def careless_on_bars(topics, i):
    with_copy = [np.append(array, array[i]) for array in (documents, terms, topics)]
    return topic_conditional(*with_copy, i, K, V, alpha, beta)


# %%
rng = np.random.default_rng(3)
careless = rng.integers(K, size=len(terms))
for _ in range(n_sweeps):
    careless = gibbs_sweep(careless, careless_on_bars, rng.random(len(terms)))
found = bars_found(seen[-1]), bars_found(estimated_topics(careless))
print("bars found by the sampler, and by the careless one: nine or ten each:", min(found) >= 9)

# %% [markdown]
# **Why it works.** Three things are needed, and Gibbs sampling has them.
#
# *Each update leaves the posterior as it is.* Let $a$ and $b$ be two states that differ in token $i$ at most. Drawing token $i$ anew leads
# from $a$ to $b$ with the probability $p(b) / \sum_c p(c)$, where $c$ runs over the states that differ from $a$ in token $i$ at most.
# Those are the same states seen from $a$ and from $b$. So if the chain is in state $a$ with probability $p(a)$, then the
# flow from $a$ to $b$, which is $p(a)\,p(b)/\sum_c p(c)$, equals the flow from $b$ to $a$. Nothing changes on
# balance. A sweep makes such updates one after the other; each leaves $p$ as it is, so the sweep does, too.
#
# *Every state can be reached from every other* (the chain is *irreducible*): since $\alpha$ and $\beta$ are positive, no topic ever has the
# probability 0.
#
# *It does not go round in step* (it is *aperiodic*): a state may follow itself. A chain that exchanges two states at each step reaches
# both and leaves the even distribution as it is, and yet, begun in one, it never forgets where it was at the even steps.
#
# A chain with a finite number of states that has all three approaches $p$ from any start. How fast, nothing here says: that is what
# notebook 03 has to find out. The careless sampler has the last two only.
#
# ### Exercise 4 · The chain as a matrix (3 points)
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
#
# ### The other way: variational inference
#
# Sampling is not the only way to a posterior. *Variational inference*, with which Blei, Ng and Jordan fitted the first LDA, chooses a family of
# simple distributions $q$, in which the unknowns are independent of each other, and looks for the member that is nearest to the
# posterior, by raising a lower bound of $\ln p(w)$ step by step. That turns sampling into optimisation. It is fast, it stops by itself, it can read a
# corpus in small batches (Hoffman, Blei and Bach 2010), and scikit-learn's `LatentDirichletAllocation` does it this way. The price: no member of the family
# is the posterior, so what it finds stays an approximation however long it runs, while a chain is exact in the limit; and like a chain,
# it may end at one peak of several. We stay with sampling, which can be tested as above.

# %% [markdown]
# ## 6 · The library's sampler makes the same draws
#
# `minillm_lib.topics.gibbs_sampler.GibbsSampler` is the same algorithm, compiled by numba to machine code. It draws its
# uniform numbers from a small generator, SplitMix64 (Steele, Lea and Flood 2014), which is six lines in Python. Given the
# same start and the same numbers, our sweep must make the same draws, all of them. (It adds up weights in float32 and
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
tokens = Tokens.from_matrix(csr_matrix(counts.astype(float)))


def library_sampler(seed, **options):
    """The library's chain on the bars, before its first sweep."""
    seed = np.random.SeedSequence(seed)
    return GibbsSampler(tokens, K, alpha=np.full(K, alpha), beta=beta, seed=seed, **options)


# %%
library = library_sampler(4)
numbers = splitmix64(int(library.state()["generators"][0]))  # from where the library's generator stands
ours = library.assignments.astype(int)
for _ in range(5):
    library.sweep()
    ours = gibbs_sweep(ours, conditional, list(itertools.islice(numbers, len(ours))))
    print("all 3,000 topics equal:", np.array_equal(ours, library.assignments))

# %% [markdown]
# So are the quantities that follow from the counts: the log-likelihood, $\hat\varphi$ and $\hat\theta$, the last by (3)
# for the document's next token, $\hat\theta_{dk} = (n_{dk} + \alpha)/(n_d + K\alpha)$.

# %%
theta = (count_tables(documents, terms, ours, shape)[0] + alpha) / (length + K * alpha)
print("phi:  ", np.allclose(estimated_topics(ours), library.topic_word()))
print("theta:", np.allclose(theta, library.doc_topic()))
own = log_joint(documents, terms, ours, shape, alpha, beta) / len(ours)
print("log p:", np.isclose(own, library.log_likelihoods[-1]))

# %% [markdown]
# Why is it so much faster? Not only because it is compiled. Our sweep counts the whole corpus anew for each token, so its time grows with the
# *square* of the number of tokens. The library keeps three tables, $n_{dk}$, $n_{kw}$ and $n_k$. Before a draw it subtracts 1 for the token in
# each, and after the draw it adds 1 for the new topic: a sweep then takes a time in proportion to the tokens.
#
# The library has this sweep three times. `kernels/dense.py` is that loop. `kernels/register.py`, for up to 32
# topics, keeps the counts in the processor's vector registers and computes all topics at once. `kernels/sparse.py`, for
# many topics, uses the fact that (5) is a sum of three parts, of which only the third has all topics in it (Yao, Mimno and
# McCallum 2009):
#
# $$\frac{(n_{dk} + \alpha_k)(n_{kw} + \beta)}{t_k} = \frac{(n_{dk} + \alpha_k)\, n_{kw}}{t_k} +
# \frac{n_{dk}\, \beta}{t_k} + \frac{\alpha_k\, \beta}{t_k}, \qquad t_k = n_k + V\beta .$$
#
# The first part is zero for all topics that the term does not have, the second for all that the document does not have,
# and the third is small. So a draw looks at ten or twenty topics, even if there are a thousand. All three sample from the
# same distribution, and the tests hold each of them against the exact posterior, as section 5 did.

# %%
sparse = library_sampler(3, kernel="sparse")
for _ in range(200):
    sparse.sweep()
print("bars found by the sparse sampler:", bars_found(sparse.topic_word()))

# %% [markdown]
# From here on we use the library's, which is much faster. How sure is it that a chain finds the bars? Twenty chains, each
# with its own seed:

# %%
found = {20: [], 60: [], 200: []}
for seed in range(20):
    chain = library_sampler(seed)
    for number in range(1, 201):
        chain.sweep()
        if number in found:
            found[number].append(bars_found(chain.topic_word()))
for number, of_chains in found.items():
    print(f"after {number:3} sweeps {of_chains.count(10):2} of 20 chains have all ten bars")

# %% [markdown]
# Some chains take longer: two topics share a bar while a third holds two, and to change that, many tokens must change at
# once. Here all twenty got there; another may not for a long time (give the sparse sampler above the seed 2: it has eight bars after
# 400 sweeps as after 100). On real text that is the rule: notebook 03 has to deal with it.
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
axis.set(xlabel="share drawn by the process", ylabel="share found, mean of samples", aspect="equal")
plt.show()

# %% [markdown]
# **What to see.** A point is a document and a topic. The points follow the diagonal, but they scatter: from 30 tokens
# nobody can read shares to the percent. And none is at zero: $\alpha$ counts like $K\alpha = 2$ tokens that were never
# there, spread evenly over the topics, so the smallest shares come out too large, and the large ones a little too small.
#
# ## Summary
#
# - LDA's generative process: a document draws shares of topics, each token draws a topic, then a term from it.
# - A Dirichlet prior can be integrated out. What is left are counts, and "one more token" is Pólya's urn:
#   $(c_k + \alpha_k)/(n + \sum\alpha)$.
# - Collapsed Gibbs sampling draws each token's topic from $(n_{dk} + \alpha)(n_{kw} + \beta)/(n_k + V\beta)$, all counts
#   without the token itself. Each draw leaves the posterior unchanged, every state can be reached, and the chain is not periodic: so it
#   approaches the posterior from any start.
# - A sampler is tested against the exact posterior of a tiny corpus. Pictures do not show the usual mistake; that test
#   does.
#
# **In the library:** `minillm_lib/topics/gibbs_sampler.py` (the chain), `minillm_lib/topics/kernels/` (the sweeps),
# `minillm_lib/topics/gibbs_lda.py` (the estimator).
# **Next:** [03 · Topics of a thousand papers](03_lda_neurips.ipynb).
#
# **To read on.** Griffiths and Steyvers 2004 for the sampler and the bars; Blei, Ng and Jordan 2003 for LDA and for
# variational inference; Hoffman, Blei and Bach 2010, "Online learning for latent Dirichlet allocation"; Heinrich 2005, "Parameter estimation for text analysis", for all
# derivations at length; Yan, Xu and Qi 2009, "Parallel inference for latent Dirichlet allocation on graphics processing
# units", for many threads; Wallach, Mimno and McCallum 2009, "Rethinking LDA: why priors matter", for $\alpha$ and
# $\beta$.
