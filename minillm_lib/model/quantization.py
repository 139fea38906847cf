"""Weights in 8 bits: a quarter of float32, for decoding that waits for memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM, fill

_LARGEST, _SMALLEST = 127, np.finfo(np.float32).tiny
_IN_THE_CACHE = 32_768  # numbers at a time


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of a matrix to whole multiples of a step, from -127 to 127 of them.

    The step of a row is its largest absolute value divided by 127, so no error exceeds half a step.

    Source: symmetric absmax quantization as in Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339, section 2.1, with
    one scale per row.

    Parameters
    ----------
    weight
        ``(rows, columns)``.

    Returns
    -------
    tuple of Tensor
        The multiples, ``(rows, columns)`` in int8, and the steps, ``(rows,)`` in float32.

    Raises
    ------
    ValueError
        If the matrix holds infinities or NaN.
    """
    numbers = weight.detach().float().cpu().numpy()
    multiples, scales = np.empty(numbers.shape, np.int8), np.empty(len(numbers), np.float32)
    at_a_time = max(1, _IN_THE_CACHE // numbers.shape[1])
    for start in range(0, len(numbers), at_a_time):
        rows, part = numbers[start : start + at_a_time], slice(start, start + at_a_time)
        scales[part] = np.maximum(rows.max(axis=1), -rows.min(axis=1)) / _LARGEST
        if not np.isfinite(scales[part]).all():
            row = start + np.flatnonzero(~np.isfinite(scales[part]))[0]
            raise ValueError(f"row {row} of the matrix holds infinities or NaN, which cannot be quantized")
        multiples[part] = np.rint(rows / np.maximum(scales[part], _SMALLEST)[:, None])
    return torch.from_numpy(multiples).to(weight.device), torch.from_numpy(scales).to(weight.device)


class _QuantizedMatrix(nn.Module):
    """A matrix of 8-bit integers and one scale per row.

    Attributes
    ----------
    weight_int8, weight_scale
        What :func:`quantize_rows` returns.
    """

    weight_int8: Tensor
    weight_scale: Tensor

    def __init__(self, n_rows: int, n_columns: int) -> None:
        super().__init__()
        self.register_buffer("weight_int8", torch.zeros(n_rows, n_columns, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.ones(n_rows))
        self.training = False
        self._kept: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """The matrix that the integers stand for, ``(rows, columns)`` in the dtype of the scales.

        On a CPU it is kept after the first use, so that prompts and batches, which do not wait for memory, take no
        longer than with ordinary weights. Elsewhere it is made anew each time, which is quick there.
        """
        if self._kept is not None:
            return self._kept
        with torch.inference_mode(False), torch.no_grad():
            weight = self.weight_int8 * self.weight_scale[:, None]
        if weight.device.type == "cpu":
            self._kept = weight
        return weight

    def train(self, mode: bool = True) -> Self:
        """Refuse training mode.

        Raises
        ------
        ValueError
            If ``mode`` is true: integers have no gradient.
        """
        if mode:
            raise ValueError(
                "a quantized model cannot be trained, because integers have no gradient: train the model that it was "
                "made from, or model.dequantized()"
            )
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._kept = None
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._kept = None
        super()._load_from_state_dict(*arguments)


class QuantizedLinear(_QuantizedMatrix):
    """A linear layer ``x @ weight^T + bias`` whose weight is stored in 8 bits.

    Source: see :func:`quantize_rows` (Dettmers et al. 2022, arXiv:2208.07339).

    Parameters
    ----------
    n_inputs, n_outputs
        Length of the vectors that come in and go out.
    bias
        Whether there is a bias, which is not quantized.
    """

    bias: Tensor | None

    def __init__(self, n_inputs: int, n_outputs: int, bias: bool) -> None:
        super().__init__(n_outputs, n_inputs)
        self.register_buffer("bias", torch.zeros(n_outputs) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """Transform every vector of ``x``, ``(..., inputs)``, to ``(..., outputs)``."""
        return linear(x, self.weight, self.bias)


class QuantizedEmbedding(_QuantizedMatrix):
    """An embedding whose table is stored in 8 bits; :class:`MiniLLM` also uses it as its head if the two are tied.

    Source: see :func:`quantize_rows` (Dettmers et al. 2022, arXiv:2208.07339).
    """

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors of ``ids``, ``(...)``, as ``(..., hidden)``."""
        return self.weight_int8[ids].to(self.weight_scale.dtype) * self.weight_scale[ids][..., None]


def quantize(model: MiniLLM) -> MiniLLM:
    """Return a copy of a model with all matrices in 8 bits, in eval mode.

    Norms, biases and learned positions stay as they are. On a CPU the copy computes in float32, elsewhere in the dtype
    of the model. It decodes, computes losses and can be saved and loaded, but it cannot be trained.

    Raises
    ------
    ValueError
        If the model is quantized already, or a matrix holds infinities or NaN.
    """
    if is_quantized(model):
        raise ValueError("this model is quantized already")
    dtype = torch.float32 if model.device.type == "cpu" else model.embed_tokens.weight.dtype
    state: dict[str, Tensor] = {}
    quantized = empty_quantized(model.config)
    expected = quantized.state_dict()
    for name, tensor in model.state_dict().items():
        if f"{name}_int8" in expected:
            state[f"{name}_int8"], scale = quantize_rows(tensor)
            state[f"{name}_scale"] = scale.to(dtype)
        else:
            state[name] = tensor.detach().to(dtype, copy=True)
    fill(quantized, state)
    return quantized.described_as(model).eval()


def dequantize(model: MiniLLM) -> MiniLLM:
    """Return a model with ordinary weights: that of which a quantized model is made up, or else the model itself."""
    if not is_quantized(model):
        return model
    with torch.device("meta"):
        plain = MiniLLM(model.config)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items() if "weight_" not in name}
    for name, module in model.named_modules():
        if isinstance(module, _QuantizedMatrix):
            state[f"{name}.weight"] = module.weight.clone()
    fill(plain, state)
    return plain.described_as(model).eval()


def is_quantized(model: MiniLLM) -> bool:
    """Return whether the matrices of a model are in 8 bits."""
    return isinstance(model.embed_tokens, QuantizedEmbedding)


def empty_quantized(config: ModelConfig) -> MiniLLM:
    """Return a quantized model without data (on the device ``meta``), into which a state can be loaded."""
    with torch.device("meta"):
        model = MiniLLM(config).eval()
        for name, module in list(model.named_modules()):
            parent, _, own = name.rpartition(".")
            if isinstance(module, nn.Linear):
                layer: nn.Module = QuantizedLinear(
                    module.in_features, module.out_features, module.bias is not None
                )
            elif isinstance(module, nn.Embedding) and own == "embed_tokens":
                layer = QuantizedEmbedding(module.num_embeddings, module.embedding_dim)
            else:
                continue
            setattr(model.get_submodule(parent), own, layer)
    return model
