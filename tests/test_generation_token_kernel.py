"""The kernel's threads: one that stalls or comes late costs time and changes nothing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from minillm_lib.generation import token_kernel
from minillm_lib.generation.weight_table import WeightTable
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM

PAST = 5


@pytest.fixture(scope="module")
def step():
    """The step of one model as a function of thread, number of threads and workspace; the shape; and the logits."""
    torch.manual_seed(0)
    model = MiniLLM(ModelConfig.from_preset("nano", initializer_range=0.2, vocab_size=500)).eval()
    table, cache = WeightTable(model), model.new_cache(max_len=PAST + 1)
    with torch.inference_mode():
        model(torch.arange(PAST)[None], cache=cache)
        keys, values = cache.keys[:, 0].numpy().copy(), cache.values[:, 0].numpy().copy()
        logits = model(torch.tensor([[7]]), cache=cache)[0, -1].numpy()
        rotation = torch.cat(model.rotary(torch.tensor([[PAST]])), dim=1)[0, :, 0].numpy()

    def run(thread, n_threads, work):
        token_kernel.token_step(
            thread, n_threads, 7, PAST, table.shape, table.like, table.addresses, rotation, keys, values, work
        )

    run.model = model  # the addresses are valid as long as it lives
    return run, table.shape, logits


def fresh(shape):
    work = token_kernel.new_workspace(shape, 7, PAST + 1)
    for array in work:
        array[...] = 0
    return work


@pytest.mark.parametrize("thread", [0, 1, 2])
def test_each_thread_by_itself_computes_everything(step, thread):
    run, shape, logits = step
    work = fresh(shape)
    run(thread, 3, work)
    np.testing.assert_allclose(work.logits, logits, atol=1e-5)


def test_what_a_stalled_thread_has_claimed_is_computed_by_those_who_wait(step):
    run, shape, logits = step
    work = fresh(shape)
    work.claims[:] = 1  # claimed, all of it, by a thread that never comes back
    run(0, 2, work)
    np.testing.assert_allclose(work.logits, logits, atol=1e-5)


def test_a_late_thread_finds_nothing_to_do(step):
    run, shape, _ = step
    work = fresh(shape)
    run(0, 2, work)
    shared = work[:-1]  # all but the scratch memory of each thread
    before = [array.copy() for array in shared]
    run(1, 2, work)
    for array, earlier in zip(shared, before, strict=True):
        assert np.array_equal(array, earlier)


def test_a_repeated_step_is_the_same_to_the_bit_for_any_number_of_threads(step):
    run, shape, _ = step
    results = []
    for n_threads in (1, 2, 7):
        work = fresh(shape)
        run(n_threads - 1, n_threads, work)
        results.append(work.logits.copy())
    assert all(np.array_equal(result, results[0]) for result in results)


def test_infinite_and_undefined_weights_are_not_hidden(step):
    run, shape, _ = step
    weight = run.model.norm.weight
    with torch.no_grad():
        before = weight[0].item()
        weight[0] = float("nan")
        work = fresh(shape)
        run(0, 1, work)
        weight[0] = before
    assert np.isnan(work.logits).all()


def test_it_needs_no_place_to_keep_what_is_compiled():
    """Such as in a container without a home, where the package is installed by another user."""
    code = (
        "import numba.core.caching as caching\n"
        "def refuse(locator): raise OSError('read-only')\n"
        "caching._CacheLocator.ensure_cache_path = refuse\n"
        "from minillm_lib.generation import token_kernel; print(type(token_kernel.token_step._cache).__name__)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "NullCache"
