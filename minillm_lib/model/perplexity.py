"""How well a model predicts at each position, which shows where a context becomes too long for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.eval_view import in_eval_mode


@dataclass(frozen=True, slots=True)
class PositionBucket:
    """The mean loss, in nats, of the ``n_tokens`` tokens predicted from positions ``start`` to ``end - 1``."""

    start: int
    end: int
    n_tokens: int
    loss: float

    @property
    def perplexity(self) -> float:
        """``exp(loss)``: the number of equally likely tokens between which the model hesitates."""
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
    """Compute the mean next-token loss in buckets of positions, over windows of a text.

    Within the trained length, the loss falls with the position, since more is known. Beyond it, the loss of
    plain rotary positions rises steeply, and a scaling is judged by its curve there. To compare scalings, load the
    same checkpoint with each: ``load_checkpoint(path, rope_scaling={"rope_type": "yarn", "factor": 4})``. With
    ``dynamic``, every window is computed with the base for its full length.

    Parameters
    ----------
    token_ids
        ``(n_tokens,)``, a long text. It is split into windows without overlap, and the remainder is left out.
    window
        Tokens per window; by default the model's context length, which may be exceeded here.
    bucket
        Width of a bucket in positions.
    batch_size
        Number of windows computed at a time.

    Returns
    -------
    list of PositionBucket
        In order of position. They cover positions ``0`` to ``window - 2``, and the last position predicts the last
        token of the window.

    Raises
    ------
    ValueError
        If the text is not one-dimensional or is shorter than a window, or a window has fewer than 2 tokens.
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
    quiet = in_eval_mode(model)
    for rows in windows.split(batch_size):
        totals += _loss_by_position(quiet, rows.to(model.device)).sum(dim=0).cpu().double()
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
    """Return the loss of each token except the first, ``(batch, seq - 1)``, from few logits at a time."""
    hidden = model.hidden_states(tokens)[:, :-1]  # (batch, seq - 1, hidden)
    losses = [
        cross_entropy(linear(part, model.output_weight).float().mT, labels, reduction="none")
        for part, labels in zip(hidden.split(chunk, dim=1), tokens[:, 1:].split(chunk, dim=1), strict=True)
    ]
    return torch.cat(losses, dim=1)
