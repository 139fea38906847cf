"""Where the loss of a run should be: a band around recorded runs, kept as ``reference-band.json``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.refusals import refusal_in_words
from minillm_lib.training.run import FloatArray, RunResult, RunSource, noise_of, smoothed

FILE_NAME = "reference-band.json"
_POINTS = 40
_SAME_SPEED = 1.25  # a run is on track if it reaches a loss up to a quarter earlier or later than this one
_SAME_SIZE = 0.01
_KIND = ("stage", "parameters", "vocab_size")


@dataclass(frozen=True)
class ReferenceBand:
    """Bounds of the smoothed training loss, in nats, at certain numbers of tokens read.

    Between these, the bounds are interpolated linearly over the logarithm of the tokens.

    Attributes
    ----------
    stage, parameters, vocab_size, corpora
        Which runs the band holds for.
    tokens, low, high
        The numbers of tokens, and the lower and upper bound at each.
    """

    name: str
    stage: str
    parameters: int
    vocab_size: int
    corpora: list[str]
    tokens: list[int]
    low: list[float]
    high: list[float]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the band as JSON."""
        path = Path(path)
        write_atomically(path, (json.dumps(asdict(self), ensure_ascii=False) + "\n").encode())
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ReferenceBand:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file holds no band.
        """
        try:
            band = TypeAdapter(cls).validate_json(Path(path).read_bytes())
        except ValidationError as error:
            raise ValueError(f"{path} is no reference band: {refusal_in_words(error)}") from None
        if not len(band.tokens) == len(band.low) == len(band.high) > 0:
            raise ValueError(f"{path} is no reference band: tokens, low and high must have as many values")
        if not np.isfinite([*band.low, *band.high]).all() or not (np.diff([0, *band.tokens]) > 0).all():
            raise ValueError(f"{path} is no reference band: tokens must rise, and bounds must be finite")
        return band

    def fits(self, metrics: RunResult) -> bool:
        """Return whether a run can be compared: the same stage and vocabulary size, and the same size to within 1 %."""
        start = metrics.start
        return (
            start.get("stage") == self.stage
            and start.get("vocab_size") == self.vocab_size
            and abs(start.get("parameters", 0) - self.parameters) <= _SAME_SIZE * self.parameters
        )

    def at(self, tokens: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the lower and upper bounds after these numbers of tokens, ``(n,)`` each; nan outside the record."""
        places, own = np.log(np.maximum(tokens, 1)), np.log(self.tokens)
        low, high = (
            np.interp(places, own, bound, left=np.nan, right=np.nan) for bound in (self.low, self.high)
        )
        return low, high


def reference_band(*runs: RunSource, name: str = "reference") -> ReferenceBand:
    """Compute the band that one or more runs of the same kind span.

    At each number of tokens, it reaches from the lowest to the highest smoothed loss that any of the runs had between a
    quarter fewer and a quarter more tokens, and three standard errors of the smoothed loss further on both sides.

    Raises
    ------
    ValueError
        If no run is given, the runs are of different kinds, or one has fewer than twenty steps.
    """
    if not runs:
        raise ValueError("no run is given to make a band from")
    every = [RunResult.of(run) for run in runs]
    kinds = {tuple(each.start.get(key) for key in _KIND) for each in every}
    if len(kinds) > 1 or None in next(iter(kinds)):
        raise ValueError(f"a band needs runs of the same {', '.join(_KIND)}; these have {kinds}")
    curves = [_Curve.of(metrics) for metrics in every]
    first, last = max(curve.tokens[0] for curve in curves), min(curve.tokens[-1] for curve in curves)
    recorded = curves[0].tokens
    points = np.unique(recorded[np.searchsorted(recorded, np.geomspace(first, last, _POINTS).round())])
    lows, highs = zip(*(curve.range_around(points) for curve in curves), strict=True)
    return ReferenceBand(
        name=name,
        **{key: every[0].start[key] for key in _KIND},
        corpora=corpora_of(every[0]),
        tokens=points.astype(int).tolist(),
        low=np.min(lows, axis=0).round(4).tolist(),
        high=np.max(highs, axis=0).round(4).tolist(),
    )


@dataclass(frozen=True)
class _Curve:
    """A smoothed training loss over tokens, and its standard error."""

    tokens: FloatArray
    loss: FloatArray
    error: float

    @classmethod
    def of(cls, metrics: RunResult) -> _Curve:
        tokens, loss = metrics.values("tokens"), metrics.values("loss")
        if len(loss) < 20:
            raise ValueError(f"a band needs runs of at least twenty steps; this one has {len(loss)}")
        window = max(len(loss) // 30, 5)
        return cls(tokens, smoothed(loss, window), noise_of(loss) / np.sqrt(window))

    def range_around(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and highest loss within a quarter of each number of tokens, widened by three errors."""
        bounds: list[tuple[float, float]] = []
        for point in points:
            first, last = np.searchsorted(self.tokens, (point / _SAME_SPEED, point * _SAME_SPEED))
            inside = self.loss[max(first - 1, 0) : last + 1]
            bounds.append((np.nanmin(inside) - 3 * self.error, np.nanmax(inside) + 3 * self.error))
        low, high = np.array(bounds).T
        return low, high


def corpora_of(metrics: RunResult) -> list[str]:
    """Return the names of the corpora or conversations that a run reads, from its configuration."""
    data: Any = metrics.setting("data") or {}
    sources = data.get("corpora") or data.get("conversations") or []
    return [str(source.get("name") or source.get("path")) for source in sources]


def find_reference_band(metrics: RunResult, folder: str | os.PathLike[str]) -> ReferenceBand | None:
    """Find a band for a run in ``folder`` and its subfolders, preferably one of the same text; None if none fits."""
    found = [ReferenceBand.load(path) for path in sorted(Path(folder).glob(f"**/{FILE_NAME}"))]
    fitting = [band for band in found if band.fits(metrics)]
    return min(fitting, key=lambda band: band.corpora != corpora_of(metrics), default=None)
