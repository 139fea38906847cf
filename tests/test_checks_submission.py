"""What is handed in is read within limits, and only if it is a file."""

from __future__ import annotations

import json
import os

import pytest

from minillm_lib.checks import submission
from minillm_lib.checks.submission import read_notebook


def test_only_a_regular_file_is_read(tmp_path):
    (tmp_path / "zero.ipynb").symlink_to(os.devnull)
    with pytest.raises(ValueError, match=r"zero\.ipynb is a character device; a file is expected"):
        read_notebook(tmp_path / "zero.ipynb")
    os.mkfifo(tmp_path / "pipe.ipynb")
    with pytest.raises(ValueError, match=r"pipe\.ipynb is a named pipe"):
        read_notebook(tmp_path / "pipe.ipynb")


def test_sizes_are_limited(tmp_path, monkeypatch):
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": "x = 1\n" * 20}]}))
    assert read_notebook(path)["cells"]
    monkeypatch.setattr(submission, "_MOST_CODE", 100)
    with pytest.raises(ValueError, match="has 120 characters of code; a notebook has at most 100"):
        read_notebook(path)
    monkeypatch.setattr(submission, "_MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"n\.ipynb has \d+ bytes; files of its kind have at most 100"):
        read_notebook(path)


def test_json_that_would_end_the_parser_is_an_error(tmp_path):
    path = tmp_path / "n.ipynb"
    path.write_text('{"cells": ' + "[" * 5000 + "]" * 5000 + "}")
    with pytest.raises(ValueError, match="not a notebook: nested more than 100 levels deep"):
        read_notebook(path)
