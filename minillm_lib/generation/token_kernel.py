"""One token through the whole decoder, compiled with numba and shared by several threads.

Decoding one text reads every weight once per token and does little with it, so memory decides how fast it goes. The
layers of :mod:`minillm_lib.model` spend most of the time between their operations. Here a token is one call of
:func:`token_step`, which reads the model's own weights where they lie.

All threads run that call side by side. Each phase of it (a matrix, or the heads of attention) is cut into chunks; a
thread claims a chunk, computes it and marks it done. No thread ever depends on another: a chunk that was claimed and
is not done in time, because the system gave the processor to another program, is computed again by whoever waits for
it. Both computations write the same numbers to the same place, which belongs to this phase of this token alone.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from minillm_lib.io.compiled import compiled

_ANY_ORDER = {"reassoc", "contract", "nsz"}
"""Lets the compiler sum in vector registers. Infinities and NaN stay what they are, unlike with ``fastmath=True``."""

_inner = partial(numba.njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what only :func:`token_step` calls: it needs no entry from Python, which would take time to compile."""

_FREE, _CLAIMED, _DONE = 0, 1, 2
MAX_CHUNKS = 256
_CHUNK_BYTES = 64 * 1024
_PATIENCE = 20_000
_ROOT_HALF = np.float32(math.sqrt(0.5))

# Columns of the table of addresses: one row per block, and a last one for what is outside of the blocks. A matrix takes
# three (weight, scales of its rows, bias), a norm two (weight, bias). An address is 0 if the model has no such tensor.
Q, K, V, O, GATE, UP, DOWN = range(0, 21, 3)  # noqa: E741
INPUT_NORM, POST_NORM, Q_NORM, K_NORM = range(21, 29, 2)
EMBEDDING, HEAD, POSITIONS, FINAL_NORM = 0, 3, 6, 21
N_COLUMNS = 29


class Shape(NamedTuple):
    """What the kernel needs to know of the configuration."""

    n_layers: int
    hidden: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    eps: float
    is_layer_norm: bool
    is_gated: bool


class Workspace(NamedTuple):
    """Where the phases of a token write: each has its own row, so that a late thread can do no harm."""

    qkv: np.ndarray
    """``(n_layers, (n_heads + 2 n_kv_heads) * head_dim)``: queries, keys and values before rotation."""
    keys: np.ndarray
    """``(n_layers, n_kv_heads, head_dim)``: the rotated keys of the token."""
    heads: np.ndarray
    """``(n_layers, n_heads * head_dim)``: the output of the heads."""
    attended: np.ndarray
    """``(n_layers, hidden)``: the residual stream after attention."""
    inner: np.ndarray
    """``(n_layers, intermediate)``: inside the feed-forward layer."""
    stream: np.ndarray
    """``(n_layers, hidden)``: the residual stream after the block."""
    logits: np.ndarray
    """``(vocab,)``."""
    claims: np.ndarray
    """``(phases, MAX_CHUNKS)``: whether a chunk is free, claimed or done."""
    scratch: np.ndarray
    """``(n_threads, …)``: what each thread needs for itself."""


def new_workspace(shape: Shape, n_threads: int, n_slots: int) -> Workspace:
    """Return the memory in which one token at a time is computed, with up to ``n_slots`` in its cache."""
    layers, width = shape.n_layers, shape.head_dim
    return Workspace(
        qkv=np.empty((layers, (shape.n_heads + 2 * shape.n_kv_heads) * width), np.float32),
        keys=np.empty((layers, shape.n_kv_heads, width), np.float32),
        heads=np.empty((layers, shape.n_heads * width), np.float32),
        attended=np.empty((layers, shape.hidden), np.float32),
        inner=np.empty((layers, shape.intermediate), np.float32),
        stream=np.empty((layers, shape.hidden), np.float32),
        logits=np.empty(shape.vocab, np.float32),
        claims=np.empty((5 * layers + 1, MAX_CHUNKS), np.int64),
        scratch=np.empty((n_threads, 2 * shape.hidden + 2 * shape.intermediate + n_slots), np.float32),
    )


@intrinsic
def _pointer(typing_context, address, like):
    """Turn an address into a pointer to numbers of the dtype of the array ``like``."""
    result = types.CPointer(like.dtype)

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(result))

    return result(address, like), generate


@intrinsic
def _widened(typing_context, number):
    """Convert a weight to float32: from int8, or from the upper half of a float32 in uint16, whose lower half is 0."""

    def generate(context, builder, signature, arguments):
        if number == types.uint16:
            bits = context.get_value_type(types.uint32)
            upper = builder.shl(builder.zext(arguments[0], bits), bits(16))
            return builder.bitcast(upper, context.get_value_type(types.float32))
        return context.cast(builder, arguments[0], number, types.float32)

    return types.float32(number), generate


def _cell(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


@intrinsic
def _claim(typing_context, claims, chunk):
    """Change a chunk from free to claimed, and return whether this thread did it (an atomic compare-and-swap)."""

    def generate(context, builder, signature, arguments):
        cell = _cell(context, builder, signature.args[0], *arguments)
        free, claimed = (context.get_constant(types.int64, state) for state in (_FREE, _CLAIMED))
        return builder.extract_value(builder.cmpxchg(cell, free, claimed, "acq_rel", "acquire"), 1)

    return types.boolean(claims, types.intp), generate


@intrinsic
def _state(typing_context, claims, chunk):
    """Read the state of a chunk; if it is done, what was computed can be read as well."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_cell(context, builder, signature.args[0], *arguments), "acquire", 8)

    return types.int64(claims, types.intp), generate


@intrinsic
def _finish(typing_context, claims, chunk):
    """Mark a chunk as done, after everything that was written for it."""

    def generate(context, builder, signature, arguments):
        cell = _cell(context, builder, signature.args[0], *arguments)
        builder.store_atomic(context.get_constant(types.int64, _DONE), cell, "release", 8)
        return context.get_dummy_value()

    return types.void(claims, types.intp), generate


def _shared(compute):
    """Return a function that computes the rows of a phase together with the other threads; afterwards, all are there.

    ``compute(first, last, *arguments)`` computes the rows from ``first`` up to ``last``.
    """

    @_inner()
    def share(phase, team, n_rows, row_bytes, *arguments):
        thread, n_threads = team
        n_chunks = min(n_rows, MAX_CHUNKS, max(n_rows * row_bytes // _CHUNK_BYTES, 4 * n_threads))
        start = thread * n_chunks // n_threads
        for i in range(start, start + n_chunks):
            chunk = i if i < n_chunks else i - n_chunks
            if _state(phase, chunk) == _FREE and _claim(phase, chunk):
                compute(n_rows * chunk // n_chunks, n_rows * (chunk + 1) // n_chunks, *arguments)
                _finish(phase, chunk)
        patience = _PATIENCE + n_rows * row_bytes // n_chunks
        for chunk in range(n_chunks):
            waited = 0
            while _state(phase, chunk) != _DONE:
                waited += 1
                if waited == patience:
                    compute(n_rows * chunk // n_chunks, n_rows * (chunk + 1) // n_chunks, *arguments)
                    _finish(phase, chunk)

    return share


@_inner(fastmath=_ANY_ORDER)
def _dot(a, b):
    total = np.float32(0.0)
    for i in range(b.shape[0]):
        total += _widened(a[i]) * b[i]
    return total


@_inner()
def _borrowed(array):
    """Return the same array without a count of its references, which each call with it would update atomically."""
    return numba.carray(_pointer(array.ctypes.data, array), array.shape)


@_inner()
def _vector(address, length):
    return numba.carray(_pointer(address, np.empty(0, np.float32)), (length,))


@_inner()
def _multiply(first, last, like, addresses, column, x, residual, out):
    """Write rows of ``residual + weight @ x + bias`` to ``out``."""
    weight = numba.carray(_pointer(addresses[column], like), (out.shape[0], x.shape[0]))
    scale, bias = _vector(addresses[column + 1], out.shape[0]), _vector(addresses[column + 2], out.shape[0])
    for row in range(first, last):
        value = _dot(weight[row], x)
        if addresses[column + 1]:
            value *= scale[row]
        if addresses[column + 2]:
            value += bias[row]
        if residual.shape[0]:
            value += residual[row]
        out[row] = value


@_inner()
def _multiply_qkv(first, last, like, addresses, shape, x, out):
    """Write rows of the queries, keys and values, one after the other, to ``out``."""
    ends = (shape.n_heads, shape.n_heads + shape.n_kv_heads, shape.n_heads + 2 * shape.n_kv_heads)
    start = 0
    for column, heads in ((Q, ends[0]), (K, ends[1]), (V, ends[2])):
        end = heads * shape.head_dim
        own_first, own_last = max(first, start) - start, min(last, end) - start
        if own_first < own_last:
            _multiply(own_first, own_last, like, addresses, column, x, x[:0], out[start:end])
        start = end


@_inner()
def _feed_forward(first, last, like, addresses, is_gated, x, up, gate, out):
    """Write rows of ``silu(gate(x)) * up(x)``, or of ``gelu(up(x))``, to ``out``.

    The projections go to the thread's own ``up`` and ``gate``: only what is final may be written where others read.
    """
    none = x[:0]
    _multiply(first, last, like, addresses, UP, x, none, up)
    if is_gated:
        _multiply(first, last, like, addresses, GATE, x, none, gate)
    for row in range(first, last):
        if is_gated:
            out[row] = up[row] * gate[row] / (np.float32(1.0) + math.exp(-gate[row]))
        else:
            out[row] = np.float32(0.5) * up[row] * (np.float32(1.0) + math.erf(up[row] * _ROOT_HALF))


@_inner(fastmath=_ANY_ORDER)
def _normalise(x, addresses, column, shape, is_layer_norm, out):
    """Write the RMSNorm or LayerNorm of ``x`` to ``out``, which may be ``x`` itself."""
    size = x.shape[0]
    weight, bias = _vector(addresses[column], size), _vector(addresses[column + 1], size)
    mean = np.float32(0.0)
    if is_layer_norm:
        for i in range(size):
            mean += x[i]
        mean /= np.float32(size)
    square = np.float32(0.0)
    for i in range(size):
        square += (x[i] - mean) * (x[i] - mean)
    inverse = np.float32(1.0) / math.sqrt(square / np.float32(size) + np.float32(shape.eps))
    for i in range(size):
        out[i] = (x[i] - mean) * inverse * weight[i]
    if is_layer_norm:
        for i in range(size):
            out[i] += bias[i]


@_inner()
def _rotate(x, rotation):
    """Rotate a query or key in place: the pair ``(a, b)`` is ``i`` and ``i + head_dim / 2``."""
    half = x.shape[0] // 2
    for i in range(half):
        a, b = x[i], x[i + half]
        x[i] = a * rotation[0, i] + b * rotation[1, i]
        x[i + half] = b * rotation[0, i + half] + a * rotation[1, i + half]


@_inner(fastmath=_ANY_ORDER)
def _attend(first, last, addresses, shape, rotation, past, qkv, keys, values, scores, new_keys, out):
    """Write the heads from ``first`` up to ``last`` to ``out``, and the rotated keys of the token to ``new_keys``."""
    size, group = shape.head_dim, shape.n_heads // shape.n_kv_heads
    query, key = np.empty(size, np.float32), np.empty(size, np.float32)
    for head in range(first, last):
        kv = head // group
        for i in range(size):
            query[i] = qkv[head * size + i]
            key[i] = qkv[(shape.n_heads + kv) * size + i]
        value = qkv[(shape.n_heads + shape.n_kv_heads + kv) * size :]
        if addresses[Q_NORM]:
            _normalise(query, addresses, Q_NORM, shape, False, query)
            _normalise(key, addresses, K_NORM, shape, False, key)
        if rotation.shape[1]:
            _rotate(query, rotation)
            _rotate(key, rotation)
        for i in range(size):
            new_keys[kv, i] = key[i]

        scale = np.float32(1.0 / math.sqrt(size))
        for slot in range(past):
            scores[slot] = _dot(keys[kv, slot], query) * scale
        scores[past] = _dot(key, query) * scale
        highest = scores[0]
        for slot in range(1, past + 1):
            highest = max(highest, scores[slot])
        total = np.float32(0.0)
        for slot in range(past + 1):
            scores[slot] = math.exp(scores[slot] - highest)
            total += scores[slot]
        for i in range(size):
            query[i] = scores[past] * value[i]
        for slot in range(past):
            weight, of_slot = scores[slot], values[kv, slot]
            for i in range(size):
                query[i] += weight * of_slot[i]
        for i in range(size):
            out[head * size + i] = query[i] / total


@_inner()
def _embed(token, past, shape, like, addresses, out):
    """Write the embedding of a token, and that of its position where positions are learned, to ``out``."""
    table = numba.carray(_pointer(addresses[EMBEDDING], like), (shape.vocab, shape.hidden))
    scale = _vector(addresses[EMBEDDING + 1], shape.vocab)
    for i in range(shape.hidden):
        out[i] = _widened(table[token, i])
        if addresses[EMBEDDING + 1]:
            out[i] *= scale[token]
    if addresses[POSITIONS]:
        positions = _vector(addresses[POSITIONS], (past + 1) * shape.hidden)
        for i in range(shape.hidden):
            out[i] += positions[past * shape.hidden + i]


_shared_qkv, _shared_heads = _shared(_multiply_qkv), _shared(_attend)
_shared_feed_forward, _shared_multiply = _shared(_feed_forward), _shared(_multiply)


@compiled(error_model="numpy")
def halve(numbers, halves):
    """Write the upper half of each number's bits to ``halves``, and return whether all the lower halves are 0.

    ``numbers`` are float32 seen as uint32; those that fit into bfloat16 have such lower halves.
    """
    for start in range(0, numbers.shape[0], 4096):
        end = min(start + 4096, numbers.shape[0])
        lower = np.uint32(0)
        for i in range(start, end):
            lower |= numbers[i]
            halves[i] = numbers[i] >> np.uint32(16)
        if lower & np.uint32(0xFFFF):
            return False
    return True


@compiled(error_model="numpy")
def token_step(thread, n_threads, token, past, shape, like, addresses, rotation, keys, values, work):
    """Compute the logits of the token after ``token``, which follows ``past`` others; call it from every thread.

    It returns when all of ``work`` is computed, whether or not the other threads took part. ``like`` is an array with
    the dtype of the matrices: float32, int8, or uint16 for what :func:`halve` writes; its content does not matter.
    ``rotation`` holds the cosines and sines of this position, ``(2, head_dim)``, or ``(2, 0)`` without rotation.
    ``keys`` and ``values``, ``(n_layers, n_kv_heads, slots, head_dim)``, are only read. All arrays are contiguous.
    """
    team, width = (thread, n_threads), like.itemsize
    addresses, rotation = _borrowed(addresses), _borrowed(rotation)
    keys, values, claims = _borrowed(keys), _borrowed(values), _borrowed(work.claims)
    all_qkv, all_heads, all_keys = _borrowed(work.qkv), _borrowed(work.heads), _borrowed(work.keys)
    all_attended, all_inner, all_streams = (
        _borrowed(work.attended),
        _borrowed(work.inner),
        _borrowed(work.stream),
    )
    logits, scratch = _borrowed(work.logits), _borrowed(work.scratch)[thread]
    stream, normed = scratch[: shape.hidden], scratch[shape.hidden : 2 * shape.hidden]
    up = scratch[2 * shape.hidden : 2 * shape.hidden + shape.intermediate]
    gate = scratch[2 * shape.hidden + shape.intermediate : 2 * shape.hidden + 2 * shape.intermediate]
    scores = scratch[2 * shape.hidden + 2 * shape.intermediate :]
    none = stream[:0]

    _embed(token, past, shape, like, addresses[shape.n_layers], stream)
    phase = 0
    for layer in range(shape.n_layers):
        own, inner, heads = addresses[layer], all_inner[layer], all_heads[layer]
        qkv, attended = all_qkv[layer], all_attended[layer]

        _normalise(stream, own, INPUT_NORM, shape, shape.is_layer_norm, normed)
        _shared_qkv(claims[phase], team, qkv.shape[0], shape.hidden * width, like, own, shape, normed, qkv)
        _shared_heads(
            claims[phase + 1], team, shape.n_heads, past * shape.head_dim * 4,
            own, shape, rotation, past, qkv, keys[layer], values[layer], scores, all_keys[layer], heads,
        )  # fmt: skip
        _shared_multiply(
            claims[phase + 2],
            team,
            shape.hidden,
            heads.shape[0] * width,
            like,
            own,
            O,
            heads,
            stream,
            attended,
        )

        _normalise(attended, own, POST_NORM, shape, shape.is_layer_norm, normed)
        _shared_feed_forward(
            claims[phase + 3], team, shape.intermediate, 2 * shape.hidden * width,
            like, own, shape.is_gated, normed, up, gate, inner,
        )  # fmt: skip
        stream = all_streams[layer]
        _shared_multiply(
            claims[phase + 4],
            team,
            shape.hidden,
            shape.intermediate * width,
            like,
            own,
            DOWN,
            inner,
            attended,
            stream,
        )
        phase += 5
    own = addresses[shape.n_layers]
    _normalise(stream, own, FINAL_NORM, shape, shape.is_layer_norm, normed)
    _shared_multiply(
        claims[phase], team, shape.vocab, shape.hidden * width, like, own, HEAD, normed, none, logits
    )
