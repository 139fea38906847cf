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


RIGHT = {
    "pair_frequencies": [
        lambda d, t: torch.logspace(0, -(d - 2) / d, d // 2, base=t, dtype=torch.float64),
        lambda d, t: torch.tensor([math.exp(-i / d * math.log(t)) for i in range(0, d, 2)]),
    ],
    "rotate_pairs": [turned, by_complex_numbers, lambda x, p, f: turned(x.double(), p, f.double())],
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
    "ntk_base": [
        (lambda t, d, s: t * s ** (1 - 2 / d), "upside down"),
        (lambda t, d, s: (t * s) ** (d / (d - 2)), "take θ to the power"),
        (lambda t, d, s: s ** (d / (d - 2)), "old base θ"),
    ],
}
