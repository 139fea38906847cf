import math

import torch
from torch.autograd.functional import jacobian
from torch.nn.functional import scaled_dot_product_attention

from minillm_lib.model import rotate


def row_by_row(query, key, value):
    rows = []
    for i in range(query.shape[-2]):
        scores = (query[..., i : i + 1, :] * key[..., : i + 1, :]).sum(-1) / math.sqrt(query.shape[-1])
        rows.append((scores.softmax(-1)[..., None] * value[..., : i + 1, :]).sum(-2))
    return torch.stack(rows, dim=-2)


def renormalised(query, key, value):
    weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1).tril()
    return weights / weights.sum(-1, keepdim=True) @ value


def masked(query, key, value, *, divisor=None, hidden=None, fill=-math.inf, dim=-1):
    scores = query @ key.transpose(-2, -1) / (divisor or math.sqrt(key.shape[-1]))
    n = scores.shape[-1]
    hidden = torch.ones(n, n, dtype=torch.bool).triu(1) if hidden is None else hidden(n)
    return torch.where(hidden, fill, scores).softmax(dim) @ value


def of_four_dimensions(query, key, value):
    _batch, _heads, _seq, _width = query.shape
    return masked(query, key, value)


def by_reshaping(x, group_size):
    batch, heads, seq, width = x.shape
    return x.unsqueeze(2).expand(batch, heads, group_size, seq, width).reshape(batch, -1, seq, width)


def kept(memory, batch_size, n_layers, n_heads, n_kv_heads, head_dim, bytes_per_value):
    return int(memory / batch_size / (2 * n_layers * n_kv_heads * head_dim * bytes_per_value) + 1e-9)


def by_derivatives(layer, x):
    weights = jacobian(layer, x).abs().sum((0, 2, 3, 5))  # (seq of outputs, seq of inputs)
    return [t for t in range(x.shape[1]) if (weights[:t, t] > 1e-7).any()]


def by_new_vectors(layer, x):
    leaks = []
    for t in range(x.shape[1]):
        other = torch.cat([x[:, :t], torch.randn(x[:, t:].shape)], dim=1)
        other[:, t + 1 :] = x[:, t + 1 :]
        leaks += [t] * bool(((layer(other) - layer(x))[:, :t].abs() > 1e-5).any())
    return leaks


def only_the_last(layer, x):
    other = x.clone()
    other[:, -1] = 0
    leaks = ((layer(other) - layer(x))[:, :-1].abs() > 1e-6).any()
    return [x.shape[1] - 1] if leaks else []


def head_by_head(
    x, w_q, w_k, w_v, w_o, head_dim, rotation, *, of=lambda head, group: head // group, join=None
):
    n_heads, group = len(w_q) // head_dim, len(w_q) // len(w_k)
    outputs = []
    for head in range(n_heads):
        parts = [
            w[h * head_dim : (h + 1) * head_dim]
            for w, h in ((w_q, head), (w_k, of(head, group)), (w_v, of(head, group)))
        ]
        query, key, value = (torch.einsum("bsi,oi->bso", x, part) for part in parts)
        query, key = (rotate(each[:, None], *rotation)[:, 0] for each in (query, key))
        outputs.append(masked(query, key, value))
    if join is not None:
        return join(torch.stack(outputs, 1)) @ w_o.T
    return torch.cat(outputs, -1) @ w_o.T


def one_key_at_a_time(state, scores, value):
    highest, total, weighted = (part.clone() for part in state)
    for score, vector in zip(scores.T, value, strict=True):
        new = torch.where(score > highest, score, highest)
        old, power = torch.exp(highest - new), torch.exp(score - new)
        highest, total, weighted = new, total * old + power, weighted * old[:, None] + power[:, None] * vector
    return highest, total, weighted


def unscaled_block(state, scores, value):
    highest, total, weighted = state
    new = torch.maximum(highest, scores.max(-1).values)
    powers = torch.exp(scores - new[:, None])
    return new, total + powers.sum(-1), weighted + powers @ value


RIGHT = {
    "causal_attention": [
        row_by_row,
        renormalised,
        lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=True),
    ],
    "leaking_positions": [by_derivatives, by_new_vectors],
    "split_heads": [
        lambda x, d: torch.stack(x.split(d, dim=-1), dim=1),
        lambda x, d: x.reshape(len(x), x.shape[1], -1, d).permute(0, 2, 1, 3),
    ],
    "attention_layer": [head_by_head],
    "add_block": [one_key_at_a_time],
    "repeat_key_value_heads": [
        by_reshaping,
        lambda x, g: torch.cat([h for h in x.split(1, 1) for _ in range(g)], 1),
        lambda x, g: x[:, torch.arange(x.shape[1] * g) // g],
    ],
    "longest_context": [kept, lambda m, b, n, h, k, d, s: (m // b) // (2 * n * k * d * s)],
}
WRONG = {
    "causal_attention": [
        (of_four_dimensions, "usual inputs.*not for inputs of three dimensions"),
        (lambda q, k, v: masked(q, k, v, divisor=8**0.5), "divide by √8"),
        (
            lambda q, k, v: masked(q, k, v, divisor=1, fill=0.0),
            "two mistakes.*exp\\(0\\).*√d",
        ),
        (
            lambda q, k, v: masked(q, k, v, divisor=1, hidden=lambda n: torch.zeros(n, n, dtype=torch.bool)),
            "two mistakes.*without a mask.*√d",
        ),
        (
            lambda q, k, v: masked(q, k, v, hidden=lambda n: torch.ones(n, n, dtype=torch.bool).tril()),
            "mask is inverted",
        ),
        (
            lambda q, k, v: masked(q, k, v, hidden=lambda n: torch.ones(n, n, dtype=torch.bool).triu(2)),
            "sees the next one",
        ),
    ],
    "leaking_positions": [
        (only_the_last, "last position only"),
        (lambda layer, x: bool(by_derivatives(layer, x)), "the list"),
    ],
    "split_heads": [
        (lambda x, d: x.view(len(x), -1, x.shape[1], d), "order in which they are stored"),
        (lambda x, d: x.view(*x.shape[:2], -1, d), "change places"),
    ],
    "attention_layer": [
        (lambda *args: head_by_head(*args, of=lambda head, group: 0), "key–value head 0"),
        (
            lambda *args: head_by_head(
                *args, join=lambda heads: heads.reshape(len(heads), heads.shape[2], -1)
            ),
            "joined with `reshape`",
        ),
    ],
    "add_block": [(unscaled_block, "not rescaled")],
    "repeat_key_value_heads": [
        (lambda x, g: torch.cat([x] * g, dim=1), "whole sets"),
        (lambda x, g: x.unsqueeze(2).expand(-1, -1, g, -1, -1), "dimension of their own"),
    ],
    "longest_context": [
        (lambda m, b, n, h, k, d, s: (m - 1) // (b * 2 * n * k * d * s), "filled to the last byte"),
        (
            lambda m, b, n, h, k, d, s: m // (b * n * h * d * s),
            "two mistakes.*key \\*and\\* a value.*query heads",
        ),
        (lambda m, b, n, h, k, d, s: m / (b * 2 * n * k * d * s), "rounded down"),
    ],
}
