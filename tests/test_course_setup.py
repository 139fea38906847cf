"""What a learner wrote in one notebook goes on into the next."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from minillm_lib import course
from minillm_lib.checks import check, kept_answers
from minillm_lib.checks.kept_answers import NotKeptError, answer_file, source_of
from minillm_lib.viz import style

NOTEBOOK = """
import math
import torch
from torch import nn
from torch.nn import functional as F
from minillm_lib import check, course

EPS = 1e-6
def size(x, eps=EPS):
    return x.square().mean(dim=-1, keepdim=True).add(eps).sqrt()

def rms_norm(x, weight, eps):
    return x / size(x, eps) * weight
print(check.rms_norm(rms_norm).status)
"""


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_PROGRESS", str(tmp_path / "progress.json"))
    check.rms_norm._memory.pop("passed", None)
    yield
    check.rms_norm._memory.pop("passed", None)


def run_notebook(tmp_path, code):
    path = tmp_path / "cells.py"
    path.write_text(code)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr
    return done.stdout


def test_an_answer_that_passed_is_a_piece_of_the_next_notebook(tmp_path):
    assert run_notebook(tmp_path, NOTEBOOK) == "passed\n"
    pieces = course.setup("rms_norm", "swiglu")
    assert pieces.whose("rms_norm") == "yours"
    assert pieces.whose("swiglu") == "the library's"
    assert pieces.rms_norm.__code__.co_filename == str(answer_file("rms_norm"))
    assert repr(pieces) == "Ready. This notebook goes on with rms_norm (yours); swiglu (the library's)."
    assert "yours" in pieces._repr_html_()
    assert "07_rmsnorm.ipynb" in pieces._repr_html_()


def test_an_answer_is_kept_although_the_notebook_has_data_by_the_names_of_its_variables(tmp_path):
    data = "\nx = weight = eps = torch.ones(2)\n"
    assert run_notebook(tmp_path, NOTEBOOK.replace("\ndef rms_norm", f"{data}\ndef rms_norm")) == "passed\n"
    assert course.setup("rms_norm").whose("rms_norm") == "yours"


def test_without_an_answer_the_librarys_piece_is_used():
    pieces = course.setup("rms_norm")
    assert pieces.rms_norm is check.rms_norm.reference
    assert pieces.whose("rms_norm") == "the library's"


@pytest.mark.parametrize(
    "damage", ["def rms_norm(x, weight, eps):\n    return x\n", "1 +", "rms_norm = 5", "raise SystemError"]
)
def test_a_kept_answer_that_is_no_longer_right_is_not_used(damage):
    path = answer_file("rms_norm")
    path.parent.mkdir()
    path.write_text(damage)
    assert course.setup("rms_norm").whose("rms_norm") == "the library's"


def test_a_failed_check_in_this_notebook_takes_the_piece_back(tmp_path):
    run_notebook(tmp_path, NOTEBOOK)
    pieces = course.setup("rms_norm")
    check.rms_norm(lambda x, weight, eps: x)
    assert pieces.whose("rms_norm") == "the library's"


def test_nothing_is_kept_while_submissions_are_graded(tmp_path, monkeypatch):
    monkeypatch.setenv("MINILLM_CHECK_SEED", "3")
    run_notebook(tmp_path, NOTEBOOK)
    assert not answer_file("rms_norm").exists()


def test_nothing_is_kept_where_progress_is_off(monkeypatch):
    monkeypatch.setenv("MINILLM_PROGRESS", "off")
    assert answer_file("rms_norm") is None
    assert kept_answers.keep("rms_norm", own_progress) is None


def helper(x):
    return x + 1


def doubles(x):
    return 2 * helper(x)


def counts_down(n):
    return 0 if n == 0 else counts_down(n - 1)


data = object()


def uses_data(x):
    return data, x


def test_source_brings_what_it_uses():
    made = {}
    exec(source_of(doubles), made)
    assert made["doubles"](3) == 8
    exec(source_of(counts_down), made)
    assert made["counts_down"](3) == 0


def test_source_that_needs_data_of_the_notebook_is_not_kept():
    with pytest.raises(NotKeptError, match="uses_data uses data, which is object data of the notebook"):
        source_of(uses_data)
    with pytest.raises(NotKeptError, match="a function or class that stands by itself"):
        source_of(lambda x: x)


def test_unknown_pieces_and_threads_are_errors():
    with pytest.raises(ValueError, match="there is no exercise 'norm'"):
        course.setup("norm")
    with pytest.raises(ValueError, match="threads is 0"):
        course.setup(threads=0)
    with pytest.raises(AttributeError, match="did not ask for the piece 'swiglu'; its pieces are rms_norm"):
        _ = course.setup("rms_norm").swiglu


# JupyterLab 4's --jp-layout-color0 and 1 of both themes
LIGHT, DARK = ["#ffffff"], ["#111111", "#212121"]
# https://www.w3.org/TR/filter-effects-1/#huerotateEquivalent, of 180 degrees
HALF_TURN = np.array([[-0.574, 1.43, 0.144], [0.426, 0.43, 0.144], [0.426, 1.43, -0.856]])


def contrast(one, other):
    """The contrast of two colours by the Web Content Accessibility Guidelines 2.2."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in (one, other)]
    low, high = sorted(float(weights @ c) + 0.05 for c in linear)
    return high / low


def in_a_dark_theme(colour):
    """What the style sheet of ``setup`` makes of a colour of a picture."""
    (share,) = re.findall(r"filter: invert\(([\d.]+)\) hue-rotate\(180deg\)", course.setup()._repr_html_())
    inverted = float(share) + (1 - 2 * float(share)) * np.array(to_rgb(colour))
    return np.clip(HALF_TURN @ inverted, 0, 1)


def test_no_single_colour_of_text_would_do_for_both_themes():
    greys = [np.full(3, level / 255) for level in range(256)]
    assert max(min(contrast(grey, np.array(to_rgb(c))) for c in (*LIGHT, *DARK)) for grey in greys) < 4.5


@pytest.mark.parametrize("name", ["INK", "BLUE", "GREEN", "VERMILLION", "PURPLE", "ORANGE"])
def test_pictures_are_legible_in_both_themes_and_their_ground_is_that_of_the_page(name):
    colour = getattr(style, name)
    least = {"INK": 9.5, "BLUE": 4.5}.get(name, 2.2)  # letters; a field with letters on it; lines and dots
    assert contrast(np.array(to_rgb(colour)), np.array(to_rgb("white"))) > least
    paper = in_a_dark_theme("white")
    assert contrast(in_a_dark_theme(colour), paper) > least
    for page in DARK:
        assert contrast(in_a_dark_theme(colour), np.array(to_rgb(page))) > least
    assert contrast(paper, np.array(to_rgb("#111111"))) < 1.02


@pytest.mark.parametrize("name", ["BLUE", "GREEN", "VERMILLION", "PURPLE", "ORANGE"])
def test_colours_that_a_text_names_keep_their_hues(name):
    def hue(rgb):
        low, high = rgb.min(), rgb.max()
        place = int(rgb.argmax())
        return 60 * (((rgb[(place + 1) % 3] - rgb[(place + 2) % 3]) / (high - low) + 2 * place) % 6)

    turned = hue(in_a_dark_theme(getattr(style, name))) - hue(np.array(to_rgb(getattr(style, name))))
    assert abs((turned + 180) % 360 - 180) < 25


def test_setup_changes_no_picture_of_a_notebook_without_it():
    assert ":has(.minillm-ready)" in course.setup()._repr_html_()
    assert 'class="minillm-ready"' in course.setup("rms_norm")._repr_html_()
