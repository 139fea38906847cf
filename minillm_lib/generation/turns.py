"""Whether a model has learnt to take turns, or only to continue texts."""

from __future__ import annotations

import torch

from minillm_lib.generation.decoding import tokenizer_of
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.eval_view import in_eval_mode

_DIALOGUES = (
    ("Hello.", "Hello. How are you?"),
    ("What is LDA?", "LDA is a topic model."),
    ("Who are you?", "I am a model."),
    ("你好", "你好。"),
)


@torch.inference_mode()
def takes_turns(model: MiniLLM) -> bool:
    """Return whether a model expects an answer to end as a turn does, rather than as a text does.

    This is for a model of which ``stage`` says nothing. One that was only pretrained has never seen the end of a turn:
    after an answer in the chat template it expects the end of the text. One that was fine-tuned on conversations
    expects the end of the turn. The two probabilities are summed over the positions of some short answers. Where one
    token is both, nothing can be told, and the answer is true.

    Raises
    ------
    ValueError
        If the model has no tokenizer.
    """
    model, tokenizer, ends_turn, ends_text = in_eval_mode(model), tokenizer_of(model), 0.0, 0.0
    if tokenizer.chat_template is None:
        return False
    for question, answer in _DIALOGUES:
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        ids, is_answer = tokenizer.chat_ids_and_mask(turns)
        places = [
            place
            for place, own in enumerate(is_answer[1:])
            if own and place + 1 < model.config.context_length
        ]
        p = model(torch.tensor([ids[: model.config.context_length]], device=model.device))[0, places].softmax(
            dim=-1
        )
        ends_turn += float(p[:, tokenizer.end_of_turn_id].sum())
        ends_text += float(p[:, tokenizer.eos_id].sum())
    return ends_turn >= ends_text


def is_fine_tuned(model: MiniLLM) -> bool:
    """Return whether a model answers: what its checkpoint says or, if that says nothing, whether it takes turns."""
    return takes_turns(model) if model.stage is None else model.stage == "sft"
