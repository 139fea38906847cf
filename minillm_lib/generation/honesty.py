"""Whether a chat model is right about its course, declines the rest, and can carry a conversation.

The model is asked questions that it was not trained on (:mod:`~minillm_lib.corpora.held_out_questions`). Each reply is
compared with everything that it was taught to say, by tf-idf of character n-grams; it counts as right if the nearest
of these is one of those that the question accepts. Replies that resemble none count as broken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minillm_lib.corpora.conversations import LANGUAGES
from minillm_lib.corpora.faq import faq_questions
from minillm_lib.corpora.held_out_questions import FreeDialogue, FreeTurn
from minillm_lib.corpora.out_of_scope import all_declines
from minillm_lib.generation.answers import NearestText
from minillm_lib.generation.decoding import generate, tokenizer_of
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.model.decoder import MiniLLM

_GREEDY = SamplingConfig(temperature=0.0, max_new_tokens=200)
BROKEN = "broken"
_LEAST_SIMILARITY = 0.5


@dataclass(frozen=True, slots=True)
class Reference:
    """Something that the model was taught to say.

    Attributes
    ----------
    name
        ``"lda-what@en"`` for an answer, ``"lda-what:why@en"`` and ``"lda-what:example@en"`` for what follows it,
        ``"decline@en"`` for a decline.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class CheckedReply:
    """A reply, its confidence, and the name of the reference that it says (``"broken"`` if none)."""

    dialogue: FreeDialogue
    turn: FreeTurn
    turn_index: int
    reply: str
    confidence: float
    reference: str

    @property
    def is_declined(self) -> bool:
        """Whether the model said that it does not know."""
        return self.reference.startswith("decline@")

    @property
    def is_right(self) -> bool:
        """Whether the reply is one of those that the question accepts."""
        return self.reference in self.turn.accepted


def references() -> list[Reference]:
    """List everything that the shipped chat model was taught to say."""
    listed = []
    for language in LANGUAGES:
        for question in faq_questions(language):
            texts = {"": question.answer, ":why": question.why, ":example": question.example}
            listed += [
                Reference(f"{question.id}{kind}@{language}", text) for kind, text in texts.items() if text
            ]
    return listed + [Reference(f"decline@{language}", text) for language, text in all_declines().items()]


def check_honesty(
    model: MiniLLM,
    dialogues: Sequence[FreeDialogue],
    *,
    batch_size: int = 32,
    sampling: SamplingConfig = _GREEDY,
    progress: bool = True,
    on_reply: Callable[[CheckedReply], object] | None = None,
) -> list[CheckedReply]:
    """Go through dialogues with a model, and find what each reply says.

    Later turns are asked after the model's own earlier replies.

    Parameters
    ----------
    dialogues
        From :mod:`~minillm_lib.corpora.held_out_questions`.
    batch_size
        Number of dialogues at a time.
    sampling
        How to choose tokens; by default always the likeliest, and at most 200 of them.
    progress
        Whether to show a progress bar.
    on_reply
        Called with each reply.

    Returns
    -------
    list of CheckedReply
        Turn by turn of each dialogue, in the order of ``dialogues``.

    Raises
    ------
    ValueError
        If the model has no tokenizer, or a dialogue does not fit in its context.
    """
    known = references()
    nearest = NearestText([each.text for each in known])
    tokenizer = tokenizer_of(model)
    # dialogues of similar length together, so that a batch has little padding
    order = sorted(range(len(dialogues)), key=lambda index: len(dialogues[index].turns[0].question))
    replies: dict[int, list[CheckedReply]] = {index: [] for index in order}
    total = sum(len(each.turns) for each in dialogues)
    with progress_bar(total=total, desc="asking", unit="question", disable=not progress) as bar:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            messages: dict[int, list[dict[str, str]]] = {index: [] for index in batch}
            for turn_index in range(max(len(dialogues[index].turns) for index in batch)):
                asked = [index for index in batch if turn_index < len(dialogues[index].turns)]
                for index in asked:
                    question = dialogues[index].turns[turn_index].question
                    messages[index].append({"role": "user", "content": question})
                prompts = [
                    tokenizer.apply_chat_template(messages[index], add_generation_prompt=True)
                    for index in asked
                ]
                for index, generation in zip(asked, generate(model, prompts, sampling), strict=True):
                    text, confidence = generation.text, generation.confidence or 0.0
                    messages[index].append({"role": "assistant", "content": text})
                    best, similarity = nearest.of(text)
                    said = known[best].name if similarity >= _LEAST_SIMILARITY else BROKEN
                    turn = dialogues[index].turns[turn_index]
                    replies[index].append(
                        CheckedReply(dialogues[index], turn, turn_index, text, confidence, said)
                    )
                    bar.update()
                    if on_reply is not None:
                        on_reply(replies[index][-1])
    return [reply for index in range(len(dialogues)) for reply in replies[index]]
