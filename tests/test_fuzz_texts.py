"""Any configuration, document, conversation or tokenizer is read, or is an error in words."""

from __future__ import annotations

import json

import pytest
import yaml
from fuzzing import damaged, fuzzed, little_memory as little_memory, succeeds_or_speaks, texts, values
from hypothesis import given, strategies as st
from quick_runs import WORDS, quick_pretraining, quick_sft

from minillm_lib.corpora.conversations import read_conversations
from minillm_lib.corpora.files import read_files
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.config import PretrainConfig, SFTConfig
from minillm_lib.training.overrides import load_config

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("little_memory")]


@pytest.fixture
def write(tmp_path):
    """Write text or bytes to a file, and return its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    return write


def yaml_text(value):
    return yaml.safe_dump(value, allow_unicode=True)


KINDS = {"pretrain": PretrainConfig, "sft": SFTConfig}


def configuration(stage, folder):
    if stage == "pretrain":
        return quick_pretraining(folder, folder / "documents.jsonl").as_json()
    return quick_sft(folder, folder / "base.pt", folder / "conversations.jsonl").as_json()


def places(values, prefix=()):
    """All places of values in nested mappings."""
    for key, inner in values.items():
        yield (*prefix, key)
        if isinstance(inner, dict):
            yield from places(inner, (*prefix, key))


@pytest.mark.parametrize("stage", ["pretrain", "sft"])
@fuzzed(300)
@given(data=st.data())
def test_values_of_a_configuration(tmp_path, write, stage, data):
    known = configuration(stage, tmp_path)
    for _ in range(data.draw(st.integers(1, 3))):
        *sections, last = data.draw(st.sampled_from(sorted(places(known))))
        inner = known
        for section in sections:
            inner = inner.get(section) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner[last] = data.draw(values)
    path = write("own.yaml", yaml_text(known))
    succeeds_or_speaks(lambda: load_config(KINDS[stage], path))
    succeeds_or_speaks(lambda: load_config(path))


@fuzzed(200)
@given(value=values)
def test_anything_for_a_configuration(write, value):
    path = write("own.yaml", yaml_text(value))
    succeeds_or_speaks(lambda: load_config(path))


YAML_PIECES = st.sampled_from(
    [
        *"[]{}:,-?&*!|>'\"%@`#\n\t ",
        "&a ",
        "*a",
        "<<: ",
        "!!set ",
        "!!python/name:os.system",
        "~",
        "1e9",
        "---\n",
        "run: ",
    ]
)


@fuzzed(400)
@given(text=st.one_of(st.lists(YAML_PIECES, max_size=40).map("".join), st.text(max_size=80)))
def test_any_yaml(write, text):
    path = write("own.yaml", text)
    succeeds_or_speaks(lambda: load_config(PretrainConfig, path))


@fuzzed(150)
@given(data=st.data())
def test_a_damaged_configuration(tmp_path, write, data):
    path = write("own.yaml", data.draw(damaged(yaml_text(configuration("pretrain", tmp_path)).encode())))
    succeeds_or_speaks(lambda: load_config(PretrainConfig, path))


RECORDS = st.one_of(
    st.fixed_dictionaries({"text": st.one_of(texts, values)}, optional={"title": values, "source": values}),
    values,
)


@fuzzed(300)
@given(
    records=st.lists(RECORDS, min_size=1, max_size=8),
    end=st.sampled_from(["", "\n", "\r\n", "{", '{"text": "a']),
)
def test_json_lines(write, records, end):
    lines = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    path = write("own.jsonl", lines + end)
    succeeds_or_speaks(lambda: list(read_files(path)))
    succeeds_or_speaks(lambda: list(read_files(path, max_faulty_share=1.0)))


@pytest.mark.parametrize(
    "ending", ["json", "csv", "txt", "md", "html", "txt.gz", "docx", "xlsx", "pdf", "parquet"]
)
@fuzzed(60)
@given(content=st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_any_bytes_as_a_document(write, ending, content):
    path = write(f"own.{ending}", content)
    succeeds_or_speaks(lambda: list(read_files(path)))


ROLES = st.one_of(st.sampled_from(["user", "assistant", "system", "tool", "human", "gpt", "USER"]), values)
MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"role": ROLES, "content": st.one_of(texts, values)},
            optional={"tool_calls": values, "name": values, "reasoning_content": values},
        ),
        st.fixed_dictionaries({"from": ROLES, "value": values}),
        values,
    ),
    max_size=5,
)
CONVERSATIONS = st.one_of(
    st.fixed_dictionaries({"messages": st.one_of(MESSAGES, values)}, optional={"tools": values}),
    st.fixed_dictionaries({"conversations": MESSAGES}),
    st.fixed_dictionaries(
        {"instruction": values, "output": values}, optional={"history": values, "input": values}
    ),
    st.fixed_dictionaries({"prompt": values, "chosen": values, "rejected": values}),
    values,
)


@fuzzed(500)
@given(
    records=st.lists(CONVERSATIONS, min_size=1, max_size=4), preferences=st.sampled_from(["refuse", "chosen"])
)
def test_conversations(write, records, preferences):
    path = write("own.jsonl", "\n".join(map(json.dumps, records)) + "\n")
    options = {"preferences": preferences, "max_faulty_share": 1.0}
    succeeds_or_speaks(lambda: list(read_conversations(path)))
    found = succeeds_or_speaks(lambda: list(read_conversations(path, **options)))
    for each in found if isinstance(found, list) else ():
        assert all(message["content"].strip() for message in each.messages)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    Tokenizer.train([f"{WORDS} {number}" for number in range(30)], vocab_size=320).save_hugging_face(folder)
    return folder


@fuzzed(200)
@given(data=st.data())
def test_a_damaged_tokenizer(tokenizer, write, data):
    path = write("own.model", data.draw(damaged((tokenizer / "tokenizer.model").read_bytes())))
    succeeds_or_speaks(lambda: use(Tokenizer.load(path)))


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@fuzzed(150)
@given(data=st.data())
def test_a_damaged_tokenizer_of_hugging_face(tokenizer, tmp_path, write, name, data):
    for each in ("tokenizer.json", "tokenizer_config.json"):
        write(each, (tokenizer / each).read_bytes())
    known = json.loads((tokenizer / name).read_text(encoding="utf-8"))
    if data.draw(st.booleans()):
        write(name, data.draw(damaged((tokenizer / name).read_bytes())))
    else:
        key = data.draw(st.sampled_from(sorted(known)))
        write(name, json.dumps({**known, key: data.draw(values)}))
    succeeds_or_speaks(lambda: use(Tokenizer.load(tmp_path)))


def use(tokenizer):
    """What is loaded can be used."""
    ids = tokenizer.encode("the topic model 主题")
    assert all(0 <= each < tokenizer.vocab_size for each in ids)
    tokenizer.decode(ids)
