"""Texts that are decoded together: each joins when its prompt has been read, and leaves when it ends."""

from __future__ import annotations

import copy
import logging
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from minillm_lib.generation.decoding import pad_left, tokenizer_of
from minillm_lib.generation.fast_path import FastDecoder
from minillm_lib.generation.sampling import SamplingConfig, choose_tokens
from minillm_lib.generation.weight_table import WeightTable
from minillm_lib.io.wording import number_of
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.kv_cache import ChangingCache, KVCache
from minillm_lib.serving.served_text import ServedText, TokenScore, Update, token_starts

_log = logging.getLogger(__name__)
Updates = list[tuple[ServedText, Update]]
_POSITIONS_AT_A_TIME = 256  # whose logits are in memory at once
_SLOTS_AT_FIRST = 256  # of a text that is alone, beyond its tokens; its memory is doubled when it is full


class EngineError(Exception):
    """A text could not be written; the log says why."""


class Batch:
    """Decodes texts of any lengths and with any sampling together, one token of each per step.

    The layers compute all texts at once, and so read the weights once for all of them. A text that is alone takes the
    fast path, if there is one for the model; the two differ in rounding only. What the other texts are, and when they
    come and go, has no influence on a text but through rounding: in float32, logits differ in the last digits, and a
    text differs only where two tokens are as likely to within that, or where a uniform number falls that close to the
    border between two tokens. In bfloat16, the logits of texts that are written together differ in the third digit.

    Parameters
    ----------
    model
        A model with a tokenizer, in eval mode. No other thread may use it at the same time.
    fast
        Whether a text that is alone may take the fast path.
    bf16
        Whether the layers compute in bfloat16, with a copy of the model, which takes half the memory of a float32
        model again. The logits are computed in the model's own type.

    Attributes
    ----------
    texts
        The texts that are being written.
    """

    def __init__(self, model: MiniLLM, *, fast: bool = True, bf16: bool = False) -> None:
        self.model, self.texts = model, list[ServedText]()
        self._layers = _in_bfloat16(model) if bf16 else model
        weight = self._layers.embed_tokens.weight
        self._cache = ChangingCache(model.config, device=weight.device, dtype=weight.dtype)
        self._may_be_fast = fast
        self._table: WeightTable | None = None
        self._alone: tuple[FastDecoder, KVCache] | None = None  # of a text on the fast path, with its past

    @torch.inference_mode()
    def add(self, texts: Sequence[ServedText]) -> Updates:
        """Read prompts together, and write the first token of each text; after an error, the batch is as before."""
        input_ids, mask = pad_left([text.prompt for text in texts], self.model.device)
        prompts = self._layers.new_cache(*input_ids.shape)
        hidden = self._layers.hidden_states(input_ids, attention_mask=mask, cache=prompts)
        for text, states in zip(texts, hidden, strict=True):
            if text.with_prompt:
                text.prompt_scores = self._prompt_scores(text, states[-len(text.prompt) :])
        self._leave_fast_path()
        self._cache.add_rows(prompts)
        self.texts += texts
        try:
            return self._advance(texts, self._logits(hidden[:, -1]))
        except Exception:
            for text in texts:
                self.remove(text)
            raise

    @torch.inference_mode()
    def step(self) -> Updates:
        """Write the next token of each text; texts that end there leave."""
        if len(self.texts) == 1 and (decode := self._fast_decoder()) is not None:
            return self._advance(self.texts, decode(self.texts[0].last_token))
        tokens = torch.tensor([[text.last_token] for text in self.texts], device=self.model.device)
        hidden = self._layers.hidden_states(tokens, cache=self._cache)
        return self._advance(self.texts, self._logits(hidden[:, -1]))

    @torch.inference_mode()
    def remove(self, text: ServedText) -> None:
        """Stop writing a text."""
        row = self.texts.index(text)
        self.texts[row] = self.texts[-1]
        self.texts.pop()
        if self._alone is None:
            self._cache.remove_row(row)
        self._alone = None

    def clear(self) -> None:
        """Stop writing all texts, whatever state they are in."""
        self.texts.clear()
        self._cache.clear()
        self._alone = None

    def _logits(self, hidden: Tensor) -> Tensor:
        weight = self.model.output_weight
        return linear(hidden.to(weight.dtype), weight).float()

    def _advance(self, texts: Sequence[ServedText], logits: Tensor) -> Updates:
        """Choose a token of each text from its logits, ``(texts, vocab)``; an error about one text ends only that."""
        tokens, scores = choose(texts, logits), score(texts, logits)
        updates = []
        for row, (text, token) in enumerate(zip(list(texts), tokens, strict=True)):
            log_probability, alternatives = None, list[tuple[int, float]]()
            try:
                if row in scores:
                    log_p, alternatives = scores[row]
                    log_probability = float(log_p[token])
                update = text.append(token, log_probability, alternatives)
            except Exception as error:
                ((_, update),) = ended_by(error, [text])
            if update.is_last:
                self.remove(text)
            updates.append((text, update))
        return updates

    def _fast_decoder(self) -> FastDecoder | None:
        """Return a decoder of the only text, with room for a token in its cache; ``None`` if there is none."""
        if not self._may_be_fast:
            return None
        past: KVCache = self._cache
        n_free = _SLOTS_AT_FIRST
        if self._alone is not None:
            decoder, past = self._alone
            if past.length < past.max_len:
                return decoder
            n_free = past.max_len
        (text,), (n_tokens,) = self.texts, past.row_lengths
        cache = self.model.new_cache(max_len=min(n_tokens + n_free, text.most_tokens))
        new = FastDecoder.if_possible(self.model, cache, self._table)
        if new is None:
            self._may_be_fast = False
            self._leave_fast_path()
            return None
        cache.extend(1, n_tokens)
        for layer, (keys, values) in enumerate(zip(*past.newest(0, n_tokens), strict=True)):
            cache.update(layer, keys[None], values[None])
        self._cache.clear()
        self._table, self._alone = new.table, (new, cache)
        return new

    def _leave_fast_path(self) -> None:
        """Move the past of a text that was alone to where the layers decode."""
        if self._alone is not None:
            self._cache.clear()
            self._cache.add_rows(self._alone[1])
            self._alone = None

    def _prompt_scores(self, text: ServedText, hidden: Tensor) -> list[TokenScore]:
        """Score the tokens of a prompt, from hidden states ``(seq, hidden)``."""
        ids, n_best = text.prompt, text.n_alternatives or 0
        starts = token_starts(tokenizer_of(self.model), ids)
        scores = [TokenScore(ids[0], 0, None, [])]
        for begin in range(0, len(ids) - 1, _POSITIONS_AT_A_TIME):
            following = ids[begin + 1 : begin + 1 + _POSITIONS_AT_A_TIME]
            log_p = self._logits(hidden[begin : begin + len(following)]).log_softmax(
                dim=-1
            )  # (positions, vocab)
            for place, (token, row, best) in enumerate(
                zip(following, log_p, _likeliest(log_p, n_best), strict=True), start=begin + 1
            ):
                scores.append(TokenScore(token, starts[place], float(row[token]), best))
        return scores


def _in_bfloat16(model: MiniLLM) -> MiniLLM:
    """Return a copy of a model in bfloat16, with the same tokenizer."""
    return copy.deepcopy(model, {id(model.tokenizer): model.tokenizer}).to(torch.bfloat16)


def ended_by(error: Exception, texts: Sequence[ServedText]) -> Updates:
    """Log an error, and return what is reported of the texts that it ended."""
    _log.error("an error ended %s", number_of(len(texts), "text"), exc_info=error)
    return [(text, Update(error=EngineError())) for text in texts]


def choose(texts: Sequence[ServedText], logits: Tensor) -> list[int]:
    """Choose the next token of each text from logits ``(texts, vocab)``, those with the same sampling at once."""
    by_choice: dict[SamplingConfig, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        by_choice[text.choice].append(row)
    tokens = [0] * len(texts)
    for choice, rows in by_choice.items():
        own = [texts[row] for row in rows]
        seen = [text.seen for text in own if text.seen is not None]
        chosen = choose_tokens(
            logits if len(rows) == len(texts) else logits[rows],
            choice,
            torch.stack(seen) if seen else None,
            [text.generator for text in own],
        )
        for row, token in zip(rows, chosen.tolist(), strict=True):
            tokens[row] = token
    return tokens


def score(texts: Sequence[ServedText], logits: Tensor) -> dict[int, tuple[Tensor, list[tuple[int, float]]]]:
    """Return, for each row whose text wants a score, all log probabilities and the likeliest tokens with theirs."""
    rows = [row for row, text in enumerate(texts) if text.wants_score]
    if not rows:
        return {}
    log_p = logits[rows].log_softmax(dim=-1)  # (rows, vocab)
    best = _likeliest(log_p, max(texts[row].n_alternatives or 0 for row in rows))
    return {
        row: (own, alternatives[: texts[row].n_alternatives or 0])
        for row, own, alternatives in zip(rows, log_p, best, strict=True)
    }


def _likeliest(log_p: Tensor, n_best: int) -> list[list[tuple[int, float]]]:
    """Return the likeliest tokens of each row of log probabilities, ``(rows, vocab)``, with theirs."""
    best = log_p.topk(min(n_best, log_p.shape[-1]))
    return [
        list(zip(tokens, values, strict=True))
        for tokens, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
