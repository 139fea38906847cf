# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
# ---

# %% [markdown]
# # 14 · Supervised fine-tuning: from continuing to answering
#
# **What you build.** A chat model, from a model that can only continue text: the chat template, the loss mask, rows that
# hold several conversations without mixing them, and the training itself. You count right answers before and
# after, and measure what the model has forgotten.
#
# **What you need.** [12 · The training loop](12_training_loop.ipynb); [04 · Tokenizers](04_tokenizer.ipynb) for special tokens,
# [09 · Attention](09_attention_gqa.ipynb) for masks.
#
# **How long.** About 60 minutes to work through. All cells together run in about 45 seconds on two CPU cores.
#
# > **中文提要** 预训练得到的模型只会续写，不会回答。监督微调（SFT）用对话继续训练它，有三个关键：对话模板用特殊词元标出每个人说的话；
# > 损失掩码只让模型学习助手的话和结束符（标签错一位，模型就学坏了）；打包把多段对话放进同一行，用块对角掩码保证互不可见，
# > 因而损失与单独计算完全相等。我们在课程问答上训练一个小模型：面对没有见过的问法，正确率从接近零升到三分之一以上；同时它几乎忘光了预训练文本，
# > 混入少量预训练数据（重放）可以大大减轻遗忘，但也要付出代价。

# %%
import copy
import dataclasses
import random
import re

import matplotlib.pyplot as plt
import torch

from minillm_lib import MiniLLM, ModelConfig, Tokenizer, check, check_answers, load_corpus, load_grammar
from minillm_lib.corpora import Conversation, faq_questions, written_dialogues
from minillm_lib.generation import held_out_phrasings
from minillm_lib.model import causal_mask
from minillm_lib.training import (
    OptimizerConfig,
    ScheduleConfig,
    learning_rate_factor,
    make_optimizers,
    rows_of_step,
)
from minillm_lib.viz import BLUE, GREEN, ORANGE, PALE, use_style

use_style()
torch.set_num_threads(1)  # for matrices as small as these, sharing the work out costs more than it saves

# %%
from minillm_lib.training import (
    batch_loss,
    encode_conversation,
    encode_conversations,
    explain_mask,
    pack_conversations,
    pad_conversations,
)

# %% [markdown]
# ## 1 · A model that continues
#
# First we need a pretrained model. Its text is of two kinds: the questions and answers of this course as plain text
# (`course-faq`, twice over), and abstracts of the grammar of notebook 05. 40 more abstracts are held out; with them we
# shall measure forgetting.

# %%
ROW = 96
faq = [document.text for document in load_corpus("course-faq", language="en", split="all")]
abstracts = [document.text for document in load_grammar("en").generate(1240, seed=0)]
tokenizer = Tokenizer.train(faq + abstracts[:300], vocab_size=1000)
texts = faq * 2 + abstracts[:1200]
random.Random(0).shuffle(texts)


def as_rows(texts):
    """Inputs and labels, (rows, ROW) each: the labels are the tokens that follow."""
    tokens = torch.tensor([token for text in texts for token in tokenizer.encode(text, add_eos=True)])
    n_rows = (len(tokens) - 1) // ROW
    return tokens[: n_rows * ROW].view(n_rows, ROW), tokens[1 : n_rows * ROW + 1].view(n_rows, ROW)


inputs, labels = as_rows(texts)
held_out = as_rows(abstracts[1200:])
print(f"{len(inputs):,} rows of {ROW} tokens to train on, {len(held_out[0])} held out")

# %% [markdown]
# The loop is that of notebook 12, with the library's parts. What a step computes comes from outside as
# `loss_of_step`, because that is all that will change. The optimizer is Muon, which on a model of this size learns in fewer
# steps than AdamW.


# %%
def train(model, loss_of_step, n_steps, lr, warmup_steps):
    """Trains in place; the loss of each step."""
    optimizers = make_optimizers(model, OptimizerConfig(name="muon", lr=lr))
    schedule = ScheduleConfig(name="cosine", warmup_steps=warmup_steps, final_share=0.05)
    losses = []
    for step in range(n_steps):
        rate = lr * learning_rate_factor(step, n_steps, schedule)
        loss = loss_of_step(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return losses


# %%
torch.manual_seed(0)
base = MiniLLM(ModelConfig(vocab_size=1000, hidden_size=96, n_layers=3, n_heads=4, intermediate_size=192,
                           max_seq_len=256, initializer_range=0.05))  # fmt: skip
base.tokenizer = tokenizer


def pretraining_loss(step):
    rows = rows_of_step(step, 16, len(inputs), seed=0)
    return base.loss(inputs[rows], labels[rows])


curve = train(base, pretraining_loss, n_steps=150, lr=0.01, warmup_steps=20)
print(f"{base.config.n_parameters:,} parameters; loss from {curve[0]:.0f} to below 3: {curve[-1] < 3}")

# %% [markdown]
# What does this model do with a question? It was trained to continue text, so it continues; and being small and hardly
# trained, not well. (What a trained model writes differs a little from machine to machine; so do the numbers below.)

# %% tags=["nbval-ignore-output"]
for prompt in ("We propose a", "What is a causal mask?"):
    print(prompt, "→", base.generate(prompt, temperature=0.0, max_new_tokens=30)[0].text)

# %% [markdown]
# ## 2 · The chat template
#
# A conversation is a list of turns, each with a role and a content. To the model it must become one row of tokens, in
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
# And labels are shifted: the label at place $t$ is the token at place $t+1$. So the place where `<|assistant|>` is *read*
# carries the label of the first word of the answer. The last token of all has no place of its own: nothing follows it.
#
# ### Exercise 1 · Ids and labels of a conversation (1 point)
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
# The library's `encode_conversation` does the same. Here is what it gives, place by place:

# %%
row = encode_conversation(Conversation.of("What is LDA?", "A topic model."), tokenizer, max_len=64)
for token, label in zip(row.input_ids, row.labels, strict=True):
    print(f"{tokenizer.vocabulary[token]:14} → {'·' if label == -100 else tokenizer.vocabulary[label]}")

# %% [markdown]
# And the loss with such labels is the mean over the labels that count, as in equation (1) of notebook 12:

# %%
read, label = torch.from_numpy(row.input_ids)[None], torch.from_numpy(row.labels)[None]
log_p = base(read).log_softmax(dim=-1)  # (1, seq, vocab)
counted = label != -100
by_hand = -log_p[counted].gather(-1, label[counted][:, None]).mean()
torch.allclose(by_hand, base.loss(read, label), atol=1e-5)

# %% [markdown]
# ## 4 · Packing
#
# Conversations have different lengths, rows have one. Padding each conversation to the length of the row wastes most of
# the work. So several conversations share a row. In pretraining documents do so too, and usually may see one another;
# here they must not, for the answer to one question would depend on those that happen to stand before it. Two things
# keep them apart. **Segment ids** say which conversation of its row a token belongs to (0 is padding), and attention stays
# within a segment. **Positions** begin at 0 in each conversation.

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
# ### Exercise 3 · First-fit decreasing (3 points)
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
# ## 5 · Fine-tuning
#
# The model is small, so it gets an easy task: from each of the 18 subjects of `course-faq` the question whose answer has
# the shortest first sentence of at least forty characters, and only that sentence. Each question can be asked in more than
# thirty ways. We train on seven; **two are held out** of all training. So we can tell answers learnt by heart from
# questions understood.

# %%
subjects = {}
for question in faq_questions("en"):
    subjects.setdefault(question.topic, []).append(question)
sentences = {
    each.id: re.split(r"(?<!et al)\. ", each.answer)[0].rstrip(".") + "." for each in faq_questions("en")
}
sentences = {name: text for name, text in sentences.items() if len(text) >= 40}
questions = [
    min((each for each in own if each.id in sentences), key=lambda each: len(sentences[each.id]))
    for own in subjects.values()
]
questions = [dataclasses.replace(each, answer=sentences[each.id]) for each in questions]
conversations = [Conversation.of(asked, each.answer) for each in questions for asked in each.phrasings[:7]]
encoded, report = encode_conversations(conversations, tokenizer, max_len=128)
packed = pack_conversations(encoded, max_len=128, pad_id=tokenizer.pad_id)
padded = pad_conversations(encoded, 128, tokenizer.pad_id)
print(report)
print(
    f"padded: {len(padded)} rows, {padded.padding_share:.0%} padding; packed: {len(packed)}, {packed.padding_share:.0%}"
)

# %% [markdown]
# An answer counts as right if it resembles the right answer more than any other of the hundreds of English answers of the
# course (`check_answers`: by cosine of character n-grams). Guessing would hardly ever be right. For the base model we
# open the assistant's turn in the same way, though it has never seen one.


# %%
def right_share(model):
    report = check_answers(model, held_out_phrasings(questions), faq_questions("en"), progress=False)
    return report.right_share(), report


@torch.no_grad()
def held_out_loss(model):
    return model.loss(*held_out).item()


tuned = copy.deepcopy(base)


def sft_loss(step):
    return batch_loss(tuned, packed[rows_of_step(step, 8, len(packed), seed=0)])


sft_curve = train(tuned, sft_loss, n_steps=80, lr=0.005, warmup_steps=10)
right = {"before": right_share(base), "after": right_share(tuned)}
print("before: fewer than one in ten right:", right["before"][0] < 0.1)
print("after: more than a third right:     ", right["after"][0] > 1 / 3)

# %% tags=["nbval-ignore-output"]
print("before:", right["before"][1])
print("after: ", right["after"][1], "\n")
for checked in right["after"][1].answers[:8]:
    print(f"{'right' if checked.is_right else 'wrong'} | {checked.phrasing}\n      → {checked.answer[:90]}")

# %%
figure, axis = plt.subplots(figsize=(6, 2.6))
axis.plot(sft_curve, color=BLUE)
axis.set(xlabel="step", ylabel="loss on answers\n(nats per token)", ylim=(0, None))
plt.show()

# %% [markdown]
# **What to see.** In 80 steps the loss on the answers comes down to nearly 0: they are known by heart. The held-out
# phrasings tell the rest of the story. The model now answers, in whole sentences, and stops by itself; more than a third of
# the answers are right, and most of the others are *good answers to other questions*. It has learned to answer before
# it has learned to understand. The 26 M model of this course knows far more text before it comes to this point; and what
# helped it most was to be asked in more ways, all sixteen and noisy copies of them (`minillm_lib/corpora/faq.py`):
# from a third, its right answers to held-out phrasings rose to five in six (`results/26m/README.md`).
#
# ## 6 · Forgetting
#
# The weights that now hold answers held something else before. On the abstracts, which the model saw in pretraining and
# not since:

# %%
before, after = held_out_loss(base), held_out_loss(tuned)
print("loss on held-out abstracts at least doubled:", after > 2 * before)

# %% [markdown]
# That is *catastrophic forgetting* (McCloskey and Cohen 1989; French 1999): nothing in the SFT loss rewards keeping what
# is not asked for. The simplest remedy is **replay**: mix some of the old text into each step. Eight rows of conversations
# get four rows of pretraining text beside them, and the loss is the mean over the labels of both, as in exercise 3 of
# notebook 12.

# %%
replayed = copy.deepcopy(base)


def sft_loss_with_replay(step):
    answers = packed[rows_of_step(step, 8, len(packed), seed=0)]
    old = rows_of_step(step, 4, len(inputs), seed=1)
    n_labels = (answers.labels != -100).sum() + labels[old].numel()
    old_sum = replayed.loss(inputs[old], labels[old], reduction="sum")
    return (batch_loss(replayed, answers, reduction="sum") + old_sum) / n_labels


train(replayed, sft_loss_with_replay, n_steps=80, lr=0.005, warmup_steps=10)
right["with replay"] = right_share(replayed)
print("with replay nearer to before than to after:", held_out_loss(replayed) - before < (after - before) / 2)

# %%
models = {"before": (base, PALE), "SFT": (tuned, ORANGE), "SFT with\nreplay": (replayed, GREEN)}
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
for (name, (model, colour)), (share, _) in zip(models.items(), right.values(), strict=True):
    axes[0].bar(name, held_out_loss(model), color=colour)
    axes[1].bar(name, 100 * share, color=colour)
axes[0].set_ylabel("loss on held-out abstracts\n(nats per token)")
axes[1].set_ylabel("right answers to questions\nasked in a new way (%)")
plt.show()

# %% [markdown]
# **What to see.** On the left: SFT alone ruins what pretraining has built; with replay most of it is kept. On the right:
# this is not free. In the same 80 steps the model with replay answers fewer questions rightly: its weights serve two
# masters, and part of each step goes into the old text. How much to replay is a matter of what one wants to keep;
# a lower learning rate and fewer steps help too, and so does a larger model.
#
# ## 7 · Several turns
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
ends = [place for place, token in enumerate(ids) if token == tokenizer.end_of_turn_id]
print("turns:", [turn.role for turn in conversation.turns])
print("is the end of the turn trained on:", [is_trained[place] for place in ends])

# %% [markdown]
# ## Summary
#
# - SFT is next-token prediction on conversations. The template marks who speaks; its tokens cannot be typed.
# - The labels are shifted by one, and $-100$ wherever the assistant does not speak. `<|end|>` belongs to the answer.
# - Packed rows with a block-diagonal mask and positions that restart give the loss of each conversation alone.
# - Hold out *ways to ask*, not only questions; a small model learns to answer before it learns to understand.
# - SFT forgets. Measure the pretraining loss before and after; replay keeps most of it, at a price.
#
# **In the library:** `minillm_lib/training/sft_rows.py` (mask, packing), `minillm_lib/generation/answers.py` (right
# answers); `minillm_lib.sft` runs the whole with checkpoints and records: `minillm sft --config configs/sft.yaml`.
#
# **Next:** [15 · Inference](15_inference.ipynb), talking with the model, and why it answers one token at a time quickly.
#
# **To read on.** Ouyang et al. 2022, "Training language models to follow instructions with human feedback",
# [arXiv:2203.02155](https://arxiv.org/abs/2203.02155), where SFT is the first of three steps, and pretraining text is mixed
# in against forgetting; Zhou et al. 2023, "LIMA: Less Is More for Alignment",
# [arXiv:2305.11206](https://arxiv.org/abs/2305.11206), on how few good conversations suffice; Krell et al. 2021, "Efficient
# Sequence Packing without Cross-contamination", [arXiv:2107.02027](https://arxiv.org/abs/2107.02027).
