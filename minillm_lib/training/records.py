"""The lines of ``metrics.jsonl``: writing them, and reading them from a file that may be damaged.

Each line has a checksum as its last key, ``crc32``, which is verified and left out on reading. Files without checksums,
of earlier versions and in results/, are read as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minillm_lib.io.regular_file import check_regular
from minillm_lib.io.sealed_values import CHECKSUM_KEY, SealError, sealed, unsealed
from minillm_lib.io.wording import number_of, shown

Record = dict[str, Any]
"""A line of the metrics, such as ``{"kind": "step", "step": 1, "loss": 8.76, …}``."""

_INTEGERS = (
    "tokens",
    "labels",
    "memory",
    "n_tokens",
    "best_step",
    "parameters",
    "vocab_size",
    "tokens_per_epoch",
)
_NUMBERS = (
    *("loss", "grad_norm", "lr", "seconds", "tokens_per_second", "mfu", "perplexity", "bits_per_byte"),
    *("matmul_flops", "flops_per_token", "tokens_per_step", *_INTEGERS),
)
_TEXTS = ("prompt", "text", "problem", "reaction", "stage")
_NEEDED = {
    "step": ("loss", "tokens"),
    "evaluation": ("loss", "tokens", "perplexity", "bits_per_byte"),
    "sample": ("prompt", "text"),
    "warning": ("problem",),
}
_MAY_BE_NULL = ("loss", "grad_norm", "perplexity", "bits_per_byte")
_MOST_NAMED = 3
_SEAL = f'"{CHECKSUM_KEY}":'.encode()


@dataclass(frozen=True)
class FaultyLine:
    """A line that is no record: its number, from 1, its bytes, and what is wrong with it."""

    number: int
    content: bytes
    problem: str


def as_line(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of strict JSON with a checksum, in which numbers that JSON lacks are null."""
    values = sealed(_without_infinities(record))
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _without_infinities(value: Any) -> Any:
    """Replace numbers that JSON lacks by null, such as the norm of a gradient that a loss scaler discarded."""
    if isinstance(value, Mapping):
        return {key: _without_infinities(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_infinities(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_records(path: Path) -> tuple[list[Record], list[FaultyLine]]:
    """Read a ``metrics.jsonl``: its records, and the lines that are none.

    A missing file has no records. A last line without its end, which a process leaves that is killed while it writes,
    is one of the faulty lines; so is a line that does not match its checksum, or has none where others have one.

    Raises
    ------
    NotRegularFileError
        If there is something else than a file.
    """
    try:
        check_regular(path)
    except FileNotFoundError:
        return [], []
    records, faulty = list[Record](), list[FaultyLine]()
    n_blocks: int | None = None
    *lines, last = path.read_bytes().split(b"\n")
    are_sealed = any(_SEAL in line for line in lines)
    for number, line in enumerate([*lines, *([last] if last else [])], 1):
        if not line.strip():
            continue
        found = _parsed(line, are_sealed)
        norms = found.get("layer_grad_norms") if isinstance(found, dict) else None
        if norms is not None and n_blocks not in (None, len(norms)):
            found = (
                f"layer_grad_norms has {number_of(len(norms), 'number')}; the records before have {n_blocks}"
            )
        elif norms is not None:
            n_blocks = len(norms)
        if isinstance(found, str):
            is_cut = number > len(lines)
            faulty.append(FaultyLine(number, line, "it is cut off" if is_cut else found))
        else:
            records.append(found)
    return records, faulty


def faults_in_words(path: Path, faulty: Sequence[FaultyLine]) -> str:
    """Say which lines of a file are no records, and what records are."""
    named = "; ".join(f"line {each.number}: {each.problem}" for each in faulty[:_MOST_NAMED])
    more = f"; and {len(faulty) - _MOST_NAMED:,} more" * (len(faulty) > _MOST_NAMED)
    verb = "is no record and is" if len(faulty) == 1 else "are no records and are"
    return f"{path}: {number_of(len(faulty), 'line')} {verb} left out ({named}{more})"


def _parsed(line: bytes, is_sealed: bool) -> Record | str:
    """Return the record in a line, or what is wrong with it; ``is_sealed`` if the file's lines have checksums."""
    try:
        value = json.loads(line)
    except UnicodeDecodeError:
        return f"it is not UTF-8 text: {shown(line, 40)}"
    except (ValueError, RecursionError):
        return f"it is not JSON: {shown(line.decode('utf-8', 'replace'), 40)}"
    if not isinstance(value, dict):
        return f"it holds {shown(value, 40)}; a record is an object with a kind and a step"
    try:
        record = unsealed(value)
    except SealError as error:
        return f"it is {error}"
    problem = next(_problems(record), None)
    if problem is None and is_sealed and CHECKSUM_KEY not in value:
        problem = f"it has no checksum ({CHECKSUM_KEY}), unlike other lines"
    return problem or record


def _problems(record: Record) -> Iterator[str]:
    """Yield what is wrong with the values of a record."""
    kind, step = record.get("kind"), record.get("step")
    if not isinstance(kind, str):
        yield f"its kind is {shown(kind, 40)}; it must be a word such as step or evaluation"
        return
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**53:
        yield f"its step is {shown(step, 40)}; it must be a whole number from 0"
    for key in _NEEDED.get(kind, ()):
        if key not in record:
            yield f"{key} is missing in a record of the kind {kind}"
    yield from _wrong_types(record, kind)
    for key in ("layer_grad_norms", "by_source"):
        yield from _wrong_inside(key, record.get(key, []))


def _wrong_types(record: Mapping[str, Any], kind: str) -> Iterator[str]:
    for key in (*_NUMBERS, *_TEXTS):
        if key not in record:
            continue
        value = record[key]
        if key in _TEXTS:
            is_right, wanted = isinstance(value, str), "a text"
        elif key in _INTEGERS:
            is_right, wanted = isinstance(value, int) and 0 <= value < 2**63, "a whole number from 0"
        else:
            is_right = isinstance(value, int | float) and abs(value) < 2**1000
            is_right = is_right or (isinstance(value, float) and not math.isfinite(value))
            wanted = "a number"
        if isinstance(value, bool) or not (is_right or (value is None and key in _MAY_BE_NULL)):
            yield f"{key} is {shown(value, 40)}; it must be {wanted}"


def _wrong_inside(key: str, value: Any) -> Iterator[str]:
    if key == "by_source":
        if value and not (isinstance(value, dict) and all(isinstance(each, dict) for each in value.values())):
            yield f"{key} is {shown(value, 40)}; it must be an object with an object for each source"
        elif value:
            for name, inner in value.items():
                yield from (f"{name}: {problem}" for problem in _wrong_types(inner, "evaluation"))
    elif not isinstance(value, list) or not all(
        each is None or (isinstance(each, int | float) and not isinstance(each, bool)) for each in value
    ):
        yield f"{key} is {shown(value, 40)}; it must be a list of numbers"
