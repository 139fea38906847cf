"""The plot that follows a run: it draws now and then, by setting values, and notebooks with it pass nbval."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count, pairwise

import nbformat
import pytest
from nbclient import NotebookClient
from recorded_run import recorded_run

from minillm_lib.viz import live_plot
from minillm_lib.viz.live_plot import LivePlot

RECORDS = recorded_run(60)
CELL = """
import sys
sys.path[:0] = {paths}
from recorded_run import recorded_run
from minillm_lib.viz.live_plot import LivePlot
live = LivePlot(steps=60)
for record in recorded_run(60):
    live(record)
print("steps seen:", len([each for each in live.records if each["kind"] == "step"]))
"""


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances by a second whenever it is read."""
    ticks = count()
    monkeypatch.setattr(live_plot.time, "monotonic", lambda: float(next(ticks)))


def parts(live):
    status, image, samples = live.widget.children
    return status.value, bytes(image.value), samples.value


def test_before_the_first_step_it_says_that_it_waits():
    live = LivePlot()
    live(RECORDS[0])
    assert parts(live) == ("<i>waiting for the first step …</i>", b"", "")
    with pytest.raises(ValueError, match="neither a step nor an evaluation"):
        live.figure()


def test_it_shows_losses_speed_samples_and_the_time_left(clock):
    live = LivePlot(steps=100)
    for record in RECORDS[:-1]:
        live(record)
    status, image, samples = parts(live)
    assert image.startswith(b"\x89PNG")
    assert "of 100</b>" in status
    assert "training " in status
    assert "held-out " in status
    assert "tokens/s" in status
    assert " left" in status
    assert samples.count("<p") == 1
    assert "<b>Return the</b> shape, after " in samples


def test_at_the_end_everything_is_drawn():
    live = LivePlot(steps=60, interval=3600)
    for record in RECORDS:
        live(record)
    status, image, samples = parts(live)
    assert "<b>step 60 of 60</b>" in status
    assert status.endswith("done")
    assert "after 60 steps" in samples
    assert image.startswith(b"\x89PNG")


def test_it_draws_no_more_often_than_asked(monkeypatch):
    drawn = []
    monkeypatch.setattr(LivePlot, "_draw", lambda self: drawn.append(len(self.records)))
    live = LivePlot(interval=3600)
    for record in RECORDS:
        live(record)
    assert len(drawn) == 2  # the first step, and the end


def test_a_slow_drawing_takes_a_twentieth_of_the_time(monkeypatch):
    now, drawn = [0.0], []

    def draw(self):
        drawn.append(now[0])
        now[0] += 1.0

    monkeypatch.setattr(live_plot.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(LivePlot, "_draw", draw)
    live = LivePlot(interval=2.0)
    for record in recorded_run(200)[:-1]:
        now[0] += 0.5
        live(record)
    assert min(later - earlier for earlier, later in pairwise(drawn)) >= 20
    assert len(drawn) > 3


def test_what_a_run_takes_again_replaces_what_was_there():
    live = LivePlot(interval=3600)
    warning = {"kind": "warning", "step": 41, "problem": "the loss jumped", "reaction": "rollback"}
    before = [each for each in RECORDS if each["step"] <= 50 and each["kind"] != "end"]
    again = [each for each in recorded_run(60, seed=1) if each["step"] > 40]
    for record in (*before, warning, *again):
        live(record)
    assert [each["step"] for each in live.records if each["kind"] == "step"] == list(range(1, 61))
    assert [each["step"] for each in live.records if each["kind"] == "evaluation"] == [0, 20, 40, 60]
    assert "warnings: 1" in parts(live)[0]


def test_text_of_a_model_is_only_text():
    live = LivePlot(interval=3600)
    for record in RECORDS:
        live({**record, "text": "<img src=x onerror=alert(1)>"} if record["kind"] == "sample" else record)
    assert "<img" not in parts(live)[2]


def test_an_answer_stands_on_a_line_of_its_own():
    live = LivePlot(interval=3600)
    for record in recorded_run(20, stage="sft"):
        live(record)
    assert "<b>Return the</b>\n shape, after 20 steps." in parts(live)[2]


def test_its_figure_is_that_of_all_records():
    live = LivePlot(interval=3600, baselines={"unigram": 6.9})
    for record in RECORDS:
        live(record)
    axes = live.figure().axes[0]
    assert axes.get_xlabel() == "step"
    assert "unigram" in {line.get_label() for line in axes.lines}


@pytest.fixture
def notebook(tmp_path):
    """A notebook that follows a run, executed and saved, as they are committed."""
    paths = [os.path.dirname(__file__)]
    page = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(CELL.format(paths=paths))],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    NotebookClient(page, timeout=120, store_widget_state=True).execute()
    path = tmp_path / "follow.ipynb"
    nbformat.write(page, path)
    return path


@pytest.mark.slow
def test_a_notebook_shows_it_once_and_keeps_its_last_state(notebook):
    page = nbformat.read(notebook, 4)
    outputs = page.cells[0].outputs
    assert [output.output_type for output in outputs] == ["display_data", "stream"]
    view = outputs[0].data["application/vnd.jupyter.widget-view+json"]
    state = page.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert view["model_id"] in state
    values = [str(each["state"].get("value", "")) for each in state.values()]
    assert any("step 60 of 60" in value for value in values)


@pytest.mark.slow
def test_nbval_passes_a_notebook_that_follows_a_run(notebook):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-p",
        "no:xdist",
        "-q",
        str(notebook),
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=notebook.parent, check=False)
    assert result.returncode == 0, result.stdout
    assert "1 passed" in result.stdout
