import math

import torch
from torch.nn import functional


def gelu_number_by_number(x):
    values = [v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.flatten().tolist()]
    return torch.tensor(values, dtype=x.dtype).reshape(x.shape)


def gelu_in_place(x):
    x *= (1 + torch.erf(x / 2**0.5)) / 2
    return x


def gelu_without_return(x):
    x * (1 + torch.erf(x / 2**0.5)) / 2


def layer_unit_by_unit(x, gate, up, down):
    out = torch.zeros(*x.shape[:-1], len(down))
    for unit in range(len(gate)):
        opened = functional.silu(x @ gate[unit])
        out += (opened * (x @ up[unit]))[..., None] * down[:, unit]
    return out


def layer_by_einsum(x, gate, up, down):
    a, b = (torch.einsum("...d,hd->...h", x, each) for each in (gate, up))
    return torch.einsum("...h,dh->...d", a / (1 + torch.exp(-a)) * b, down)


def layer_of_one_rank(x, gate, up, down):
    batch, seq, hidden = x.shape
    flat = x.reshape(batch * seq, hidden)
    return (functional.silu(flat @ gate.T) * (flat @ up.T) @ down.T).reshape(batch, seq, hidden)


def width_by_counting(hidden_size, multiple_of):
    width = multiple_of
    while 3 * width < 8 * hidden_size:
        width += multiple_of
    return width


def width_as_llama(hidden_size, multiple_of):
    width = int(2 * 4 * hidden_size / 3)
    return multiple_of * ((width + multiple_of - 1) // multiple_of)


def backward_as_a_list(grad, gate, up):
    e = torch.exp(-gate)
    slope = 1 / (1 + e) + gate * e / (1 + e) ** 2
    return [grad * up * slope, grad * functional.silu(gate)]


def backward(slope, grad, gate, up):
    return grad * up * slope(gate, torch.sigmoid(gate)), grad * gate * torch.sigmoid(gate)


RIGHT = {
    "gelu": [gelu_number_by_number, functional.gelu, lambda x: 0.5 * x * (1 + torch.erf(x * 0.5**0.5))],
    "swiglu": [layer_unit_by_unit, layer_by_einsum],
    "gated_width": [
        width_by_counting,
        width_as_llama,
        lambda hidden_size, multiple_of: math.ceil(8 * hidden_size / (3 * multiple_of)) * multiple_of,
    ],
    "swiglu_backward": [backward_as_a_list],
}
WRONG = {
    "gelu": [
        (gelu_in_place, "changed in place"),
        (gelu_without_return, "no `return`"),
        (lambda x: x * (1 + torch.erf(x / 2**0.5)), "½ is missing"),
        (lambda x: x * (1 + torch.erf(x)), "two mistakes"),
        (lambda x: x * (1 - torch.erf(x / 2**0.5)) / 2, "sign of erf"),
        (lambda x: x / (1 + torch.exp(-1.702 * x)), "sigmoid approximation"),
    ],
    "swiglu": [
        (layer_of_one_rank, "three dimensions|unpack|dimension"),
        (lambda x, gate, up, down: functional.silu(x @ gate.T) * (x @ up.T), "`down` is missing"),
        (lambda x, gate, up, down: (functional.silu(x @ gate) * (x @ up)) @ down, "not transposed"),
        (
            lambda x, gate, up, down: x + (functional.silu(x @ gate.T) * (x @ up.T)) @ down.T,
            "You add x",
        ),
        (
            lambda x, gate, up, down: (functional.relu(x @ gate.T) * (x @ gate.T)) @ down.T,
            "two mistakes",
        ),
    ],
    "gated_width": [
        (lambda d, m: (8 * d // 3 // m + 1) * m, "a multiple further"),
        (lambda d, m: math.ceil(8 * d / 3 / m) * float(m), "is a float"),
        (lambda d, m: math.ceil(8 * d / 3 / 64) * 64, "multiples of 64"),
        (lambda d, m: -(-8 // 3 * d // m) * m, "8/3"),
        (lambda d, m: math.ceil(4 * d / m), "two mistakes"),
    ],
    "swiglu_backward": [
        (lambda grad, gate, up: backward(lambda z, s: s * (1 - z * (1 - s)), grad, gate, up), "sign in SiLU"),
        (lambda grad, gate, up: backward(lambda z, s: s + z * (1 - s), grad, gate, up), "lacks a factor σ"),
        (lambda grad, gate, up: backward(lambda z, s: s, grad, gate, up)[::-1], "two mistakes"),
        (
            lambda grad, gate, up: tuple(each.mean(0) for each in backward_as_a_list(grad, gate, up)),
            "You average",
        ),
    ],
}
