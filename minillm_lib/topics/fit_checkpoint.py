"""The state of a fit on disk, from which it can go on."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from minillm_lib.io.array_file import ArrayFileError, read_arrays, write_arrays
from minillm_lib.io.atomic_write import check_folder
from minillm_lib.io.leftovers import remove_leftovers
from minillm_lib.topics.chains import Chains
from minillm_lib.topics.gibbs_sampler import Tokens

_KIND, _VERSION = "lda-checkpoint", 1
_AGAIN = "to start the fit again, name another file, or delete this one if it is a checkpoint"


def fingerprint(counts: Tokens | sparse.csr_matrix | None) -> str:
    """Return a hash of tokens, or of a sparse matrix."""
    if counts is None:
        return "none"
    digest = hashlib.sha256()
    if isinstance(counts, Tokens):
        arrays = [counts.terms, counts.starts, counts.weights, np.array(counts.n_terms)]
    else:
        arrays = [counts.data, counts.indices, counts.indptr, np.array(counts.shape)]
    for array in arrays:
        digest.update(b"-" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()


class FitCheckpoint:
    """A file with the state of a fit.

    Parameters
    ----------
    path
        The file.
    settings
        All that the result depends on, as plain values. A state is only taken up with the same settings.
    every
        Seconds from one writing to the next.
    """

    def __init__(self, path: str | os.PathLike[str], settings: dict[str, Any], *, every: float) -> None:
        self._path = Path(path)
        if self._path.is_dir():
            raise ValueError(f"checkpoint={str(path)!r} is a folder; give the name of a file")
        check_folder(self._path.absolute().parent, f"cannot write the checkpoint {path}")
        remove_leftovers(
            self._path.absolute().parent, self._path.name
        )  # of a fit that was killed while it wrote
        self.settings = settings
        self._every = every
        self._last = time.monotonic()

    def read(self, *, any_seed: bool) -> dict[str, npt.NDArray[Any]] | None:
        """Return the state that the file holds, or None if there is no file.

        Parameters
        ----------
        any_seed
            Whether to take over the seed of the file.

        Raises
        ------
        ArrayFileError
            If it is no checkpoint, or damaged; the message says how to start again.
        ValueError
            If it is of other data or parameters.
        """
        if not self._path.exists():
            return None
        try:
            settings, state = read_arrays(self._path, _KIND, _VERSION)
        except ArrayFileError as error:
            raise ArrayFileError(f"{error}; {_AGAIN}") from None
        if any_seed:
            if type(seed := settings.get("random_state")) is not int or seed < 0:
                raise ArrayFileError(f"{self._path} has the random_state {seed!r}; {_AGAIN}")
            self.settings = {**self.settings, "random_state": seed}
        different = [name for name, value in self.settings.items() if settings.get(name) != value]
        if different:
            raise ValueError(
                f"the checkpoint {self._path} is of a fit with {_difference(different[0], settings, self.settings)}; "
                "fit as there to go on, or delete the file to start again"
            )
        return state

    def restore(self, chains: Chains, state: dict[str, npt.NDArray[Any]]) -> None:
        """Let chains go on from a state of :meth:`read`.

        Raises
        ------
        ArrayFileError
            If it is not a state of these chains, whatever its hash says; compiled code would trust it.
        """
        try:
            chains.restore(state)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArrayFileError(f"{self._path} is no state of this fit: {error}; {_AGAIN}") from None

    def write_if_due(self, chains: Chains) -> None:
        """Write the state if the last writing is long enough ago."""
        if time.monotonic() - self._last >= self._every:
            self._write(chains)
            self._last = time.monotonic()

    def close(self, chains: Chains, *, is_complete: bool) -> None:
        """Remove the file after a complete fit; otherwise write the last state."""
        if is_complete:
            self._path.unlink(missing_ok=True)
        else:
            self._write(chains)

    def _write(self, chains: Chains) -> None:
        write_arrays(self._path, _KIND, _VERSION, self.settings, chains.state())


def _difference(name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    if name == "data":
        return "other data"
    if name == "seed_terms":
        return "other seed_terms"
    if name == "random_state":
        return "another random_state"
    if name == "n_blocks":  # a chain is sampled in as many as there are threads
        return f"n_threads={theirs.get(name)!r}, and not {ours[name]!r} (--threads)"
    return f"{name}={theirs.get(name)!r}, and not {ours[name]!r}"
