# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 03 · Topics of a thousand papers
#
# **What you build.** Ten topics of 1,000 NeurIPS papers, an interactive map of them, and the tools by which one judges a
# topic model: relevance, held-out perplexity, coherence, and, over several chains, R-hat and the stability of each topic.
# Then what the topics say about five years of research, and what they cannot say about any text.
#
# **What you need.** Notebook 01 (the document–term matrix) and 02 (Gibbs sampling).
#
# **How long.** About 90 minutes to work through, with the exercises. All cells together run in under 45 seconds on two CPU cores.
#
# > **中文提要** 用 1,000 篇 NeurIPS 论文（2013–2017）训练十个主题，并学会如何判断主题模型的好坏：用 relevance（λ 在“概率高”与“独特”之间折中）挑选代表词；用 pyLDAvis 交互浏览（离线可用）；用留出困惑度与 NPMI 一致性选择主题数 K——两个指标给出的结论相反；用四条链和 R-hat 检查收敛，结果发现各链停在后验分布的不同峰（众数）上，再看长得多的链改善了什么；哪些主题可信要看它们是否在各链重复出现（主题稳定性）；用自助法给主题随年份的变化加上同时置信区间（一次比较十个主题）；最后证明 LDA 看不见词序：打乱文档中的词，概率完全不变。

# %%
import itertools
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse, stats
from scipy.optimize import linear_sum_assignment

from minillm_lib import GibbsLDA, bag_of_words, check, course, load_neurips
from minillm_lib.topics import compare_topic_counts, pyldavis, summary
from minillm_lib.topics.stability import UNSTABLE, topic_overlap
from minillm_lib.viz import BLUE, ORANGE, topic_plots
from minillm_lib.viz.topic_course_plots import (
    plot_changes,
    plot_long_chains,
    plot_term_lists,
    plot_topics_together,
)

course.setup()

# %% [markdown]
# ## 1 · Ten topics
#
# Four chains of 1,000 sweeps over the counts of notebook 01, side by side; $\alpha$ and $\beta$ are 0.1. All of these are the
# defaults. Of each chain, the second half is averaged. Then the chains are compared, and what they agree on is shown: a
# *consensus*, which section 5 takes apart.

# %%
papers = load_neurips()
print(papers)
lda = GibbsLDA(n_topics=10, random_state=0).fit(papers)
print("topics:", lda.topic_word_.shape, " shares:", lda.doc_topic_.shape, " chains:", len(lda.chains_))

# %%
topics = summary.summarize_topics(lda, papers)
topic_plots.plot_top_terms(topics)

# %% [markdown]
# **What to see.** Each panel is a topic, with its share of all tokens and its ten most telling terms (what that means
# comes in a moment). Most can be named at once: Bayesian inference, neuroscience, deep learning, decisions. Nobody told the
# model these fields; it knows only which terms go together in a paper. One or two panels look like a mixture of what was left
# over. Section 5 shows which topics one can trust.
#
# (On another kind of processor the chains may take another course. Then the topics come in another order, some may
# differ, and what the text says of single topics fits less well.)

# %% [markdown]
# ## 2 · Which terms describe a topic?
#
# The most *probable* terms, $\varphi_{kw} = p(w \mid k)$, are often those that are frequent everywhere. The most
# *characteristic* ones have the largest *lift* $p(w \mid k) / p(w)$, but among them are rare terms that occurred in this
# topic by chance. Sievert and Shirley (2014, "LDAvis: A method for visualizing and interpreting topics") weigh the two
# against each other, and call it **relevance**:
#
# $$r(w, k) = \lambda \ln p(w \mid k) + (1 - \lambda) \ln \frac{p(w \mid k)}{p(w)} . \tag{1}$$
#
# In their study with readers, topics were named best with $\lambda$ about 0.6.
#
# ### Exercise 1 · Relevance (1 point)
#
# `topic_word` is the matrix of $p(w \mid k)$, of shape `(n_topics, n_terms)`. `term_frequency`, of shape `(n_terms,)`,
# holds *counts*. All entries are above zero. The result has the shape `(n_topics, n_terms)`.


# %%
def relevance(topic_word, term_frequency, weight):
    """Equation (1), with weight for lambda."""
    ### BEGIN SOLUTION
    lift = topic_word / (term_frequency / term_frequency.sum())
    return weight * np.log(topic_word) + (1 - weight) * np.log(lift)
    ### END SOLUTION


# %%
check.relevance(relevance)

# %% [markdown]
# The topic in which `convex` is most probable, described with three values of $\lambda$:

# %%
lengths = summary.document_lengths(lda, papers)
frequency = summary.expected_term_frequency(lda, lengths)
position = {str(term): number for number, term in enumerate(papers.vocabulary)}
convex, deep = (int(lda.topic_word_[:, position[term]].argmax()) for term in ("convex", "neural network"))
here = (
    lengths @ lda.doc_topic_[:, convex] * lda.topic_word_[convex]
)  # expected tokens of each term in the topic
lists = {}
for weight in (1.0, 0.6, 0.0):
    terms = summary.top_terms(lda.topic_word_, frequency, papers.vocabulary, 10, weight)[convex]
    lists[weight] = {term: (here[position[term]], frequency[position[term]]) for term in terms}
plot_term_lists(lists)

# %%
shared = {weight: len(set(lists[1.0]) & set(lists[weight])) for weight in lists}
print(
    "of the ten terms at λ = 1, at most 7 are left at 0.6 and 3 at 0:", shared[0.6] <= 7 and shared[0.0] <= 3
)

# %% [markdown]
# **What to see.** With $\lambda = 1$ terms stand high of which a good part lies in other topics (much pale beyond the
# blue), such as `analysis` or `function`: they are frequent everywhere. With $\lambda = 0$ the pale part is nearly gone, but the terms are
# rare (short bars): what is true of a few dozen tokens says little about a tenth of the corpus. $\lambda = 0.6$ lets those go that
# belong to everybody, and keeps frequent ones that are this topic's own.
#
# ### The map
#
# pyLDAvis (the same authors) draws all topics on a plane, close together if their terms are similar, and the terms of the
# topic under the mouse beside it. Move the slider for $\lambda$, click on a circle, point at a term. The page is whole in
# itself, and works without a network.

# %% tags=["nbval-ignore-output"]
pyldavis.pyldavis_iframe(pyldavis.prepare_pyldavis(lda, papers))

# %% [markdown]
# A plane is a poor picture of ten topics, though. No two of them are much alike: any two share less than half of their
# probability. And ten points that are all about equally far from each other do not fit into a plane. A question with a
# clearer answer: which topics *meet in the same papers*? Call a topic present in a paper if its share there is above a tenth, and compare how often two
# topics are present together with how often they would be by chance, if they were independent.

# %%
alike = topic_overlap(lda.topic_word_, lda.topic_word_)[~np.eye(10, dtype=bool)]
print("the probability that two different topics share is below 0.5:", alike.max() < 0.5)
present = (lda.doc_topic_ > 0.1).astype(float)
alone, together = present.mean(axis=0), present.T @ present / len(present)
ratio = together / np.outer(alone, alone)
names = [f"{topic.label}  {topic.topic}" for topic in topics]
plot_topics_together(ratio, names)

# %%
image = int(lda.topic_word_[:, position["image"]].argmax())
print("images and deep networks meet more often than by chance:", ratio[image, deep] > 1.3)
print("images and convex optimisation less often:", ratio[image, convex] < 0.75)

# %% [markdown]
# **What to see.** 1 (no colour) is what chance gives, 2 is twice as often (red), 0.5 half as often (blue). Most pairs are blue: a paper has room for few
# topics, so one keeps the others out. The red ones are fields that work together: images with deep networks, optimisation with
# matrices. Theory and pictures avoid each other: optimisation meets images in less than three quarters of the papers that chance would give.
#
# ## 3 · Two measures of quality
#
# **Held-out perplexity** asks: how well does the model predict words of *held-out text*, here of papers that it has not seen? For a new document,
# the shares $\theta$ are not known. So show the model half of its tokens, estimate $\hat\theta_d$ from those (by Gibbs
# sampling with the topics held fixed: *folding in*), and let it predict the hidden half. Each hidden token $i$, of term
# $w_i$ in document $d_i$, has the probability
#
# $$p(w_i) = \sum_k \hat\theta_{d_i k}\, \varphi_{k w_i}, \qquad
# \text{perplexity} = \exp\Big( -\frac1n \sum_{i=1}^n \ln p(w_i) \Big) . \tag{2}$$
#
# It is the number of equally likely terms among which the model hesitates on average. This way of measuring is called
# *document completion* (Rosen-Zvi et al. 2004; Wallach et al. 2009, "Evaluation methods for topic models").
#
# ### Exercise 2 · Document completion (2 points)
#
# `doc_topic` is $\hat\theta$, of shape `(n_documents, n_topics)`; `topic_word` is $\varphi$, `(n_topics, n_terms)`;
# `hidden` holds how often each term stands in the hidden half of each document, `(n_documents, n_terms)`.


# %%
def completion_perplexity(doc_topic, topic_word, hidden):
    """Equation (2), over all hidden tokens together: a number."""
    ### BEGIN SOLUTION
    log_probability = np.log(doc_topic @ topic_word)  # (n_documents, n_terms)
    return np.exp(-np.sum(hidden * log_probability) / hidden.sum())
    ### END SOLUTION


# %%
check.completion_perplexity(completion_perplexity)

# %% [markdown]
# Let us do it with 100 papers that a smaller fit has not seen. For comparison: the uniform distribution, whose perplexity
# is the number of terms, and a "model" that predicts every document from the overall frequencies.

# %%
seen, unseen = papers.counts[:900], papers.counts[900:].toarray()
small = GibbsLDA(10, n_sweeps=100, n_chains=1, random_state=0).fit(seen)
observed = np.random.default_rng(0).binomial(unseen, 0.5)  # each token goes into one half or the other
hidden = unseen - observed
overall = np.asarray(seen.sum(axis=0)) + 0.1
perplexity_of = check.completion_perplexity.function  # yours if it passed, and the library's otherwise
scores = {
    "uniform": seen.shape[1],
    "overall frequencies": perplexity_of(np.ones((100, 1)), overall / overall.sum(), hidden),
    "ten topics": perplexity_of(small.transform(observed), small.topic_word_, hidden),
}
for name, perplexity in scores.items():
    print(f"{name:20} {round(perplexity, -2):5.0f}")

# %% [markdown]
# Half a paper tells something about its other half. `lda.perplexity(counts)` does all of this in one call.
#
# **Coherence** asks what a reader would: do the top terms of a topic keep company? It takes the ten most probable terms
# and averages, over all pairs, the normalised pointwise mutual information of notebook 01; here $p(w)$ is the share of
# documents that contain $w$, and $p(v, w)$ that of documents that contain both:
#
# $$C_k = \frac{1}{\text{pairs}} \sum_{v < w} \frac{\ln \frac{p(v, w) }{p(v)\,p(w)}}{-\ln p(v, w)} . \tag{3}$$

# %%
best = np.argsort(-lda.topic_word_[deep])[:10]
present = (papers.counts[:, best] > 0).toarray().astype(float)
together = present.T @ present / len(present) + 1e-12  # pairs that never meet would have the logarithm of 0
alone = present.mean(axis=0)
npmi = np.log(together / np.outer(alone, alone)) / -np.log(together)
by_hand = npmi[np.triu_indices(10, k=1)].mean()
print("equal to the library's:", np.isclose(by_hand, lda.coherence(papers.counts)[deep]))

# %% [markdown]
# ## 4 · How many topics?
#
# The number $K$ is ours to choose. Cross-validation shows what the two measures think of it: fit on two thirds of the
# papers, measure on the last third, three times. A third measure comes with it: do the three fits find the same topics?
# This *stability* is 1 if they do; section 5 says how it is measured. To save time, each fit is one short chain.

# %%
estimator = GibbsLDA(n_sweeps=200, n_chains=1, n_transform_sweeps=40)
candidates = compare_topic_counts(papers.counts, (2, 5, 10, 20, 40), estimator=estimator)
print("best K by perplexity:", min(candidates, key=lambda score: score.perplexity).n_topics)
topic_plots.plot_topic_counts(candidates)

# %% [markdown]
# **What to see.** The first two measures contradict each other. Perplexity (left, lower is better) is still falling at
# $K = 40$: more topics predict better. Coherence (middle, higher is better) only falls: the finer the topics, the less
# their top terms keep company. Both are right. Chang et al. (2009, "Reading tea leaves") found the same with human
# readers: models that predict better can have topics that people understand worse. Stability (right) sides with coherence:
# two topics are found again, of ten or more only about half of each. (The bars are one standard error to each side.)
#
# Is a half much? Any two topics have something in common, because both contain the frequent terms. So compare with papers in which
# there is nothing to find: as long as ours, but each token a term drawn at random, with the terms' own frequencies.

# %%
of_papers = {score.n_topics: score.stability for score in candidates}
frequencies, n_tokens = (np.asarray(papers.counts.sum(axis=axis)).ravel() for axis in (0, 1))
at_random = np.random.default_rng(0).multinomial(n_tokens, frequencies / frequencies.sum())
for score in compare_topic_counts(sparse.csr_matrix(at_random), (2, 10), estimator=estimator):
    gain = of_papers[score.n_topics] - score.stability
    print(f"{score.n_topics:2} topics: more stable than where there is nothing to find, by 0.1: {gain > 0.1}")

# %% [markdown]
# So the right panel says little about ten topics: with chains as short as these, they are hardly more stable than chance makes
# them. Section 5 shows what longer chains change.
#
# So $K$ depends on the purpose. To predict, take many. To get an overview of a field, take as many topics as you are
# ready to read and name; ten is what fits on a page. There is no true number in the data.

# %% [markdown]
# ## 5 · Have the chains converged?
#
# On the bars of notebook 02 all twenty chains of the last experiment found the same topics. Here are the four chains of section 1.

# %%
chains = [chain.log_likelihoods for chain in lda.chains_]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
topic_plots.plot_convergence(np.arange(1, 1001), chains, best=lda.best_chain_, burn_in=500, ax=axes[0])
topic_plots.plot_convergence(
    np.arange(501, 1001), [c[500:] for c in chains], best=lda.best_chain_, ax=axes[1]
)
axes[0].set_title("all sweeps")
axes[1].set_title("the second half")
plt.show()

# %% [markdown]
# **What to see.** Blue is the chain on which section 1 was built; at the dotted line the burn-in ends. On the left, all
# four climb and seem to have arrived after 200 sweeps. On the right, with the scale of the second half, they have not:
# they wander up and down over a hundred sweeps and more, and some lie above others for most of the time. One curve on
# the scale of the left would have looked fine.
#
# **R-hat** puts that into a number (Gelman and Rubin 1992; Vehtari et al. 2021,
# [arXiv:1903.08008](https://arxiv.org/abs/1903.08008)). Cut each chain into halves, so that a drift shows as a difference
# between two halves. That gives $m$ pieces of $n$ values. Estimate the variance of the posterior from them in two ways. $W$ looks only within the
# pieces: it is the mean of their variances, and too small as long as each piece has seen but a part of the posterior. $V$ looks at
# how far apart the pieces lie as well:
#
# $$V = \frac{n-1}{n}\,W + \frac{B}{n}, \qquad \frac{B}{n} = \text{variance of the means of the pieces}, \qquad
# \hat R = \sqrt{V / W} . \tag{4}$$
#
# All variances are the usual estimates, with one less than the number of values in the denominator. If all pieces wander over
# the same ground, their means differ only by chance, $B$ is about as large as $W$, and $\hat R$ is near 1; above 1.01 the
# chains should not be trusted to have converged.
#
# ### Exercise 3 · Split R-hat (2 points)
#
# `chains` has the shape `(n_chains, n_draws)`, where `n_draws` is even.


# %%
def split_r_hat(chains):
    """Equation (4), each chain cut into halves: a number."""
    ### BEGIN SOLUTION
    halves = np.concatenate(np.split(chains, 2, axis=1))  # (2 * n_chains, n_draws / 2)
    n = halves.shape[1]
    within = halves.var(axis=1, ddof=1).mean()
    between = halves.mean(axis=1).var(ddof=1)
    return np.sqrt((n - 1) / n + between / within)
    ### END SOLUTION


# %%
check.split_r_hat(split_r_hat)

# %% [markdown]
# Whoever knows the analysis of variance has met the fraction $B / W$ before: it is its $F$ statistic. So SciPy can check the
# library's value. One refinement has to be added: the values are replaced by normal quantiles of their ranks, so that
# outliers do no harm. It is done twice, for the values and for their distances from the median (the second finds chains
# that agree in level but not in spread), and the larger result counts.


# %%
def by_analysis_of_variance(values):
    """R-hat from the F statistic, over pieces (n_pieces, n_draws), after the ranks' normal quantiles."""
    ranks = stats.rankdata(values).reshape(values.shape)
    normal = stats.norm.ppf((ranks - 3 / 8) / (values.size + 1 / 4))
    n = values.shape[1]
    return np.sqrt((n - 1) / n + stats.f_oneway(*normal).statistic / n)


halves = np.array([half for chain in chains for half in (chain[500:750], chain[750:])])
by_hand = max(by_analysis_of_variance(v) for v in (halves, np.abs(halves - np.median(halves))))
print("equal to the library's:", np.isclose(by_hand, lda.r_hat_), " above 1.01:", bool(lda.r_hat_ > 1.01))
print(f"R-hat of our four chains: {lda.r_hat_:.1f}")

# %% [markdown]
# Far above 1.01: the chains have not converged. A chain settles near a good arrangement of topics, a *mode* of the posterior, and to reach another
# one it would have to move hundreds of tokens through worse states.
#
# What does that mean for the topics? Ask whether they come back. The topics of two chains have no common order, so they have to be
# matched. The *overlap* of two topics is the probability that they share, $\sum_w \min(\varphi_{kw}, \varphi'_{kw})$. Of all ways to
# pair the topics of one chain with those of the other, one to one, take the one with the largest total overlap.
#
# ### Exercise 4 · Which topics belong together? (3 points)
#
# `reference` and `other` have the shape `(n_topics, n_terms)`. Give for each topic of `reference` its overlap with its match, an
# array of shape `(n_topics,)`. SciPy's `linear_sum_assignment(table, maximize=True)` finds the best pairing, given a table of all overlaps.


# %%
def matched_overlap(reference, other):
    """What each topic shares with its match in another chain."""
    ### BEGIN SOLUTION
    overlap = np.minimum(reference[:, None], other[None]).sum(axis=2)  # (n_topics, n_topics)
    return overlap[linear_sum_assignment(overlap, maximize=True)]
    ### END SOLUTION


# %%
check.matched_overlap(matched_overlap)

# %% [markdown]
# `best_chain_` is the most *central* chain, the one whose topics the others find best. Match its topics with those of each of the other three. The
# mean of the three overlaps is the topic's **stability**.

# %%
reference = lda.chains_[lda.best_chain_].topic_word
others = [chain.topic_word for number, chain in enumerate(lda.chains_) if number != lda.best_chain_]
overlaps = [check.matched_overlap.function(reference, other) for other in others]
stability = np.mean(overlaps, axis=0)
print("equal to the library's:", np.allclose(stability, lda.stability_))
by_stability = np.argsort(-stability)
figure, axis = plt.subplots(figsize=(7, 3.4))
for overlap in overlaps:
    axis.plot(overlap[by_stability], range(10), "o", color=BLUE, alpha=0.6)
axis.set_yticks(range(10), [names[k] for k in by_stability])
axis.axvline(UNSTABLE, color=ORANGE, linestyle=":")
axis.set(xlim=(0, 1), xlabel="overlap with the matched topic of each other chain", ylabel="topic")
axis.invert_yaxis()
plt.show()
print("the most stable above 0.75, the least below 0.65:", stability.max() > 0.75, stability.min() < 0.65)

# %% [markdown]
# **What to see.** At the top are topics of which every other chain has found most. Further down are
# some that one or two chains have found nearly alike, while another has cut the field in another way. At the bottom are topics
# of which the others have only about half. The dotted line, at 0.6, is the
# library's threshold: even if terms are dealt to documents at random, topics overlap by 0.5 to 0.6, because all contain
# the frequent terms (`benchmarks/stability.py` measures it). R-hat alone would have condemned all ten alike.
#
# ### Unstable, or not finished?
#
# A topic that the other chains lack may be one of several that the posterior allows. Or the chains are just not there yet. One length of
# chain cannot tell. So for three seeds we let four chains each run for 2,000 sweeps, and compare their topics on the way
# (`benchmarks/long_chains.py`; its results are recorded).

# %%
rows = json.loads(Path("../results/lda/long_chains.json").read_text())["rows"]
short, long = ([row for row in rows if row["sweeps"] == sweeps] for sweeps in (250, 2000))
unstable = [
    sum((np.mean(row["overlaps"], axis=1) < UNSTABLE).sum() for row in part) for part in (short, long)
]
print(
    f"below {UNSTABLE} after 250 sweeps: {unstable[0]} of 30 topics; after 2,000 sweeps: {unstable[1]} of 30"
)
print("R-hat after 2,000 sweeps:", [row["r_hat"] for row in long])
plot_long_chains(rows, UNSTABLE)

# %% [markdown]
# **What to see.** Left: R-hat falls as the chains grow longer, and is still far above 1.01 at the end. Right: a dot is a topic,
# a line the mean of ten. The stability rises. After 250 sweeps more than a third of the topics are below the threshold, after 2,000 a
# seventh. So most of the topics that look unstable in short chains are just *not finished*: the chains do find them, later. A few are
# left, on which the chains still disagree after eight times as many sweeps; whether they would agree after a hundred times as many, these runs cannot say.
#
# Two things follow. Run chains for as long as you can wait, and judge topics only then. And read "unstable" as "these chains
# have not found it again": that is a reason not to report a topic, and no proof that there is nothing in it.
#
# So which topics should one show? The curves of $\ln p(w, z)$ do not tell: the chain with which the others agree most need not have the highest, nor
# is a topic better for being in that chain. Averaging all chains would mix topics that have nothing to do with each other. The **consensus** of section 1
# lies in between: each topic of the central chain is averaged with its matches, but only with those that overlap with it
# by at least 0.6. A topic without such a match stays as the central chain has it.

# %%
found = lda.match_overlap_ >= UNSTABLE  # (n_chains, n_topics); the central chain's own overlap is 1
matched = np.array([chain.topic_word[order] for chain, order in zip(lda.chains_, lda.matches_, strict=True)])
by_hand = (found[:, :, None] * matched).sum(axis=0) / found.sum(axis=0)[:, None]
print("equal to the library's:", np.allclose(by_hand, lda.topic_word_))

# %% [markdown]
# ## 6 · Over the years
#
# The shares of the topics among the tokens of each year:

# %%
years = summary.document_years(papers)
found_years, year_shares = summary.topic_shares_by_year(lda.doc_topic_, lengths, years)
topic_plots.plot_topic_shares(found_years, year_shares, topics)

# %% [markdown]
# Curves invite interpretation. But a year has only some 150 to 280 papers here, and the sample could have been another. The
# *bootstrap* tells how much that matters: draw 1,000 papers with replacement from the 1,000, compute the change from 2013
# to 2017 again, and repeat. How the results scatter says how far to trust the change.
#
# One more thing has to be taken into account: we look at *ten* topics. An interval that misses the truth once in ten
# times is no protection if ten are looked at: one of them will be wrong, on average, and it will be the one that is talked about. So make
# the intervals *simultaneous*: divide each change by its standard error; in each bootstrap sample take the largest deviation
# among all ten topics; and make the intervals so wide that in 90% of the samples even that one is inside.

# %%
rng = np.random.default_rng(0)
changes = []
for _ in range(400):
    draw = rng.integers(len(years), size=len(years))
    drawn_years = np.array(years)[draw].tolist()
    _, drawn = summary.topic_shares_by_year(lda.doc_topic_[draw], lengths[draw], drawn_years)
    changes.append(100 * (drawn[-1] - drawn[0]))
middle, error = np.mean(changes, axis=0), np.std(changes, axis=0)
largest = np.abs((changes - middle) / error).max(axis=1)
width = np.quantile(largest, 0.9)
print(f"standard errors to each side: {width:.1f} for all ten at once, 1.6 for a single interval of 90%")

# %%
plot_changes(middle, error, width, names, lda.stability_ >= UNSTABLE)

# %%
low, high = middle - width * error, middle + width * error
print("the deep learning topic grew, for all ten at once:", low[deep] > 0)
print(
    "topics whose simultaneous interval is without zero: at most four:", ((low > 0) | (high < 0)).sum() <= 4
)

# %% [markdown]
# **What to see.** The thick bars are what a single topic's interval of 90% would be, the thin lines the simultaneous ones. Blue are
# the topics whose thin line is without zero; of the pale ones one cannot even say whether they grew or shrank, though several
# thick bars would have said so. The large change is at the top: deep learning more than doubled its share. As all shares add up to 1,
# others must have lost; the one at the bottom is the clearest. A hollow circle is a topic that the other chains have not found again (section 5). It must
# not be reported as growing or shrinking, whatever its interval says: an interval takes the topics as given.
#
# (The library's `topic_shares_over_time` gives the shares of each year with an interval, by a formula instead of the
# bootstrap.)

# %% [markdown]
# ## 7 · What LDA cannot see
#
# A document enters the model as a row of counts. Two texts with the same counts are the same to it:

# %%
texts = ["The network explains the graph, not the kernel.", "Not the kernel, the graph explains the network."]
bag = bag_of_words(texts, language="en", min_df=1, max_df=1.0, phrases=False)
print(bag.vocabulary.tolist(), bag.counts.toarray().tolist())

# %% [markdown]
# That is no accident of the data format; it is in the generative process. Take a document of four words with topics $\varphi$, and
# compute its probability exactly, *as a sequence*, word by word: sum over all $10^4$ ways to choose the topics, each with
# the urn of notebook 02. Then do the same for every other order of the words.

# %%
words = ["neural network", "image", "graph", "regret"]
columns = [position[word] for word in words]
paths = np.array(list(itertools.product(range(10), repeat=4)))  # the topics of the four words


def log_probability(columns, alpha=0.1):
    """The exact logarithm of p(w_1, ..., w_4), summed over all choices of topics."""
    value = np.ones(len(paths))
    for i, column in enumerate(columns):
        used = (paths[:, :i] == paths[:, i, None]).sum(axis=1)  # how often this topic came before
        value *= (used + alpha) / (i + 10 * alpha) * lda.topic_word_[paths[:, i], column]
    return np.log(value.sum())


# %%
orders = [log_probability(order) for order in itertools.permutations(columns)]
print(len(orders), "orders, all of the same probability:", np.allclose(orders, orders[0]))

# %% [markdown]
# Shuffle the words of a paper, and LDA notices nothing. The same holds for the joint probability (4) of notebook 02:
# only counts are in it. Such sequences are called *exchangeable*. De Finetti's theorem says that an *infinite* exchangeable sequence is
# always a mixture of independent draws, and that is precisely LDA's generative process: first $\theta$, and then every word for itself. (For a finite one it need not
# hold: the shuffled tokens of notebook 01, drawn without putting back, come in every order with the same probability,
# and yet each makes the next of its kind *less* likely. Independent draws from an unknown $\theta$ can only make it more likely, as in Pólya's urn.)
#
# So LDA knows what a text is *about*, and not what it *says*. "The network explains the graph" and "the graph explains
# the network" are one to it. A model of language has to predict the next word *from the words before it, in their
# order*. How much is that worth? Notebook 05 measures it.
#
# ## Summary
#
# - Ten topics of 1,000 papers, found from counts alone. Relevance picks the terms that describe a topic: between frequent
#   and characteristic.
# - Perplexity measures prediction, coherence what a reader sees. They disagree about $K$, which is a choice, not a fact.
# - Run several chains, and long ones. R-hat shows whether they have converged; on real text ours had not, even after 2,000 sweeps.
#   Matching the topics shows which of them come back: their stability. What the chains agree on is the consensus.
# - A change over years needs an interval, and ten changes need wider ones. Topics that do not come back are not reported.
# - LDA cannot see the order of words: all orders of a document have the same probability.
#
# **In the library:** `minillm_lib/topics/evaluation.py`, `minillm_lib/topics/model_selection.py`,
# `minillm_lib/topics/stability.py`, `minillm_lib/topics/summary.py`, `minillm_lib/topics/pyldavis.py`. On the command line, `minillm lda` makes a report of
# your own texts.
# **Next:** [04 · Tokenizers](04_tokenizer.ipynb), with which the second half of the course begins: texts as sequences.
#
# **To read on.** Wallach, Murray, Salakhutdinov and Mimno 2009 for held-out likelihood; Chang, Boyd-Graber, Gerrish, Wang
# and Blei 2009, "Reading tea leaves: how humans interpret topic models"; Röder, Both and Hinneburg 2015, "Exploring the
# space of topic coherence measures"; Hoyle et al. 2021, "Is automated topic model evaluation broken?",
# [arXiv:2107.02173](https://arxiv.org/abs/2107.02173), for why coherence should not be trusted too far; Blei and Lafferty
# 2006, "Dynamic topic models", for topics that themselves change over time.
