from fractions import Fraction

import numpy as np
from scipy.optimize import curve_fit


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


def cost(n, others, optimizer, work, tokens, peak, mfu):
    states = {"adamw": 2 * n, "muon": n}[optimizer] + 2 * others
    return [work / 3600 / peak * tokens / mfu, 4 * np.float64(states + 2 * n + 2 * others)]


def cost_with_adamw(n, others, optimizer, *run):
    return cost(n, others, "adamw", *run)


def fit_by_scipy(tokens, losses):
    start = (0.7 * min(losses), np.ptp(losses), 0.4)
    return curve_fit(lambda x, e, a, alpha: e + a * x**-alpha, tokens, losses, start)[0]


def fit_by_floors(tokens, losses):
    best = (np.inf,)
    for floor in np.arange(0, min(losses), 0.004):
        slope, intercept = np.polyfit(np.log(tokens), np.log(losses - floor), 1)
        error = np.sum((floor + np.exp(intercept) * tokens**slope - losses) ** 2)
        best = min(best, (error, floor, np.exp(intercept), -slope))
    return best[1:]


def fit_by_exponents(tokens, losses):
    tried = []
    for alpha in np.arange(0.01, 1.5, 0.01):
        x = np.stack([np.ones(len(tokens)), tokens**-alpha], axis=1)
        law = np.linalg.lstsq(x, losses, rcond=None)[0]
        tried.append((np.sum((x @ law - losses) ** 2), [*law, alpha]))
    return min(tried)[1]


def fit_of_logarithms(tokens, losses):
    start = (0.7 * min(losses), np.ptp(losses), 0.4)
    return curve_fit(lambda x, e, a, alpha: np.log(e + a * x**-alpha), tokens, np.log(losses), start)[0]


def optimal_by_search(flops, A, B, alpha, beta):
    n = np.geomspace(1, flops / 6, 100_000)
    best = n[np.argmin(A / n**alpha + B / (flops / 6 / n) ** beta)]
    return best, flops / (6 * best)


def optimal(C, A, B, alpha, beta, six=6):
    n = (alpha * A / beta / B * (C / six) ** beta) ** (1 / (alpha + beta))
    return n, C / six / n


RIGHT = {
    "run_length": [length_by_cutting, length_in_floats],
    "training_flops": [flops_in_floats],
    "run_cost": [cost],
    "power_law_exponent": [slope_by_lstsq, slope_as_an_array],
    "fit_power_law": [fit_by_scipy, fit_by_exponents],
    "compute_optimal": [optimal_by_search, optimal],
}
WRONG = {
    "run_length": [
        (lambda *i: length(*i, less=0), "label of the last token"),
        (lambda *i: length(*i, batch=1), "one sequence"),
        (lambda *i: (*length(*i)[:2], int(length(*i)[2])), "round the epochs down"),
        (lambda *i: (*length(*i)[:2], length(*i)[1] / i[0]), "all \\*sequences\\* once"),
        (lambda *i: (*length(*i, less=0)[:2], round(length(*i, less=0)[2])), "two mistakes"),
    ],
    "training_flops": [
        (lambda n, la, h, w, t, d: 6 * n + 2 * la * h * w * t * d, "Brackets are missing"),
        (lambda n, la, h, w, t, d: 6 * (n + 2 * la * w * t) * d, "number of heads is missing"),
        (lambda n, la, h, w, t, d: 2 * (n + 2 * la * h * w * t) * d, "forward pass only"),
        (lambda n, la, h, w, t, d: 2 * (n + la * h * w * t) * d, "two mistakes"),
    ],
    "run_cost": [
        (cost_with_adamw, "one average"),
        (lambda *i: (cost(*i)[0] * 3600, cost(*i)[1]), "in seconds"),
        (lambda *i: (cost(*i)[0] * i[-1], cost(*i)[1]), "at its peak"),
        (lambda *i: (cost(*i)[0] * i[-1], cost(*i)[1] / 4), "two mistakes"),
    ],
    "fit_power_law": [
        (lambda x, y: fit_by_scipy(x, y)[::-1], "order is reversed"),
        (
            lambda x, y: (
                0.0,
                np.exp(np.polyfit(np.log(x), np.log(y), 1)[1]),
                -np.polyfit(np.log(x), np.log(y), 1)[0],
            ),
            "without a floor",
        ),
        (lambda x, y: fit_by_scipy(x, y)[2], "last item"),
        (fit_by_floors, "only A and α come from them"),
        (fit_of_logarithms, "Squared errors of logarithms give another law"),
    ],
    "compute_optimal": [
        (lambda *i: optimal(*i, six=1), "6 is missing"),
        (lambda C, A, B, a, b: optimal(C, A, B, a, b)[::-1], "exchanged"),
        (lambda C, A, B, a, b: ((C / 120) ** 0.5, 20 * (C / 120) ** 0.5), "20 tokens"),
        (lambda C, A, B, a, b: optimal(C, A, B, a, b, six=1)[::-1], "two mistakes"),
    ],
    "power_law_exponent": [
        (lambda x, y, floor: -np.polyfit(np.log(x), np.log(y) - floor, 1)[0], "floor has no effect"),
        (lambda x, y, floor: np.polyfit(np.log(x), np.log(y - floor), 1)[1], "intercept"),
        (lambda x, y, floor: -np.polyfit(np.log10(x), np.log(y - floor), 1)[0], "base 10"),
        (lambda x, y, floor: np.polyfit(np.log2(x), np.log(y - floor), 1)[0], "two mistakes"),
    ],
}
