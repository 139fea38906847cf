"""No text of others is carried out by a terminal: every command, with hostile files, in a pseudo-terminal."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
import typer

from minillm_lib.checks.grade_report import GradeReport, Mark
from minillm_lib.cli import main as command, options
from minillm_lib.cli.terminal_chat import print_text
from minillm_lib.corpora.document import Document
from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.topics import GibbsLDA, TopicModel, bag_of_words

pytest.importorskip("pty", reason="pseudo-terminals are of Unix")
from pseudo_terminal import OWN_CONTROLS, in_a_terminal

NAME = "a\x1b]0;owned\x07\x1b[2J\x1b[31m\rOVER\x9b1m\u202e[red]x[/red] :bug:"
HOSTILE = f"{NAME} zero\x00"


def is_safe(shown: str) -> bool:
    """Whether nothing but the program's own controls is in what a terminal got; a bar begins its line again."""
    rest = OWN_CONTROLS.sub("", shown)
    bad = set(rest) & {
        chr(code) for code in [*range(32), *range(127, 160), 0x202E] if chr(code) not in "\t\r"
    }
    hostile = ("\x1b]", "\x1b[2J", "\x1b[31m\r", "\rOVER")
    return not bad and not any(each in shown for each in hostile)


def unwrapped(shown: str) -> str:
    """Return what was shown without colours, the lines of tables, and the ends of lines."""
    return "".join(c for c in OWN_CONTROLS.sub("", shown) if c not in " │┃\r")


@pytest.fixture(autouse=True)
def no_lasting_changes(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    for console in (options.console, options.notes):
        monkeypatch.setattr(console, "_width", 500)  # so that tables need not break lines


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Documents, labels, a topic model and a checkpoint, all of which hold control characters wherever they can."""
    folder = tmp_path_factory.mktemp("hostile")
    texts = folder / "texts"
    texts.mkdir()
    themes = ["river harbour boat anchor", "bread flour oven yeast"]
    for number in range(8):
        (texts / f"{number} {NAME.replace('/', '')}.txt").write_text(f"{themes[number % 2]}\n" * 4)
    rows = [{"text": themes[number % 2], "title": HOSTILE} for number in range(8)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "labels.txt").write_text("first \u202e[red]x[/red] :bug:\nsecond\n")
    (folder / "config.yaml").write_text(json.dumps({HOSTILE: 1}))
    bag = bag_of_words(
        [Document(row["text"] * 4, NAME, {"title": row["title"]}) for row in rows],
        phrases=False,
        deduplicate=False,
        min_df=1,
        max_df=1.0,
    )
    lda = GibbsLDA(2, n_sweeps=4, n_chains=2, random_state=0).fit(bag.counts)
    TopicModel(lda, bag, (HOSTILE, "second")).save(folder / "topics")

    tokenizer = Tokenizer.train([f"{HOSTILE.replace(chr(0), '')} a river, a boat " * 20], vocab_size=340)
    shape = {"vocab_size": tokenizer.vocab_size, "max_seq_len": 200, "tied_embeddings": False, "n_layers": 1}
    model = MiniLLM.from_preset("nano", **shape)
    with torch.no_grad():  # it writes ESC again and again, a byte at a time
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name or "embed" in name else 0.0)
        model.lm_head.weight[tokenizer.encode("\x1b")[-1]] = 1.0
    model.save(folder / "model", tokenizer)
    return folder


def commands(folder: Path) -> dict[str, list[str]]:
    """The arguments of each command, by what is tried."""
    texts, model = str(folder / "texts"), str(folder / "model")
    of_model = ["--ckpt", model, "--device", "cpu", "--exact", "--max-new-tokens", "6"]
    return {
        "topics of documents": [
            *(
                "lda",
                str(folder / "rows.jsonl"),
                "--text-key",
                "text",
                "-k",
                "2",
                "--sweeps",
                "4",
                "--chains",
                "1",
                "--min-df",
                "1",
                "--max-df",
                "8",
            ),
            *("--duplicates", "keep", "--output", str(folder / "report.html"), "--save", str(folder / "new")),
        ],
        "terms, titles and labels": ["topics", "show", str(folder / "topics")],
        "a table on standard output": [
            *("topics", "apply", str(folder / "topics"), str(folder / "rows.jsonl"), "--text-key", "text")
        ],
        "names of topics": [
            *("topics", "label", str(folder / "topics"), "--labels", str(folder / "labels.txt"))
        ],
        "documents": ["data", "show", "files", "--option", f"paths={texts}", "--split", "all"],
        "pieces": ["tokenizer", "show", model, HOSTILE],
        "a text of a model": ["generate", f"river {HOSTILE}", *of_model],
        "an answer": ["chat", HOSTILE, "--system", HOSTILE, *of_model],
        "a file that is missing": ["topics", "show", f"/tmp/{NAME}"],
        "a wrong option": ["lda", f"--{NAME}"],
        "a command that does not exist": [NAME],
        "a key of a configuration": ["pretrain", "--config", str(folder / "config.yaml")],
        "a configuration": ["pretrain", "--show-config", "--run", f"runs/{NAME}"],
    }


ESCAPED = {
    "names of topics": "\\u202e",
    "an answer": r"\x1b\x1b",
    "a configuration": "\\e]0;owned",
}  # the latter by YAML
NO_NAME = {
    "a table on standard output",
    "a text of a model",
    "an answer",
    "a wrong option",
    "a configuration",
}


@pytest.mark.parametrize("tried", commands(Path()))
def test_a_command_shows_hostile_text_and_carries_nothing_out(files, tried, monkeypatch):
    monkeypatch.chdir(files)
    shown = in_a_terminal(commands(files)[tried])
    assert is_safe(shown), repr(shown)
    assert ESCAPED.get(tried, "\\x1b]0;owned") in shown
    assert "Traceback" not in shown
    if tried not in NO_NAME:
        assert "[red]x[" in unwrapped(shown), repr(shown)


def test_the_grades_of_a_hostile_notebook(monkeypatch, tmp_path):
    notebook = tmp_path / f"{NAME.replace('/', '')}.ipynb"
    notebook.write_text("{}")
    report = GradeReport(notebook, (Mark(HOSTILE, "failed", HOSTILE, 0, 1),), HOSTILE)
    monkeypatch.setattr(
        "minillm_lib.checks.class_grading.grade_all",
        lambda submissions, *_: ((one, report) for one in submissions),
    )
    for path in (notebook, tmp_path):
        shown = in_a_terminal(["grade", str(path), "--csv", str(tmp_path / "grades.csv")])
        assert is_safe(shown), repr(shown)
        assert "[red]x[" in unwrapped(shown)
        assert ":bug:" in unwrapped(shown)


def test_what_libraries_print_warn_and_log_goes_the_same_way():
    app = typer.Typer()

    @app.command()
    def tell() -> None:
        print(HOSTILE)
        print("split over", end=" ")
        for character in HOSTILE:
            print(character, end="", flush=True)
        sys.stderr.write(warnings.formatwarning(HOSTILE, UserWarning, "file", 1))  # pytest keeps real ones
        logging.StreamHandler().handle(logging.makeLogRecord({"msg": f"logged {HOSTILE}"}))
        with progress_bar(range(3), desc=HOSTILE) as bar:
            bar.set_postfix_str(HOSTILE)
            print(HOSTILE)
            bar.update()
        command.console.print(HOSTILE, style="bold")
        raise RuntimeError(HOSTILE)

    before = command.app
    command.app = app
    try:
        shown = in_a_terminal([])
    finally:
        command.app = before
    assert is_safe(shown), repr(shown)
    assert shown.count(r"a\x1b]0;owned\x07") >= 6
    assert "warning: " in shown
    assert "logged a" in shown


def test_in_a_pipe_a_produced_text_keeps_its_bytes_and_what_is_told_does_not(monkeypatch, capsys):
    kept = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    with redirect_stdout(kept):
        command.make_output_safe()
        print_text([HOSTILE[:5], HOSTILE[5:]])
        print(HOSTILE)
        sys.stdout.flush()
    lines = kept.buffer.getvalue().decode().split("\n")
    assert lines[0] == HOSTILE
    assert lines[1].startswith(r"a\x1b]0;owned\x07")
