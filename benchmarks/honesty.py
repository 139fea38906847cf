"""Find out whether a chat model is right about the course, declines the rest, and carries a conversation.

    python benchmarks/honesty.py [--ckpt results/26m/chat] [--only "in scope"] [--device cuda] [--output FILE]

Three sets of questions were written apart from the training data, by authors who had not seen it, in free words: 220
about the course and 220 about other things in each language, 40 in other languages, and 70 dialogues of three turns in
each language. Two further sets are the held-out wordings of the training sources, which have the same authors as those
that were trained on; by these the recipe was chosen. A reply is right if the nearest of all references is one that the
question accepts (by minillm_lib/generation/honesty.py). Every reply is in the record, for a person to read.

If the last two sets are asked, they also give the confidence below which ``minillm chat`` should say that it is not
sure: the highest one, in hundredths, at which at least half of the replies below it are wrong.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from minillm_lib.corpora.conversations import LANGUAGES
from minillm_lib.corpora.faq import faq_questions
from minillm_lib.corpora.held_out_questions import (
    FreeDialogue,
    FreeTurn,
    free_dialogues,
    free_out_of_scope,
    free_questions,
)
from minillm_lib.corpora.out_of_scope import load_out_of_scope
from minillm_lib.generation.honesty import BROKEN, CheckedReply, check_honesty
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.model.decoder import MiniLLM

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ckpt", type=Path, default=ROOT / "results" / "26m" / "chat")
    parser.add_argument("--only", choices=SETS, action="append", help="a set to ask; by default all of them")
    parser.add_argument("--every", type=int, default=1, help="ask only every so-manyth question")
    parser.add_argument("--device", default="cpu", help="where the model answers (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="where the record goes; by default it is only printed")
    arguments = parser.parse_args()
    model = MiniLLM.load_from_checkpoint(arguments.ckpt, dtype=torch.float32).to(arguments.device)
    sets = {name: SETS[name]() for name in arguments.only or SETS}
    record: dict[str, Any] = {"figures": {}, "replies": []}
    start = time.perf_counter()
    for name, dialogues in sets.items():
        replies = check_honesty(model, dialogues[:: arguments.every])
        record["replies"] += [_as_json(name, each) for each in replies]
        record["figures"][name] = _figures(name, replies)
    record["seconds"] = round(time.perf_counter() - start, 1)
    record["not_sure_below"] = threshold = _threshold(record["replies"])
    _print(record["figures"])
    if threshold is not None:
        record["doubted"] = {name: _doubted(name, record["replies"], threshold) for name in sets}
        _print_doubted(record["doubted"], threshold)
    if arguments.output:
        write_atomically(arguments.output, (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode())
        print(f"written to {arguments.output}")


def _held_out_wordings() -> list[FreeDialogue]:
    return [
        FreeDialogue(each.language, (FreeTurn(text, "new", "", (f"{each.id}@{each.language}",)),), each.topic)
        for each in faq_questions()
        for text in each.held_out
    ]


def _held_out_others() -> list[FreeDialogue]:
    return [
        FreeDialogue(
            each.meta["language"],
            (FreeTurn(each.turns[0].content, "out_of_scope", "", (f"decline@{each.meta['language']}",)),),
            each.meta["category"],
        )
        for each in load_out_of_scope("test")
    ]


SETS = {
    "in scope": free_questions,
    "out of scope": free_out_of_scope,
    "dialogues": free_dialogues,
    "held-out wordings": _held_out_wordings,
    "held-out others": _held_out_others,
}


def _as_json(name: str, each: CheckedReply) -> dict[str, Any]:
    return {
        "set": name,
        "language": each.dialogue.language,
        "turn": each.turn_index + 1,
        "kind": each.turn.kind,
        "asked": each.turn.question,
        "reply": each.reply,
        "confidence": round(each.confidence, 3),
        "says": each.reference,
        "is_right": each.is_right,
    }


def _figures(name: str, replies: Sequence[CheckedReply]) -> dict[str, dict[str, float | int]]:
    figures = {}
    for language in (*LANGUAGES, "others"):
        own = [
            each
            for each in replies
            if (each.dialogue.language == language)
            or (language == "others" and each.dialogue.language not in LANGUAGES)
        ]
        if name == "dialogues":
            own = [each for each in own if each.turn_index]
        if own:
            figures[language] = {
                "asked": len(own),
                "right": _share([each.is_right for each in own]),
                "declined": _share([each.is_declined for each in own]),
                "broken": _share([each.reference == BROKEN for each in own]),
            }
    return figures


def _threshold(replies: Sequence[dict[str, Any]]) -> float | None:
    """Return the confidence below which a reply is doubtful, from the sets by which the recipe was chosen."""
    known = [each for each in replies if each["set"] in ("held-out wordings", "held-out others")]
    for hundredths in range(100, 0, -1):
        doubtful = [each["is_right"] for each in known if each["confidence"] < hundredths / 100]
        if doubtful and sum(doubtful) <= len(doubtful) / 2:
            return hundredths / 100
    return None


def _doubted(name: str, replies: Sequence[dict[str, Any]], threshold: float) -> dict[str, float]:
    """Return which share of the right and of the wrong replies of a set has a confidence below the threshold."""
    shares = {}
    for kind, is_right in (("right", True), ("wrong", False)):
        own = [
            each["confidence"] < threshold
            for each in replies
            if each["set"] == name and each["is_right"] == is_right
        ]
        shares[kind] = _share(own) if own else 0.0
    return shares


def _share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 4)


def _print(figures: dict[str, dict[str, dict[str, float | int]]]) -> None:
    print(f"{'':18}{'language':10}{'asked':>7}{'right':>8}{'declined':>10}{'broken':>8}")
    for name, by_language in figures.items():
        for language, own in by_language.items():
            shares = f"{own['right']:8.1%}{own['declined']:10.1%}{own['broken']:8.1%}"
            print(f"{name:18}{language:10}{own['asked']:7}{shares}")


def _print_doubted(doubted: dict[str, dict[str, float]], threshold: float) -> None:
    print(f"\nshare of replies with a confidence below {threshold}:")
    for name, own in doubted.items():
        print(f"{name:18}{own['right']:8.1%} of the right ones{own['wrong']:8.1%} of the wrong ones")


if __name__ == "__main__":
    main()
