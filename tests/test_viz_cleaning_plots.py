"""The figure of a cleaning shows the numbers of its report."""

from __future__ import annotations

import io
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from minillm_lib.corpora.cleaning.pipeline import CleaningPipeline
from minillm_lib.corpora.document import Document
from minillm_lib.viz import style
from minillm_lib.viz.cleaning_plots import plot_cleaning, plot_minhash


def cleaned():
    pipeline = CleaningPipeline(["blank lines", "length", "exact duplicates"], n_jobs=1)
    texts = [
        "a text of  some length   ",
        "short",
        "another text of some length",
        "Another text of some length!",
    ]
    assert len(list(pipeline.clean(map(Document, texts)))) == 2
    return pipeline.report


def test_the_bars_are_what_was_left_and_what_was_taken():
    report = cleaned()
    figure = plot_cleaning(report)
    documents, characters = figure.axes
    for ax, left in (
        (documents, [4, 4, 3, 2]),
        (characters, [report.characters_read, *(step.characters_left for step in report.steps)]),
    ):
        blue = [bar.get_width() for bar in ax.patches if to_hex(bar.get_facecolor()) == style.BLUE]
        orange = [bar.get_width() for bar in ax.patches if to_hex(bar.get_facecolor()) == style.ORANGE]
        assert blue == left
        assert orange == [0, *(before - now for before, now in pairwise(left))]
    assert [label.get_text() for label in documents.get_yticklabels()] == [
        "read",
        "blank lines",
        "length",
        "exact duplicates",
    ]
    assert [text.get_text() for text in documents.texts] == ["−1", "−1"]
    assert documents.get_xlabel() == "documents left"
    assert characters.get_xlabel() == "characters left"
    assert documents.get_ylabel()


def test_it_is_drawn_and_pyplot_knows_nothing_of_it():
    before = plt.get_fignums()
    buffer = io.BytesIO()
    plot_cleaning(cleaned()).savefig(buffer, format="png")
    assert buffer.getvalue()
    assert plt.get_fignums() == before


def test_a_report_of_no_documents_is_refused():
    with pytest.raises(ValueError, match="no documents"):
        plot_cleaning(CleaningPipeline().report)


def test_bands_are_compared_as_often_as_their_formula_says_and_wide_ones_less_often():
    left, right = plot_minhash([0.2, 0.6], [0.25, 0.6]).axes
    assert left.get_lines()[0].get_xydata().tolist() == [[0.2, 0.25], [0.6, 0.6]]
    curves = {line.get_label(): dict(zip(*line.get_data(), strict=True)) for line in right.get_lines()}
    assert list(curves) == ["64 bands of 2", "32 bands of 4", "16 bands of 8"]
    assert curves["32 bands of 4"][0.5] == pytest.approx(1 - (1 - 0.5**4) ** 32)
    at_half = [curve[0.5] for curve in curves.values()]
    assert np.all(np.diff(at_half) < 0)
