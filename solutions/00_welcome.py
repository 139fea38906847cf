# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 00 · Welcome
#
# **What you build.** A program of a dozen lines that has read two thousand abstracts, and writes one of its own. Before that:
# what this course is about, in one figure; whether your machine is ready; how exercises are checked.
#
# **What you need.** Python: lists, dictionaries, functions, loops. For the course as a whole some linear algebra
# (vectors, matrices, scalar products) and derivatives; probability is explained as it comes.
#
# **How long.** About 30 minutes to work through. All cells together run in under 20 seconds on two CPU cores (somewhat
# longer the very first time, when texts are collected from your Python packages). The course as a whole takes some 28 hours; half
# of them go into the exercises.
#
# > **中文提要** 欢迎！本课程从数词频开始，经过主题模型（LDA）和 n 元语言模型，直到由你亲手训练、并能与之对话的 Transformer 解码器。本节给出课程地图与十九个 notebook 的目录，用 `minillm doctor` 检查机器是否就绪，演示练习如何自动批改（未作答、指出具体误解、通过），以及怎样查看提示、出错的输入和自己的进度；最后用十几行代码数一数“哪个词跟在哪几个词后面”，让程序写出第一段文字，再用真实文本度量：窗口窄，整篇会跑题；窗口宽，就只是照抄。这正是后面各节要解决的问题。中英术语对照见 [GLOSSARY.md](GLOSSARY.md)。

# %%
import random
from collections import defaultdict

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console

from minillm_lib import check, course, examine_machine, load_docstrings, load_grammar
from minillm_lib.checks import progress
from minillm_lib.viz import BLUE, ORANGE
from minillm_lib.viz.course_figures import plot_course_map

course.setup()

# %% [markdown]
# The last line sets the notebook up. Every notebook begins with it. Where a notebook goes on with something that you wrote
# in an earlier exercise, it says there whether it uses yours or the library's.
#
# ## 1 · The way
#
# A computer that is given a thousand texts can count words, and nothing else at first. This course follows how far
# counting leads, and what has to be added, until the machine answers questions. At every station you build the thing
# yourself in a few lines, and show that it equals the tested one in the package `minillm_lib`.

# %%
plot_course_map()

# %% [markdown]
# **What to see.** From the same texts two ways lead on. The upper one forgets the order of the words and keeps only how often each
# occurs; it ends in *topics*. The lower one keeps the order and predicts the next token: first by counting (*n-grams*), then with
# numbers that are adjusted step by step (*gradients*), at last with a neural network (the *decoder*, a Transformer), which learns
# to *chat*. Notebook 05 lets the topics predict words, and notebook 17 compares the two ways on one corpus: that was the
# question from which this course grew. In notebook 18 you go the lower way once more, with your own texts.
#
# | | notebook | what you build there |
# | --- | --- | --- |
# | | **Counting** | |
# | 00 | Welcome | a first text, by counting |
# | 01 | [From papers to a document–term matrix](01_corpus.ipynb) | cleaning, near duplicates, counts, the laws of Zipf and Heaps |
# | 02 | [LDA by Gibbs sampling](02_lda_gibbs.ipynb) | a topic model: its sampler, derived and written by you |
# | 03 | [Topics of a thousand papers](03_lda_neurips.ipynb) | ten topics of NeurIPS papers, and whether to trust them |
# | | **Predicting** | |
# | 04 | [Tokenizers](04_tokenizer.ipynb) | byte-pair encoding, byte fallback |
# | 05 | [Language models, measured](05_language_models.ipynb) | perplexity; n-grams, and LDA as a language model |
# | 06 | [From counts to gradients](06_counts_to_gradients.ipynb) | the same bigram, learned by gradient descent; a first neural network |
# | | **A Transformer, piece by piece** | |
# | 07 | [RMSNorm](07_rmsnorm.ipynb) | the layer that keeps numbers in range, with its gradient |
# | 08 | [RoPE](08_rope.ipynb) | positions as rotations |
# | 09 | [Attention](09_attention_gqa.ipynb) | attention with many heads that share keys and values |
# | 10 | [SwiGLU](10_swiglu.ipynb) | the gated feed-forward layer |
# | 11 | [The decoder](11_decoder.ipynb) | all pieces in one model, counted to the last parameter |
# | | **Training it, and using it** | |
# | 12 | [The training loop](12_training_loop.ipynb) | optimizers, schedules, and what broken runs look like |
# | 13 | [Pretraining](13_pretraining.ipynb) | a real run on real text; scaling in miniature |
# | 14 | [Supervised fine-tuning](14_sft.ipynb) | from continuing texts to answering questions |
# | 15 | [Inference](15_inference.ipynb) | the KV cache, sampling, streaming |
# | 16 | [Faster](16_faster.ipynb) | what bounds decoding; int8 weights; speculative decoding |
# | | **Looking back, and your own** | |
# | 17 | [LDA and the Transformer](17_lda_vs_transformer.ipynb) | both on one corpus: what does each know? |
# | 18 | [Your own model](18_your_own_model.ipynb) | from a folder of your texts to a model that you can ask |
#
# They are meant to be read in order. Terms are explained where they first
# occur; the [glossary](GLOSSARY.md) has them all in English and Chinese, with the notebook that builds each.

# %% [markdown]
# ## 2 · Is this machine ready?
#
# Everything in the course runs without a GPU and without a network. In a terminal, `minillm doctor` says what the machine
# offers, which packages are there, and what each size of model would take on it. Here the same report is made in Python. (Its
# figures are those of your machine, so they differ from the ones printed here.)

# %% tags=["nbval-ignore-output"]
report = examine_machine()
Console(force_jupyter=False, color_system=None, width=100).print(report)

# %% [markdown]
# The *presets* are the model in several sizes. Here you train models of about the size `nano`, in seconds to minutes; `make
# demo` in a terminal trains a larger one in five minutes; `26m` is the one that this course is about, and takes hours on a CPU.
# What matters now:

# %%
print("all packages are there:", all(report.packages.values()))
print("widgets will work in JupyterLab:", report.has_widgets)
print("memory for the course (2 GiB is enough):", report.memory > 2 * 2**30)

# %% [markdown]
# ## 3 · How exercises work
#
# In each notebook you find functions whose body is missing, and below each a cell that checks your answer. Let us play
# one through:
#
# > `text` is a string of lower-case words with spaces between them. Which share of its words is `word`? Give a number from 0 to 1.
#
# **Usual mistakes.** A first try, which makes two at once:


# %%
def first_idea(word, text):
    return text.count(word) / len(text)


question = check.word_share
question(first_idea)

# %% [markdown]
# The function ran on hidden inputs, some chosen and some random. Its results were compared with the right ones, and then with
# those of the usual mistakes. They equal those of two mistakes together, so the check can say what is wrong, not only that
# something is. Where do you see it go wrong? `failing_input` holds the smallest input on which it did:

# %%
word, text = question.failing_input
print(f"{word!r} in {text!r}: {first_idea(word, text):.2f}")

# %% [markdown]
# **An error.** Any other mistake gets a message too: wrong shape, wrong type, the line on which an error occurred, or that the
# code did not end.


# %%
def second_idea(word, text):
    words = text.splitt()
    return words.count(word) / len(words)


question(second_idea)

# %% [markdown]
# **Hints.** If you are stuck, ask for a hint. There are up to three, each more definite than the one before.

# %%
question.hint()

# %% [markdown]
# ### Exercise · Your turn (1 point)
#
# The place of your answer is held by `raise NotImplementedError()`. Until you replace it, the check says "not attempted", and the
# notebook runs on.


# %%
def word_share(word, text):
    """The share of the words of a text that are equal to word."""
    ### BEGIN SOLUTION
    words = text.split()
    return words.count(word) / len(words)
    ### END SOLUTION


# %%
check.word_share(word_share)

# %% [markdown]
# **What you wrote goes on.** `check.word_share.function` is your function if it passed, and the library's if not. Later cells and
# later notebooks use it, so you build with your own pieces, and nothing stops when one is missing:

# %%
print(round(check.word_share.function("a", "a net then a model"), 2))

# %% [markdown]
# Which exercises have you passed? This table shows it at any time (`✓` passed, `✗` tried, `○` open):

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# Try as often as you like; only the last state of the notebook counts. In a terminal, `minillm grade course/01_corpus.ipynb` runs a
# whole notebook afresh, with other random inputs, and lists your points. If you are stuck, the solved notebooks are in
# `solutions/`; a solution read after an hour of trying teaches more than one read at once.
#
# ## 4 · Working with the notebooks
#
# `make lab` opens JupyterLab at this page. What helps:
#
# - **Shift+Enter** runs a cell and goes to the next. Run the cells from top to bottom; if something is strange,
#   *Kernel → Restart Kernel and Run All Cells* puts everything in order.
# - **Tab** completes a name; **Shift+Tab** inside brackets shows what a function takes; `name?` shows its documentation and
#   `name??` its source. The package is short enough to be read: every piece fits on a screen.
# - Guess before you run. Before each figure ask yourself what it will show, and then read the paragraph **What to see**.
# - Change something: a number, a text, a seed. Cells are short so that they can be played with. Insert cells with **B**.
# - Where there are sliders, the same figure stands beside them as a picture, so the page can be read without running it.
# - To start a notebook anew: `git checkout course/01_corpus.ipynb` discards your answers in it.
#
# ## 5 · A first text
#
# Now to the matter. A *language model* says which word comes next. The simplest one that works takes a text, and notes for each
# sequence of $n-1$ words which words came after it. The text: 2,000 abstracts of papers that do not exist, written by the course's
# *grammar* (notebook 05 has more about it).

# %%
abstracts = [document.text.split() for document in load_grammar("en").generate(2000, seed=0)]
print(f"{sum(map(len, abstracts)):,} words. The first abstract:")
print(" ".join(abstracts[0]))


# %% [markdown]
# Reading: slide a window of $n$ words over each abstract. The last word of the window is noted under the words before it. An
# abstract begins after some start signs and ends with an end sign, so that the model also learns how to begin and when to stop.


# %%
def read(texts, n):
    """For each n - 1 words: a list of the words that followed, as often as they did."""
    followers = defaultdict(list)
    for words in texts:
        words = ["<start>"] * (n - 1) + words + ["<end>"]
        for i in range(n - 1, len(words)):
            followers[tuple(words[i - n + 1 : i])].append(words[i])
    return followers


followers = read(abstracts, n=3)
print("after 'We conclude':", set(followers["We", "conclude"]))
print("after 'robot arm,':", sorted(set(followers["robot", "arm,"])))

# %% [markdown]
# Writing: look up the last $n-1$ words, draw one of the words that followed, append it; until the end sign is drawn, or 150
# words are written. Frequent followers stand in the list more often, so they are drawn more often.


# %%
def write(followers, n, seed):
    rng, words = random.Random(seed), ["<start>"] * (n - 1)
    while words[-1:] != ["<end>"] and len(words) < 150:
        words.append(rng.choice(followers[tuple(words[len(words) - n + 1 :])]))
    return [word for word in words if word not in ("<start>", "<end>")]


print(" ".join(write(followers, 3, seed=0)))

# %% [markdown]
# There it is: a text that nobody wrote. It took no grammar, no dictionary, only counting. Other seeds give other texts; try
# some. How much does it matter how many words the model looks back at?

# %%
for n, seed in ((1, 0), (2, 4), (4, 0)):
    text = write(read(abstracts, n), n, seed)
    print(f"n = {n}: {' '.join(text[:75])}\n")

# %% [markdown]
# With $n = 1$ words are drawn by frequency alone. With $n = 2$ neighbours fit. With $n = 4$ most sentences do. Nothing in the code knows
# about English or about words: split Chinese abstracts into characters, and the same two functions write Chinese.

# %%
characters = [list(document.text) for document in load_grammar("zh").generate(2000, seed=0)]
print("".join(write(read(characters, 6), 6, seed=1)))

# %% [markdown]
# ### What it cannot do
#
# Read the last English text again, from beginning to end. It begins with pictures taken at night, goes on with a spectrogram, is
# tested on arcade games, and ends with curiosity. The model has forgotten everything but the last three words. Can we not simply take a larger
# $n$?
#
# The grammar is no fair test of that: it uses the same phrases again and again, so after a few words there is often nothing
# left to choose, not even for the grammar itself. So take texts that people wrote, as many words of them: the *docstrings* of the
# Python packages on this machine, which explain what functions do. From each model we draw twenty texts, and ask of every eight successive words that it
# writes: do they stand somewhere, word for word, in what it has read?

# %%
docstrings = [document.text.split() for document in load_docstrings(progress=False)]
docstrings = [words for words in docstrings if len(words) >= 30]
random.Random(0).shuffle(docstrings)
ends = np.cumsum([len(words) for words in docstrings])
real, unread = np.split(np.arange(len(docstrings)), [int(np.searchsorted(ends, 139_000))])
real, unread = [docstrings[i] for i in real], [docstrings[i] for i in unread[:200]]


def eights(words):
    return [tuple(words[i : i + 8]) for i in range(len(words) - 7)]


known = {window for words in real for window in eights(words)}
of_people = np.mean([window in known for words in unread for window in eights(words)])

# %% [markdown]
# `unread` is the yardstick: docstrings that the model has not read. People repeat others' words too, but seldom eight successive ones.

# %%
orders, choices, copied = (2, 3, 4, 5, 6, 8, 10), [], []
for n in orders:
    followers = read(real, n)
    positions = sum(map(len, followers.values()))
    choices.append(sum(len(seen) for seen in followers.values() if len(set(seen)) > 1) / positions)
    texts = [write(followers, n, seed) for seed in range(20)]
    copied.append([np.mean([window in known for window in eights(text)] or [0]) for text in texts])
means, errors = np.mean(copied, axis=1), np.std(copied, axis=1) / np.sqrt(20)

# %%
figure, axis = plt.subplots(figsize=(7, 3.2))
axis.plot(orders, choices, marker="o", color=BLUE, label="positions at which more than one word was seen")
axis.errorbar(orders, means, errors, marker="s", color=ORANGE, label="eights copied from what it read")
axis.axhline(of_people, color=ORANGE, linestyle=":", label="eights that people repeat, in new docstrings")
axis.set(xlabel="n: words in the window", ylabel="share", ylim=(0, 1.05), xticks=orders)
axis.legend(loc="center right")
plt.show()
n = dict(zip(orders, means, strict=True))
print("copied at n = 2, 4, 8:", n[2] < 0.05, 0.4 < n[4] < 0.95, n[8] > 0.95, " by people:", of_people < 0.1)

# %% [markdown]
# **What to see.** Blue: the wider the window, the less there is to choose; from six words on, the words before have been seen only once, or always
# with the same word after them, at more than nine positions of ten. Orange: so the model copies. (The bars are one standard error to
# each side, over the twenty texts.) With $n = 2$ nearly nothing is copied, and nothing makes sense. With $n = 4$ it is already most of
# the text, with $n = 8$ all of it, while people who write new docstrings repeat only a few percent (dotted). A wide window copies, a
# narrow one forgets; and counting like this cannot get round it, because for it two windows that differ in one word have
# nothing to do with each other.
#
# The two ways of the map each repair a part. A topic model reads the whole text and knows its subject, but nothing of the order.
# A Transformer reads the whole text *in order*, and windows that are similar help each other, because words become vectors.
# When you have built both, compare what they write and know with this page.
#
# ## Summary
#
# - From the same texts, one way counts words without order (LDA), the other predicts the next token (n-grams, the
#   decoder). Notebook 17 compares them.
# - `minillm doctor` shows what your machine can do. No GPU and no network are needed.
# - A check says "not attempted", what is wrong in words, or "passed"; there are hints, the input that failed, and a table of
#   your progress. What passed goes on into what you build next. Solutions are in `solutions/`.
# - Counting which word follows which writes texts whose sentences nearly fit. A narrow window forgets the subject, a wide one copies.
#
# **In the library:** `minillm_lib/corpora/grammar.py`, `minillm_lib/doctor.py`, `minillm_lib/checks/exercise.py`. The
# [glossary](GLOSSARY.md) has the course's terms in English and Chinese.
# **Next:** [01 · From papers to a document–term matrix](01_corpus.ipynb).
#
# **To read on.** Shannon 1948, "A mathematical theory of communication", section 3, where English is written by counting letters and
# words, by hand, from a book; Blei 2012, "Probabilistic topic models" (Communications of the ACM 55), for the upper
# way of the map; Vaswani et al. 2017, "Attention is all you need", [arXiv:1706.03762](https://arxiv.org/abs/1706.03762), for the
# lower one.
