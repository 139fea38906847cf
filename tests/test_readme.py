"""The READMEs promise what the repository has, in both languages."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from grading_cases import notebook

import minillm_lib
from minillm_lib.checks import CheckResult, Exercise
from minillm_lib.checks.storing import student_file
from minillm_lib.cli.main import app
from minillm_lib.corpora import faq_questions, load_course_faq, load_out_of_scope
from minillm_lib.corpora.registry import find_corpus
from minillm_lib.model import ModelConfig
from minillm_lib.training.run import RunResult

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_readme(readme):
    text = readme.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)`", text)) <= targets
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / link).exists(), f"{readme.name} links to {link}"
    for folder in re.findall(r"^\| `([^`]+)/` \|", text, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_both_readmes_show_the_same_commands_code_and_figures():
    texts = [readme.read_text(encoding="utf-8") for readme in READMES]
    for pattern in (r"\d+\.\d\s?%", r"^(?:make|minillm) [a-z]+", r"^(?:lda|bag|papers)\b[^#\n]*\S"):
        found = [re.findall(pattern, text, re.MULTILINE) for text in texts]
        assert found[0], pattern
        assert found[0] == found[1], pattern


def code_blocks(readme=READMES[0]):
    return re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)


def block_with(word, readme=READMES[0]):
    (block,) = (block for block in code_blocks(readme) if word in block)
    return block


def test_the_example_of_lda_runs(tmp_path, monkeypatch):
    offline, fetching = block_with("GibbsLDA").split("papers = ")
    names: dict[str, object] = {}
    monkeypatch.chdir(tmp_path)  # it saves a model
    exec(offline.replace("GibbsLDA(", "GibbsLDA(n_sweeps=20, "), names)
    assert names["lda"].topic_word_.shape == (10, names["bag"].counts.shape[1])
    called = {
        node.func.id
        for node in ast.walk(ast.parse(fetching))
        if isinstance(node, ast.Call) and hasattr(node.func, "id")
    }
    assert {"fetch_neurips", "bag_of_words"} <= called
    assert {"fetch_neurips", "bag_of_words"} <= set(minillm_lib.__all__)


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_example_of_the_decoder_runs_as_it_is(readme, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    names = {}
    exec(block_with("from_preset", readme), names)
    assert names["logits"].shape == (1, 16, 6400)
    assert "LDA" in capsys.readouterr().out


def assignment_of(readme, folder):
    """Write the files of the instructor's example as they are pasted, and return the cells of the notebook."""
    (folder / "mine.py").write_text(block_with("check.register", readme), encoding="utf-8")
    cells = [cell.strip() for cell in block_with("check.softmax", readme).split("# %%") if cell.strip()]
    notebook(folder / "mine.ipynb", *cells)
    return cells


RIGHT = "e = np.exp(x - x.max(axis=-1, keepdims=True)); return e / e.sum(axis=-1, keepdims=True)"
WRONG = "return np.exp(x) / np.exp(x).sum()"


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_cells_of_the_assignment_run_with_the_file_for_learners(readme, tmp_path, monkeypatch):
    cells = assignment_of(readme, tmp_path)
    made = student_file(tmp_path / "mine.py")
    (tmp_path / "mine_student.py").write_text(made.text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "mine_student", None)  # so that what is imported goes in the end
    del sys.modules["mine_student"]
    (promised,) = re.findall(r"`(softmax: .*?)`", readme.read_text(encoding="utf-8"))
    for body, told in (
        ("raise NotImplementedError()", "softmax: not attempted, 0 of 2 points. "),
        (WRONG, promised),
        (RIGHT, "softmax: passed, 2 of 2 points. Right."),
    ):
        names: dict[str, object] = {}
        for cell in cells[:-1]:
            exec(cell.replace("raise NotImplementedError()", body), names)
        assert str(eval(cells[-1], names)).startswith(told)


@pytest.mark.slow
@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_commands_of_the_assignment_grade_a_class_as_they_are(readme, tmp_path):
    cells = assignment_of(readme, tmp_path)
    folder = tmp_path / "FOLDER"
    folder.mkdir()
    for name, body in {"ann": RIGHT, "bob": WRONG}.items():
        notebook(
            folder / f"{name}.ipynb",
            *(cell.replace("raise NotImplementedError()", body) for cell in cells),
        )
    text = readme.read_text(encoding="utf-8")
    section = text[text.index("check.softmax(students_softmax)\n") : text.index("docker run")]
    commands = [
        line.partition("#")[0].split() for line in re.findall(r"^minillm (.*)", section, re.MULTILINE)
    ]
    assert [command[0] for command in commands] == ["exercises", "exercises", "grade"]
    for command in [*commands, [*commands[-1], "--resume"]]:
        done = subprocess.run(
            [sys.executable, "-m", "minillm_lib", *command],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    (promised,) = re.findall(r"`softmax: failed, 0 of 2 points. (.*?)`", text)
    assert promised in (tmp_path / "summary.html").read_text(encoding="utf-8")
    assert promised in (tmp_path / "pages" / "bob.html").read_text(encoding="utf-8")
    assert list(pd.read_csv(tmp_path / "marks.csv")["total"]) == [2, 0]
    one = ["grade", "FOLDER/ann.ipynb", "--assignment", "mine.ipynb", "--exercises", "mine.py"]
    subprocess.run(
        [sys.executable, "-m", "minillm_lib", *one, "--gradescope", "results.json"], cwd=tmp_path, check=True
    )
    assert json.loads((tmp_path / "results.json").read_bytes())["score"] == 2


def test_what_the_readme_says_of_a_check_is_there():
    text = READMES[0].read_text(encoding="utf-8")
    for name in re.findall(r"check\.rms_norm(?:\(rms_norm\))?\.(\w+)", text):
        assert hasattr(Exercise, name) or name in CheckResult.__dataclass_fields__, name


def test_what_the_example_of_training_uses_is_there():
    assert callable(minillm_lib.pretrain)
    assert callable(minillm_lib.sft)
    for name in re.findall(r"result\.(\w+)", block_with("pretrain(")):
        assert hasattr(minillm_lib.RunResult, name)


def test_every_command_is_one():
    commands = set(re.findall(r"^minillm ([a-z]+)", READMES[0].read_text(encoding="utf-8"), re.MULTILINE))
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups if group.name}
    for group in app.registered_groups:
        known |= {
            command.name or command.callback.__name__ for command in group.typer_instance.registered_commands
        }
    assert commands <= known


def per_cent(share):
    """Write a share as the pages do, with a no-break space."""
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def evaluations(run):
    metrics = RunResult.of(ROOT / "results" / "26m" / run)
    return metrics.evaluations[0], min(metrics.evaluations, key=lambda each: each["loss"])


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_figures_of_the_26_m_model_are_those_recorded(readme):
    text = readme.read_text(encoding="utf-8")
    measured = ROOT / "book" / "pages" / readme.name.replace("README", "measured")
    everything = text + measured.read_text(encoding="utf-8")
    first, best = evaluations("pretrain")
    assert f"{first['perplexity']:,.0f} → {best['perplexity']:.2f}" in text
    assert f"{first['bits_per_byte']:.2f} → {best['bits_per_byte']:.3f}" in text
    classic, ours = (
        evaluations(f"against-classic/{name}")[1]["perplexity"] for name in ("300-26m-classic", "300-26m")
    )
    assert re.search(rf"{ours:.1f}[,，]\s*{classic:.1f}", text)
    honesty = json.loads((ROOT / "results" / "26m" / "honesty.json").read_text(encoding="utf-8"))["figures"]
    for of_set, figure in (("in scope", "right"), ("out of scope", "declined"), ("dialogues", "right"),
                           ("held-out wordings", "right")):  # fmt: skip
        row = " | ".join(per_cent(honesty[of_set][language][figure]) for language in ("en", "zh"))
        assert f"| {row} |" in everything, of_set
    for of_set, figure in (("in scope", "right"), ("in scope", "declined"), ("out of scope", "declined")):
        for language in ("en", "zh"):
            said = per_cent(honesty[of_set][language][figure])
            assert said in (everything if (of_set, figure) == ("in scope", "declined") else text)
    context = json.loads((ROOT / "results" / "26m" / "long-context.json").read_text(encoding="utf-8"))
    for of_stage in context["scalings"].values():
        summaries = (of_stage[stage] for stage in ("as_trained_summary", "fine_tuned_summary"))
        figures = [f"{each[part]:.1f}" for each in summaries for part in ("within", "last_quarter")]
        assert f"| {' | '.join(figures)} |" in everything


UNIT = r"(?:%|(?:[kMG]i?B(?:/s)?|ms|s|M)(?![A-Za-z]))"


@pytest.mark.parametrize(
    "page",
    [*READMES, ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", ROOT / "results" / "26m" / "README.md",
     *sorted((ROOT / "book" / "pages").glob("*.md")), *sorted((ROOT / "course").glob("*.md"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)  # fmt: skip
def test_no_line_ends_between_a_number_and_its_unit(page):
    """A no-break space (U+00A0) stands between them, but not in code and headings, from which addresses are made."""
    text = page.read_text(encoding="utf-8")
    for code in (r"(?ms)^```.*?^```$", r"(?m)^(?:#| {4}\S).*$", r"`[^`]*`", r"\]\([^)\n]*\)"):
        text = re.sub(code, "", text)
    torn = re.findall(rf".*\d(?:[ \n]{UNIT}|%).*", text)
    assert not torn, "write U+00A0 between number and unit in: " + "\n".join(torn)


def test_the_numbers_of_questions_and_wordings_are_those_of_the_corpora():
    (questions,) = {len(faq_questions(language)) for language in ("en", "zh")}
    (held_out,) = {len(load_course_faq("test", language)) for language in ("en", "zh")}
    wordings, others = len(load_course_faq()), len(load_out_of_scope())
    each = round(wordings / (2 * questions), -1)
    texts = {
        name: " ".join((ROOT / name).read_text(encoding="utf-8").split())
        for name in ("README.md", "README.zh-CN.md", "results/26m/README.md", "CHANGELOG.md",
                     "book/pages/measured.md", "book/pages/measured.zh-CN.md")
    }  # fmt: skip
    for name, said in (
        ("README.md", f"`course-faq` holds {questions} questions"),
        ("README.md", f"each in about {each:.0f} wordings"),
        ("README.md", f"`out-of-scope` holds {others:,} questions"),
        ("README.zh-CN.md", f"每个问题约有 {each:.0f} 种问法"),
        ("README.zh-CN.md", f"`out-of-scope` 收有 {others:,} 个"),
        ("results/26m/README.md", f"`course-faq` has {questions} questions"),
        ("results/26m/README.md", f"in {wordings:,} wordings: some {each:.0f} for each question"),
        ("results/26m/README.md", f"`out-of-scope` has {others:,} questions"),
        ("results/26m/README.md", f"{held_out} held-out wordings"),
        ("book/pages/measured.md", f"{held_out} held-out wordings"),
        ("CHANGELOG.md", f"{questions} questions, each in about {each:.0f} wordings"),
    ):
        assert said in texts[name], said
    for name, text in texts.items():
        counts = re.findall(r"(\d+) (?:questions of `course-faq`|个问题的答案)", text)
        assert set(counts) <= {str(questions)}, name


def test_the_model_card_counts_the_parameters_of_both_blocks():
    text = (ROOT / "results" / "26m" / "README.md").read_text(encoding="utf-8")
    preset = ModelConfig.from_preset("26m-classic")
    for config in (ModelConfig.from_preset("26m"), preset, preset.replace(max_seq_len=512)):
        assert f"{config.n_parameters:,}" in text


def test_both_pages_on_a_model_of_your_own_give_the_same_commands_options_and_messages():
    pages = [ROOT / "course" / f"YOUR_OWN_MODEL{ending}" for ending in (".md", ".zh-CN.md")]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    for pattern in (r"^minillm .*", r"^\| `([^|]*)` \|", r"^result = .*", r"`(configs/\S*)`"):
        found = [re.findall(pattern, text, re.MULTILINE) for text in texts]
        assert found[0], pattern
        assert [each.replace("`、`", "`, `") for each in found[1]] == found[0], pattern
    for path in re.findall(r"`(configs/[^`]*)`", texts[0]):
        assert (ROOT / path).exists(), path


def test_the_options_that_the_page_on_a_model_of_your_own_lists_are_those_of_the_corpus():
    page = (ROOT / "course" / "YOUR_OWN_MODEL.md").read_text(encoding="utf-8")
    section = page[page.index("## 2.") : page.index("## 3.")]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(find_corpus("files").options)
