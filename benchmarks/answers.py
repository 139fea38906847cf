"""Ask a chat model the questions of ``course-faq`` in wordings that it was not trained on.

    python benchmarks/answers.py [--ckpt checkpoints/sft.pt] [--most 852] [--output results/26m/answers.json]

An answer is right if the reference answer nearest to it, among all of its language, belongs to the question. Answers
are compared by tf-idf of character 2- to 4-grams. The record contains the shares of right answers, and every answer for
a person to read. Twenty answers, drawn with a fixed seed, are printed.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import torch

from minillm_lib.corpora.faq import faq_questions
from minillm_lib.generation.answers import check_answers, held_out_phrasings
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.model.decoder import MiniLLM

ROOT = Path(__file__).parent.parent
SHOWN = 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ckpt", type=Path, default=ROOT / "checkpoints" / "sft.pt")
    parser.add_argument(
        "--most", type=int, help="ask at most this many questions, spread evenly over all of them"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "26m" / "answers.json")
    arguments = parser.parse_args()
    model = MiniLLM.load_from_checkpoint(arguments.ckpt, dtype=torch.float32)
    questions = faq_questions()
    start = time.perf_counter()
    report = check_answers(model, held_out_phrasings(questions, arguments.most), questions)
    record: dict[str, Any] = {
        "asked": len(report.answers),
        "seconds": round(time.perf_counter() - start, 1),
        "right_en": round(report.right_share("en"), 4),
        "right_zh": round(report.right_share("zh"), 4),
        "ended": round(report.ended_share, 4),
        "repeated_4grams": round(report.repetition, 4),
        "answers": [
            {
                "id": each.question.id,
                "language": each.question.language,
                "asked": each.phrasing,
                "answer": each.answer,
                "nearest": each.nearest_id,
                "is_right": each.is_right,
            }
            for each in report.answers
        ],
    }
    for answer in random.Random(0).sample(record["answers"], min(SHOWN, len(record["answers"]))):
        print(f"\n[{answer['id']}{'' if answer['is_right'] else ', nearest: ' + answer['nearest']}]")
        print(f"  {answer['asked']}\n  {answer['answer']}")
    print(f"\n{report}")
    write_atomically(arguments.output, (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode())
    print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
