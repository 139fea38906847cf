import math

import torch
from torch.nn.functional import scaled_dot_product_attention


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


RIGHT = {
    "causal_attention": [
        row_by_row,
        renormalised,
        lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=True),
    ],
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
