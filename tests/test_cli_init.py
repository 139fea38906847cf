"""``minillm init``: from one's own text to a model that answers, by the commands that it prints."""

from __future__ import annotations

import json
import random
import shlex

import pytest
import yaml

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.training.config import PretrainConfig, SFTConfig
from minillm_lib.training.overrides import load_config

THINGS = ["the lamp", "stairs", "boat", "pump", "clock", "window", "rope", "log"]


@pytest.fixture
def text(tmp_path):
    rng = random.Random(0)
    days = (
        f"Day {day}: I mended {rng.choice(THINGS)} and saw {rng.choice(THINGS)}. {rng.choice(THINGS)} was lost."
        for day in range(600)
    )
    path = tmp_path / "my log: day by day.txt"
    path.write_text("\n\n".join(days))
    return path


@pytest.fixture
def conversations(tmp_path):
    path = tmp_path / "talk.jsonl"
    lines = [
        {"question": f"What of {thing}, {n}?", "answer": f"{thing} is here."}
        for n in range(4)
        for thing in THINGS
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines[:30]))
    return path


@pytest.fixture
def quick(monkeypatch):
    """Each step takes a tenth of a second, whatever the model, on a machine of known speed."""
    from minillm_lib.training import own_text

    monkeypatch.setattr(own_text, "_step_seconds", lambda *_: 0.1)
    monkeypatch.setattr(own_text, "matmul_flops", lambda *_: 1e11)


def shorter(path, **train):
    values = yaml.safe_load(path.read_text())
    values["train"] |= {"steps": 4, "batch_size": 2, "device": "cpu", "precision": "float32", **train}
    values["evaluation"] |= {"every": 2, "max_tokens": 256, "sample_tokens": 4}
    path.write_text(yaml.safe_dump(values))


def test_what_it_prints_leads_from_text_to_answers(
    minillm, tmp_path, text, conversations, quick, monkeypatch
):
    folder = tmp_path / "my own"
    begun = minillm("init", folder, "--text", text, "--conversations", conversations, "--hours", 0.5)
    assert begun.returncode == 0, begun.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for name in ("pretrain", "sft"):
        shorter(folder / f"{name}.yaml", seq_len=64 if name == "pretrain" else 32)
    commands = [
        shlex.split(line, comments=True)[1:]
        for line in begun.stdout.splitlines()
        if line.startswith("  minillm")
    ]
    assert [command[0] for command in commands] == ["plan", "pretrain", "generate", "sft", "chat", "export"]
    for name, *arguments in commands:
        arguments += ["Hello", "--max-new-tokens", "3"] if name == "chat" else []
        arguments += ["--max-new-tokens", "3"] if name == "generate" else []
        arguments += ["--figure", str(tmp_path / "plan.png")] if name == "plan" else []
        result = minillm(name, *arguments)
        assert result.returncode == 0, (name, result.stderr)
    base, chat = (MiniLLM.load_from_checkpoint(folder / name) for name in ("base", "chat"))
    assert (base.stage, chat.stage) == ("pretrain", "sft")
    assert base.config.vocab_size == base.tokenizer.vocab_size
    assert (folder / "model.gguf").stat().st_size > 10_000
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("opening", ["--- title: x", "- milk", "-1 degree", "'s morning"])
def test_the_command_that_it_prints_takes_whatever_a_text_begins_with(minillm, tmp_path, quick, opening):
    path = tmp_path / "notes.txt"
    path.write_text("\n\n".join(f"{opening} and {thing} number {i}." for i in range(300) for thing in THINGS))
    begun = minillm("init", tmp_path / "own", "--text", path)
    assert begun.returncode == 0, begun.stderr
    (command,) = (line for line in begun.stdout.splitlines() if line.startswith("  minillm generate"))
    result = minillm(*shlex.split(command)[1:])
    assert "no such option" not in result.stderr.lower()
    assert "there is nothing here" in result.stderr, (
        "the arguments are understood, and nothing is trained yet"
    )


def test_the_files_are_sized_to_the_text_and_explain_each_choice(
    minillm, tmp_path, text, conversations, quick
):
    folder = tmp_path / "own"
    minillm("init", folder, "--text", text, "--conversations", conversations)
    first = load_config(PretrainConfig, folder / "pretrain.yaml")
    second = load_config(SFTConfig, folder / "sft.yaml")
    assert first.data.corpora[0].options == {"paths": str(text)}
    assert str(second.data.conversations[0].path) == str(conversations)
    assert second.ckpt == first.output
    assert first.model.hidden_size == 64, "nano, for so little text"
    assert 264 < first.data.vocab_size < 800
    assert second.evaluation.prompts[0].startswith("What of ")
    written = (folder / "pretrain.yaml").read_text() + (folder / "sft.yaml").read_text()
    for key in (
        "separator:",
        "documents:",
        "text_key:",
        "encoding:",
        "held_out:",
        "most:",
        "rewordings:",
        "messages",
    ):
        assert key in written


def test_more_time_and_text_make_a_larger_model(quick, monkeypatch):
    from dataclasses import replace

    from minillm_lib.tokenizer import Tokenizer
    from minillm_lib.training import own_text

    tokenizer = Tokenizer.train(["a rose is a rose"] * 9, vocab_size=300)
    facts = own_text.TextFacts((), 6400, 20_000, 2_000, (), tokenizer)
    little = own_text.choose(facts, None, hours=1)
    much = own_text.choose(replace(facts, n_tokens=10**8, n_held_out=10**6), None, hours=10)
    most = own_text.choose(replace(facts, n_tokens=10**9, n_held_out=10**6), None, hours=500)
    assert [each.preset for each in (little, much, most)] == ["nano", "tiny", "104m"]
    assert little.steps * little.tokens_per_step <= 20 * 20_000 + 200 * little.tokens_per_step
    for choice, hours in ((much, 10), (most, 500)):
        assert choice.steps * choice.step_seconds <= 0.75 * 3600 * hours


def test_nothing_is_overwritten_and_mistakes_are_named(minillm, tmp_path, text, quick):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "sft.yaml").write_text("mine: true")
    assert "sft.yaml exists already" in minillm("init", folder, "--text", text).stderr
    assert (folder / "sft.yaml").read_text() == "mine: true"
    assert not (folder / "pretrain.yaml").exists()
    new = tmp_path / "new"
    assert "give --text" in minillm("init", new).stderr
    assert "no file or folder" in minillm("init", new, "--text", tmp_path / "nowhere.txt").stderr
    (tmp_path / "empty.txt").write_text("")
    assert "1 file empty" in minillm("init", new, "--text", tmp_path / "empty.txt").stderr
    (tmp_path / "short.txt").write_text("A short text of a few words, which is not enough for anything. " * 4)
    assert (
        "rows of 32 tokens need at least 512 and 65"
        in minillm("init", new, "--text", tmp_path / "short.txt").stderr
    )
    missing = minillm("init", new, "--text", text, "--conversations", tmp_path / "nowhere.jsonl")
    assert "no file or folder" in missing.stderr
    assert not new.exists()


def test_chinese_gets_a_vocabulary_that_holds_its_characters(minillm, tmp_path, quick):
    rng = random.Random(0)
    characters = [chr(0x4E00 + i) for i in range(900)]
    text = tmp_path / "中文.txt"
    text.write_text("\n\n".join("".join(rng.choices(characters, k=60)) + "。" for _ in range(500)))
    result = minillm("init", tmp_path / "own", "--text", text)
    assert result.returncode == 0, result.stderr
    assert load_config(PretrainConfig, tmp_path / "own" / "pretrain.yaml").data.vocab_size > 264 + 850


def test_options_of_reading_are_given_written_and_used(minillm, tmp_path, text, conversations, quick):
    table = tmp_path / "days.csv"
    days = text.read_text().split("\n\n")
    rows = [
        f"{number};{day};a note that is much longer than the day's own text: {day}"
        for number, day in enumerate(days)
    ]
    table.write_text("\n".join(["id;day;note", *rows]), encoding="utf-16-le")
    talk = tmp_path / "talk.csv"
    pairs = [json.loads(line) for line in conversations.read_text().splitlines()]
    talk.write_text("\n".join(["frage;antwort", *(f"{pair['question']};{pair['answer']}" for pair in pairs)]))
    result = minillm(
        "init", tmp_path / "own", "--text", table, "--option", "text_key=day", "--option", "encoding=utf-16-le",
        "--option", "max_faulty_share=0.5", "--conversations", talk,
        "--conversations-option", "question_key=frage", "--conversations-option", "answer_key=antwort",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    options = load_config(PretrainConfig, tmp_path / "own" / "pretrain.yaml").data.corpora[0].options
    assert options == {
        "paths": str(table),
        "text_key": "day",
        "encoding": "utf-16-le",
        "max_faulty_share": 0.5,
    }
    written = (tmp_path / "own" / "pretrain.yaml").read_text()
    assert "# documents:" in written
    assert "# text_key:" not in written
    second = load_config(SFTConfig, tmp_path / "own" / "sft.yaml")
    assert second.data.conversations[0].options == {"question_key": "frage", "answer_key": "antwort"}
    assert second.evaluation.prompts[0].startswith("What of ")
    assert (
        load_config(PretrainConfig, tmp_path / "own" / "pretrain.yaml")
        .evaluation.prompts[0]
        .startswith("Day ")
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--option=text_key", "--option 'text_key': give a name and a value, such as text_key=body"),
        (
            "--option=paths=x.txt",
            "files has no option 'paths'; allowed options: documents, text_key, separator",
        ),
        ("--option=max_faulty_share=many", "files: max_faulty_share is 'many'"),
        (
            "--conversations-option=frage=x",
            "a file of conversations has no option 'frage'; allowed options: format",
        ),
        ("--conversations-option=tools=json", "a file of conversations: tools is 'json'"),
    ],
)
def test_options_of_reading_are_checked_before_anything_is_read(minillm, tmp_path, option, message):
    result = minillm("init", tmp_path / "own", "--text", tmp_path / "nowhere.txt", option)
    assert message in result.stderr
    assert result.returncode == 2


def test_what_init_says_of_a_text_names_the_options_that_it_has(minillm, tmp_path, quick):
    table = tmp_path / "t.csv"
    table.write_text("".join(f"{n},a long text of number {n},another long text of {n}\n" for n in range(900)))
    with pytest.warns(UserWarning, match="the option text_key of the corpus names another"):
        minillm("init", tmp_path / "own", "--text", table)
    table.write_text("id,text\n" + "1,2,3,4\n" * 900)
    result = minillm("init", tmp_path / "new", "--text", table)
    assert result.returncode == 2
    assert "--max-faulty" not in result.stderr
