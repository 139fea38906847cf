"""The map of the course and the plate diagram of LDA say what the notebooks say."""

from __future__ import annotations

import re

from course_build import SOURCES

from minillm_lib.viz.course_figures import plot_course_map, plot_lda_plates


def texts_of(figure):
    (axis,) = figure.axes
    return [text.get_text() for text in axis.texts]


def test_the_map_shows_every_notebook_but_the_first():
    shown = set()
    for text in texts_of(plot_course_map()):
        numbers = [int(number) for number in re.findall(r"\d\d", text)]
        shown |= set(range(numbers[0], numbers[-1] + 1) if " to " in text else numbers)
    assert shown == {int(source.stem[:2]) for source in SOURCES} - {0}


def test_the_plates_show_the_variables_of_lda():
    assert set("αθzwφβ") <= set(texts_of(plot_lda_plates()))
