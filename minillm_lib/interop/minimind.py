"""Save models for the code of MiniMind (github.com/jingyaogong/minimind).

Its checkpoints are read by :func:`~minillm_lib.model.minimind.load_minimind`, which is offered here as well.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.hugging_face import model_type
from minillm_lib.model.minimind import load_minimind as load_minimind, meta_names, reorder
from minillm_lib.model.rope import to_interleaved
from minillm_lib.model.torch_files import sealed_torch_bytes
from minillm_lib.model.weights import their_name

Layout = Literal["interleaved", "halves"]


def save_minimind(model: MiniLLM, path: str | os.PathLike[str], *, layout: Layout = "interleaved") -> Path:
    """Write a model's weights to a single ``.pth`` file for MiniMind's code, which reads it with ``load_state_dict``.

    The file has no configuration and no tokenizer. Give that code the numbers of heads and layers, the widths and the
    RoPE base in ``model.config``. An output head of its own and heads of any width exist in its code since 2026 only,
    where there always is query–key norm.

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
        their_name(name): tensor.detach().cpu() for name, tensor in model.dequantized().state_dict().items()
    }
    tensors.setdefault("lm_head.weight", tensors["model.embed_tokens.weight"])
    if layout == "interleaved":
        names = meta_names(model.config.n_layers)
        tensors = reorder(tensors, model.config, to_interleaved)
        tensors = {names[name]: tensor for name, tensor in tensors.items()}
    write_atomically(path, sealed_torch_bytes(tensors))
    return Path(path)


def _refuse_unknown_to_minimind(config: ModelConfig, layout: Layout) -> None:
    """Raise an error that names the first feature of a model that MiniMind's code cannot compute."""
    obstacles = {
        "it has biases": config.attention_bias or config.mlp_bias,
        # Its code of 2026 has both, but always has query–key norm.
        "its output head is not tied to the embedding, and it has no query–key norm": (
            not config.tied_embeddings and not config.qk_norm
        ),
        "its heads do not add up to hidden_size, and it has no query–key norm": (
            config.n_heads * config.head_dim != config.hidden_size and not config.qk_norm
        ),
        "its blocks do not use RMSNorm, SwiGLU and rotary positions": model_type(config) == "minillm",
        "query–key norm exists only in the layout 'halves'": config.qk_norm and layout == "interleaved",
    }
    for reason, applies in obstacles.items():
        if applies:
            raise ValueError(f"MiniMind does not support this model: {reason}")
