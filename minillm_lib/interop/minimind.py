"""Load and save checkpoints of MiniMind (github.com/jingyaogong/minimind).

They were published in two layouts. Until spring 2025 (``pretrain_512.pth``), tensors have the names of Meta's Llama,
such as ``layers.0.attention.wq.weight``, and the two elements of a rotated pair are neighbours. Since then, names and
pairs are those of Hugging Face, as in this package. A file holds no configuration: what its shapes do not determine is
known from the published models.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.model.checkpoint import (
    SINGLE_FILE_SUFFIXES,
    CheckpointError,
    assemble,
    read_tensors,
    torch_load,
    weights_file,
)
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.hugging_face import from_hugging_face, model_type
from minillm_lib.model.rope import to_halves, to_interleaved

Layout = Literal["interleaved", "halves"]

_META_NAMES = {
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
_BUFFERS = ("pos_cis", "freqs_cis", "freqs_cos", "freqs_sin", "attention.mask")

_AUTUMN_2024 = {"rms_norm_eps": 1e-5, "rope_theta": 1e4, "max_position_embeddings": 512}
_EARLY_2025 = {"rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 8192}
_LATER_2025 = {"rms_norm_eps": 1e-5, "rope_theta": 1e6, "max_position_embeddings": 32768}
_QK_NORM_2026 = {"rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 32768}


def load_minimind(
    path: str | os.PathLike[str], *, dtype: torch.dtype | None = None, **overrides: Any
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
        given = _read_json(path / "config.json") if (path / "config.json").is_file() else {}
        path = weights_file(path)
    tensors = _read(path)
    meta_names = _meta_names(_count_layers(tensors))
    interleaved = "tok_embeddings.weight" in tensors
    try:
        if interleaved:
            names = {theirs: ours for ours, theirs in meta_names.items()}
            tensors = {names.get(name, name): tensor for name, tensor in tensors.items()}
        config = _infer_config(tensors, given, interleaved, overrides)
        if interleaved:
            tensors = _reorder(tensors, config, to_halves)
        return assemble(config, tensors, path, dtype).eval()
    except ValueError as error:
        message = str(error).removeprefix(f"{path}: ")
        if interleaved:
            message = re.sub(
                r"tensor (\S+)", lambda match: f"tensor {meta_names.get(match[1], match[1])}", message
            )
        raise CheckpointError(f"{path}: {message}") from error


def save_minimind(model: MiniLLM, path: str | os.PathLike[str], *, layout: Layout = "interleaved") -> Path:
    """Write a model's weights to a single ``.pth`` file for MiniMind's code, which reads it with ``load_state_dict``.

    The file has no configuration and no tokenizer. Give that code the numbers of heads and layers, the widths and the
    RoPE base in ``model.config``.

    Parameters
    ----------
    layout
        ``"interleaved"`` for the layout until spring 2025, ``"halves"`` for the one since then.

    Returns
    -------
    path
        The path of the file.

    Raises
    ------
    ValueError
        If MiniMind does not support the model.
    """
    if layout not in get_args(Layout):
        raise ValueError(f"layout is {layout!r}; allowed are {', '.join(map(repr, get_args(Layout)))}")
    _refuse_unknown_to_minimind(model.config, layout)
    tensors = {
        f"model.{name}": tensor.detach().cpu() for name, tensor in model.dequantized().state_dict().items()
    }
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    if layout == "interleaved":
        names = _meta_names(model.config.n_layers)
        tensors = _reorder(tensors, model.config, to_interleaved)
        tensors = {names[name]: tensor for name, tensor in tensors.items()}
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    write_atomically(path, buffer.getvalue())
    return Path(path)


def _read(path: Path) -> dict[str, Tensor]:
    """Read the tensors under their names in the file, without buffers."""
    if not path.exists():
        raise CheckpointError(f"{path}: there is nothing here; expected a MiniMind checkpoint")
    content: Any = torch_load(path) if path.suffix in SINGLE_FILE_SUFFIXES else read_tensors(path)
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]  # saved for resuming, together with the optimizer
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise CheckpointError(f"{path}: the file does not hold a mapping from names to tensors")
    if experts := [name for name in content if ".experts." in name]:
        raise CheckpointError(
            f"{path}: tensor {experts[0]} belongs to a mixture of experts; only dense models can be loaded"
        )
    if content.keys().isdisjoint({"tok_embeddings.weight", "model.embed_tokens.weight"}):
        found = ", ".join(list(content)[:3])
        raise CheckpointError(
            f"{path}: not a MiniMind checkpoint: it has neither tok_embeddings.weight nor "
            f"model.embed_tokens.weight, but {found}"
        )
    return {name: tensor for name, tensor in content.items() if not name.endswith(_BUFFERS)}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not a JSON object: {error}") from error


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
    if n_heads is None or query_width % n_heads:
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


def _refuse_unknown_to_minimind(config: ModelConfig, layout: Layout) -> None:
    """Raise an error that names the first feature of a model that MiniMind's code cannot compute."""
    obstacles = {
        "its blocks do not use RMSNorm, SwiGLU and rotary positions": model_type(config) == "minillm",
        "it has biases": config.attention_bias or config.mlp_bias,
        "its output head is not tied to the embedding": not config.tied_embeddings,
        "its heads do not add up to hidden_size": config.n_heads * config.head_dim != config.hidden_size,
        "query–key norm exists only in the layout 'halves'": config.qk_norm and layout == "interleaved",
    }
    for reason, applies in obstacles.items():
        if applies:
            raise ValueError(f"MiniMind does not support this model: {reason}")


def _meta_names(n_layers: int) -> dict[str, str]:
    """Map the name of every tensor in Hugging Face's layout to its name in Meta's layout."""
    names = {"model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output"}
    for layer in range(n_layers):
        for ours, theirs in _META_NAMES.items():
            names[f"model.layers.{layer}.{ours}"] = f"layers.{layer}.{theirs}"
    return {f"{ours}.weight": f"{theirs}.weight" for ours, theirs in names.items()}


def _count_layers(tensors: Iterable[str]) -> int:
    return len({match[1] for name in tensors if (match := re.search(r"(?:^|\.)layers\.(\d+)\.", name))})


def _reorder(
    tensors: Mapping[str, Tensor], config: ModelConfig, reorder: Callable[[Tensor, int], Tensor]
) -> dict[str, Tensor]:
    """Convert queries and keys to the other order of rotary pairs; leave a tensor of the wrong shape as it is."""
    heads = {"self_attn.q_proj.weight": config.n_heads, "self_attn.k_proj.weight": config.n_kv_heads}

    def reordered(name: str, tensor: Tensor) -> Tensor:
        n_heads = next((n for ending, n in heads.items() if name.endswith(ending)), 0)
        return reorder(tensor, n_heads) if n_heads and len(tensor) == n_heads * config.head_dim else tensor

    return {name: reordered(name, tensor) for name, tensor in tensors.items()}
