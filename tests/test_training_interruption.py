"""A first signal is a request, a second one an order."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from quick_runs import quick_pretraining, write_documents

from minillm_lib.training import interruption
from minillm_lib.training.checkpoints import CheckpointFolder
from minillm_lib.training.interruption import Interruption
from minillm_lib.training.parallel import Processes
from minillm_lib.training.stages import pretrain

pytestmark = pytest.mark.usefixtures("interrupts_are_heard")


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    seconds = [100.0]
    monkeypatch.setattr(interruption.time, "monotonic", lambda: seconds[0])
    return seconds


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_only_asks(number, capfd):
    before = signal.getsignal(number)
    with Interruption() as asked:
        assert asked.signal is None
        signal.raise_signal(number)
        assert asked.signal is number
        assert "finishing this step, then saving" in capfd.readouterr().err
    assert signal.getsignal(number) is before


def test_what_arrives_twice_at_once_is_one_request(clock):
    """Under torchrun one Ctrl-C comes from the terminal and from torchrun."""
    with Interruption(says_so=False) as asked:
        signal.raise_signal(signal.SIGINT)
        clock[0] += 0.9
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert asked.signal is signal.SIGINT


def test_a_later_second_one_acts_as_usual(clock, capfd):
    before = signal.getsignal(signal.SIGINT)
    with Interruption(says_so=False):
        signal.raise_signal(signal.SIGINT)
        clock[0] += 1.1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before
    assert capfd.readouterr().err == ""


def test_outside_the_main_thread_it_is_no_hindrance():
    seen = []

    def work():
        with Interruption() as asked:
            seen.append(asked.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody interrupts, with the text that it reads."""
    folder = tmp_path_factory.mktemp("whole")
    documents = write_documents(folder / "documents.jsonl")
    return documents, pretrain(quick_pretraining(folder, documents, steps=6), progress=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_finishes_its_step_saves_and_says_how_to_go_on(tmp_path, known_speed, capsys, whole, number):
    documents, reference = whole
    config = quick_pretraining(tmp_path, documents, steps=6)

    def interrupt(record):
        if record["kind"] == "step" and record["step"] == 5:
            os.kill(os.getpid(), number)

    result = pretrain(config, progress=False, on_record=interrupt)
    assert not result.is_finished
    assert result.stopped_by is number
    assert result.series("loss")[0].tolist() == [1, 2, 3, 4, 5]
    assert CheckpointFolder(config.run).steps()[-1] == 5, "though 5 is no step to save at"
    name = signal.Signals(number).name
    said = capsys.readouterr().out
    assert (
        f"{name}: stopped after step 5 of 6; everything is saved. Resume with the same command and --resume"
        in said
    )
    assert not config.output.exists()
    with pytest.raises(ValueError, match="has not reached its last step"):
        result.load_model()
    resumed = pretrain(config, resume=True, progress=False)
    assert resumed.is_finished
    assert resumed.stopped_by is None
    np.testing.assert_array_equal(resumed.series("loss"), reference.series("loss"))
    assert config.output.is_file()


def test_the_signal_of_another_process_is_named(tmp_path, known_speed, capsys, whole, monkeypatch):
    monkeypatch.setattr(Processes, "highest", lambda self, value: float(signal.SIGTERM))
    result = pretrain(quick_pretraining(tmp_path, whole[0], steps=6), progress=False)
    assert result.stopped_by is signal.SIGTERM
    assert "SIGTERM: stopped after step 1 of 6; everything is saved" in capsys.readouterr().out
