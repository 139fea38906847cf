# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 18 · Your own model
#
# **What you build.** A language model of *your* text, from the folder to the chat window: cleaned, split without a leak,
# sized to the text, trained through a break, examined, taught fifty answers of your own, judged, and exported. What you
# hand in is judged by what it does.
#
# **What you need.** [13 · Pretraining](13_pretraining.ipynb) and [14 · Supervised fine-tuning](14_sft.ipynb); pieces of
# [01](01_corpus.ipynb), [04](04_tokenizer.ipynb), [05](05_language_models.ipynb) and [12](12_training_loop.ipynb). Text of
# your own is welcome and not needed: with `FOLDER = None` everything runs on a megabyte of documentation.
#
# **How long.** About 90 minutes to work through, with five exercises. On the sample, all cells together run in less
# than a minute of processor time. The same cells train on your own text overnight on a laptop, or in about an hour on
# one GPU.
#
# > **中文提要** 本节用你自己的文字，从头训练一个属于你的模型：读入文件夹、清洗、划出不泄漏的留出集（近似重复的文档必须在同一边）、训练分词器、按词元数选模型大小、用 `plan` 估算时间、短跑几次选学习率，然后正式训练：中途打断再恢复，结果应逐位相同；用 `doctor` 体检；再用五十个自己的问答做监督微调，同时重放一部分原文以防遗忘；最后评测、对话、导出。没有自己的文字也能做：`FOLDER = None` 时使用约 1 MB 的样本。评分只看模型的表现：留出文本上的每字节比特数要低于二元模型，回答要能自己结束，自己的问题要答对。

# %%
FOLDER = None  # the folder of your text, such as "~/notes"; None takes the sample

# %%
import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from minillm_lib import (
    LivePlot,
    MiniLLM,
    ModelConfig,
    PretrainConfig,
    Tokenizer,
    TrainingDivergedError,
    best_device,
    check,
    course,
    examine_run,
    export_gguf,
    load_config,
    pack,
    plan,
    plot_losses,
    pretrain,
    read_files,
)
from minillm_lib.analysis import count_baselines
from minillm_lib.corpora import CleaningPipeline, Conversation
from minillm_lib.corpora.cleaning import similar_pairs
from minillm_lib.evaluation import examine_own_model, own_questions
from minillm_lib.training import (
    TokenWindows,
    batch_loss,
    encode_conversations,
    find_gpu,
    fit,
    pack_conversations,
    plan_on_gpu,
    rows_of_step,
)
from minillm_lib.viz import ChatWidget, plot_cleaning, plot_own_model, plot_plan, plot_sweep

course.setup(threads=1 if FOLDER is None else None)

# %% [markdown]
# The line `FOLDER = …` is the only one that you change. Beside your folder `notes`, the notebook looks for
# `notes-conversations.jsonl` (section 9) and writes all that it makes to `notes-model`. Which configuration is taken
# follows from it as well:
#
# | | configuration | budget |
# | --- | --- | --- |
# | the sample | `configs/own/sample.yaml` | $3 \cdot 10^{11}$ operations, ten to twenty seconds of one core |
# | your text, no GPU | `configs/own/laptop.yaml` | 8 hours |
# | your text, a GPU | `configs/own/gpu.yaml` | 1 hour |

# %%
text_folder = Path(tempfile.mkdtemp()) / "notes" if FOLDER is None else Path(FOLDER).expanduser()
WORK = text_folder.with_name(f"{text_folder.name}-model")
CONVERSATIONS = text_folder.with_name(f"{text_folder.name}-conversations.jsonl")
kind = "sample" if FOLDER is None else "gpu" if best_device().type == "cuda" else "laptop"
HOURS = {"laptop": 8.0, "gpu": 1.0}.get(kind)
if FOLDER is None:
    print(f"{course.write_sample(text_folder, CONVERSATIONS):,} files written")
documents = list(read_files(text_folder, documents="auto"))
n_bytes = sum(len(document.text.encode()) for document in documents)
print(f"{len(documents):,} documents, {n_bytes / 1e6:.1f} MB")

# %% [markdown]
# ## 1 · Clean
#
# Text that lies about is never clean: files exist in two versions, encodings are mixed up, lines are repeated (notebook
# 01). Each step of the pipeline says what it changed and what it removed. We leave two out:
# the test of the language, for your notes may be in any, and that of repetition, to which tables look suspicious.

# %%
steps = (
    "encoding",
    "control characters",
    "Unicode",
    "boilerplate",
    "blank lines",
    "length",
    "exact duplicates",
    "near duplicates",
)
cleaning = CleaningPipeline(steps, n_jobs=1)
documents = list(cleaning.clean(documents))
print("something was removed:", cleaning.report.documents_kept < cleaning.report.documents_read)
plot_cleaning(cleaning.report)

# %% [markdown]
# **What to see.** Each pair of bars is what a step left, of the documents on the left and of the characters on the right; orange
# is what it took away. In the sample, whose texts are well kept, only the last step finds something: some files have an
# older version beside them, which differs by a line. If a step takes a large part of *your* text, look at
# `cleaning.report` before you go on.
#
# ## 2 · Hold out, without a leak
#
# A model is judged by text that it has not read. So some documents are held out, chosen by a **hash** of their text: it
# gives each a place between 0 and 1 that looks random and never changes, and those with a place below 0.05 are held out.
# If you add files next month, none of the old ones changes sides.
#
# That is not enough. The step "near duplicates" removed documents that share four fifths of their runs of words; many
# that share less remain: a draft and what became of it (the sample has some eighty such pairs), two letters with the same
# paragraphs. If one of two relatives is trained on and the other held out, a model that has merely learned the first by
# heart looks good on the second.

# %%
texts = [document.text for document in documents]
near_copies = [(pair.first, pair.second) for pair in similar_pairs(texts, threshold=0.6, n_jobs=1)]
places = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64 for text in texts]


def across(is_held_out):
    """How many pairs of relatives stand on both sides of the border."""
    return sum(is_held_out[one] != is_held_out[other] for one, other in near_copies)


print(
    "relatives on both sides, if each document goes by its own place:", across([p < 0.05 for p in places]) > 0
)

# %% [markdown]
# ### Exercise 1 · A split that does not leak (2 points)
#
# `places[i]` is the place of document `i`, and `near_copies` a list of pairs `(i, j)` of relatives, in any order. Relatives
# of relatives are relatives: all that hang together are one **group**. A group goes where its first document (that with
# the lowest number) goes; that one is held out if its place is below `share`. Return a list with a truth value for each
# document: True if it is held out.


# %%
def held_out_split(places, near_copies, share):
    """Whether each document is held out; groups of relatives stay together."""
    ### BEGIN SOLUTION
    first = list(range(len(places)))
    before = None
    while first != before:
        before = list(first)
        for one, other in near_copies:
            first[one] = first[other] = min(first[one], first[other])
    return [places[document] < share for document in first]
    ### END SOLUTION


# %%
check.held_out_split(held_out_split)

# %%
is_held_out = check.held_out_split.function(places, near_copies, 0.05)
parts = {
    "train": [text for text, out in zip(texts, is_held_out, strict=True) if not out],
    "validation": [text for text, out in zip(texts, is_held_out, strict=True) if out],
}
print("relatives on both sides:", across(is_held_out))
print(f"held out: about {round(100 * sum(is_held_out) / len(texts))} % of the documents")

# %% [markdown]
# ## 3 · A vocabulary, and the tokens
#
# How many pieces? Each must be met often enough to learn what it means, and each costs a row of the embedding, which in
# a small model can be most of the weights. One piece per 2,000 bytes is a fair beginning, from 512 up to 12,800, twice
# as many as the 26 M model has; a script of many characters needs more, so that at least its frequent ones get a piece.
# The tokenizer sees the *training* text only: pieces learned from held-out text would be a leak, too.

# %%
n_characters = sum(count >= 5 for count in np.unique(list("".join(parts["train"])), return_counts=True)[1])
vocab_size = int(np.clip(n_bytes // 2000 // 64 * 64, max(512, round(1.3 * n_characters) + 264), 12_800))
tokenizer = Tokenizer.train(parts["train"], vocab_size=vocab_size, or_fewer=True)
tokenizer.save(WORK / "packed" / "tokenizer.model")
files = {
    split: pack(parts[split], tokenizer, WORK / "packed" / f"{split}.tokens", progress=False)
    for split in parts
}
n_tokens = len(files["train"].tokens)
print(f"{tokenizer.vocab_size:,} pieces; about {n_tokens / 1e6:.1f} million tokens to train on")

# %% [markdown]
# ## 4 · How large a model?
#
# Two things limit it. The **text**: it can be read several times, but each time teaches less. Up to about four times,
# repeated text is nearly as good as new, and around the sixteenth it has lost most of its worth (Muennighoff et al. 2023,
# [arXiv:2305.16264](https://arxiv.org/abs/2305.16264)). And the **budget**: so many operations, divided by the operations
# that a token costs (equation (2) of notebook 13), is the number of tokens that a size can read.
#
# Which size is best? Chinchilla's rule, 20 tokens per parameter, is for text without end and for compute as the only
# cost. With little text, a larger model gets more out of each token. We take the largest size that still reads at least
# `least` = 1 token per parameter.
#
# ### Exercise 2 · From tokens to a size (2 points)
#
# `sizes` is a list of `(n_parameters, flops_per_token)`, from small to large. A size reads as many tokens as both limits
# allow: the text, read at most `most_epochs` times, and the budget of `flops` operations; round down. Return the number of
# the largest size that reads at least `least` tokens per parameter, and how many tokens it reads. If none does, take
# the smallest.


# %%
def choose_size(n_tokens, sizes, flops, most_epochs, least):
    """(number of the size, tokens that it reads)."""
    ### BEGIN SOLUTION
    reads = [int(min(most_epochs * n_tokens, flops / per_token)) for _, per_token in sizes]
    fitting = [i for i, (n_parameters, _) in enumerate(sizes) if reads[i] >= least * n_parameters]
    chosen = fitting[-1] if fitting else 0
    return chosen, reads[chosen]
    ### END SOLUTION


# %%
check.choose_size(choose_size)

# %% [markdown]
# A budget in hours becomes one in operations by the speed of this machine. `plan` measures it: it builds the model of the
# configuration and times a few steps. (For the sample, the budget is given in operations, so that this page reads the same
# everywhere.)

# %%
config = load_config(PretrainConfig, f"../configs/own/{kind}.yaml").replace(
    run=WORK / "run", output=WORK / "base", data={"packed": WORK / "packed"}
)
presets = [
    ModelConfig.from_preset(name, max_seq_len=config.seq_len) for name in ("nano", "tiny", "26m", "104m")
]
shapes = [
    shape.replace(vocab_size=tokenizer.vocab_size) for shape in [config.model] * (FOLDER is None) + presets
]
sizes = [(shape.n_parameters, shape.flops_per_token(config.seq_len)) for shape in shapes]

# %%
flops = 3e11
if HOURS is not None:
    probe = plan(config)
    flops = 3600 * HOURS * probe.flops_per_token * probe.tokens_per_step / probe.cost.step_seconds
chosen, n_read = check.choose_size.function(n_tokens, sizes, flops, 16, 1.0)
n_steps = n_read // (config.train.batch_size * config.seq_len)
print(f"{sizes[chosen][0]:,} parameters, {n_steps} steps; all of the text is read: {n_read >= n_tokens}")

# %% [markdown]
# On the sample that is a model of 115,008 parameters which reads some three quarters of the text: the budget is the limit, not the
# text. A larger one would have read less than a token per parameter in the same time.
#
# ## 5 · Plan
#
# Before anything long is begun, `plan` says what it will do and cost. On a machine that you do not have, `plan_on_gpu`
# estimates it from the data sheet, at 30 % of the peak speed.

# %%
config = config.replace(
    model=shapes[chosen],
    train=config.train.replace(steps=n_steps),
    evaluation=config.evaluation.replace(every=max(n_steps // 8, 1)),
    checkpoint=config.checkpoint.replace(every=max(n_steps // 8, 1)),
)
planned = plan(config)
print(
    f"{planned.tokens_per_step:,} tokens per step, {planned.epochs:.1f} epochs; measured here: ~{planned.seconds:.0f} s"
)

# %%
for file, gpu in (("own/gpu", "RTX 3090"), ("own/gpu", "RTX 4090"), ("minimind/pretrain", "RTX 3090")):
    other = plan_on_gpu(load_config(PretrainConfig, f"../configs/{file}.yaml"), find_gpu(gpu))
    print(
        f"computed: configs/{file}.yaml, {gpu}: {other.seconds / 3600:.1f} h for {other.tokens / 1e6:.0f} million tokens"
    )
plot_plan(planned)

# %% [markdown]
# **What to see.** The learning rate of each step, blue as configured, and below it when the run looks at held-out text and when it
# saves. It saves often: a laptop goes to sleep, and what was not saved is computed again.
#
# The laptop's hours, which `plan` would measure on yours, are here computed from a recorded run: the 26 M model read 2,549
# tokens per second on two cores with instructions for bfloat16 (`results/26m/pretrain`), so the 28.7 million tokens of
# `configs/own/laptop.yaml` take 3.1 hours there. A processor without such instructions is some three times slower: a night.

# %% [markdown]
# ## 6 · A short sweep of learning rates
#
# The learning rate is the one number that must fit (notebook 12). Three rates, a factor of four apart, get a short run
# each, with two seeds; what counts is the loss on held-out text. A run that diverges gives `nan`, or stops with an error,
# which we count as infinite.


# %%
def short_run(rate, seed, n_steps):
    """The lowest held-out loss of a short run."""
    short = config.train.replace(steps=n_steps, seed=seed, optimizer=config.train.optimizer.replace(lr=rate))
    places = {"run": WORK / "sweep", "output": WORK / "sweep-model"}
    looks = config.evaluation.replace(every=n_steps, prompts=())
    try:
        run = pretrain(
            config.replace(train=short, evaluation=looks, **places), overwrite=True, progress=False
        )
    except TrainingDivergedError:
        return float("inf")
    return run.evaluations[-1]["loss"]


# %%
rates = [factor * config.train.optimizer.lr for factor in (0.25, 1, 4)]
losses = [[short_run(rate, seed, max(n_steps // 50, 25)) for seed in (0, 1)] for rate in rates]

# %% [markdown]
# ### Exercise 3 · Which rate? (2 points)
#
# `losses[i][s]` is the loss of rate `i` with seed `s`, perhaps nan or infinite. Take the mean over the seeds; a rate at
# which any run diverged is out. The lowest mean is not all: several rates are often about as good, and of those the
# smallest is the safest in a longer run. Return the **smallest** rate whose mean is at most `tolerance` above the lowest.


# %%
def best_rate(rates, losses, tolerance):
    """The smallest learning rate that is about as good as the best."""
    ### BEGIN SOLUTION
    means = np.mean(losses, axis=1)
    means[~np.isfinite(means)] = np.inf
    return min(rate for rate, mean in zip(rates, means, strict=True) if mean <= means.min() + tolerance)
    ### END SOLUTION


# %%
check.best_rate(best_rate)

# %%
rate = check.best_rate.function(rates, losses, 0.02)
best_of_seeds = [rates[number] for number in np.argmin(losses, axis=0)]
print("the same rate is the best with both seeds:", len(set(best_of_seeds)) == 1)
print("it lies within the range:                 ", min(rates) < best_of_seeds[0] < max(rates))
print("the seeds differ most at the highest rate:", np.argmax(np.ptp(losses, axis=1)) == len(rates) - 1)
plot_sweep(rates, losses, rate)

# %% [markdown]
# **What to see.** The dots are single runs, two per rate, the line their means. At the high rate the two seeds lie far
# apart: a first sign of trouble. The best rate lies within the range; were it at the border, the sweep would have to go on
# there. A short run favours high rates a little, since a high rate goes far in few steps and its harm shows late; that is
# another reason for the smallest of those that are about as good.
#
# ## 7 · The run, through a break
#
# A night is long: the lid closes, the battery dies, somebody needs the GPU. A run must survive that, and its result must
# not show it: **bit for bit** the same as without a break. For this the run saves, besides the weights, the optimizer's
# averages and the number of the step; the order of the text and dropout follow from the step alone.
#
# ### Exercise 4 · Killed and resumed (3 points)
#
# `pretrain(config, on_record=…)` calls the function that it is given with each record, such as
# `{"kind": "step", "step": 12, "loss": …}`; an error raised there ends the run at once, as the stop button does, and
# nothing more is saved. Write a function that trains by `config`, **kills** the run by a `KeyboardInterrupt` when the
# record of step `stop_after` arrives, and then **resumes** it (`resume=True`). Return what the second call returns.
# `on_record` gets every record, if there is one. The check lets you train a tiny model, and compares it with one that ran
# without a break.


# %%
def train_with_a_break(config, stop_after, on_record=None):
    """Train, be killed after a step, and resume."""

    ### BEGIN SOLUTION
    def kill(record):
        if on_record is not None:
            on_record(record)
        if record["kind"] == "step" and record["step"] == stop_after:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        pretrain(config, progress=False, on_record=kill)
    return pretrain(config, progress=False, resume=True, on_record=on_record)
    ### END SOLUTION


# %%
check.train_with_a_break(train_with_a_break)

# %% [markdown]
# Now the real run, with your function if it passed. If you come back to this notebook later and the run is finished, it
# is not computed again; if it was interrupted in earnest, by you or by the battery, this cell resumes it.

# %% tags=["nbval-ignore-output"]
config = config.replace(train=config.train.replace(optimizer=config.train.optimizer.replace(lr=rate)))
baselines = count_baselines(files["train"], files["validation"])
live = LivePlot(steps=n_steps, baselines=baselines)
if (config.run / "metrics.jsonl").exists():
    run = pretrain(config, resume=True, on_record=live)
else:
    run = check.train_with_a_break.function(config, n_steps // 2, live)

# %%
plot_losses(run, baselines=baselines)

# %%
steps, held_out = run.series("loss", "evaluation")
resumed = [record["step"] for record in run.of_kind("resume")]
print("killed and resumed:      ", len(resumed) > 0)
print("below the unigram model: ", held_out[-1] < baselines["unigram"])
print("below the bigram model:  ", held_out[-1] < baselines["bigram"])

# %% [markdown]
# **What to see.** No trace of the break, which was in the middle: the steps between the last checkpoint and the kill were
# computed again. The dots, held-out text, pass both lines: the model predicts what it has not read better than pairs of
# tokens do that were counted in *all* of the training text.
#
# ## 8 · The doctor
#
# `examine_run`, or `minillm doctor RUN`, looks at the records of a run as an experienced eye would: did it begin at
# $\ln V$, did it learn more than counting does, was the learning rate too high, does the held-out loss rise again?

# %%
report = examine_run(run, baselines=baselines)
print("healthy:", report.is_healthy)
print("initial loss:", report.about("initial loss").severity)

# %% [markdown]
# `report` alone, as the last line of a cell, shows all findings as a table, with advice. `minillm report` makes a page of a
# run that you can send to somebody.
#
# ## 9 · Fifty answers of your own
#
# The model continues text. To make it answer, you write down what it shall answer: one conversation per line in
# `notes-conversations.jsonl`, beside your folder,
#
# ```
# {"question": "Who keeps the key of the boathouse?", "answer": "Hanna keeps it, in the blue tin."}
# ```
#
# Fifty answers are enough. Write each question in several wordings, a line per wording, with the same answer: of three or
# more, the last is held out, to see whether the model understands or merely recognises (notebook 14). For the sample they
# are made of the documentation. If you have written none yet, the notebook asks how openings of your own texts go on;
# that shows the way, and is a poor substitute.

# %%
if not CONVERSATIONS.exists():
    print(f"{CONVERSATIONS} is not there: made from the openings of your texts")
    CONVERSATIONS = WORK / "openings.jsonl"
    course.write_questions(CONVERSATIONS, course.opening_questions(parts["train"]))
questions = own_questions(CONVERSATIONS)
taught = [Conversation.of(words, each.answer) for each in questions for words in each.phrasings]
encoded, encoding = encode_conversations(taught, tokenizer, config.seq_len)
answers = pack_conversations(encoded, config.seq_len, tokenizer.pad_id)
print(
    f"{len(questions)} answers, {len(taught)} conversations to train on,"
    f" {sum(len(each.held_out) for each in questions)} wordings held out"
)
print("all of them fit into a row:", encoding.n_dropped == encoding.n_truncated == 0)

# %% [markdown]
# ## 10 · Fine-tuning, with replay
#
# What fine-tuning does not rehearse, the model forgets (notebook 14). So each step reads eight rows of answers and four of
# the old text, and its loss is the mean over the labels of both. Twenty epochs over the answers are enough to know them by
# heart, and the rate is that of pretraining halved, because the weights have something to lose.

# %%
device = best_device()
chat = run.load_model().to(device)
old = TokenWindows(files["train"], config.seq_len)


def loss_with_replay(step):
    """The mean loss over the labels of eight rows of answers and four of text."""
    own = answers[rows_of_step(step, 8, len(answers), seed=0)].to(device)
    text = old[rows_of_step(step, 4, len(old), seed=1)].to(device)
    total = batch_loss(chat, own, "sum") + batch_loss(chat, text, "sum")
    return total / (own.n_labels + text.n_labels)


# %%
sft_losses = fit(chat, loss_with_replay, max(20 * len(answers) // 8, 20), lr=rate / 2, warmup_steps=5)
chat.chat_defaults = chat.chat_defaults.replace(fresh=True)  # it was taught no second question
CHAT = WORK / "chat"
chat.save(CHAT)
print("the loss fell to less than half:", np.mean(sft_losses[-5:]) < np.mean(sft_losses[:2]) / 2)

# %% [markdown]
# ## 11 · Judged by what it does
#
# `examine_own_model` reads only files: the run, the chat model, the conversations. It computes everything again: the bits
# per byte of the held-out text, before and after fine-tuning, and of a bigram model for comparison; and it asks the
# questions, as they were taught and in the words that were held out. An answer is right if it resembles its own
# reference more than any other.

# %%
figures = examine_own_model(run, CHAT, CONVERSATIONS)
print("held-out text better than by the bigram:", figures.base_bits < figures.ngram_bits)
print("answers end:                            ", figures.after.ended_share > 0.9)
print("right before: fewer than one in five:   ", figures.before.right_share() < 0.2)
print("right after, as taught:                 ", figures.after.right_share() > 0.7)
if figures.reworded is not None:
    print(
        "in other words, fewer are right:        ",
        figures.reworded.right_share() < figures.after.right_share() - 0.2,
    )
plot_own_model(figures)

# %% [markdown]
# **What to see.** On the left the held-out text: the model predicts it better than the bigram (the broken line) before
# fine-tuning and, thanks to the replay, after it as well. On the right the answers: before, the model only continues;
# after, its answers end by themselves, and nearly all are right. In words that it was not taught, most are wrong: four
# wordings of each question are too few for a model of this size to learn that it is the name that counts. It knows fifty
# answers, and whatever else it is asked, it gives one of them or a mixture.
#
# ### Exercise 5 · Hand it in (4 points)
#
# Return a dict of three paths: `"run"`, the folder of your pretraining run; `"chat"`, the checkpoint of your chat model;
# `"conversations"`, the file of your conversations. The check believes no figure of yours. It loads the checkpoints and
# computes again whether
#
# - enough text is held out, and none of it stands in the training text;
# - the base model predicts it better than the bigram does, and not so well that it must have read it;
# - there are fifty answers or more, the chat model's answers end, and at least 70 % of them are right;
# - it has not forgotten its text.


# %%
def own_model():
    """What is handed in: the paths of the run, the chat model and the conversations."""
    ### BEGIN SOLUTION
    return {"run": str(run.folder), "chat": str(CHAT), "conversations": str(CONVERSATIONS)}
    ### END SOLUTION


# %%
check.own_model(own_model)

# %% [markdown]
# ## 12 · Talk with it, and take it with you

# %% tags=["nbval-ignore-output"]
model = MiniLLM.load_from_checkpoint(CHAT)
for question in questions[:4]:
    answer = model.chat(question.phrasings[0], max_new_tokens=60)
    print(f"> {question.phrasings[0]}\n{answer}")
ChatWidget(model, text=questions[4].phrasings[0], max_new_tokens=60)

# %%
gguf = export_gguf(model, WORK / "model.gguf")
print("for llama.cpp:   ", gguf.name, gguf.stat().st_size > 4 * model.config.n_parameters)
print("for transformers:", sorted(path.name for path in CHAT.iterdir() if path.suffix == ".safetensors"))

# %% [markdown]
# The folder `chat` is a whole model: `minillm chat --ckpt notes-model/chat` talks with it in a terminal, `minillm serve
# --ckpt notes-model/chat` in the browser and to other programs, `AutoModelForCausalLM` of `transformers` opens it, and
# the `.gguf` file runs in llama.cpp and what is built on it.
#
# ## 13 · Larger
#
# Nothing above knows how large the model is. With `FOLDER` set, the same cells choose among four sizes up to 104 million
# parameters, by your text and your machine:
#
# | | text | model | time |
# | --- | --- | --- | --- |
# | the sample | 1 MB | 115,008 parameters | ten to twenty seconds of one core for the run (measured) |
# | `configs/own/laptop.yaml` | 8 MB, 13 epochs | 26 M | 3.1 hours on two cores with bfloat16 instructions (computed from the speed of `results/26m`); about 8 hours at 180 GFLOP/s (computed) |
# | `configs/own/gpu.yaml` | 25 MB, 16 epochs | 104 M | 1.0 hours on an RTX 3090, 0.4 on an RTX 4090 (computed by `plan`) |
# | `configs/minimind/pretrain.yaml` | 1.2 GB of MiniMind's texts | 26 M | 0.8 hours on an RTX 3090 (computed by `plan`) |
#
# The last is the model of the report that this course follows: 26 million parameters on the public Chinese and English
# corpora of MiniMind, then `configs/minimind/sft.yaml` on its conversations, which are downloaded at first use.
# `minillm init` writes a configuration like the first three without a notebook, and [a page](YOUR_OWN_MODEL.md) goes
# the same way from the command line.
#
# ## Summary
#
# - A split by hash changes no side when files come, but for relatives of the new ones: groups of relatives stay on one
#   side, or the held-out loss is too good.
# - Size follows from tokens and budget: the largest model that still reads enough per parameter.
# - Plan before, sweep briefly, look at the doctor's report after. A run that cannot be killed is not finished.
# - Teach answers together with old text. Judge a model by held-out text and by held-out wordings, never by its training.
#
# **In the library:** `minillm_lib/evaluation/own_model.py` (the judge), `minillm_lib/training/planning.py` (`plan`),
# `minillm_lib/training/own_text.py` (`minillm init`), `minillm_lib/training/fitting.py` (`fit`).
#
# **To read on.** Muennighoff et al. 2023, as above, on how often text may be repeated; Lee et al. 2022, "Deduplicating
# Training Data Makes Language Models Better", [arXiv:2107.06499](https://arxiv.org/abs/2107.06499), on what leaks between
# training and test text; Eldan and Li 2023, "TinyStories", [arXiv:2305.07759](https://arxiv.org/abs/2305.07759), on how small
# a model can be that still writes coherent text.
