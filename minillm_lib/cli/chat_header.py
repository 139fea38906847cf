"""What ``minillm chat`` says before a conversation: which model this is, what it knows, and what to ask it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minillm_lib.corpora.conversations import LANGUAGES
from minillm_lib.corpora.faq import faq_questions
from minillm_lib.io.repository import REPOSITORY
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.quantization import is_quantized

EXAMPLES = ("lda-transformer-differences", "kv-cache-what", "sampling-temperature")
"""Questions of the course's FAQ to begin with, which the included model is sure of."""


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
        for examples in course_examples(EXAMPLES).values():
            yield f"  {'  '.join(examples)}"
    if fresh:
        yield "Each message starts afresh, as it carries a conversation badly (see --no-fresh)."
    yield "/help lists the commands, Ctrl-C stops an answer, Ctrl-D ends the conversation."


def is_course_model(model: MiniLLM) -> bool:
    """Return whether this is the chat model that came with the course."""
    shipped = REPOSITORY / "results" / "26m" / "chat"
    return model.source is not None and model.source.resolve() == shipped.resolve()


def course_examples(ids: Sequence[str]) -> dict[str, Sequence[str]]:
    """Return questions of the course's FAQ in their first wording, by language."""
    first = {(each.language, each.id): each.phrasings[0] for each in faq_questions()}
    return {language: [first[language, each] for each in ids] for language in LANGUAGES}
