from math import lgamma, log

import numpy as np
from scipy.special import gammaln


def one_token_after_another(counts, prior):
    value, n = 0.0, 0
    for count, alpha in zip(counts.tolist(), prior.tolist(), strict=True):
        for i in range(count):
            value += log((i + alpha) / (n + float(prior.sum())))
            n += 1
    return value


def with_the_prior_of_topic_0(counts, prior):
    total = len(prior) * prior[0]
    return gammaln(total) - gammaln(total + counts.sum()) + sum(gammaln(counts + prior) - gammaln(prior))


def with_removal(documents, terms, topics, i, n_topics, n_terms, alpha, beta):
    rest = topics.copy()
    rest[i] = -1
    p = []
    for k in range(n_topics):
        n_dk = np.sum((rest == k) & (documents == documents[i]))
        n_kw = np.sum((rest == k) & (terms == terms[i]))
        p.append((n_dk + alpha) * (n_kw + beta) / (np.sum(rest == k) + beta * n_terms))
    return np.array(p) / sum(p)


def with_all_tokens(documents, terms, topics, i, n_topics, n_terms, alpha, beta):
    n_dk, n_kw, n_k = (
        np.array([np.sum((topics == k) & mask) for k in range(n_topics)])
        for mask in (documents == documents[i], terms == terms[i], True)
    )
    p = (n_dk + alpha) * (n_kw + beta) / (n_k + n_terms * beta)
    return p / p.sum()


def counted_without_length(documents, terms, topics, i, n_topics, n_terms, alpha, beta):
    keep = np.arange(len(topics)) != i
    d, w, t = (np.bincount(topics[keep & m]) for m in (documents == documents[i], terms == terms[i], keep))
    p = (d + alpha) * (w + beta) / (t + n_terms * beta)
    return p / p.sum()


def marked(documents, terms, topics, i, n_topics, n_terms, alpha, beta):
    result = with_removal(documents, terms, topics, i, n_topics, n_terms, alpha, beta)
    topics[i] = -1
    return result


def by_pairs_of_states(states, log_joints, i):
    n = len(states)
    p = np.zeros((n, n))
    for a in range(n):
        for b in range(n):
            if all(states[a, t] == states[b, t] for t in range(states.shape[1]) if t != i):
                p[a, b] = np.exp(log_joints[b])
        p[a] /= p[a].sum()
    return p


def over_the_columns(states, log_joints, i):
    rest = np.delete(states, i, 1)
    weights = np.array(
        [[np.exp(x) * np.array_equal(s, t) for t, x in zip(rest, log_joints, strict=True)] for s in rest]
    )
    return weights / weights.sum(0)


def sweep_by_hand(topics, conditional, uniforms):
    new = [int(topic) for topic in topics]
    for i in range(len(new)):
        left = uniforms[i]
        for k, p in enumerate(conditional(np.array(new), i)):
            left -= p
            if left < 0:
                new[i] = k
                break
    return np.array(new)


def sweep_from_the_old_topics(topics, conditional, uniforms):
    return np.array([np.sum(np.cumsum(conditional(topics, i)) <= u) for i, u in enumerate(uniforms)])


def sweep_in_place(topics, conditional, uniforms):
    for i, u in enumerate(uniforms):
        topics[i] = np.searchsorted(np.cumsum(conditional(topics, i)), u)
    return topics


def sweep_to_the_top(topics, conditional, uniforms):
    topics = topics.copy()
    for i in range(len(topics)):
        topics[i] = np.argmax(conditional(topics, i))
    return topics


RIGHT = {
    "gibbs_sweep": [sweep_by_hand],
    "log_sequence_probability": [
        one_token_after_another,
        lambda c, a: np.array(
            gammaln(a.sum()) - gammaln((c + a).sum()) + (gammaln(c + a) - gammaln(a)).sum()
        ),
    ],
    "topic_conditional": [with_removal],
    "resampling_matrix": [by_pairs_of_states],
}
WRONG = {
    "gibbs_sweep": [
        (sweep_from_the_old_topics, "with which the sweep began"),
        (sweep_in_place, "`topics` was changed"),
        (sweep_to_the_top, "most probable topic"),
    ],
    "log_sequence_probability": [
        (with_the_prior_of_topic_0, "first entry of the prior"),
        (
            lambda c, a: sum(lgamma(x + y) for x, y in zip(c, a, strict=True)) - lgamma(sum(c) + sum(a)),
            "prior alone",
        ),
        (lambda c, a: -one_token_after_another(c, a) / np.log(2), "two mistakes.*base 2.*sign"),
    ],
    "topic_conditional": [
        (with_all_tokens, "counts? token i itself"),
        (marked, "`topics` was changed"),
        (counted_without_length, "`minlength=n_topics`"),
        (
            lambda d, z, t, i, k, v, a, b: with_all_tokens(d, z, t, i, k, v, b, a),
            "two mistakes.*token i itself.*exchanged",
        ),
    ],
    "resampling_matrix": [
        (over_the_columns, "each \\*row\\*"),
        (lambda s, x, i: by_pairs_of_states(s, x, 0), "token 0"),
        (lambda s, x, i: by_pairs_of_states(s, x, i).T, "transposed"),
    ],
}
