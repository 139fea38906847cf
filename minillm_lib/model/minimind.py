"""Read checkpoints of MiniMind (github.com/jingyaogong/minimind).

They were published in two layouts. Until spring 2025 (``pretrain_512.pth``), tensors have the names of Meta's Llama,
such as ``layers.0.attention.wq.weight``, and the two elements of a rotated pair are neighbours. Since then, names and
pairs are those of Hugging Face, as in this package. A file of the training holds no configuration: what its shapes do
not determine is known from the published models.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from minillm_lib.io.refusals import refusal_in_words
from minillm_lib.io.regular_file import is_there
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.hugging_face import from_hugging_face
from minillm_lib.model.rope import to_halves
from minillm_lib.model.stored_values import CheckpointError, check_file, read_json
from minillm_lib.model.torch_files import torch_load
from minillm_lib.model.weights import (
    SINGLE_FILE_SUFFIXES,
    assemble,
    named_tensors,
    read_tensors,
    weights_file,
)

META_NAMES = {
    "input_layernorm": "attention_norm",
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
}
_META_KEYS = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "hidden_dim": "intermediate_size",
    "norm_eps": "rms_norm_eps",
    "max_seq_len": "max_position_embeddings",
}
_EMBEDDINGS = {"tok_embeddings.weight", "model.embed_tokens.weight"}
_BUFFERS = ("pos_cis", "freqs_cis", "freqs_cos", "freqs_sin", "attention.mask")

_AUTUMN_2024 = {"rms_norm_eps": 1e-5, "rope_theta": 1e4, "max_position_embeddings": 512}
_EARLY_2025 = {"rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 8192}
_LATER_2025 = {"rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 32768}
_QK_NORM_2026 = {"rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 32768}


def load_minimind(
    path: str | os.PathLike[str], *, dtype: torch.dtype | None = None, verify: bool = True, **overrides: Any
) -> MiniLLM:
    """Load a dense MiniMind checkpoint of either layout, in eval mode and without a tokenizer.

    The layout is recognised by the names of the tensors. Values that the shapes do not determine come from
    ``overrides``, otherwise from the ``config.json`` of a directory, and otherwise from the published model with the
    same layout and the same number of query heads per key–value head:

    ======================= ===== ======== ============ ========= =======
    published               heads kv heads norm epsilon RoPE base context
    ======================= ===== ======== ============ ========= =======
    2024, interleaved       16    8        1e-5         1e4       512
    early 2025, interleaved 8     2        1e-5         1e6       8192
    later 2025, halves      8     2        1e-5         1e6       32768
    2026, halves, QK norm   8     4        1e-6         1e6       32768
    ======================= ===== ======== ============ ========= =======

    Parameters
    ----------
    path
        A ``.pth``, ``.pt``, ``.bin`` or ``.safetensors`` file, or a directory with a model in it.
    dtype
        Type of the parameters; by default that of the file, which is often float16.
    verify
        Whether the checksums in the file are tested, and weights that are not finite are an error.
    overrides
        Keys of :class:`~minillm_lib.model.config.ModelConfig`, such as ``n_heads``.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, unsafe or not a MiniMind checkpoint, if it holds a mixture of experts or an
        unknown number of heads, if the configuration is invalid, or if a tensor is missing, unexpected or of the wrong
        shape. The message gives the name of the tensor in the file.
    """
    path, given = Path(path), {}
    if path.is_dir():
        given = read_json(path / "config.json") if is_there(path / "config.json") else {}
        path = weights_file(path)
    tensors = _read(path, verify)
    their_names = meta_names(_count_layers(tensors))
    interleaved = "tok_embeddings.weight" in tensors
    try:
        if interleaved:
            names = {theirs: ours for ours, theirs in their_names.items()}
            tensors = {names.get(name, name): tensor for name, tensor in tensors.items()}
        config = _infer_config(tensors, given, interleaved, overrides)
        if interleaved:
            tensors = reorder(tensors, config, to_halves)
        return assemble(config, tensors, path, dtype, verify=verify).eval()
    except ValueError as error:
        text = refusal_in_words(error) if isinstance(error, ValidationError) else str(error)
        message = text.removeprefix(f"{path}: ")
        if interleaved:
            message = re.sub(
                r"tensor (\S+)", lambda match: f"tensor {their_names.get(match[1], match[1])}", message
            )
        raise CheckpointError(f"{path}: {message}") from error


def is_minimind(content: Any) -> bool:
    """Return whether a ``config.json``, or what ``torch.save`` wrote, is MiniMind's rather than this package's."""
    if not isinstance(content, Mapping):
        return False
    if isinstance(content.get("model"), Mapping) and "config" not in content:
        content = content["model"]
    return content.get("model_type") == "minimind" or not content.keys().isdisjoint(_EMBEDDINGS)


def _read(path: Path, verify: bool) -> dict[str, Tensor]:
    """Read the tensors under their names in the file, without buffers."""
    if not is_there(path):
        raise CheckpointError(f"{path}: there is nothing here; expected a MiniMind checkpoint")
    check_file(path)
    content: Any = (
        torch_load(path, verify=verify)
        if path.suffix in SINGLE_FILE_SUFFIXES
        else read_tensors(path, verify=verify)
    )
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]  # saved for resuming, together with the optimizer
    content = named_tensors(path, content)
    if experts := [name for name in content if ".experts." in name]:
        raise CheckpointError(
            f"{path}: tensor {experts[0]} belongs to a mixture of experts; only dense models can be loaded"
        )
    if content.keys().isdisjoint(_EMBEDDINGS):
        found = ", ".join(list(content)[:3])
        raise CheckpointError(
            f"{path}: not a MiniMind checkpoint: it has neither tok_embeddings.weight nor "
            f"model.embed_tokens.weight, but {found}"
        )
    return {name: tensor for name, tensor in content.items() if not name.endswith(_BUFFERS)}


def _infer_config(
    tensors: Mapping[str, Tensor], given: Mapping[str, Any], interleaved: bool, overrides: Mapping[str, Any]
) -> ModelConfig:
    """Infer the configuration from tensors under Hugging Face's names."""

    def shape(name: str) -> tuple[int, ...]:
        if name not in tensors:
            raise ValueError(f"tensor {name} is missing")
        if tensors[name].dim() != 2 - name.endswith("norm.weight") or 0 in tensors[name].shape:
            raise ValueError(f"tensor {name} has the shape {tuple(tensors[name].shape)}")
        return tuple(tensors[name].shape)

    layer = "model.layers.0."
    vocab_size, hidden_size = shape("model.embed_tokens.weight")
    query_width, kv_width = (shape(f"{layer}self_attn.{kind}_proj.weight")[0] for kind in "qk")
    given = {_META_KEYS.get(key, key): value for key, value in given.items() if value is not None}
    known = _published(interleaved, query_width // max(kv_width, 1))
    qk_norm = f"{layer}self_attn.q_norm.weight" in tensors
    if qk_norm:
        (head_dim,) = shape(f"{layer}self_attn.q_norm.weight")
        known = _QK_NORM_2026 | {"num_attention_heads": query_width // head_dim}
    n_heads = overrides.get("n_heads") or (known | given).get("num_attention_heads")
    if not isinstance(n_heads, int) or n_heads < 1 or query_width % n_heads:
        raise ValueError(
            f"the number of heads does not follow from {query_width} rows of queries and {kv_width} of keys; "
            f"pass n_heads, a divisor of {query_width}"
        )
    head = tensors.get("lm_head.weight")
    shapes = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": _count_layers(tensors),
        "num_key_value_heads": max(kv_width * n_heads // query_width, 1),
        "head_dim": query_width // n_heads,
        "intermediate_size": shape(f"{layer}mlp.gate_proj.weight")[0],
    }
    certain = {
        "model_type": "qwen3" if qk_norm else "llama",
        "num_attention_heads": n_heads,
        "tie_word_embeddings": head is None or torch.equal(head, tensors["model.embed_tokens.weight"]),
    }
    return from_hugging_face(known | shapes | given | certain).replace(**overrides)


def _published(interleaved: bool, group: int) -> dict[str, Any]:
    """Return what is known of the published models with ``group`` query heads per key–value head."""
    if interleaved and group == 2:
        return _AUTUMN_2024 | {"num_attention_heads": 16}
    known = _EARLY_2025 if interleaved else _LATER_2025
    return known | ({"num_attention_heads": 8} if group == 4 else {})


def meta_names(n_layers: int) -> dict[str, str]:
    """Map the name of every tensor in Hugging Face's layout to its name in Meta's layout."""
    names = {"model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output"}
    for layer in range(n_layers):
        for ours, theirs in META_NAMES.items():
            names[f"model.layers.{layer}.{ours}"] = f"layers.{layer}.{theirs}"
    return {f"{ours}.weight": f"{theirs}.weight" for ours, theirs in names.items()}


def _count_layers(tensors: Iterable[str]) -> int:
    return len({match[1] for name in tensors if (match := re.search(r"(?:^|\.)layers\.(\d+)\.", name))})


def reorder(
    tensors: Mapping[str, Tensor], config: ModelConfig, reorder: Callable[[Tensor, int], Tensor]
) -> dict[str, Tensor]:
    """Convert queries and keys to the other order of rotary pairs; leave a tensor of the wrong shape as it is."""
    heads = {"self_attn.q_proj.weight": config.n_heads, "self_attn.k_proj.weight": config.n_kv_heads}

    def reordered(name: str, tensor: Tensor) -> Tensor:
        n_heads = next((n for ending, n in heads.items() if name.endswith(ending)), 0)
        return reorder(tensor, n_heads) if n_heads and len(tensor) == n_heads * config.head_dim else tensor

    return {name: reordered(name, tensor) for name, tensor in tensors.items()}
