"""One text that the server writes: its prompt, how its tokens are chosen, and what of it may be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from minillm_lib.generation.decoding import FinishReason, Generation, StopRule, tokenizer_of
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.generation.streaming import longest_beginning
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer

_NOT_A_CHARACTER = "\ufffd"  # what is decoded from the first bytes of a character


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A token with its probability under the model, before temperature or any other choice of sampling.

    Attributes
    ----------
    start
        Where its text begins, counted in characters of the text to which it belongs.
    log_probability
        Natural logarithm; ``None`` for the first token of a prompt, which nothing precedes.
    alternatives
        The likeliest tokens with their log probabilities, the likeliest first.
    """

    token: int
    start: int
    log_probability: float | None
    alternatives: list[tuple[int, float]]


@dataclass(slots=True)
class Update:
    """What a text has gained since the last update.

    Attributes
    ----------
    piece
        New characters, none of which can still turn out to be part of a stop string.
    scores
        Scores of the tokens in ``piece``, if they were asked for.
    finish_reason
        Why the text ended here, if it did.
    error
        Why the text cannot be finished, if it cannot.
    """

    piece: str = ""
    scores: list[TokenScore] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    error: Exception | None = None

    @property
    def is_last(self) -> bool:
        """Whether nothing follows."""
        return self.finish_reason is not None or self.error is not None


def token_starts(tokenizer: Tokenizer, ids: Sequence[int]) -> list[int]:
    """Return where the text of each token begins, in characters; a token within a character begins where that does."""
    starts, n_before, incomplete = [], 0, list[int]()
    for token in ids:
        starts.append(n_before)
        incomplete.append(token)
        text = tokenizer.decode(incomplete)
        if not text.endswith(_NOT_A_CHARACTER):
            n_before += len(text)
            incomplete.clear()
    return starts


class ServedText:
    """A text while it is written.

    Parameters
    ----------
    prompt
        Token ids, as :func:`~minillm_lib.generation.decoding.as_prompts` returns them.
    sampling
        How to choose tokens and when to stop; its seed is that of this text.
    n_alternatives
        How many of the likeliest tokens are noted with each token and its probability; ``None`` notes nothing.
    with_prompt
        Whether the tokens of the prompt are scored too.
    n_log_probs
        For how many tokens at the beginning log probabilities are noted in ``generation``, for ``confidence``.
    writes_nothing
        Whether to stop before the first token, where only the scores of the prompt are wanted.
    streams
        Whether each piece is reported; otherwise only the end is.

    Attributes
    ----------
    generation
        The text so far.
    choice
        The part of ``sampling`` that concerns the choice of a token: texts with the same can be sampled together.
    seen
        ``(vocab,)``, true for the tokens that occurred; ``None`` if no penalty needs it.
    """

    def __init__(
        self,
        model: MiniLLM,
        prompt: list[int],
        sampling: SamplingConfig,
        *,
        n_alternatives: int | None = None,
        with_prompt: bool = False,
        n_log_probs: int = 0,
        writes_nothing: bool = False,
        streams: bool = False,
    ) -> None:
        self.prompt, self.sampling = prompt, sampling
        self.n_alternatives, self.with_prompt = n_alternatives, with_prompt
        self.n_log_probs, self.writes_nothing, self.streams = n_log_probs, writes_nothing, streams
        self.is_cancelled = False
        self.generation = Generation()
        self.choice = sampling.replace(seed=None, stop=(), max_new_tokens=None)
        self.generator = torch.Generator()
        if sampling.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(sampling.seed)
        self.seen: Tensor | None = None
        if sampling.repetition_penalty != 1:
            self.seen = torch.zeros(model.n_ids, dtype=torch.bool, device=model.device)
            self.seen[prompt] = True
        self._tokenizer = tokenizer_of(model)
        self._rule = StopRule(model, len(prompt), sampling)
        self.most_tokens = len(prompt) + self._rule.limit
        self.prompt_scores: list[TokenScore] = []
        self._n_before = len(self._tokenizer.decode(prompt)) if with_prompt else 0
        self._scores: list[TokenScore] = []  # not reported yet
        self._n_shown, self._held, self._incomplete = 0, "", list[int]()

    def append(
        self, token: int, log_probability: float | None, alternatives: list[tuple[int, float]]
    ) -> Update:
        """Add the next token with its score, and return what of the text is certain now."""
        if self.writes_nothing:
            self.generation.finish_reason = "length"
            return Update("", self.prompt_scores, "length")
        start, n_ids = self._n_shown + len(self._held), len(self.generation.ids)
        self._rule.append(token, self.generation, log_probability)
        if self.seen is not None:
            self.seen[token] = True
        if len(self.generation.ids) > n_ids:
            self._incomplete.append(token)
            if self.n_alternatives is not None:
                self._scores.append(TokenScore(token, start, log_probability, alternatives))
        piece = self._certain_piece()
        self._n_shown += len(piece)
        if not self.streams and self.generation.finish_reason is None:
            return Update()
        return self._update(piece)

    @property
    def wants_score(self) -> bool:
        """Whether the probability of the next token is to be noted."""
        return self.n_alternatives is not None or len(self.generation.ids) < self.n_log_probs

    @property
    def confidence(self) -> float | None:
        """That of ``generation``, if log probabilities are noted for it."""
        return self.generation.confidence if self.n_log_probs else None

    @property
    def last_token(self) -> int:
        """The newest token, after which the next one is chosen."""
        return self.generation.ids[-1]

    def _certain_piece(self) -> str:
        """Return what can be shown beyond what was shown: whole characters, and no beginning of a stop string."""
        if self.generation.finish_reason is not None:
            return self.generation.text[self._n_shown :]
        text = self._tokenizer.decode(self._incomplete)
        if not text.endswith(_NOT_A_CHARACTER):
            self._held += text
            self._incomplete.clear()
        n_certain = len(self._held) - longest_beginning(self._held, self.sampling.stop)
        piece, self._held = self._held[:n_certain], self._held[n_certain:]
        return piece

    def _update(self, piece: str) -> Update:
        text = self.generation
        if not self.streams:
            piece = text.text
        if text.finish_reason is None:
            certain = [score for score in self._scores if score.start < self._n_shown]
        elif text.finish_reason == "stop_string":  # tokens of the stop string are no part of the text
            certain = [score for score in self._scores if score.start < len(text.text)]
        else:
            certain = self._scores
        self._scores = self._scores[len(certain) :]
        if self._n_before:
            certain = [replace(each, start=each.start + self._n_before) for each in certain]
        scores, self.prompt_scores = [*self.prompt_scores, *certain], []
        return Update(piece, scores, text.finish_reason)
