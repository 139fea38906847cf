import math

import torch


def turned(x, positions, frequencies, *, minus=(-1, 1), dim=-1):
    table = torch.einsum("s,p->sp", positions.to(frequencies), frequencies)
    half = x.shape[dim] // 2
    a, b = x.split(half, dim=dim)
    return torch.cat(
        [a * table.cos() + minus[0] * b * table.sin(), b * table.cos() + minus[1] * a * table.sin()], dim
    )


def by_complex_numbers(x, positions, frequencies):
    half = x.shape[-1] // 2
    z = torch.complex(x[..., :half], x[..., half:]) * torch.exp(1j * positions[:, None] * frequencies)
    return torch.cat((z.real, z.imag), -1)


def of_three_dimensions(x, positions, frequencies):
    _batch, _seq, _width = x.shape
    return turned(x, positions, frequencies)


def in_place(x, positions, frequencies):
    return x.copy_(turned(x, positions, frequencies))


def row_by_row(weight, n_heads):
    rows = []
    for head in weight.chunk(n_heads):
        half = len(head) // 2
        for i in range(half):
            rows += [head[i], head[i + half]]
    return torch.stack(rows)


def yarn(d, theta, trained, s, fast, slow, *, rounded=True, least=0, most=math.inf, ramp=None):
    def pair(turns):
        return d / 2 * (math.log(trained) - math.log(2 * math.pi * turns)) / math.log(theta)

    low, high = (math.floor(pair(fast)), math.ceil(pair(slow))) if rounded else (pair(fast), pair(slow))
    low, high, result = max(low, least), min(high, most), []
    for i in range(d // 2):
        omega = theta ** (-2 * i / d)
        share = min(max((i - low) / (high - low), 0), 1)
        if ramp == "turns":
            share = 1 - min(max((trained * omega / (2 * math.pi) - slow) / (fast - slow), 0), 1)
        result.append(omega + share * (omega / s - omega))
    return torch.tensor(result)


RIGHT = {
    "pair_frequencies": [
        lambda d, t: torch.logspace(0, -(d - 2) / d, d // 2, base=t, dtype=torch.float64),
        lambda d, t: torch.tensor([math.exp(-i / d * math.log(t)) for i in range(0, d, 2)]),
    ],
    "rotate_pairs": [turned, by_complex_numbers, lambda x, p, f: turned(x.double(), p, f.double())],
    "interleaved_rows": [
        row_by_row,
        lambda w, n: torch.cat([torch.stack(h.chunk(2), 1).flatten(0, 1) for h in w.chunk(n)]),
    ],
    "yarn_frequencies": [yarn],
    "ntk_base": [
        lambda t, d, s: t * math.exp(math.log(s) * d / (d - 2)),
        lambda t, d, s: torch.tensor(t * s ** (d / (d - 2)), dtype=torch.float64).item(),
    ],
}
WRONG = {
    "pair_frequencies": [
        (lambda d, t: [t ** (-2 * i / d) for i in range(d // 2)], "list"),
        (lambda d, t: t ** (-torch.arange(1, d // 2 + 1) / d), "two mistakes.*doubled.*begins at 1"),
        (lambda d, t: t ** (-2 * torch.arange(d // 2) // d).float(), "`//`"),
    ],
    "rotate_pairs": [
        (lambda x, p, f: turned(x, p, f, minus=(1, -1)), "other way round"),
        (
            lambda x, p, f: turned(x, torch.arange(len(p)), f, minus=(1, 1)),
            "two mistakes.*no minus.*rows from 0",
        ),
        (of_three_dimensions, "usual inputs.*not for `x` of four dimensions"),
        (in_place, "`x` was changed"),
    ],
    "interleaved_rows": [
        (lambda w, n: torch.stack(w.chunk(2), 1).flatten(0, 1), "a single head"),
        (lambda w, n: torch.cat([torch.cat([h[0::2], h[1::2]]) for h in w.chunk(n)]), "way back"),
    ],
    "yarn_frequencies": [
        (lambda *args: yarn(*args, ramp="turns"), "number of \\*turns\\*"),
        (lambda *args: yarn(*args, rounded=False), "not rounded"),
        (lambda *args: yarn(*args, least=-99), "at least 0"),
        (lambda *args: yarn(*args, most=args[0] // 2 - 1), "at most the last pair"),
    ],
    "ntk_base": [
        (lambda t, d, s: t * s ** (1 - 2 / d), "upside down"),
        (lambda t, d, s: (t * s) ** (d / (d - 2)), "take θ to the power"),
        (lambda t, d, s: s ** (d / (d - 2)), "old base θ"),
    ],
}
