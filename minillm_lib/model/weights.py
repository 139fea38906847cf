"""Tensors on disk, and a model made of them.

Tensors are read from safetensors or by ``torch.load(weights_only=True)``, which runs no code from the file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from minillm_lib.io.regular_file import is_there
from minillm_lib.io.wording import shown
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM, fill
from minillm_lib.model.quantization import empty_quantized
from minillm_lib.model.stored_values import (
    CheckpointError as CheckpointError,
    check_file,
    read_json as read_json,
)
from minillm_lib.model.torch_files import torch_load as torch_load

SINGLE_FILE_SUFFIXES = (".pt", ".pth")
FILE_SUFFIXES = (*SINGLE_FILE_SUFFIXES, ".safetensors", ".bin")
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_COMPUTABLE = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def weights_file(folder: Path) -> Path:
    """Return the file that holds the tensors of a directory, or the index of its shards.

    Raises
    ------
    CheckpointError
        If there is none, or it is not a file.
    """
    for name in WEIGHTS:
        if is_there(folder / name):
            check_file(folder / name)
            return folder / name
    raise CheckpointError(f"{folder}: no tensors; expected one of {', '.join(WEIGHTS)}")


def read_tensors(file: Path, *, verify: bool = True) -> dict[str, Tensor]:
    """Read all tensors by Hugging Face's names, from one file or from the shards that an index names.

    Parameters
    ----------
    verify
        Whether the checksums inside pickled files are tested.

    Raises
    ------
    CheckpointError
        If a file is missing, truncated, damaged or unsafe to load, or the index is invalid.
    """
    if not file.name.endswith(".index.json"):
        return _read_tensor_file(file, verify)
    places = read_json(file).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise CheckpointError(f"{file}: this index has no 'weight_map' from tensors to files")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(places.values())):
        if os.path.basename(shard) != shard or shard in ("", ".", ".."):
            raise CheckpointError(f"{file}: the shard {shown(shard)} lies outside the checkpoint")
        own = _read_tensor_file(file.with_name(shard), verify)
        if twice := sorted(tensors.keys() & own.keys()):
            raise CheckpointError(
                f"{file.with_name(shard)}: tensor {_short(twice[0])} is also in another shard"
            )
        tensors |= own
    return tensors


def _read_tensor_file(path: Path, verify: bool) -> dict[str, Tensor]:
    if not is_there(path):
        raise CheckpointError(f"{path}: missing, though the index names it")
    check_file(path)
    if path.suffix == ".bin":
        return named_tensors(path, torch_load(path, verify=verify))
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: truncated, or not a safetensors file: {error}") from error


def named_tensors(path: Path, content: Any) -> dict[str, Tensor]:
    """Return the content of a pickle if it is tensors by name, each of which has its numbers in the file.

    Raises
    ------
    CheckpointError
        If it is not; the message names the tensor.
    """
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: expected tensors by name and nothing else, not {type(content).__name__}"
        )
    for name, tensor in content.items():
        if not isinstance(name, str):
            kind = type(name).__name__
            raise CheckpointError(
                f"{path}: expected tensors by name, but a name is of the type {kind}, not a string"
            )
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise CheckpointError(
                f"{path}: expected tensors by name and nothing else, but {_short(name)} is of the type {kind}"
            )
        if obstacle := _obstacle(tensor):
            raise CheckpointError(f"{path}: tensor {_short(name)} {obstacle}")
    return {name: tensor.detach() for name, tensor in content.items()}


def _short(name: str) -> str:
    """Return the name of a tensor that may not be one of a model, as it is shown."""
    return name if len(name) <= 80 and name.isprintable() else shown(name)


def _obstacle(tensor: Tensor) -> str | None:
    """Return why a tensor from a pickle is not plain numbers."""
    if tensor.layout is not torch.strided:
        return f"has the layout {tensor.layout}; only dense tensors can be read"
    if tensor.is_meta:
        return "has a shape, but no numbers (it is on the device 'meta')"
    if tensor.is_quantized:
        return f"has the type {tensor.dtype}; only numbers that are not quantized can be read"
    needed, there = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    if needed > there:
        return f"has the shape {tuple(tensor.shape)}, which needs {needed:,} bytes, but the file has {there:,} for it"
    return None


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
    verify: bool = True,
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
    verify
        Whether weights that are not numbers, or infinite, are an error.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected, of the wrong shape or type, or not finite.
    """
    found = {name: tensor for name, tensor in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
    if config.tied_embeddings:
        _drop_tied_head(found, path)
    _check_tensors(found, config, _expected(config, int8, path), path)
    model = _without_data(config, int8, path)
    dtype = dtype or _kept_dtype(
        found["model.embed_tokens.weight_scale" if int8 else "model.embed_tokens.weight"], path
    )
    state = {
        name: found[their_name(name)].to(dtype if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in model.state_dict().items()
    }
    _separate(state)
    if verify:
        for name, tensor in state.items():
            _check_finite(their_name(name), tensor, found[their_name(name)], path)
    model = fill(model, state)
    if model.rotary is not None and not model.rotary.frequencies.isfinite().all():
        raise CheckpointError(
            f"{path}: the rotary positions are not finite with rope_theta={config.rope_theta} and "
            f"rope_scaling={config.rope_scaling}"
        )
    return model


def _without_data(config: ModelConfig, int8: bool, path: Path) -> MiniLLM:
    """Return a model on the device ``meta``, whose tensors have shapes and no data."""
    try:
        with torch.device("meta"):
            return empty_quantized(config) if int8 else MiniLLM(config)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: no model can be built as the configuration says: {reason}") from error


def _expected(config: ModelConfig, int8: bool, path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the name of each tensor, and one that is like it, without building all layers, which may take long."""
    for name, tensor in _without_data(config.replace(n_layers=1), int8, path).state_dict().items():
        own = name.removeprefix("layers.0.")
        of_all = (f"layers.{layer}.{own}" for layer in range(config.n_layers))
        names: Iterable[str] = [name] if own == name else of_all
        yield from ((their_name(each), tensor) for each in names)


def _kept_dtype(tensor: Tensor, path: Path) -> torch.dtype:
    """Return the type in which a model computes, unless another is asked for."""
    if tensor.dtype in _COMPUTABLE:
        return tensor.dtype
    allowed = ", ".join(map(str, _COMPUTABLE))
    raise CheckpointError(
        f"{path}: the embedding has the type {tensor.dtype}, in which a model cannot compute; give another as dtype, "
        f"one of {allowed}"
    )


def _separate(state: dict[str, Tensor]) -> None:
    """Give tensors that share memory copies of their own, in place: trained, one would change the other."""
    state |= {name: tensor.contiguous() for name, tensor in state.items()}
    end = 0
    for name in sorted(state, key=lambda each: state[each].data_ptr()):
        tensor = state[name]
        if tensor.data_ptr() < end:
            state[name] = tensor.clone()
        end = max(end, tensor.data_ptr() + tensor.nbytes)


def _check_finite(name: str, tensor: Tensor, stored: Tensor, path: Path) -> None:
    """Check that all weights are finite in the type of the model; it takes one pass over them."""
    if not tensor.is_floating_point() or all(math.isfinite(each) for each in tensor.aminmax()):
        return
    wrong = f"{int((~tensor.isfinite()).sum()):,} of {tensor.numel():,} values in tensor {name}"
    if all(math.isfinite(each) for each in stored.float().aminmax()):
        raise CheckpointError(
            f"{path}: {wrong} are too large for {tensor.dtype}; load it in another dtype than that"
        )
    raise CheckpointError(
        f"{path}: {wrong} are infinite or not numbers, and so is what a model computes with them; "
        "verify=False (--no-verify) loads them all the same"
    )


def _drop_tied_head(found: dict[str, Tensor], path: Path) -> None:
    """Remove the output head of a tied model; it may be stored beside the embedding if it equals it."""
    head, embedding = found.pop("lm_head.weight", None), found.get("model.embed_tokens.weight")
    if head is not None and embedding is not None and not torch.equal(head, embedding):
        raise CheckpointError(
            f"{path}: the configuration ties lm_head.weight to the embedding, but the two differ"
        )


def _check_tensors(
    found: Mapping[str, Tensor], config: ModelConfig, expected: Iterable[tuple[str, Tensor]], path: Path
) -> None:
    """Check that exactly the expected tensors are there, in the expected shapes and kinds of numbers."""
    unexpected = set(found)
    for name, tensor in expected:
        unexpected.discard(name)
        shape = tuple(tensor.shape)
        if name not in found:
            of_all = (
                f" in each of {config.n_layers:,} layers (num_hidden_layers)" if ".layers." in name else ""
            )
            raise CheckpointError(
                f"{path}: tensor {name} is missing; the configuration expects {shape}{of_all}"
            )
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
    if unexpected:
        name, others = min(unexpected), len(unexpected) - 1
        raise CheckpointError(
            f"{path}: tensor {_short(name)} of shape {tuple(found[name].shape)} is unexpected (and {others} others); "
            "the configuration has no place for it"
        )
