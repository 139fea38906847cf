"""solutions/build.py: from a source to the notebook with stubs and the notebook with solutions."""

from __future__ import annotations

import nbformat
import pytest
from course_build import build

SOURCE = '''# %% [markdown]
# # 07 · A notebook

# %%
from minillm_lib import check

# %%
def rms_norm(x, weight, eps):
    """Equation (2)."""
    ### BEGIN SOLUTION
    mean_square = x.square().mean(dim=-1, keepdim=True)
    return weight * x / (mean_square + eps).sqrt()
    ### END SOLUTION

# %%
check.rms_norm(rms_norm)

# %% tags=["nbval-ignore-output"]
print("shown")
'''


@pytest.fixture
def source(tmp_path):
    def write(text=SOURCE):
        path = tmp_path / "07_rmsnorm.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_solution_gives_way_to_nbgraders_stub(source):
    stubbed = build.notebook_of(source(), solved=False).cells[2].source
    assert stubbed == (
        'def rms_norm(x, weight, eps):\n    """Equation (2)."""\n    # YOUR CODE HERE\n    raise NotImplementedError()'
    )
    assert "mean_square" in build.notebook_of(source(), solved=True).cells[2].source


def test_exercise_and_check_carry_nbgraders_marks(source):
    notebook = build.notebook_of(source(), solved=False)
    exercise, checked = notebook.cells[2].metadata, notebook.cells[3].metadata
    assert exercise.nbgrader == {
        "schema_version": 3, "grade_id": "rms_norm", "grade": False, "solution": True, "locked": False, "task": False,
    }  # fmt: skip
    assert checked.nbgrader == {
        "schema_version": 3, "grade_id": "check-rms_norm", "grade": True, "solution": False, "locked": True,
        "task": False, "points": 1,
    }  # fmt: skip
    assert (exercise.tags, checked.tags) == (["exercise"], ["check", "nbval-ignore-output"])
    assert notebook.cells[4].metadata.tags == ["nbval-ignore-output"]
    assert notebook.metadata.minillm.notebook == "07_rmsnorm"


def test_a_cells_id_follows_its_text_not_its_place(source):
    before = {cell.source: cell.id for cell in build.notebook_of(source(), solved=True).cells}
    moved = build.notebook_of(source("# %%\nprint(1)\n\n# %%\nprint(1)\n\n" + SOURCE), solved=True)
    after = {cell.source: cell.id for cell in moved.cells}
    assert before.items() <= after.items()
    assert len({cell.id for cell in moved.cells}) == len(moved.cells)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    ### END SOLUTION\n", "", "### BEGIN SOLUTION without its counterpart"),
        ("    ### BEGIN SOLUTION\n", "", "### END SOLUTION without its counterpart"),
        ("check.rms_norm(rms_norm)", "print()", "the last exercise has no check"),
        ("check.rms_norm(rms_norm)", "check.rms_norm(other)", r"a check must be check.NAME\(NAME\)"),
        ("check.rms_norm(rms_norm)", "check.nothing(nothing)", "for an exercise of checks/registry.py"),
        ("def rms_norm", "def norm", "no exercise before this check defines rms_norm"),
    ],
)
def test_a_source_that_breaks_the_conventions_is_refused(source, old, new, message):
    with pytest.raises(build.SourceError, match=message):
        build.notebook_of(source(SOURCE.replace(old, new)), solved=False)


def test_a_solution_outside_a_function_is_refused():
    with pytest.raises(build.SourceError, match="outside a function"):
        build.without_solution("### BEGIN SOLUTION\nx = 1\n### END SOLUTION")


def test_a_notebook_is_outdated_until_executed_and_when_its_source_changes(source, tmp_path):
    text = "# %%\nprint(1)\n\n# %%\n2 + 2\n"
    notebook = build.notebook_of(source(text), solved=True)
    path = tmp_path / "built.ipynb"
    assert build.outdated(notebook, path) == "it does not exist"
    path.write_bytes(build.dump(notebook))
    assert "not all of its cells were executed" in build.outdated(notebook, path)
    build.execute(notebook, tmp_path)
    path.write_bytes(build.dump(notebook))
    assert build.outdated(build.notebook_of(source(text), solved=True), path) is None
    again = build.notebook_of(source(text), solved=True)
    build.execute(again, tmp_path)
    assert build.dump(again) == path.read_bytes(), "executing it again gives another file"
    changed = build.notebook_of(source(text.replace("2 + 2", "2 + 3")), solved=True)
    assert build.outdated(changed, path) == "its cells differ from those of its source"


def test_random_ids_of_widgets_are_numbered():
    model_id = "f" * 32
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": model_id}}
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("w", outputs=[nbformat.v4.new_output("display_data", view)], id="cell")
        ],
        metadata={"widgets": {"application/vnd.jupyter.widget-state+json": {"state": {model_id: {}}}}},
    )
    text = build.dump(notebook).decode()
    assert model_id not in text
    assert text.count(f"{0:032x}") == 2


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"no notebook '99_x'; the notebooks are 0\d_"):
        build.source_paths(["99_x"])
