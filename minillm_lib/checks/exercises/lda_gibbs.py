"""The exercises of notebook 02: the Dirichlet integral, the conditional of Gibbs sampling, and its Markov chain."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gamma, gammaln

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.checks.exercises.lda_gibbs_sweep import GIBBS_SWEEP
from minillm_lib.checks.exercises.slip_names import made, named

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def _counts_and_prior(rng: np.random.Generator) -> Inputs:
    return rng.integers(0, 9, size=5) + np.array([0, 3, 0, 1, 2]), rng.uniform(0.2, 2.5, size=5)


def _log_sequence_probability(counts: IntArray, prior: FloatArray, /, **slips: Any) -> Any:
    has = made(slips)
    log_gamma = _log_of_gamma if has("overflow") else gammaln
    one = 1 if has("factorial") else 0
    total = prior[0] * len(prior) if has("total:first") else 1.0 if has("total:1") else prior.sum()
    n = len(counts) if has("n:topics") else counts.sum()
    above = 0.0 if has("whole:below") or has("whole:none") else log_gamma(total + one)
    below = 0.0 if has("whole:above") or has("whole:none") else log_gamma(n + total + one)
    whole = below - above if has("whole:inverted") else above - below
    own = log_gamma(prior + one)
    each = log_gamma(counts + prior + one) - (0.0 if has("each:no prior") else own)
    if has("each:inverted"):
        each = -each
    if has("constants"):
        whole, each = whole - above, each + own
    value = whole + each if has("out:each") else whole + float(np.sum(each))
    if has("out:exp"):
        value = np.exp(value)
    value = value / (np.log(2) if has("base:2") else np.log(10) if has("base:10") else 1)
    return -value if has("sign") else value


def _equation_2(counts: IntArray, prior: FloatArray) -> float:
    whole = gammaln(prior.sum()) - gammaln(counts.sum() + prior.sum())
    return float(whole + np.sum(gammaln(counts + prior) - gammaln(prior)))


def _log_of_gamma(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.log(gamma(x))


def _of_any_order(counts: IntArray, prior: FloatArray) -> float:
    orders = gammaln(counts.sum() + 1) - np.sum(gammaln(counts + 1))
    return float(_log_sequence_probability(counts, prior) + orders)


def _from_shares(shares: FloatArray, counts: IntArray) -> float:
    return float(np.sum(counts * np.log(shares)))


def _corpus(rng: np.random.Generator) -> Inputs:
    """Draw a corpus in which documents and terms repeat, with alpha unlike beta, and V beta far from beta."""
    n_topics, n_terms, size = 4, int(rng.integers(6, 9)), 60
    documents, terms, topics = rng.integers(0, (5, n_terms, n_topics), size=(size, 3)).T
    alpha, beta = rng.uniform(0.6, 1.4), rng.uniform(0.1, 0.4)
    return documents, terms, topics, int(rng.integers(10, size)), n_topics, n_terms, float(alpha), float(beta)


def _topic_conditional(
    documents: IntArray,
    terms: IntArray,
    topics: IntArray,
    i: int,
    n_topics: int,
    n_terms: int,
    alpha: float,
    beta: float,
    /,
    **slips: Any,
) -> Any:
    """Compute equation (5)."""
    has = made(slips)
    if has("priors"):
        alpha, beta = beta, alpha

    def counted(which: Any, name: str) -> FloatArray:
        others = (np.arange(len(topics)) != i) | has("own:all") | has(f"own:{name}")
        if has("own:before"):
            others = np.arange(len(topics)) < i
        if has("own:topic") and name != "document":
            others[i] = True
        return np.bincount(topics[others & which], minlength=n_topics).astype(float)

    same_document = documents == (i if has("index:document") else documents[i])
    same_term = terms == (i if has("index:term") else terms[i])
    if has("index:both"):
        same_term = same_term & same_document
    anywhere = np.ones(len(topics), dtype=bool)
    in_document = counted(anywhere if has("index:corpus") else same_document, "document")
    of_term = counted(same_term, "term")
    totals = counted(same_document if has("below:document") else anywhere, "totals")
    times = {"beta": 1, "topics": n_topics, "no prior": 0, "tokens": len(topics)}
    total = totals + beta * times.get(slips.get("below", ""), n_terms)
    if has("below:alpha"):
        total = totals + n_topics * alpha
    document = in_document + (0.0 if has("alpha") else alpha)
    topic = of_term + (0.0 if has("beta") else beta)
    topic = topic * total if has("below:multiplied") else topic if has("below:none") else topic / total
    if has("factors:document"):
        weights = document
    elif has("factors:topic"):
        weights = topic
    else:
        weights = document + topic if has("factors:added") else document * topic
    if has("out:softmax"):
        return np.exp(weights) / np.exp(weights).sum()
    return weights if has("out:not normalised") else weights / weights.sum()


def _equation_5(
    documents: IntArray,
    terms: IntArray,
    topics: IntArray,
    i: int,
    n_topics: int,
    n_terms: int,
    alpha: float,
    beta: float,
) -> FloatArray:
    others = np.arange(len(topics)) != i
    in_document = np.bincount(topics[others & (documents == documents[i])], minlength=n_topics)
    of_term = np.bincount(topics[others & (terms == terms[i])], minlength=n_topics)
    totals = np.bincount(topics[others], minlength=n_topics)
    weights = (in_document + alpha) * (of_term + beta) / (totals + n_terms * beta)
    return np.asarray(weights / weights.sum())


def _without_minlength(  # type: ignore[no-untyped-def]
    documents, terms, topics, i, n_topics, n_terms, alpha, beta
):
    others = np.arange(len(topics)) != i
    in_document = np.bincount(topics[others & (documents == documents[i])])
    of_term = np.bincount(topics[others & (terms == terms[i])])
    weights = (in_document + alpha) * (of_term + beta) / (np.bincount(topics[others]) + n_terms * beta)
    return weights / weights.sum()


def _small_corpora() -> dict[str, Inputs]:
    """Return corpora where the last topics are not used, or only by token i, or where token i stands alone."""
    documents = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    terms = np.array([0, 1, 1, 0, 2, 1, 0, 3])
    last_unused, own_topic = np.array([2, 0, 2, 1, 2, 0, 2, 1]), np.array([0, 1, 0, 3, 1, 0, 1, 1])
    both = np.array([0, 1])
    return {
        "a last topic that no token has": (documents, terms, last_unused, 0, 4, 5, 0.9, 0.2),
        "a topic that only token i has": (documents, terms, own_topic, 3, 4, 4, 0.3, 1.5),
        "a term that occurs once": (documents, terms, np.array([0, 1, 0, 2, 1, 0, 1, 2]), 7, 3, 6, 2.0, 0.1),
        "two tokens": (both, both, np.array([1, 1]), 0, 2, 2, 1.0, 0.5),
    }


def _states(n_topics: int, n_tokens: int) -> IntArray:
    return np.array(list(itertools.product(range(n_topics), repeat=n_tokens)))


def _states_and_joints(rng: np.random.Generator) -> Inputs:
    """Return all assignments of three tokens to three topics, in random order, with random joints."""
    states = rng.permutation(_states(3, 3))
    return states, rng.uniform(-6, -1, size=len(states)), int(rng.integers(3))


def _resampling_matrix(states: IntArray, log_joints: FloatArray, i: int, /, **slips: Any) -> Any:
    has = made(slips)
    if has("token:0"):
        i = 0
    if has("token:last"):
        i = states.shape[1] - 1
    others = np.delete(states, i, axis=1)
    alike = np.asarray((others[:, None] == others[None]).all(axis=2))
    if has("alike:any"):
        alike = np.ones_like(alike)
    if has("alike:some"):
        alike = np.asarray((others[:, None] == others[None]).any(axis=2))
    if has("alike:own"):
        alike = states[:, None, i] == states[None, :, i]
    if has("alike:distance"):
        alike = np.asarray((states[:, None] != states[None]).sum(axis=2) <= 1)
    if has("stay"):
        alike = alike & ~np.eye(len(states), dtype=bool)
    joints = np.exp(log_joints)
    joints = {"log": log_joints, "inverse": 1 / joints}.get(slips.get("p", ""), joints)
    weights = alike * (1.0 if has("p:flat") else joints)
    if has("ratio"):
        weights = alike * joints / (joints + joints[:, None])
    if has("zeros"):
        weights = np.exp(np.where(alike, log_joints, 0.0))
    if has("sum:all") or has("sum:matrix"):
        weights = weights / (joints.sum() if has("sum:all") else weights.sum())
    elif not has("sum:none"):
        weights = weights / weights.sum(axis=1, keepdims=True)
    return weights.T if has("transposed") else np.log(weights) if has("logs") else weights


_THREE = np.array([[2, 0], [0, 0], [0, 1], [1, 2], [1, 0], [2, 2], [0, 2], [1, 1], [2, 1]])
_JOINTS = np.array([-1.5, -4.0, -2.0, -0.5, -3.0, -2.5, -1.0, -5.0, -3.5])

EXERCISES = (
    Exercise(
        name="log_sequence_probability",
        reference=_equation_2,
        edge_cases={
            "three topics": (np.array([2, 0, 1]), np.array([0.5, 1.5, 2.0])),
            "an empty sequence": (np.array([0, 0]), np.array([0.3, 0.7])),
            "a single topic": (np.array([4]), np.array([0.8])),
            "a prior that is the same for all topics": (np.array([1, 3, 2, 0]), np.full(4, 0.1)),
            "a long sequence": (np.array([700, 0, 1_300]), np.array([0.2, 0.4, 0.6])),
        },
        inputs=_counts_and_prior,
        hints=(
            "Take the logarithm of (2) factor by factor: products become sums, fractions become differences.",
            "There are four kinds of Γ: of the sum of the prior, of n plus that sum, and inside the "
            "product, for each topic, of count plus prior and of the prior.",
            "Add `gammaln(prior.sum()) - gammaln(counts.sum() + prior.sum())` to the sum over topics of "
            "`gammaln(counts + prior) - gammaln(prior)`.",
        ),
        variant=_log_sequence_probability,
        slips=named(
            {
                "whole:none": "The first fraction of equation (2) is missing: the gamma functions of the "
                "sums, over all topics, of prior and of counts plus prior.",
                "whole:below": "Γ(Σ α), above the line in the first fraction of (2), is missing.",
                "whole:above": "Γ(n + Σ α), below the line in the first fraction of (2), is missing.",
                "whole:inverted": "The first fraction of (2) is upside down: Γ(Σ α) is above the line, "
                "Γ(n + Σ α) below.",
                "constants": "The gamma functions of the prior alone are missing: they come from the "
                "density (1), and without them the probabilities do not sum to 1.",
                "each:no prior": "Inside the product, Γ(α) of each topic is missing below the line.",
                "each:inverted": "The fraction inside the product is upside down: Γ(n_k + α_k) is above "
                "the line.",
                "total:first": "You take the first entry of the prior times K for the sum. The entries "
                "may differ: `prior.sum()`.",
                "total:1": "You take the sum of the prior to be 1. It need not be: `prior.sum()`.",
                "n:topics": "You take the number of topics for n, but n is the length of the sequence, "
                "`counts.sum()`.",
                "factorial": "Your gamma functions are all of a number one too large. Γ(n) is (n − 1)!, "
                "but (2) has Γ and no factorials: put in what stands there, without + 1.",
                "overflow": "Your numbers overflow at counts of a few hundred, because Γ itself is "
                "computed before its logarithm. `gammaln` gives the logarithm directly.",
                "out:each": "You return a value for each topic. The product over k becomes a *sum*: one "
                "number.",
                "out:exp": "That is the probability itself. Its logarithm is asked for, since the "
                "probability of a long sequence is too small for a float.",
                "base:2": "Your logarithm is to the base 2; it should be the natural one.",
                "base:10": "Your logarithm is to the base 10; it should be the natural one.",
                "sign": "The sign is wrong: this is minus the logarithm of the probability.",
            }
        ),
        misconceptions={
            _of_any_order: "You give the probability of these counts in *any* order, with a multinomial "
            "coefficient. Here it is one sequence: leave the coefficient out.",
            lambda counts, prior: _from_shares(
                (counts + prior) / (counts.sum() + prior.sum()), counts
            ): "You "
            "estimate the shares and put them in. Equation (2) is an average over all shares; no single "
            "vector of shares stands for it.",
            lambda counts, prior: _from_shares(
                prior / prior.sum(), counts
            ): "You use the mean of the prior as if "
            "it were the shares. Then the tokens would be independent; in (2) each makes the next of its "
            "topic more likely.",
            lambda counts, prior: float(
                np.log(_log_sequence_probability(counts, prior, out="exp"))
            ): "You take "
            "the logarithm at the end, of a probability that is rounded to 0 for long sequences. Add up "
            "logarithms all along.",
        },
    ),
    Exercise(
        name="topic_conditional",
        points=2,
        reference=_equation_5,
        edge_cases=_small_corpora,
        inputs=_corpus,
        hints=(
            "Three counts are needed for each topic, all without token i: in its document, of its term, and "
            "of the topic altogether.",
            "`others = np.arange(len(topics)) != i` leaves token i out. Combine it by `&` with `documents "
            "== documents[i]` and with `terms == terms[i]`, and count the topics of what is left by "
            "`np.bincount`.",
            "The weights are `(in_document + alpha) * (of_term + beta) / (totals + n_terms * beta)`; divide "
            "them by their sum.",
        ),
        misconceptions={
            _without_minlength: "Where the last topics do not occur among the tokens that are counted, `np.bincount` "
            "gives a shorter array: `minlength=n_topics` makes it as long as there are topics.",
        },
        variant=_topic_conditional,
        slips=named(
            {
                "own:all": "You count token i itself, so it votes for the topic that it already has. All "
                "counts in (5) are without it: leave it out of all three before you count.",
                "own:document": "You count token i itself in its document. Leave it out there as well.",
                "own:term": "You count token i itself in n_kw, the tokens of its term. Leave it out there "
                "as well.",
                "own:totals": "You count token i itself in n_k, below the line. Leave it out there as well.",
                "own:topic": "You leave token i out in its document only. Leave it out of n_kw and n_k as well.",
                "own:before": "You count the tokens before token i only. All others count, before it and after.",
                "priors": "You have exchanged α and β. α belongs to the topics of the document, β to the "
                "terms of the topic.",
                "below:beta": "In the denominator β stands once. A topic gives β to each of the V terms, "
                "so the total is n_k + V β.",
                "below:topics": "In the denominator you multiply β by the number of topics. A topic gives "
                "β to each *term*: multiply by `n_terms`.",
                "below:no prior": "In the denominator V β is missing: n_k + V β.",
                "below:tokens": "In the denominator you multiply β by the number of tokens. V is the "
                "number of different terms, `n_terms`.",
                "below:alpha": "In the denominator you add K α. That belongs to the document, and is left "
                "out because it is the same for all topics; here it is V β.",
                "below:document": "In the denominator you count the topics of the document only. n_k "
                "counts the tokens of topic k in *all* documents.",
                "below:none": "The denominator n_k + V β is missing. It is not the same for all topics: "
                "without it, large topics take everything.",
                "below:multiplied": "You multiply by n_k + V β. It is the denominator: divide.",
                "index:document": "You take `i` for the number of a document. It numbers the tokens; the "
                "document of token i is `documents[i]`.",
                "index:term": "You take `i` for the number of a term. It numbers the tokens; the term of "
                "token i is `terms[i]`.",
                "index:both": "You count n_kw within the document of token i. A term belongs to a topic "
                "in *all* documents.",
                "index:corpus": "The first factor counts the topics in all documents. n_dk counts those "
                "in the document of token i.",
                "alpha": "The α is missing in the first factor: a topic that the document has not used yet "
                "would get 0.",
                "beta": "The β is missing above the line: a topic that has not used the term yet would get 0.",
                "factors:document": "Only the document has a say in your result. The factor of the term, "
                "(n_kw + β) / (n_k + V β), is missing.",
                "factors:topic": "The factor of the document, n_dk + α, is missing.",
                "factors:added": "You add the two factors. Both must be large for the topic to be likely: "
                "multiply.",
                "out:softmax": "You take a softmax. The weights are already proportional to the "
                "probabilities: divide them by their sum.",
                "out:not normalised": "The proportions are right, but they do not sum to 1: divide by "
                "their sum.",
            }
        ),
    ),
    GIBBS_SWEEP,
    Exercise(
        name="resampling_matrix",
        points=3,
        reference=lambda states, log_joints, i: _resampling_matrix(states, log_joints, i),
        edge_cases={
            "two tokens, of which the first is drawn": (_THREE, _JOINTS, 0),
            "two tokens, of which the second is drawn": (_THREE, _JOINTS, 1),
            "three tokens and two topics": (_states(2, 3), np.linspace(-3.0, -0.2, 8), 1),
            "states in reverse order": (_states(2, 3)[::-1], np.linspace(-3.0, -0.2, 8) ** 2 / -4, 2),
        },
        inputs=_states_and_joints,
        hints=(
            "Which states can be reached from state a, if only token i is drawn anew? And among those, what "
            "is the probability of each proportional to?",
            "`np.delete(states, i, axis=1)` holds all other tokens. State b can be reached from a if these "
            "are equal, and its weight is `np.exp(log_joints[b])`.",
            "Make the matrix of weights `alike * np.exp(log_joints)`, where `alike[a, b]` says whether all "
            "tokens but i are equal, and divide each row by its sum (`axis=1, keepdims=True`).",
        ),
        variant=_resampling_matrix,
        slips=named(
            {
                "transposed": "The matrix is transposed: the row is the state from which the chain comes, "
                "and each row sums to 1.",
                "alike:any": "You draw the whole state anew. Only token i may change: all other entries "
                "of `states[a]` and `states[b]` must be equal.",
                "alike:own": "You hold token i fixed and draw the others anew. It is the other way round.",
                "alike:distance": "You allow any one token to change. Only token i is drawn anew; all "
                "others keep their topics.",
                "alike:some": "You let states through that agree in *some* of the other tokens. All of them must be "
                "equal: `.all(axis=…)`.",
                "zeros": "You set the logarithm to 0 for states that cannot be reached, and e⁰ = 1. Their weight is 0: "
                "set it after `np.exp`, or their logarithm to `-np.inf`.",
                "sum:matrix": "You divide by the sum of the whole matrix. Divide each row by its own sum.",
                "stay": "You do not let the chain stay where it is. The topic is drawn anew, and may turn "
                "out the same.",
                "token:0": "You always draw token 0 anew. Which token it is, `i` says.",
                "token:last": "You always draw the last token anew. Which token it is, `i` says.",
                "sum:all": "You divide by the sum over *all* states. From state a only those can be "
                "reached that differ in token i at most: divide each row by its own sum.",
                "sum:none": "The proportions are right, but the rows do not sum to 1: divide each by its "
                "sum.",
                "p:flat": "All states that can be reached are equally likely in your matrix. State b, the "
                "*column*, has a weight proportional to its joint probability, and each *row* is divided by "
                "its sum (`axis=1`).",
                "p:log": "You use the logarithms as weights. The joint probability is `np.exp(log_joints)`.",
                "p:inverse": "An unlikely state gets a large weight: there is a minus too many. The "
                "weight of state b is `np.exp(log_joints[b])`.",
                "ratio": "You compare b with a alone. Gibbs sampling draws from *all* topics of token i "
                "at once: divide by the sum over all states that can be reached.",
                "logs": "You return logarithms. Probabilities are asked for.",
            }
        ),
    ),
)
