from collections import Counter
from fractions import Fraction

import numpy as np


def jaccard_by_counting(a, b):
    n = sum(1 for word in a if word in b)
    return n / (len(a) + len(b) - n)


def changes_its_set(a, b):
    common = len(a & b)
    a.update(b)
    return common / len(a)


def counts_with_a_table(documents, vocabulary):
    column = {term: j for j, term in enumerate(vocabulary)}
    table = np.zeros((len(documents), len(vocabulary)), dtype=np.uint16)
    for row, words in zip(table, documents, strict=True):
        np.add.at(row, [column[word] for word in words if word in column], 1)
    return table


def counts_in_a_text(documents, vocabulary):
    return np.array([["-".join(words).count(term) for term in vocabulary] for words in documents])


def counts_of_one_document(documents, vocabulary):
    table = np.zeros((len(documents), len(vocabulary)), dtype=int)
    for i, words in enumerate(documents):
        for j, term in enumerate(vocabulary):
            table[i, j] = sum(word == term for word in words)
        break
    return table


def shares_of_terms(documents, vocabulary):
    return np.array([[words.count(term) / (len(words) or 1) for words in documents] for term in vocabulary])


def vocabulary_by_exponentials(counts, n):
    with np.errstate(divide="ignore"):
        return -np.expm1(n * np.log1p(-counts / counts.sum())).sum()


def signature_by_loops(numbers, multipliers, offsets, prime):
    signature = np.empty(len(multipliers), dtype=int)
    for k, (a, b) in enumerate(zip(multipliers.tolist(), offsets.tolist(), strict=True)):
        signature[k] = min((a * x + b) % prime for x in numbers.tolist())
    return signature


def signature_of_the_least_number(numbers, multipliers, offsets, prime):
    return (multipliers * min(numbers) + offsets) % prime


RIGHT = {
    "minhash_signature": [
        signature_by_loops,
        lambda n, a, b, p: np.min((np.outer(n, a) + b) % p, axis=0),
    ],
    "jaccard": [
        jaccard_by_counting,
        lambda a, b: Fraction(len(a & b), len(a | b)),
        lambda a, b: np.array(len(a & b) / len(a | b)),
    ],
    "document_term_counts": [
        counts_with_a_table,
        lambda d, v: np.array([[Counter(x)[t] for t in v] for x in d], dtype=np.int8),
    ],
    "expected_vocabulary": [
        vocabulary_by_exponentials,
        lambda c, n: sum(1 - (1 - x / sum(c)) ** n for x in c),
    ],
}
WRONG = {
    "minhash_signature": [
        (signature_of_the_least_number, "least \\*number\\*"),
        (lambda n, a, b, p: ((np.outer(n, a) + b) % p).min(), "one minimum of all"),
        (lambda n, a, b, p: ((np.outer(n, a) + b) % p).min(axis=1), "minimum over the functions"),
        (lambda n, a, b, p: (np.outer(a, n).min(axis=1) + b) % p, "least \\*number\\*"),
    ],
    "jaccard": [
        (changes_its_set, "`a` was changed"),
        (lambda a, b: len(a.intersection(b)) / len(a), "size of `a` alone"),
        (
            lambda a, b: len(a & b) * 100 / (len(a) + len(b)),
            "two mistakes.*counts what they share twice.*100",
        ),
        (lambda a, b: len(a or b) / len(a and b), "size of `a` by that of `b`"),
    ],
    "document_term_counts": [
        (counts_in_a_text, "inside other words"),
        (counts_of_one_document, "Only the first document"),
        (shares_of_terms, "two mistakes.*transposed.*length of the document"),
        (
            lambda d, v: np.array([[float(t in x) for t in v] for x in d]),
            "never more than 1|whether a term occurs",
        ),
    ],
    "expected_vocabulary": [
        (lambda c, n: sum(1 - (1 - x / len(c)) ** n for x in c), "number of terms"),
        (lambda c, n: np.mean((1 - c / c.sum()) ** n), "two mistakes.*not.*been seen.*mean"),
        (lambda c, n: int(vocabulary_by_exponentials(c, n)), "whole number"),
    ],
}
