"""What comes with the repository is found, and what does not is said."""

from __future__ import annotations

import pytest

from minillm_lib.io import repository
from minillm_lib.io.repository import repository_file


def test_a_file_of_the_repository_is_found():
    assert repository_file("configs/pretrain-tiny.yaml").is_file()


def test_outside_the_repository_the_message_says_where_it_belongs(monkeypatch, tmp_path):
    monkeypatch.setattr(repository, "REPOSITORY", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"configs/sft\.yaml is part of the repository"):
        repository_file("configs/sft.yaml")
