"""The shape of a decoder, as one typed and validated value.

This module does not import torch, so that ``minillm doctor`` and the check of configuration files start at once.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from minillm_lib.io.wording import shown

Size = Annotated[int, Field(gt=0, lt=2**31)]
"""A number of things that a tensor can count."""


class StrictConfig(BaseModel):
    """A frozen pydantic model that refuses unknown keys with a list of the known ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                    hint = f"; did you mean {close[0]!r}?" if close else ""
                    allowed = f"the keys are {', '.join(cls.model_fields)}"
                    raise ValueError(f"unknown key {key!r} (value {shown(values[key])}){hint}; {allowed}")
        return values

    def replace(self, **changes: Any) -> Self:
        """Return the configuration with some keys changed.

        The result is validated again, and defaults that are derived from other keys follow the change.

        Raises
        ------
        pydantic.ValidationError
            A ``ValueError`` that names the key, the value and what is allowed.
        """
        explicit = {key: getattr(self, key) for key in self.model_fields_set}
        return type(self).model_validate({**explicit, **changes})


class LinearScaling(StrictConfig):
    """Position interpolation: all frequencies are divided by ``factor`` (Chen et al. 2023, arXiv:2306.15595)."""

    rope_type: Literal["linear"] = "linear"
    """The kind of scaling."""
    factor: float = Field(ge=1)
    """How many times longer the context becomes."""


class DynamicScaling(StrictConfig):
    """NTK-aware scaling of the base, which grows with the sequence once it is longer than ``max_seq_len``.

    As in ``transformers``, ``max_seq_len`` of the model is the *trained* length, and the context may be
    ``factor`` times as long.

    Source: Peng et al. 2023, arXiv:2309.00071, sections 3.1 and 3.3.
    """

    rope_type: Literal["dynamic"] = "dynamic"
    """The kind of scaling."""
    factor: float = Field(ge=1)
    """How many times longer the context becomes."""


class YarnScaling(StrictConfig):
    """YaRN: stretch slow frequencies, keep fast ones, sharpen attention (Peng et al. 2023, arXiv:2309.00071)."""

    rope_type: Literal["yarn"] = "yarn"
    """The kind of scaling."""
    factor: float = Field(ge=1)
    """How many times longer the context becomes."""
    original_max_position_embeddings: Size | None = None
    """The original context in tokens; the model's max_seq_len by default."""
    attention_factor: PositiveFloat | None = None
    """Multiplies rotated queries and keys alike. The default is 0.1 ln(factor) + 1 or, where both mscale and
    mscale_all_dim are given, the ratio of two such terms with these weights on the logarithm."""
    beta_fast: PositiveFloat = 32.0
    """A pair that turns more often than this within the original context keeps its frequency."""
    beta_slow: PositiveFloat = 1.0
    """A pair that turns less often than this has its frequency divided by factor; those between are blended."""
    mscale: PositiveFloat | None = None
    """Weight on the logarithm in the numerator of attention_factor."""
    mscale_all_dim: PositiveFloat | None = None
    """Weight on the logarithm in the denominator of attention_factor."""
    truncate: bool = True
    """Round the bounds of the blend outwards to whole dimensions."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.beta_fast < self.beta_slow:
            raise ValueError(f"beta_fast={self.beta_fast} must not be less than beta_slow={self.beta_slow}")
        return self


class Llama3Scaling(StrictConfig):
    """Llama 3.1's rule: short wavelengths stay, long ones are stretched by ``factor`` (arXiv:2407.21783).

    Short and long are measured against ``original_max_position_embeddings``, by default the model's ``max_seq_len``.
    Wavelengths below ``original / high_freq_factor`` are kept, those above ``original / low_freq_factor`` are
    stretched, and those between are blended.
    """

    rope_type: Literal["llama3"] = "llama3"
    """The kind of scaling."""
    factor: float = Field(ge=1)
    """How many times longer the context becomes."""
    low_freq_factor: PositiveFloat = 1.0
    """Wavelengths above the original context divided by this are stretched."""
    high_freq_factor: PositiveFloat = 4.0
    """Wavelengths below the original context divided by this are kept."""
    original_max_position_embeddings: Size | None = None
    """The original context in tokens; the model's max_seq_len by default."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.high_freq_factor <= self.low_freq_factor:
            high, low = self.high_freq_factor, self.low_freq_factor
            raise ValueError(f"high_freq_factor={high} must be greater than low_freq_factor={low}")
        return self


RopeScaling = LinearScaling | DynamicScaling | YarnScaling | Llama3Scaling


class ModelConfig(StrictConfig):
    r"""Everything that determines the shape and the arithmetic of a :class:`~minillm_lib.model.decoder.MiniLLM`.

    Query heads share key–value heads in groups::

        n_heads = 4   MHA: n_kv_heads = 4    GQA: n_kv_heads = 2    MQA: n_kv_heads = 1

        keys, values     k k k k                 k     k                   k
                         | | | |                / \   / \             / / \ \
        queries          q q q q               q   q q   q           q  q   q  q

    Raises
    ------
    pydantic.ValidationError
        A ``ValueError`` that names the key, the value and what is allowed.
    """

    vocab_size: Size = 6400
    """Number of tokens in the vocabulary."""
    hidden_size: Size = 512
    """Width of the residual stream."""
    n_layers: Size = 8
    """Number of blocks."""
    n_heads: Size = 8
    """Number of query heads."""
    n_kv_heads: Size = 2
    """Number of key–value heads, a divisor of n_heads."""
    head_dim: Size = Field(default_factory=lambda values: values["hidden_size"] // values["n_heads"])
    """Width of each head; hidden_size / n_heads by default."""
    intermediate_size: Size = 1408
    """Width of the feed-forward layer."""
    max_seq_len: Size = 2048
    """Context length in tokens. Learned positions end there; with rotary ones, the model can run beyond it."""

    positions: Literal["rope", "learned"] = "rope"
    """Rotary positions, or learned absolute ones."""
    rope_theta: float = Field(default=10_000.0, gt=1)
    """Base of the rotary frequencies."""
    rope_scaling: RopeScaling | None = Field(default=None, discriminator="rope_type")
    """For a longer context than the model was trained on: linear, dynamic, yarn or llama3, each with a factor."""

    norm: Literal["rms", "layer"] = "rms"
    """RMSNorm or LayerNorm."""
    norm_eps: PositiveFloat = 1e-5
    """The constant under the root of the norm."""
    qk_norm: bool = False
    """Whether each query and key passes an RMSNorm before rotation."""
    feed_forward: Literal["swiglu", "gelu"] = "swiglu"
    """SwiGLU, or two layers with GELU."""
    attention_bias: bool = False
    """Whether the projections of the attention have biases."""
    mlp_bias: bool = False
    """Whether the projections of the feed-forward layer have biases."""
    tied_embeddings: bool = True
    """Whether the output head is the transposed input embedding."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Rate for embeddings, attention weights and both residual branches during training."""
    initializer_range: PositiveFloat = 0.02
    """Standard deviation of the initial weights."""
    scale_residual_init: bool = True
    """Whether the two projections that write to the residual stream start smaller by 1 / sqrt(2 n_layers) (Radford et
    al. 2019, section 2.3)."""
    activation_checkpointing: bool = False
    """Whether each block is recomputed in the backward pass instead of keeping its activations: less memory, more
    time."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "head_dim" not in self.model_fields_set and self.hidden_size % self.n_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be a multiple of n_heads={self.n_heads}, unless head_dim is given"
            )
        if self.n_heads % self.n_kv_heads:
            small = [n for n in range(1, math.isqrt(self.n_heads) + 1) if self.n_heads % n == 0]
            divisors = sorted({*small, *(self.n_heads // n for n in small)})
            raise ValueError(
                f"n_kv_heads={self.n_kv_heads} must divide n_heads={self.n_heads}; allowed: {divisors}"
            )
        if self.positions == "rope" and self.head_dim % 2:
            raise ValueError(f"head_dim={self.head_dim} must be even: rotary positions turn pairs of numbers")
        if self.positions == "learned" and self.rope_scaling is not None:
            kind = self.rope_scaling.rope_type
            raise ValueError(f"rope_scaling={kind!r} needs positions='rope', not positions='learned'")
        if isinstance(self.rope_scaling, DynamicScaling) and self.head_dim <= 2:
            raise ValueError(f"head_dim={self.head_dim} must be more than 2 for rope_scaling 'dynamic'")
        return self

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> ModelConfig:
        """Return a named configuration, with any keys overridden.

        Parameters
        ----------
        name
            A key of :data:`PRESETS`.
        overrides
            Keys of the configuration.

        Raises
        ------
        ValueError
            If there is no such preset, or an override is not allowed.
        """
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
        return cls.model_validate({**PRESETS[name], **overrides})

    def with_rope_scaling(self, scaling: RopeScaling | Mapping[str, Any]) -> ModelConfig:
        """Return the configuration that runs the same weights on a context ``factor`` times the trained length.

        ``max_seq_len`` becomes the longer context, and ``yarn`` and ``llama3`` store the trained length. With
        ``dynamic``, ``max_seq_len`` is the trained length itself, from which that scaling starts. The trained
        length is the ``original_max_position_embeddings`` of the new scaling, else that of the present scaling,
        else ``max_seq_len``.

        Raises
        ------
        pydantic.ValidationError
            If the scaling is invalid, or the model has learned positions.
        """
        new = self.replace(rope_scaling=scaling).rope_scaling
        assert new is not None
        lengths = (
            getattr(each, "original_max_position_embeddings", None) for each in (new, self.rope_scaling)
        )
        trained = next((length for length in lengths if length), self.max_seq_len)
        if isinstance(new, DynamicScaling):
            return self.replace(rope_scaling=new, max_seq_len=trained)
        if isinstance(new, YarnScaling | Llama3Scaling):
            new = new.replace(original_max_position_embeddings=trained)
        return self.replace(rope_scaling=new, max_seq_len=int(trained * new.factor))

    @property
    def context_length(self) -> int:
        """The longest sequence that the model is meant for, in tokens."""
        if isinstance(self.rope_scaling, DynamicScaling):
            return int(self.max_seq_len * self.rope_scaling.factor)
        return self.max_seq_len

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters, where a tied embedding counts once."""
        query_width, kv_width = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        norm = self.hidden_size * (1 if self.norm == "rms" else 2)
        attention_biases = self.attention_bias * (query_width + 2 * kv_width + self.hidden_size)
        n_wide = 2 if self.feed_forward == "swiglu" else 1
        mlp_biases = self.mlp_bias * (n_wide * self.intermediate_size + self.hidden_size)
        vectors = 2 * norm + attention_biases + mlp_biases + self.qk_norm * 2 * self.head_dim
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tied_embeddings else 2)
        learned_positions = self.max_seq_len * self.hidden_size if self.positions == "learned" else 0
        return embeddings + learned_positions + self.n_layers * (self._block_weights + vectors) + norm

    @property
    def _block_weights(self) -> int:
        """Number of entries in the matrices of one block."""
        attention = 2 * self.hidden_size * self.head_dim * (self.n_heads + self.n_kv_heads)
        n_matrices = 3 if self.feed_forward == "swiglu" else 2
        return attention + n_matrices * self.hidden_size * self.intermediate_size

    def kv_cache_bytes(self, batch_size: int, seq_len: int, bytes_per_value: int = 2) -> int:
        """Return the size in bytes of the keys and values of ``batch_size`` sequences of ``seq_len`` tokens.

        Parameters
        ----------
        bytes_per_value
            2 for bfloat16 and float16, 4 for float32.
        """
        per_token = 2 * self.n_layers * self.n_kv_heads * self.head_dim
        return per_token * batch_size * seq_len * bytes_per_value

    def flops_per_token(self, seq_len: int, *, training: bool = True) -> int:
        """Count the floating-point operations of the matrix products per token of a sequence of ``seq_len`` tokens.

        There are two per weight in the forward pass, and four more in the backward pass if ``training``. Attention
        is counted as the full square, as is usual (Chowdhery et al. 2022, appendix B), although a causal kernel
        needs about half of it.
        """
        weights = self.n_layers * self._block_weights + self.vocab_size * self.hidden_size
        attention = 2 * self.n_layers * self.n_heads * self.head_dim * seq_len
        forward = 2 * (weights + attention)
        return 3 * forward if training else forward


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "nano": {"hidden_size": 64, "n_layers": 4, "n_heads": 4, "intermediate_size": 192, "max_seq_len": 512},
    "tiny": {"hidden_size": 192, "n_layers": 4, "n_heads": 6, "intermediate_size": 512, "max_seq_len": 512},
    "26m": {},
    "104m": {"hidden_size": 768, "n_layers": 16, "intermediate_size": 2048},
    # The GPT-2 block with biases everywhere. Its feed-forward layer is narrowed from the usual 4 x 512 to
    # 1600 to make up for full-width keys and values, the biases and the position table. It has 0.16 % more
    # parameters than 26m.
    "26m-classic": {
        "n_kv_heads": 8,
        "intermediate_size": 1600,
        "positions": "learned",
        "norm": "layer",
        "feed_forward": "gelu",
        "attention_bias": True,
        "mlp_bias": True,
    },
}
"""Shapes for a vocabulary of 6400, with 0.6, 2.8, 25.8, 104.0 and, for the classic block, 25.9 million parameters."""
