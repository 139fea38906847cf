"""The 26 M models in results/26m are what the README says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from minillm_lib.corpora.faq import faq_questions
from minillm_lib.generation.answers import check_answers, held_out_phrasings
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


def test_most_questions_in_new_words_get_the_right_answer_in_both_languages():
    """All 852, for the figures of the README, take two minutes with ``benchmarks/answers.py``."""
    model = MiniLLM.load_from_checkpoint(RESULTS / "chat", dtype=torch.float32)
    recorded = json.loads((RESULTS / "answers.json").read_bytes())["answers"]
    known = {each["id"] for each in recorded}  # course-faq has grown since this model was trained
    questions = [each for each in faq_questions() if each.id in known]
    report = check_answers(model, held_out_phrasings(questions, 30), questions, progress=False)
    assert report.right_share("en") > 0.7
    assert report.right_share("zh") > 0.7
    assert report.ended_share > 0.97
    assert report.repetition < 0.02
