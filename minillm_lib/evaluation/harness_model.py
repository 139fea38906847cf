"""A decoder of this package as a model of EleutherAI's lm-evaluation-harness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from minillm_lib.generation.decoding import generate, tokenizer_of
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.io.optional import optional_imports
from minillm_lib.io.progress_bar import progress_bar
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.eval_view import in_eval_mode

with optional_imports("eval", "to evaluate a model with the harness"):
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import TemplateLM
    from lm_eval.models.utils import normalize_gen_kwargs
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

Pair = tuple[list[int], list[int]]
"""The ids of a context, and those of what comes after it."""

_POSITIONS_AT_A_TIME = 512  # whose logits are in memory at once
_MOST_NEW_TOKENS = 256


class HarnessModel(TemplateLM):
    """What the harness asks of a model: how likely texts are, and how they go on.

    Token ids are those of the whole text, and a token that reaches across the border between context and continuation
    counts for the continuation, as in text that the model has read; the harness's own models would score ids
    that the tokenizer never gives. What is too long for the model's context loses its beginning. Both are counted.

    A text begins after the token that separated texts in training: the beginning-of-text token where the tokenizer puts
    one before every text, else the end-of-text token.

    Parameters
    ----------
    model
        A decoder with a tokenizer, in eval mode.
    batch_size
        The most rows that are computed together.
    progress
        Whether bars are shown.

    Attributes
    ----------
    counts
        How many contexts were cut (``"cut"``), tokens that they lost (``"cut tokens"``), tokens across a border
        (``"merged"``), prompts that were cut so that an answer fits (``"cut prompts"``), and answers that may not be as
        long as their task allows (``"limited answers"``).

    Raises
    ------
    ValueError
        If the model has no tokenizer, or ``batch_size`` is less than 1.
    """

    def __init__(self, model: MiniLLM, *, batch_size: int = 16, progress: bool = True) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; allowed is a number from 1")
        self.model, self.ids_of = in_eval_mode(model), tokenizer_of(model)
        self.batch_size, self.progress = batch_size, progress
        self.counts = Counter[str]()
        self._device = model.device
        self._chats: dict[str, list[int]] = {}
        self._begun: dict[str, list[dict[str, str]]] = {}  # conversations whose last turn goes on

    @property
    def eot_token_id(self) -> int:
        """The id that ends a text."""
        return self.ids_of.eos_id

    @property
    def prefix_token_id(self) -> int:
        """The id after which a text begins."""
        return self.ids_of.bos_id if self.ids_of.begins_with_bos else self.ids_of.eos_id

    @property
    def max_length(self) -> int:
        """The most tokens that the model reads at once."""
        return self.model.config.context_length

    @property
    def tokenizer_name(self) -> str:
        """What identifies the tokenizer to the harness."""
        return self.ids_of.sha256

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Return the ids of a text or, if :meth:`apply_chat_template` returned it, of that conversation."""
        if string in self._chats:
            return list(self._chats[string])
        wanted = self.ids_of.begins_with_bos if add_special_tokens is None else add_special_tokens
        return self.ids_of.encode(string, add_bos=wanted)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the tokenizer's template; the harness records it.

        Raises
        ------
        ValueError
            If the tokenizer has none.
        """
        if chat_template and self.ids_of.chat_template is None:
            raise ValueError("the model's tokenizer has no chat template")
        return self.ids_of.chat_template if chat_template else None

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Return a conversation as text, and remember its ids, since no text can hold special tokens.

        Without a generation prompt, a last turn of the assistant is the beginning of an answer, and is not closed: so
        the harness means it, and so its own models read it.

        Raises
        ------
        ValueError
            If the tokenizer has no template, or the turns are not as it allows.
        """
        goes_on = not add_generation_prompt and chat_history[-1]["role"] == "assistant"
        if goes_on:
            ids = self._without_end(chat_history)
        else:
            ids = self.ids_of.apply_chat_template(chat_history, add_generation_prompt=add_generation_prompt)
        text = self.ids_of.decode(ids, skip_special_tokens=False)
        self._chats[text] = ids
        if goes_on:
            self._begun[text] = chat_history
        return text

    def _without_end(self, chat_history: list[dict[str, str]]) -> list[int]:
        """Return the ids of a conversation up to the end of what its last turn, the assistant's, says."""
        ids, is_own = self.ids_of.chat_ids_and_mask(chat_history)
        end = len(ids) - is_own[::-1].index(True)
        begin = max((i + 1 for i in range(end) if not is_own[i]), default=0)
        closings = [i for i in range(begin, end) if ids[i] == self.ids_of.end_of_turn_id]
        return ids[: max(closings, default=end)]

    def _encode_pair(self, context: str, continuation: str) -> Pair:
        if context in self._begun:
            *before, last = self._begun[context]
            whole, alone = (
                self._without_end([*before, {**last, "content": said}])
                for said in (last["content"] + continuation, last["content"].rstrip())
            )
        elif context in self._chats:
            return self.tok_encode(context), self.ids_of.encode(continuation)
        else:
            whole, alone = self.tok_encode(context + continuation), self.tok_encode(context.rstrip())
        shared = next((i for i, (a, b) in enumerate(zip(whole, alone, strict=False)) if a != b), len(alone))
        shared = min(shared, len(whole))
        self.counts["merged"] += len(alone) - shared
        return (whole[:shared] or [self.prefix_token_id]), whole[shared:]

    def log_likelihoods(self, pairs: Iterable[Pair], what: str = "scoring") -> list[tuple[float, bool]]:
        """Return, for each pair, the log probability of the second part after the first, in nats.

        Parameters
        ----------
        pairs
            Of token ids; the first part may not be empty.
        what
            What the bar says.

        Returns
        -------
        list
            The sum over the tokens, and whether each of them is the likeliest one.

        Raises
        ------
        ValueError
            If a second part is longer than the model's context, or a first part is empty.
        """
        pairs = list(pairs)
        for number, (context, tokens) in enumerate(pairs):
            if not context:
                raise ValueError(
                    f"pair {number}: the context is empty, so its first token cannot be predicted"
                )
            if len(tokens) > self.max_length:
                raise ValueError(
                    f"a continuation has {len(tokens)} tokens, but the model's context is {self.max_length}"
                )
        lengths = [len(context) + len(tokens) for context, tokens in pairs]
        order = sorted(range(len(pairs)), key=lambda i: -lengths[i])
        found: list[tuple[float, bool]] = [(0.0, True)] * len(pairs)
        with progress_bar(total=len(pairs), desc=what, disable=not self.progress, leave=False) as bar:
            for start in range(0, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                scores = self._batch([pairs[i] for i in batch])
                for i, score in zip(batch, scores, strict=True):
                    found[i] = score
                bar.update(len(batch))
        return found

    @torch.inference_mode()
    def _batch(self, pairs: Sequence[Pair]) -> list[tuple[float, bool]]:
        rows = [(context + tokens)[-(self.max_length + 1) :] for context, tokens in pairs]
        for row, (context, tokens) in zip(rows, pairs, strict=True):
            if cut := len(context) + len(tokens) - len(row):
                self.counts.update({"cut": 1, "cut tokens": cut})
        width = max(len(row) - 1 for row in rows)
        inputs = torch.full((len(rows), width), self.ids_of.pad_id)
        for row, ids in zip(inputs, rows, strict=True):
            row[: len(ids) - 1] = torch.tensor(ids[:-1])  # padding comes last, where no token sees it
        hidden = self.model.hidden_states(inputs.to(self.model.device))  # (batch, width, hidden)
        n_tokens = [len(tokens) for _, tokens in pairs]
        states = [
            state[len(ids) - 1 - n : len(ids) - 1]
            for state, ids, n in zip(hidden, rows, n_tokens, strict=True)
        ]
        targets = torch.tensor([token for _, tokens in pairs for token in tokens], device=hidden.device)
        likelihoods, is_best = self._of_tokens(torch.cat(states), targets)
        return [
            (float(part.double().sum()), bool(best.all()))
            for part, best in zip(likelihoods.split(n_tokens), is_best.split(n_tokens), strict=True)
        ]

    def _of_tokens(self, states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log probability of each target, ``(n,)``, and whether it is the likeliest, ``(n,)``."""
        likelihoods, is_best = [], []
        for state, target in zip(
            states.split(_POSITIONS_AT_A_TIME), targets.split(_POSITIONS_AT_A_TIME), strict=True
        ):
            logits = linear(state, self.model.output_weight).float()  # (n, vocab)
            own = logits.gather(1, target[:, None])[:, 0]
            likelihoods.append(own - logits.logsumexp(dim=1))
            is_best.append(logits.argmax(dim=1) == target)
        return torch.cat(likelihoods), torch.cat(is_best)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Return how likely each continuation is after its context; after an empty one, a text begins."""
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return found

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **options: Any
    ) -> list[tuple[float, bool]]:
        found = self.log_likelihoods([(context, tokens) for _, context, tokens in requests])
        for request, score in zip(requests, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", request[0], score)
        return found

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        """Return how likely each whole text is, in windows as long as the context, without overlap."""
        texts = [request.args[0] for request in requests]
        windows = [rolling_windows(self, text, self.max_length) for text in texts]
        scores = iter(self.log_likelihoods([window for each in windows for window in each]))
        totals = [sum(next(scores)[0] for _ in each) for each in windows]
        for text, total in zip(texts, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), total)
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Return what the model writes after each prompt.

        A prompt that leaves too little room loses its beginning; an answer gets at most half of the context.
        Answers that are drawn at random have a seed each: those to one prompt differ, and the batch size changes none.

        Raises
        ------
        ValueError
            If a task asks for a way of decoding that this package does not have.
        """
        prompts = [self.tok_encode(request.args[0]) or [self.prefix_token_id] for request in requests]
        order = sorted(range(len(requests)), key=lambda i: (repr(requests[i].args[1]), -len(prompts[i])))
        texts, n_done = [""] * len(requests), 0
        with progress_bar(total=len(order), desc="answering", disable=not self.progress, leave=False) as bar:
            while n_done < len(order):
                options = requests[order[n_done]].args[1]  # equal options stand together
                ahead = order[n_done : n_done + self.batch_size]
                batch = [i for i in ahead if requests[i].args[1] == options]
                sampling = self._sampling(options, len(batch)).replace(seed=n_done)
                n_done += len(batch)
                room = self.max_length - (sampling.max_new_tokens or 0)
                kept = [prompts[i][-room:] for i in batch]
                self.counts["cut prompts"] += sum(len(prompts[i]) > room for i in batch)
                for i, written in zip(batch, generate(self.model, kept, sampling), strict=True):
                    texts[i] = written.text
                bar.update(len(batch))
        for request, text in zip(requests, texts, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, text)
        return texts

    def _sampling(self, options: dict[str, Any], n_answers: int) -> SamplingConfig:
        given: dict[str, Any] = dict(normalize_gen_kwargs(options, _MOST_NEW_TOKENS))
        until, n_tokens = given.pop("until"), given.pop("max_gen_toks")
        if not given.pop("do_sample"):
            given["temperature"] = 0.0
        most = max(1, self.max_length // 2)
        self.counts["limited answers"] += n_answers * (n_tokens > most)
        known = {key: given.pop(key) for key in ("temperature", "top_k", "top_p", "min_p") if key in given}
        if given:
            names = ", ".join(given)
            raise ValueError(
                f"a task decodes with {names}; this package has temperature, top_k, top_p, min_p"
            )
        stop = tuple(text for text in until if text)
        return SamplingConfig(**known, stop=stop, max_new_tokens=min(n_tokens, most))


def rolling_windows(lm: TemplateLM, text: str, stride: int) -> list[Pair]:
    """Divide a text into windows, so that each token is predicted once, after as much text as possible.

    Parameters
    ----------
    lm
        Any model of the harness.
    text
        Of any length; its first token is predicted after ``lm.prefix_token_id``.
    stride
        Tokens predicted per window, from 1 to the context. The first window predicts as many as there is room for; in
        each later one, at least the context less ``stride`` tokens come before the first predicted one.
    """
    ids, most = lm.tok_encode(text, add_special_tokens=False), lm.max_length
    windows = get_rolling_token_windows(ids, lm.prefix_token_id, most, most - stride + 1)
    return [make_disjoint_window(window) for window in windows]
