from __future__ import annotations

from hypothesis import given, settings, strategies as st

from minillm_lib.training.progress import Progress, batch_of_step


@settings(max_examples=40)
@given(st.sets(st.integers(0, 40)), st.integers(0, 40))
def test_steps_read_the_batches_that_are_left_in_order(skipped, step):
    left = [number for number in range(200) if number not in skipped]
    assert batch_of_step(step, skipped) == left[step]


@settings(max_examples=40)
@given(st.sets(st.integers(0, 40)), st.integers(0, 40))
def test_leaving_out_a_batch_changes_nothing_before_it(skipped, step):
    number = batch_of_step(step, skipped)
    for earlier in range(step):
        assert batch_of_step(earlier, skipped) == batch_of_step(earlier, {*skipped, number})


def test_only_usual_losses_are_remembered_and_a_hundred_at_most():
    progress = Progress()
    for loss in range(150):
        progress.add_step(float(loss), n_tokens=10, is_usual=loss != 149)
    assert progress.recent_losses == [float(loss) for loss in range(49, 149)]
    assert (progress.step, progress.tokens) == (150, 1500)


def test_the_best_is_the_first_of_the_lowest():
    progress = Progress()
    found = []
    for loss in (3.0, 2.0, 2.0, float("nan"), 2.5, 1.0):
        found.append(progress.is_best(loss))
        if found[-1]:
            progress.remember_best(loss)
        progress.add_step(0.0, n_tokens=1)
    assert found == [True, True, False, False, False, True]
    assert (progress.best_loss, progress.best_step) == (1.0, 5)
