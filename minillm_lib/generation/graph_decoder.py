"""Decoding on a GPU: one step of the layers, recorded as a CUDA graph and replayed for each token.

A step of a small model launches some hundred kernels, each of which takes less time than its launch. A graph launches
them all at once. What it does must not change from step to step: so the keys and values of all slots are always read,
and a mask, the slot to be written and the positions are tensors that the graph itself moves on.
"""

from __future__ import annotations

import logging
import threading
import weakref
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.eval_view import in_eval_mode
from minillm_lib.model.kv_cache import KVCache

_log = logging.getLogger(__name__)
_SLOTS_IN_A_STEP = (
    256  # caches are this much longer than needed at most, so that texts of similar length share a graph
)
_WARM_UP_STEPS = 3
_decoders: weakref.WeakKeyDictionary[nn.Module, GraphDecoder] = weakref.WeakKeyDictionary()
_taking = threading.Lock()


class _FixedSlots:
    """A cache in which every step writes one slot, whose number is a tensor, and returns all slots.

    Attributes
    ----------
    keys, values
        ``(n_layers, batch, n_kv_heads, slots, head_dim)``.
    slot
        ``(1,)``: where the next token is written.
    """

    def __init__(self, like: KVCache, slots: int) -> None:
        shape = (*like.keys.shape[:3], slots, like.keys.shape[4])
        self.keys, self.values = like.keys.new_zeros(shape), like.values.new_zeros(shape)
        self.slot = torch.zeros(1, dtype=torch.long, device=like.keys.device)

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write the keys and values of one token, ``(batch, n_kv_heads, 1, head_dim)`` each; return all slots."""
        self.keys[layer].index_copy_(2, self.slot, keys)
        self.values[layer].index_copy_(2, self.slot, values)
        return self.keys[layer], self.values[layer]


class GraphDecoder:
    """Continues the texts of a cache, all by one token at each call.

    Parameters
    ----------
    model
        Its parameters are read at every step, from where they are when the decoder is made.
    cache
        The keys and values of the prompts, which are copied.
    slots
        Room for so many tokens per row, padding included.
    record
        Whether to record a CUDA graph. Without it, the same step is computed by launching each kernel, on any device.
    """

    def __init__(self, model: MiniLLM, cache: KVCache, slots: int, *, record: bool = True) -> None:
        device, batch = model.device, cache.batch_size
        self._model: MiniLLM | None = in_eval_mode(model)
        self._slots = _FixedSlots(cache, slots)
        self._ids = torch.zeros(batch, 1, dtype=torch.long, device=device)
        self._positions = torch.zeros(batch, 1, dtype=torch.long, device=device)
        self._visible = torch.zeros(batch, slots, dtype=torch.bool, device=device)
        self._owner, self._weights = weakref.ref(model), _places(model)
        self._graph: torch.cuda.CUDAGraph | None = None
        if record:
            self._record(cache)
        self.load(cache)

    @property
    def n_slots(self) -> int:
        """Room for so many tokens per row."""
        return self._visible.shape[1]

    def fits(self, model: MiniLLM, cache: KVCache) -> bool:
        """Return whether this decoder can continue another cache: of as many rows, with the weights where they were."""
        keys = self._slots.keys
        return (
            keys.shape[1] == cache.batch_size
            and self.n_slots >= cache.max_len
            and keys.dtype == cache.keys.dtype
            and self._weights == _places(model)
        )

    def load(self, cache: KVCache) -> None:
        """Begin with the tokens of another cache, and forget what was before."""
        length, slots = cache.length, self._slots
        for own, theirs in ((slots.keys, cache.keys), (slots.values, cache.values)):
            own[:, :, :, :length] = theirs[:, :, :, :length]
        lengths = torch.tensor(cache.row_lengths, device=self._ids.device)
        numbers = torch.arange(self.n_slots, device=self._ids.device)
        self._visible.copy_((numbers < length) & (numbers >= length - lengths[:, None]))
        self._positions.copy_(lengths[:, None])
        slots.slot.fill_(length)

    @torch.inference_mode()
    def __call__(self, ids: Tensor) -> Tensor:
        """Append a token to each row, ``(batch, 1)``, and return the logits of the next, ``(batch, vocab)`` in float32.

        Raises
        ------
        RuntimeError
            If the model's weights have been moved or replaced since the decoder was made.
        """
        owner = self._owner()
        if owner is None or self._weights != _places(owner):
            raise RuntimeError("the model was moved, or its weights replaced, while it was writing a text")
        self._ids.copy_(ids)
        if self._graph is None:
            return self._step()
        self._graph.replay()
        return self._logits.clone()

    def _step(self) -> Tensor:
        model, slot = self._model, self._slots.slot
        assert model is not None
        self._visible.index_fill_(1, slot, True)
        x = model.embed_tokens(self._ids)  # (batch, 1, hidden)
        if model.embed_positions is not None:
            x = x + model.embed_positions(self._positions)
        rotation = None
        if model.rotary is not None:
            cos, sin = model.rotary(self._positions)
            rotation = cos.to(x.dtype), sin.to(x.dtype)  # once, not in every layer
        mask = self._visible[:, None, None]  # (batch, 1, 1, slots)
        for block in model.layers:
            x = block(x, rotation, mask, self._slots)
        slot += 1
        self._positions += 1
        return linear(model.norm(x)[:, -1], model.output_weight).float()

    @torch.inference_mode()
    def _record(self, cache: KVCache) -> None:
        """Record a step, after a few that let libraries choose kernels and allocate; :meth:`load` makes up for them."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_STEPS):
                self.load(cache)
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # nothing is computed here
            self._logits = self._step()
        self._graph = graph
        self._model = None  # whoever keeps the decoder for a model does not keep the model


def take_decoder(model: MiniLLM, cache: KVCache) -> GraphDecoder | None:
    """Return a decoder that continues a cache, or ``None`` where the layers must do so; :func:`give_back` follows.

    Recording takes as long as many steps, so the last decoder of each model is kept, and used again if it fits. Who has
    taken it has it alone. The layers decode on other devices, under autocast, and for a model with hooks or with a
    ``hidden_states`` of its own, which would be run while a graph is recorded but not when it is replayed.
    """
    if model.device.type != "cuda":
        return None
    if reason := _why_not(model):
        _log.debug("the layers decode: %s", reason)
        return None
    with _taking:
        known = _decoders.pop(model, None)
    if known is not None and known.fits(model, cache):
        known.load(cache)
        return known
    slots = -(-cache.max_len // _SLOTS_IN_A_STEP) * _SLOTS_IN_A_STEP
    try:
        return GraphDecoder(model, cache, slots)
    except RuntimeError as error:  # also for lack of memory
        _log.warning("each kernel is launched by itself, since no CUDA graph could be recorded: %s", error)
        return None


def give_back(model: MiniLLM, decoder: GraphDecoder) -> None:
    """Keep a decoder for the next texts of the model."""
    with _taking:
        _decoders[model] = decoder


def _why_not(model: MiniLLM) -> str | None:
    if torch.is_autocast_enabled("cuda"):
        return "autocast is on"
    if type(model).hidden_states is not MiniLLM.hidden_states:
        return f"{type(model).__name__} has a hidden_states of its own"
    hooked = (
        name for name, module in model.named_modules() if module._forward_hooks or module._forward_pre_hooks
    )
    return next((f"the module {name!r} has hooks" for name in hooked), None)


def _places(model: nn.Module) -> tuple[int, ...]:
    """Return where parameters and buffers are in memory: a graph reads them there."""
    return tuple(each.data_ptr() for each in chain(model.parameters(), model.buffers()))
