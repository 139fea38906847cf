"""A model configuration as the ``config.json`` of Hugging Face's transformers, and back.

Rotary positions, RMSNorm and SwiGLU make a Llama, and with query–key norm a Qwen3. ``AutoModelForCausalLM`` opens
both without code from this package. A Qwen2 is read as a Llama with biases, in which that of the output is 0. Any
other block (LayerNorm, GELU or learned positions) has no counterpart there. It is written with the model type
``minillm``, which transformers refuses and this package reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from minillm_lib.io.refusals import refusal_in_words
from minillm_lib.io.wording import shown
from minillm_lib.model.config import ModelConfig

_THEIR_KEYS = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate_size": "intermediate_size",
    "max_seq_len": "max_position_embeddings",
    "norm_eps": "rms_norm_eps",
    "attention_bias": "attention_bias",
    "mlp_bias": "mlp_bias",
    "tied_embeddings": "tie_word_embeddings",
    "dropout": "attention_dropout",
    "initializer_range": "initializer_range",
}
_REQUIRED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_REQUIRED_BY_QWEN3 = ("num_key_value_heads", "head_dim")  # their defaults in Qwen3 differ from those in Llama
_READ = ("llama", "qwen2", "qwen3", "minimind")
_EXPERTS = ("use_moe", "num_experts", "num_local_experts", "n_routed_experts")
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
_THEIR_DEFAULTS = {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": False}


def model_type(config: ModelConfig) -> Literal["llama", "qwen3", "minillm"]:
    """Return the architecture of transformers that computes the same function, or ``"minillm"`` if there is none."""
    if (config.norm, config.feed_forward, config.positions) != ("rms", "swiglu", "rope"):
        return "minillm"
    if not config.qk_norm:
        # transformers refuse other heads in a Llama, whatever head_dim is.
        return "minillm" if config.hidden_size % config.n_heads else "llama"
    return "minillm" if config.mlp_bias else "qwen3"


def to_hugging_face(config: ModelConfig) -> dict[str, Any]:
    """Return the content of ``config.json``, in the layout that both transformers 4 and 5 read.

    A Llama has dropout only in its attention, so ``dropout`` is written as that. Keys that matter only to the first
    initialisation (``scale_residual_init``) or to memory (``activation_checkpointing``) are left out.
    """
    kind = model_type(config)
    if kind == "minillm":
        return {"model_type": kind, "architectures": ["MiniLLM"], "minillm": config.model_dump(mode="json")}
    values = {theirs: getattr(config, ours) for ours, theirs in _THEIR_KEYS.items()}
    scaling = config.rope_scaling
    return {
        "model_type": kind,
        "architectures": ["LlamaForCausalLM" if kind == "llama" else "Qwen3ForCausalLM"],
        **values,
        "hidden_act": "silu",
        "rope_theta": config.rope_theta,
        "rope_scaling": None if scaling is None else scaling.model_dump(mode="json", exclude_none=True),
    }


def from_hugging_face(values: Mapping[str, Any]) -> ModelConfig:
    """Read a ``config.json`` of type ``llama``, ``qwen2``, ``qwen3``, ``minimind`` or ``minillm``.

    Rotary parameters are read both from ``rope_theta`` with ``rope_scaling`` (transformers 4) and from
    ``rope_parameters`` (transformers 5). Keys that are missing or null have the defaults of transformers.

    Raises
    ------
    ValueError
        For another model type, a missing key that is required, an invalid value, or an option that this package
        does not support.
    """
    kind = values.get("model_type")
    if kind == "minillm":
        return _validated(values.get("minillm"), {})
    if kind not in _READ:
        allowed = ", ".join(map(repr, (*_READ, "minillm")))
        raise ValueError(f"model_type is {shown(kind)}; this package reads {allowed}")
    required = _REQUIRED + _REQUIRED_BY_QWEN3 * (kind == "qwen3")
    if missing := [key for key in required if values.get(key) is None]:
        raise ValueError(f"missing {', '.join(missing)}")
    _refuse_unsupported(values)
    given = {**_THEIR_DEFAULTS, **{key: value for key, value in values.items() if value is not None}}
    given.setdefault("num_key_value_heads", given["num_attention_heads"])
    ours = {our_key: given[their_key] for our_key, their_key in _THEIR_KEYS.items() if their_key in given}
    if kind == "qwen2":  # it always has biases on queries, keys and values, and never on the output
        ours["attention_bias"] = True
    return _validated({**ours, **_rope(given), "qk_norm": kind == "qwen3"}, _THEIR_KEYS)


def _validated(values: Any, names: Mapping[str, str]) -> ModelConfig:
    """Return the configuration of values from a file, in which a string or a fraction is not a whole number."""
    for key, value in values.items() if isinstance(values, Mapping) else ():
        field = ModelConfig.model_fields.get(key)
        kind = None if field is None else field.annotation
        if kind in _KINDS and not _is_of_kind(value, kind):
            raise ValueError(f"{names.get(key, key)} is {shown(value)}; it must be {_KINDS[kind]}")
        if key == "rope_scaling" and isinstance(value, Mapping):
            _check_scaling(value)
    try:
        return ModelConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(refusal_in_words(error, names)) from None


def _is_of_kind(value: Any, kind: type | None) -> bool:
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    return isinstance(value, int) or (kind is float and isinstance(value, float))


def _check_scaling(scaling: Mapping[str, Any]) -> None:
    for key, value in scaling.items():
        kind = str if key == "rope_type" else bool if key == "truncate" else float
        if value is not None and not (isinstance(value, str) if kind is str else _is_of_kind(value, kind)):
            allowed = "a string" if kind is str else _KINDS[kind]
            raise ValueError(f"rope_scaling.{key} is {shown(value)}; it must be {allowed}")


def complete_tensors(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, with the output biases of 0 that a Qwen2 lacks.

    Parameters
    ----------
    values
        The content of ``config.json``.
    """
    complete = dict(tensors)
    if values.get("model_type") == "qwen2":
        for name, tensor in tensors.items():
            if name.endswith("self_attn.o_proj.weight"):
                bias = torch.zeros(len(tensor), dtype=tensor.dtype)
                complete.setdefault(name.removesuffix("weight") + "bias", bias)
    return complete


def _refuse_unsupported(values: Mapping[str, Any]) -> None:
    """Raise an error for options of transformers that would silently change the result."""
    if values.get("hidden_act", "silu") != "silu":
        raise ValueError(f"hidden_act is {shown(values['hidden_act'])}; only 'silu' is supported")
    for key in ("quantization_config", "use_sliding_window"):
        if values.get(key):
            raise ValueError(f"{key} is {shown(values[key])}; it is not supported")
    for key in _EXPERTS:
        # MiniMind's configurations name experts even where use_moe says that there are none.
        if values.get(key) and values.get("use_moe") is not False:
            raise ValueError(
                f"{key} is {shown(values[key])}; a mixture of experts is not supported, only dense models"
            )
    layer_types = values.get("layer_types") or []
    for layer_type in layer_types if isinstance(layer_types, list) else [layer_types]:
        if layer_type != "full_attention":
            raise ValueError(f"layer_types has {shown(layer_type)}; only 'full_attention' is supported")


def _rope(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return base and scaling from either layout; a value inside the dictionary takes precedence over one outside."""
    for key in ("rope_scaling", "rope_parameters"):
        if not isinstance(values.get(key, {}), Mapping):
            raise ValueError(
                f"{key} is {shown(values[key])}; it must be null, or a mapping with the key rope_type"
            )
    parameters = dict(values.get("rope_scaling") or values.get("rope_parameters") or {})
    theta = parameters.pop("rope_theta", None)
    if theta is None:
        theta = values.get("rope_theta", 10_000.0)
    old_name = parameters.pop("type", None)
    kind = parameters.pop("rope_type", None) or old_name or "default"
    fraction = parameters.pop("partial_rotary_factor", values.get("partial_rotary_factor", 1.0))
    if fraction != 1.0:
        raise ValueError(
            f"partial_rotary_factor is {shown(fraction)}; only 1.0, which rotates entire heads, is supported"
        )
    if kind == "default":
        return {"rope_theta": theta, "rope_scaling": None}
    if kind in ("yarn", "llama3") and "original_max_position_embeddings" in values:
        parameters["original_max_position_embeddings"] = values["original_max_position_embeddings"]
    scaling = {key: value for key, value in parameters.items() if value is not None}
    return {"rope_theta": theta, "rope_scaling": {"rope_type": kind, **scaling}}
