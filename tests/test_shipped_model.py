"""The 26 M models in results/26m are what the README says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from minillm_lib.corpora.conversations import LANGUAGES
from minillm_lib.corpora.held_out_questions import free_out_of_scope, free_questions
from minillm_lib.generation.honesty import BROKEN, check_honesty
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM

RESULTS = Path(__file__).parent.parent / "results" / "26m"


@pytest.mark.parametrize("name", ["base", "chat"])
def test_it_is_the_26_m_preset_in_bfloat16_and_small_enough_for_git(name):
    model = MiniLLM.load_from_checkpoint(RESULTS / name)
    assert sum(each.numel() for each in model.parameters()) == 25_829_888
    assert model.config == ModelConfig.from_preset("26m", max_seq_len=512)
    assert {each.dtype for each in model.parameters()} == {torch.bfloat16}
    assert (RESULTS / name / "model.safetensors").stat().st_size < 64 * 2**20


def test_most_questions_in_free_words_are_answered_right_and_others_declined():
    """Some of them; all of them, for the figures of the README, take ten minutes with ``benchmarks/honesty.py``."""
    model = MiniLLM.load_from_checkpoint(RESULTS / "chat", dtype=torch.float32)
    for dialogues in (free_questions()[::8], free_out_of_scope()[::8]):
        replies = check_honesty(model, dialogues)
        assert not [each.reply for each in replies if each.reference == BROKEN]
        for language in LANGUAGES:
            own = [each.is_right for each in replies if each.dialogue.language == language]
            assert sum(own) / len(own) > 0.55, language  # some thirty questions


def test_it_was_fine_tuned_and_says_when_it_is_not_sure():
    model = MiniLLM.load_from_checkpoint(RESULTS / "chat")
    recorded = json.loads((RESULTS / "honesty.json").read_bytes())
    assert model.stage == "sft"
    assert model.chat_defaults.not_sure_below == recorded["not_sure_below"]
    assert model.chat_defaults.fresh  # it follows a conversation little more than half of the time
