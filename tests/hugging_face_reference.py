"""The same model twice: ours, and transformers' implementation with the same weights."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.hugging_face import to_hugging_face

SCALINGS = {
    "none": None,
    "linear": {"rope_type": "linear", "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.5},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    "yarn, all set": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 16,
        "beta_fast": 16.0,
        "beta_slow": 2.0,
        "mscale": 0.7,
        "mscale_all_dim": 1.3,
        "truncate": False,
    },
    "yarn, fixed factor": {
        "rope_type": "yarn",
        "factor": 2.0,
        "original_max_position_embeddings": 24,
        "attention_factor": 1.25,
    },
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
}
"""Every kind of rotary scaling, made so that the sequences of the tests reach beyond the original length."""


def model_pair(config: ModelConfig, seed: int = 0) -> tuple[MiniLLM, PreTrainedModel]:
    """Ours with weights large enough to matter, and theirs with the same, both in eval mode."""
    torch.manual_seed(seed)
    ours = MiniLLM(config).eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(mean=1.0 if parameter.dim() == 1 else 0.0, std=0.15)
    values = {**to_hugging_face(config), "bos_token_id": None, "eos_token_id": None}
    theirs = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values)).eval()
    state = {
        name if name.startswith("lm_head") else f"model.{name}": t for name, t in ours.state_dict().items()
    }
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    theirs.tie_weights()
    return ours, theirs


def small_config(**overrides: object) -> ModelConfig:
    """A model that runs in milliseconds, trained for 32 positions if it had been trained."""
    small = {
        "vocab_size": 97,
        "hidden_size": 48,
        "n_layers": 2,
        "n_heads": 4,
        "n_kv_heads": 2,
        "intermediate_size": 80,
        "max_seq_len": 32,
    }
    return ModelConfig.model_validate({**small, **overrides})
