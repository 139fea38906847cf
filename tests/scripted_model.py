"""A model that writes a given text, so that a test knows which tokens come."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn.functional import one_hot

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM


class ScriptedModel(MiniLLM):
    """Writes the tokens of ``script`` one after the other, whatever the prompt; an exception there is raised.

    ``calls`` holds the tokens that it was given in each step, ``modes`` whether it was in training mode then, and
    ``cache`` the cache of the last one.
    """

    def __init__(self, tokenizer, script: Iterable[int | BaseException], **config) -> None:
        size = tokenizer.vocab_size
        shape = {"vocab_size": size, "hidden_size": size, "n_layers": 1, "n_heads": 1, "n_kv_heads": 1}
        super().__init__(ModelConfig(**{**shape, "intermediate_size": 8, "positions": "learned", **config}))
        self.tokenizer, self.script = tokenizer, iter(script)
        self.calls, self.modes, self.cache = [], [], None
        self.embed_tokens.weight.data = torch.eye(size)

    def hidden_states(self, input_ids, *, attention_mask=None, positions=None, cache=None):
        cache.extend(*input_ids.shape, attention_mask)
        self.calls.append(input_ids.tolist())
        self.modes.append(self.training)
        self.cache = cache
        token = next(self.script)
        if isinstance(token, BaseException):
            raise token
        scores = 100.0 * one_hot(torch.tensor(token), self.config.hidden_size)
        return scores.expand(*input_ids.shape, -1)
