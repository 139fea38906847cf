"""Models on disk: a directory in the Hugging Face format, or a single ``.pt`` file.

Tensors are read from safetensors or by ``torch.load(weights_only=True)``, which runs no code from the file.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.model.config import ModelConfig, RopeScaling
from minillm_lib.model.decoder import MiniLLM, fill
from minillm_lib.model.hugging_face import from_hugging_face, to_hugging_face
from minillm_lib.model.quantization import empty_quantized, is_quantized
from minillm_lib.tokenizer import Tokenizer

SINGLE_FILE_SUFFIXES = (".pt", ".pth")
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_INT8 = {"quant_method": "minillm_int8"}
"""``quantization_config`` in the ``config.json`` of a model with weights in 8 bits."""


class CheckpointError(ValueError):
    """The error of a checkpoint that cannot be read or must not be replaced; it names the file and what is wrong."""


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
        ``config.json``, ``model.safetensors`` with the tensor names of Hugging Face's Llama, and the files of
        :meth:`Tokenizer.save_hugging_face <minillm_lib.tokenizer.Tokenizer.save_hugging_face>`.
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
) -> MiniLLM:
    """Load a checkpoint of :func:`save_checkpoint`, or a Llama or Qwen3 directory from Hugging Face, in eval mode.

    A model that was saved with weights in 8 bits has them again. A tokenizer that is damaged or was written by another
    program is left out, with a ``UserWarning``.

    Parameters
    ----------
    path
        A directory with ``config.json`` and the tensors, in one file or in shards; or a ``.pt`` file.
    device, dtype
        Device and type of the parameters; the default type is that in which the embedding was saved. In a quantized
        model, it is the type in which it computes.
    rope_scaling
        A scaling for a longer context than the model was trained on, as in
        :meth:`~minillm_lib.model.config.ModelConfig.with_rope_scaling`; by default that of the checkpoint.

    Raises
    ------
    CheckpointError
        If a file is missing, truncated, in an unknown format or unsafe to load, or if a tensor is missing,
        unexpected or of the wrong shape. The message names the file, the tensor, the shape found and the shape
        expected.
    pydantic.ValidationError
        If ``rope_scaling`` is not valid for the model.
    """
    path = _present_or_previous(Path(path))
    if path.is_dir():
        (config, int8), file = _read_config(path / "config.json"), weights_file(path)
        tensors, tokenizer = read_tensors(file), _read_tokenizer(path / "tokenizer.model")
    else:
        file, (config, int8, tensors, tokenizer) = path, _read_single_file(path)
    if rope_scaling is not None:
        config = config.with_rope_scaling(rope_scaling)
    model = assemble(config, tensors, file, dtype, int8=int8).to(device)
    model.tokenizer = tokenizer
    return model.eval()


def write_model_files(model: MiniLLM, folder: Path, tokenizer: Tokenizer | None = None) -> None:
    """Write the files of a checkpoint (``config.json``, tensors, tokenizer) into an existing directory.

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


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty directory to fill, which replaces ``path`` only when the block has succeeded.

    During the exchange, the earlier directory is moved aside to ``.NAME.previous``; then it is removed. If the
    machine stops at that moment, :func:`load_checkpoint` finds it there.

    Raises
    ------
    CheckpointError
        If :func:`check_replaceable` refuses ``path``.
    """
    path = Path(os.path.realpath(path))
    check_replaceable(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    temporary.mkdir(parents=True)
    previous = _previous(path)
    try:
        yield temporary
        _flush_to_disk(temporary)
        if path.exists():
            shutil.rmtree(previous, ignore_errors=True)
            os.rename(path, previous)
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if previous.exists() and not path.exists():
            os.rename(previous, path)
        raise
    shutil.rmtree(previous, ignore_errors=True)


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


def _present_or_previous(path: Path) -> Path:
    """Return ``path``, or what :func:`atomic_directory` had moved aside when it was interrupted."""
    previous = _previous(Path(os.path.realpath(path)))
    if not path.exists() and not previous.exists():
        raise CheckpointError(f"{path}: there is nothing here; expected a checkpoint directory or a .pt file")
    return path if path.exists() else previous


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
    if content and not ("config.json" in content and any(name in content for name in _WEIGHTS)):
        shown = ", ".join(content[:3])
        raise CheckpointError(f"{path}: not replaced, because it is not a checkpoint; it holds {shown}")


def _flush_to_disk(folder: Path) -> None:
    """Flush every file with ``fsync``, so that the rename cannot reach the disk before the content does."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())


def _config_json(model: MiniLLM, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """Return the content of ``config.json``: the configuration, the dtype and the ids of the special tokens."""
    values = to_hugging_face(model.config)
    if is_quantized(model):  # a type that transformers refuse, whatever the blocks
        config = model.config.model_dump(mode="json")
        values = {"model_type": "minillm", "minillm": config, "quantization_config": _INT8}
    values["torch_dtype"] = str(model.embed_tokens.weight.dtype).removeprefix("torch.")
    values["bos_token_id"] = tokenizer.bos_id if tokenizer else None
    values["eos_token_id"] = [tokenizer.eos_id, tokenizer.end_of_turn_id] if tokenizer else None
    values["pad_token_id"] = tokenizer.pad_id if tokenizer else None
    return values


def _named_tensors(model: MiniLLM) -> dict[str, Tensor]:
    """Return the tensors of a model under Hugging Face's names, on the CPU."""
    state = model.state_dict()
    return {_their_name(name): tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _their_name(name: str) -> str:
    return name if name.startswith("lm_head.") else f"model.{name}"


def _write_single_file(model: MiniLLM, path: Path, tokenizer: Tokenizer | None) -> None:
    content: dict[str, Any] = {"config": _config_json(model, tokenizer), "model": _named_tensors(model)}
    if tokenizer is not None:
        with tempfile.TemporaryDirectory() as folder:
            content["tokenizer"] = torch.frombuffer(
                bytearray(tokenizer.save(folder).read_bytes()), dtype=torch.uint8
            )
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def _read_single_file(path: Path) -> tuple[ModelConfig, bool, dict[str, Tensor], Tokenizer | None]:
    content = torch_load(path)
    if not isinstance(content, dict) or not {"config", "model"} <= content.keys():
        found = [str(key) for key in content][:4] if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"{path}: not a checkpoint of this package; expected the keys 'config' and 'model', found {found}"
        )
    (config, int8), tensors = _config(path, content["config"]), _tensors(path, content["model"])
    stored = content.get("tokenizer")
    tokenizer = None if stored is None else _tokenizer(path, bytes(stored.tolist()))
    return config, int8, tensors, tokenizer


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


def _read_config(path: Path) -> tuple[ModelConfig, bool]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; a checkpoint directory needs it") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    return _config(path, values)


def _config(path: Path, values: Any) -> tuple[ModelConfig, bool]:
    """Return the configuration, and whether the matrices are in 8 bits."""
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: the configuration is not a mapping of keys to values")
    int8 = values.get("quantization_config") == _INT8
    if int8:
        values = {key: value for key, value in values.items() if key != "quantization_config"}
    try:
        return from_hugging_face(values), int8
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def weights_file(folder: Path) -> Path:
    """Return the file that holds the tensors of a directory, or the index of its shards.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(f"{folder}: no tensors; expected one of {', '.join(_WEIGHTS)}")


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
        return _tensors(path, torch_load(path))
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: truncated, or not a safetensors file: {error}") from error


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    """Return the content of a pickle if it is tensors by name, and raise an error otherwise."""
    if isinstance(content, dict) and all(isinstance(value, Tensor) for value in content.values()):
        return content
    raise CheckpointError(f"{path}: expected tensors by name and nothing else")


def _read_tokenizer(path: Path) -> Tokenizer | None:
    return _tokenizer(path, path.read_bytes()) if path.is_file() else None


def _tokenizer(path: Path, model: bytes) -> Tokenizer | None:
    """Return a checkpoint's tokenizer; warn and return ``None`` if it is damaged or another program's."""
    try:
        return Tokenizer(model)
    except ValueError as error:
        warnings.warn(f"{path}: {error}; the model is loaded without a tokenizer", stacklevel=3)
        return None


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
    expected = {_their_name(name): tensor for name, tensor in model.state_dict().items()}
    _check_tensors(found, expected, path)
    dtype = dtype or found["model.embed_tokens.weight_scale" if int8 else "model.embed_tokens.weight"].dtype
    state = {
        name: found[_their_name(name)].to(dtype if tensor.is_floating_point() else tensor.dtype)
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
