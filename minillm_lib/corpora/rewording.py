"""Other ways to ask: questions with words left out, moved and joined, so that a model learns to look at all of them.

A small model that is fine-tuned on a few wordings of a question learns them by heart, and takes a new one for another
question. Noise in the wording keeps it from relying on any one word.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from minillm_lib.corpora.conversations import Conversation

MOST_LEFT_OUT = 0.6
P_JOINED, P_MOVED, P_SURROUNDED, P_SLOPPY = 0.5, 0.3, 0.45, 0.25

_HAN = r"[\u4e00-\u9fff]"
_WORD = re.compile(rf"\s*(?:{_HAN}|[^\s\u4e00-\u9fff]+)")
_SURROUNDINGS = {
    "en": (
        "Please: {}",
        "Hi! {}",
        "{} Thanks.",
        "Could you tell me: {}",
        "A question: {}",
        "I wonder: {}",
        "{} Please explain.",
        "Quick question. {}",
        "{} I am new to this.",
    ),
    "zh": (
        "请问，{}",
        "你好，{}",
        "{}谢谢。",
        "想请教一下：{}",
        "我想知道，{}",
        "{}请解释一下。",
        "{}我是初学者。",
    ),
}


def reword(conversations: Iterable[Conversation], copies: int, seed: int = 0) -> list[Conversation]:
    """``copies`` of each conversation of one turn, each with another noisy wording of its question.

    In each copy, up to 60 % of the question's words (Chinese characters count as words) are left out; now and then
    the words behind a random place come first, another question with the same answer is joined to it, a polite
    phrase goes before or after it, or it loses its capitals and its question mark. The answer stays as it is.
    Conversations of several turns, or with a system turn, are left out. The arguments alone decide on the result.

    Source: random deletion and swapping are those of Wei & Zou 2019, "EDA", arXiv:1901.11196.

    >>> from minillm_lib.corpora.conversations import Conversation
    >>> ask = Conversation.of("What does RoPE rotate?", "Pairs of numbers.")
    >>> [each.turns[0].content for each in reword([ask], 3)]
    ['A question: what rotate? does', 'does RoPE What', 'does rotate']
    """
    rng = random.Random(seed)
    own = [each for each in conversations if [turn.role for turn in each.turns] == ["user", "assistant"]]
    by_answer: dict[str, list[str]] = defaultdict(list)
    pairs = [(each.turns[0].content, each.turns[1].content) for each in own]
    for question, answer in pairs:
        by_answer[answer].append(question)
    reworded = []
    for _ in range(copies):
        for each, (question, answer) in zip(own, pairs, strict=True):
            asked = _noisy(question, by_answer[answer], rng)
            reworded.append(Conversation.of(asked, answer, each.source, each.meta))
    return reworded


def _noisy(question: str, same_answer: Sequence[str], rng: random.Random) -> str:
    text = _shuffled(question, rng)
    if rng.random() < P_JOINED:
        text = f"{text} {_shuffled(rng.choice(same_answer), rng)}"
    if rng.random() < P_SLOPPY:
        text = text.lower().rstrip("?？.。") or text
    if rng.random() < P_SURROUNDED:
        language = "zh" if re.search(_HAN, question) else "en"
        text = rng.choice(_SURROUNDINGS[language]).format(text)
    return text


def _shuffled(question: str, rng: random.Random) -> str:
    """Some words less, and perhaps begun in the middle; the question as it is if hardly a word would be left."""
    words = _WORD.findall(question)
    share = rng.uniform(0, MOST_LEFT_OUT)
    kept = [word for word in words if rng.random() >= share]
    start = rng.randrange(1, len(kept)) if len(kept) > 3 and rng.random() < P_MOVED else 0
    text = f"{''.join(kept[start:]).strip()} {''.join(kept[:start]).strip()}".strip()
    return text if len(text) > 2 else question
