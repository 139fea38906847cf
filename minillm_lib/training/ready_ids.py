"""Text that has been encoded already: ``.npy`` arrays and raw ``.bin`` files become token files for training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from minillm_lib.io.wording import number_of
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.token_file import TokenFile, pack_ids

# Karpathy's llm.c writes 256 int32 before the ids; the first tells their type.
_LLM_C_HEADER = 256 * 4
_LLM_C_TYPES: dict[int, np.dtype[Any]] = {20240520: np.dtype("<u2"), 20240801: np.dtype("<u4")}
_RAW_TYPES = ("uint16", "uint32", "int32", "int64")
_NEARLY_ALL = 0.99
_HELD_OUT = 0.05
_CHUNK = 1 << 22


class IdsError(ValueError):
    """A file of ids cannot be packed; the message names the file and what is wrong with it."""


@dataclass
class PackedIds:
    """What :func:`pack_ready_ids` has written.

    Attributes
    ----------
    train, validation
        The two token files.
    notes
        What was found and decided, in words for the user.
    """

    train: TokenFile
    validation: TokenFile
    notes: list[str] = field(default_factory=list)


def pack_ready_ids(
    paths: Sequence[Path],
    folder: Path,
    *,
    tokenizer: Path | None = None,
    vocab_size: int | None = None,
    validation: Path | None = None,
    dtype: str = "uint16",
    big_endian: bool = False,
    eos_id: int | None = None,
    progress: bool = True,
) -> PackedIds:
    """Pack files of token ids for training, with the tokenizer that encoded them.

    A ``.npy`` file holds integers, ``(n_tokens,)``, or ``(n_documents, seq)`` with a document per row. Any other file
    is raw: one id after the other, as nanoGPT writes them, or behind a header of llm.c, which states their type.
    Nothing is added or changed, but padding at the end of rows is left out; where rows are padded with ``eos_id``, the
    first one stays. A document ends after each ``eos_id``.

    Parameters
    ----------
    paths
        Files with training text.
    folder
        Where ``train.tokens``, ``validation.tokens`` and the tokenizer go; ``data.packed`` names it in a configuration.
    tokenizer
        A ``tokenizer.model`` or ``tokenizer.json``, or a folder that holds one.
    vocab_size
        The number of ids, if there is no tokenizer. No run can read such files, but a loop of your own can.
    validation
        A file with held-out text; by default, the last 5 % of the documents are held out, or of a single one its end.
    dtype, big_endian
        The type of the ids in raw files without a header.
    eos_id
        The id that ends a document; the tokenizer's by default.

    Raises
    ------
    IdsError
        If a file is no such file, its ids are of another type, or an id is not of the vocabulary.
    """
    own = None if tokenizer is None else _loaded(tokenizer)
    if (own is None) == (vocab_size is None):
        raise IdsError("give either --tokenizer, the one that has encoded the ids, or --vocab-size")
    if own is not None:
        vocab_size, eos_id = own.vocab_size, own.eos_id if eos_id is None else eos_id
    assert vocab_size is not None
    notes: list[str] = []
    reader = _Reader(
        vocab_size, _raw_type(dtype, big_endian), eos_id, None if own is None else own.pad_id, notes
    )
    train = [reader.read(path) for path in paths]
    held_out = [reader.read(validation)] if validation is not None else _hold_out(train, notes)
    folder.mkdir(parents=True, exist_ok=True)
    if own is not None:
        own.save(folder)
    train_file, held_out_file = (
        pack_ids(chain.from_iterable(parts), vocab_size, folder / f"{name}.tokens", own, progress=progress)
        for name, parts in (("train", train), ("validation", held_out))
    )
    return PackedIds(train_file, held_out_file, notes)


def _loaded(path: Path) -> Tokenizer:
    try:
        return Tokenizer.load(path)
    except FileNotFoundError as error:
        raise IdsError(f"--tokenizer {path}: {error}") from None


def _raw_type(name: str, big_endian: bool) -> np.dtype[Any]:
    if name not in _RAW_TYPES:
        raise IdsError(f"--dtype is {name!r}; allowed are {', '.join(_RAW_TYPES)}")
    return np.dtype(name).newbyteorder(">" if big_endian else "<")


@dataclass
class _Documents:
    """A stretch of ids on the disk as documents: where each begins and ends."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.ids[start:end] for start, end in zip(self.starts, self.ends, strict=True))

    @property
    def n_ids(self) -> int:
        return int((self.ends - self.starts).sum())

    def split(self, n_ids: int) -> _Documents:
        """Take about as many ids off the end, in whole documents if there are several; return what was taken."""
        remaining = np.cumsum((self.ends - self.starts)[::-1])[::-1]  # ids from each document on
        first = int(np.abs(remaining - n_ids).argmin())
        if first == 0 or len(self.starts) == 1:
            first = len(self.starts) - 1
            cut = max(int(self.ends[-1]) - n_ids, int(self.starts[-1]))
            taken = _Documents(self.ids, np.array([cut]), self.ends[-1:])
            self.ends = np.append(self.ends[:-1], cut)
            return taken
        taken = _Documents(self.ids, self.starts[first:], self.ends[first:])
        self.starts, self.ends = self.starts[:first], self.ends[:first]
        return taken


@dataclass(frozen=True)
class _Reader:
    """Reads files of ids, checks them, and divides them into documents."""

    vocab_size: int
    raw_type: np.dtype[Any]
    eos_id: int | None
    pad_id: int | None
    notes: list[str]

    def read(self, path: Path) -> _Documents:
        """Open a file and find its documents; the ids stay on the disk."""
        ids = self._ids(path)
        flat = ids.reshape(-1)
        self._check(path, flat)
        if ids.ndim == 2:
            starts = np.arange(len(ids)) * ids.shape[1]
            ends = starts + np.array([self._length(row) for row in ids])
            n_padding = ids.size - int((ends - starts).sum())
            left_out = f", {n_padding:,} of padding at their ends left out" * bool(n_padding)
            self.notes.append(f"{path}: {len(ids):,} rows, each a document; {ids.size:,} ids{left_out}")
            return _Documents(flat, starts, ends)
        found = [
            start + np.flatnonzero(flat[start : start + _CHUNK] == self.eos_id) + 1
            for start in range(0, len(flat) if self.eos_id is not None else 0, _CHUNK)
        ]
        ends = np.concatenate([*found, np.array([], dtype=np.int64)]).astype(np.int64)
        if not len(ends) or ends[-1] < len(flat):
            ends = np.append(ends, len(flat))
        rule = (
            "no end-of-text id is known" if self.eos_id is None else f"a document ends after id {self.eos_id}"
        )
        self.notes.append(f"{path}: {len(flat):,} ids ({ids.dtype.name}), {len(ends):,} documents; {rule}")
        return _Documents(flat, np.concatenate([[0], ends[:-1]]), ends)

    def _ids(self, path: Path) -> np.ndarray:
        if not path.is_file():
            raise IdsError(f"there is no file {path}")
        if path.suffix == ".npy":
            try:
                ids: np.ndarray = np.lib.format.open_memmap(path, mode="r")
            except Exception as error:  # a damaged header ends in whatever reading it as Python raises
                problem = " ".join(str(error).split()) or type(error).__name__
                raise IdsError(f"{path} is no .npy file of numbers, or it is damaged: {problem}") from None
            if not np.issubdtype(ids.dtype, np.integer) or ids.ndim not in (1, 2):
                raise IdsError(
                    f"{path} holds {ids.dtype} of shape {ids.shape}; it must hold integers, (n_tokens,) or "
                    "(n_documents, seq)"
                )
        else:
            ids = self._raw(path)
        if not ids.size:
            raise IdsError(f"{path} holds no ids")
        if np.iinfo(ids.dtype).max < self.vocab_size - 1:
            raise IdsError(
                f"{path}: {ids.dtype.name} cannot hold the {self.vocab_size:,} ids of the vocabulary: if a raw file "
                "holds another type, --dtype says so; otherwise the larger ids were lost when it was written"
            )
        return ids

    def _raw(self, path: Path) -> np.ndarray:
        size, start, kind = path.stat().st_size, 0, self.raw_type
        stated = _LLM_C_TYPES.get(int(np.fromfile(path, "<i4", 1)[0])) if size >= _LLM_C_HEADER else None
        if stated is not None:
            start, kind = _LLM_C_HEADER, stated
            self.notes.append(
                f"{path}: its header of {start:,} bytes, of llm.c, is passed over; by it, the ids are {kind.name}"
            )
        if (size - start) % kind.itemsize:
            raise IdsError(
                f"{path} has {number_of(size, 'byte')}, which is no multiple of {kind.itemsize}: it does not hold "
                f"{kind.name}; --dtype states another type"
            )
        ids: np.ndarray = np.memmap(path, kind, "r", start) if size > start else np.empty(0, kind)
        if stated is None:
            self._check_width(path, ids)
        return ids

    def _check_width(self, path: Path, ids: np.ndarray) -> None:
        """Check that an id is not read as several, which may all be of the vocabulary: itself and zeros."""
        beginning = ids[:_CHUNK].tobytes()
        for code in ("<i8", ">i8", "<u4", ">u4"):
            wide = np.dtype(code)
            if wide.itemsize <= ids.itemsize:
                continue
            read = np.frombuffer(beginning, wide, len(beginning) // wide.itemsize)
            if len(read) and ((read >= 0) & (read < self.vocab_size)).mean() >= _NEARLY_ALL:
                options = f"--dtype {wide.name}" + " --big-endian" * code.startswith(">")
                raise IdsError(
                    f"{path} seems to hold {wide.name}, not {ids.dtype.name}: as {wide.name}, nearly all of its values "
                    f"are ids of the vocabulary; {options} says so, and a .npy file leaves no doubt"
                )

    def _check(self, path: Path, ids: np.ndarray) -> None:
        for start in range(0, len(ids), _CHUNK):
            part = ids[start : start + _CHUNK]
            wrong = np.flatnonzero((part < 0) | (part >= self.vocab_size))
            if len(wrong):
                place = start + int(wrong[0])
                raise IdsError(
                    f"{path}: the id at position {place:,} is {int(ids[place])}, and the vocabulary has "
                    f"{self.vocab_size:,} ids, from 0; {self._reason(ids)}"
                )

    def _reason(self, ids: np.ndarray) -> str:
        swapped = np.asarray(ids[:_CHUNK]).byteswap()
        if swapped.min() >= 0 and swapped.max() < self.vocab_size:
            return "with their bytes in the other order, they would fit: --big-endian says so of a raw file"
        return "they are of another tokenizer, or of another type (--dtype)"

    def _length(self, row: np.ndarray) -> int:
        """Return the length of a row without the padding at its end, whose first id may be the text's own end."""
        tokens = np.flatnonzero(row != self.pad_id)
        has_end = self.pad_id == self.eos_id
        return min(int(tokens[-1]) + 1 + has_end, len(row)) if len(tokens) else 0


def _hold_out(parts: list[_Documents], notes: list[str]) -> list[_Documents]:
    """Take about 5 % of all ids off the end of the last file, or its last documents; of a single document, its end."""
    total = sum(each.n_ids for each in parts)
    held_out = parts[-1].split(min(max(round(_HELD_OUT * total), 1), parts[-1].n_ids // 2))
    notes.append(
        f"{held_out.n_ids:,} of {total:,} ids are held out, at the end of the last file; "
        "--validation names a file instead"
    )
    return [held_out]
