"""A fit that is interrupted, and goes on as if it had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from minillm_lib import GibbsLDA
from minillm_lib.io.array_file import ArrayFileError, read_arrays, write_arrays

X = np.random.default_rng(0).poisson(0.4, size=(60, 40))
RESULTS = ("topic_word_", "doc_topic_", "components_", "z_", "log_likelihoods_", "alpha_")


def stopped_after(lda, n_sweeps, X=X):
    """Fit for so many sweeps only, as a process that is told to stop does."""
    for done, _ in enumerate(lda.iter_sweeps(X), 1):
        if done == n_sweeps:
            break
    return lda


@pytest.mark.parametrize("n_sweeps", [3, 17, 29])
@pytest.mark.parametrize(
    "parameters",
    [
        {"n_chains": 3},
        {"n_chains": 3, "n_threads": 2, "learn_alpha": True, "learn_beta": True},
        {"n_chains": 2, "n_topics": 40},
        {"n_chains": 1, "n_threads": 2},
        {"n_chains": 1, "n_threads": 2, "n_topics": 40, "learn_alpha": True, "learn_beta": True},
        {"n_chains": 2, "kernel": "dense", "n_topics": 34},
        {"n_chains": 2, "shown": "consensus", "seed_terms": np.eye(6, 40, dtype=int) * 5},
    ],
    ids=str,
)
def test_a_fit_that_goes_on_gives_bit_for_bit_what_an_uninterrupted_one_gives(tmp_path, parameters, n_sweeps):
    parameters = {"n_topics": 6, "n_sweeps": 30, "thin": 4, "random_state": 3} | parameters
    expected = GibbsLDA(**parameters).fit(X)
    path = tmp_path / "state"
    first = stopped_after(GibbsLDA(**parameters, checkpoint=path), n_sweeps)
    assert len(first.log_likelihoods_) == n_sweeps
    assert path.exists()
    second = GibbsLDA(**parameters, checkpoint=str(path))
    sweeps = [len(samplers[0].log_likelihoods) for samplers in second.iter_sweeps(X)]
    assert sweeps == list(range(n_sweeps + 1, 31))
    for name in RESULTS:
        np.testing.assert_array_equal(getattr(second, name), getattr(expected, name), err_msg=name)
    assert not path.exists()


def test_weighted_tokens_go_on_bit_for_bit(tmp_path):
    """Their tables hold sums of fractions, which depend on the order in which they were added."""
    weighted = X * 0.7
    expected = GibbsLDA(4, n_sweeps=20, n_chains=2, random_state=0).fit(weighted)
    path = tmp_path / "state"
    stopped_after(GibbsLDA(4, n_sweeps=20, n_chains=2, random_state=0, checkpoint=path), 13, weighted)
    second = GibbsLDA(4, n_sweeps=20, n_chains=2, random_state=0, checkpoint=path).fit(weighted)
    for name in RESULTS:
        np.testing.assert_array_equal(getattr(second, name), getattr(expected, name), err_msg=name)


def test_the_state_is_also_written_from_time_to_time(tmp_path):
    """Such as for a process that is killed: here, after every sweep."""
    path, sizes = tmp_path / "state", []
    lda = GibbsLDA(4, n_sweeps=8, n_chains=2, checkpoint=path, checkpoint_seconds=0, random_state=0)
    for _ in lda.iter_sweeps(X):
        sizes.append(path.stat().st_size)
    assert len(sizes) == 8
    assert not path.exists()
    rarely = GibbsLDA(4, n_sweeps=8, n_chains=2, checkpoint=path, checkpoint_seconds=1e6, random_state=0)
    assert not any(path.exists() for _ in rarely.iter_sweeps(X))


def test_without_a_seed_the_checkpoint_brings_its_own(tmp_path):
    path = tmp_path / "state"
    first = stopped_after(GibbsLDA(4, n_sweeps=20, n_chains=2, checkpoint=path), 12)
    second = GibbsLDA(4, n_sweeps=20, n_chains=2, checkpoint=path).fit(X)
    np.testing.assert_array_equal(second.chains_[0].log_likelihoods[:12], first.chains_[0].log_likelihoods)


@pytest.mark.parametrize(
    ("changed", "data", "message"),
    [
        ({"n_topics": 5}, X, "n_topics=4, and not 5"),
        ({"n_sweeps": 21}, X, "n_sweeps=20, and not 21"),
        ({"alpha": 0.2}, X, r"alpha=\[0.1, 0.1, 0.1, 0.1\], and not \[0.2"),
        ({"beta": 0.2}, X, "beta=0.1, and not 0.2"),
        ({"learn_beta": True}, X, "learn_beta=False, and not True"),
        ({"random_state": 1}, X, "another random_state"),
        ({"n_chains": 3}, X, "n_chains=2, and not 3"),
        ({"seed_terms": np.ones((4, 40))}, X, "other seed_terms"),
        ({}, X[::-1], "of a fit with other data"),
        ({"n_chains": 1, "n_threads": 2}, X, r"n_threads=4, and not 2 \(--threads\)"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused(tmp_path, changed, data, message):
    path = tmp_path / "state"
    parameters = {"n_topics": 4, "n_sweeps": 20, "beta": 0.1, "n_chains": 2, "random_state": 0}
    if "n_threads" in changed:
        parameters |= {"n_chains": 1, "n_threads": 4}
    stopped_after(GibbsLDA(**parameters, checkpoint=path), 5)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        GibbsLDA(**parameters | changed, checkpoint=path).fit(data)
    assert path.read_bytes() == before


def test_what_is_no_checkpoint_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_text("years of work\n")
    with pytest.raises(ArrayFileError, match="is not a file of the kind 'lda-checkpoint'"):
        GibbsLDA(4, n_sweeps=5, checkpoint=path).fit(X)
    assert path.read_text() == "years of work\n"
    with pytest.raises(ValueError, match="is a folder; give the name of a file"):
        GibbsLDA(4, n_sweeps=5, checkpoint=tmp_path).fit(X)
    with pytest.raises(ValueError, match=r"cannot write the checkpoint .* is a file, not a folder"):
        GibbsLDA(4, n_sweeps=5, checkpoint=path / "state").fit(X)


def test_a_checkpoint_that_cannot_be_written_costs_no_topics(tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr("minillm_lib.topics.fit_checkpoint.write_arrays", full)
    lda = GibbsLDA(4, n_sweeps=5, checkpoint=tmp_path / "state", checkpoint_seconds=0, random_state=0)
    with pytest.raises(OSError, match="no space left"):
        lda.fit(X)
    assert lda.topic_word_.shape == (4, 40)


@pytest.mark.usefixtures("interrupts_are_heard")
def test_ctrl_c_stops_after_the_sweep_and_the_model_keeps_what_it_has(tmp_path):
    """A real signal, in the middle of a sweep: the tables are whole, and the model is the one of so many sweeps."""
    path = tmp_path / "state"

    def interrupt(sampler):
        if len(sampler.log_likelihoods) == 11:
            os.kill(os.getpid(), signal.SIGINT)

    lda = GibbsLDA(
        4, n_sweeps=1_000, burn_in=5, n_chains=1, callback=interrupt, checkpoint=path, random_state=0
    )
    with (
        pytest.warns(UserWarning, match="stopped after 11 of 1,000 sweeps.*fit again to go on from"),
        pytest.raises(KeyboardInterrupt),
    ):
        lda.fit(X)
    plain = GibbsLDA(4, n_sweeps=11, burn_in=5, n_chains=1, random_state=0).fit(X)
    np.testing.assert_array_equal(lda.topic_word_, plain.topic_word_)
    np.testing.assert_array_equal(lda.transform(X), plain.transform(X))
    assert path.exists()


def test_a_fit_that_fails_within_a_sweep_keeps_nothing(monkeypatch):
    from minillm_lib.topics import chains

    lda = GibbsLDA(4, n_sweeps=10, n_chains=2, n_threads=1, random_state=0)
    sweep = chains.GibbsSampler.sweep

    def fail(sampler, executor=None):
        if len(sampler.log_likelihoods) == 3:
            raise MemoryError
        sweep(sampler, executor)

    monkeypatch.setattr(chains.GibbsSampler, "sweep", fail)
    with pytest.raises(MemoryError):
        lda.fit(X)
    assert not hasattr(lda, "topic_word_")


def test_the_bar_shows_the_sweeps_and_starts_where_the_checkpoint_stands(tmp_path, capsys):
    GibbsLDA(4, n_sweeps=12, random_state=0).fit(X)
    assert capsys.readouterr().err == ""
    path = tmp_path / "state"
    parameters = {"n_sweeps": 12, "random_state": 0, "checkpoint": path, "verbose": True}
    stopped_after(GibbsLDA(4, **parameters), 5)
    seconds = GibbsLDA(4, **parameters | {"verbose": False}).fit_with_bar(X)
    shown = capsys.readouterr().err
    assert seconds > 0
    assert "12/12" in shown
    assert "log-likelihood" in shown


def state_of(tmp_path, **parameters):
    """A checkpoint after five sweeps, and what it holds."""
    path = tmp_path / "state"
    parameters = {
        "n_topics": 4,
        "n_sweeps": 20,
        "burn_in": 2,
        "thin": 1,
        "n_chains": 2,
        "random_state": 0,
        **parameters,
    }
    stopped_after(GibbsLDA(**parameters, checkpoint=path), 5)
    return path, parameters, *read_arrays(path, "lda-checkpoint", 1)


WRONG = {
    "topics beyond the last": ("0/topics", lambda a: a + 1_000_000, "a topic that is not from 0"),
    "negative topics": ("1/topics", lambda a: a - 9, "a topic that is not from 0"),
    "fewer topics": ("0/topics", lambda a: a[:-1], "topics is .* not"),
    "one topic for all": ("0/topics", lambda a: a[:1], "topics is .* not"),
    "other topics": ("0/topics", lambda a: a[::-1].copy(), "not those of its topics|other counts"),
    "topics of another type": ("0/topics", lambda a: a.astype(float), "topics is .* float64"),
    "another table": ("1/table_0", lambda a: a + 1, "other counts"),
    "a table of another shape": ("1/table_0", lambda a: a[:1], "the table is"),
    "other totals": ("0/topic_totals", lambda a: a * 2, "totals are not those"),
    "no number as alpha": ("0/alpha", lambda a: a * np.nan, "alpha is nan"),
    "no random stream": ("0/generators", lambda a: a[:0], "generators is"),
    "more sweeps than there are": ("n_done", lambda a: a + 3, "5 log-likelihoods of 8 sweeps"),
    "documents beyond the last topic": ("0/doc_topic_indices", lambda a: a + 77, "broken sparse matrix"),
    "sums of another shape": ("0/sum_of_counts", lambda a: a[:-1], "sum_of_counts is"),
}


@pytest.mark.parametrize("kernel", ["dense", "sparse", "weighted"])
@pytest.mark.parametrize("name", WRONG)
def test_a_state_that_is_not_of_this_fit_is_refused_though_its_hash_is_right(tmp_path, name, kernel):
    """Compiled code trusts these arrays: with topics beyond the last, it would write where it must not."""
    part, change, message = WRONG[name]
    parameters = {
        "kernel": "sparse" if kernel == "sparse" else "dense",
        "n_topics": 4 if kernel == "dense" else 40,
    }
    data = X * 0.7 if kernel == "weighted" else X
    path = tmp_path / "state"
    parameters |= {"n_sweeps": 20, "burn_in": 2, "thin": 1, "n_chains": 2, "random_state": 0}
    stopped_after(GibbsLDA(**parameters, checkpoint=path), 5, data)
    settings, arrays = read_arrays(path, "lda-checkpoint", 1)
    write_arrays(path, "lda-checkpoint", 1, settings, arrays | {part: change(arrays[part])})
    with pytest.raises(ArrayFileError, match=message) as raised:
        GibbsLDA(**parameters, checkpoint=path).fit(data)
    assert "to start the fit again, name another file, or delete this one" in str(raised.value)


def test_lists_that_point_elsewhere_are_refused(tmp_path):
    path, parameters, settings, arrays = state_of(tmp_path, n_topics=40, kernel="sparse")
    for part, place in (("0/table_0", 3), ("0/table_0", -9), ("1/table_1", 0)):
        changed = arrays[part].copy()
        changed[place] = 2**30
        write_arrays(path, "lda-checkpoint", 1, settings, arrays | {part: changed})
        with pytest.raises(ArrayFileError, match="other counts"):
            GibbsLDA(**parameters, checkpoint=path).fit(X)


def test_a_part_that_is_missing_and_a_seed_that_is_none_are_named(tmp_path):
    path, parameters, settings, arrays = state_of(tmp_path)
    write_arrays(
        path, "lda-checkpoint", 1, settings, {name: a for name, a in arrays.items() if "/alpha" not in name}
    )
    with pytest.raises(ArrayFileError, match=r"no state of this fit: .*alpha"):
        GibbsLDA(**parameters, checkpoint=path).fit(X)
    write_arrays(path, "lda-checkpoint", 1, settings | {"random_state": "x"}, arrays)
    with pytest.raises(ArrayFileError, match="has the random_state 'x'"):
        GibbsLDA(**parameters | {"random_state": None}, checkpoint=path).fit(X)


def test_a_damaged_checkpoint_says_how_to_start_again(tmp_path):
    path, parameters, *_ = state_of(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    with pytest.raises(ArrayFileError, match=r"damaged or incomplete.* to start the fit again"):
        GibbsLDA(**parameters, checkpoint=path).fit(X)


def test_what_a_killed_fit_left_while_it_wrote_is_removed_by_the_next(tmp_path):
    left = tmp_path / f".state.{'0' * 16}"
    left.write_bytes(b"half a state")
    foreign = tmp_path / f".other.{'0' * 16}"
    foreign.write_bytes(b"of another program")
    GibbsLDA(4, n_sweeps=5, n_chains=1, checkpoint=tmp_path / "state").fit(X)
    assert list(tmp_path.iterdir()) == [foreign]


@pytest.mark.slow
def test_a_fit_that_is_killed_at_any_moment_gives_in_the_end_what_it_would_have_given(tmp_path):
    code = (
        "import sys, numpy as np; from minillm_lib import GibbsLDA\n"
        "X = np.random.default_rng(0).poisson(0.4, size=(60, 40))\n"
        f"lda = GibbsLDA(4, n_sweeps=4000, n_chains=2, random_state=0, checkpoint={str(tmp_path / 'state')!r},\n"
        "    checkpoint_seconds=0)\n"
        "print('begun', flush=True); lda.fit(X); np.save(sys.argv[1], lda.topic_word_)"
    )
    found = tmp_path / "found.npy"
    for number in range(60):
        process = subprocess.Popen([sys.executable, "-c", code, found], stdout=subprocess.PIPE)
        process.stdout.readline()
        try:
            process.wait(timeout=0.3 + 0.05 * (number % 7) if number < 10 else None)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        process.stdout.close()
        if found.exists():
            break
    assert number >= 1
    expected = GibbsLDA(4, n_sweeps=4000, n_chains=2, random_state=0).fit(X)
    np.testing.assert_array_equal(np.load(found), expected.topic_word_)
    assert list(tmp_path.iterdir()) == [found]
