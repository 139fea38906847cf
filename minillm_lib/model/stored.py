"""What is on disk of a model: its configuration, tensors, tokenizer, and what is known of it."""

from __future__ import annotations

import codecs
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minillm_lib.io.regular_file import is_there
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.hugging_face import complete_tensors, from_hugging_face
from minillm_lib.model.metadata import promised_tokenizer
from minillm_lib.model.minimind import is_minimind
from minillm_lib.model.stored_values import CheckpointError, check_file, mapping_of_values, read_json
from minillm_lib.model.torch_files import torch_load
from minillm_lib.model.weights import (
    FILE_SUFFIXES,
    SINGLE_FILE_SUFFIXES,
    WEIGHTS,
    named_tensors,
    read_tensors,
    weights_file,
)
from minillm_lib.tokenizer import MODEL_FILE, Tokenizer, load_tokenizer
from minillm_lib.tokenizer.hugging_face_files import JSON_FILE
from minillm_lib.tokenizer.loading import end_ids_in, tokenizer_of_files

GENERATION_FILE = "generation_config.json"
INT8 = {"quant_method": "minillm_int8"}
"""``quantization_config`` in the ``config.json`` of a model with weights in 8 bits."""


@dataclass
class Stored:
    """What is on disk of a model; ``config`` is ``None`` if MiniMind's reader has to find it out."""

    path: Path
    config: ModelConfig | None = None
    int8: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)
    file: Path = Path()
    tensors: dict[str, Tensor] = field(default_factory=dict)
    tokenizer_files: Mapping[str, bytes] | None = None
    """The tokenizer inside a single file; ``None`` in a directory, where it has files of its own."""


def place_of(path: Path) -> Path:
    """Return what a checkpoint is read from: a directory, or a single file.

    A file of tensors beside a ``config.json`` stands for its directory.

    Raises
    ------
    CheckpointError
        If it is neither a directory nor a regular file.
    """
    if path.is_dir():
        return path
    check_file(path)
    if path.suffix not in FILE_SUFFIXES:
        _check_kind(path)
    return path.parent if path.name in WEIGHTS and is_there(path.parent / "config.json") else path


def _check_kind(path: Path) -> None:
    """Check that a file of an unusual name is not plainly something else.

    Raises
    ------
    CheckpointError
        If it is a GGUF file or a text.
    """
    with path.open("rb") as file:
        beginning = file.read(256)
    if beginning.startswith(b"GGUF"):
        raise CheckpointError(
            f"{path}: a GGUF file, which is for llama.cpp; give the directory or the .pt file that it was written from"
        )
    if path.name.endswith(".index.json") or not beginning or b"\0" in beginning:
        return
    with suppress(UnicodeDecodeError):
        codecs.getincrementaldecoder("utf-8")().decode(beginning)  # a character may be cut at the end
        raise CheckpointError(
            f"{path}: a text file; a checkpoint is a directory with config.json and the tensors, or a .pt or .pth file"
        )


def read(path: Path, *, verify: bool = True) -> Stored:
    """Read a checkpoint from its :func:`place_of`.

    Parameters
    ----------
    verify
        Whether the checksums inside pickled files are tested.

    Raises
    ------
    CheckpointError
        If a file is missing, truncated, damaged, in an unknown format or unsafe to load.
    """
    return _read_directory(path, verify) if path.is_dir() else _read_single_file(path, verify)


def _read_directory(path: Path, verify: bool) -> Stored:
    values = read_json(path / "config.json", "a checkpoint directory needs it")
    if is_minimind(values):
        return Stored(path, values=values)
    config, int8 = _config(path / "config.json", values)
    file = weights_file(path)
    generation = read_json(path / GENERATION_FILE) if is_there(path / GENERATION_FILE) else {}
    tensors = complete_tensors(read_tensors(file, verify=verify), values)
    return Stored(path, config, int8, values, generation, file, tensors)


def _read_single_file(path: Path, verify: bool) -> Stored:
    content = torch_load(path, verify=verify) if path.suffix in SINGLE_FILE_SUFFIXES else None
    if content is None or is_minimind(content):
        return Stored(path, tokenizer_files=None)
    if not isinstance(content, dict) or not {"config", "model"} <= content.keys():
        found = type(content).__name__
        if isinstance(content, dict):
            found = str([key if isinstance(key, str) else type(key).__name__ for key in content][:4])
        raise CheckpointError(
            f"{path}: not a checkpoint of this package (expected the keys 'config' and 'model'), and not weights of "
            f"MiniMind; found {found}"
        )
    values = mapping_of_values(path, content["config"])
    config, int8 = _config(path, values)
    generation = content.get("generation_config")
    return Stored(
        path,
        config,
        int8,
        values,
        {} if generation is None else mapping_of_values(path, generation, "the generation configuration"),
        path,
        named_tensors(path, content["model"]),
        _files_inside(path, content.get("tokenizer")),
    )


def _files_inside(path: Path, entry: Any) -> dict[str, bytes]:
    """Return the files of a tokenizer in a single file, each of which is a tensor of bytes."""
    files = entry if isinstance(entry, dict) else {} if entry is None else {MODEL_FILE: entry}
    if not all(isinstance(own, Tensor) for own in files.values()):
        raise CheckpointError(
            f"{path}: the tokenizer in it is not the bytes of files, but {_types(files.values())}"
        )
    for name, own in named_tensors(path, files).items():
        if own.dtype is not torch.uint8 or own.dim() != 1:
            kind = f"{own.dtype} of the shape {tuple(own.shape)}"
            raise CheckpointError(f"{path}: the file {name} of the tokenizer in it is not bytes, but {kind}")
    return {name: own.numpy().tobytes() for name, own in files.items()}


def _types(values: Iterable[Any]) -> str:
    return ", ".join(sorted({type(each).__name__ for each in values}))


def _config(path: Path, values: Mapping[str, Any]) -> tuple[ModelConfig, bool]:
    """Return the configuration, and whether the matrices are in 8 bits."""
    int8 = values.get("quantization_config") == INT8
    if int8:
        values = {key: value for key, value in values.items() if key != "quantization_config"}
    try:
        return from_hugging_face(values), int8
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def stored_tokenizer(
    stored: Stored,
    vocab_size: int,
    wanted: Tokenizer | str | os.PathLike[str] | bool,
    *,
    verify: bool = True,
) -> Tokenizer | None:
    """Return the tokenizer that is wanted: the checkpoint's own (true), none (false), or another.

    Parameters
    ----------
    verify
        Whether its files are compared with their checksums.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, not the one of the weights, or has more ids than ``vocab_size``.
    """
    if wanted is False:
        return None
    try:
        if wanted is True:
            tokenizer = _own_tokenizer(stored, verify)
        else:
            tokenizer = (
                wanted if isinstance(wanted, Tokenizer) else load_tokenizer(Path(wanted), verify=verify)
            )
    except (ValueError, FileNotFoundError) as error:
        raise error if isinstance(error, CheckpointError) else CheckpointError(str(error)) from error
    if tokenizer is not None and tokenizer.vocab_size > vocab_size:
        raise CheckpointError(
            f"{stored.path}: the tokenizer has {tokenizer.vocab_size} ids, but the weights have rows for only "
            f"{vocab_size}: it is not the one that they were trained with"
        )
    return tokenizer


def _own_tokenizer(stored: Stored, verify: bool) -> Tokenizer | None:
    """Return the tokenizer that lies in or beside the weights, which must be the one whose hash they keep."""
    try:
        promised = promised_tokenizer(stored.values)
    except ValueError as error:
        raise CheckpointError(f"{stored.path}: {error}") from error
    if promised is None:
        try:
            return _found_tokenizer(stored, verify)
        except ValueError as error:
            warnings.warn(f"{error}; the model is loaded without a tokenizer", stacklevel=4)
            return None
    name, sha256 = promised
    files = stored.tokenizer_files
    if not (is_there(stored.path / name) if files is None else name in files):
        raise CheckpointError(
            f"{name} is missing from {stored.path}: put it back, or give another tokenizer; with tokenizer=False, the "
            "weights are loaded alone"
        )
    tokenizer = _found_tokenizer(stored, verify)
    found = "none" if tokenizer is None else tokenizer.sha256
    if found != sha256:
        raise CheckpointError(
            f"{stored.path / name}: this tokenizer (SHA-256 {found[:12]}…) is not the one that the weights were "
            f"trained with (SHA-256 {sha256[:12]}…): put that one back; to use another on purpose, give it as the "
            "tokenizer"
        )
    return tokenizer


def _found_tokenizer(stored: Stored, verify: bool) -> Tokenizer | None:
    files, path = stored.tokenizer_files, stored.path
    if files is not None:
        return tokenizer_of_files(files, end_ids_in(stored.values)) if files else None
    if path.is_file():
        return _tokenizer_nearby(path, verify)
    there = any(is_there(path / name) for name in (MODEL_FILE, JSON_FILE))
    return load_tokenizer(path, verify=verify) if there else None


def _tokenizer_nearby(path: Path, verify: bool) -> Tokenizer | None:
    """Return the tokenizer of weights of MiniMind, which lies beside them, or in the folder of its code."""
    code = path.absolute().parent.parent / "model"
    for folder in (path.parent, code, code / "minimind_tokenizer"):
        if any((folder / name).is_file() for name in (MODEL_FILE, JSON_FILE)):
            warnings.warn(f"{path}: the tokenizer is the one in {folder}", stacklevel=5)
            return load_tokenizer(folder, verify=verify)
    return None
