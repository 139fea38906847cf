"""What a notebook's text says about other places is there: equations, sections, exercises, notebooks, numbers."""

from __future__ import annotations

import json
import re
from functools import cache

import nbformat
import pytest
from course_build import ROOT, SOURCES

from minillm_lib.training.config import PretrainConfig
from minillm_lib.training.overrides import load_config

NAMES = [source.stem for source in SOURCES]
_NUMBER = {name[:2]: name for name in NAMES}
_OTHER = r"(?:,? (?:of|in) notebook (\d\d))?"


def _listed(words: str, number: str) -> re.Pattern[str]:
    """Match "sections 2, 3 and 5 of notebook 09": the numbers, and the notebook if one is named."""
    return re.compile(rf"\b{words} ({number}(?:(?:, | and | or | to |–){number})*){_OTHER}")


_EQUATIONS = _listed("[Ee]quations?", r"\(\d+\)")
_SECTIONS = _listed("[Ss]ections?", r"\d+(?![.\d])")
_EXERCISES = _listed("[Ee]xercises?", r"\d+")
_NOTEBOOKS = re.compile(r"[Nn]otebooks? ((?:\d\d)(?:(?:, | and | or | to |–)\d\d)*)")
_PAPER = re.compile(r"\b(?:19|20)\d\d\b[^.;\n]*$|arXiv[^.;\n]*$|\bal\.[^.;\n]*$")

# Numbers of a text that no output of its notebook shows, and where they come from.
_FROM_ELSEWHERE = {
    "01_corpus": {"0.045"},  # sqrt(1 / 4 / 128)
    "02_lda_gibbs": {"0.01"},  # a bound in a question
    "03_lda_neurips": {"1.1", "0.73"},  # benchmarks/long_chains.py
    "04_tokenizer": {"3.5"},  # the name GPT-3.5
    "06_counts_to_gradients": {"0.51"},  # an output of notebook 05
    "07_rmsnorm": {"7 %", "64 %"},  # Zhang and Sennrich 2019
    "08_rope": {"1.3", "5.1", "2.9"},  # (0.1 ln 4 + 1)^2; 32 / (2 pi); notebook 08, equation (6) for pair 0
    "11_decoder": {"0.044"},  # 1 / sqrt(512)
    "15_inference": {"0.9999999"},  # a number like 1
    "16_faster": {"75 %"},  # 1 - 1/4, by equation (3)
    "18_your_own_model": {
        "28.7",
        "3.1",
        "1.2",
    },  # tested below; the size of MiniMind's texts by their authors
}


@cache
def cells(name, kind):
    return [
        cell
        for cell in nbformat.read(ROOT / "solutions" / f"{name}.ipynb", 4).cells
        if cell.cell_type == kind
    ]


@cache
def prose(name):
    text = " ".join(cell.source for cell in cells(name, "markdown"))
    return re.sub(r"\s+", " ", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))


@cache
def headings(name):
    text = "\n".join(cell.source for cell in cells(name, "markdown"))
    return (
        set(re.findall(r"^## (\d+) · ", text, flags=re.MULTILINE)),
        set(re.findall(r"^### Exercise (\d+) · ", text, flags=re.MULTILINE)),
        set(re.findall(r"\\tag\{(\d+)\}", text)),
    )


def named(pattern, name):
    """Yield each number that a pattern names, with the notebook that it is in."""
    for match in pattern.finditer(prose(name)):
        before = prose(name)[max(0, match.start() - 80) : match.start()]
        if match[2] is None and _PAPER.search(before):
            continue  # of a paper
        numbers = re.findall(r"\d+", match[1])
        if re.search(r" to |–", match[1]):
            numbers = [str(each) for each in range(int(numbers[0]), int(numbers[-1]) + 1)]
        for number in numbers:
            yield number, _NUMBER.get(match[2] or name[:2], match[2]), match[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("pattern", "which"),
    [(_SECTIONS, 0), (_EXERCISES, 1), (_EQUATIONS, 2)],
    ids=["section", "exercise", "equation"],
)
def test_what_it_names_by_number_is_there(name, pattern, which):
    wrong = [text for number, other, text in named(pattern, name) if number not in headings(other)[which]]
    assert not wrong


@pytest.mark.parametrize("name", NAMES)
def test_the_notebooks_that_it_names_exist_and_are_not_itself(name):
    found = [number for match in _NOTEBOOKS.finditer(prose(name)) for number in re.findall(r"\d\d", match[1])]
    assert {number for number in found if number not in _NUMBER or number == name[:2]} == set()


def test_every_notebook_but_the_first_builds_on_another_or_says_that_it_does_not():
    free = "Nothing from earlier notebooks"
    alone = [name for name in NAMES[1:] if not _NOTEBOOKS.search(prose(name)) and free not in prose(name)]
    assert not alone


def outputs(name):
    texts = []
    for cell in cells(name, "code"):
        texts.append(cell.source)
        for output in cell.outputs:
            data = output.get("data", {})
            texts += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    return "\n".join(text for text in texts if isinstance(text, str))


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_that_it_quotes_are_shown_or_set_in_a_cell(name):
    """Decimals and percentages; what is in formulas, in code, and in the list of sources does not count."""
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\*\*中文提要\*\*.*?(?=\*\*|## |$)", "", prose(name))
    text = re.sub(r"\b\d{4}\.\d{4,5}\b", "", text)  # of arXiv
    text = re.sub(r"(?:§|\b[Ss]ections?) \d+\.\d+(?:(?:, | and )\d+\.\d+)*", "", text)
    shown = outputs(name)
    values = [
        float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", shown) if len(each) < 15
    ]
    missing = [each for each in re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\w)", text) if each not in shown]
    missing += [
        f"{each} %"
        for each in re.findall(r"(?<![\w.,])(\d+) ?%", text)
        if not any(round(value) == int(each) or round(100 * value) == int(each) for value in values)
    ]
    assert set(missing) - _FROM_ELSEWHERE.get(name, set()) == set()


def test_the_hours_that_the_last_notebook_names_are_those_of_its_configuration():
    train = load_config(PretrainConfig, ROOT / "configs" / "own" / "laptop.yaml", {}).train
    tokens = train.steps * train.batch_size * train.seq_len
    recorded = (
        (ROOT / "results" / "26m" / "pretrain" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    )
    steps = [each for each in map(json.loads, recorded) if each["kind"] == "step"]
    seconds = sum(each["seconds"] for each in steps)
    assert f"{tokens / 1e6:.1f}" == "28.7"
    assert tokens * seconds / steps[-1]["tokens"] / 3600 == pytest.approx(3.1, rel=0.05)
