"""The file of a bag of words: JSON lines, of which the first has the SHA-256 of the rest.

The format is plain text for two reasons: anyone can see what is in it, and its bytes depend only on the content, not on
the version of a compressor. The line after the header has the vocabulary, the recipe and the report; then follows one
line per document.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from minillm_lib.io.atomic_write import open_atomically
from minillm_lib.io.json_text import parse_json
from minillm_lib.io.regular_file import check_regular
from minillm_lib.topics.counts.document_input import as_json_value

_FORMAT = "minillm bag of words, version 1"
_SHARED = ("vocabulary", "recipe", "report")
_LONGEST_LINE = 1 << 27  # bytes; that of a vocabulary of a million terms has a tenth
_MOST_COUNT = np.iinfo(np.int32).max


def write_bag(
    path: str | os.PathLike[str],
    counts: csr_matrix,
    meta: Sequence[Mapping[str, Any]],
    shared: Mapping[str, Any],
) -> None:
    """Write a bag of words, either completely or not at all.

    Parameters
    ----------
    shared
        ``vocabulary``, ``recipe`` and ``report`` as JSON values.
    """
    digest = hashlib.sha256()
    for line in _body(counts, meta, shared):
        digest.update(line)
    header = {"format": _FORMAT, "documents": len(meta), "sha256": digest.hexdigest()}
    with open_atomically(path) as file:
        file.write(_json_line(header))
        for line in _body(counts, meta, shared):
            file.write(line)


def _body(
    counts: csr_matrix, meta: Sequence[Mapping[str, Any]], shared: Mapping[str, Any]
) -> Iterator[bytes]:
    yield _json_line(shared)
    for facts, start, end in zip(meta, counts.indptr[:-1], counts.indptr[1:], strict=True):
        terms, numbers = counts.indices[start:end].tolist(), counts.data[start:end].tolist()
        yield _json_line({"meta": as_json_value(facts), "terms": terms, "counts": numbers})


def _json_line(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n").encode()


def read_bag(path: str | os.PathLike[str]) -> tuple[csr_matrix, list[dict[str, Any]], dict[str, Any]]:
    """Read what :func:`write_bag` wrote.

    Returns
    -------
    counts, meta, shared
        As for :func:`write_bag`.

    Raises
    ------
    ValueError
        If the file is no bag of words, is not intact, or holds what no bag of words can hold; or if it is a folder, a
        pipe or a device.
    """
    check_regular(path)
    with open(path, "rb") as file:
        header = _header(path, file.readline(_LONGEST_LINE))
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
        if digest.hexdigest() != header["sha256"]:
            raise ValueError(
                f"{path} is damaged: its content does not match the SHA-256 in its header, {header['sha256']}"
            )
        file.seek(0)
        file.readline()
        shared = _parsed(path, 2, file.readline(_LONGEST_LINE + 1), _SHARED)
        vocabulary = shared["vocabulary"]
        if not _is_vocabulary(vocabulary):
            raise _faulty(path, 2, "the vocabulary is not a list of different terms in alphabetical order")
        terms, numbers, lengths, meta = [], [], [0], []
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), b""), 3):
            row = _parsed(path, number, line, ("meta", "terms", "counts"))
            if not isinstance(row["meta"], dict):
                raise _faulty(path, number, "meta is not an object")
            own, counts = _checked_counts(path, number, row["terms"], row["counts"], len(vocabulary))
            terms.append(own)
            numbers.append(counts)
            lengths.append(len(own))
            meta.append(row["meta"])
    if header.get("documents") != len(meta):
        raise ValueError(
            f"{path} is damaged: it has {len(meta)} documents, and its header says {header.get('documents')}"
        )
    none = [np.zeros(0, dtype=np.int32)]
    matrix = csr_matrix(
        (np.concatenate(none + numbers), np.concatenate(none + terms), np.cumsum(lengths)),
        shape=(len(meta), len(vocabulary)),
    )
    return matrix, meta, shared


def _header(path: str | os.PathLike[str], line: bytes) -> dict[str, Any]:
    try:
        header = parse_json(line)
        if header["format"] == _FORMAT and isinstance(header["sha256"], str):
            return dict(header)
    except (ValueError, LookupError, TypeError):
        pass
    raise ValueError(f"{path} is not a bag of words: its first line does not name the format {_FORMAT!r}")


def _parsed(path: str | os.PathLike[str], number: int, line: bytes, keys: Sequence[str]) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE:
        raise _faulty(path, number, f"it has more than {_LONGEST_LINE:,} bytes")
    try:
        value = parse_json(line)
    except ValueError as error:
        raise _faulty(path, number, f"it is not JSON: {error}") from None
    if not isinstance(value, dict) or not value.keys() >= set(keys):
        raise _faulty(path, number, f"it is not an object with {', '.join(keys)}")
    return value


def _is_vocabulary(terms: object) -> bool:
    return (
        isinstance(terms, list)
        and all(isinstance(term, str) for term in terms)
        and all(one < other for one, other in pairwise(terms))
    )


def _checked_counts(
    path: str | os.PathLike[str], number: int, terms: object, counts: object, n_terms: int
) -> tuple[np.ndarray, np.ndarray]:
    for name, values in (("terms", terms), ("counts", counts)):
        if not isinstance(values, list) or any(type(value) is not int for value in values):
            raise _faulty(path, number, f"{name} is not a list of whole numbers")
    assert isinstance(terms, list)
    assert isinstance(counts, list)
    if len(terms) != len(counts):
        raise _faulty(path, number, f"there are {len(counts)} counts for {len(terms)} terms")
    if terms and not 0 <= min(terms) <= max(terms) < n_terms:
        raise _faulty(path, number, f"a term is not one of the {n_terms} of the vocabulary")
    if any(one >= other for one, other in pairwise(terms)):
        raise _faulty(path, number, "its terms are not in order, or one appears twice")
    if counts and not 1 <= min(counts) <= max(counts) <= _MOST_COUNT:
        raise _faulty(path, number, f"a count is not from 1 to {_MOST_COUNT:,}")
    return np.array(terms, dtype=np.int32), np.array(counts, dtype=np.int32)


def _faulty(path: str | os.PathLike[str], number: int, problem: str) -> ValueError:
    return ValueError(f"{path}, line {number}: {problem}; the file was changed after it was written")
