"""A run on each form in which people have conversations ends with a model that has learnt the answer, and chats."""

from __future__ import annotations

import json

import pandas
import pytest
from quick_runs import MODEL, quick_pretraining, quick_sft, write_documents

import minillm_lib

pytestmark = pytest.mark.usefixtures("known_speed")

QUESTION, ANSWER = "the topic of a word", "it draws from its document"
ASKED, ANSWERED = ({"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER})
CALL = {"type": "function", "function": {"name": "topic", "arguments": '{"of": "word"}'}}
RECORDS = {
    "messages": {"messages": [ASKED, ANSWERED]},
    "with a system turn": {"messages": [{"role": "system", "content": "the word"}, ASKED, ANSWERED]},
    "with an empty system turn": {"messages": [{"role": "system", "content": ""}, ASKED, ANSWERED]},
    "with tools": {
        "messages": [
            ASKED,
            ANSWERED,
            {"role": "user", "content": "a token"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "some chance"},
            {"role": "assistant", "content": "it ends"},
        ]
    },
    "with reasoning": {
        "messages": [
            ASKED,
            ANSWERED,
            {"role": "user", "content": "a token"},
            {"role": "assistant", "reasoning_content": "each token", "content": "it ends"},
        ]
    },
    "minimind-sft": {"conversations": [ASKED, ANSWERED]},
    "sharegpt": {"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": ANSWER}]},
    "sharegpt with other names": {
        "conversations": [{"from": "user", "value": QUESTION}, {"from": "assistant", "value": ANSWER}]
    },
    "alpaca": {"instruction": QUESTION, "input": "", "output": ANSWER},
    "pairs": {"question": QUESTION, "answer": ANSWER},
}


def in_lines(records, path):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def in_a_list(records, path):
    path.write_text(json.dumps(records), encoding="utf-8")


def in_csv(records, path):
    pandas.DataFrame(records).to_csv(path, index=False)


def in_excel(records, path):
    pandas.DataFrame(records).to_excel(path, index=False)


def in_parquet(records, path):
    pandas.DataFrame(records).to_parquet(path)


FILES = [
    *((name, "talk.jsonl", in_lines) for name in RECORDS),
    ("messages", "talk.json", in_a_list),
    ("pairs", "talk.csv", in_csv),
    ("alpaca", "talk.csv", in_csv),
    ("pairs", "talk.xlsx", in_excel),
    ("messages", "talk.parquet", in_parquet),
    ("sharegpt", "talk.parquet", in_parquet),
    ("pairs", "talk.parquet", in_parquet),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    config = quick_pretraining(folder, write_documents(folder / "documents.jsonl"), steps=1)
    config = config.replace(model={**MODEL, "max_seq_len": 192, "dropout": 0.0})
    return minillm_lib.pretrain(config, progress=False).output


@pytest.mark.parametrize(("name", "file", "write"), FILES, ids=[f"{name}, {file}" for name, file, _ in FILES])
def test_a_run_ends_with_a_model_that_chats(tmp_path, base, name, file, write):
    path = tmp_path / file
    write([RECORDS[name]] * 30, path)
    config = quick_sft(tmp_path, base, path, steps=120, lr=2e-2, batch_size=2)
    model = minillm_lib.sft(config, progress=False).load_model()
    system = "the word" if name == "with a system turn" else None
    assert model.stage == "sft"
    assert model.chat(QUESTION, system=system, temperature=0, max_new_tokens=64) == ANSWER
