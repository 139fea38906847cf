import math
import statistics
from itertools import permutations

import numpy as np


def perplexity_by_loops(doc_topic, topic_word, hidden):
    logs = []
    for theta, row in zip(doc_topic, hidden, strict=True):
        for w, count in enumerate(row):
            logs += [math.log(sum(theta * topic_word[:, w]))] * int(count)
    return math.exp(-statistics.fmean(logs))


def r_hat(pieces, n=None):
    n = n or len(pieces[0])
    within = statistics.fmean(statistics.variance(piece) for piece in pieces)
    between = statistics.variance([statistics.fmean(piece) for piece in pieces])
    return math.sqrt((n - 1) / n + between / within)


def halved(chains):
    return [half.tolist() for chain in chains for half in np.split(chain, 2)]


def overlap_of_the_best_order(reference, other):
    table = [[float(np.minimum(a, b).sum()) for b in other] for a in reference]
    orders = permutations(range(len(other)))
    return max(([row[k] for row, k in zip(table, order, strict=True)] for order in orders), key=sum)


def greedy_overlap(reference, other):
    return np.array([max(np.minimum(a, b).sum() for b in other) for a in reference])


RIGHT = {
    "matched_overlap": [lambda r, o: np.array(overlap_of_the_best_order(r, o))],
    "relevance": [
        lambda t, f, w: np.log(t) - (1 - w) * np.log(f / f.sum()),
        lambda t, f, w: (np.log(t**w) + np.log((t * f.sum() / f) ** (1 - w))).astype("float32"),
    ],
    "completion_perplexity": [perplexity_by_loops, lambda d, t, h: np.prod((d @ t) ** (-h / h.sum()))],
    "split_r_hat": [lambda chains: r_hat(halved(chains))],
}
WRONG = {
    "matched_overlap": [
        (greedy_overlap, "one to one"),
        (lambda r, o: np.minimum(r, o).sum(axis=1), "no common order"),
        (lambda r, o: np.minimum(r[:, None], o).sum(axis=2), "table of all pairs"),
    ],
    "relevance": [
        (lambda t, f, w: w * np.log10(t) + (1 - w) * np.log10(t / (f / f.sum())), "base 10"),
        (
            lambda t, f, w: w * np.log(t) + (1 - w) * np.log(f / t),
            "two mistakes.*counts.*upside down",
        ),
        (lambda t, f, w: w * np.log(t) + (1 - w) * np.log(t) / (f / f.sum()), "division comes first"),
    ],
    "completion_perplexity": [
        (lambda d, t, h: np.exp(-np.mean(h * np.log(d @ t))), "number of entries of the table"),
        (lambda d, t, h: math.exp(-(h * np.log(t[np.argmax(d, 1)])).sum() / h.sum()), "largest topic"),
        (lambda d, t, h: 2 ** ((h * np.log(d @ t)).sum() / h.sum()), "two mistakes.*power of 2.*minus"),
    ],
    "split_r_hat": [
        (lambda chains: r_hat(halved(chains), chains.shape[1]), "length of a whole chain"),
        (lambda chains: r_hat(chains.tolist()) ** 2, "two mistakes.*halves.*root"),
        (
            lambda chains: r_hat(
                [chain[::2].tolist() for chain in chains] + [c[1::2].tolist() for c in chains]
            ),
            "every second",
        ),
    ],
}
