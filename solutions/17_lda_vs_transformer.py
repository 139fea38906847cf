# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 17 · LDA and the Transformer: what each of them knows
#
# **What you build.** The comparison that this course set out to make: LDA, counting, and a Transformer on the *same* words of
# the *same* documents. How well does each predict, what does each know of a document's topic, where does it keep that
# knowledge, and what does it cost? At the end, the capstone: a topic model that reads in order.
#
# **What you need.** All of the course; at least [02 · LDA](02_lda_gibbs.ipynb), [05 · Language models](05_language_models.ipynb) and
# [12 · The training loop](12_training_loop.ipynb).
#
# **How long.** About 75 minutes to work through. All cells together run in about 40 seconds on two CPU cores.
#
# > **中文提要** 本节在同一份语料、同一种切词上比较 LDA、n 元模型和 Transformer，语料来自熵已知的文法，每篇文档的真实主题也已知。
# > 作为语言模型，词序比主题重要得多：LDA 只比一元模型略好，Transformer 接近熵的下限；一旦打乱词序，LDA 不受影响，Transformer 则完全失效。
# > 作为文档的描述，LDA 不用标注就得到可读的主题，但会把两个主题合并；Transformer 的隐藏状态里也有主题，不过需要探针才能读出，
# > 而且只在下一个词与主题有关时才在那里。结论：两者回答的是不同的问题。

# %%
import re
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import normalized_mutual_info_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minillm_lib import GibbsLDA, MiniLLM, ModelConfig, check, load_grammar
from minillm_lib.model import NGramModel
from minillm_lib.topics import top_terms
from minillm_lib.training import (
    OptimizerConfig,
    ScheduleConfig,
    learning_rate_factor,
    make_optimizers,
    rows_of_step,
)

# %%
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, use_style

use_style()
torch.set_num_threads(1)  # for matrices as small as these, sharing the work out costs more than it saves

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
vocabulary = sorted({word for text in texts for word in text})
number = {word: index for index, word in enumerate(vocabulary)}
words = [np.array([number[word] for word in text]) for text in texts]
topics = np.array([grammar.topics.index(document.meta["topic"]) for document in documents])
train_words, test_words = words[:2000], words[2000:]
train_topics, test_topics = topics[:2000], topics[2000:]
train_stream, test_stream = np.concatenate(train_words), np.concatenate(test_words)
V, END, K = len(vocabulary), number["<end>"], len(grammar.topics)
print(f"{V} words, {len(train_stream):,} tokens to train on, {len(test_stream):,} for the test")
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
def counts_of(texts):
    """The document–term matrix."""
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    ones = np.ones(len(rows), dtype=np.int64)
    return sparse.csr_matrix((ones, (rows, np.concatenate(texts))), shape=(len(texts), V))


seconds = {}
start = time.perf_counter()
lda = GibbsLDA(K, n_sweeps=150, beta=0.01, n_chains=1, random_state=0)  # a small beta: few words a topic
lda.fit(counts_of(train_words))
seconds["LDA"] = time.perf_counter() - start


def lda_loss(texts):
    return np.log(lda.perplexity(counts_of(texts), method="left_to_right", n_particles=10))


# %% [markdown]
# **Counting** neighbours, with Kneser–Ney smoothing, needs one line. **The Transformer** gets the loop of notebook 12.

# %%
start = time.perf_counter()
n_grams = {order: NGramModel(order, V).fit(train_stream) for order in (1, 2, 3, 5)}
seconds["5-gram"] = time.perf_counter() - start


def new_model():
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "n_layers": 3, "n_heads": 4, "intermediate_size": 192, "max_seq_len": 256}
    return MiniLLM(ModelConfig(vocab_size=V, **shape, initializer_range=0.05))


# %%
def train(model, n_steps=250, lr=0.02, row=96):
    stream, n_rows = torch.from_numpy(train_stream), (len(train_stream) - 1) // row
    inputs, labels = (stream[shift : n_rows * row + shift].view(n_rows, row) for shift in (0, 1))
    optimizers = make_optimizers(model, OptimizerConfig(name="muon", lr=lr))
    schedule = ScheduleConfig(warmup_steps=20, final_share=0.05)
    for step in range(n_steps):
        rows = rows_of_step(step, 16, n_rows, seed=0)
        model.loss(inputs[rows], labels[rows]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr * learning_rate_factor(step, n_steps, schedule)
            optimizer.step()
            optimizer.zero_grad()


model = new_model()
start = time.perf_counter()
train(model)
seconds["Transformer"] = time.perf_counter() - start

# %% [markdown]
# For the test each document stands in a row of its own, behind the `<end>` of the one before, so that every word is predicted
# from the document's own words only.


# %%
def as_rows(texts):
    """Inputs and labels, (documents, longest): each word is read one place later than it is predicted."""
    labels = np.full((len(texts), max(map(len, texts))), -100)
    inputs = np.full_like(labels, END)
    for row, text in enumerate(texts):
        labels[row, : len(text)], inputs[row, 1 : len(text)] = text, text[:-1]
    return torch.from_numpy(inputs), torch.from_numpy(labels)


@torch.no_grad()
def transformer_loss(texts):
    return model.loss(*as_rows(texts)).item()


losses = {
    "unigram": n_grams[1].loss(test_stream),
    "LDA": lda_loss(test_words),
    "bigram": n_grams[2].loss(test_stream),
    "trigram": n_grams[3].loss(test_stream),
    "5-gram": n_grams[5].loss(test_stream),
    "Transformer": transformer_loss(test_words),
}
floor = -sum(document.meta["log_probability"] for document in documents[2000:]) / len(test_stream)

# %%
figure, axis = plt.subplots(figsize=(7, 3))
colours = [PALE, GREEN, PALE, PALE, PALE, BLUE]
axis.barh(list(losses), list(losses.values()), color=colours)
for place, loss in enumerate(losses.values()):
    axis.text(loss + 0.05, place, f"perplexity {np.exp(loss):.3g}", va="center", fontsize=8)
axis.axvline(floor, color=INK, linestyle=":", label="the grammar itself")
axis.legend(loc="lower right")
axis.invert_yaxis()
axis.set(xlabel="loss on unseen documents (nats a word)", xlim=(0, 6.8))
plt.show()

# %%
print("from worst to best:", [name for name, _ in sorted(losses.items(), key=lambda item: -item[1])])
print("LDA gains less than a nat on the unigram:   ", losses["unigram"] - losses["LDA"] < 1)
print("the Transformer is within 0.2 of the floor: ", losses["Transformer"] - floor < 0.2)

# %% [markdown]
# **What to see.** Shorter is better, and nothing can pass the dotted line. To know the topics of a document, which is all that
# LDA knows, is worth about half a nat a word. To know the one word before is worth some seven times as much. The
# Transformer comes nearest to the grammar; four words of context, counted, come surprisingly near as well: this grammar
# has few rules that reach far.
#
# So as a *language model* LDA loses. But it was never meant to predict the next word.
#
# ## 3 · Word order
#
# Shuffle the words within each test document. For LDA nothing has happened: a bag of words has no order. For the
# Transformer a world falls apart.

# %%
rng = np.random.default_rng(0)
shuffled = [np.append(rng.permutation(text[:-1]), END) for text in test_words]
after = {"LDA": lda_loss(shuffled), "Transformer": transformer_loss(shuffled)}
print("LDA changes by less than 0.05 nats:             ", abs(after["LDA"] - losses["LDA"]) < 0.05)
print("the Transformer is now worse than the unigram:  ", after["Transformer"] > losses["unigram"])
print("and even worse than knowing nothing (ln V):     ", after["Transformer"] > np.log(V))

# %% [markdown]
# What is a weakness in one task is a strength in another. LDA's view of a document survives any disorder: columns
# of a table, keywords, a page read badly by a scanner. And a model that is *sure* is wrong at a high price where its
# assumptions break: the Transformer does worse on shuffled text than a model that knows nothing.
#
# ## 4 · What LDA knows of a document
#
# LDA describes each document by its topic shares $\theta$, without ever having seen a label. Do its topics match the true
# ones? For each true topic, the mean $\theta$ of the test documents that have it:

# %%
theta = lda.transform(counts_of(test_words))
shares = np.array([theta[test_topics == topic].mean(axis=0) for topic in range(K)])
order = np.lexsort([shares.argmax(axis=0), shares.max(axis=0) < 0.5])  # by true topic; the weak ones last
terms = top_terms(
    lda.topic_word_, np.bincount(train_stream, minlength=V), vocabulary, 12, relevance_lambda=0.3
)
names = [", ".join([term for term in terms[topic] if len(term) > 3][:3]) for topic in order]
figure, axis = plt.subplots(figsize=(6.5, 4.6))
image = axis.imshow(shares[:, order], cmap="Blues", vmin=0, vmax=1)
axis.set_xticks(range(K), names, rotation=40, ha="right", fontsize=8)
axis.set_yticks(range(K), grammar.topics)
axis.set(xlabel="topic of LDA (three of its most relevant words)", ylabel="true topic")
axis.grid(False)
figure.colorbar(image, label="mean share θ")
plt.show()

# %%
found = normalized_mutual_info_score(test_topics, theta.argmax(axis=1))
print("normalised mutual information of true topic and strongest LDA topic above 0.9:", found > 0.9)

# %% [markdown]
# **What to see.** Most rows have one dark field: LDA has found the topic, and the words below say which it is. Nobody told it
# anything. Two things are not as one would wish. One topic of LDA is pale in all rows: it holds words that all abstracts
# share. Nobody asked for it, and it takes a place: two true topics have to share a column. Ten topics were too few, though
# the true number is ten. (Notebook 03 is about choosing $K$.)
#
# This is what LDA has and the Transformer has not: a short list of numbers for each document, each with a meaning that
# can be *read*.
#
# ## 5 · What the Transformer knows of a document
#
# A Transformer has no $\theta$. It has *hidden states*: after reading $t$ words, a vector of 64 numbers for each layer, made
# for one purpose, to predict word $t+1$. Is the topic in there? One asks with a **probe** (Alain and Bengio 2016,
# [arXiv:1610.01644](https://arxiv.org/abs/1610.01644)): a linear classifier that is trained to read the topic off the
# vectors of some labelled documents, and tested on others. If it can, the topic is there, in a form that a single matrix
# can use.
#
# ### Exercise 1 · A linear probe (2 points)
#
# The simplest probe is ridge regression on one-hot targets. `states` is `(n, d)`, `topics` `(n,)` with numbers from 0 to
# `n_topics - 1`, `new_states` `(m, d)`. Subtract the means over the *labelled* documents: $X$ are the centred states, $Y$ the
# centred one-hot rows. With
#
# $$W = (X^\top X + \lambda I)^{-1} X^\top Y$$
#
# return the scores of the new documents, `(m, n_topics)`: their states, centred in the same way, times $W$, plus the mean of
# the one-hot rows. The largest score of a row is the probe's answer.


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
# We use scikit-learn's logistic regression from here on. Hooks catch what each block returns; the word embeddings count as
# layer 0. As a **control**, the same is done with a Transformer that was never trained: random matrices also carry
# information on, and what a probe finds there, training has not put in (Hewitt and Liang 2019,
# [arXiv:1909.03368](https://arxiv.org/abs/1909.03368), on why controls are needed).


# %%
@torch.no_grad()
def states_of(model, texts):
    """For each layer from 0 on the states, (documents, places, hidden): at place t, t words have been read."""
    caught = []
    layers = (model.embed_tokens, *model.layers)
    hooks = [layer.register_forward_hook(lambda *args: caught.append(args[-1].numpy())) for layer in layers]
    model.hidden_states(as_rows(texts)[0])
    for hook in hooks:
        hook.remove()
    return caught


def probe(states, topics, new_states, new_topics):
    """The share of new documents whose topic is read off rightly."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    return classifier.fit(states, topics).score(new_states, new_topics)


labelled, labels = train_words[:300], train_topics[:300]
trained = states_of(model, labelled), states_of(model, test_words)
untrained = states_of(new_model(), labelled), states_of(new_model(), test_words)

# %% [markdown]
# First: after how many words is the topic known? The probe reads the state of the last layer after $t$ words. LDA gets the
# first $t$ words as a bag, and a probe on its $\theta$.

# %%
places = (3, 5, 10, 20, 30, 40, 50, 60)
curves = {"LDA's θ of the words so far": []}
for place in places:
    bags = [lda.transform(counts_of([text[:place] for text in texts])) for texts in (labelled, test_words)]
    curves["LDA's θ of the words so far"].append(probe(bags[0], labels, bags[1], test_topics))
for name, (known, new) in {
    "Transformer, state after the last word": trained,
    "not trained": untrained,
}.items():
    curves[name] = [probe(known[-1][:, place], labels, new[-1][:, place], test_topics) for place in places]
figure, axis = plt.subplots(figsize=(7, 3.2))
for (name, accuracies), colour in zip(curves.items(), (GREEN, BLUE, PALE), strict=True):
    axis.plot(places, accuracies, "o-", color=colour, label=name)
axis.axhline(1 / K, color=INK, linestyle=":", label="guessing")
axis.set(xlabel="words read", ylabel="topic read off rightly", ylim=(0, 1.05))
axis.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 0.1))
plt.show()

# %% [markdown]
# **What to see.** LDA's line rises and stays: a bag only grows. The Transformer's line rises as well, and then *falls*,
# towards that of a model that was never trained. Has it forgotten the topic? It predicts well to the end, so it cannot
# have. But a state is not a summary of the document; it holds what the *next word* needs. In the middle of "the gain shrinks
# to" no topic is needed.
#
# That can be tested. Call a word a *topic word* if more than 90 % of its occurrences are in one topic, and a *common word* if
# no topic has more than 20 % of them. We probe only states right before a topic word, or only such right before a common
# one, from the thirtieth word on.

# %%
by_topic = np.array([np.bincount(np.concatenate([w for w, t in zip(train_words, train_topics, strict=True) if t == k]),
                                 minlength=V) for k in range(K)])  # fmt: skip
largest_share = by_topic.max(axis=0) / np.maximum(by_topic.sum(axis=0), 1)
kinds = {"a topic word": largest_share > 0.9, "a common word": largest_share < 0.2}


def before(kind, states, texts, topics, most=3):
    """States by layer, and topics, at up to three places of a document where a word of this kind comes next."""
    rng = np.random.default_rng(0)
    chosen = [
        (document, place)
        for document, text in enumerate(texts)
        for place in rng.permutation([t for t in range(30, len(text) - 1) if kind[text[t]]])[:most].astype(
            int
        )
    ]
    rows, places = np.array(chosen).T
    return [layer[rows, places] for layer in states], topics[rows]


# %%
figure, axis = plt.subplots(figsize=(7, 3.2))
accuracy = {}
for (name, kind), colour in zip(kinds.items(), (BLUE, ORANGE), strict=True):
    for states, style, origin in ((trained, "o-", "trained"), (untrained, "o:", "not trained")):
        known, known_topics = before(kind, states[0], labelled, labels)
        new, new_topics = before(kind, states[1], test_words, test_topics)
        accuracy[name, origin] = [
            probe(a, known_topics, b, new_topics) for a, b in zip(known, new, strict=True)
        ]
        axis.plot(accuracy[name, origin], style, color=colour, label=f"before {name}, {origin}")
axis.axhline(1 / K, color=INK, linestyle=":")
axis.set(xlabel="layer (0: embedding of the last word)", ylabel="topic read off rightly", ylim=(0, 1.05))
axis.set_xticks(range(4))
axis.legend(fontsize=8, ncols=2, loc="upper left")
plt.show()

# %%
last = {key: values[-1] for key, values in accuracy.items()}
print("before topic words, training adds more than 0.15: ",
      last["a topic word", "trained"] > last["a topic word", "not trained"] + 0.15)  # fmt: skip
print("before common words it adds less than that:       ",
      last["a common word", "trained"] < last["a common word", "not trained"] + 0.15)  # fmt: skip

# %% [markdown]
# **What to see.** Before a topic word (blue) the trained model's states tell the topic in most cases, and the better the
# deeper the layer: attention has gone back and fetched it. Before a common word (orange) the trained model knows hardly
# more than the untrained one: the topic is not there, because it is not needed *there*. The knowledge of the document is
# not in one place. It stands in the words that were read, and is looked up when it is wanted. That is what attention is
# for, and the difference to a bag whose contents are always at hand.
#
# To get *one* vector for a document after all, one averages the states (here of layer 2) over all its words. How many
# labelled documents does a classifier then need?


# %%
def averaged(states, texts):
    """For each layer the mean state of each document, (documents, hidden)."""
    return [
        np.array([layer[i, : len(text)].mean(axis=0) for i, text in enumerate(texts)]) for layer in states
    ]


# %%
features = {
    "LDA's θ": (lda.transform(counts_of(labelled)), theta),
    "mean state": (averaged(trained[0], labelled)[2], averaged(trained[1], test_words)[2]),
    "mean state, not trained": (averaged(untrained[0], labelled)[2], averaged(untrained[1], test_words)[2]),
    "word counts": (counts_of(labelled).toarray(), counts_of(test_words).toarray()),
}
figure, axis = plt.subplots(figsize=(7, 3.2))
numbers = [20, 30, 50, 100, 300]
for (name, (known, new)), colour in zip(features.items(), (GREEN, BLUE, PALE, PURPLE), strict=True):
    accuracies = [probe(known[:n], labels[:n], new, test_topics) for n in numbers]
    axis.plot(numbers, accuracies, "o-", color=colour, label=name)
axis.set(xscale="log", xlabel="labelled documents", ylabel="topic classified rightly", ylim=(0, 1.05))
axis.set_xticks(numbers, numbers)
axis.minorticks_off()
axis.legend(fontsize=8, loc="lower right")
plt.show()

# %% [markdown]
# **What to see.** With two labelled documents for each topic, LDA's $\theta$ and the trained states are ahead of the plain
# counts: both have learned from 2,000 documents *without* labels which words belong together. With 30 labels the plain
# counts have caught up, and with 100 they and the trained states are right nearly always. $\theta$ stays behind: two topics share one of its
# columns, and no number of labels tells them apart again. What a description has left out, a classifier cannot bring back.
#
# ## 6 · What it costs

# %%
windows = [np.lib.stride_tricks.sliding_window_view(train_stream, n) for n in range(1, 6)]
n_counts = sum(len(np.unique(each, axis=0)) for each in windows)
print(f"LDA           {lda.topic_word_.size:9,} numbers, trained in ~{seconds['LDA']:.1f} s")
print(f"5-gram        {n_counts:9,} counts,  trained in ~{seconds['5-gram']:.1f} s")
print(f"Transformer   {model.config.n_parameters:9,} weights, trained in ~{seconds['Transformer']:.1f} s")

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
# ## 7 · Capstone: a topic model that reads in order
#
# Can one have both, topics with a name *and* knowledge that grows word by word? Here is the simplest model that
# does. Each document has **one** topic $k$, with prior $\pi_k$, and its words are drawn from $\varphi_k$ (a *mixture of unigrams*,
# Nigam et al. 2000). While reading, keep the probability of each topic given the words so far. By Bayes' rule,
#
# $$p(k \mid w_{\le t}) = \frac{p(k \mid w_{<t})\,\varphi_{k w_t}}{\sum_j p(j \mid w_{<t})\,\varphi_{j w_t}}, \qquad
# p(w_t \mid w_{<t}) = \sum_k p(k \mid w_{<t})\,\varphi_{k w_t}. \tag{2}$$
#
# The denominator on the left *is* the prediction on the right: learning and predicting are one computation. What a
# Transformer learns to do in its context, this model does by construction.
#
# ### Exercise 2 · The capstone (4 points)
#
# `words` is an array of $T$ word numbers, `topic_word` is $\varphi$, `(K, V)`, with positive entries, `prior` is $\pi$, `(K,)`.
# Return the losses $-\ln p(w_t\mid w_{<t})$, `(T,)`, and the probabilities of the topics after *all* words, `(K,)`. Documents
# may be a thousand words long: a product of so many probabilities is 0 in floating point, so normalise on the way, or
# calculate with logarithms.


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
# What is such a model worth? We give it the true topics of the training documents (LDA had to do without), so that
# $\varphi_k$ is counted, and let it read the test documents, all at once and in logarithms.

# %%
phi = (by_topic + 0.01) / (by_topic + 0.01).sum(axis=1, keepdims=True)
filter_losses, known = [], []
for text, topic in zip(test_words, test_topics, strict=True):
    log_joint = np.log(phi[:, text]).cumsum(axis=1) - np.log(K)  # (K, T): topic and words so far
    log_evidence = np.logaddexp.reduce(log_joint, axis=0)  # (T,): the words so far
    filter_losses.append(-np.diff(log_evidence, prepend=0.0))
    known.append(log_joint[:, :60].argmax(axis=0) == topic)
filter_loss = np.concatenate(filter_losses).mean()
certain = np.array([each[:60] for each in known if len(each) >= 60]).mean(axis=0)
print("better than LDA, worse than the bigram:", losses["bigram"] < filter_loss < losses["LDA"])
print("topic known after 10 words in more than 95 % of the documents:", certain[9] > 0.95)

# %%
figure, axis = plt.subplots(figsize=(7, 3))
axis.plot(range(1, 61), certain, color=ORANGE, label="mixture of unigrams")
for (name, accuracies), colour in zip(list(curves.items())[:2], (GREEN, BLUE), strict=True):
    axis.plot(places, accuracies, "o-", color=colour, label=name, linewidth=1)
axis.set(xlabel="words read", ylabel="topic known", ylim=(0, 1.05))
axis.legend(fontsize=8, loc="lower right")
plt.show()

# %% [markdown]
# **What to see.** The filter (orange) knows the topic after a handful of words, almost always, and never loses it again:
# its assumption, one topic a document, is *true* of this corpus. And yet it predicts hardly better than LDA, for it is sure
# of the topic and has no idea of the next word. Knowing what a text is about, and knowing how it goes on, are two
# things; this notebook has measured how different they are.
#
# ## Summary: the question of the report
#
# | | LDA | Transformer |
# | --- | --- | --- |
# | a document is | a bag of words | a sequence |
# | what it is trained for | to explain which words occur together | to predict the next word |
# | as a language model | little better than a unigram | near the floor |
# | if words are shuffled | the same | worthless |
# | what it knows of a document | topic shares that can be read | states from which a probe can read |
# | where | always at hand, one vector for each document | where the next word needs it, by attention |
# | labels needed to name topics | a look at the words | some for each topic |
# | what it costs here | about a second of training | an order of magnitude more |
#
# They answer different questions. *What are these ten thousand documents about?* LDA, on a laptop, with numbers that
# can be checked. *How does this text go on?* A Transformer. And some of today's topic models take the one for the
# other's work: they cluster vectors that a trained Transformer gives for each document.
#
# **In the library:** `minillm_lib/topics/`, `minillm_lib/model/`, and between them `minillm_lib/model/ngram.py`.
#
# **Where to go from here.** This was the last notebook. Train on text of your own (`minillm data`, `minillm pretrain`);
# take a topic of the exercises further; or read:
#
# - Dieng, Ruiz and Blei 2020, "Topic Modeling in Embedding Spaces", [arXiv:1907.04907](https://arxiv.org/abs/1907.04907), and
#   Grootendorst 2022, "BERTopic", [arXiv:2203.05794](https://arxiv.org/abs/2203.05794): topics from embeddings.
# - Xie et al. 2021, "An Explanation of In-context Learning as Implicit Bayesian Inference",
#   [arXiv:2111.02080](https://arxiv.org/abs/2111.02080): equation (2) inside a Transformer.
# - Belinkov 2021, "Probing Classifiers: Promises, Shortcomings, and Advances",
#   [arXiv:2102.12452](https://arxiv.org/abs/2102.12452), before you trust a probe.
# - Li, Li and Risteski 2023, "How Do Transformers Learn Topic Structure",
#   [arXiv:2303.04245](https://arxiv.org/abs/2303.04245), who train a Transformer on text drawn from LDA.
