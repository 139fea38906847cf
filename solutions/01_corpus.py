# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 01 · From papers to a document–term matrix
#
# **What you build.** The way from a text to a row of counts: repair, split, reduce, drop, count. A test for
# repeated texts, and a second one, MinHash, that finds them among millions. Then a formula for how a vocabulary grows with
# the text.
#
# **What you need.** Python, a little NumPy, logarithms. Nothing from earlier notebooks.
#
# **How long.** About 75 minutes to work through, with the exercises. All cells together run in under 20 seconds on two CPU cores.
#
# > **中文提要** 主题模型看到的不是文章，而是“文档–词项矩阵”：每行一篇论文，每列一个词，格子里是出现次数。本节用自带的 1,000 篇 NeurIPS 论文，逐步展示清洗的每一步（修复 PDF 乱码、分词、词形还原、停用词、短语、低频词）各去掉了什么；再用 Jaccard 相似度找重复文档，并用 MinHash 签名在大量文档中快速找到它们；最后用图检验两条经验定律：Zipf 定律（词频与排名成反比）和 Heaps 定律（词汇量随文本长度按幂律增长），用实验说明去掉停用词改变了什么、没有改变什么，并看到真实论文中的词比随机抽取更“扎堆”，这正是主题模型所利用的。

# %%
from collections import Counter, defaultdict
from itertools import combinations
from math import log

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from minillm_lib import bag_of_words, check, course, load_docstrings, load_neurips
from minillm_lib.corpora.cleaning import duplicates, repair
from minillm_lib.topics import terms
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE, plot_minhash

course.setup()

# %% [markdown]
# ## 1 · Text arrives damaged
#
# Abstracts come out of PDF files and LaTeX sources, and they carry the traces. Four lines as they are found in the
# wild, and the repairs of the library, one after the other. A repair that changes nothing is not shown.

# %%
damaged = [
    "the classi(cid:12)cation prob(cid:173) lem",
    "state-of-the-art deep net- works",
    r"$\ell_1$-regularised \emph{sparse} coding \cite{lee2007}",
    "Itâ€™s eﬃcient",
]
for text in damaged:
    print(text)
    for name, step in repair.REPAIRS.items():
        if (repaired := step(text)) != text:
            print(f"    {name:17} {repaired!r}")
            text = repaired

# %% [markdown]
# `(cid:12)` is a glyph for which the PDF's font gives no character (here the ligature *fi*). `(cid:173)` is the hyphen
# at the end of a line. `â€™` is an apostrophe whose three bytes were read as three characters. None of this is
# cosmetic: unrepaired, `classi` and `cation` become two terms that no reader would look for.
#
# `repair_text` applies all steps, again and again until nothing changes any more.

# %%
print(repair.repair_text(r"the classi(cid:12)cation prob(cid:173) lem of \emph{$k$-means}"))

# %% [markdown]
# ## 2 · From a text to its terms
#
# What counts as a term? The first three answers below make the vocabulary smaller, the last one, phrases, adds to it, and
# each can be disputed. We follow one sentence.

# %%
sentence = "The networks' priors are learned: we propose novel non-convex priors for deep neural nets, and 3 kernels."
words = terms.split_words(sentence)
print(words)

# %% [markdown]
# **Splitting.** Lower case, no punctuation; a compound such as `non-convex` stays one word. `None` stands where a
# comma or a colon parts the words, so that no phrase is found across it.
#
# **Lemmas.** `networks` and `network` are one term. A lemma is the form that a dictionary lists.

# %%
lemmas = [terms.lemma(word) for word in words if word]
print([(word, base) for word, base in zip(filter(None, words), lemmas, strict=True) if word != base])

# %% [markdown]
# **Stop words.** `the`, `are` and `for` stand in nearly every text. `propose` and `novel` stand in abstracts on any subject: they
# say that this is one, not what it is about. The library's list has the former; `abstracts` adds the latter, which in other
# texts may well be subjects (think of letters about a *novel*). Numbers and single characters go too. The library's
# recipe does all three steps:

# %%
stop_words = terms.default_stop_words("en", abstracts=True)
kept = [word for word in lemmas if not terms.is_stop_word(word, stop_words) and not word.isdigit()]
recipe = terms.TermRecipe.make("en", stop_words="abstracts")
print(kept)
print("equal to the library's:", kept == recipe.terms(sentence))

# %% [markdown]
# **Phrases.** `neural network` means more than `neural` and `network`. Do two words stand side by side more often than
# they would by chance? If the words $x$ and $y$ were placed independently, the pair would have the probability
# $p(x)\,p(y)$. The *pointwise mutual information* is the logarithm of how much likelier it is:
#
# $$\operatorname{pmi}(x, y) = \ln \frac{p(x, y)}{p(x)\,p(y)} .$$
#
# It has no fixed upper limit: the rarer the words, the larger it can get. If the two only ever occur together, then
# $p(x) = p(y) = p(x, y)$ and $\operatorname{pmi} = -\ln p(x, y)$. Dividing by that maximum gives the *normalised*
# version (Bouma 2009), which is 1 for words that are never apart and 0 for words that meet by chance:
#
# $$\operatorname{npmi}(x, y) = \frac{\operatorname{pmi}(x, y)}{-\ln p(x, y)} . \tag{1}$$


# %%
def npmi(pair, first, second, total):
    """Equation (1), from the counts of the pair and of each word among all words."""
    p_pair, p_first, p_second = pair / total, first / total, second / total
    return log(p_pair / (p_first * p_second)) / -log(p_pair)


library = terms.normalized_pointwise_mutual_information
for counts in ((20, 22, 25, 10_000), (20, 25, 80, 10_000), (20, 400, 500, 10_000)):
    print(f"{npmi(*counts):.2f}", "equal to the library's:", np.isclose(npmi(*counts), library(*counts)))

# %% [markdown]
# All three pairs occur 20 times in 10,000 words. In the first, the words are rare and nearly always together. In the second,
# the first word is seldom without the other, but only 20 of the other's 80 are in the pair. In the third, the words are
# so frequent that 20 meetings are what chance gives. The library joins pairs from 0.3 on.
#
# ## 3 · The same text twice
#
# A paper that is listed twice counts twice, and a topic may form around it. Exact copies are easy to find. For near
# copies, take from each text its *shingles*, all sequences of five neighbouring words, and compare the two sets. The *Jaccard similarity* is
# the share of what they have in common:
#
# $$J(A, B) = \frac{|A \cap B|}{|A \cup B|} . \tag{2}$$
#
# ### Exercise 1 · Write it (1 point)
#
# `a` and `b` are sets that are not empty.


# %%
def jaccard(a, b):
    """Equation (2), a number between 0 and 1."""
    ### BEGIN SOLUTION
    return len(a & b) / len(a | b)
    ### END SOLUTION


# %%
check.jaccard(jaccard)

# %% [markdown]
# Three versions of one sentence: a copy, one with a word changed at the end, and one with a word changed in the middle.

# %%
original = "We study how topics of scientific papers change over the years, and which of them disappear."
versions = {
    "copy": original,
    "end changed": original.replace("disappear", "stay"),
    "middle changed": original.replace("papers", "articles"),
    "another text": "The kernel of an operating system shares the processor among many running programs.",
}
for name, version in versions.items():
    similarity = duplicates.jaccard(duplicates.shingles(original), duplicates.shingles(version))
    print(f"{name:15} {similarity:.2f}")

# %% [markdown]
# One changed word spoils the five shingles that contain it, but only one if it is the last. From a similarity of 0.8 on
# the library drops the later text; on an abstract of 150 words that allows for about three changed words.
#
# ### A million texts: MinHash
#
# A thousand texts make half a million pairs; a million texts make $5 \cdot 10^{11}$, too many to compare. *MinHash* (Broder 1997)
# needs two ideas. The first is a **signature**: a short list of numbers from which the similarity of two sets can be estimated
# without the sets.
#
# Number the shingles, and let a hash function give each number $x$ another one, as good as drawn at random,
#
# $$h_k(x) = (a_k x + b_k) \bmod p , \tag{3}$$
#
# with a prime $p$ and numbers $a_k$, $b_k$ drawn once. Of a whole set keep the *least* hash value only. When do two sets $A$ and
# $B$ have the same one? Put the union $A \cup B$ in the order of the hash values. Each of its elements is first with the same
# probability, and both sets have the same least value exactly if the first one lies in both, that is, in $A \cap B$. So
#
# $$P\big(\min h_k(A) = \min h_k(B)\big) = \frac{|A \cap B|}{|A \cup B|} = J(A, B) . \tag{4}$$
#
# One function gives a yes or a no, whose probability is $J$. With 128 functions, the share of those that agree estimates $J$, with a standard
# error of $\sqrt{J (1 - J) / 128}$, which is at most 0.045.
#
# ### Exercise 2 · The signature (2 points)
#
# `numbers` $x$ is an integer array `(n_numbers,)`, the set; `multipliers` $a$ and `offsets` $b$ have the shape `(n_functions,)`. Give
# the signature: for each function the least of its hash values (3), an array of shape `(n_functions,)`.


# %%
def minhash_signature(numbers, multipliers, offsets, prime):
    """The least hash value of a set, for each of several hash functions."""
    ### BEGIN SOLUTION
    values = (multipliers[:, None] * numbers + offsets[:, None]) % prime  # (n_functions, n_numbers)
    return values.min(axis=1)
    ### END SOLUTION


# %%
check.minhash_signature(minhash_signature)

# %% [markdown]
# Try it on 1,000 texts: *docstrings*, the explanations inside the Python packages on this machine. A thousand are few enough to
# compare all pairs as well.

# %%
docstrings = [document.text for document in load_docstrings(progress=False)]
texts = [text for text in docstrings if len(text.split()) >= 30][:1000]
sets = [duplicates.shingles(text) for text in texts]
exact = {(i, j): duplicates.jaccard(sets[i], sets[j]) for i, j in combinations(range(1000), 2)}

# %%
prime = 2**31 - 1
multipliers, offsets = np.random.default_rng(0).integers(1, prime, size=(2, 128))
signatures = []
for text in texts:
    numbers = duplicates.shingle_hashes(duplicates.text_units(text)) % prime
    signatures.append(check.minhash_signature.function(numbers.astype(np.int64), multipliers, offsets, prime))
signatures = np.array(signatures)  # (1000, 128)

# %% [markdown]
# The second idea spares us most comparisons of signatures, too. Cut each signature into $b$ **bands** of $r$ entries, and
# compare only texts that agree in *all* entries of at least one band. A pair of similarity $s$ agrees in a given band with probability $s^r$, so it
# is compared with probability
#
# $$1 - (1 - s^r)^b . \tag{5}$$
#
# Texts with an equal band are found without comparing anything: they are in the same entry of a dictionary.


# %%
def pairs_with_an_equal_band(signatures, n_rows):
    pairs = set()
    for start in range(0, signatures.shape[1], n_rows):
        same = defaultdict(list)
        for i, band in enumerate(signatures[:, start : start + n_rows]):
            same[band.tobytes()].append(i)
        pairs.update(pair for members in same.values() for pair in combinations(members, 2))
    return pairs


compared = pairs_with_an_equal_band(signatures, n_rows=4)
similar = {pair for pair, similarity in exact.items() if similarity >= 0.6}
print("of", f"{len(exact):,} pairs fewer than 1 in 500 are compared:", len(compared) < len(exact) / 500)
print("nine in ten of the similar pairs, or more, are found:", len(similar & compared) > 0.9 * len(similar))

# %%
alike = [pair for pair, similarity in exact.items() if similarity > 0.1]
estimates = [np.mean(signatures[i] == signatures[j]) for i, j in alike]
inside = np.mean([abs(e - exact[pair]) < 0.1 for pair, e in zip(alike, estimates, strict=True)])
print("19 of 20 estimates are right to 0.1:", inside > 0.95)
plot_minhash([exact[pair] for pair in alike], estimates)

# %% [markdown]
# **What to see.** Left: a point is a pair of texts that have more than a tenth in common. The estimate from 128 numbers
# lies where (4) says, nearly always within two standard errors (orange). Right: equation (5) is a threshold with a soft edge. Wide bands let
# only very similar pairs through, narrow ones everything. With 32 bands of 4 a pair of similarity 0.8 is practically never missed,
# and of those of 0.1 one in about 300 is compared. The library chooses the bands by the threshold, and checks each pair that it
# compares by (2), so no text is dropped for a wrong estimate.

# %%
print("the library's bands for 0.8:", duplicates.bands_and_rows(0.8))

# %% [markdown]
# ## 4 · Counting
#
# Choose a vocabulary, a list of terms. The **document–term matrix** has a row for each document and a column for each
# term; the entry is how often the term occurs in the document. The order of the words is gone: hence *bag of words*.
#
# ### Exercise 3 · The matrix (1 point)
#
# `documents` is a list of lists of words, `vocabulary` a list of terms. Words that are not in the vocabulary are
# ignored. Give a NumPy array of whole numbers; column `j` belongs to `vocabulary[j]`.


# %%
def document_term_counts(documents, vocabulary):
    """How often each term occurs in each document: an array (n_documents, n_terms)."""
    ### BEGIN SOLUTION
    return np.array([[document.count(term) for term in vocabulary] for document in documents])
    ### END SOLUTION


# %%
check.document_term_counts(document_term_counts)

# %% [markdown]
# The library's `bag_of_words` does sections 1 to 4 in one call. On three small texts, with nothing cut off for being
# rare or frequent, and with the language given (by default it is guessed, for which three lines are few):

# %%
short_texts = [
    "A topic model for papers.",
    "Neural nets model words; a neural topic model.",
    "Kernels and priors.",
]
tiny = bag_of_words(short_texts, language="en", stop_words="abstracts", min_df=1, max_df=1.0, phrases=False)
print(pd.DataFrame(tiny.counts.toarray(), columns=tiny.vocabulary))

# %% [markdown]
# Check it by hand: the same counts from the recipe's terms and a `Counter`.

# %%
by_hand = [Counter(tiny.recipe.terms(text)) for text in short_texts]
rows = [[counter[term] for term in tiny.vocabulary] for counter in by_hand]
print("equal to the library's:", np.array_equal(tiny.counts.toarray(), rows))

# %% [markdown]
# ## 5 · One thousand papers
#
# The library ships the counts of 1,000 papers of NeurIPS, 2013 to 2017: titles and abstracts, cleaned as above. (It
# ships counts, not texts, which belong to their authors.)

# %%
papers = load_neurips()
totals = np.asarray(papers.counts.sum(axis=0)).ravel()


def most_frequent(row, n):
    """The n most frequent terms of a row of counts, and how often they occur."""
    counter = Counter(dict(zip(papers.vocabulary.tolist(), row.tolist(), strict=True)))
    return dict(counter.most_common(n))


print(papers)
print("most frequent:", ", ".join(most_frequent(totals, 10)))
print(f"{papers.meta[0]['title']}:")
print(most_frequent(papers.counts[0].toarray().ravel(), 6))

# %% [markdown]
# Each step of the cleaning left an account of what it did (`LaTeX, words` are words that were part of commands or formulas):

# %%
report = pd.DataFrame(papers.report.to_list())
report["share"] = (report["affected"] / report["total"]).map("{:.1%}".format)
print(report[["name", "affected", "total", "unit", "share"]].to_string(index=False))

# %% [markdown]
# How many tokens are left after each step? A *token* is one occurrence of a term. A phrase makes one token of several;
# the last four rows of the table cut the terms of fewer than three papers and those of more than 300, counted once as
# terms and once as tokens.

# %%
affected = {step.name: step.affected for step in papers.report.steps}
total = next(step.total for step in papers.report.steps if step.name == "stop words")
after_words = total - affected["numbers, single characters"]
left = {
    "all words": total,
    "numbers, single characters": after_words,
    "stop words": after_words - affected["stop words"],
    "phrases, rare and ubiquitous terms": int(papers.counts.sum()),
}
figure, axis = plt.subplots(figsize=(7.5, 2.2))
sns.barplot(x=list(left.values()), y=list(left.keys()), color=BLUE, ax=axis)
axis.bar_label(axis.containers[0], [f"{number:,}" for number in left.values()], padding=3)
axis.set(xlabel="tokens left", ylabel="after the step", xticks=range(0, 200_000, 50_000), xlim=(0, 185_000))
axis.xaxis.set_major_formatter("{x:,.0f}")
plt.show()

# %% [markdown]
# **What to see.** Half of all tokens are stop words. Everything else together takes less than a seventh. Most *terms*,
# however, go last: the table says that 61% of the terms are in fewer than three papers. They are many, but rare, so they
# make up few tokens; and from one or two papers nothing can be learned about what a term goes with.
#
# What is left is almost empty. Of 1,000 × 2,517 entries few are not zero, so only those are stored, as a *compressed
# sparse row* matrix: for each row the columns that are not zero, and their counts.

# %%
n_documents, n_terms = papers.counts.shape
stored = papers.counts.data.nbytes + papers.counts.indices.nbytes + papers.counts.indptr.nbytes
n_entries = n_documents * n_terms
n_full = papers.counts.nnz
print(f"{n_full:,} of {n_entries:,} entries are not zero; {1 - n_full / n_entries:.1%} are")
print(f"sparse {stored / 2**10:,.0f} KiB, dense {4 * n_entries / 2**10:,.0f} KiB")

# %% [markdown]
# ## 6 · Zipf: few terms are frequent, most are rare
#
# Sort the terms by how often they occur. Zipf (1949) observed that in a long text the count falls as a power of the
# rank $r$: $f(r) \approx C\,r^{-s}$, with $s$ close to 1. Take logarithms, and the power is a straight line of slope
# $-s$: $\ln f = \ln C - s\,\ln r$.

# %%
zipf = pd.DataFrame({"rank": np.arange(1, n_terms + 1), "count": np.sort(totals)[::-1]})
middle = zipf[zipf["rank"].between(100, 1000)]
slope, intercept = np.polyfit(np.log(middle["rank"]), np.log(middle["count"]), deg=1)
figure, axis = plt.subplots(figsize=(6, 3.4))
axis.plot(zipf["rank"], np.exp(intercept) * zipf["rank"] ** slope, color=INK, linewidth=1, label="power law")
sns.scatterplot(zipf, x="rank", y="count", color=BLUE, s=12, linewidth=0, ax=axis, label="terms")
axis.set(xscale="log", yscale="log", ylabel="count", ylim=(2, 3000))
axis.legend(loc="lower left")
plt.show()
print(f"slope between ranks 100 and 1,000: {slope:.1f}")

# %% [markdown]
# **What to see.** In the middle the line fits well. Both ends bend away from it. The bend on the left is our own work: the
# stop words are missing that would continue the line upwards (the next section puts that to the test). On the right the counts
# fall faster than the line, as they do in texts from which nothing was cut (blue in the last figure of section 7, left). That they stop
# at 3 is again our work: terms of fewer than three papers were cut. A corpus after cleaning is no sample of language, and this is
# where it shows.
#
# ## 7 · Heaps: how the vocabulary grows
#
# Read the papers in random order, and count after each how many different terms have been seen, $V$, among how many
# tokens, $n$. Heaps (1978) found $V \approx k\,n^{\beta}$ with $\beta < 1$, in English text some 0.4 to 0.6: new words
# never stop coming, but come ever more slowly.
#
# For comparison, shuffle *all tokens* of all papers and read them in that order. Any difference between the two curves
# then comes from one thing alone: which tokens stand in a paper together.


# %%
def growth(tokens):
    """How many different terms are among the first n tokens, for each n."""
    _, first = np.unique(tokens, return_index=True)
    is_new = np.zeros(len(tokens), dtype=int)
    is_new[first] = 1
    return np.cumsum(is_new)


def tokens_of(row):
    return np.repeat(row.indices, row.data)


rng = np.random.default_rng(0)
by_paper = np.concatenate([tokens_of(papers.counts[i]) for i in rng.permutation(n_documents)])
curves = {"paper by paper": growth(by_paper), "tokens shuffled": growth(rng.permutation(by_paper))}

# %%
at = np.unique(np.geomspace(30, len(by_paper), 60).astype(int))
rows = [(name, n, curve[n - 1]) for name, curve in curves.items() for n in at]
heaps = pd.DataFrame(rows, columns=["order", "tokens", "terms"])
start = heaps[(heaps["order"] == "paper by paper") & (heaps["tokens"] < 10_000)]
beta, _ = np.polyfit(np.log(start["tokens"]), np.log(start["terms"]), deg=1)
figure, axis = plt.subplots(figsize=(6, 3.4))
sns.lineplot(heaps, x="tokens", y="terms", hue="order", palette=[BLUE, ORANGE], ax=axis)
axis.set(xscale="log", yscale="log", xlabel="tokens read", ylabel="different terms seen")
axis.legend(loc="upper left")
plt.show()
print(f"Heaps' exponent over the first 10,000 tokens: {beta:.1f}")
print({name: int(curve[4_999]) for name, curve in curves.items()}, "terms among 5,000 tokens")

# %% [markdown]
# **What to see.** At first both curves are nearly straight, as Heaps says. Later they bend,
# because the vocabulary was cut to 2,517 terms and cannot grow past them. The curve of the real papers runs *below* that
# of the shuffled tokens: the same number of tokens holds fewer different terms. A word that has occurred in a paper is
# likely to occur in it again. Words are *bursty*. Shuffling destroys that, and with it everything that a topic model could find: topics are
# in the gap between these two curves.
#
# ### What the missing stop words change
#
# The exponent is above the 0.4 to 0.6 of Heaps. Is that because the stop words are gone, half of all tokens, which bring nothing
# new after the first page? And do they explain the bend on the left of Zipf's figure? The docstrings still have theirs, so we can
# try: with all words; without the stop words; and, for comparison, with as many tokens thrown away at random, whatever they are.

# %%
words = [[word for word in terms.split_words(text) if word and word.isalpha()] for text in texts]
names, ids = np.unique(np.concatenate(words), return_inverse=True)
is_stop_word = np.array([terms.is_stop_word(name, terms.default_stop_words("en")) for name in names])
by_text = np.split(ids, np.cumsum([len(text) for text in words])[:-1])
stop_share = is_stop_word[ids].mean()


# %%
def streams(rng):
    """The texts in random order, as one sequence of words: all, thinned at random, without the stop words."""
    every = np.concatenate([by_text[i] for i in rng.permutation(len(by_text))])
    thinned = every[rng.random(len(every)) >= stop_share]
    return {
        "all words": every,
        "thinned at random": thinned,
        "without stop words": every[~is_stop_word[every]],
    }


# %%
def exponent(tokens, first, last):
    """The slope of ln V against ln n, between n = first and n = last tokens."""
    at = np.unique(np.geomspace(first, last, 30).astype(int))
    return np.polyfit(np.log(at), np.log(growth(tokens[:last])[at - 1]), deg=1)[0]


ranges, exponents = {"30 to 300": (30, 300), "1,000 to 10,000": (1_000, 10_000)}, []
for seed in range(20):
    for name, tokens in streams(np.random.default_rng(seed)).items():
        exponents += [(name, where, exponent(tokens, *ends)) for where, ends in ranges.items()]
exponents = pd.DataFrame(exponents, columns=["words", "tokens read", "exponent"])
means = exponents.groupby(["tokens read", "words"])["exponent"].mean().unstack()

# %%
colours = [BLUE, GREEN, ORANGE]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
for (name, tokens), colour in zip(streams(np.random.default_rng(0)).items(), colours, strict=True):
    counted = np.sort(np.bincount(tokens))[::-1]
    axes[0].plot(np.arange(1, len(counted) + 1), counted, color=colour, label=name)
axes[0].set(xscale="log", yscale="log", ylim=(0.7, None), xlabel="rank", ylabel="count")
axes[0].legend(loc="lower left")
style = {"x": "tokens read", "y": "exponent", "hue": "words", "palette": colours, "errorbar": "sd"}
sns.pointplot(exponents, **style, linestyle="none", dodge=0.3, legend=False, ax=axes[1])
axes[1].set(ylabel="Heaps' exponent", ylim=(0.5, 1.05))
plt.show()
late, early = means.loc["1,000 to 10,000"], means.loc["30 to 300"]
print("the same from 1,000 tokens on, within 0.06:", late.max() - late.min() < 0.06)
print("at the start steeper without stop words:", early["without stop words"] > early["all words"] + 0.04)

# %% [markdown]
# **What to see.** Right (20 random orders of the texts; the bars are one standard deviation): between 1,000 and 10,000 tokens all
# three exponents are equal within their spread. A curve $k\,n^\beta$ keeps its $\beta$ if a fixed share of
# the tokens is thrown away, so what was thrown away hardly matters. Only over the first few hundred tokens, where the stop words
# are a good part of the *vocabulary*, is the curve steeper without them. So the answer to the first question is no. The exponent of the
# papers is high because it is measured early: blue falls from left to right, and Heaps read far longer texts.
#
# Left: thinning moves Zipf's curve down, and leaves its slope. Leaving out the stop words takes the head off: the ten most
# frequent words, and about half of the hundred most frequent. The curve is nearly flat where they were: that is the bend.
#
# ### Exercise 4 · The orange curve without shuffling (3 points)
#
# How many different terms do we *expect* among $n$ tokens, if each is drawn independently, and term $w$ comes with
# probability $p_w = \text{counts}_w / \sum \text{counts}$? Start from one term: with what probability do $n$ draws all
# miss it? The expected number of terms seen is the sum over terms of the probability that each has been seen
# (expectations add, even though these events are not independent).


# %%
def expected_vocabulary(counts, n):
    """Expected number of different terms among n independent draws; counts is an array (n_terms,)."""
    ### BEGIN SOLUTION
    probabilities = counts / counts.sum()
    return np.sum(1 - (1 - probabilities) ** n)
    ### END SOLUTION


# %%
check.expected_vocabulary(expected_vocabulary)

# %% [markdown]
# If it passes, try `expected_vocabulary(totals, 5_000)` beside the number for shuffled tokens above. The shuffle draws
# *without* putting back, so it comes out a little higher. By how much at 20,000 tokens, and at 50,000? Why does the gap close again?
#
# ## Summary
#
# - Text from PDFs and LaTeX is damaged, and repairs come before everything else.
# - Splitting, lemmas, stop words and phrases decide what counts as one term. Stop words are half of all tokens; terms of
#   one or two papers are most of all terms.
# - Near duplicates are found by the Jaccard similarity of their shingles; MinHash signatures estimate it, and bands find the pairs
#   that are worth comparing.
# - The document–term matrix holds counts, and is almost empty: here 98.5% zeros.
# - Counts follow Zipf's law between the cuts that cleaning made; the vocabulary grows as Heaps' law says. Thinning changes
#   neither slope; taking off the head of the vocabulary bends Zipf's curve there. Real papers repeat their words more than chance would,
#   and that is what topics are made of.
#
# **In the library:** `minillm_lib/corpora/cleaning/` has `repair.py` and `duplicates.py`, `minillm_lib/topics/` has
# `terms.py` and `document_term.py`.
# **Next:** [02 · LDA by Gibbs sampling](02_lda_gibbs.ipynb), which finds the topics.
#
# **To read on.** Manning, Raghavan and Schütze 2008, *Introduction to Information Retrieval*, chapters 2 and 5, for
# terms, Zipf and Heaps; Bouma 2009, "Normalized (pointwise) mutual information in collocation extraction"; Broder 1997,
# "On the resemblance and containment of documents", for shingles and MinHash; Leskovec, Rajaraman and Ullman, *Mining of Massive
# Datasets*, chapter 3, for bands; Church and Gale 1995, "Poisson mixtures", for burstiness.
