# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 17 · LDA and the Transformer: what each of them knows
#
# **What you build.** The comparison that this course set out to make: LDA, counting, and a Transformer on the *same*
# words of the *same* documents, first of a grammar whose every topic and probability is known, then of real ones. How
# well does each predict? What does each know of a document's topic? A probe tells what can be read off a network's
# states; interventions tell what the network uses: you cut its context, exchange words in it, and train it on shuffled
# text.
#
# **What you need.** [02 · LDA](02_lda_gibbs.ipynb), [05 · Language models](05_language_models.ipynb),
# [09 · Attention](09_attention_gqa.ipynb) and [12 · The training loop](12_training_loop.ipynb).
#
# **How long.** About 90 minutes to work through, with four exercises. All cells together run in about 30 seconds on two CPU
# cores.
#
# > **中文提要** 本节在同一份语料、同一种分词上比较 LDA、n 元模型和 Transformer：先用熵与主题都已知的语法，再用真实的文档（以所属软件包为标签）。作为语言模型，词序比主题重要得多：LDA 只比一元模型略好，Transformer 接近熵的下限；打乱测试文本的词序，LDA 不受影响，Transformer 则比一无所知还差。若从一开始就用打乱的文本训练，Transformer 便成了主题模型：损失与 LDA 相近，而且在每个位置都能读出主题。作为文档的描述，LDA 不用标注就得到可读的主题；Transformer 的隐藏状态里也有主题，但要用探针才能读出，而且多在下一个词需要它时才读得出。探针只说明“读得出”，不说明“用到了”：为此做两个干预实验，切断上文，或把上文中的主题词换成另一主题的词，看预测如何改变。结论：两者回答的是不同的问题。

# %%
import re
import time
from collections import Counter
from random import Random

import numpy as np
import torch
from scipy import sparse
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minillm_lib import GibbsLDA, MiniLLM, ModelConfig, check, course, load_docstrings, load_grammar
from minillm_lib.model import NGramModel
from minillm_lib.topics import top_terms
from minillm_lib.training import fit, rows_of_step
from minillm_lib.viz import plot_lines, plot_losses_by_model, plot_topic_match

course.setup()

# %% [markdown]
# ## 1 · One corpus, one tokenization
#
# A fair comparison needs the same tokens for all, or perplexities mean nothing. LDA wants words, so words it is (and
# punctuation marks), with `<end>` after each document. The documents are abstracts of the grammar: each has exactly one
# of ten topics, which we know; and we know the probability of each document, so we know what the best possible model
# would achieve.

# %%
grammar = load_grammar("en")
documents = list(grammar.generate(2300, seed=0))
texts = [[*re.findall(r"\w+|[^\w\s]", document.text), "<end>"] for document in documents]
vocabulary = ["<end>", *sorted({word for text in texts for word in text} - {"<end>"})]
number = {word: index for index, word in enumerate(vocabulary)}
words = [np.array([number[word] for word in text]) for text in texts]
topics = np.array([grammar.topics.index(document.meta["topic"]) for document in documents])
train_words, test_words = words[:2000], words[2000:]
train_topics, test_topics = topics[:2000], topics[2000:]
V, END, K = len(vocabulary), 0, len(grammar.topics)
print(
    f"{V} words, {sum(map(len, train_words)):,} tokens to train on, {sum(map(len, test_words)):,} for the test"
)
print(f"{K} topics: {', '.join(grammar.topics)}")

# %% [markdown]
# ## 2 · As language models
#
# **LDA** is a language model too, if a weak one: given the words so far it has an opinion on the topics of the
# document, and each topic is a distribution over the next word,
#
# $$p(w_t \mid w_{<t}) = \sum_k \mathbb{E}\big[\theta_k \mid w_{<t}\big]\; \varphi_{k w_t}. \tag{1}$$
#
# The product over all words is the probability of the document, which the left-to-right estimator of notebook 05 computes
# (Wallach et al. 2009).


# %%
def counts_of(texts, n_words):
    """The document–term matrix."""
    of_document = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    ones = np.ones(len(of_document), dtype=np.int64)
    return sparse.csr_matrix((ones, (of_document, np.concatenate(texts))), shape=(len(texts), n_words))


# %%
def fitted_lda(texts, n_words, n_topics):
    lda = GibbsLDA(
        n_topics, n_sweeps=150, beta=0.01, n_chains=1, random_state=0
    )  # a small beta: few words per topic
    return lda.fit(counts_of(texts, n_words))


def lda_loss(lda, texts, n_words):
    return np.log(lda.perplexity(counts_of(texts, n_words), method="left_to_right", n_particles=10))


start = time.perf_counter()
lda = fitted_lda(train_words, V, K)
seconds = {"LDA": time.perf_counter() - start}

# %% [markdown]
# **Counting** neighbours, with Kneser–Ney smoothing, needs one line (notebook 05). **The Transformer** is that of notebook
# 11, trained by `fit`, the loop of notebook 12.


# %%
def new_model(n_words):
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "n_layers": 3, "n_heads": 4, "intermediate_size": 192, "max_seq_len": 256}
    return MiniLLM(ModelConfig(vocab_size=n_words, **shape, initializer_range=0.05))


def trained_on(texts, n_words, n_steps, lr=0.02, length=96):
    """A Transformer trained on these texts, one after the other."""
    model, stream = new_model(n_words), torch.from_numpy(np.concatenate(texts))
    n_rows = (len(stream) - 1) // length
    inputs, labels = (stream[shift : n_rows * length + shift].view(n_rows, length) for shift in (0, 1))
    batches = [rows_of_step(step, 12, n_rows, seed=0) for step in range(n_steps)]
    fit(model, lambda step: model.loss(inputs[batches[step]], labels[batches[step]]), n_steps, lr=lr)
    return model.eval()


# %%
start = time.perf_counter()
model = trained_on(train_words, V, 190)
seconds["Transformer"] = time.perf_counter() - start

# %% [markdown]
# For the test each document stands in a sequence of its own, behind an `<end>`, so that every word is predicted from the
# document's own words only.


# %%
def padded(texts):
    """Inputs and labels, (documents, longest): each word is read one position later than it is predicted."""
    labels = np.full((len(texts), max(map(len, texts))), -100)
    inputs = np.full_like(labels, END)
    for own_labels, own_inputs, text in zip(labels, inputs, texts, strict=True):
        own_labels[: len(text)], own_inputs[1 : len(text)] = text, text[:-1]
    return torch.from_numpy(inputs), torch.from_numpy(labels)


@torch.no_grad()
def transformer_loss(model, texts):
    return model.loss(*padded(texts)).item()


# %%
def all_losses(model, lda, train, test, n_words):
    """The loss of each kind of model on the test documents, in nats per word."""
    start = time.perf_counter()
    orders = {"unigram": 1, "bigram": 2, "trigram": 3, "5-gram": 5}
    grams = {name: NGramModel(order, n_words).fit(np.concatenate(train)) for name, order in orders.items()}
    seconds["n-grams"] = time.perf_counter() - start
    losses = {name: gram.loss(np.concatenate(test)) for name, gram in grams.items()}
    return losses | {"LDA": lda_loss(lda, test, n_words), "Transformer": transformer_loss(model, test)}


# %%
losses = all_losses(model, lda, train_words, test_words, V)
floor = -sum(document.meta["log_probability"] for document in documents[2000:]) / sum(map(len, test_words))
print("from worst to best:", sorted(losses, key=losses.get, reverse=True)[:4], "…")
print("LDA gains less than a nat on the unigram:             ", losses["unigram"] - losses["LDA"] < 1)
print(
    "the bigram gains at least three times as much:        ",
    losses["unigram"] - losses["bigram"] > 3 * (losses["unigram"] - losses["LDA"]),
)
print("the Transformer is within 0.5 of the floor:           ", losses["Transformer"] - floor < 0.5)
plot_losses_by_model(losses, floor=floor)

# %% [markdown]
# **What to see.** Shorter is better, and nothing can pass the dotted line. To know the topics of a document, which is all
# that LDA knows, is worth about half a nat per word. To know the one word before is worth several times as much. The
# Transformer comes near to the grammar, and so do four words of context, counted: this grammar has few rules that reach
# far.
#
# So as a *language model* LDA loses. But it was never meant to predict the next word.
#
# ## 3 · Word order
#
# Shuffle the words within each test document. For LDA nothing has happened: a bag of words has no order. For the
# Transformer a world falls apart.

# %%
rng = np.random.default_rng(0)


def shuffled(texts):
    return [np.append(rng.permutation(text[:-1]), END) for text in texts]


test_shuffled = shuffled(test_words)
print(
    "LDA changes by less than 0.05 nats:             ",
    abs(lda_loss(lda, test_shuffled, V) - losses["LDA"]) < 0.05,
)
print(
    "the Transformer is now worse than the unigram:  ",
    transformer_loss(model, test_shuffled) > losses["unigram"],
)
print("and even worse than knowing nothing (ln V):     ", transformer_loss(model, test_shuffled) > np.log(V))

# %% [markdown]
# A model that is *sure* is wrong at a high price where its assumptions break. But that test is unfair: nobody told the
# Transformer that order would mean nothing. Is it unable to do what LDA does, or did it merely learn something else? An
# **intervention** on the training tells: the same network, trained on the same documents with their words shuffled.

# %%
bag_model = trained_on(shuffled(train_words), V, 100, lr=0.04)
bag_loss = transformer_loss(bag_model, test_shuffled)
print("trained and tested on shuffled words, within 0.1 of LDA:", abs(bag_loss - losses["LDA"]) < 0.1)
print(
    "and as good on ordered text:                            ",
    abs(transformer_loss(bag_model, test_words) - bag_loss) < 0.05,
)

# %% [markdown]
# So the Transformer *can* be a topic model. Where order says nothing, it learns, by predicting the next word and nothing
# else, what LDA has built in: which words occur together in a document. Half a nat is then all that there is to gain. What
# the first model lost on shuffled text was not topics; it was everything that it knew of order. (Li, Li and Risteski 2023,
# [arXiv:2303.04245](https://arxiv.org/abs/2303.04245), show how attention and embeddings learn topics from such text.)
#
# ## 4 · What LDA knows of a document
#
# LDA describes each document by its topic shares $\theta$, without ever having seen a label. Do its topics match the true
# ones? For each true topic, the mean $\theta$ of the test documents that have it:

# %%
theta = lda.transform(counts_of(test_words, V))
shares = np.array([theta[test_topics == topic].mean(axis=0) for topic in range(K)])
frequency = np.bincount(np.concatenate(train_words), minlength=V)
terms = top_terms(lda.topic_word_, frequency, vocabulary, 12, relevance_lambda=0.3)
names = [", ".join([term for term in own if len(term) > 3][:3]) for own in terms]
is_pale = shares.max(axis=0) < 0.5
print("some of its topics are weak everywhere:", is_pale.any())
print("and some hold two true ones:           ", ((shares > 0.5).sum(axis=0) > 1).any())
plot_topic_match(shares, names, grammar.topics)

# %% [markdown]
# **What to see.** Most rows have one strongly coloured field: LDA has found the topic, and the words below say which it is. Nobody
# told it anything. Two things are not as one would wish. Some topics of LDA (on the right) are pale in all rows: they
# hold words that all abstracts share. Nobody asked for them, and they take up columns, so that pairs of true topics have
# to share one. Ten topics were too few, though the true number is ten. (Notebook 03 is about choosing $K$.)
#
# How well do two groupings of the same documents agree, when their groups have different names and even different
# numbers? Count how often each pair of a true topic and a strongest LDA topic occurs. If you are told the one, how much
# less uncertain are you of the other? That is the **mutual information**, by entropies (notebook 05) $I = H(\text{rows})
# + H(\text{columns}) - H(\text{pairs})$. It is 0 if they are independent. Divided by the mean of the two entropies it is
# 1 if each determines the other, the **normalised mutual information**:
#
# $$\text{NMI} = \frac{I}{\tfrac12\big(H(\text{rows}) + H(\text{columns})\big)}. \tag{2}$$
#
# ### Exercise 1 · Normalised mutual information (2 points)
#
# `counts[i, j]` is the number of documents in group `i` of the first grouping and group `j` of the second. Return (2).


# %%
def normalised_information(counts):
    """The normalised mutual information of two groupings, from 0 to 1."""

    ### BEGIN SOLUTION
    def entropy(p):
        return -(p[p > 0] * np.log(p[p > 0])).sum()

    pairs = counts / counts.sum()
    rows, columns = entropy(pairs.sum(axis=1)), entropy(pairs.sum(axis=0))
    return (rows + columns - entropy(pairs)) / ((rows + columns) / 2)
    ### END SOLUTION


# %%
check.normalised_information(normalised_information)

# %%
table = np.zeros((K, K))
np.add.at(table, (test_topics, theta.argmax(axis=1)), 1)
print("true topic and strongest LDA topic: above 0.85:", check.normalised_information.function(table) > 0.85)
mixed_up = np.zeros((K, K))
np.add.at(mixed_up, (rng.permutation(test_topics), theta.argmax(axis=1)), 1)
print(
    "with the documents mixed up: below 0.15:        ", check.normalised_information.function(mixed_up) < 0.15
)

# %% [markdown]
# Mixed up, the groupings have nothing to do with each other, and yet (2) is not quite 0, for the counts of only 300 documents
# scatter about what independence would give.
#
# This is what LDA has and the Transformer has not: a short list of numbers for each document, each with a meaning that
# can be *read*.
#
# ## 5 · What can be read off a Transformer: a probe
#
# A Transformer has no $\theta$. It has *hidden states*: after reading $t$ words, a vector of 64 numbers for each layer, made
# for one purpose, to predict word $t+1$. Is the topic in there? One asks with a **probe** (Alain and Bengio 2016,
# [arXiv:1610.01644](https://arxiv.org/abs/1610.01644)): a linear classifier that is trained to read the topic off the
# states of some labelled documents, and tested on others.
#
# ### Exercise 2 · A linear probe (3 points)
#
# The simplest probe is ridge regression: least squares with a penalty. `states` is `(n, d)`; `topics`, `(n,)`, has numbers
# from 0 to `n_topics - 1`, whose one-hot rows are the targets. Centre both by their means over these documents: $X$ and $Y$.
# The weights $W$, `(d, n_topics)`, make
#
# $$\lVert X W - Y \rVert^2 + \lambda \lVert W \rVert^2$$
#
# smallest. Set the derivative to zero and solve. Return scores for `new_states`, `(m, n_topics)`, with the centring
# taken back: the largest score of a row is the probe's answer. `penalty` is $\lambda$.


# %%
def linear_probe(states, topics, new_states, n_topics, penalty):
    """Scores (m, n_topics) of ridge regression from states to one-hot topics."""
    ### BEGIN SOLUTION
    one_hot = np.eye(n_topics)[topics]
    mean, share = states.mean(axis=0), one_hot.mean(axis=0)
    x, y = states - mean, one_hot - share
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return (new_states - mean) @ weights + share
    ### END SOLUTION


# %%
check.linear_probe(linear_probe)

# %% [markdown]
# From here on yours is used, if it passed, on states that are scaled to the same spread. As a **control**, the same is done
# with a Transformer that was never trained: random matrices carry information on as well, and what a probe finds there,
# training has not put in (Hewitt and Liang 2019, [arXiv:1909.03368](https://arxiv.org/abs/1909.03368), on why controls
# are needed).


# %%
def probe(states, topics, new_states, new_topics, penalty=30.0):
    """The share of new documents whose topic is read off rightly."""
    spread = states.std(axis=0) + 1e-6
    scores = check.linear_probe.function(
        states / spread, topics, new_states / spread, topics.max() + 1, penalty
    )
    return np.mean(scores.argmax(axis=1) == new_topics)


@torch.no_grad()
def last_states(model, texts):
    """(documents, positions, hidden): what the output head reads at position t, after t words."""
    return model.hidden_states(padded(texts)[0]).numpy()


# %%
labelled, labels = [text[:70] for text in train_words[:400]], train_topics[:400]
read = [text[:70] for text in test_words]  # 70 words of each document are enough here
read_shuffled = [text[:70] for text in test_shuffled]
states = {
    "trained on ordered text": (last_states(model, labelled), last_states(model, read)),
    "trained on shuffled text": (
        last_states(bag_model, [text[:70] for text in shuffled(train_words[:400])]),
        last_states(bag_model, read_shuffled),
    ),
    "not trained": (last_states(new_model(V), labelled), last_states(new_model(V), read)),
}

# %% [markdown]
# After how many words is the topic known? The probe reads the state of the last layer after $t$ words. For LDA, it reads
# $\theta$ of the first $t$ words as a bag.

# %%
positions = (5, 10, 20, 40, 60)
curves = {
    name: [probe(known[:, t], labels, new[:, t], test_topics) for t in positions]
    for name, (known, new) in states.items()
}
thetas = [
    [lda.transform(counts_of([text[:t] for text in own], V)) for own in (labelled, read)] for t in positions
]
curves["LDA's θ"] = [probe(known, labels, new, test_topics) for known, new in thetas]

# %%
print(
    "ordered: less known after 60 words than after 5:  ",
    curves["trained on ordered text"][-1] < curves["trained on ordered text"][0] - 0.2,
)
print(
    "shuffled: known in nearly every document after 30:", min(curves["trained on shuffled text"][3:]) > 0.85
)
plot_lines(positions, curves, xlabel="words read", ylabel="topic read off rightly", line=(1 / K, "guessing"))

# %% [markdown]
# **What to see.** LDA's line is high after five words and stays there: a bag only grows. (It cannot reach 1, as some topics
# share a column.) The line of the model trained on *shuffled* text rises to 1 and stays. That of the model trained on
# *ordered* text begins like the others, and then falls and falls, as does that of a model that was never trained. It has
# seen the same documents, and it predicts far better. Has it forgotten the topic? No: a state is not a
# summary of the document; it holds what the *next word* needs. In shuffled text the next word may be a topic word at any
# time. In the middle of "the gain shrinks to" it is not.
#
# If that is so, the topic must be there when a topic word *is* next. Call a word a **topic word** if more than 90 % of its
# occurrences are in one topic, and a **common word** if no topic has more than 20 % of them. We probe only states right
# before the one, or right before the other, from the thirtieth word on.

# %%
topic_counts = np.zeros((K, V))
np.add.at(
    topic_counts, (np.repeat(train_topics, [len(w) for w in train_words]), np.concatenate(train_words)), 1
)
largest_share = topic_counts.max(axis=0) / np.maximum(topic_counts.sum(axis=0), 1)
is_topic_word, is_common = largest_share > 0.9, largest_share < 0.2
topic_of_word = topic_counts.argmax(axis=0)
print(f"{is_topic_word.sum()} topic words, {is_common.sum()} common words")


# %%


def before(is_kind, states, texts, topics):
    """States and topics at up to three positions of each document where a word of this kind comes next."""
    rng = np.random.default_rng(0)
    found = []
    for document, text in enumerate(texts):
        next_is = [t for t in range(30, len(text) - 1) if is_kind[text[t]]]
        found += (
            [(document, t) for t in rng.choice(next_is, min(3, len(next_is)), replace=False)]
            if next_is
            else []
        )
    of_document, at = np.array(found, dtype=int).T
    return states[of_document, at], topics[of_document]


# %%
read_off = {}
for origin in ("trained on ordered text", "not trained"):
    for kind, is_kind in {"topic": is_topic_word, "common": is_common}.items():
        known = before(is_kind, states[origin][0], labelled, labels)
        new = before(is_kind, states[origin][1], read, test_topics)
        read_off[kind, origin] = probe(*known, *new)
trained, untrained = (
    {kind: read_off[kind, origin] for kind in ("topic", "common")}
    for origin in ("trained on ordered text", "not trained")
)
print("trained: read off far more often before topic words:", trained["topic"] > trained["common"] + 0.15)
print("not trained: more often, too:                       ", untrained["topic"] > untrained["common"] + 0.05)

# %% [markdown]
# The trained model's states tell the topic where it is needed, far more often than where it is not. But look at the
# control: so do those of the model that was never trained. Which word comes next depends on the last few words, and where
# these tell the topic, random matrices hand it on as well. A probe alone cannot say what training has put in; it cannot
# say whether the model *uses* what the probe reads; nor where the model takes it from.
#
# ## 6 · What a Transformer uses: interventions
#
# ### Cut the context
#
# Only attention carries anything from one position to another. So let a document fall apart at the thirtieth word: from
# there on, no position may look back beyond it (segments, as for packed conversations in notebook 14). The weights stay
# as they are. Topic words and common words are then compared *with themselves*, before and after the cut. From the fourth
# word after it on, so that the grammar of the sentence is not what is lost.

# %%
CUT = 30


@torch.no_grad()
def loss_of_words(model, inputs, labels, segments=None):
    """The loss of each word, (documents, positions)."""
    logits = model.hidden_states(inputs, segment_ids=segments) @ model.output_weight.T
    return torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").numpy()


# %%
inputs, next_words = padded(read)
segments = torch.ones_like(inputs)
segments[:, CUT:] = 2
intact, cut = (loss_of_words(model, inputs, next_words, each) for each in (None, segments))
near = np.zeros(intact.shape, dtype=bool)
near[:, CUT + 4 : CUT + 16] = (next_words >= 0)[:, CUT + 4 : CUT + 16]
kind_of = [is_kind[next_words.numpy()] & near for is_kind in (is_topic_word, is_common)]

# %% [markdown]
# ### Exercise 3 · A paired comparison (2 points)
#
# `intact` and `cut` are the losses of the same words without and with the cut, `is_topic` says which of them are topic words;
# all are `(n,)`, and the other words are common ones. Return three numbers: the mean rise of the loss of the topic words,
# that of the common words, and the standard error of the difference of these two means. The losses differ widely from
# word to word, some words being hard and some easy; that must not make the answer uncertain.


# %%
def paired_effect(intact, cut, is_topic):
    """(mean rise of topic words, mean rise of common words, standard error of their difference)."""
    ### BEGIN SOLUTION
    rise = cut - intact
    topic, common = rise[is_topic], rise[~is_topic]
    variance = topic.var(ddof=1) / len(topic) + common.var(ddof=1) / len(common)
    return topic.mean(), common.mean(), variance**0.5
    ### END SOLUTION


# %%
check.paired_effect(paired_effect)

# %%
chosen = kind_of[0] | kind_of[1]
topic_rise, common_rise, error = check.paired_effect.function(intact[chosen], cut[chosen], kind_of[0][chosen])
print("topic words suffer at least half as much again as common ones:", topic_rise > 1.5 * common_rise)
print("the difference is more than two standard errors:       ", topic_rise - common_rise > 2 * error)

# %% [markdown]
# Without the far context all words are predicted somewhat worse, and topic words lose more than common ones. So the model
# does use the far context, by attention, and more for a word that depends on the topic. (It is not lost without it: some
# topic words are near enough, on this side of the cut.)
#
# ### Exchange the words
#
# Now leave attention alone and change what it finds. In every test document, the topic words of its topic are replaced
# by random topic words of *another* topic. The rest stays. Before the places where a topic word is due, which topic do
# the model's probabilities favour?

# %%
stream = np.concatenate(train_words)
occurring = [stream[is_topic_word[stream] & (topic_of_word[stream] == topic)] for topic in range(K)]
other_topics = (test_topics + 3) % K
exchanged = inputs.numpy().copy()
for text, old, new in zip(exchanged, test_topics, other_topics, strict=True):
    is_old = is_topic_word[text] & (topic_of_word[text] == old)
    text[is_old] = rng.choice(occurring[new], is_old.sum())


# %%
@torch.no_grad()
def mass(ids, topic_of_document):
    """The mean probability of a topic's words where a topic word is due, from the thirtieth word on."""
    p = (model.hidden_states(ids) @ model.output_weight.T).softmax(dim=-1).numpy()
    due = is_topic_word[next_words.numpy()] & (next_words.numpy() >= 0)
    due[:, :CUT] = False
    of_document, at = np.nonzero(due)
    own = is_topic_word & (topic_of_word == topic_of_document[of_document, None])
    return (p[of_document, at] * own).sum(axis=1).mean()


# %%
ids = {"as written": inputs, "exchanged": torch.from_numpy(exchanged)}
of_old = {name: mass(each, test_topics) for name, each in ids.items()}
of_new = {name: mass(each, other_topics) for name, each in ids.items()}
print(
    "the document's own topic loses more than a third of its probability:",
    of_old["exchanged"] < of_old["as written"] * 2 / 3,
)
print(
    "the topic of the new words gains at least twofold:                  ",
    of_new["exchanged"] > 2 * of_new["as written"],
)
print(
    "but stays below half of what the own topic had:                     ",
    of_new["exchanged"] < of_old["as written"] / 2,
)

# %% [markdown]
# The prediction follows the words that were put in, though not all the way (the new topic gets less than half of what the
# own one had), for all other words of the document were left as they are. So that is how the knowledge of a document's topic works here: it stands
# in the words that were read, and attention looks it up when it is wanted. What a probe reads off a state is the
# result of such a look-up. A bag has its contents always at hand; a Transformer has them in its context.
#
# ## 7 · Real documents
#
# The grammar flatters both: every document has exactly one topic, and its sentences follow rules. Now documents that
# people wrote: docstrings of six packages, 300 of each, cut to a hundred words; of these 1,800, 300 are for the test.
# Their label is the package. On every machine with the package versions of this repository they are the same.

# %%
PACKAGES = ("matplotlib", "networkx", "pandas", "scikit-learn", "sympy", "torch")
real = []
everything = load_docstrings(progress=False)
for label, package in enumerate(PACKAGES):
    own = [d.text for d in everything if d.meta["package"] == package and len(d.text.split()) >= 40]
    real += [(re.findall(r"\w+|[^\w\s]", text.lower())[:100], label) for text in Random(0).sample(own, 300)]
Random(0).shuffle(real)
frequencies = Counter(word for text, _ in real[:1500] for word in text)
known_words = ["<end>", "<rare>", *sorted(word for word, count in frequencies.items() if count >= 5)]
index = {word: i for i, word in enumerate(known_words)}
real_words = [np.array([index.get(word, 1) for word in text] + [END]) for text, _ in real]
packages = np.array([label for _, label in real])
real_train, real_test, N = real_words[:1500], real_words[1500:], len(known_words)
print(f"about {round(N, -2):,} words; {sum(map(len, real_train)):,} tokens to train on")

# %%
real_lda = fitted_lda(real_train, N, 2 * len(PACKAGES))
real_model = trained_on(real_train, N, 80)
real_losses = all_losses(real_model, real_lda, real_train, real_test, N)
print("LDA gains less than half a nat on the unigram:", 0 < real_losses["unigram"] - real_losses["LDA"] < 0.5)
print(
    "the bigram gains at least three times as much:",
    real_losses["unigram"] - real_losses["bigram"] > 3 * (real_losses["unigram"] - real_losses["LDA"]),
)
print("the 5-gram is ahead of this Transformer:      ", real_losses["5-gram"] < real_losses["Transformer"])
plot_losses_by_model(real_losses)

# %% [markdown]
# **What to see.** Again order is worth far more than topics. But there is no floor to come near to, and the Transformer
# does not lead: with 140 thousand tokens and 80 steps it cannot yet use what it could learn from millions. Counting is
# hard to beat on little text (notebooks 05 and 13).
#
# And as descriptions of documents? From the Transformer one gets a single vector per document by averaging its states over
# all positions. How many labelled documents does a linear classifier need to tell the packages apart? The classifier is
# the probe of exercise 2 in scikit-learn's form, the same for all descriptions, and each point is the mean over three draws
# of the labelled documents.


# %%
def averaged(model, texts):
    """The mean of the last states of each document, (documents, hidden)."""
    return np.array(
        [own[: len(text)].mean(axis=0) for own, text in zip(last_states(model, texts), texts, strict=True)]
    )


def classified(description, n, draw):
    """The share of test documents whose package is told rightly, from n labelled ones."""
    known, new = description
    labelled = np.random.default_rng(draw).choice(len(known), n, replace=False)
    classifier = make_pipeline(StandardScaler(), RidgeClassifier(alpha=100.0))
    return classifier.fit(known[labelled], packages[labelled]).score(new, packages[1500:])


# %%
parts = (real_train[:300], real_test)
described = {
    "LDA's θ": [real_lda.transform(counts_of(part, N)) for part in parts],
    "mean state": [averaged(real_model, part) for part in parts],
    "mean state, not trained": [averaged(new_model(N), part) for part in parts],
    "word counts": [counts_of(part, N).toarray() for part in parts],
}

# %%
numbers = (30, 60, 120, 300)
accuracy = {
    name: [np.mean([classified(description, n, draw) for draw in range(3)]) for n in numbers]
    for name, description in described.items()
}

# %%
print(
    "with 30 labels θ is ahead of the plain counts:  ",
    accuracy["LDA's θ"][0] > accuracy["word counts"][0] + 0.05,
)
print(
    "with 300 labels the states: training has added: ",
    accuracy["mean state"][-1] > accuracy["mean state, not trained"][-1] + 0.03,
)
plot_lines(
    numbers,
    accuracy,
    xlabel="labelled documents",
    ylabel="package told rightly",
    line=(1 / len(PACKAGES), "guessing"),
    log=True,
)

# %% [markdown]
# **What to see.** With few labels LDA's $\theta$ is the best description: twelve numbers that have learned from 1,500
# documents *without* labels which words belong together. The more labels there are, the nearer the plain counts come,
# which have left nothing out. The states of this small Transformer lie between those of its untrained twin and $\theta$. It was
# never asked for a description. Large models, trained on billions of words and then to give similar texts similar
# vectors, describe documents far better than either; that is another training.
#
# ## 8 · What it costs

# %%
print(f"LDA           {lda.topic_word_.size:9,} numbers, trained in ~{seconds['LDA']:.1f} s")
print(f"Transformer   {model.config.n_parameters:9,} weights, trained in ~{seconds['Transformer']:.1f} s")
print(f"n-grams, all four: counted in ~{seconds['n-grams']:.1f} s")

# %% [markdown]
# LDA and counting are the cheap ones, here by about an order of magnitude, and the distance grows with the model. What the
# models *write* differs as much:


# %% tags=["nbval-ignore-output"]
def lda_writes(n_words, seed=1):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(lda.alpha_)
    return [vocabulary[rng.choice(V, p=lda.topic_word_[rng.choice(K, p=shares)])] for _ in range(n_words)]


written = model.generate([[END]], temperature=1.0, max_new_tokens=40, seed=0)[0].ids
print("LDA:        ", " ".join(lda_writes(40)))
print("Transformer:", " ".join(vocabulary[word] for word in written))

# %% [markdown]
# ## 9 · A topic model that reads in order
#
# Can one have both, topics with a name *and* knowledge that grows word by word? Here is the simplest model that does.
# Each document has **one** topic $k$, with prior $\pi_k$, and its words are drawn from $\varphi_k$ (a *mixture of
# unigrams*, Nigam et al. 2000). While reading, keep the probability of each topic given the words so far. By Bayes' rule,
#
# $$p(k \mid w_{\le t}) = \frac{p(k \mid w_{<t})\,\varphi_{k w_t}}{\sum_j p(j \mid w_{<t})\,\varphi_{j w_t}}, \qquad
# p(w_t \mid w_{<t}) = \sum_k p(k \mid w_{<t})\,\varphi_{k w_t}. \tag{3}$$
#
# The denominator on the left *is* the prediction on the right: learning and predicting are one computation. What the
# Transformer trained on shuffled text has learned to do in its context, this model does by construction.
#
# ### Exercise 4 · The topic filter (2 points)
#
# `words` is an array of $T$ word numbers, `topic_word` is $\varphi$, `(K, V)`, with positive entries, `prior` is $\pi$, `(K,)`.
# Return the losses $-\ln p(w_t\mid w_{<t})$, `(T,)`, and the probabilities of the topics after *all* words, `(K,)`.
# Documents may be a thousand words long, and a product of so many probabilities is 0 in floating point.


# %%
def topic_filter(words, topic_word, prior):
    """Losses (T,) of the words one after the other, and the posterior (K,) of the topics at the end."""
    ### BEGIN SOLUTION
    belief, losses = prior, []
    for word in words:
        joint = belief * topic_word[:, word]
        losses.append(-np.log(joint.sum()))
        belief = joint / joint.sum()
    return np.array(losses), belief
    ### END SOLUTION


# %%
check.topic_filter(topic_filter)

# %% [markdown]
# What is such a model worth? We count $\varphi_k$ with the true topics of the training documents (LDA had to do without),
# and let it read the test documents.

# %%
phi = (topic_counts + 0.01) / (topic_counts + 0.01).sum(axis=1, keepdims=True)
uniform = np.full(K, 1 / K)
filtered = [check.topic_filter.function(text, phi, uniform) for text in test_words]
filter_loss = np.concatenate([loss for loss, _ in filtered]).mean()
told = [check.topic_filter.function(text[:10], phi, uniform)[1].argmax() for text in test_words]
print("topic known after 10 words in more than 95 % of the documents:", np.mean(told == test_topics) > 0.95)
print("better than LDA:                                              ", filter_loss < losses["LDA"])
print("far behind the bigram:                                        ", filter_loss > losses["bigram"] + 1)

# %% [markdown]
# The filter knows the topic after a handful of words, almost always: its assumption, one topic per document, is *true* of
# the grammar. And yet it predicts hardly better than LDA, for it is sure of the topic and has no idea of the next word.
# Knowing what a text is about, and knowing how it goes on, are two things; this notebook has measured how different they
# are.
#
# ## Summary: the question of the report
#
# | | LDA | Transformer |
# | --- | --- | --- |
# | a document is | a bag of words | a sequence |
# | what it is trained for | to explain which words occur together | to predict the next word |
# | as a language model | little better than a unigram | near the floor of the grammar; on little real text behind counting |
# | if the words of the test are shuffled | the same | worse than knowing nothing |
# | if it is *trained* on shuffled words | the same | a topic model, as good as LDA |
# | what it knows of a document | topic shares that can be read | states from which a probe can read |
# | where | always at hand, one vector per document | in the context, looked up by attention where the next word needs it |
# | labels needed to name topics | a look at the words | some for each topic |
# | what it costs here | about a second of training | an order of magnitude more |
#
# They answer different questions. *What are these ten thousand documents about?* LDA, on a laptop, with numbers that
# can be checked. *How does this text go on?* A Transformer. And some of today's topic models take the one for the
# other's work: they cluster vectors that a trained Transformer gives for each document.
#
# A probe says what can be read off a network, an intervention what the network uses. Trust the second.
#
# **In the library:** `minillm_lib/topics/`, `minillm_lib/model/`, and between them `minillm_lib/model/ngram.py`.
#
# **Next:** [18 · Your own model](18_your_own_model.ipynb), in which you put all of it together.
#
# **To read on.**
#
# - Dieng, Ruiz and Blei 2020, "Topic Modeling in Embedding Spaces", [arXiv:1907.04907](https://arxiv.org/abs/1907.04907), and
#   Grootendorst 2022, "BERTopic", [arXiv:2203.05794](https://arxiv.org/abs/2203.05794): topics from embeddings.
# - Xie et al. 2021, "An Explanation of In-context Learning as Implicit Bayesian Inference",
#   [arXiv:2111.02080](https://arxiv.org/abs/2111.02080): equation (3) inside a Transformer.
# - Belinkov 2021, "Probing Classifiers: Promises, Shortcomings, and Advances",
#   [arXiv:2102.12452](https://arxiv.org/abs/2102.12452), before you trust a probe.
# - Elazar et al. 2021, "Amnesic Probing", [arXiv:2006.00995](https://arxiv.org/abs/2006.00995): from what can be read to what is used.
