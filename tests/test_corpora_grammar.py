from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations, islice, pairwise, product
from math import inf, isclose, log

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from scipy.optimize import linear_sum_assignment
from scipy.stats import chisquare
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import adjusted_rand_score

from minillm_lib.corpora.cleaning.repair import repair_text
from minillm_lib.corpora.grammar import Grammar, load_grammar
from minillm_lib.topics.document_term import bag_of_words
from minillm_lib.topics.gibbs_lda import GibbsLDA

LANGUAGES = ["en", "zh"]
ZOO = {
    "story": "[2] <zoo> | [1] at night <zoo> | [3] once <animal@cat>, twice <animal@owl>.",
    "zoo": "the <animal@cat> sleeps | the <animal@owl> reads page <digit>",
    "animal@cat": "[5] cat | [1] tiger",
    "animal@owl": "[1] owl | [2] eagle",
    "digit": "1 | 2 | 3",
}


def enumerate_texts(rules, *, separator=" ", depth=50):
    """All texts of ``{name: {alternative: weight}}`` with their probabilities, by multiplying everything out."""

    def texts(piece, depth):
        if not piece.startswith("<"):
            return [(piece, 1.0)]
        if depth == 0:
            return []
        alternatives = rules[piece[1:-1]]
        total = sum(weight for _, weight in alternatives)
        found = []
        for body, weight in alternatives:
            pieces = [texts(part, depth - 1) for part in re.split(r"(<[^>]+>)", body)]
            for parts in product(*pieces):
                probability = weight / total
                for _, p in parts:
                    probability *= p
                found.append(("".join(text for text, _ in parts).replace(" ", separator), probability))
        return found

    return {name: texts(f"<{name}>", depth) for name in rules}


def as_weighted(rules):
    """A second, naive reading of the notation."""
    weighted = {}
    for name, text in rules.items():
        parts = [re.fullmatch(r"\s*(?:\[(\d+)\])?\s*(.*?)\s*", part).groups() for part in text.split("|")]
        weighted[name] = [(body, int(weight or 1)) for weight, body in parts]
    return weighted


def entropy(probabilities):
    return -sum(p * log(p) for p in probabilities)


def test_the_entropy_of_a_tiny_grammar_is_that_of_its_enumerated_texts():
    grammar = Grammar(ZOO)
    texts = enumerate_texts(as_weighted(ZOO))["story"]
    assert len({text for text, _ in texts}) == len(texts) == 2 * (2 + 2 * 3) + 4
    assert isclose(sum(p for _, p in texts), 1, abs_tol=1e-12)
    assert isclose(grammar.entropy_per_document(), entropy(p for _, p in texts), abs_tol=1e-12)
    for text, p in texts:
        assert isclose(grammar.log_probability(text), log(p), abs_tol=1e-12)
    mean_bytes = sum(p * len(text.encode()) for text, p in texts)
    mean_words = sum(p * len(re.findall(r"\w+|[^\w\s]", text)) for text, p in texts)
    assert isclose(grammar.expected_bytes(), mean_bytes, abs_tol=1e-12)
    assert isclose(grammar.expected_words(), mean_words, abs_tol=1e-12)
    assert isclose(grammar.bits_per_byte() * mean_bytes * log(2), grammar.entropy_per_document())
    assert isclose(grammar.nats_per_word() * (mean_words + 1), grammar.entropy_per_document())


def test_the_topics_of_a_tiny_grammar_have_the_term_frequencies_of_its_enumerated_texts():
    grammar = Grammar(ZOO)
    assert grammar.topics == ("zoo", "at night <zoo>", "once <animal@cat>, twice <animal@owl>.")
    np.testing.assert_allclose(grammar.topic_weights, [2 / 6, 1 / 6, 3 / 6])
    counts = np.zeros((3, len(grammar.vocabulary)))
    for text, p in enumerate_texts(as_weighted(ZOO))["story"]:
        topic = grammar.topics.index(grammar.topic_of(text))
        assert grammar.terms(text) == re.findall("[a-z]+", text)
        for term, count in Counter(grammar.terms(text)).items():
            counts[topic, grammar.vocabulary.index(term)] += p * count
    np.testing.assert_allclose(grammar.topic_word(), counts / counts.sum(axis=1, keepdims=True), atol=1e-12)


def test_a_recursive_grammar_agrees_with_the_closed_form_and_the_enumeration_in_the_limit():
    """Sentences "tails … tails heads wins": the number of tails is geometric."""
    rules = {"game": "[1] heads wins | [3] tails <game>"}
    grammar = Grammar(rules)
    q = 3 / 4
    assert isclose(grammar.entropy_per_document(), -(q * log(q) + (1 - q) * log(1 - q)) / (1 - q))
    assert isclose(grammar.expected_words(), q / (1 - q) + 2)
    texts = enumerate_texts(as_weighted(rules), depth=200)["game"]
    assert isclose(grammar.entropy_per_document(), entropy(p for _, p in texts), abs_tol=1e-12)
    long = "tails " * 2_000 + "heads wins"
    assert isclose(grammar.log_probability(long), 2_000 * log(q) + log(1 - q))


@st.composite
def small_rules(draw):
    """Rules without recursion over an alphabet so small that texts often collide."""
    n_symbols = draw(st.integers(1, 4))
    rules = {}
    for number in range(n_symbols):
        pieces = st.sampled_from(
            ["a", "b", "ab", "ba"] + [f"<s{later}>" for later in range(number + 1, n_symbols)]
        )
        body = st.lists(pieces, min_size=1, max_size=3).map(" ".join)
        weighted = st.tuples(body, st.integers(1, 5))
        rules[f"s{number}"] = draw(st.lists(weighted, min_size=1, max_size=3))
    used, waiting = set(), ["s0"]
    while waiting:
        name = waiting.pop()
        used.add(name)
        waiting += re.findall(r"<(s\d)>", " ".join(body for body, _ in rules[name]))
    return {name: rules[name] for name in rules if name in used}


@given(small_rules(), st.sampled_from(["", " "]))
def test_a_grammar_is_accepted_exactly_if_no_alternatives_text_begins_anothers(rules, separator):
    """The check reads rules side by side; here every text of every alternative is written out and compared."""
    texts = enumerate_texts(rules, separator=separator)
    assume(sum(map(len, texts.values())) < 2_000)
    overlap = False
    for name, alternatives in rules.items():
        one_by_one = [
            [text for text, _ in enumerate_texts({**rules, name: [alternative]}, separator=separator)[name]]
            for alternative in alternatives
        ]
        overlap |= any(
            s.startswith(t) or t.startswith(s)
            for one, other in combinations(one_by_one, 2)
            for s, t in product(one, other)
        )
    written = {name: " | ".join(f"[{w}] {body}" for body, w in rule) for name, rule in rules.items()}
    if overlap:
        with pytest.raises(ValueError, match="no text of one may be a prefix of a text of the other"):
            Grammar(written, separator=separator)
        return
    grammar = Grammar(written, separator=separator)
    all_texts = texts["s0"]
    assert not any(one == other for one, other in pairwise(sorted(text for text, _ in all_texts)))
    assert isclose(sum(p for _, p in all_texts), 1, abs_tol=1e-12)
    assert isclose(grammar.entropy_per_document(), entropy(p for _, p in all_texts), abs_tol=1e-12)
    assert all(isclose(grammar.log_probability(text), log(p), abs_tol=1e-12) for text, p in all_texts)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "no rules"),
        ({"s": "a <t>"}, "the rule of <s> refers to <t>, which has no rule"),
        ({"s": "a", "t": "b"}, "<t> has a rule, but <s> never leads to it"),
        ({"s": "a | | b"}, "an alternative of <s> is empty"),
        ({"s": "[2] a | [0] b"}, r"the weight \[0\] of ' \[0\] b' in <s> is not a positive whole number"),
        ({"s": "[-1] a"}, r"the weight \[-1\]"),
        ({"s": "[0.5] a"}, r"the weight \[0.5\]"),
        ({"s": "a < b"}, "lone angle bracket"),
        ({"s": "<s> a | b"}, "left recursion: .*<s>"),
        ({"s": "<t> a | b", "t": "<s> c | d"}, "left recursion: .*<s>, <t>"),
        ({"s": "a <s>"}, "expected length of <s> is infinite"),
        ({"s": "[1] a | [1] b <s> <s>"}, "expected length of <s> is infinite"),
        ({"s": "x <t>", "t": "[1] a | [9] b <u>", "u": "[9] c <t> <t> | d"}, "is infinite"),
        ({"s": "a | a"}, "'a' and 'a' of <s> both allow 'a'"),
        ({"s": "neural network | neural networks"}, "both allow 'neural network'"),
        ({"s": "<t> b | a b", "t": "a | c"}, "both allow 'a b'"),
        (
            {"s": "<t> x | <u> y", "t": "[3] c | d <t> e", "u": "[3] c | d <u> f"},
            "cannot tell whether every text has one derivation",
        ),
    ],
)
def test_a_malformed_grammar_is_refused_by_name(rules, message):
    with pytest.raises(ValueError, match=message):
        Grammar(rules)


def test_text_that_the_grammar_cannot_write_has_probability_zero():
    grammar = Grammar(ZOO)
    assert grammar.log_probability("the cat sleeps") > -inf
    for text in [
        "",
        "the cat",
        "the cat sleeps.",
        "the cat sleeps ",
        "The cat sleeps",
        "the owl reads page 4",
    ]:
        assert grammar.log_probability(text) == -inf
    with pytest.raises(ValueError, match="after 'the owl reads page ' it cannot continue with '4'"):
        grammar.terms("the owl reads page 4")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_shipped_entropy_is_the_mean_surprise_of_what_is_written(language):
    """A z-test each of −log p (read back from the text), of bytes and of words against the exact expectations."""
    grammar = load_grammar(language)
    texts = [document.text for document in grammar.generate(4_000, seed=11)]
    surprise = [-grammar.log_probability(text) for text in texts]
    n_bytes = [len(text.encode()) for text in texts]
    expected = [(surprise, grammar.entropy_per_document()), (n_bytes, grammar.expected_bytes())]
    if language == "en":
        n_words = [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]
        expected.append((n_words, grammar.expected_words()))
    for sample, exact in expected:
        z = (np.mean(sample) - exact) / (np.std(sample, ddof=1) / np.sqrt(len(sample)))
        assert abs(z) < 4


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_shipped_text_has_one_derivation(language):
    """Beside the proof by rules: all parses of a text are counted by an independent chart over its substrings."""
    grammar = load_grammar(language)

    def count_parses(text):
        counts = {}

        def ends(symbol, position):
            """End positions of the symbol's texts from a position on, each with its number of derivations."""
            if (symbol, position) not in counts:
                total = Counter()
                for alternative in grammar.rules[symbol]:
                    reached = Counter({position: 1})
                    for piece in alternative.pieces:
                        step = Counter()
                        for at, n in reached.items():
                            if piece in grammar.rules:
                                for end, m in ends(piece, at).items():
                                    step[end] += n * m
                            elif text.startswith(piece, at):
                                step[at + len(piece)] += n
                        reached = step
                    total += reached
                counts[symbol, position] = total
            return counts[symbol, position]

        return ends(grammar.start, 0)

    for document in grammar.generate(200, seed=5):
        assert count_parses(document.text) == {len(document.text): 1}
        assert isclose(grammar.log_probability(document.text), document.meta["log_probability"])
        assert grammar.topic_of(document.text) == document.meta["topic"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_topics_and_their_terms_occur_as_often_as_they_should(language):
    grammar = load_grammar(language)
    documents = list(grammar.generate(3_000, seed=3))
    assert len(grammar.topics) == 10
    np.testing.assert_allclose(grammar.topic_word().sum(axis=1), 1)
    shared = (grammar.topic_word() > 0).all(axis=0)
    assert (grammar.topic_word()[:, shared].sum(axis=1) > 0.5).all()
    drawn = Counter(document.meta["topic"] for document in documents)
    observed = [drawn[topic] for topic in grammar.topics]
    assert chisquare(observed, grammar.topic_weights * len(documents)).pvalue > 1e-4
    counter = CountVectorizer(analyzer=grammar.terms, vocabulary=list(grammar.vocabulary))
    counts = counter.transform([document.text for document in documents])
    for number, topic in enumerate(grammar.topics):
        rows = [row for row, document in enumerate(documents) if document.meta["topic"] == topic]
        totals = np.asarray(counts[rows].sum(axis=0)).ravel()
        distance = np.abs(totals / totals.sum() - grammar.topic_word()[number]).sum() / 2
        assert distance < 0.06


def test_the_terms_are_the_words_that_one_reads():
    english, chinese = load_grammar("en"), load_grammar("zh")
    for document in english.generate(50, seed=1):
        assert english.terms(document.text) == re.findall("[a-z]+", document.text.lower())
    for document in chinese.generate(50, seed=1):
        assert " " not in document.text
        assert "".join(chinese.terms(document.text)) == re.sub(r"[\d\W]", "", document.text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_cleaning_finds_nothing_to_repair(language):
    for document in load_grammar(language).generate(50):
        assert repair_text(document.text) == document.text


def test_lda_recovers_the_ten_topics():
    """From the texts alone: which abstracts belong together, and each topic's distribution over the terms."""
    grammar = load_grammar("en")
    documents = list(grammar.generate(1_000, seed=0))
    # The largest topic has 14 % of the documents: a term in more than 15 % of them is of no topic.
    bag = bag_of_words(documents, lemmatize=False, phrases=False, deduplicate=False, max_df=0.15)
    # A single chain mostly gets stuck with two small topics in one, and shared phrases as the tenth.
    lda = GibbsLDA(n_topics=10, n_sweeps=200, alpha=0.1, beta=0.1, n_chains=8, random_state=0).fit(bag.counts)
    topics = [meta["topic"] for meta in bag.meta]
    assert adjusted_rand_score(topics, lda.doc_topic_.argmax(axis=1)) > 0.95

    columns = [grammar.vocabulary.index(term) for term in bag.vocabulary]
    truth = grammar.topic_word()[:, columns]
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (truth, lda.topic_word_)]
    cosine = unit[0] @ unit[1].T
    matched = cosine[linear_sum_assignment(-cosine)]
    assert matched.min() > 0.85
    assert matched.mean() > 0.95


def test_a_document_depends_on_the_seed_and_its_number_only():
    grammar = load_grammar("zh")
    ten = list(grammar.generate(10, seed=7))
    assert list(islice(grammar.generate(10**9, seed=7), 10)) == ten
    assert list(grammar.generate(3, seed=7)) == ten[:3]
    assert list(grammar.generate(10, seed=8)) != ten
    assert list(grammar.generate(0)) == []
    with pytest.raises(ValueError, match="n is -1"):
        next(grammar.generate(-1))


def test_two_processes_write_the_same_bytes():
    code = (
        "import hashlib; from minillm_lib.corpora.grammar import load_grammar\n"
        "for language in ('en', 'zh'):\n"
        "    grammar = load_grammar(language)\n"
        "    text = repr([*grammar.generate(300, seed=9), grammar.vocabulary, grammar.topics])\n"
        "    print(hashlib.sha256(text.encode()).hexdigest())\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(printed) == 1
    assert len(set(printed.pop().split())) == 2


def test_the_two_languages_say_the_same_in_as_many_nats_and_different_bytes():
    english, chinese = load_grammar("en"), load_grammar("zh")
    assert isclose(english.entropy_per_document(), chinese.entropy_per_document())
    assert chinese.expected_bytes() < english.expected_bytes()
    assert chinese.bits_per_byte() > english.bits_per_byte()


def test_only_two_languages_are_shipped():
    with pytest.raises(ValueError, match="language is 'fr'; allowed are 'en' and 'zh'"):
        load_grammar("fr")
