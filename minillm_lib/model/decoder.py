"""The decoder: embeddings, a stack of blocks, a norm and the output head."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from minillm_lib.model.attention import GroupedQueryAttention, causal_mask
from minillm_lib.model.config import ModelConfig, RopeScaling
from minillm_lib.model.feed_forward import GELUFeedForward, SwiGLU
from minillm_lib.model.kv_cache import KVCache
from minillm_lib.model.loss import ChunkStep, chunk_cross_entropy, linear_cross_entropy
from minillm_lib.model.metadata import ChatDefaults, Stage
from minillm_lib.model.rms_norm import RMSNorm
from minillm_lib.model.rope import RotaryEmbedding

if TYPE_CHECKING:
    from minillm_lib.generation.decoding import Generation
    from minillm_lib.generation.streaming import TextStream
    from minillm_lib.tokenizer import Tokenizer


def make_norm(config: ModelConfig) -> nn.Module:
    """Return the normalisation that the configuration names, over vectors of ``hidden_size``.

    LayerNorm is that of Ba, Kiros & Hinton 2016, arXiv:1607.06450; :class:`RMSNorm` names its own source.
    """
    layer = RMSNorm if config.norm == "rms" else nn.LayerNorm
    return layer(config.hidden_size, config.norm_eps)


class DecoderBlock(nn.Module):
    """Attention, then a feed-forward layer; each reads a normalised copy of the residual stream and adds to it.

    Source: the pre-norm block of Xiong et al. 2020, arXiv:2002.04745, as in Llama (Touvron et al. 2023,
    arXiv:2302.13971).

    Parameters
    ----------
    layer
        Number of the block, counted from 0: where a cache keeps its keys and values.
    """

    def __init__(self, config: ModelConfig, layer: int = 0) -> None:
        super().__init__()
        self.input_layernorm = make_norm(config)
        self.self_attn = GroupedQueryAttention(config, layer)
        self.post_attention_layernorm = make_norm(config)
        self.mlp = SwiGLU(config) if config.feed_forward == "swiglu" else GELUFeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Apply the block to the residual stream.

        Parameters
        ----------
        x
            ``(batch, seq, hidden)``.
        rotation, mask, cache
            As in :meth:`GroupedQueryAttention.forward`.

        Returns
        -------
        Tensor
            ``(batch, seq, hidden)``.
        """
        x = x + self.dropout(self.self_attn(self.input_layernorm(x), rotation, mask, cache))
        return x + self.dropout(self.mlp(self.post_attention_layernorm(x)))


class MiniLLM(nn.Module):
    """A decoder-only language model.

    Its modules have the names of Hugging Face's Llama, so that tensors have the same names in the checkpoints of both.

    Source: the decoder alone for language modelling, Radford et al. 2018, "Improving Language Understanding by
    Generative Pre-Training"; the default block is that of Llama (Touvron et al. 2023, arXiv:2302.13971). Tied
    embeddings: Press & Wolf 2017, arXiv:1608.05859. Learned positions: Gehring et al. 2017, arXiv:1705.03122.

    Parameters
    ----------
    config
        The shape of the model; :class:`~minillm_lib.model.config.ModelConfig` documents every key.

    Attributes
    ----------
    tokenizer
        The tokenizer that the model was trained with, or ``None`` if it is not known; a checkpoint contains its own.
    stage
        ``"pretrain"`` if the model only continues texts, ``"sft"`` if it was fine-tuned on conversations, ``None`` if
        that is not known.
    chat_defaults
        How the model wants to be used in conversations, :class:`~minillm_lib.model.metadata.ChatDefaults`.
    source
        The checkpoint from which the model was loaded, or ``None``.
    chunk_step
        The function that :meth:`loss` calls for each chunk of tokens; it may be replaced by a compiled one.

    Examples
    --------
    >>> from minillm_lib.model.decoder import MiniLLM
    >>> model = MiniLLM.from_preset("nano")
    >>> model(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 6400])
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer: Tokenizer | None = None
        self.stage: Stage | None = None
        self.chat_defaults = ChatDefaults()
        self.source: Path | None = None
        self.chunk_step: ChunkStep = chunk_cross_entropy
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.embed_positions: nn.Embedding | None = None
        self.rotary: RotaryEmbedding | None = None
        if config.positions == "learned":
            self.embed_positions = nn.Embedding(config.max_seq_len, config.hidden_size)
        else:
            self.rotary = RotaryEmbedding(config)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(DecoderBlock(config, layer) for layer in range(config.n_layers))
        self.norm = make_norm(config)
        self.lm_head: nn.Linear | None = None
        if not config.tied_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self._initialise()

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> Self:
        """Return a freshly initialised model of a named shape.

        The arguments and errors are those of :meth:`~minillm_lib.model.config.ModelConfig.from_preset`.
        """
        return cls(ModelConfig.from_preset(name, **overrides))

    def forward(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Return the logits of every row of the output head, ``(batch, seq, vocab)``.

        Rows beyond :attr:`n_ids` stand for no text. The arguments and errors are those of :meth:`hidden_states`.
        """
        hidden = self.hidden_states(
            input_ids, attention_mask=attention_mask, positions=positions, cache=cache
        )
        return linear(hidden, self._head)  # (batch, seq, vocab)

    def hidden_states(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: KVCache | None = None,
        segment_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the vectors that the output head reads, ``(batch, seq, hidden)``.

        Parameters
        ----------
        input_ids
            ``(batch, seq)`` token ids.
        attention_mask
            ``(batch, seq)``, true for tokens, false for padding; without it, all are tokens.
        positions
            ``(batch, seq)``; by default each row counts its tokens from 0, or continues the count of its cache.
        cache
            The past of these rows; the new tokens are appended to it.
        segment_ids
            ``(batch, seq)`` numbers that separate the texts packed into a row, so that they do not attend to one
            another; ``positions`` should restart with each text. They cannot be combined with a cache.

        Raises
        ------
        ValueError
            If the tokens exceed the learned positions or the cache, if the cache was made for another number of
            rows, or if ``segment_ids`` come with a cache.
        """
        if segment_ids is not None and cache is not None:
            raise ValueError("segment_ids and a cache exclude each other: decode one text per row")
        batch, seq = input_ids.shape
        past = 0 if cache is None else cache.length
        is_token = None if attention_mask is None else attention_mask.bool()
        if cache is not None:
            is_token = cache.extend(batch, seq, is_token)  # (batch, past + seq)
        if positions is None:
            positions = count_positions(past, seq, is_token, input_ids.device)  # (batch or 1, seq)
        if self.embed_positions is not None and past + seq > self.config.max_seq_len:
            self._check_learned_positions(positions, past, cache)
        mask = causal_mask(past, seq, is_token, input_ids.device, segment_ids)

        x = self.embed_tokens(input_ids)  # (batch, seq, hidden)
        if self.embed_positions is not None:
            x = x + self.embed_positions(positions)
        rotation = None if self.rotary is None else self.rotary(positions)
        x = self.dropout(x)
        recompute = self.config.activation_checkpointing and self.training and torch.is_grad_enabled()
        for block in self.layers:
            if recompute:
                x = checkpoint(block, x, rotation, mask, cache, use_reentrant=False)
            else:
                x = block(x, rotation, mask, cache)
        return self.norm(x)

    def loss(
        self,
        input_ids: Tensor,
        labels: Tensor,
        *,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
        segment_ids: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        """Return the cross-entropy in nats, where ``labels[b, t]`` is the token that follows ``input_ids[b, t]``.

        Nothing is shifted here: the labels of a text are its tokens from the second on, as in
        ``loss(text[:, :-1], text[:, 1:])``. The logits of all tokens are never in memory at the same time, see
        :func:`~minillm_lib.model.loss.linear_cross_entropy`.

        Parameters
        ----------
        input_ids, labels
            ``(batch, seq)`` token ids each.
        attention_mask, positions, segment_ids
            As in :meth:`hidden_states`.
        ignore_index
            Label of the tokens that do not count.
        reduction
            ``"mean"`` over the tokens that count, or their ``"sum"``.

        Returns
        -------
        Tensor
            A float32 scalar.
        """
        hidden = self.hidden_states(
            input_ids, attention_mask=attention_mask, positions=positions, segment_ids=segment_ids
        )
        return self.loss_of(hidden, labels, ignore_index=ignore_index, reduction=reduction)

    def loss_of(
        self,
        hidden: Tensor,
        labels: Tensor,
        *,
        ignore_index: int = -100,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        """Return :meth:`loss` from the vectors that :meth:`hidden_states` returned, ``(batch, seq, hidden)``."""
        return linear_cross_entropy(
            hidden.flatten(0, 1),
            self.output_weight,
            labels.flatten(),
            ignore_index=ignore_index,
            reduction=reduction,
            chunk_step=self.chunk_step,
        )

    def save(self, path: str | os.PathLike[str], tokenizer: Tokenizer | None = None) -> None:
        """Write a checkpoint of this model, to keep or share it.

        It is :func:`~minillm_lib.model.checkpoint.save_checkpoint` as a method: that function describes the
        arguments, the files and the errors, and how it differs from the other functions that save a model.
        """
        from minillm_lib.model.checkpoint import save_checkpoint

        save_checkpoint(self, path, tokenizer)

    @staticmethod
    def load_from_checkpoint(
        path: str | os.PathLike[str],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        rope_scaling: RopeScaling | Mapping[str, Any] | None = None,
        tokenizer: Tokenizer | str | os.PathLike[str] | bool = True,
        overrides: Mapping[str, Any] | None = None,
        verify: bool = True,
    ) -> MiniLLM:
        """Read a checkpoint and verify it: see :func:`~minillm_lib.model.checkpoint.load_checkpoint`."""
        from minillm_lib.model.checkpoint import load_checkpoint

        return load_checkpoint(
            path,
            device=device,
            dtype=dtype,
            rope_scaling=rope_scaling,
            tokenizer=tokenizer,
            overrides=overrides,
            verify=verify,
        )

    # The one exception to the order of the subpackages (see tests/test_rooms.py): for the user's convenience, these
    # three methods call `generation`, which is built on `model`.

    def generate(self, prompts: str | Tensor | Sequence[Any], **options: Any) -> list[Generation]:
        """Continue each prompt of a batch: see :func:`~minillm_lib.generation.decoding.generate`.

        Parameters
        ----------
        prompts
            A string or a list of them, token ids or lists of them, or a tensor ``(seq,)`` or ``(batch, seq)``.
        options
            ``temperature`` (0.8; 0 always takes the likeliest token), ``top_k`` (None; draw among this many likeliest
            tokens), ``top_p`` (1.0; among those of this total probability), ``min_p`` (0.0; among those at least this
            share as likely as the likeliest), ``repetition_penalty`` (1.0; above it, tokens that occurred become less
            likely), ``max_new_tokens`` (256; None continues to the end of the context), ``stop`` (strings that end the
            text), ``seed`` (None; the same seed writes the same text): the keys of
            :class:`~minillm_lib.generation.sampling.SamplingConfig`. Also ``sampling``, a configuration whose
            keys the others replace, ``end_ids`` (by default the tokenizer's) and ``fast`` (True; False computes every
            token with the layers).
        """
        from minillm_lib.generation.decoding import generate

        return generate(self, prompts, **options)

    def stream(self, prompt: str | Sequence[int], **options: Any) -> TextStream:
        """Continue one prompt, piece by piece: see :func:`~minillm_lib.generation.streaming.stream`.

        Parameters
        ----------
        prompt
            A string, or token ids.
        options
            ``temperature`` (0.8; 0 always takes the likeliest token), ``top_k`` (None; draw among this many likeliest
            tokens), ``top_p`` (1.0; among those of this total probability), ``min_p`` (0.0; among those at least this
            share as likely as the likeliest), ``repetition_penalty`` (1.0; above it, tokens that occurred become less
            likely), ``max_new_tokens`` (256; None continues to the end of the context), ``stop`` (strings that end the
            text), ``seed`` (None; the same seed writes the same text): the keys of
            :class:`~minillm_lib.generation.sampling.SamplingConfig`. Also ``sampling``, a configuration whose
            keys the others replace, ``end_ids`` (by default the tokenizer's) and ``fast`` (True; False computes every
            token with the layers).
        """
        from minillm_lib.generation.streaming import stream

        return stream(self, prompt, **options)

    def chat(self, text: str, **options: Any) -> str:
        """Reply to one message: see :func:`~minillm_lib.generation.chat_session.chat`.

        Parameters
        ----------
        text
            The message.
        options
            ``temperature`` (0.0; 0 always takes the likeliest token), ``top_k`` (None; draw among this many likeliest
            tokens), ``top_p`` (1.0; among those of this total probability), ``min_p`` (0.0; among those at least this
            share as likely as the likeliest), ``repetition_penalty`` (1.0; above it, tokens that occurred become less
            likely), ``max_new_tokens`` (256; None continues to the end of the context), ``stop`` (strings that end the
            text), ``seed`` (None; the same seed writes the same text): the keys of
            :class:`~minillm_lib.generation.sampling.SamplingConfig`. Also ``system`` (None; what the
            model is told before the conversation), ``history`` (earlier messages, as
            ``{"role": "user", "content": "…"}``), ``sampling``, a configuration whose keys the others replace, and
            ``fast`` (True; False computes every token with the layers).
        """
        from minillm_lib.generation.chat_session import chat

        return chat(self, text, **options)

    def described_as(self, other: MiniLLM) -> Self:
        """Take over what is known of another model beside its weights, such as its tokenizer, and return this model."""
        self.tokenizer, self.stage, self.source = other.tokenizer, other.stage, other.source
        self.chat_defaults = other.chat_defaults
        return self

    def quantized(self) -> MiniLLM:
        """Return a copy with weights in 8 bits: see :func:`~minillm_lib.model.quantization.quantize`."""
        from minillm_lib.model.quantization import quantize

        return quantize(self)

    def dequantized(self) -> MiniLLM:
        """Return a model with ordinary weights: see :func:`~minillm_lib.model.quantization.dequantize`."""
        from minillm_lib.model.quantization import dequantize

        return dequantize(self)

    @property
    def n_ids(self) -> int:
        """The number of ids that stand for a piece of the tokenizer; the vocabulary of the model may be larger."""
        vocab_size = self.config.vocab_size
        return vocab_size if self.tokenizer is None else min(vocab_size, self.tokenizer.vocab_size)

    @property
    def output_weight(self) -> Tensor:
        """The output head for the ids that have a piece, ``(n_ids, hidden)``; no other id gets a probability."""
        head, n_ids = self._head, self.n_ids
        return head if n_ids == len(head) else head[:n_ids]

    @property
    def _head(self) -> Tensor:
        """The whole head, ``(vocab, hidden)``: its own matrix, or the embedding when the two are tied."""
        return self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.norm.parameters()).device  # a quantized embedding would have to be made for it

    def new_cache(self, batch_size: int = 1, max_len: int | None = None) -> KVCache:
        """Return an empty cache with the model's device and dtype.

        Parameters
        ----------
        batch_size
            Number of sequences.
        max_len
            Number of tokens per sequence, padding included; by default the context length.
        """
        weight = self.embed_tokens.weight
        return KVCache(self.config, batch_size, max_len, device=weight.device, dtype=weight.dtype)

    def cuda(self, device: int | torch.device | None = None) -> Self:
        """Move the model to a CUDA device.

        Raises
        ------
        RuntimeError
            If there is none; the message says what to write instead.
        """
        if not torch.cuda.is_available():
            raise RuntimeError(
                "this machine has no CUDA device (torch.cuda.is_available() is False): leave .cuda() out to stay "
                "on the CPU, or write model.to(best_device()) to use the best available device"
            )
        return super().cuda(device)

    def _check_learned_positions(self, positions: Tensor, past: int, cache: KVCache | None) -> None:
        """Raise an error for positions beyond the table; padding takes none, so there may be more slots."""
        n_tokens, limit = int(positions.max()) + 1, self.config.max_seq_len
        if n_tokens > limit:
            if cache is not None:
                cache.length = past
            raise ValueError(f"{n_tokens} tokens exceed the model's learned positions, max_seq_len={limit}")

    def _initialise(self) -> None:
        """Draw normal weights, smaller ones where configured for the residual stream, and set biases to 0."""
        std = self.config.initializer_range
        residual_std = std / math.sqrt(2 * self.config.n_layers) if self.config.scale_residual_init else std
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                writes_residual = name.endswith(("o_proj", "down_proj"))
                nn.init.normal_(module.weight, std=residual_std if writes_residual else std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)


def fill(model: MiniLLM, state: Mapping[str, Tensor]) -> MiniLLM:
    """Give a model without data (on the device ``meta``) its tensors, and return it.

    Rotary frequencies are not part of a state; they are computed again.
    """
    model.load_state_dict(state, assign=True)
    if model.rotary is not None:
        model.rotary = RotaryEmbedding(model.config).to(model.device)
    return model


def count_positions(past: int, seq: int, is_token: Tensor | None, device: torch.device) -> Tensor:
    """Count the positions of the newest ``seq`` slots, so that each row counts its own tokens from 0.

    Parameters
    ----------
    past
        Number of slots before them.
    is_token
        ``(batch, past + seq)``, false for padding; ``None`` if there is none.

    Returns
    -------
    Tensor
        ``(batch, seq)``, or ``(1, seq)`` without padding.
    """
    if is_token is None:
        return torch.arange(past, past + seq, device=device)[None]
    return (is_token.cumsum(dim=-1) - 1).clamp(min=0)[:, past:]
