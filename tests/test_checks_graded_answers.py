"""Answers get the marks in another process, where submissions are graded, that they get in the learner's notebook."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_checks_answers import BANKS, MODULES

from minillm_lib.checks.limits import Limits
from minillm_lib.checks.notebook_run import judged
from minillm_lib.checks.registry import check
from minillm_lib.checks.remote_answer import answer_of
from minillm_lib.checks.submission_process import Starter
from minillm_lib.checks.work_clock import WorkClock

TESTS = Path(__file__).parent
WITH_GRADIENTS = {"counts_to_gradients", "decoder", "training_loop"}


@pytest.fixture(scope="module")
def starter():
    made = Starter()
    yield made
    made.close()


@contextmanager
def bank_in_a_process(starter, folder, module):
    """A process that has imported the answers of a notebook, and a function that returns one of them."""
    with starter.session(folder, Limits(), WorkClock(), ["torch", "minillm_lib.model"]) as session:

        def run(source):
            reply = session.conversation.request("run", 90, source=source, limit=60)
            assert reply["problem"] is None

        def answer(kind, name, index):
            run(f"answer = bank.{kind}[{name!r}][{index}]")
            reply = session.conversation.request("look", 30, name="answer")
            return answer_of(reply)

        run(f"import sys; sys.path.insert(0, {str(TESTS)!r}); import answers.{module} as bank")
        yield session, answer


@pytest.mark.parametrize(
    "module",
    [pytest.param(name, marks=() if name in WITH_GRADIENTS else pytest.mark.slow) for name in MODULES],
)
def test_right_answers_pass_and_wrong_ones_get_their_message(module, starter, tmp_path):
    bank = BANKS[MODULES.index(module)]
    with bank_in_a_process(starter, tmp_path, module) as (session, answer):
        for name, answers in bank.RIGHT.items():
            for index in range(len(answers)):
                result = judged(session, getattr(check, name), answer("RIGHT", name, index))
                assert result.passed, (index, result)
        for name, answers in bank.WRONG.items():
            for index, (_, part) in enumerate(answers):
                result = judged(session, getattr(check, name), answer("WRONG", name, f"{index}][0"))
                assert result.status == "failed", (index, result)
                assert re.search(part, result.message), (index, result.message)
