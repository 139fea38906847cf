"""Cross-entropy of next tokens without ever holding the logits of an entire batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import linear, log_softmax

CHUNK_TOKENS = 512
GPU_CHUNK_TOKENS = 8192  # a GPU is idle in products of fewer rows

ChunkStep = Callable[[Tensor, Tensor, Tensor, int, Tensor | None], tuple[Tensor, Tensor | None]]
"""The type of :func:`chunk_cross_entropy`, as it is or compiled."""


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum"] = "mean",
    chunk_tokens: int | None = None,
    chunk_step: ChunkStep | None = None,
) -> Tensor:
    """Compute ``cross_entropy(hidden @ weight^T, labels)`` in chunks of tokens.

    The logits of a batch take more memory than the rest of a small model: those of 8 x 512 tokens with a vocabulary
    of 6400 are 105 MB, and ordinary code holds them several times. Here only one chunk exists at a time, and
    its gradient is computed immediately, so that the backward pass need not compute anything again.

    The same method: Hsu et al. 2024, "Liger Kernel", arXiv:2410.10989.

    Parameters
    ----------
    hidden
        ``(n_tokens, hidden_size)``.
    weight
        ``(vocab_size, hidden_size)``, the output head.
    labels
        ``(n_tokens,)``; tokens with the label ``ignore_index`` do not count.
    reduction
        ``"mean"`` over the tokens that count (0 if there is none), or their ``"sum"``.
    chunk_tokens
        Number of tokens in a chunk; by default 512 on a CPU and 8,192 elsewhere.
    chunk_step
        A compiled version of :func:`chunk_cross_entropy`; by default that function itself.

    Returns
    -------
    Tensor
        A float32 scalar, in nats.
    """
    on_cpu = hidden.device.type == "cpu"
    chunk_tokens = chunk_tokens or (CHUNK_TOKENS if on_cpu else GPU_CHUNK_TOKENS)
    if on_cpu:  # elsewhere, to ask how many tokens count would be to wait for the device
        hidden, labels = _counted_first(hidden, labels, ignore_index, chunk_tokens)
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    wants_gradient = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    total = _ChunkedCrossEntropy.apply(
        hidden, weight, labels, ignore_index, chunk_tokens, wants_gradient, chunk_step or chunk_cross_entropy
    )
    if reduction == "sum":
        return total
    return total / (labels != ignore_index).sum().clamp(min=1)


def _counted_first(
    hidden: Tensor, labels: Tensor, ignore_index: int, chunk_tokens: int
) -> tuple[Tensor, Tensor]:
    """Leave out chunks of tokens that do not count: in fine-tuning, most tokens are those of questions.

    The tokens that count come first, and others fill up their last chunk. So chunks stay equally long, and a compiled
    ``chunk_step`` need not be compiled for each number of tokens.
    """
    counts = labels != ignore_index
    n_chunks = max(-(-int(counts.sum()) // chunk_tokens), 1)
    if n_chunks * chunk_tokens >= len(labels):
        return hidden, labels
    kept = counts.int().argsort(descending=True, stable=True)[: n_chunks * chunk_tokens]
    return hidden[kept], labels[kept]


def chunk_cross_entropy(
    hidden: Tensor, weight: Tensor, labels: Tensor, ignore_index: int, weight_grad: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Return the summed loss of one chunk and its gradient with respect to ``hidden``.

    Parameters
    ----------
    hidden
        ``(chunk, hidden_size)``.
    weight
        ``(vocab_size, hidden_size)``, the output head.
    labels
        ``(chunk,)``; tokens with the label ``ignore_index`` do not count.
    weight_grad
        ``(vocab_size, hidden_size)`` in float32, to which the gradient with respect to ``weight`` is added; with
        ``None``, no gradient is computed.

    Returns
    -------
    tuple
        A float32 scalar, and a tensor ``(chunk, hidden_size)`` or ``None``.
    """
    counts = (labels != ignore_index)[:, None]  # (chunk, 1)
    label = labels[:, None].where(counts, 0)
    log_probabilities = log_softmax(linear(hidden, weight).float(), dim=-1)  # (chunk, vocab)
    total = -(log_probabilities.gather(1, label) * counts).sum()
    if weight_grad is None:
        return total, None
    grad = log_probabilities.exp_()
    if torch.compiler.is_compiling() or grad.is_cuda:  # can be fused with the rest; has no order of additions
        grad -= (torch.arange(grad.shape[1], device=grad.device) == label).to(grad.dtype)
    else:
        grad.scatter_add_(1, label, -torch.ones_like(label, dtype=grad.dtype))
    grad = grad.to(weight.dtype)  # (chunk, vocab)
    weight_grad += grad.T @ (hidden * counts)  # (vocab, hidden)
    return total, (grad @ weight) * counts


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The summed loss, with the gradients with respect to ``hidden`` and ``weight`` computed in the forward pass.

    The gradient of a token's loss with respect to its logits is ``softmax(logits) - onehot(label)``, which is known as
    soon as the logits are. The backward pass only multiplies it by the gradient with respect to the sum.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        ignore_index: int,
        chunk_tokens: int,
        wants_gradient: bool,
        chunk_step: ChunkStep,
    ) -> Tensor:
        """Return the summed loss of ``hidden``, ``(n_tokens, hidden_size)``, and keep both gradients."""
        total = torch.zeros((), device=hidden.device)
        hidden_grads = []
        weight_grad = torch.zeros_like(weight, dtype=torch.float32) if wants_gradient else None
        for x, y in zip(hidden.split(chunk_tokens), labels.split(chunk_tokens), strict=True):
            loss, hidden_grad = chunk_step(x, weight, y, ignore_index, weight_grad)
            total += loss
            if hidden_grad is not None:
                hidden_grads.append(hidden_grad)
        if weight_grad is not None:
            ctx.save_for_backward(torch.cat(hidden_grads), weight_grad.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the two gradients, times that of the sum, and ``None`` for each other argument."""
        hidden_grad, weight_grad = ctx.saved_tensors
        (scale,) = grad_outputs
        # In place, since new memory costs more than the product. A second backward pass is therefore an error.
        return hidden_grad.mul_(scale), weight_grad.mul_(scale), None, None, None, None, None
