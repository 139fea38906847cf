"""The notebooks as they are committed: built from their sources, executed, within limits, with links that resolve."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import nbformat
import pytest
from course_build import ROOT, SOURCES, build

COURSE = [
    "00_welcome", "01_corpus", "02_lda_gibbs", "03_lda_neurips", "04_tokenizer", "05_language_models",
    "06_counts_to_gradients", "07_rmsnorm", "08_rope", "09_attention_gqa", "10_swiglu", "11_decoder",
    "12_training_loop", "13_pretraining", "14_sft", "15_inference", "16_faster", "17_lda_vs_transformer",
    "18_your_own_model",
]  # fmt: skip
BUILT = [pytest.param(source, path, solved, id=str(path.relative_to(ROOT)))
         for source in SOURCES for path, solved in build.targets(source).items()]  # fmt: skip
HANDED_OUT = [pytest.param(ROOT / "course" / f"{source.stem}.ipynb", id=source.stem) for source in SOURCES]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\"")


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def ignores_output(cell):
    return build.IGNORE_OUTPUT in cell.metadata.get("tags", []) or "NBVAL_IGNORE_OUTPUT" in cell.source


def test_the_course_has_its_nineteen_notebooks():
    assert [source.stem for source in SOURCES] == COURSE


def test_no_notebook_is_without_a_source():
    found = {path for folder in ("course", "solutions") for path in (ROOT / folder).glob("*.ipynb")}
    assert found == {path for source in SOURCES for path in build.targets(source)}


@pytest.mark.parametrize(("source", "path", "solved"), BUILT)
def test_it_is_what_its_source_gives_and_was_executed(source, path, solved):
    assert build.outdated(build.notebook_of(source, solved=solved), path) is None, "run: make notebooks"


@pytest.mark.parametrize(("source", "path", "solved"), BUILT)
def test_it_is_valid_and_no_larger_than_two_mebibytes(source, path, solved):
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path.stat().st_size <= 2 * 2**20


@pytest.mark.parametrize(("source", "path", "solved"), BUILT)
def test_nothing_was_written_to_standard_error(source, path, solved):
    """A warning would be the first thing that a learner sees; and it holds paths of the machine that built it."""
    noise = [
        output.text for cell in code_cells(path) for output in cell.outputs if output.get("name") == "stderr"
    ]
    assert not [text for text in noise if "it/s]" not in text and "s/it]" not in text], noise


def test_fewer_than_a_quarter_of_the_code_cells_ignore_their_output():
    cells = [cell for source in SOURCES for cell in code_cells(ROOT / "course" / f"{source.stem}.ipynb")]
    assert 4 * sum(map(ignores_output, cells)) < len(cells)


@pytest.mark.parametrize("path", HANDED_OUT)
def test_it_ignores_no_more_outputs_than_its_checks_and_two_others(path):
    others = [
        cell.source for cell in code_cells(path) if ignores_output(cell) and "nbgrader" not in cell.metadata
    ]
    assert len(others) <= 2, others


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_it_has_its_exercises(source):
    cells = build.notebook_of(source, solved=False).cells
    marks = [cell.metadata.nbgrader for cell in cells if "nbgrader" in cell.metadata]
    posed, checked = ([mark for mark in marks if mark[key]] for key in ("solution", "grade"))
    least = {"00": 0}.get(source.stem[:2], 3)
    assert len(posed) == len(checked) >= least
    assert [f"check-{mark.grade_id}" for mark in posed] == [mark.grade_id for mark in checked]
    assert all(mark.points > 0 for mark in checked)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_it_opens_and_closes_as_a_notebook_of_the_course(source):
    prose = [
        cell.source for cell in build.notebook_of(source, solved=False).cells if cell.cell_type == "markdown"
    ]
    assert prose[0].startswith(f"# {source.stem[:2]} · ")
    for part in ("**What you build.**", "**What you need.**", "**How long.**", "**中文提要**"):
        assert part in prose[0], part
    assert any(line.startswith("## Summary") for line in "\n".join(prose[-2:]).splitlines())


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_no_code_cell_is_longer_than_a_screen(source):
    code = [cell.source for cell in build.notebook_of(source, solved=True).cells if cell.cell_type == "code"]
    lengths = [
        sum(bool(line.strip()) for line in cell.splitlines()) - lines_of_imports(cell) for cell in code
    ]
    assert max(lengths) <= 20, "not counting imports"


def lines_of_imports(cell):
    """How many lines wrapped imports take beyond one each; magics are no Python, and import nothing."""
    plain = "\n".join("" if line.startswith(("%", "!")) else line for line in cell.splitlines())
    nodes = [node for node in ast.parse(plain).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return sum(node.end_lineno - node.lineno for node in nodes)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_its_relative_links_resolve(source):
    prose = "\n".join(
        c.source for c in build.notebook_of(source, solved=False).cells if c.cell_type == "markdown"
    )
    links = [first or second for first, second in _LINK.findall(prose)]
    for link in links:
        if re.match(r"[a-z]+:|#", link):
            continue
        assert (ROOT / "course" / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_what_its_text_calls_a_file_of_the_package_is_one(source):
    named = re.findall(r"`(minillm_lib/[\w/]+(?:\.\w+)?/?)`", source.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_course_is_spelled_right():
    result = subprocess.run(
        [sys.executable, "-m", "codespell_lib", "--ignore-words", str(ROOT / "tests" / "codespell_ignore.txt"),
         *map(str, [*SOURCES, ROOT / "README.md", ROOT / "solutions" / "build.py"])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr
