import math

import numpy as np


def discounted(counts, lower, discount, *, kinds=None, unseen=None):
    rows = []
    for row in counts:
        total = row.sum()
        n = np.count_nonzero(row) if kinds is None else kinds(row)
        p = [
            max(c - discount, 0) / total + discount * n / total * q if total else q
            for c, q in zip(row, lower, strict=True)
        ]
        rows.append(p if total or unseen is None else [unseen] * len(lower))
    return np.array(rows)


def changed_counts(counts, lower, discount):
    result = discounted(counts, lower, discount)
    counts[counts > 0] -= 1
    return result


def continued(counts, discount, *, before=True, n_freed=None):
    pairs = {(v, w) for v, row in enumerate(counts.tolist()) for w, count in enumerate(row) if count}
    kinds = [sum((v, w)[before] == token for v, w in pairs) for token in range(len(counts))]
    freed = discount * (sum(n > 0 for n in kinds) if n_freed is None else n_freed)
    return np.array([(max(n - discount, 0) + freed / len(kinds)) / len(pairs) for n in kinds])


RIGHT = {
    "perplexity": [
        lambda p: 2 ** -np.log2(p).mean(),
        lambda p: math.prod(x ** (-1 / len(p)) for x in p.tolist()),
    ],
    "bits_per_byte": [lambda losses, text: -np.log2(np.exp(-losses)).sum() / len(bytes(text, "utf8"))],
    "continuation_probabilities": [continued, lambda c, d: continued(c, d).astype(np.float32)],
    "discounted_bigram": [discounted, lambda c, lo, d: discounted(c, lo, d).astype(np.float32)],
}
WRONG = {
    "continuation_probabilities": [
        (lambda c, d: continued(c, d, before=False), "its column"),
        (lambda c, d: continued(c, d, n_freed=1), "give away D once"),
        (lambda c, d: continued(c.T, d, n_freed=len(c)), "two mistakes"),
    ],
    "perplexity": [
        (lambda p: 1 / np.prod(p) ** (1 / len(p)), "too small for a float"),
        (lambda p: np.exp(-np.log(p + 1e-9).mean()), "small number"),
        (lambda p: math.exp(np.log10(p).mean()), "two mistakes.*base 10.*minus"),
    ],
    "bits_per_byte": [
        (lambda losses, text: losses.sum() / len(text), "two mistakes.*characters.*nats"),
        (lambda losses, text: losses.sum() / math.log(2) / len(text.encode("utf-16")), "UTF-16"),
        (lambda losses, text: sum(losses) / math.log(2) / len(text.split(" ")), "number of words"),
    ],
    "discounted_bigram": [
        (lambda c, lo, d: discounted(c, lo, d, kinds=lambda row: sum(row == 1)), "exactly once"),
        (lambda c, lo, d: discounted(c, lo, d, kinds=len, unseen=0), "two mistakes"),
        (changed_counts, "`counts` was changed"),
    ],
}
