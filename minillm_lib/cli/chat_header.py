"""What ``minillm chat`` says before a conversation: which model this is, what it knows, and what to ask it."""

from __future__ import annotations

from collections.abc import Iterator

from minillm_lib.corpora.conversations import Language
from minillm_lib.corpora.faq import faq_questions
from minillm_lib.io.repository import REPOSITORY
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.quantization import is_quantized

EXAMPLES = ("lda-what", "kv-cache-what", "sampling-temperature")
"""Questions of the course's FAQ to begin with."""


def header(model: MiniLLM, *, fresh: bool) -> Iterator[str]:
    """Yield the lines before a conversation.

    Parameters
    ----------
    fresh
        Whether each message starts a conversation of its own.
    """
    bits = " in 8 bits" if is_quantized(model) else ""
    yield (
        f"{model.config.n_parameters / 1e6:,.1f} M parameters{bits}, a context of {model.config.context_length:,} "
        "tokens."
    )
    if is_course_model(model):
        yield "It was trained on questions about this course, in English and Chinese, and can be wrong. For example:"
        yield f"  {'  '.join(_examples('en'))}"
        yield f"  {'  '.join(_examples('zh'))}"
    if fresh:
        yield "It cannot carry a conversation: each message starts afresh."
    yield "/help lists the commands, Ctrl-C stops an answer, Ctrl-D ends the conversation."


def is_course_model(model: MiniLLM) -> bool:
    """Return whether this is the chat model that came with the course."""
    shipped = REPOSITORY / "results" / "26m" / "chat"
    return model.source is not None and model.source.resolve() == shipped.resolve()


def _examples(language: Language) -> list[str]:
    first = {question.id: question.phrasings[0] for question in faq_questions(language)}
    return [first[each] for each in EXAMPLES]
