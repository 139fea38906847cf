"""Where the loss of a run should be: the band around a recorded one, kept as ``reference-band.json``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.training.run import FloatArray, RunMetrics, RunSource, noise_of, smoothed

FILE_NAME = "reference-band.json"
_POINTS = 40
_SAME_SPEED = 1.25  # a run counts as on its way if it is as far as this one a quarter earlier or later
_SAME_SIZE = 0.01
_KIND = ("stage", "parameters", "vocab_size")


@dataclass(frozen=True)
class ReferenceBand:
    """Bounds of the smoothed training loss in nats, at numbers of tokens read; in between, in a straight line over
    the logarithm of the tokens.

    ``parameters``, ``vocab_size``, ``stage`` and ``corpora`` say which runs it holds for.
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
        """Write it as JSON."""
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
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is no reference band: {error}") from None

    def fits(self, metrics: RunMetrics) -> bool:
        """Whether a run of this stage, vocabulary and size (to 1 %) can be compared."""
        start = metrics.start
        return (
            start.get("stage") == self.stage
            and start.get("vocab_size") == self.vocab_size
            and abs(start.get("parameters", 0) - self.parameters) <= _SAME_SIZE * self.parameters
        )

    def at(self, tokens: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The lower and the upper bound at numbers of tokens, nan outside of what was recorded; ``(n,)`` each."""
        places, own = np.log(np.maximum(tokens, 1)), np.log(self.tokens)
        low, high = (
            np.interp(places, own, bound, left=np.nan, right=np.nan) for bound in (self.low, self.high)
        )
        return low, high


def reference_band(*runs: RunSource | RunMetrics, name: str = "reference") -> ReferenceBand:
    """The band that one or several runs of the same kind span.

    At each number of tokens it reaches from the lowest to the highest smoothed loss that a run had between a quarter
    fewer and a quarter more tokens, and three standard errors of the smoothed loss further.

    Raises
    ------
    ValueError
        Without a run, for runs of different kinds, and for a run of fewer than twenty steps.
    """
    if not runs:
        raise ValueError("no run is given to make a band from")
    every = [RunMetrics.of(run) for run in runs]
    kinds = {tuple(each.start.get(key) for key in _KIND) for each in every}
    if len(kinds) > 1 or None in next(iter(kinds)):
        raise ValueError(f"a band needs runs of one {', '.join(_KIND)}; these have {kinds}")
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
    def of(cls, metrics: RunMetrics) -> _Curve:
        tokens, loss = metrics.values("tokens"), metrics.values("loss")
        if len(loss) < 20:
            raise ValueError(f"a band needs a run of twenty steps at least; this one has {len(loss)}")
        window = max(len(loss) // 30, 5)
        return cls(tokens, smoothed(loss, window), noise_of(loss) / np.sqrt(window))

    def range_around(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The lowest and highest loss within a quarter of each number of tokens."""
        bounds: list[tuple[float, float]] = []
        for point in points:
            first, last = np.searchsorted(self.tokens, (point / _SAME_SPEED, point * _SAME_SPEED))
            inside = self.loss[max(first - 1, 0) : last + 1]
            bounds.append((np.nanmin(inside) - 3 * self.error, np.nanmax(inside) + 3 * self.error))
        low, high = np.array(bounds).T
        return low, high


def corpora_of(metrics: RunMetrics) -> list[str]:
    """The names of what a run reads, from its configuration."""
    data: Any = metrics.setting("data") or {}
    sources = data.get("corpora") or data.get("conversations") or []
    return [str(source.get("name") or source.get("path")) for source in sources]


def find_reference_band(metrics: RunMetrics, folder: str | os.PathLike[str]) -> ReferenceBand | None:
    """The band in ``folder``, or in a folder of it, that a run can be compared with; one on the same text first."""
    found = [ReferenceBand.load(path) for path in sorted(Path(folder).glob(f"**/{FILE_NAME}"))]
    fitting = [band for band in found if band.fits(metrics)]
    return min(fitting, key=lambda band: band.corpora != corpora_of(metrics), default=None)
