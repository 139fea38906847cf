"""Abstracts written by a probabilistic context-free grammar whose entropy is known exactly.

The entropy of a text source is the floor that no language model can pass, but of natural text nobody knows it. Here
the source is a grammar: a symbol is replaced by one of its alternatives, drawn by weight, until only words are left.

**Why the entropy is exact.** The entropy of the *derivation* (all the draws together) is a sum over the rules. It is
the entropy of the *text* if every text has one derivation only. :class:`Grammar` demands a little more, which can be
checked: for any two alternatives of a symbol, no text of one is equal to, or a beginning of, a text of the other. Then
one derivation follows from the text, read from the left. For suppose that two derivations of a symbol gave texts of
which one begins the other, and take the two with the fewest draws in all. If they start with the same alternative,
some piece of it is the first that they derive differently, and there already one text begins the other: two
derivations with fewer draws, against the choice. If they start with different alternatives, the check has found them.

The alternatives of the first symbol are the *topics*: the text tells its topic as well, and each topic's distribution
over terms, the ground truth for topic models, is as exact as the entropy.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, combinations
from math import inf, log
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minillm_lib.corpora import grammar_rules
from minillm_lib.corpora.document import Document

FloatArray = npt.NDArray[np.float64]

_PIECE = re.compile(r"<[^<>]*>|\s+|\w+|[^\w\s]")
_WEIGHT = re.compile(r"\s*\[([^\]]*)\]")
# Two alternatives of the shipped grammars need less than 200; rules that nest without end would need ever more.
_MOST_PAIRS = 2_000


@dataclass(frozen=True)
class Alternative:
    """One right-hand side of a rule: its weight, its probability, and its pieces (words, spaces, ``<symbols>``)."""

    weight: int
    probability: float
    pieces: tuple[str, ...]


class Grammar:
    """A probabilistic context-free grammar in which every text has exactly one derivation.

    Parameters
    ----------
    rules
        For each symbol its alternatives, separated by ``|``. ``<name>`` stands for a symbol, and ``[3]`` in
        front of an alternative is its weight, a whole number (1 where none is given). The first symbol is the
        start, and its alternatives are the topics.
    separator
        What is written for white space in an alternative: ``" "``, or ``""`` for a language that is
        written without spaces; there a space in a rule shows where a word ends.
    language
        Noted in each document's ``meta``.

    Attributes
    ----------
    start
        The start symbol.
    rules
        The :class:`Alternative` list of each symbol, such as ``rules["<document>"]``.
    topics
        ``(n_topics,)`` names: what follows ``@`` in a start alternative such as ``<abstract@vision>``, or the
        alternative as it is written.
    topic_weights
        ``(n_topics,)`` probabilities of the topics.
    vocabulary
        The terms in alphabetical order: words with a letter in them, in lower case.

    Raises
    ------
    ValueError
        For a weight that is no positive whole number, an empty alternative, a symbol that is undefined or
        out of reach, a rule that leads back to itself before any word, rules whose expected length is infinite,
        and two alternatives of a symbol with texts of which one begins the other.

    >>> coin = Grammar({"game": "[1] heads wins | [3] tails <game>"})
    >>> coin.log_probability("tails tails heads wins") == log(3 / 4 * 3 / 4 * 1 / 4)
    True
    >>> round(coin.entropy_per_document(), 4), coin.expected_words()
    (2.2493, 5.0)
    """

    def __init__(self, rules: Mapping[str, str], *, separator: str = " ", language: str = "") -> None:
        if not rules:
            raise ValueError("no rules: a grammar needs at least one")
        self.separator = separator
        self.language = language
        self.rules = {f"<{name}>": _read_rule(name, text, separator) for name, text in rules.items()}
        self.start = next(iter(self.rules))
        self._check_references()
        self._check_left_recursion()
        self._check_length()
        self._check_unambiguous()
        self.topics = tuple(_topic_name(alternative.pieces) for alternative in self.rules[self.start])
        self.topic_weights = np.array([topic.probability for topic in self.rules[self.start]])
        self.vocabulary = tuple(
            sorted({term for a in self._alternatives() for term in self._terms(a.pieces)})
        )

    def __repr__(self) -> str:
        return f"Grammar({len(self.rules)} rules, {len(self.topics)} topics, {len(self.vocabulary)} terms)"

    def generate(self, n: int, seed: int = 0) -> Iterator[Document]:
        """Write ``n`` documents.

        Document ``i`` depends on the seed and on ``i`` only, and is the same on every machine: Python guarantees the
        sequence of ``random.Random.random``. ``meta`` gives ``topic``, ``language`` and ``log_probability`` (nats).
        """
        if n < 0:
            raise ValueError(f"n is {n}; allowed is 0 or more")
        for index in range(n):
            text, chosen = self._write(random.Random(f"{seed} {index}"))
            meta = {
                "topic": self._topic(chosen),
                "language": self.language,
                "log_probability": _log_probability(chosen),
            }
            yield Document(text, source="grammar", meta=meta)

    def derivation(self, text: str) -> list[Alternative]:
        """The alternatives that were drawn to write a text, in the order of a derivation from the left.

        Raises
        ------
        ValueError
            If the grammar cannot write the text; the message shows where it departs.
        """
        furthest = 0
        # To be tried: a position in the text, the pieces that must follow there, and the alternatives that led there.
        trials: list[tuple[int, tuple[str, ...], tuple[Alternative, ...]]] = [(0, (self.start,), ())]
        while trials:
            position, pieces, chosen = trials.pop()
            while pieces and pieces[0] not in self.rules and text.startswith(pieces[0], position):
                position, pieces = position + len(pieces[0]), pieces[1:]
            furthest = max(furthest, position)
            if not pieces and position == len(text):
                return list(chosen)
            if pieces and pieces[0] in self.rules:
                for alternative in self.rules[pieces[0]]:
                    trials.append((position, alternative.pieces + pieces[1:], (*chosen, alternative)))
        before, after = text[max(0, furthest - 30) : furthest], text[furthest : furthest + 20]
        raise ValueError(f"not a text of this grammar: after {before!r} it cannot go on with {after!r}")

    def log_probability(self, text: str) -> float:
        """Natural logarithm of the probability of a text, ``-inf`` if the grammar cannot write it."""
        try:
            return _log_probability(self.derivation(text))
        except ValueError:
            return -inf

    def topic_of(self, text: str) -> str:
        """The topic that a text was written from (a ValueError if the grammar cannot write it)."""
        return self._topic(self.derivation(text))

    def terms(self, text: str) -> list[str]:
        """The terms of a text in order, also of one written without spaces (a ValueError as in ``derivation``).

        ``CountVectorizer(analyzer=grammar.terms)`` of scikit-learn makes a document–term matrix of them.
        """
        chosen = iter(self.derivation(text))
        return self._terms(self._expand(lambda symbol: next(chosen)))

    def expectation(self, value: Callable[[Alternative], Any]) -> dict[str, Any]:
        """Expected sum of ``value`` (a number or a vector) over the alternatives drawn, from each symbol on.

        It solves, over all symbols at once, the recursion that linearity of expectation gives::

            E[symbol] = Σ over its alternatives of p(alternative) · (value(alternative) + Σ E[symbols in it])
        """
        own = [sum(a.probability * np.asarray(value(a)) for a in rule) for rule in self.rules.values()]
        solution = np.linalg.solve(
            np.eye(len(self.rules)) - self._expected_symbols(), np.array(own, dtype=float)
        )
        return dict(zip(self.rules, solution, strict=True))

    def entropy_per_document(self) -> float:
        """Entropy of a document's text in nats: the expected sum of ``−log p`` over the draws.

        It is also the entropy of the text as token ids of any tokenizer that encodes each text in one way: divided by
        the mean number of tokens of a document, its end token included, it is the floor of the loss a token.
        """
        return float(self.expectation(lambda alternative: -log(alternative.probability))[self.start])

    def expected_words(self) -> float:
        """Expected length of a document in words, numbers and punctuation marks, each of which counts as one."""
        return float(self.expectation(lambda alternative: len(self._words(alternative.pieces)))[self.start])

    def expected_bytes(self) -> float:
        """Expected length of a document in UTF-8 bytes."""
        terminals = self.expectation(
            lambda alternative: len("".join(self._terminals(alternative.pieces)).encode())
        )
        return float(terminals[self.start])

    def nats_per_word(self) -> float:
        """Floor of the loss in nats a token for a model over the grammar's own words, with one end token a document.

        The end token takes part in the division only: as no text begins another, the end is never in doubt.
        """
        return self.entropy_per_document() / (self.expected_words() + 1)

    def bits_per_byte(self) -> float:
        """Floor in bits a byte of UTF-8, the measure that does not depend on the tokenizer."""
        return self.entropy_per_document() / log(2) / self.expected_bytes()

    def topic_word(self) -> FloatArray:
        """Each topic's distribution over the vocabulary, ``(n_topics, n_terms)``: expected counts, normalised."""
        column = {term: number for number, term in enumerate(self.vocabulary)}

        def counts(alternative: Alternative) -> FloatArray:
            vector = np.zeros(len(column))
            for term in self._terms(alternative.pieces):
                vector[column[term]] += 1
            return vector

        below = self.expectation(counts)
        topics = [
            counts(topic) + sum(below[piece] for piece in topic.pieces if piece in self.rules)
            for topic in self.rules[self.start]
        ]
        return np.array([topic / topic.sum() for topic in topics])

    def _write(self, generator: random.Random) -> tuple[str, list[Alternative]]:
        chosen = []

        def choose(symbol: str) -> Alternative:
            edges = list(accumulate(alternative.weight for alternative in self.rules[symbol]))
            drawn = bisect_right(edges, int(generator.random() * edges[-1]))
            chosen.append(self.rules[symbol][drawn])
            return chosen[-1]

        return "".join(self._expand(choose)), chosen

    def _expand(self, choose: Callable[[str], Alternative]) -> Iterator[str]:
        waiting = [self.start]
        while waiting:
            piece = waiting.pop()
            if piece in self.rules:
                waiting.extend(reversed(choose(piece).pieces))
            else:
                yield piece

    def _topic(self, chosen: list[Alternative]) -> str:
        return self.topics[self.rules[self.start].index(chosen[0])]

    def _alternatives(self) -> Iterator[Alternative]:
        return (alternative for rule in self.rules.values() for alternative in rule)

    def _terminals(self, pieces: Iterable[str]) -> list[str]:
        return [piece for piece in pieces if piece not in self.rules]

    def _words(self, pieces: Iterable[str]) -> list[str]:
        return [piece for piece in self._terminals(pieces) if piece != self.separator]

    def _terms(self, pieces: Iterable[str]) -> list[str]:
        return [word.lower() for word in self._words(pieces) if any(map(str.isalpha, word))]

    def _expected_symbols(self) -> FloatArray:
        """``(n_symbols, n_symbols)``: how many of each symbol (column) replace a symbol (row) in one step."""
        index = {symbol: number for number, symbol in enumerate(self.rules)}
        matrix = np.zeros((len(index), len(index)))
        for symbol, rule in self.rules.items():
            for alternative in rule:
                for piece in alternative.pieces:
                    if piece in index:
                        matrix[index[symbol], index[piece]] += alternative.probability
        return matrix

    def _check_references(self) -> None:
        reached, waiting = {self.start}, [self.start]
        while waiting:
            symbol = waiting.pop()
            for piece in (piece for alternative in self.rules[symbol] for piece in alternative.pieces):
                if piece.startswith("<") and piece not in self.rules:
                    raise ValueError(f"the rule of {symbol} refers to {piece}, which has no rule")
                if piece in self.rules and piece not in reached:
                    reached.add(piece)
                    waiting.append(piece)
        if idle := self.rules.keys() - reached:
            raise ValueError(f"{min(idle)} has a rule, but {self.start} never leads to it")

    def _check_left_recursion(self) -> None:
        """Of pieces none is empty, so only first pieces can lead back to a symbol before any word is written."""
        follows = {
            symbol: {a.pieces[0] for a in rule} & self.rules.keys() for symbol, rule in self.rules.items()
        }
        while follows:
            last = [symbol for symbol, firsts in follows.items() if not firsts & follows.keys()]
            if not last:
                raise ValueError(
                    f"left recursion: a text of {min(follows)} would begin with a symbol that leads back to itself; "
                    f"symbols concerned: {', '.join(sorted(follows))}"
                )
            follows = {symbol: firsts for symbol, firsts in follows.items() if symbol not in last}

    def _check_length(self) -> None:
        """The expected numbers of symbols after 0, 1, 2, … steps have a finite sum iff all eigenvalues are below 1."""
        values, vectors = np.linalg.eig(self._expected_symbols())
        largest = int(np.argmax(np.abs(values)))
        if abs(values[largest]) > 1 - 1e-9:
            symbol = list(self.rules)[int(np.argmax(np.abs(vectors[:, largest])))]
            raise ValueError(
                f"the expected length of {symbol} is infinite: each round replaces its symbols by "
                f"{abs(values[largest]):.3g} times as many; give more weight to alternatives that end"
            )

    def _check_unambiguous(self) -> None:
        for symbol, rule in self.rules.items():
            for one, other in combinations(rule, 2):
                shared = self._shared_text(one.pieces, other.pieces)
                if shared is not None:
                    raise ValueError(
                        f"the alternatives {''.join(one.pieces)!r} and {''.join(other.pieces)!r} of {symbol} "
                        f"both allow {shared!r}, which ends one of them: no text of one may begin a text of the other"
                    )

    def _shared_text(self, one: tuple[str, ...], other: tuple[str, ...]) -> str | None:
        """A text of one sequence of pieces that is, or begins, a text of the other; ``None`` if there is none.

        Both are read side by side. The same piece on both sides is passed over as a whole: by the argument at the top
        of this module, a symbol cannot be read there in two ways.
        """
        seen: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
        waiting = [(one, other, "")]
        while waiting:
            one, other, read = waiting.pop()
            while one and other and one[0] == other[0]:
                one, other, read = one[1:], other[1:], read + one[0]
            if not one or not other:
                return read
            if (one, other) in seen:
                continue
            seen.add((one, other))
            if len(seen) > _MOST_PAIRS:
                raise ValueError(
                    f"cannot tell whether every text has one derivation: {_MOST_PAIRS:,} pairs of beginnings such as "
                    f"{read[:60]!r} are alike; let alternatives differ in their first words"
                )
            if one[0] in self.rules:
                waiting.extend((a.pieces + one[1:], other, read) for a in self.rules[one[0]])
            elif other[0] in self.rules:
                waiting.extend((one, a.pieces + other[1:], read) for a in self.rules[other[0]])
            elif one[0].startswith(other[0]):
                waiting.append(((one[0][len(other[0]) :], *one[1:]), other[1:], read + other[0]))
            elif other[0].startswith(one[0]):
                waiting.append((one[1:], (other[0][len(one[0]) :], *other[1:]), read + one[0]))
        return None


def _topic_name(pieces: tuple[str, ...]) -> str:
    return pieces[0].strip("<>").rpartition("@")[2] if len(pieces) == 1 else "".join(pieces)


def _log_probability(chosen: list[Alternative]) -> float:
    return sum(log(alternative.probability) for alternative in chosen)


def _read_rule(name: str, text: str, separator: str) -> list[Alternative]:
    read: list[tuple[int, tuple[str, ...]]] = []
    for alternative in text.split("|"):
        found = _WEIGHT.match(alternative)
        weight = found[1] if found else "1"
        if not (weight.isascii() and weight.isdigit() and int(weight) > 0):
            raise ValueError(
                f"the weight [{weight}] of {alternative!r} in <{name}> is no whole number above 0"
            )
        body = alternative[found.end() :] if found else alternative
        pieces = tuple(separator if piece.isspace() else piece for piece in _PIECE.findall(body.strip()))
        pieces = tuple(filter(None, pieces))
        if not pieces:
            raise ValueError(f"an alternative of <{name}> is empty; each must write something")
        if not {"<", ">"}.isdisjoint(pieces):
            raise ValueError(
                f"{alternative!r} in <{name}> has a lone angle bracket; symbols are written <name>"
            )
        read.append((int(weight), pieces))
    total = sum(weight for weight, _ in read)
    return [Alternative(weight, weight / total, pieces) for weight, pieces in read]


@cache
def load_grammar(language: Literal["en", "zh"] = "en") -> Grammar:
    """The shipped grammar of machine-learning abstracts, English or Chinese: ten topics, one a document.

    Both languages have the same sentences, so their abstracts have the same entropy in nats; Chinese needs fewer
    bytes for it, and its floor in bits a byte is higher. An abstract has one topic, but more
    than half of its words are of terms that all topics share ("the gain shrinks to"), as a topic model has to find
    out. The rules are in :mod:`minillm_lib.corpora.grammar_rules`.

    >>> grammar = load_grammar("en")
    >>> document = next(grammar.generate(1, seed=0))
    >>> grammar.topic_of(document.text) == document.meta["topic"]
    True
    """
    if language == "en":
        sentences, topics = grammar_rules.ENGLISH_SENTENCES, grammar_rules.ENGLISH_TOPICS
    elif language == "zh":
        sentences, topics = grammar_rules.CHINESE_SENTENCES, grammar_rules.CHINESE_TOPICS
    else:
        raise ValueError(f"language is {language!r}; allowed are 'en' and 'zh'")
    rules = grammar_rules.for_every_topic(sentences, topics)
    return Grammar(rules, separator=" " if language == "en" else "", language=language)
