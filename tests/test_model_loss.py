import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn.functional import cross_entropy, linear
from torch.utils._python_dispatch import TorchDispatchMode

from minillm_lib.model.loss import chunk_cross_entropy, linear_cross_entropy


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def problem(n_tokens, hidden_size=24, vocab_size=50, ignored=0.0, dtype=torch.float64):
    hidden = torch.randn(n_tokens, hidden_size, dtype=dtype, requires_grad=True)
    weight = torch.randn(vocab_size, hidden_size, dtype=dtype, requires_grad=True)
    labels = torch.randint(0, vocab_size, (n_tokens,))
    labels[torch.rand(n_tokens) < ignored] = -100
    return hidden, weight, labels


@given(
    n_tokens=st.integers(1, 60),
    chunk_tokens=st.integers(1, 70),
    ignored=st.sampled_from([0.0, 0.5]),
    reduction=st.sampled_from(["mean", "sum"]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=80, deadline=None)
def test_value_and_gradients_are_those_of_cross_entropy(n_tokens, chunk_tokens, ignored, reduction, seed):
    torch.manual_seed(seed)
    hidden, weight, labels = problem(n_tokens, ignored=ignored)
    labels[0] = 7
    expected = cross_entropy(linear(hidden, weight).float(), labels, reduction=reduction)
    loss = linear_cross_entropy(hidden, weight, labels, reduction=reduction, chunk_tokens=chunk_tokens)
    torch.testing.assert_close(loss, expected)
    wanted = torch.autograd.grad(3 * expected, (hidden, weight))
    found = torch.autograd.grad(3 * loss, (hidden, weight))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n_tokens", "n_counted", "sizes"), [
    (100, 100, [32, 32, 32, 4]), (100, 97, [32, 32, 32, 4]), (100, 60, [32, 32]), (100, 1, [32]), (100, 0, [32]),
    (20, 3, [20]),
])  # fmt: skip
def test_chunks_without_labels_are_left_out_and_the_others_are_full(n_tokens, n_counted, sizes):
    hidden, weight, labels = problem(n_tokens)
    labels[torch.randperm(n_tokens)[n_counted:]] = -100
    seen = []

    def step(hidden, *others):
        seen.append(len(hidden))
        return chunk_cross_entropy(hidden, *others)

    loss = linear_cross_entropy(hidden, weight, labels, reduction="sum", chunk_tokens=32, chunk_step=step)
    expected = cross_entropy(linear(hidden, weight).float(), labels, reduction="sum")
    torch.testing.assert_close(loss, expected)
    assert seen == sizes
    found, wanted = (torch.autograd.grad(each, (hidden, weight)) for each in (loss, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_another_label_may_be_the_ignored_one():
    hidden, weight, labels = problem(30)
    loss = linear_cross_entropy(hidden, weight, labels, ignore_index=int(labels[0]))
    expected = cross_entropy(linear(hidden, weight).float(), labels, ignore_index=int(labels[0]))
    torch.testing.assert_close(loss, expected)


def test_nothing_to_learn_is_no_loss_and_no_gradient():
    hidden, weight, labels = problem(5)
    loss = linear_cross_entropy(hidden, weight, torch.full_like(labels, -100))
    loss.backward()
    assert loss.item() == 0
    assert not hidden.grad.any()
    assert not weight.grad.any()


def test_large_logits_do_not_overflow():
    hidden, weight, labels = problem(5, dtype=torch.float32)
    loss = linear_cross_entropy(1000 * hidden, weight, labels)
    torch.testing.assert_close(loss, cross_entropy(linear(1000 * hidden, weight), labels))
    assert torch.isfinite(torch.autograd.grad(loss, hidden)[0]).all()


class LargestTensor(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation makes."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        for tensor in output if isinstance(output, tuple | list) else [output]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return output


def test_no_more_logits_exist_at_once_than_those_of_a_chunk():
    hidden, weight, labels = problem(512, hidden_size=8, vocab_size=300)
    with LargestTensor() as chunked:
        linear_cross_entropy(hidden, weight, labels, chunk_tokens=16).backward()
    assert chunked.largest == max(16 * 300, hidden.numel(), weight.numel())
    with LargestTensor() as whole:
        cross_entropy(linear(hidden, weight), labels).backward()
    assert whole.largest == 512 * 300


def test_no_gradient_is_computed_where_none_is_wanted():
    hidden, weight, labels = problem(20)
    with torch.no_grad():
        without = linear_cross_entropy(hidden, weight, labels)
    assert not without.requires_grad
    torch.testing.assert_close(without, linear_cross_entropy(hidden, weight, labels).detach())


@pytest.mark.parametrize("n_tokens", [1, 100])
def test_under_autocast_gradients_come_back_in_the_parameters_dtype(n_tokens):
    hidden, weight, labels = problem(n_tokens, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, labels, chunk_tokens=32)
        expected = cross_entropy(linear(hidden, weight).float(), labels)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected)
    found, wanted = (torch.autograd.grad(each, (hidden, weight)) for each in (loss, expected))
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, atol=0.02 * theirs.abs().max().item(), rtol=0)
