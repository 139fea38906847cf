"""Models on disk: a directory in the Hugging Face format, or a single ``.pt`` file.

What may lie in such a place is read in :mod:`~minillm_lib.model.stored`, and tensors in
:mod:`~minillm_lib.model.weights`.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from minillm_lib.io.atomic_folder import present_or_previous, replaced_folder
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.checksums import CHECKSUM_FILE, ChecksumError, read_checksums, verified, write_checksums
from minillm_lib.model.config import RopeScaling
from minillm_lib.model.decoder import MiniLLM, fill
from minillm_lib.model.hugging_face import to_hugging_face
from minillm_lib.model.metadata import chat_defaults_of, config_entries, generation_config, stage_of
from minillm_lib.model.minimind import load_minimind
from minillm_lib.model.quantization import is_quantized
from minillm_lib.model.stored import GENERATION_FILE, INT8, Stored, place_of, read, stored_tokenizer
from minillm_lib.model.torch_files import has_checksums, sealed_torch_bytes
from minillm_lib.model.weights import (
    SINGLE_FILE_SUFFIXES as SINGLE_FILE_SUFFIXES,
    WEIGHTS,
    CheckpointError as CheckpointError,
    assemble,
    their_name,
)
from minillm_lib.tokenizer import MODEL_FILE, Tokenizer

_log = logging.getLogger(__name__)
_unverified: set[Path] = set()


def save_checkpoint(model: MiniLLM, path: str | os.PathLike[str], tokenizer: Tokenizer | None = None) -> Path:
    """Write a finished model, and its tokenizer if there is one, for :func:`load_checkpoint` to read.

    Use it to keep or to share a model: unlike ``Checkpoints.save`` in :mod:`minillm_lib.training.checkpoints`, it
    writes no training state; unlike :func:`write_model_files`, it replaces the earlier checkpoint at ``path``; and
    unlike ``export_gguf`` and ``save_minimind`` in :mod:`minillm_lib.interop`, it does not write another program's
    format. An interruption leaves the earlier checkpoint intact.

    Parameters
    ----------
    path
        A path that ends in ``.pt`` or ``.pth`` becomes one file. Any other path becomes a directory with
        ``config.json``, ``model.safetensors`` with the tensor names of Hugging Face's Llama, the files of
        :meth:`Tokenizer.save_hugging_face <minillm_lib.tokenizer.Tokenizer.save_hugging_face>`, and their checksums in
        ``SHA256SUMS``, for :func:`load_checkpoint` and ``sha256sum --check``. A single file has its own inside.
        ``AutoModelForCausalLM`` and ``AutoTokenizer`` of transformers open the directory, unless
        :func:`~minillm_lib.model.hugging_face.model_type` is ``"minillm"``, or the model is quantized: its matrices are
        written in 8 bits, which only :func:`load_checkpoint` reads.
    tokenizer
        By default ``model.tokenizer``.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    CheckpointError
        If the checkpoint would be a directory, but ``path`` is a file, or a directory that holds something other
        than a checkpoint, which would be lost.
    IsADirectoryError
        If the checkpoint would be a file, but ``path`` is a directory.
    WriteError
        If it cannot be written, on a full disk for example; the message names the path and the reason.
    """
    path = Path(path)
    if tokenizer is None:
        tokenizer = model.tokenizer
    if path.suffix in SINGLE_FILE_SUFFIXES:
        _write_single_file(model, path, tokenizer)
    else:
        with atomic_directory(path) as folder:
            write_model_files(model, folder, tokenizer)
    return path


def load_checkpoint(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    rope_scaling: RopeScaling | Mapping[str, Any] | None = None,
    tokenizer: Tokenizer | str | os.PathLike[str] | bool = True,
    overrides: Mapping[str, Any] | None = None,
    verify: bool = True,
) -> MiniLLM:
    """Load a checkpoint, this package's own or another's, in eval mode.

    It may be one of :func:`save_checkpoint`; a directory of Hugging Face with a Llama, Qwen2 or Qwen3; or one of
    MiniMind, a directory or the ``.pth`` of its training, as :func:`~minillm_lib.model.minimind.load_minimind` reads
    them. A model that was saved with weights in 8 bits has them again.

    What this package writes has checksums, with which every file is compared, so that damage is an error that names the
    file. A checkpoint without them is loaded, and a line in the log says once that its files cannot be verified.

    Weights of this package know the hash of their tokenizer. If it is missing or another, that is an error. In an older
    checkpoint, which has no hash, a tokenizer that is damaged or of an unknown kind is left out, with a
    ``UserWarning``.

    Parameters
    ----------
    path
        A directory with ``config.json`` and the tensors, in one file or in shards; or a ``.pt`` or ``.pth`` file.
    device, dtype
        Device and type of the parameters; the default type is that in which the embedding was saved. In a quantized
        model, it is the type in which it computes.
    rope_scaling
        A scaling for a longer context than the model was trained on, as in
        :meth:`~minillm_lib.model.config.ModelConfig.with_rope_scaling`; by default that of the checkpoint.
    tokenizer
        Another tokenizer than the checkpoint's own, or where it is; its hash is not compared. With ``False``, the model
        has none.
    overrides
        Keys of :class:`~minillm_lib.model.config.ModelConfig` for weights of MiniMind, whose shapes do not tell
        everything. For other checkpoints, they are an error.
    verify
        Whether damage is looked for: with ``False``, checksums are not compared, and weights that are infinite or not
        numbers are loaded. Use it to look at a checkpoint as it is; after a change on purpose, renew its checksums
        with :func:`~minillm_lib.io.checksums.write_checksums`.

    Raises
    ------
    CheckpointError
        If a file is missing, truncated, damaged, in an unknown format or unsafe to load; if a tensor is missing,
        unexpected, of the wrong shape or not finite; or if the tokenizer is not the one that the weights were trained
        with, or has more ids than they. The message names the file, the tensor, the shape found and the shape expected.
    pydantic.ValidationError
        If ``rope_scaling`` is not valid for the model.
    """
    found = present_or_previous(path)
    if not found.exists():
        raise CheckpointError(f"{path}: there is nothing here; expected a checkpoint directory or a .pt file")
    place = place_of(found)
    try:
        with _verified(place, verify):
            stored = read(place, verify=verify)
            model = _assembled(stored, dtype, rope_scaling, overrides or {}, verify)
            _describe(model, stored)
            model.source = Path(path)
            model.tokenizer = stored_tokenizer(stored, model.config.vocab_size, tokenizer, verify=verify)
    except ChecksumError as error:
        raise CheckpointError(str(error)) from error
    return model.to(device).eval()


def _verified(place: Path, verify: bool) -> AbstractContextManager[None]:
    """Return a context in which what lies at a place is compared with its checksums, or say that it has none."""
    if not verify:
        _note_once(place, "is not verified")
        return nullcontext()
    folder = place if place.is_dir() else place.parent
    listed = read_checksums(folder)
    if listed is not None and place.is_file():
        listed = {place.name: listed[place.name]} if place.name in listed else None
    if listed is not None:
        return verified(folder, listed)
    known = place.is_file() and place.suffix in SINGLE_FILE_SUFFIXES and has_checksums(place)
    if not known:
        _note_once(place, f"has no checksums ({CHECKSUM_FILE})")
    return nullcontext()


def _note_once(place: Path, problem: str) -> None:
    if place.absolute() not in _unverified:
        _unverified.add(place.absolute())
        _log.warning("%s %s, so that damage to it may go unnoticed", place, problem)


def _assembled(
    stored: Stored,
    dtype: torch.dtype | None,
    rope_scaling: RopeScaling | Mapping[str, Any] | None,
    overrides: Mapping[str, Any],
    verify: bool,
) -> MiniLLM:
    """Return the model of what is on disk."""
    if stored.config is None:
        return _load_minimind(stored.path, dtype, rope_scaling, overrides, verify)
    if overrides:
        raise CheckpointError(
            f"{stored.path}: its configuration is complete, and overrides={dict(overrides)} have no place"
        )
    config = stored.config if rope_scaling is None else stored.config.with_rope_scaling(rope_scaling)
    return assemble(config, stored.tensors, stored.file, dtype, int8=stored.int8, verify=verify)


def write_model_files(model: MiniLLM, folder: Path, tokenizer: Tokenizer | None = None) -> None:
    """Write the files of a checkpoint (configurations, tensors, tokenizer, checksums) into an existing directory.

    Use it to put more files beside a model: unlike :func:`save_checkpoint`, which is built on it, it neither makes
    nor replaces the directory, so that the caller can fill one from :func:`atomic_directory`, as ``Checkpoints.save``
    in :mod:`minillm_lib.training.checkpoints` does to add the training state.

    Parameters
    ----------
    tokenizer
        Written by ``save_hugging_face``; with ``None``, the checkpoint has no tokenizer, even if the model has one.
    """
    config = _config_json(model, tokenizer)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(_named_tensors(model), folder / "model.safetensors", metadata={"format": "pt"})
    if tokenizer is not None:
        tokenizer.save_hugging_face(folder)
        generation = generation_config(tokenizer, model.stage, model.chat_defaults)
        (folder / GENERATION_FILE).write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")
    write_checksums(folder)


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty directory to fill, which replaces ``path`` only when the block has succeeded.

    It is :func:`~minillm_lib.io.atomic_folder.replaced_folder`, whose other errors are those of this function, for
    checkpoints: :func:`load_checkpoint` finds an earlier one that an interruption has left aside.

    Raises
    ------
    CheckpointError
        If :func:`check_replaceable` refuses ``path``.
    """
    check_replaceable(Path(os.path.realpath(path)))
    with replaced_folder(path) as folder:
        yield folder


def check_replaceable(path: Path) -> None:
    """Check that a checkpoint directory may be put at ``path``.

    Raises
    ------
    CheckpointError
        If ``path`` is a file, or a directory that is neither empty nor a checkpoint.
    """
    if path.is_file():
        raise CheckpointError(f"{path}: this is a file, and a directory of this name cannot be made")
    content = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
    if content and not ("config.json" in content and any(name in content for name in WEIGHTS)):
        shown = ", ".join(content[:3])
        raise CheckpointError(f"{path}: not replaced, because it is not a checkpoint; it holds {shown}")


def _config_json(model: MiniLLM, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """Return the content of ``config.json``: the configuration, the dtype and what is known of the model."""
    values = to_hugging_face(model.config)
    if is_quantized(model):  # a type that transformers refuse, whatever the blocks
        config = model.config.model_dump(mode="json")
        values = {"model_type": "minillm", "minillm": config, "quantization_config": INT8}
    values["torch_dtype"] = str(model.embed_tokens.weight.dtype).removeprefix("torch.")
    return values | config_entries(tokenizer, model.stage)


def _named_tensors(model: MiniLLM) -> dict[str, Tensor]:
    """Return the tensors of a model under Hugging Face's names, on the CPU."""
    state = model.state_dict()
    return {their_name(name): tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _write_single_file(model: MiniLLM, path: Path, tokenizer: Tokenizer | None) -> None:
    content: dict[str, Any] = {"config": _config_json(model, tokenizer), "model": _named_tensors(model)}
    if tokenizer is not None:
        files = {
            name: torch.frombuffer(bytearray(own), dtype=torch.uint8)
            for name, own in tokenizer.files().items()
        }
        content["tokenizer"] = files.get(MODEL_FILE, files)
        content["generation_config"] = generation_config(tokenizer, model.stage, model.chat_defaults)
    write_atomically(path, sealed_torch_bytes(content))


def _describe(model: MiniLLM, stored: Stored) -> None:
    """Give a model what its files say of its training and use."""
    try:
        model.stage = stage_of(stored.values)
        model.chat_defaults = chat_defaults_of(stored.generation)
    except ValueError as error:
        raise CheckpointError(f"{stored.path}: {error}") from error


def _load_minimind(
    path: Path,
    dtype: torch.dtype | None,
    rope_scaling: RopeScaling | Mapping[str, Any] | None,
    overrides: Mapping[str, Any],
    verify: bool,
) -> MiniLLM:
    """Load weights of MiniMind, and say what was not in them."""
    model = load_minimind(path, dtype=dtype, verify=verify, **overrides)
    keys = [key for key in ("n_heads", "rope_theta", "norm_eps", "max_seq_len") if key not in overrides]
    if path.is_file() and keys:
        found = ", ".join(f"{key}={getattr(model.config, key)}" for key in keys)
        warnings.warn(
            f"{path} has no configuration: {found} are those of MiniMind's published model of this shape; if yours "
            "differs, give them as overrides (minillm export --set)",
            stacklevel=5,
        )
    if rope_scaling is None:
        return model
    with torch.device("meta"):
        scaled = MiniLLM(model.config.with_rope_scaling(rope_scaling))
    return fill(scaled, model.state_dict())
