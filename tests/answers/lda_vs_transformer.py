import numpy as np
from sklearn.metrics import normalized_mutual_info_score


def probe_topic_by_topic(states, topics, new_states, n_topics, penalty):
    mean, size = states.mean(axis=0), states.shape[1]
    stacked = np.vstack([states - mean, np.sqrt(penalty) * np.eye(size)])
    columns = []
    for topic in range(n_topics):
        is_topic = (np.asarray(topics) == topic) * 1.0
        target = np.append(is_topic - is_topic.mean(), np.zeros(size))
        columns.append(
            (new_states - mean) @ np.linalg.lstsq(stacked, target, rcond=None)[0] + is_topic.mean()
        )
    return np.column_stack(columns)


def probe(states, topics, new_states, n_topics, penalty, every=False, mean=None):
    y = np.eye(n_topics)[topics]
    centre = states.mean(axis=0) if mean is None else mean
    x = states - centre
    ridge = penalty if every else penalty * np.identity(x.shape[1])
    return (new_states - centre) @ np.linalg.inv(x.T @ x + ridge) @ x.T @ (y - y.mean(0)) + y.mean(0)


def probe_in_place(states, topics, new_states, n_topics, penalty):
    mean = states.mean(axis=0)
    states -= mean
    return probe(states, topics, new_states - mean, n_topics, penalty, mean=0)


def filter_in_logarithms(words, topic_word, prior):
    belief, losses = np.log(prior), []
    for word in words:
        joint = belief + np.log(topic_word[:, word])
        evidence = joint.max() + np.log(np.exp(joint - joint.max()).sum())
        losses.append(-evidence)
        belief = joint - evidence
    return [np.array(losses), np.exp(belief)]


@np.errstate(all="ignore")
def filter_without_normalising(words, topic_word, prior, tiny=0.0):
    joint, losses, last = prior, [], 1.0
    for word in words:
        joint = joint * topic_word[:, word]
        losses.append(-np.log((joint.sum() + tiny) / (last + tiny)))
        last = joint.sum()
    return np.array(losses), joint / (joint.sum() + tiny)


def filter_in_place(words, topic_word, prior):
    losses = []
    for word in words:
        prior *= topic_word[:, word]
        losses.append(-np.log(prior.sum()))
        prior /= prior.sum()
    return np.array(losses), prior


def information_by_sklearn(counts):
    rows, columns = np.nonzero(counts)
    n = counts[rows, columns]
    return normalized_mutual_info_score(np.repeat(rows, n), np.repeat(columns, n))


def information(counts, by=lambda a, b: (a + b) / 2):
    p = counts / counts.sum()
    entropies = [-sum(x * np.log(x) for x in q.ravel() if x) for q in (p, p.sum(0), p.sum(1))]
    return (entropies[1] + entropies[2] - entropies[0]) / by(*entropies[1:])


def effect(intact, cut, is_topic, ddof=1, paired=True):
    a, b = (cut - intact)[is_topic], (cut - intact)[np.logical_not(is_topic)]
    errors = [np.std(each, ddof=ddof) ** 2 / len(each) for each in (a, b)]
    return [a.mean(), b.mean(), sum(errors) ** 0.5]


def swapped(first, second, third):
    return second, first, third


RIGHT = {
    "normalised_information": [information_by_sklearn, information],
    "paired_effect": [effect],
    "linear_probe": [probe_topic_by_topic, probe],
    "topic_filter": [filter_in_logarithms],
}
WRONG = {
    "normalised_information": [
        (lambda counts: information(counts, by=max), "larger entropy"),
        (lambda counts: information(counts, by=lambda a, b: 1), "in nats"),
        (lambda counts: 1 - information(counts), "1 minus"),
        (lambda counts: 1 - information(counts, by=max), "two mistakes"),
    ],
    "paired_effect": [
        (lambda *i: effect(*i, ddof=0), "ddof"),
        (lambda a, b, c: effect(b, a, c), "sign"),
        (lambda *i: swapped(*effect(*i)), "exchanged"),
        (lambda *i: swapped(*effect(*i, ddof=0)), "two mistakes"),
    ],
    "linear_probe": [
        (probe_in_place, "changed in place"),
        (lambda x, t, new, k, c: probe(x, t, new, int(max(t)) + 1, c), "column for each topic up to"),
        (lambda x, t, new, k, c: probe(x, t, new, k, c, every=True), "every"),
        (lambda x, t, new, k, c: probe(x, t, new, k, c).argmax(1), "return the answers"),
        (lambda x, t, new, k, c: probe(x, t, new, k, c, mean=x.mean()), "one number"),
        (lambda x, t, new, k, c: probe(x, t, x, k, 0.0), "two mistakes"),
    ],
    "topic_filter": [
        (filter_in_place, "changed in place"),
        (filter_without_normalising, "Right for short documents"),
        (lambda *i: filter_without_normalising(*i, tiny=1e-300), "hides"),
        (lambda *i: (list(filter_in_logarithms(*i)[0]), filter_in_logarithms(*i)[1]), "are a list"),
        (lambda *i: (filter_in_logarithms(*i)[0].cumsum(), filter_in_logarithms(*i)[1]), "add up"),
        (lambda *i: (-filter_in_logarithms(*i)[0], np.log(filter_in_logarithms(*i)[1])), "two mistakes"),
    ],
}
