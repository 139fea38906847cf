"""Tensors on disk, and a model made of them.

Tensors are read from safetensors or by ``torch.load(weights_only=True)``, which runs no code from the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM, fill
from minillm_lib.model.quantization import empty_quantized

SINGLE_FILE_SUFFIXES = (".pt", ".pth")
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


class CheckpointError(ValueError):
    """The error of a checkpoint that cannot be read or must not be replaced; it names the file and what is wrong."""


def torch_load(path: Path) -> Any:
    """Load a file of ``torch.save`` without running code from it, onto the CPU.

    Raises
    ------
    CheckpointError
        If the file is truncated, in another format, or would have to run code; the message names what it holds.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:
        if match := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"{path}: refused, because it holds {match[1]}, which is not a tensor and could run arbitrary code"
            ) from None
        raise CheckpointError(f"{path}: truncated, or not a file of tensors written by torch.save") from error


def read_json(path: Path, why: str = "") -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Parameters
    ----------
    why
        Why the file is needed, for the error.

    Raises
    ------
    CheckpointError
        If it is missing, or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; {why}" if why else f"{path}: missing") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: the configuration is not a mapping of keys to values")
    return values


def weights_file(folder: Path) -> Path:
    """Return the file that holds the tensors of a directory, or the index of its shards.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: no tensors; expected one of {', '.join(WEIGHTS)}")


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read all tensors by Hugging Face's names, from one file or from the shards that an index names.

    Raises
    ------
    CheckpointError
        If a file is missing, truncated or unsafe to load, or the index is invalid.
    """
    if not file.name.endswith(".index.json"):
        return _read_tensor_file(file)
    try:
        shards = sorted(set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{file}: this index has no 'weight_map' from tensors to files") from error
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        if Path(shard).name != shard:
            raise CheckpointError(f"{file}: the shard {shard!r} lies outside the checkpoint")
        tensors |= _read_tensor_file(file.with_name(shard))
    return tensors


def _read_tensor_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: missing, though the index names it")
    if path.suffix == ".bin":
        return named_tensors(path, torch_load(path))
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: truncated, or not a safetensors file: {error}") from error


def named_tensors(path: Path, content: Any) -> dict[str, Tensor]:
    """Return the content of a pickle if it is tensors by name.

    Raises
    ------
    CheckpointError
        If it is not.
    """
    if isinstance(content, dict) and all(isinstance(value, Tensor) for value in content.values()):
        return content
    raise CheckpointError(f"{path}: expected tensors by name and nothing else")


def their_name(name: str) -> str:
    """Return Hugging Face's name for a tensor."""
    return name if name.startswith("lm_head.") else f"model.{name}"


def assemble(
    config: ModelConfig,
    tensors: Mapping[str, Tensor],
    path: Path,
    dtype: torch.dtype | None,
    *,
    int8: bool = False,
) -> MiniLLM:
    """Return a model whose parameters are the given tensors, each of which must fit the configuration.

    Parameters
    ----------
    tensors
        Tensors by Hugging Face's names.
    path
        Where the tensors come from, for error messages.
    dtype
        Type of the parameters; by default that of the embedding.
    int8
        Whether the model is quantized.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected or of the wrong shape or type.
    """
    if int8:
        model = empty_quantized(config)
    else:
        with torch.device("meta"):
            model = MiniLLM(config)
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
    if config.tied_embeddings:
        _drop_tied_head(found, path)
    expected = {their_name(name): tensor for name, tensor in model.state_dict().items()}
    _check_tensors(found, expected, path)
    dtype = dtype or found["model.embed_tokens.weight_scale" if int8 else "model.embed_tokens.weight"].dtype
    state = {
        name: found[their_name(name)].to(dtype if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in model.state_dict().items()
    }
    return fill(model, state)


def _drop_tied_head(found: dict[str, Tensor], path: Path) -> None:
    """Remove the output head of a tied model; it may be stored beside the embedding if it equals it."""
    head, embedding = found.pop("lm_head.weight", None), found.get("model.embed_tokens.weight")
    if head is not None and embedding is not None and not torch.equal(head, embedding):
        raise CheckpointError(
            f"{path}: the configuration ties lm_head.weight to the embedding, but the two differ"
        )


def _check_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Check that exactly the expected tensors are there, in the expected shapes and kinds of numbers."""
    for name, tensor in expected.items():
        shape = tuple(tensor.shape)
        if name not in found:
            raise CheckpointError(f"{path}: tensor {name} is missing; the configuration expects {shape}")
        has, dtype = tuple(found[name].shape), found[name].dtype
        if has != shape:
            raise CheckpointError(
                f"{path}: tensor {name} has the shape {has}, but the configuration expects {shape}"
            )
        if tensor.is_floating_point() and not dtype.is_floating_point:
            raise CheckpointError(
                f"{path}: tensor {name} has the type {dtype}, but weights must be floating point"
            )
        if not tensor.is_floating_point() and dtype != tensor.dtype:
            raise CheckpointError(
                f"{path}: tensor {name} has the type {dtype}, but {tensor.dtype} is expected"
            )
    if unexpected := sorted(found.keys() - expected.keys()):
        name, others = unexpected[0], len(unexpected) - 1
        raise CheckpointError(
            f"{path}: tensor {name} of shape {tuple(found[name].shape)} is unexpected (and {others} others); "
            "the configuration has no place for it"
        )
