# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 14 · Supervised fine-tuning: from continuing to answering
#
# **What you build.** A chat model, from the model of notebook 13, which can only continue text: the chat template, the loss
# mask, rows that hold several conversations without mixing them, two ways to count right answers, and the training itself.
# You measure what helps and what the model forgets, on several seeds, keep its old text in its memory by replay, and train
# a small addition to its weights instead of the weights (LoRA).
#
# **What you need.** [13 · Pretraining](13_pretraining.ipynb), whose model is fine-tuned;
# [04 · Tokenizers](04_tokenizer.ipynb) for special tokens, [09 · Attention](09_attention_gqa.ipynb) for masks.
#
# **How long.** About 90 minutes to work through, with six exercises. All cells together run in about 30 seconds on two CPU
# cores.
#
# > **中文提要** 预训练得到的模型只会续写，不会回答。监督微调（SFT）用对话继续训练它，关键有三点：对话模板用特殊词元标出每个人说的话；损失掩码只让模型学习助手的话和结束符（标签错一位，模型就学坏了）；打包把多段对话放进同一行，用块对角掩码保证互不可见，因而损失与单独计算完全相等。我们微调上一节的模型，让它回答 18 个问题；评测有两种：看它写出的回答最像哪个标准答案，或者比较它给各个答案的似然。问法分成训练、调参、测试三份，测试只用一次。同时模型几乎忘光了预训练文本，混入一部分预训练数据（重放）可以大大减轻遗忘；比较都用多个随机种子，并给出差异范围。最后介绍 LoRA：冻结原权重，只训练低秩的增量；另有一节选读，讲偏好优化 DPO。

# %%
import copy
import dataclasses
import re
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from minillm_lib import PretrainConfig, check, check_answers, course, load_config, pretrain
from minillm_lib.corpora import Conversation, faq_questions, written_dialogues
from minillm_lib.model import causal_mask
from minillm_lib.training import (
    batch_loss,
    encode_conversation,
    encode_conversations,
    explain_mask,
    fit,
    pack_conversations,
    pad_conversations,
    prepare_pretraining_data,
    rows_of_step,
)
from minillm_lib.viz import BLUE, plot_seeds

course.setup()

# %% [markdown]
# ## 1 · A model that continues
#
# The pretrained model is that of notebook 13, trained here by the same configuration: 164,160 parameters, half of whose text
# is documentation and half the questions and answers of this course, as plain text. 64 sequences of held-out text will show
# what it forgets.

# %%
folder = tempfile.TemporaryDirectory()
config = load_config(PretrainConfig, "../configs/course/pretrain.yaml").replace(
    run=f"{folder.name}/run", output=f"{folder.name}/model.pt"
)
config = config.replace(data=config.data.replace(folder="../data"))
data = prepare_pretraining_data(config.data, progress=False)
base = pretrain(config, progress=False).load_model()
tokenizer = base.tokenizer
old_text = data.windows("train", config.seq_len)
held_out_text = data.windows("validation", config.seq_len)[list(range(64))]
print(f"{base.config.n_parameters:,} parameters")

# %% [markdown]
# What does this model do with a question? It was trained to continue text, so it continues; and being small and hardly
# trained, not well. (What a trained model writes differs a little from machine to machine.)

# %% tags=["nbval-ignore-output"]
for prompt in ("Return the", "What is a causal mask?"):
    print(repr(prompt), "→", repr(base.generate(prompt, temperature=0.0, max_new_tokens=30)[0].text))

# %% [markdown]
# ## 2 · The chat template
#
# A conversation is a list of turns, each with a role and a content. To the model it must become one sequence of tokens, in
# such a way that it can tell where a turn begins, whose it is, and where it ends. Our template is as short as can be:
#
# ```
# <|user|>What is LDA?<|end|><|assistant|>A topic model.<|end|>
# ```
#
# Every name in angle brackets is *one* token, which the tokenizer has reserved from the start.

# %%
messages = [
    {"role": "user", "content": "What is LDA?"},
    {"role": "assistant", "content": "A topic model."},
]
by_hand = []
for message in messages:
    by_hand += [
        tokenizer.role_ids[message["role"]],
        *tokenizer.encode(message["content"]),
        tokenizer.end_of_turn_id,
    ]
print([tokenizer.vocabulary[token] for token in by_hand])
print("as the library:", by_hand == tokenizer.apply_chat_template(messages))

# %% [markdown]
# The names alone do not make the token. A user who *types* `<|end|>` must not be able to close the turn and go on in
# the assistant's name ("prompt injection"). Text goes through `encode`, which never gives a special token:

# %%
print("typed:    ", tokenizer.encode("<|end|>"))
print("the token:", tokenizer.end_of_turn_id)

# %% [markdown]
# To get an answer, we give the model the conversation so far and *open* the assistant's turn; it writes until it
# writes `<|end|>`:

# %%
prompt = tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True)
print(tokenizer.decode(prompt, skip_special_tokens=False))

# %% [markdown]
# ## 3 · The loss mask
#
# From here on, training is what it was: predict the next token. But of *which* tokens should the loss be made? The user's
# words are given to the model; it never has to write them. What it has to write is the answer, and then `<|end|>`, for
# otherwise it would never stop. The library shows what is trained on:

# %%
explain_mask(Conversation.of("What is a causal mask?", "It hides the future."), tokenizer)

# %% [markdown]
# **What to see.** Each box is a token; green ones are trained on. The answer is green, and so is its `<|end|>`. The
# token `<|assistant|>` is grey: it stands in the prompt already. The grey tokens are not wasted: the model reads them,
# and the gradient of the green tokens' loss flows through them.
#
# In code the mask is in the *labels*: a token that is not to be learned has the label $-100$, which the loss leaves out.
# And labels are shifted: the label at position $t$ is the token at position $t+1$. So the position where `<|assistant|>`
# is *read* carries the label of the first word of the answer. The last token of all is never an input: nothing follows
# it.
#
# ### Exercise 1 · Ids and labels of a conversation (3 points)
#
# `turns` is a list of pairs `(role, ids)`, such as `("user", [21, 22])`; `role_ids` gives the token of each role, and
# `end_id` is `<|end|>`. Return two lists of one length: what the model reads, and the labels.


# %%
def conversation_labels(turns, role_ids, end_id):
    """(input_ids, labels): labels[t] is the token after input_ids[t] if the assistant wrote it, else -100."""
    ### BEGIN SOLUTION
    ids, is_trained = [], []
    for role, content in turns:
        ids += [role_ids[role], *content, end_id]
        is_trained += [False] + [role == "assistant"] * (len(content) + 1)
    following = zip(ids[1:], is_trained[1:], strict=True)
    return ids[:-1], [token if trained else -100 for token, trained in following]
    ### END SOLUTION


# %%
check.conversation_labels(conversation_labels)

# %% [markdown]
# The library's `encode_conversation` does the same. Here is what it gives, position by position:

# %%
row = encode_conversation(Conversation.of("What is LDA?", "A topic model."), tokenizer, max_len=64)
for token, label in zip(row.input_ids, row.labels, strict=True):
    print(f"{tokenizer.vocabulary[token]:14} → {'·' if label == -100 else tokenizer.vocabulary[label]}")

# %% [markdown]
# And the loss with such labels is the mean over those that count, as in notebook 12:

# %%
read, label = torch.from_numpy(row.input_ids)[None], torch.from_numpy(row.labels)[None]
log_p = base(read).log_softmax(dim=-1)  # (1, seq, vocab)
counted = label != -100
by_hand = -log_p[counted].gather(-1, label[counted][:, None]).mean()
torch.allclose(by_hand, base.loss(read, label), atol=1e-5)

# %% [markdown]
# ## 4 · Packing
#
# Conversations have different lengths, the rows of a batch have one. Padding each conversation to the length of the row
# wastes most of the work. So several conversations share a row. In pretraining documents do so too, and usually may see
# one another; here they must not, for the answer to one question would depend on those that happen to stand before it.
# Two things keep them apart. **Segment ids** say which conversation of its row a token belongs to (0 is padding), and
# attention stays within a segment. **Positions** begin at 0 in each conversation.

# %%
examples = [
    Conversation.of("What is LDA?", "A topic model."),
    Conversation.of("And BPE?", "A way to cut text."),
    Conversation.of("Thanks!", "You are welcome!"),
]
encoded, report = encode_conversations(examples, tokenizer, max_len=64)
packed = pack_conversations(encoded, max_len=64, pad_id=tokenizer.pad_id)
print("lengths:  ", [len(conversation) for conversation in encoded])
print("segments: ", packed.segment_ids[0].tolist())
print("positions:", packed.positions[0].tolist())

# %%
mask = causal_mask(0, 64, None, torch.device("cpu"), packed.segment_ids)[0, 0]
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True)
for axis, shown, title in zip(
    axes, (torch.ones(64, 64).tril(), mask), ("causal only", "packed"), strict=True
):
    axis.imshow(shown.float(), cmap="Blues", vmax=1.5)
    axis.set(title=title, xlabel="token that is looked at")
    axis.grid(False)
axes[0].set_ylabel("token that looks")
plt.show()

# %% [markdown]
# **What to see.** Blue means "may look". On the left each token sees all before it, whatever conversation they are
# of. On the right the triangle falls apart into one triangle for each conversation (and one for the padding, whose
# labels are all $-100$): the mask is *block-diagonal*. For RoPE, which only knows distances, the positions could even run
# on; for learned positions they could not.
#
# If that is all it takes, the loss of the packed row must be that of the three conversations computed alone.

# %%
packed_sum = batch_loss(base, packed, reduction="sum")
alone = sum(batch_loss(base, pad_conversations([each]), reduction="sum") for each in encoded)
without_segments = base.loss(packed.input_ids, packed.labels, reduction="sum")
print("packed = alone:        ", torch.allclose(packed_sum, alone, rtol=1e-4))
print("without the block mask:", torch.allclose(without_segments, alone, rtol=1e-4))

# %% [markdown]
# ### Exercise 2 · Positions, segments, mask (2 points)
#
# Given the lengths of the conversations that stand one after the other in a row, and the length of the row, return three
# int64 or bool tensors: `positions` and `segment_ids`, of shape `(row_length,)`, and the mask, `(row_length, row_length)`,
# true where the token of the row (first index) may look at the token of the column. Padding has position 0 and segment 0,
# and sees padding only, also causally.


# %%
def row_layout(lengths, row_length):
    """(positions, segment_ids, mask) of conversations of these lengths, packed into one row."""
    ### BEGIN SOLUTION
    positions = torch.zeros(row_length, dtype=torch.int64)
    segment_ids = torch.zeros(row_length, dtype=torch.int64)
    start = 0
    for segment, length in enumerate(lengths, start=1):
        positions[start : start + length] = torch.arange(length)
        segment_ids[start : start + length] = segment
        start += length
    same = segment_ids[:, None] == segment_ids[None, :]
    return positions, segment_ids, same & torch.ones(row_length, row_length, dtype=torch.bool).tril()
    ### END SOLUTION


# %%
check.row_layout(row_layout)

# %% [markdown]
# Which conversations share a row? To find the fewest rows is a famous hard problem (bin packing), but a simple rule comes
# close: **first-fit decreasing**. Take the longest conversation first; put each into the first row that still has room.
# It never needs more than $\tfrac{11}{9}$ of the fewest rows, plus $\tfrac69$ of a row (Johnson 1973; Dósa 2007).
#
# ### Exercise 3 · First-fit decreasing (2 points)
#
# Return the number of the row of each conversation, in the order in which they came. Rows count from 0. Of two
# conversations of one length, the one that came first goes first.


# %%
def fill_rows(lengths, row_length):
    """The row of each conversation, a list of whole numbers, by first-fit decreasing."""
    ### BEGIN SOLUTION
    row_of, room = [0] * len(lengths), []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        row = next((row for row, left in enumerate(room) if left >= lengths[index]), len(room))
        if row == len(room):
            room.append(row_length)
        room[row] -= lengths[index]
        row_of[index] = row
    return row_of
    ### END SOLUTION


# %%
check.fill_rows(fill_rows)

# %% [markdown]
# ## 5 · What counts as right
#
# The model is small, so it gets an easy task: from each of the 18 subjects of `course-faq` the question whose answer has
# the shortest first sentence of at least forty characters, and only that sentence. Each question can be asked in more than
# a hundred ways. Of these, we take some for each of three parts, before anything is trained:
#
# - ten wordings of each question to **train** on;
# - two to **tune** by: whatever is chosen, a learning rate or a number of steps, is chosen by these;
# - two for the **test**. They are looked at once, at the end. Who chooses by the test, too, reports the luck of the choice.

# %%
subjects = {}
for question in faq_questions("en"):
    subjects.setdefault(question.topic, []).append(question)
first = {q.id: re.split(r"(?<!et al)\. ", q.answer)[0].rstrip(".") + "." for q in faq_questions("en")}
long_enough = [[q for q in own if len(first[q.id]) >= 40] for own in subjects.values()]
chosen = [min(own, key=lambda q: len(first[q.id])) for own in long_enough]
questions = [dataclasses.replace(q, answer=first[q.id]) for q in chosen]
tuning = [(q, wording) for q in questions for wording in q.phrasings[10:12]]
testing = [(q, wording) for q in questions for wording in q.held_out]
print(f"{len(questions)} questions; {len(tuning)} wordings to tune by, {len(testing)} for the test")
print(questions[0].phrasings[0], "→", questions[0].answer)

# %% [markdown]
# There are two ways to count right answers. One is to let the model **write**, and to see which of the 18 answers its text
# resembles most (`check_answers`: by the cosine of character n-grams). The other is to let it **choose**: the question is
# followed by each of the 18 answers in turn, and the one that the model finds most likely is its choice. That is how
# multiple-choice benchmarks are mostly scored, since it needs no judgement of a text, and gives a score even to a model
# that has not learned to answer. In both, who guesses is right in one case of 18.
#
# ### Exercise 4 · How likely is an answer? (2 points)
#
# `ids` are the tokens of a prompt followed by an answer, `(T,)`; the first `n_prompt` are the prompt. `logits` is what a
# model said when it read them, `(T, V)`: row $t$ has the scores of the token that comes *after* position $t$. Return the
# natural logarithm of the probability of the answer, given the prompt.


# %%
def answer_log_probability(logits, ids, n_prompt):
    """ln p(answer | prompt)."""
    ### BEGIN SOLUTION
    log_p = logits.log_softmax(dim=-1)[n_prompt - 1 : -1]
    return log_p.gather(1, ids[n_prompt:, None]).sum()
    ### END SOLUTION


# %%
check.answer_log_probability(answer_log_probability)

# %% [markdown]
# A long answer has a lower probability than a short one, only because it has more tokens. So we divide by their number; the
# harness that the library uses (`minillm eval`) gives the scores with and without such a division.

# %%
score = check.answer_log_probability.function
endings = [[*tokenizer.encode(q.answer), tokenizer.end_of_turn_id] for q in questions]


@torch.no_grad()
def likelihoods(model, wording):
    """ln p per token of each of the 18 answers to a question, (18,)."""
    message = {"role": "user", "content": wording}
    prompt = tokenizer.apply_chat_template([message], add_generation_prompt=True)
    texts = [torch.tensor(prompt + ending) for ending in endings]
    logits = model(nn.utils.rnn.pad_sequence(texts, batch_first=True))
    scores = [float(score(row[: len(ids)], ids, len(prompt))) for row, ids in zip(logits, texts, strict=True)]
    return np.array(scores) / [len(ending) for ending in endings]


# %%
def chosen_share(model, asked):
    """The share of the questions for which the model finds the right answer most likely."""
    return np.mean([likelihoods(model, wording).argmax() == questions.index(q) for q, wording in asked])


def held_out_loss(model):
    with torch.no_grad():
        return batch_loss(model, held_out_text).item()


print("before fine-tuning, no better than a guess or two:", chosen_share(base, tuning) < 0.2)

# %% [markdown]
# ## 6 · Fine-tuning
#
# The loop is `fit` of the library, that of notebook 12. Each step reads four packed rows.


# %%
def packed_rows(n_wordings):
    """The training conversations with so many wordings of each question, packed into rows."""
    pairs = [(wording, q.answer) for q in questions for wording in q.phrasings[:n_wordings]]
    encoded, _ = encode_conversations([Conversation.of(*pair) for pair in pairs], tokenizer, max_len=96)
    return pack_conversations(encoded, max_len=96, pad_id=tokenizer.pad_id)


def fine_tuned(rows, seed, n_steps=80):
    """A copy of the base model, fine-tuned on these rows, and its losses."""
    model = copy.deepcopy(base)

    def loss(step):
        return batch_loss(model, rows[rows_of_step(step, 4, len(rows), seed=seed)])

    return model, fit(model, loss, n_steps, lr=0.02, warmup_steps=10)


# %%
rows_of_ten = packed_rows(10)
tuned, curve = fine_tuned(rows_of_ten, seed=0)
print(f"{len(rows_of_ten)} rows, {rows_of_ten.padding_share:.0%} padding")
print("more than twice as many right as by guessing:", chosen_share(tuned, tuning) > 2 / 18)

# %% tags=["nbval-ignore-output"]
written = {
    "before": check_answers(base, tuning, questions, progress=False),
    "after": check_answers(tuned, tuning, questions, progress=False),
}
for name, report in written.items():
    print(name, report)
for checked in written["after"].answers[:6]:
    print(f"{'right' if checked.is_right else 'wrong'} | {checked.phrasing}\n      → {checked.answer[:90]}")
figure, axis = plt.subplots(figsize=(6, 2.6))
axis.plot(curve, color=BLUE)
axis.set(xlabel="step", ylabel="loss on answers\n(nats per token)", ylim=(0, None))
plt.show()

# %%
print("nearly all answers end by themselves:", written["after"].ended_share > 0.8)

# %% [markdown]
# **What to see.** In 80 steps the loss on the answers comes down to nearly 0: they are known by heart. The wordings that
# it was not trained on tell the rest of the story. The model now answers, in whole sentences, and stops by itself; some
# of the answers are right, and most of the others are *good answers to other questions*. It has learned to answer before
# it has learned to understand.
#
# ### What helps
#
# Is it of use to teach each question in many wordings? Everything else stays equal, the number of steps above all: ten
# wordings, or one, read ten times as often. As one run says little, there are several, which differ in the order of the
# rows. The measure is the *tuning* wordings.

# %%
SEEDS = (0, 1, 2)
models = {
    "ten wordings": [tuned] + [fine_tuned(rows_of_ten, seed)[0] for seed in SEEDS[1:]],
    "one wording": [fine_tuned(packed_rows(1), seed)[0] for seed in SEEDS[:2]],
}
right = {name: [chosen_share(model, tuning) for model in own] for name, own in models.items()}
print(
    "with ten wordings more is right, whatever the seeds:",
    min(right["ten wordings"]) > max(right["one wording"]),
)
plot_seeds(
    {name: 100 * np.array(own) for name, own in right.items()},
    ylabel="right answers chosen (%)",
    line=(100 / 18, "guessing"),
)

# %% [markdown]
# **What to see.** Each dot is a run, each bar their mean. The runs of one kind differ among themselves; what counts is that
# the two kinds differ *more*. To have been asked in many ways helps. That is the choice; now, once, the test:

# %%
tested = [chosen_share(model, testing) for model in models["ten wordings"]]
print(
    "on the test wordings, more than twice as many right as by guessing, with each seed:",
    min(tested) > 2 / 18,
)

# %% [markdown]
# The 26 M model of this course knows far more text before it comes to this point, and was taught 376 questions in two
# languages, each in some hundred and fifty wordings and noisy copies of them (`results/26m/README.md`). Two wordings of
# each question were held out, by the same authors as the others: it answers about six in seven of these rightly. Then
# other authors, who had seen none of its training data, wrote 220 questions in each language in words of their own: of
# these it answers four in five rightly, in English and in Chinese. A held-out wording by the hand that wrote the
# training data flatters; ask strangers. And eight versions of the model were measured by the *same* 220 questions, one
# after the other: that is no longer a test that is looked at once, and the mistake against which this section warns. The
# figures are probably a little too good; how much, only questions could tell that nobody has looked at.
#
# ## 7 · Forgetting, and replay
#
# The weights that now hold answers held something else before. On held-out documentation, whose like the model saw in
# pretraining and not since:

# %%
before = held_out_loss(base)
forgot = [held_out_loss(model) for model in models["ten wordings"]]
print(
    "loss on held-out text at least one and a half times as high, with each seed:", min(forgot) > 1.5 * before
)

# %% [markdown]
# That is *catastrophic forgetting* (McCloskey and Cohen 1989; French 1999): nothing in the SFT loss rewards keeping what
# is not asked for. The simplest remedy is **replay**: mix some of the old text into each step. Four rows of conversations
# get two sequences of pretraining text beside them. The two differ in what counts: of the tokens of a conversation only
# the answer has labels, of the old text every token has one. How is their loss to be averaged? As in accumulation
# (notebook 12), every label should weigh the same.
#
# ### Exercise 5 · A step with replay (2 points)
#
# The logits are `(rows, length, V)`, the labels `(rows, length)`, already shifted, $-100$ where nothing is learned. The
# two batches have different numbers of rows and lengths. Return the loss of both together. One of them may have no label
# that counts; then it is the loss of the other alone.


# %%
def replay_loss(answer_logits, answer_labels, text_logits, text_labels):
    """The mean loss over all labels of both batches that count."""
    ### BEGIN SOLUTION
    total, n_labels = 0, 0
    for logits, labels in ((answer_logits, answer_labels), (text_logits, text_labels)):
        total += nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum"
        )
        n_labels += (labels != -100).sum()
    return total / n_labels
    ### END SOLUTION


# %%
check.replay_loss(replay_loss)


# %%
def logits_of(model, batch):
    """The logits of packed rows, (rows, length, V)."""
    states = model.hidden_states(batch.input_ids, positions=batch.positions, segment_ids=batch.segment_ids)
    return states @ model.output_weight.T


# %%
def with_replay(rows, seed, n_steps=80):
    """As fine_tuned, but each step also reads two sequences of old text."""
    model = copy.deepcopy(base)

    def loss(step):
        new = rows[rows_of_step(step, 4, len(rows), seed=seed)]
        old = old_text[rows_of_step(step, 2, len(old_text), seed=100 + seed)]
        return check.replay_loss.function(
            logits_of(model, new), new.labels, logits_of(model, old), old.labels
        )

    fit(model, loss, n_steps, lr=0.02, warmup_steps=10)
    return model


# %%
models["with replay"] = [with_replay(rows_of_ten, seed) for seed in SEEDS]
right["with replay"] = [chosen_share(model, tuning) for model in models["with replay"]]
kept = [held_out_loss(model) for model in models["with replay"]]
print(
    "with replay, at most a quarter as much is forgotten, with each seed:",
    max(kept) - before < (min(forgot) - before) / 4,
)
figure = plot_seeds(
    {"before": [before], "SFT": forgot, "with replay": kept}, ylabel="loss on held-out text\n(nats per token)"
)
figure

# %%
both = {name: 100 * np.array(right[name]) for name in ("ten wordings", "with replay")}
distance = np.mean(both["ten wordings"]) - np.mean(both["with replay"])
print(
    "fewer are right with replay, whatever the seeds:", max(both["with replay"]) < min(both["ten wordings"])
)
print("the means differ by more than 16 points:        ", distance > 16)
plot_seeds(both, ylabel="right answers chosen (%)", line=(100 / 18, "guessing"))

# %% [markdown]
# **What to see.** In the first figure: SFT alone ruins what pretraining has built; with replay most of it is kept, with
# every seed. In the second: does it cost right answers? With 36 questions a single run is uncertain by some eight percentage
# points either way, so compare the distance of the means with that, and with the spread of the dots. It is more than twice
# the one, and larger than the other: replay does cost right answers here. There is a reason, for more than half of the labels in each step are now
# those of the old text, and the number of steps is the same.

# %% [markdown]
# ## 8 · LoRA: train an addition
#
# Fine-tuning changes all weights, so each task needs a whole model, and its optimizer state besides. **LoRA** (Hu et al.
# 2021, [arXiv:2106.09685](https://arxiv.org/abs/2106.09685)) leaves the weights $W$ of a linear layer as they are, and
# adds a matrix of low rank $r$ that is trained:
#
# $$y = W x + \frac{\alpha}{r}\, U D\, x , \qquad D \in \mathbb{R}^{r \times d_\text{in}},\;
# U \in \mathbb{R}^{d_\text{out} \times r} . \tag{1}$$
#
# $D$ (`down`) takes $x$ to $r$ numbers, $U$ (`up`) takes these to the output. At the beginning the layer must compute what
# it computed before; and gradients must flow. What does that say of the two matrices? The constant $\alpha$ sets how large
# the addition is, whatever the rank. After training $W + \frac{\alpha}{r} U D$ can take the place of $W$, and the
# model is as fast as before.
#
# ### Exercise 6 · A layer with LoRA (3 points)
#
# Write the class. `linear` is the old layer, an `nn.Linear` without bias, whose weight is not to be trained. The layer has
# two trained parameters, `down`, `(rank, d_in)`, and `up`, `(d_out, rank)`, and a method `merged` that returns the weight
# with the addition in it, `(d_out, d_in)`.


# %%
class LoRALinear(nn.Module):
    """A linear layer that stays as it is, with a trained addition of low rank."""

    def __init__(self, linear, rank, alpha):
        super().__init__()
        ### BEGIN SOLUTION
        self.linear = linear
        linear.weight.requires_grad_(False)
        d_out, d_in = linear.weight.shape
        self.down = nn.Parameter(torch.randn(rank, d_in) / d_in**0.5)
        self.up = nn.Parameter(torch.zeros(d_out, rank))
        self.scale = alpha / rank
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        return self.linear(x) + self.scale * (x @ self.down.T @ self.up.T)
        ### END SOLUTION

    def merged(self):
        ### BEGIN SOLUTION
        return self.linear.weight + self.scale * self.up @ self.down
        ### END SOLUTION


# %%
check.LoRALinear(LoRALinear)


# %%
def with_lora(model, rank, alpha):
    """Replace every linear layer of a model by one with LoRA; nothing else is trained."""
    model.requires_grad_(False)
    parts = [(parent, *named) for parent in model.modules() for named in parent.named_children()]
    for parent, name, child in parts:
        if isinstance(child, nn.Linear):
            setattr(parent, name, check.LoRALinear.function(child, rank, alpha))
    return model


torch.manual_seed(0)
adapted = with_lora(copy.deepcopy(base), rank=8, alpha=16)
n_trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
print("it begins as the base model:", np.isclose(held_out_loss(adapted), before))
print(f"trained: {n_trained / base.config.n_parameters:.0%} of the number of parameters")

# %%
order = [rows_of_step(step, 4, len(rows_of_ten), seed=0) for step in range(80)]
lora_curve = fit(
    adapted, lambda step: batch_loss(adapted, rows_of_ten[order[step]]), 80, lr=0.05, warmup_steps=10
)
print("LoRA forgets less than full fine-tuning did with any seed:", held_out_loss(adapted) < min(forgot))
print(
    "and is not as far with the answers after as many steps:   ",
    np.mean(lora_curve[-5:]) > np.mean(curve[-5:]),
)

# %% [markdown]
# That is what Biderman et al. 2024 ([arXiv:2405.09673](https://arxiv.org/abs/2405.09673)) found for large models: LoRA
# learns less and forgets less. On a model as small as ours it saves little; of a model with 7 billion parameters it
# trains well under one per cent, which is what makes fine-tuning possible on a single GPU: the frozen weights need no
# gradients and no optimizer state (exercise 3 of notebook 13), and one copy of them serves many adapters.

# %%
merged = copy.deepcopy(base)
for name, layer in adapted.named_modules():
    if hasattr(layer, "merged"):
        merged.get_submodule(name).weight.data = layer.merged().detach()
print(
    "merged, the plain model computes the same:",
    np.isclose(held_out_loss(merged), held_out_loss(adapted), rtol=1e-4),
)

# %% [markdown]
# ## 9 · Several turns
#
# A conversation may go on. Nothing new is needed: every answer is trained on, given all that was said before.

# %%
conversation = next(each for each in written_dialogues("en") if len(each.turns) == 4)
explain_mask(conversation, tokenizer)

# %% [markdown]
# **What to see.** Two green stretches, each ending with its own `<|end|>`. The second answer is predicted with the whole
# conversation in view, so a model can learn what "And what about …?" refers to. One row thus teaches several answers at
# once; cutting the conversation into one row for each answer would compute the first turns again and again, for the same
# loss.
#
# A model has no memory beside its context. `ChatSession` of the library keeps the turns and gives *all* of them to the model
# each time, until they no longer fit; then the oldest are dropped.

# %%
ids, is_trained = tokenizer.chat_ids_and_mask(conversation.messages)
ends = [position for position, token in enumerate(ids) if token == tokenizer.end_of_turn_id]
print("turns:", [turn.role for turn in conversation.turns])
print("is the end of the turn trained on:", [is_trained[end] for end in ends])

# %% [markdown]
# ## 10 · Optional: from preferences (DPO)
#
# Fine-tuning shows what to say, never what *not* to say. Often it is easier to compare two answers than to write a perfect
# one. Given pairs of a preferred answer $y^+$ and a rejected one $y^-$, **direct preference optimization** (DPO, Rafailov
# et al. 2023, [arXiv:2305.18290](https://arxiv.org/abs/2305.18290)) raises the likelihood of the one against the other,
# measured from where the model began, the *reference* model:
#
# $$\ell = -\ln \sigma\!\left(\beta \left[\ln \frac{p(y^+ \mid x)}{p_\text{ref}(y^+ \mid x)}
# - \ln \frac{p(y^- \mid x)}{p_\text{ref}(y^- \mid x)}\right]\right) . \tag{2}$$
#
# $\sigma$ is the logistic function. At the beginning the bracket is 0, and the loss $\ln 2$. $\beta$ sets how far the
# model may move away from the reference: once the bracket is some multiples of $1/\beta$, the gradient has died away. Our
# preferences: to two training wordings of each question the right answer, against the wrong one that the fine-tuned model
# finds most likely.

# %%
pairs = []
for q in questions:
    for wording in q.phrasings[:2]:
        scores = likelihoods(tuned, wording)
        scores[questions.index(q)] = -np.inf
        pairs.append((wording, q.answer, questions[scores.argmax()].answer))


# %%
def rows_with(answers):
    """The wordings of the pairs with these answers, a conversation in each row."""
    talks = [Conversation.of(pair[0], answer) for pair, answer in zip(pairs, answers, strict=True)]
    encoded = [encode_conversation(talk, tokenizer, 128) for talk in talks]
    return pad_conversations(encoded, 128, tokenizer.pad_id)


sides = [rows_with([pair[side] for pair in pairs]) for side in (1, 2)]  # preferred, rejected


# %%
def log_p(model, batch):
    """ln p of the answer in each row, (rows,)."""
    of_labels = model(batch.input_ids).log_softmax(-1).gather(-1, batch.labels.clamp(min=0)[..., None])
    return (of_labels[..., 0] * (batch.labels != -100)).sum(dim=1)


# %%
preferring, beta = copy.deepcopy(tuned), 0.1
with torch.no_grad():
    reference = [log_p(tuned, side) for side in sides]


def dpo_loss(step):
    some = torch.from_numpy(rows_of_step(step, 12, len(pairs), seed=0))
    ratios = [log_p(preferring, side[some]) - ref[some] for side, ref in zip(sides, reference, strict=True)]
    return -nn.functional.logsigmoid(beta * (ratios[0] - ratios[1])).mean()


# %%
dpo_curve = fit(preferring, dpo_loss, 12, lr=0.003, warmup_steps=3)
with torch.no_grad():
    margins = [log_p(model, sides[0]) - log_p(model, sides[1]) for model in (tuned, preferring)]
    falls = (log_p(preferring, sides[1]) < reference[1]).float().mean()
print("the loss begins at ln 2:", np.isclose(dpo_curve[0], np.log(2), atol=1e-3))
print(
    "the right answer gained on the wrong one in over 80 % of the pairs:",
    ((margins[1] > margins[0]).float().mean() > 0.8).item(),
)
print("most wrong answers became less likely than they were:", (falls > 0.5).item())

# %% [markdown]
# Note what (2) does *not* ask for: that the right answer become likelier. It is content if the wrong one falls faster, and
# often both fall. So DPO comes after SFT, not in its place, with a small learning rate and few steps, and what it was meant
# to improve is measured on held-out questions, as in section 5.

# %%
folder.cleanup()

# %% [markdown]
# ## Summary
#
# - SFT is next-token prediction on conversations. The template marks who speaks; its tokens cannot be typed.
# - The labels are shifted by one, and $-100$ wherever the assistant does not speak. `<|end|>` belongs to the answer.
# - Packed rows with a block-diagonal mask and positions that restart give the loss of each conversation alone.
# - Split *ways to ask* in three: to train on, to tune by, and a test that is looked at once. Compare on several seeds.
# - Right answers can be counted by what a model writes, or by which answer it finds most likely.
# - SFT forgets. Replay keeps most of the old text, and costs right answers where the steps are as few as before; LoRA
#   changes less, and forgets and learns less.
#
# **In the library:** `minillm_lib/training/sft_rows.py` (mask, packing), `minillm_lib/generation/answers.py` (right
# answers), `minillm_lib/evaluation/` (multiple choice: `minillm eval`); `minillm_lib.sft` runs the whole with checkpoints
# and records: `minillm sft --config configs/sft.yaml`.
#
# **Next:** [15 · Inference](15_inference.ipynb), talking with the model, and why it answers one token at a time quickly.
#
# **To read on.** Ouyang et al. 2022, "Training language models to follow instructions with human feedback",
# [arXiv:2203.02155](https://arxiv.org/abs/2203.02155), where SFT is the first of three steps, and pretraining text is mixed
# in against forgetting; Zhou et al. 2023, "LIMA: Less Is More for Alignment",
# [arXiv:2305.11206](https://arxiv.org/abs/2305.11206), on how few good conversations suffice; Krell et al. 2021, "Efficient
# Sequence Packing without Cross-contamination", [arXiv:2107.02027](https://arxiv.org/abs/2107.02027).
