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
# **How long.** About 20 minutes to work through. All cells together run in under 15 seconds on two CPU cores. The
# course as a whole takes some 14 hours.
#
# > **中文提要** 欢迎！本课程从数词频开始，经过主题模型（LDA）和 n 元语言模型，一直到亲手训练并对话的 Transformer 解码器。本节给出课程地图
# > 与十六个 notebook 的目录，用 `minillm doctor` 检查机器是否就绪，演示练习如何自动批改（未作答、指出具体误解、通过三种情形），说明
# > 如何在 JupyterLab 中学习；最后用十几行代码数一数“哪个词跟在哪几个词后面”，让程序写出第一段文字：句子大致通顺，整篇却会跑题，
# > 这正是后面各节要解决的问题。中英术语对照见 [GLOSSARY.md](GLOSSARY.md)。

# %%
import random
from collections import defaultdict

import matplotlib.pyplot as plt
from rich.console import Console

from minillm_lib import examine_machine, load_grammar
from minillm_lib.checks import Exercise
from minillm_lib.viz import BLUE, GREEN, INK, ORANGE, PALE, PURPLE, use_style

use_style()

# %% [markdown]
# ## 1 · The way
#
# A computer that is given a thousand texts can count words, and nothing else at first. This course follows how far
# counting leads, and what has to be added, until the machine answers questions. At every station you build the thing
# yourself in a few lines, show that it equals the tested one in the package `minillm_lib`, and go on with that one.

# %%
boxes = {
    "texts": (0, 0.5, "01", PALE), "counts": (1, 1, "01", PALE), "topics": (2, 1, "02, 03", BLUE),
    "tokens": (1, 0, "04", PALE), "n-grams": (2, 0, "05", ORANGE), "decoder": (3, 0, "06 to 12", GREEN),
    "chat": (4, 0, "13, 14", PURPLE), "comparison": (4, 1, "15", INK),
}  # fmt: skip
arrows = ("texts counts", "counts topics", "texts tokens", "tokens n-grams", "n-grams decoder", "decoder chat",
          "topics comparison", "topics n-grams", "decoder comparison")  # fmt: skip

# %%
figure, axis = plt.subplots(figsize=(9, 3))
for arrow in arrows:
    start, end = (boxes[name][:2] for name in arrow.split())
    gap = 44 if arrow.endswith("comparison") else 30
    style = {"arrowstyle": "-|>", "color": INK, "shrinkA": 26, "shrinkB": gap}
    axis.annotate("", end, start, arrowprops=style)
for name, (x, y, where, colour) in boxes.items():
    ink = "white" if colour in (BLUE, GREEN, INK) else INK
    box = {"boxstyle": "round,pad=0.6", "facecolor": colour, "edgecolor": "none"}
    axis.text(x, y, f"{name}\n{where}", ha="center", va="center", color=ink, bbox=box)
axis.set(
    xlim=(-0.5, 4.5), ylim=(-0.5, 1.5), xticks=[], xlabel="the way of the data (in each box its notebooks)"
)
axis.set_yticks([0, 1], ["in their order", "without order"])
axis.set_ylabel("words")
axis.grid(False)
plt.show()

# %% [markdown]
# **What to see.** From the same texts two ways lead on. The upper one forgets the order of the words and keeps only how often each
# occurs; it ends in *topics*. The lower one keeps the order and predicts the next token, first by counting (*n-grams*), then with a
# neural network (the *decoder*, a Transformer), which in the end learns to *chat*. Notebook 05 lets the topics predict words, and
# notebook 17 compares the two ways on one corpus: that was the question from which this course grew.
#
# | | notebook | what you build there |
# | --- | --- | --- |
# | | **Counting** | |
# | 00 | Welcome | a first text, by counting |
# | 01 | [From papers to a document–term matrix](01_corpus.ipynb) | cleaning, counts, the laws of Zipf and Heaps |
# | 02 | [LDA by Gibbs sampling](02_lda_gibbs.ipynb) | a topic model, derived and written in NumPy |
# | 03 | [Topics of a thousand papers](03_lda_neurips.ipynb) | ten topics of NeurIPS papers, and whether to trust them |
# | | **Predicting** | |
# | 04 | [Tokenizers](04_tokenizer.ipynb) | byte-pair encoding, byte fallback |
# | 05 | [Language models, measured](05_language_models.ipynb) | perplexity; n-grams, and LDA as a language model |
# | | **A Transformer, piece by piece** | |
# | 06 | [RMSNorm](07_rmsnorm.ipynb) | the layer that keeps numbers in range, with its gradient |
# | 07 | [RoPE](08_rope.ipynb) | positions as rotations |
# | 08 | [Attention](09_attention_gqa.ipynb) | attention with many heads that share keys and values |
# | 09 | [SwiGLU](10_swiglu.ipynb) | the gated feed-forward layer |
# | 10 | [The decoder](11_decoder.ipynb) | all pieces in one model, counted to the last parameter |
# | | **Training it, and using it** | |
# | 11 | [The training loop](12_training_loop.ipynb) | AdamW, schedules, and what broken runs look like |
# | 12 | [Pretraining](13_pretraining.ipynb) | a real run on real text; scaling in miniature |
# | 13 | [Supervised fine-tuning](14_sft.ipynb) | from continuing texts to answering questions |
# | 14 | [Inference](15_inference.ipynb) | the KV cache, sampling, streaming |
# | | **Looking back** | |
# | 15 | [LDA and the Transformer](17_lda_vs_transformer.ipynb) | both on one corpus: what does each know? |
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
# Each notebook from 01 on has at least three exercises. You find a function whose body is missing, and below it a cell that
# checks your answer, such as `check.rms_norm(rms_norm)`. Let us play one through with an exercise that is not part of the course:
#
# > `text` is a string of lower-case words with spaces between them. Which share of its words is `word`? Give a number from 0 to 1.
#
# To declare it, a teacher writes the right answer, a way to draw random inputs, and usual mistakes with a sentence for each. (You
# need not read the next cell now. Section "The course" of the `README.md` shows how to make an assignment.)


# %%
def draw_text(rng):
    words = rng.choice(["the", "then", "net", "a", "model"], size=12).tolist()
    return "the", " ".join([*words, "the"])


share_of = Exercise(
    name="share_of",
    reference=lambda word, text: text.split().count(word) / len(text.split()),
    inputs=draw_text,
    misconceptions={
        lambda word, text: (
            text.count(word) / len(text.split())
        ): "You count `word` inside longer words too: `the` in `then`. Split the text into words first.",
        lambda word, text: text.split().count(
            word
        ): "That is how often it occurs. Divide by the number of words.",
    },
)

# %% [markdown]
# **Not attempted.** The answer's place is held by `raise NotImplementedError()`. The check says so, and the notebook runs on: no
# later cell depends on your answer, because they use the library's.


# %%
def my_share(word, text):
    # YOUR CODE HERE
    raise NotImplementedError()


share_of(my_share)

# %% [markdown]
# **A usual mistake.** The first idea is often this one:


# %%
def my_share(word, text):
    return text.count(word) / len(text.split())


share_of(my_share)

# %% [markdown]
# The function ran on hidden random inputs, its results were compared with the right ones, and then with those of the usual
# mistakes. They equal one of them, so the check can say what is wrong, not only that something is. Any other mistake gets a
# message too: wrong shape, wrong type, the line on which an error occurred, or that the code did not end.


# %%
def my_slow_share(word, text):
    words = text.splitt()
    return words.count(word) / len(words)


share_of(my_slow_share)

# %% [markdown]
# **Passed.** And once it is right:


# %%
def my_share(word, text):
    words = text.split()
    return words.count(word) / len(words)


share_of(my_share)

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
# row of $n-1$ words which words came after it. The text: 2,000 abstracts of papers that do not exist, written by the course's
# *grammar* (notebook 05 has more about it).

# %%
abstracts = [document.text for document in load_grammar("en").generate(2000, seed=0)]
print(f"{sum(len(text.split()) for text in abstracts):,} words. The first abstract:")
print(abstracts[0])


# %% [markdown]
# Reading: slide a window of $n$ words over each abstract. The last word of the window is noted under the words before it. An
# abstract begins after some start signs and ends with an end sign, so that the model also learns how to begin and when to stop.


# %%
def read(rows, n):
    """For each n - 1 words: a list of the words that followed, as often as they did."""
    followers = defaultdict(list)
    for row in rows:
        row = ["<start>"] * (n - 1) + row + ["<end>"]
        for i in range(n - 1, len(row)):
            followers[tuple(row[i - n + 1 : i])].append(row[i])
    return followers


followers = read([text.split() for text in abstracts], n=3)
print("after 'We conclude':", set(followers["We", "conclude"]))
print("after 'robot arm,':", sorted(set(followers["robot", "arm,"])))

# %% [markdown]
# Writing: look up the last $n-1$ words, draw one of the words that followed, append it; until the end sign is drawn. Frequent
# followers stand in the list more often, so they are drawn more often.


# %%
def write(followers, n, rng):
    row = ["<start>"] * (n - 1)
    while row[-1:] != ["<end>"] and len(row) < 150:
        row.append(rng.choice(followers[tuple(row[len(row) - n + 1 :])]))
    return row[n - 1 :] if len(row) == 150 else row[n - 1 : -1]


print(" ".join(write(followers, 3, random.Random(0))))

# %% [markdown]
# There it is: a text that nobody wrote. It took no grammar, no dictionary, only counting. Other seeds give other texts; try
# some. How much does the number of words matter that the model looks back on?

# %%
for n, seed in ((1, 0), (2, 4), (4, 0)):
    text = write(read([text.split() for text in abstracts], n), n, random.Random(seed))
    print(f"n = {n}: {' '.join(text[:75])}\n")

# %% [markdown]
# With $n = 1$ words are drawn by frequency alone. With $n = 2$ neighbours fit. With $n = 4$ most sentences do. Nothing in the code knows
# about English or about words: split Chinese abstracts into characters, and the same two functions write Chinese.

# %%
characters = [list(document.text) for document in load_grammar("zh").generate(2000, seed=0)]
print("".join(write(read(characters, 6), 6, random.Random(1))))

# %% [markdown]
# ### What it cannot do
#
# Read the last English text again, from beginning to end. It begins with pictures taken at night, goes on with a spectrogram, is
# tested on arcade games, and ends with curiosity. The model has forgotten everything but the last three words. Can we not simply take a larger
# $n$? Count in how many places there is anything left to choose, that is, where more than one word was seen.

# %%
orders, rows = (1, 2, 3, 4, 6, 8, 10), [text.split() for text in abstracts]
choices = []
for n in orders:
    followers = read(rows, n)
    places = sum(map(len, followers.values()))
    choices.append(sum(len(seen) for seen in followers.values() if len(set(seen)) > 1) / places)
figure, axis = plt.subplots(figsize=(7, 3))
axis.plot(orders, choices, marker="o", color=BLUE)
axis.set(
    xlabel="n: words in the window",
    ylabel="share of places where\nmore than one word followed",
    ylim=(0, 1.05),
)
axis.set_xticks(orders)
plt.show()
print({n: round(share, 1) for n, share in zip(orders, choices, strict=True)})

# %% [markdown]
# **What to see.** The wider the window, the less there is to choose. With ten words, at four places out of five only one
# continuation was ever seen, so the model copies. A wide window copies, a narrow one forgets; and counting cannot get round this,
# because for it two windows that differ in one word have nothing to do with each other.
#
# The two ways of the map each repair a part. A topic model reads the whole text and knows its subject, but nothing of the order.
# A Transformer reads the whole text *in order*, and windows that are similar help each other, because words become vectors.
# When you have built both, compare what they write and know with this page.
#
# ## Summary
#
# - From the same texts, one way counts words without order (LDA), the other predicts the next token (n-grams, the
#   decoder). The last notebook compares them.
# - `minillm doctor` shows what your machine can do. No GPU and no network are needed.
# - A check says "not attempted", what is wrong in words, or "passed". Solutions are in `solutions/`.
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
