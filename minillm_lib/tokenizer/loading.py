"""Read a tokenizer of either kind from a file or a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minillm_lib.io.checksums import check_content, read_checksums
from minillm_lib.io.regular_file import check_regular, is_there
from minillm_lib.tokenizer.hugging_face_files import FILES, JSON_FILE, LARGEST_FILE
from minillm_lib.tokenizer.interface import Tokenizer
from minillm_lib.tokenizer.sentence_piece import MODEL_FILE, SPECIAL_TOKENS, SentencePieceTokenizer


def load_tokenizer(path: str | Path, *, verify: bool = True) -> Tokenizer:
    """Read a ``tokenizer.model`` of this package, or another model's ``tokenizer.json``.

    Parameters
    ----------
    path
        One of these files, or a folder such as a checkpoint; beside a ``tokenizer.json``, ``tokenizer_config.json``,
        ``chat_template.jinja`` and ``generation_config.json`` are read as well. In a folder with both, the
        ``tokenizer.model`` is read if it was written by this package.
    verify
        Whether each file is compared with its checksum, if ``SHA256SUMS`` beside it has one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a file is damaged, or of a kind that is not supported.
    """
    path = Path(path)
    if not is_there(path):
        raise FileNotFoundError(f"there is no tokenizer at {path}")
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        as_json = has_foreign_tokenizer(folder)
        file = folder / (JSON_FILE if as_json else MODEL_FILE)
        if not is_there(file):
            raise FileNotFoundError(f"there is no tokenizer at {file}, and no {JSON_FILE} beside it")
    else:
        file, as_json = path, path.suffix == ".json"
    listed = (read_checksums(folder) if verify else None) or {}
    names = {name: folder / name for name in FILES} | {JSON_FILE: file} if as_json else {MODEL_FILE: file}
    content: dict[str, bytes] = {}
    for name, where in names.items():
        if where == file or is_there(where):
            check_regular(where, at_most=LARGEST_FILE)
            content[name] = where.read_bytes()
            check_content(folder, where.name, content[name], listed)
    try:
        return tokenizer_of_files(content, named_end_ids(folder) if as_json else ())
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def tokenizer_of_files(files: Mapping[str, bytes], end_ids: Iterable[int] = ()) -> Tokenizer:
    """Return the tokenizer whose :meth:`~minillm_lib.tokenizer.interface.Tokenizer.files` are given.

    Raises
    ------
    ValueError
        If they are damaged.
    """
    if MODEL_FILE in files:
        return SentencePieceTokenizer(files[MODEL_FILE])
    from minillm_lib.tokenizer.hugging_face import HuggingFaceTokenizer

    try:
        return HuggingFaceTokenizer(files, end_ids)
    except (AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{JSON_FILE} is damaged, or of an unknown kind ({type(error).__name__}: {error})"
        ) from error


def has_foreign_tokenizer(folder: Path) -> bool:
    """Return whether a folder's tokenizer is that of another model: a ``tokenizer.json`` that is not a copy of ours.

    A folder of this package's has both files, and a ``tokenizer.json`` that begins with our special tokens.
    """
    file = folder / JSON_FILE
    if not file.is_file():
        return False
    try:
        added = json.loads(file.read_text(encoding="utf-8")).get("added_tokens") or []
        ours = tuple(token["content"] for token in added) == SPECIAL_TOKENS
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        ours = False
    return not (ours and is_there(folder / MODEL_FILE))


def named_end_ids(folder: Path) -> tuple[int, ...]:
    """Return the ids that ``generation_config.json`` and ``config.json`` say end a text; none if they say nothing."""
    found: list[int] = []
    for name in ("generation_config.json", "config.json"):
        try:
            check_regular(folder / name)
            values = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        found += end_ids_in(values)
    return tuple(dict.fromkeys(found))


def end_ids_in(values: Any) -> list[int]:
    """Return ``eos_token_id`` of a configuration as a list."""
    named = values.get("eos_token_id") if isinstance(values, Mapping) else None
    ids = named if isinstance(named, list) else [named]
    return [each for each in ids if isinstance(each, int)]
