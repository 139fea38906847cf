"""Small checkpoints in the form of other people's models: a byte-level tokenizer, a chat template, random weights."""

from __future__ import annotations

import json
from pathlib import Path

import tokenizers
import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from transformers import Qwen3Config, Qwen3ForCausalLM

TEXTS = [
    "A topic model reads documents and finds topics; a language model reads tokens and predicts the next one.",
    "主题模型把每篇文章看作若干主题的混合，语言模型逐个预测下一个词元。",
    "    def attend(query, key, value):\n        return softmax(query @ key.T) @ value\n\n",
    "How many heads? 8 heads, 2 key-value heads, 1234567890 tokens.",
] * 5
WORDS = "|".join(
    [
        *(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{N}"),
        *(r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"),
    ]
)
"""How Qwen splits a text into words."""
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PLAIN_ADDED = ["<think>", "</think>"]
TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
MARKED_TEMPLATE = """\
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def byte_level_tokenizer(words: str | None = WORDS) -> tokenizers.Tokenizer:
    """A byte-level BPE of 400 pieces, which splits words as Qwen does, or with ``None`` as GPT-2 does."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    own = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words is None)
    split = pre_tokenizers.Split(tokenizers.Regex(words or "."), "isolated")
    tokenizer.pre_tokenizer = own if words is None else pre_tokenizers.Sequence([split, own])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in PLAIN_ADDED])
    return tokenizer


def save_tokenizer(folder: Path, template: str | None = TEMPLATE, words: str | None = WORDS) -> Path:
    """Write the files of a tokenizer, with the names of Qwen3's special tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    byte_level_tokenizer(words).save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        **({} if template is None else {"chat_template": template}),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def save_qwen3(folder: Path, template: str | None = TEMPLATE, seed: int = 0, **changes) -> Path:
    """Write a random Qwen3 with this tokenizer, whose head has some rows without a piece, as Qwen's have."""
    torch.manual_seed(seed)
    values = {
        "vocab_size": 416,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        **changes,
    }
    model = Qwen3ForCausalLM(Qwen3Config(**values))
    for name, parameter in model.named_parameters():
        if not name.endswith("norm.weight"):
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    save_tokenizer(folder, template)
    named = {"eos_token_id": [2, 0], "pad_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(named), encoding="utf-8")
    return folder
