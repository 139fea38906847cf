from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minillm_lib.cli.lda_options import (
    cleaning_of_options,
    counts_of,
    in_options,
    model_of_options,
    number_or_share,
)
from minillm_lib.corpora.cleaning.repair import REPAIRS
from minillm_lib.topics.gibbs_lda import GibbsLDA

DEFAULTS: dict[str, Any] = {
    "language": "auto",
    "repairs": "all",
    "stop_words": "default",
    "keep": None,
    "user_dict": None,
    "min_df": "2",
    "max_df": "0.5",
    "max_terms": None,
    "phrases": True,
    "lemmas": True,
    "duplicates": "drop",
}


def cleaning(**options: Any) -> dict[str, Any]:
    return cleaning_of_options(**{**DEFAULTS, **options})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", 5), ("1", 1), ("1.0", 1.0), ("0.25", 0.25), (".5", 0.5), ("50%", 0.5), ("2.5 %", 0.025)],
)
def test_a_number_of_documents_or_a_share_of_them(text: str, expected: float) -> None:
    found = number_or_share(text, "--min-df")
    assert found == pytest.approx(expected)
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "120%", "half", "", "nan", "1e3"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--max-df"):
        number_or_share(text, "--max-df")


def test_numbers_of_topics() -> None:
    assert counts_of("5, 10,5", "--compare") == [5, 10]
    with pytest.raises(ValueError, match="--compare"):
        counts_of("5,", "--compare")


def test_repairs_are_named_in_any_case_and_taken_in_their_order() -> None:
    assert cleaning()["repairs"] == tuple(REPAIRS)
    assert cleaning(repairs="none")["repairs"] == ()
    assert cleaning(repairs="latex, Encoding")["repairs"] == ("encoding", "LaTeX")


def test_stop_words_are_lists_files_or_both(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("River\nboat", encoding="utf-8")
    own = str(tmp_path / "own.txt")
    assert cleaning()["stop_words"] == "default"
    assert cleaning(stop_words="abstracts")["stop_words"] == "abstracts"
    assert cleaning(stop_words="none")["stop_words"] is None
    for text, named in ((own, None), (f"none, {own}", None), (f"default,{own}", "default")):
        found = cleaning(stop_words=text)
        assert (found["stop_words"], found["more_stop_words"]) == (named, {"river", "boat"})
    (tmp_path / "own.txt").write_text("deep sea\nboat", encoding="utf-8")
    with pytest.warns(UserWarning, match="no effect: deep sea"):
        cleaning(stop_words=own)


def test_what_is_not_given_is_the_default_of_the_model() -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("sweeps", "chains", "shown", "alpha", "beta", "learn_priors", "threads", "checkpoint")
    )
    model = model_of_options(7, seed=3, **nothing)
    assert model.get_params() == GibbsLDA(7, random_state=3).get_params()
    given = model_of_options(7, seed=3, **{**nothing, "learn_priors": True, "sweeps": 9})
    assert (given.learn_alpha, given.learn_beta, given.n_sweeps) == (True, True, 9)


def test_messages_of_the_library_name_options() -> None:
    assert in_options("a lower max_df, or stop_words=None; name them in keep") == (
        "a lower --max-df, or --stop-words none; name them in --keep"
    )
