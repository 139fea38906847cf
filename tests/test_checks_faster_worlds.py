"""The exact distribution of a program's results: every course is run once, with its probability."""

from __future__ import annotations

import pytest
import torch

from minillm_lib.checks.exercises.faster.worlds import distribution_of

P = torch.tensor([0.5, 0.0, 0.3, 0.2])


def test_one_draw_gives_its_own_distribution_without_what_is_impossible():
    assert distribution_of(lambda chance: chance.draw(P)) == pytest.approx({0: 0.5, 2: 0.3, 3: 0.2})


def test_results_that_come_about_in_several_ways_are_added_up():
    found = distribution_of(lambda chance: chance.draw(P) + chance.draw(P))
    assert found == pytest.approx({0: 0.25, 2: 0.3, 3: 0.2, 4: 0.09, 5: 0.12, 6: 0.04})


def test_what_is_asked_may_depend_on_earlier_answers():
    def program(chance):
        return chance.draw(P) if chance.happens(0.25) else -1

    assert distribution_of(program) == pytest.approx({-1: 0.75, 0: 0.125, 2: 0.075, 3: 0.05})


def test_certain_and_impossible_events_do_not_branch():
    assert distribution_of(lambda chance: (chance.happens(1), chance.happens(0.0))) == {(True, False): 1.0}


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match=r"add up to 1\.5"):
        distribution_of(lambda chance: chance.draw(torch.tensor([0.5, 1.0])))
    with pytest.raises(ValueError, match=r"1\.2 is no probability"):
        distribution_of(lambda chance: chance.happens(1.2))


def test_endless_questions_end():
    def program(chance):
        return sum(chance.happens(0.5) for _ in range(20))

    with pytest.raises(RuntimeError, match="chance is asked"):
        distribution_of(program)
