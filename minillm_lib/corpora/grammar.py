"""Abstracts written by a probabilistic context-free grammar whose entropy is known exactly.

The entropy of a text source is the floor below which no language model's loss can fall, but nobody knows it for natural
text. Here the source is a grammar: each symbol is replaced by one of its alternatives, drawn by weight, until only
words are left.

**Why the entropy is exact.** The entropy of the *derivation* (all draws together) is a sum over the rules. It equals
the entropy of the *text* if every text has exactly one derivation. :class:`Grammar` requires a slightly stronger
condition, which can be checked: for any two alternatives of a symbol, no text of one is equal to, or a prefix of, a
text of the other. Then the text, read from left to right, determines its derivation. To prove this, suppose that two
different derivations of a symbol gave texts of which one is a prefix of the other, and take the pair with the fewest
draws in total. If both start with the same alternative, consider the first of its pieces that they derive differently.
Of the two texts of this piece, one is already a prefix of the other, and their derivations have fewer draws, which
contradicts the choice. If they start with different alternatives, the check would have found them.

The alternatives of the first symbol are the *topics*. The text therefore determines its topic as well, and each topic's
distribution over terms, the ground truth for topic models, is known as exactly as the entropy.
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
# Two alternatives of the shipped grammars need fewer than 200; for rules that nest endlessly there is no upper limit.
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
        For each symbol its alternatives, separated by ``|``. ``<name>`` stands for a symbol, and ``[3]`` in front of an
        alternative is its weight, a positive integer (1 if none is given). The first symbol is the start, and its
        alternatives are the topics.
    separator
        The text that replaces white space in an alternative: ``" "``, or ``""`` for a language without spaces between
        words. In the latter case, the spaces in the rules only mark the ends of words.
    language
        Recorded in each document's ``meta``.

    Attributes
    ----------
    start
        The start symbol.
    rules
        The :class:`Alternative` list of each symbol, such as ``rules["<document>"]``.
    topics
        Names of the topics, ``(n_topics,)``: the part after ``@`` of a start alternative such as
        ``<abstract@vision>``, or the alternative as it is written.
    topic_weights
        Probabilities of the topics, ``(n_topics,)``.
    vocabulary
        The terms in alphabetical order. A term is a word that contains a letter, in lower case.

    Raises
    ------
    ValueError
        If there are no rules, a weight is not a positive integer, an alternative is empty, a symbol is undefined or
        cannot be reached from the start, a rule leads back to itself before it writes a word, the expected length of a
        text is infinite, or two alternatives of a symbol have texts of which one is a prefix of the other.

    Examples
    --------
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
        """Yield ``n`` documents.

        Document ``i`` depends only on the seed and on ``i``. It is the same on every machine, since Python guarantees
        the sequence of ``random.Random.random``. ``meta`` holds ``topic``, ``language`` and ``log_probability`` (nats).

        Raises
        ------
        ValueError
            If ``n`` is negative.
        """
        if n < 0:
            raise ValueError(f"n is {n}; it must be at least 0")
        for index in range(n):
            text, chosen = self._write(random.Random(f"{seed} {index}"))
            meta = {
                "topic": self._topic(chosen),
                "language": self.language,
                "log_probability": _log_probability(chosen),
            }
            yield Document(text, source="grammar", meta=meta)

    def derivation(self, text: str) -> list[Alternative]:
        """Return the alternatives that were drawn to write a text, in the order of a leftmost derivation.

        Raises
        ------
        ValueError
            If the grammar cannot write the text; the message shows the place of the first difference.
        """
        furthest = 0
        # Each trial: a position in the text, the pieces that must follow there, and the alternatives that led there.
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
        raise ValueError(f"not a text of this grammar: after {before!r} it cannot continue with {after!r}")

    def log_probability(self, text: str) -> float:
        """Return the natural logarithm of the probability of a text; ``-inf`` if the grammar cannot write it."""
        try:
            return _log_probability(self.derivation(text))
        except ValueError:
            return -inf

    def topic_of(self, text: str) -> str:
        """Return the topic of a text.

        Raises
        ------
        ValueError
            If the grammar cannot write the text.
        """
        return self._topic(self.derivation(text))

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order, even if the text is written without spaces.

        With scikit-learn's ``CountVectorizer(analyzer=grammar.terms)`` they become a document–term matrix.

        Raises
        ------
        ValueError
            If the grammar cannot write the text.
        """
        chosen = iter(self.derivation(text))
        return self._terms(self._expand(lambda symbol: next(chosen)))

    def expectation(self, value: Callable[[Alternative], Any]) -> dict[str, Any]:
        """Return, for each symbol, the expected sum of ``value`` over the alternatives drawn to replace it.

        The recursion that follows from the linearity of expectation is solved for all symbols at once::

            E[symbol] = Σ over its alternatives of p(alternative) · (value(alternative) + Σ E[symbols in it])

        Parameters
        ----------
        value
            Maps an alternative to a number or a vector.
        """
        own = [sum(a.probability * np.asarray(value(a)) for a in rule) for rule in self.rules.values()]
        solution = np.linalg.solve(
            np.eye(len(self.rules)) - self._expected_symbols(), np.array(own, dtype=float)
        )
        return dict(zip(self.rules, solution, strict=True))

    def entropy_per_document(self) -> float:
        """Return the entropy of a document's text in nats: the expected sum of ``−log p`` over the draws.

        The token ids of a text have the same entropy for every tokenizer that encodes each text in exactly one way.
        Divided by the mean number of tokens per document, including the end token, it is the floor of the loss per
        token.
        """
        return float(self.expectation(lambda alternative: -log(alternative.probability))[self.start])

    def expected_words(self) -> float:
        """Return the expected length of a document, counting words, numbers and punctuation marks as one each."""
        return float(self.expectation(lambda alternative: len(self._words(alternative.pieces)))[self.start])

    def expected_bytes(self) -> float:
        """Return the expected length of a document in UTF-8 bytes."""
        terminals = self.expectation(
            lambda alternative: len("".join(self._terminals(alternative.pieces)).encode())
        )
        return float(terminals[self.start])

    def nats_per_word(self) -> float:
        """Return the floor of the loss in nats per token for a model over the grammar's own words.

        Each document has one end token, which counts in the denominator only: no text is a prefix of another, so the
        end of a text is never in doubt.
        """
        return self.entropy_per_document() / (self.expected_words() + 1)

    def bits_per_byte(self) -> float:
        """Return the floor of the loss in bits per UTF-8 byte, which does not depend on the tokenizer."""
        return self.entropy_per_document() / log(2) / self.expected_bytes()

    def topic_word(self) -> FloatArray:
        """Return each topic's distribution over the vocabulary, ``(n_topics, n_terms)``: normalised expected counts."""
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
        """Return how many of each symbol (column) replace a symbol (row) in one step, ``(n_symbols, n_symbols)``."""
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
        """Check that no symbol leads back to itself before any word is written.

        No piece is empty, so only the first piece of an alternative can do that.
        """
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
        """Check that the expected length of a text is finite.

        The expected numbers of symbols after 0, 1, 2, … steps have a finite sum if and only if all eigenvalues of the
        matrix of one step are below 1 in absolute value.
        """
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
                        f"both allow {shared!r}, where one of them ends: "
                        "no text of one may be a prefix of a text of the other"
                    )

    def _shared_text(self, one: tuple[str, ...], other: tuple[str, ...]) -> str | None:
        """Return a text of one sequence of pieces that equals or begins a text of the other; None if there is none.

        Both are read side by side. A piece that is the same on both sides is skipped: by the argument at the top of
        this module, a symbol cannot be read there in two ways.
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
                    f"cannot tell whether every text has one derivation: more than {_MOST_PAIRS:,} pairs of beginnings "
                    f"such as {read[:60]!r} are alike; make the alternatives differ in their first words"
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
                f"the weight [{weight}] of {alternative!r} in <{name}> is not a positive whole number"
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
    """Return the shipped grammar of machine-learning abstracts, with ten topics and one topic per document.

    Both languages have the same sentences, so their abstracts have the same entropy in nats. Chinese needs fewer bytes
    for it, so that its floor in bits per byte is higher. More than half of the words of an abstract are terms that all
    topics share ("the gain shrinks to"), as a topic model has to find out. The rules are in
    :mod:`minillm_lib.corpora.grammar_rules`.

    Parameters
    ----------
    language
        ``"en"`` (English) or ``"zh"`` (Chinese).

    Raises
    ------
    ValueError
        If the language is neither of these.

    Examples
    --------
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
