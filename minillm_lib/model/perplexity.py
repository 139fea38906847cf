"""How well a model predicts, by position: where a context becomes too long for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from minillm_lib.model.decoder import MiniLLM


@dataclass(frozen=True, slots=True)
class PositionBucket:
    """Mean loss of the tokens predicted from positions ``start`` to ``end - 1``, in nats."""

    start: int
    end: int
    n_tokens: int
    loss: float

    @property
    def perplexity(self) -> float:
        """``exp(loss)``: among how many equally likely pieces the model hesitates."""
        return math.exp(self.loss)


@torch.inference_mode()
def perplexity_by_position(
    model: MiniLLM,
    token_ids: Tensor,
    *,
    window: int | None = None,
    bucket: int = 128,
    batch_size: int = 1,
) -> list[PositionBucket]:
    """Mean next-token loss in buckets of positions, over windows of a text.

    Within the trained length the loss falls with the position, since more is known. Beyond it the loss of
    plain rotary positions rises steeply; a scaling is as good as the curve it gives there. Load the same
    checkpoint with
    each to compare them: ``load_checkpoint(path, rope_scaling={"rope_type": "yarn", "factor": 4})``. Under
    ``dynamic`` every window is computed with the base of its full length.

    Parameters
    ----------
    token_ids
        ``(n_tokens,)``, a long text, cut into windows without overlap; what remains at its end is left out.
    window
        Tokens a window; by default the model's context length, which may be exceeded here.
    bucket
        Width of a bucket in positions.
    batch_size
        Windows computed at a time.

    Returns
    -------
    list of PositionBucket
        In order; they cover positions ``0`` to ``window - 2``, the last of which predicts the window's last
        token.

    Raises
    ------
    ValueError
        If the text is shorter than a window.
    """
    window = window or model.config.context_length
    n_windows = len(token_ids) // window
    if token_ids.dim() != 1 or n_windows == 0 or window < 2:
        raise ValueError(
            f"token_ids has the shape {tuple(token_ids.shape)}; expected one dimension of at least window={window} "
            "tokens, and a window of at least 2"
        )
    windows = token_ids[: n_windows * window].view(n_windows, window)
    totals = torch.zeros(window - 1, dtype=torch.float64)
    was_training = model.training
    model.eval()
    for rows in windows.split(batch_size):
        totals += _loss_by_position(model, rows.to(model.device)).sum(dim=0).cpu().double()
    model.train(was_training)
    return [
        PositionBucket(
            start=start,
            end=start + len(part),
            n_tokens=n_windows * len(part),
            loss=part.sum().item() / (n_windows * len(part)),
        )
        for start, part in zip(range(0, window - 1, bucket), totals.split(bucket), strict=True)
    ]


def _loss_by_position(model: MiniLLM, tokens: Tensor, chunk: int = 512) -> Tensor:
    """Loss of each token but the first given those before it, ``(batch, seq - 1)``, few logits at a time."""
    hidden = model.hidden_states(tokens)[:, :-1]  # (batch, seq - 1, hidden)
    losses = [
        cross_entropy(linear(part, model.output_weight).float().mT, labels, reduction="none")
        for part, labels in zip(hidden.split(chunk, dim=1), tokens[:, 1:].split(chunk, dim=1), strict=True)
    ]
    return torch.cat(losses, dim=1)
