"""Any notebook that is handed in can be planned and graded, or is an error in words."""

from __future__ import annotations

import json

import pytest
from fuzzing import damaged, fuzzed, little_memory as little_memory, succeeds_or_speaks, texts, values
from hypothesis import given, strategies as st

from minillm_lib.checks.registry import COURSE
from minillm_lib.checks.submission import checked_exercises, course_notebook, plan, read_notebook

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("little_memory")]
SWIGLU = COURSE["10_swiglu"]
PIECES = st.sampled_from(
    [
        *(
            "check.gelu(gelu)",
            "check.",
            "check.register(x)",
            "check.swiglu(\n",
            "def gelu(x):\n    return x\n",
            "class A: ",
            "gelu = swiglu = 3\n",
            "gelu = lambda x: x\n",
            "swiglu = gelu\n",
        ),
        *(
            "(" * 500,
            "'''",
            "\\\n",
            "\x00",
            "\t",
            " ",
            "\n",
            "# ",
            "%%bash\n",
            "%%time\n",
            "!ls\n",
            "lambda:" * 300,
            "-" * 3000 + "1",
        ),
    ]
)
SOURCES = st.one_of(
    st.lists(PIECES, max_size=8).map("".join), st.lists(st.one_of(texts, values), max_size=3), values
)
CELLS = st.one_of(
    st.fixed_dictionaries(
        {"cell_type": st.sampled_from(["code", "code", "markdown", 7])}, optional={"source": SOURCES}
    ),
    st.dictionaries(texts, values, max_size=3),
)
NOTEBOOKS = st.one_of(
    st.fixed_dictionaries(
        {"cells": st.one_of(st.lists(CELLS, max_size=5), values)},
        optional={"metadata": st.one_of(values, st.fixed_dictionaries({"minillm": values}))},
    ),
    values,
)


def planned(path):
    """All of the grading that comes before the submission's code runs."""
    notebook = read_notebook(path)
    checked_exercises(notebook)
    course_notebook(path, notebook)
    steps = plan(notebook, {name: name for name in SWIGLU})
    assert sorted(name for kind, name in steps if kind == "check") == sorted(SWIGLU)
    json.dumps(steps)
    return steps


@fuzzed(800)
@given(notebook=NOTEBOOKS)
def test_any_notebook(tmp_path, notebook):
    path = tmp_path / "10_swiglu.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    succeeds_or_speaks(lambda: planned(path))


HANDED_IN = json.dumps(
    {
        "cells": [
            {"cell_type": "code", "source": ["def gelu(x):\n", "    return x\n"]},
            {"cell_type": "code", "source": "check.gelu(gelu)"},
        ],
        "metadata": {"minillm": {"notebook": "10_swiglu"}},
        "nbformat": 4,
    }
).encode()


@fuzzed(300)
@given(content=st.one_of(damaged(HANDED_IN), st.binary(max_size=200)))
def test_damaged_notebooks(tmp_path, content):
    path = tmp_path / "10_swiglu.ipynb"
    path.write_bytes(content)
    succeeds_or_speaks(lambda: planned(path))
