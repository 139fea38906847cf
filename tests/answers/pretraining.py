from fractions import Fraction

import numpy as np


def length_by_cutting(n_tokens, seq_len, batch_size, n_steps):
    starts = range(0, n_tokens - seq_len, seq_len)
    rows = [start for start in starts if start + seq_len < n_tokens]
    return len(rows), n_steps * batch_size * seq_len, Fraction(n_steps * batch_size, len(rows))


def length_in_floats(n_tokens, seq_len, batch_size, n_steps):
    rows = np.floor((n_tokens - 1) / seq_len)
    return [rows, np.int64(n_steps * batch_size * seq_len), n_steps * batch_size / rows]


def length(n_tokens, seq_len, batch_size, n_steps, less=1, batch=None):
    rows = (n_tokens - less) // seq_len
    read = n_steps * (batch or batch_size) * seq_len
    return rows, read, read / (rows * seq_len)


def flops_in_floats(n, layers, heads, width, length, tokens):
    return 6e0 * tokens * n + 12.0 * tokens * layers * heads * width * length


def slope_by_lstsq(tokens, losses, floor):
    x = np.stack([np.log10(tokens), np.ones(len(tokens))], axis=1)
    return -np.linalg.lstsq(x, np.log10(losses - floor), rcond=None)[0][0]


def slope_as_an_array(tokens, losses, floor):
    return np.asarray(-np.polyfit(np.log2(tokens), np.log2(losses - floor), 1)[0])


RIGHT = {
    "run_length": [length_by_cutting, length_in_floats],
    "training_flops": [flops_in_floats],
    "power_law_exponent": [slope_by_lstsq, slope_as_an_array],
}
WRONG = {
    "run_length": [
        (lambda *i: length(*i, less=0), "label of the last token"),
        (lambda *i: length(*i, batch=1), "one row"),
        (lambda *i: (*length(*i)[:2], int(length(*i)[2])), "round the epochs down"),
        (lambda *i: (*length(*i)[:2], length(*i)[1] / i[0]), "all \\*rows\\* once"),
        (lambda *i: (*length(*i, less=0)[:2], round(length(*i, less=0)[2])), "two mistakes"),
    ],
    "training_flops": [
        (lambda n, la, h, w, t, d: 6 * n + 2 * la * h * w * t * d, "Brackets are missing"),
        (lambda n, la, h, w, t, d: 6 * (n + 2 * la * w * t) * d, "number of heads is missing"),
        (lambda n, la, h, w, t, d: 2 * (n + 2 * la * h * w * t) * d, "forward pass only"),
        (lambda n, la, h, w, t, d: 2 * (n + la * h * w * t) * d, "two mistakes"),
    ],
    "power_law_exponent": [
        (lambda x, y, floor: -np.polyfit(np.log(x), np.log(y) - floor, 1)[0], "floor has no effect"),
        (lambda x, y, floor: np.polyfit(np.log(x), np.log(y - floor), 1)[1], "intercept"),
        (lambda x, y, floor: -np.polyfit(np.log10(x), np.log(y - floor), 1)[0], "base 10"),
        (lambda x, y, floor: np.polyfit(np.log2(x), np.log(y - floor), 1)[0], "two mistakes"),
    ],
}
