"""Check whether a chat model's answers are right, by comparing each with all reference answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from minillm_lib.corpora.faq import FaqQuestion
from minillm_lib.generation.decoding import generate, tokenizer_of
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.model.decoder import MiniLLM

_GREEDY = SamplingConfig(temperature=0.0, max_new_tokens=256)


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """An answer, and the question whose reference answer is nearest to it.

    Attributes
    ----------
    phrasing
        The words in which the question was asked.
    nearest_id
        The ``id`` of the question with the nearest reference answer; empty if nothing in the answer resembles any.
    has_ended
        Whether the model ended the answer by itself.
    repetition
        Share of the answer's 4-grams of tokens that occurred earlier in it.
    """

    question: FaqQuestion
    phrasing: str
    answer: str
    nearest_id: str
    has_ended: bool
    repetition: float

    @property
    def is_right(self) -> bool:
        """Whether the nearest reference answer is that of the question asked."""
        return self.nearest_id == self.question.id


@dataclass(frozen=True)
class AnswerReport:
    """Checked answers, and what share of them is right, ends or repeats itself."""

    answers: tuple[CheckedAnswer, ...]

    def right_share(self, language: str | None = None) -> float:
        """Return the share of right answers, among all or among those in one language (``"en"`` or ``"zh"``)."""
        own = [each for each in self.answers if language in (None, each.question.language)]
        return sum(each.is_right for each in own) / max(len(own), 1)

    @property
    def ended_share(self) -> float:
        """Share of answers that the model ended by itself."""
        return sum(each.has_ended for each in self.answers) / max(len(self.answers), 1)

    @property
    def repetition(self) -> float:
        """Mean share of repeated 4-grams of tokens."""
        return float(np.mean([each.repetition for each in self.answers])) if self.answers else 0.0

    def __str__(self) -> str:
        by_language = ", ".join(
            f"{self.right_share(language):.0%} right in {language}"
            for language in sorted({each.question.language for each in self.answers})
        )
        return (
            f"{len(self.answers)} answers: {by_language}; {self.ended_share:.1%} end by themselves, "
            f"{self.repetition:.1%} of their 4-grams are repeated"
        )


Asked = tuple[FaqQuestion, str]
"""A question, and the phrasing in which it is asked."""


def held_out_phrasings(questions: Sequence[FaqQuestion], most: int | None = None) -> list[Asked]:
    """List the phrasings on which no model was trained, or at most ``most`` of them, spread evenly over all."""
    asked = [(question, phrasing) for question in questions for phrasing in question.held_out]
    if most is None or most >= len(asked):
        return asked
    return [asked[index * len(asked) // most] for index in range(most)]


def check_answers(
    model: MiniLLM,
    asked: Sequence[Asked],
    references: Sequence[FaqQuestion],
    *,
    batch_size: int = 32,
    sampling: SamplingConfig = _GREEDY,
    progress: bool = True,
    on_answer: Callable[[CheckedAnswer], object] | None = None,
) -> AnswerReport:
    """Ask a model questions, and find the reference answer nearest to each reply.

    The nearest is the one with the highest cosine similarity of the tf-idf weights of character 2- to 4-grams, among
    the answers in the question's language. ``course-faq`` has so many of them that a guess is right in under
    0.5 % of cases.

    Parameters
    ----------
    asked
        Questions and their phrasings, for example from :func:`held_out_phrasings`.
    references
        The questions whose answers are candidates, for example from :func:`~minillm_lib.corpora.faq.faq_questions`.
    batch_size
        Number of questions asked at a time.
    sampling
        How to choose tokens; by default always the likeliest, and at most 256 of them.
    progress
        Whether to show a progress bar.
    on_answer
        Called with each answer.

    Raises
    ------
    ValueError
        If the model has no tokenizer, a question does not fit in its context, or there is no reference answer in the
        language of a question.
    """
    nearest: dict[str, _Nearest] = {
        language: _Nearest([each for each in references if each.language == language])
        for language in {question.language for question, _ in asked}
    }
    answers: list[CheckedAnswer] = []
    with progress_bar(total=len(asked), desc="asking", unit="question", disable=not progress) as bar:
        for start in range(0, len(asked), batch_size):
            for checked in _ask(model, asked[start : start + batch_size], nearest, sampling):
                answers.append(checked)
                bar.update()
                if on_answer is not None:
                    on_answer(checked)
    return AnswerReport(tuple(answers))


def _ask(
    model: MiniLLM, asked: Sequence[Asked], nearest: dict[str, _Nearest], sampling: SamplingConfig
) -> Iterator[CheckedAnswer]:
    tokenizer = tokenizer_of(model)
    prompts = [
        tokenizer.apply_chat_template([{"role": "user", "content": phrasing}], add_generation_prompt=True)
        for _, phrasing in asked
    ]
    for (question, phrasing), generation in zip(asked, generate(model, prompts, sampling), strict=True):
        yield CheckedAnswer(
            question,
            phrasing,
            generation.text,
            nearest[question.language].id_of(generation.text),
            generation.finish_reason == "stop",
            _repetition(generation.ids),
        )


class NearestText:
    """A search for the text that resembles another one most, by tf-idf of character 2- to 4-grams.

    Parameters
    ----------
    texts
        The texts to search.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(2, 4), sublinear_tf=True)
        self._texts = self._vectorizer.fit_transform(texts)

    def of(self, text: str) -> tuple[int, float]:
        """Return the index of the nearest text and its cosine similarity, from 0 to 1."""
        similarity = (self._texts @ self._vectorizer.transform([text]).T).toarray().ravel()
        best = int(similarity.argmax())
        return best, float(similarity[best])


class _Nearest:
    """A search for the question whose answer resembles a text most."""

    def __init__(self, questions: Sequence[FaqQuestion]) -> None:
        self._ids = [question.id for question in questions]
        self._nearest = NearestText([question.answer for question in questions])

    def id_of(self, text: str) -> str:
        best, similarity = self._nearest.of(text)
        return self._ids[best] if similarity else ""


def _repetition(ids: Sequence[int], n: int = 4) -> float:
    grams = [tuple(ids[start : start + n]) for start in range(len(ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
