"""The addresses of a model's tensors, for the compiled kernel to read them where they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from minillm_lib.model.attention import GroupedQueryAttention
from minillm_lib.model.decoder import DecoderBlock, MiniLLM
from minillm_lib.model.feed_forward import GELUFeedForward, SwiGLU
from minillm_lib.model.quantization import QuantizedEmbedding, QuantizedLinear, is_quantized
from minillm_lib.model.rms_norm import RMSNorm
from minillm_lib.model.rope import RotaryEmbedding

_KNOWN_LAYERS = (
    DecoderBlock, GroupedQueryAttention, SwiGLU, GELUFeedForward, RMSNorm, RotaryEmbedding, QuantizedLinear,
    QuantizedEmbedding, nn.LayerNorm, nn.Linear, nn.Embedding, nn.Dropout, nn.Identity, nn.ModuleList,
)  # fmt: skip


class FastPathError(ValueError):
    """The error of a model, or a cache, with which only the layers can compute; the message says why."""


class WeightTable:
    """Where the tensors of a model are, after a check that the kernel computes what the layers do.

    Parameters
    ----------
    model
        A model in float32, or with weights in 8 bits, on the CPU.
    halve
        Whether to copy matrices whose numbers all fit into bfloat16, as those of a model that was saved in it, to half
        the memory. They are the same numbers, read in half the time.

    Attributes
    ----------
    shape, like, addresses
        Arguments of :func:`~minillm_lib.generation.token_kernel.token_step`.
    n_bytes
        Size of all matrices.

    Raises
    ------
    FastPathError
        If the model has other layers, hooks, other dtypes or anything else that only its layers know; or if numba
        is not installed.
    """

    def __init__(self, model: MiniLLM, *, halve: bool = False) -> None:
        try:
            from minillm_lib.generation import token_kernel as kernel  # here, because it loads numba
        except ImportError as error:
            raise FastPathError(
                f"numba, which compiles the fast path, cannot be imported: {error}"
            ) from error

        modules = list(model.modules())
        self._hooks = [
            each for module in modules for each in (module._forward_hooks, module._forward_pre_hooks)
        ]
        self._hooks += [torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks]
        self._children = [(module._modules, name) for module in modules for name in module._modules]
        self._tensors: list[tuple[dict[str, Any], str]] = []
        self._kept: list[Tensor] = []  # so that no memory is freed while a thread reads it
        self._matrices: list[tuple[np.ndarray, int, Tensor]] = []
        self._halves: dict[int, np.ndarray] = {}
        self._model, config = model, model.config
        self._check_modules()

        self.like, self.n_bytes = np.empty(0, np.int8 if is_quantized(model) else np.float32), 0
        self.shape = kernel.Shape(
            config.n_layers, config.hidden_size, config.n_heads, config.n_kv_heads, config.head_dim,
            config.intermediate_size, config.vocab_size, config.norm_eps,
            is_layer_norm=config.norm == "layer", is_gated=config.feed_forward == "swiglu",
        )  # fmt: skip
        self.addresses = np.zeros((config.n_layers + 1, kernel.N_COLUMNS), np.int64)
        hidden, inner, vocab = config.hidden_size, config.intermediate_size, config.vocab_size
        queries, keys = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        for number, row in enumerate(self.addresses[:-1]):
            block = f"layers.{number}"
            self._enter_norm(row, kernel.INPUT_NORM, f"{block}.input_layernorm", hidden)
            self._enter_matrix(row, kernel.Q, f"{block}.self_attn.q_proj", queries, hidden)
            self._enter_matrix(row, kernel.K, f"{block}.self_attn.k_proj", keys, hidden)
            self._enter_matrix(row, kernel.V, f"{block}.self_attn.v_proj", keys, hidden)
            if config.qk_norm:
                self._enter_norm(row, kernel.Q_NORM, f"{block}.self_attn.q_norm", config.head_dim)
                self._enter_norm(row, kernel.K_NORM, f"{block}.self_attn.k_norm", config.head_dim)
            self._enter_matrix(row, kernel.O, f"{block}.self_attn.o_proj", hidden, queries)
            self._enter_norm(row, kernel.POST_NORM, f"{block}.post_attention_layernorm", hidden)
            if self.shape.is_gated:
                self._enter_matrix(row, kernel.GATE, f"{block}.mlp.gate_proj", inner, hidden)
            self._enter_matrix(row, kernel.UP, f"{block}.mlp.up_proj", inner, hidden)
            self._enter_matrix(row, kernel.DOWN, f"{block}.mlp.down_proj", hidden, inner)
        last = self.addresses[-1]
        self._enter_matrix(last, kernel.EMBEDDING, "embed_tokens", vocab, hidden)
        self._enter_matrix(last, kernel.HEAD, "lm_head" if model.lm_head else "embed_tokens", vocab, hidden)
        if config.positions == "learned":
            self._enter(last, kernel.POSITIONS, "embed_positions.weight", (config.max_seq_len, hidden))
        self._enter_norm(last, kernel.FINAL_NORM, "norm", hidden)
        if halve and self.like.dtype == np.float32:
            self._halve(kernel.halve)
        self._found = self._look()

    def _halve(self, halve: Any) -> None:
        """Copy all matrices to half the memory, if that changes no number of any of them."""
        halves: dict[int, np.ndarray] = {}
        for _, _, tensor in self._matrices:
            if tensor.is_inference():  # PyTorch does not count the changes of such a tensor
                return
            if tensor.data_ptr() not in halves:
                numbers = tensor.numpy().view(np.uint32).reshape(-1)
                halves[tensor.data_ptr()] = np.empty(numbers.size, np.uint16)
                if not halve(numbers, halves[tensor.data_ptr()]):
                    return
        for row, column, tensor in self._matrices:
            row[column] = halves[tensor.data_ptr()].ctypes.data
        self._halves, self.like, self.n_bytes = halves, np.empty(0, np.uint16), self.n_bytes // 2

    def is_current(self) -> bool:
        """Return whether the model still has the tensors and modules of the table, and no hooks."""
        try:
            return not any(self._hooks) and self._look() == self._found
        except (KeyError, AttributeError):
            return False

    def _look(self) -> list[int]:
        """Return where the tensors are and, if there are copies, how often they were changed; and the modules."""
        where = [tensors[name].data_ptr() for tensors, name in self._tensors]
        if self._halves:
            where += [tensors[name]._version for tensors, name in self._tensors]
        return where + [id(children[name]) for children, name in self._children]

    def _check_modules(self) -> None:
        """Check what does not concern a single tensor."""
        model, kind = self._model, type(self._model)
        if kind.hidden_states is not MiniLLM.hidden_states or "hidden_states" in vars(model):
            raise FastPathError(f"{kind.__name__} computes hidden_states in its own way")
        if len(model.layers) != model.config.n_layers:
            n_layers = model.config.n_layers
            raise FastPathError(f"the model has {len(model.layers)} blocks, but its configuration {n_layers}")
        for name, module in model.named_modules():
            if name and type(module) not in _KNOWN_LAYERS:
                raise FastPathError(f"{name} is a {type(module).__name__}, which the fast path does not know")
            if "forward" in vars(module):
                raise FastPathError(f"the forward method of {name or 'the model'} was replaced")
        if any(self._hooks):
            raise FastPathError("there are forward hooks, which only the layers call")
        if torch.is_autocast_enabled("cpu"):
            raise FastPathError("torch.autocast is on, which only the layers follow")

    def _enter(
        self,
        row: np.ndarray,
        column: int,
        name: str,
        shape: tuple[int, ...],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Enter the address of a tensor."""
        parent, _, own = name.rpartition(".")
        module = self._model.get_submodule(parent)
        tensors = module._parameters if own in module._parameters else module._buffers
        tensor = tensors.get(own)
        if type(tensor) not in (nn.Parameter, Tensor) or not isinstance(tensor, Tensor):
            raise FastPathError(f"{name} is a {type(tensor).__name__}, not an ordinary tensor")
        if tensor.device.type != "cpu":
            raise FastPathError(f"{name} is on {tensor.device}; the fast path is for the CPU")
        if tensor.dtype != dtype:
            raise FastPathError(
                f"{name} is in {tensor.dtype}, but the fast path is for {dtype}; model.float() converts a model"
            )
        if tensor.shape != shape or not tensor.is_contiguous():
            raise FastPathError(
                f"{name} has the shape {tuple(tensor.shape)} and the strides {tensor.stride()}; "
                f"the fast path needs the shape {shape}, contiguous"
            )
        row[column] = tensor.data_ptr()
        self._tensors.append((tensors, own))
        self._kept.append(tensor.detach())

    def _enter_matrix(self, row: np.ndarray, column: int, name: str, n_rows: int, n_columns: int) -> None:
        """Enter the addresses of a weight, of the scales of its rows and of a bias, where there are such."""
        module = self._model.get_submodule(name)
        if isinstance(module, QuantizedLinear | QuantizedEmbedding):
            self._enter(row, column, f"{name}.weight_int8", (n_rows, n_columns), torch.int8)
            self._enter(row, column + 1, f"{name}.weight_scale", (n_rows,))
        else:
            self._enter(row, column, f"{name}.weight", (n_rows, n_columns))
            self._matrices.append((row, column, self._kept[-1]))
        if getattr(module, "bias", None) is not None:
            self._enter(row, column + 2, f"{name}.bias", (n_rows,))
        self.n_bytes += n_rows * n_columns * self.like.itemsize

    def _enter_norm(self, row: np.ndarray, column: int, name: str, size: int) -> None:
        """Enter the addresses of a norm's weight, and of its bias if it is a LayerNorm."""
        module, eps = self._model.get_submodule(name), self._model.config.norm_eps
        if module.eps != eps:
            raise FastPathError(f"{name} has eps={module.eps}, but the configuration norm_eps={eps}")
        self._enter(row, column, f"{name}.weight", (size,))
        if isinstance(module, nn.LayerNorm):
            self._enter(row, column + 1, f"{name}.bias", (size,))
