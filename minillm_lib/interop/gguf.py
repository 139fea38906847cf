"""Write GGUF files for llama.cpp, which hold a model, its tokenizer and its chat template in one file.

Format: ggml-org/ggml, docs/gguf.md, version 3, written by the ``gguf`` package of llama.cpp.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from torch import Tensor

from minillm_lib.generation.decoding import tokenizer_of
from minillm_lib.io.atomic_write import replaced_at_end
from minillm_lib.io.optional import optional_imports
from minillm_lib.model.config import DynamicScaling, LinearScaling, Llama3Scaling, ModelConfig, YarnScaling
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.hugging_face import model_type
from minillm_lib.model.rope import attention_factor, inverse_frequencies, to_interleaved
from minillm_lib.tokenizer import SPECIAL_TOKENS, HuggingFaceTokenizer, SentencePieceTokenizer, Tokenizer
from minillm_lib.tokenizer.hugging_face_files import GPT2_WORDS, ByteLevelBPE

with optional_imports("gguf", "to write GGUF files"):
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, RopeScalingType, TokenType
    from gguf.quants import quantize

DType = Literal["f32", "f16", "bf16"]

_FILE_TYPES = {
    "f32": LlamaFileType.ALL_F32,
    "f16": LlamaFileType.MOSTLY_F16,
    "bf16": LlamaFileType.MOSTLY_BF16,
}
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PRE_TOKENIZERS = {
    GPT2_WORDS: "gpt-2",
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}": "qwen2",
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}": "llama-bpe",
}
"""llama.cpp knows the patterns that split a text into words before merging by name only."""
_NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def export_gguf(model: MiniLLM, path: str | os.PathLike[str], *, dtype: DType = "f32") -> Path:
    """Write a model and its tokenizer as one GGUF file that llama.cpp runs.

    llama.cpp gives the same tokens for any text without the character U+2581, which is a space there, and renders
    conversations with the same template. It does not compose characters, so a text that is not in NFC may get other
    tokens there if the tokenizer composes them, as Qwen's does. A model with query–key norm is written as Qwen3, any
    other model as Llama. Rows of the embedding and the head beyond the tokenizer's ids are left out, as llama.cpp would
    draw them.

    Parameters
    ----------
    path
        The file; missing parent directories are created. An interrupted export leaves an earlier file intact.
    dtype
        Type of the matrices: ``"f32"``, ``"f16"`` or ``"bf16"``. Norms and biases are always float32. Smaller types
        can be made with ``llama-quantize``.

    Returns
    -------
    path
        The path of the file.

    Raises
    ------
    ValueError
        If ``dtype`` is unknown, if the model has no tokenizer or fewer ids than the tokenizer, or if llama.cpp does not
        support the model, such as one with a unigram tokenizer, with another model's tokenizer that is not byte-level
        BPE, changes texts by more than NFC or splits words by a pattern without a name there, with dynamic RoPE
        scaling, or with blocks other than a Llama's.
    WriteError
        If the file cannot be written, such as on a full disk; the message names it.
    """
    path, tokenizer, config = Path(path), tokenizer_of(model), model.config
    _refuse_unknown_to_llama_cpp(config, tokenizer)
    if dtype not in _FILE_TYPES:
        raise ValueError(f"dtype is {dtype!r}; it must be one of {', '.join(_FILE_TYPES)}")
    with replaced_at_end(path) as temporary:
        writer = GGUFWriter(temporary, model_type(config))
        try:
            writer.add_file_type(_FILE_TYPES[dtype])
            _add_config(writer, config.replace(vocab_size=model.n_ids))
            _add_tokenizer(writer, tokenizer)
            for name, tensor in gguf_tensors(model):
                kind = GGMLQuantizationType[dtype.upper() if tensor.dim() == 2 else "F32"]
                writer.add_tensor(name, quantize(tensor.numpy(), kind), raw_dtype=kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()
    return path


def gguf_tensors(model: MiniLLM) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor in float32 on the CPU, under llama.cpp's name.

    In a Llama file, the two elements of a rotated pair are neighbours, so queries and keys are reordered. In a Qwen3
    file, they lie in the two halves of a head, as in this package. ``rope_freqs`` holds the divisor of each frequency.
    """
    config = model.config
    heads = {"attn_q": config.n_heads, "attn_k": config.n_kv_heads}
    for name, tensor in model.dequantized().state_dict().items():
        module, _, kind = name.rpartition(".")
        layer, module = module.split(".", 2)[1:] if module.startswith("layers.") else ("", module)
        theirs, tensor = _NAMES[module], tensor.detach().float().cpu()
        if theirs in ("token_embd", "output"):
            tensor = tensor[: model.n_ids]
        if theirs in heads and not config.qk_norm:
            tensor = to_interleaved(tensor, heads[theirs])
        yield f"blk.{layer}.{theirs}.{kind}" if layer else f"{theirs}.{kind}", tensor.contiguous()
    if isinstance(config.rope_scaling, Llama3Scaling):
        plain = inverse_frequencies(config.replace(rope_scaling=None))
        yield "rope_freqs.weight", plain / inverse_frequencies(config)


def _add_config(writer: GGUFWriter, config: ModelConfig) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.n_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.n_heads)
    writer.add_head_count_kv(config.n_kv_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    match config.rope_scaling:
        case LinearScaling(factor=factor):
            writer.add_rope_scaling_type(RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(factor)
        case YarnScaling(factor=factor) as scaling:
            writer.add_rope_scaling_type(RopeScalingType.YARN)
            writer.add_rope_scaling_factor(factor)
            original = scaling.original_max_position_embeddings or config.max_seq_len
            writer.add_rope_scaling_orig_ctx_len(original)
            # llama.cpp multiplies this by the paper's own factor.
            usual = attention_factor(config.replace(rope_scaling=YarnScaling(factor=factor)))
            writer.add_rope_scaling_attn_factors(attention_factor(config) / usual)


def _add_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer) -> None:
    if isinstance(tokenizer, SentencePieceTokenizer):
        _add_sentence_piece(writer, tokenizer)
    elif isinstance(tokenizer, HuggingFaceTokenizer):
        _add_byte_level_bpe(writer, tokenizer.byte_level_bpe())
    writer.add_pad_token_id(tokenizer.pad_id)
    writer.add_bos_token_id(tokenizer.bos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_eot_token_id(tokenizer.end_of_turn_id)
    writer.add_add_bos_token(tokenizer.begins_with_bos)
    writer.add_add_eos_token(False)
    if tokenizer.chat_template is not None:
        # The tags that mark the assistant's tokens are an extension of transformers.
        writer.add_chat_template(re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", tokenizer.chat_template))


def _add_sentence_piece(writer: GGUFWriter, tokenizer: SentencePieceTokenizer) -> None:
    """Add the vocabulary with scores that make llama.cpp merge in SentencePiece's order, earliest learned first."""
    n_special = len(SPECIAL_TOKENS)
    n_learned = tokenizer.vocab_size - n_special - 256
    kinds = [TokenType.CONTROL] * n_special + [TokenType.BYTE] * 256 + [TokenType.NORMAL] * n_learned
    kinds[tokenizer.unk_id] = TokenType.UNKNOWN
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokenizer.vocabulary)
    writer.add_token_scores([0.0] * (n_special + 256) + [-float(rank) for rank in range(n_learned)])
    writer.add_token_types(kinds)
    writer.add_unk_token_id(tokenizer.unk_id)
    writer.add_add_space_prefix(False)


def _add_byte_level_bpe(writer: GGUFWriter, model: ByteLevelBPE) -> None:
    kinds = [TokenType.NORMAL] * len(model.pieces)
    for token_id in model.added_ids:
        kinds[token_id] = TokenType.USER_DEFINED
    for token_id in model.special_ids:
        kinds[token_id] = TokenType.CONTROL if model.pieces[token_id] else TokenType.UNUSED
    pieces = [piece or f"[UNUSED{token_id}]" for token_id, piece in enumerate(model.pieces)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_PRE_TOKENIZERS[model.word_pattern])
    writer.add_token_list(pieces)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{left} {right}" for left, right in model.merges])


def _obstacle_in_tokenizer(tokenizer: Tokenizer) -> str | None:
    """Return why llama.cpp cannot have this tokenizer, or ``None`` if it can."""
    if isinstance(tokenizer, HuggingFaceTokenizer):
        try:
            model = tokenizer.byte_level_bpe()
        except ValueError as error:
            return str(error)
        name = _PRE_TOKENIZERS.get(model.word_pattern)
        if name is None:
            return f"its tokenizer splits words by a pattern without a name there, {model.word_pattern!r}"
        if model.ignore_merges and name != "llama-bpe":
            return f"its tokenizer has ignore_merges, which is not known there with the words of {name}"
        return None
    if tokenizer.model_type != "bpe":
        return "its tokenizer is unigram, which has no byte fallback in llama.cpp"
    return None


def _refuse_unknown_to_llama_cpp(config: ModelConfig, tokenizer: Tokenizer) -> None:
    scaling, n_pieces = config.rope_scaling, tokenizer.vocab_size
    obstacles = {
        f"its vocabulary size is {config.vocab_size}, below the tokenizer's {n_pieces}": (
            config.vocab_size < n_pieces
        ),
        f"hidden_size={config.hidden_size} is no multiple of n_heads={config.n_heads}": (
            not config.qk_norm and config.hidden_size % config.n_heads != 0
        ),
        "its blocks do not use RMSNorm, SwiGLU and rotary positions": model_type(config) == "minillm",
        "it has both biases and query–key norm": config.qk_norm and config.attention_bias,
        "it has both RoPE scaling 'llama3' and query–key norm": (
            config.qk_norm and isinstance(scaling, Llama3Scaling)
        ),
        "its RoPE scaling is 'dynamic'": isinstance(scaling, DynamicScaling),
        "its YaRN bounds are not the usual ones, and a GGUF file cannot store them": (
            isinstance(scaling, YarnScaling)
            and (scaling.beta_fast, scaling.beta_slow, scaling.truncate) != (32, 1, True)
        ),
    }
    for reason, applies in obstacles.items():
        if applies:
            raise ValueError(f"llama.cpp does not support this model: {reason}")
    if obstacle := _obstacle_in_tokenizer(tokenizer):
        raise ValueError(f"llama.cpp does not support this model: {obstacle}")
