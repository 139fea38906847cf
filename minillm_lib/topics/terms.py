"""From a text to its terms: words, lemmas, stop words, united spellings and phrases.

A :class:`TermRecipe` holds everything that must stay the same when new documents are counted over an old vocabulary.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from math import log
from typing import Any, Literal

import simplemma
import stopwordsiso

from minillm_lib.corpora.cleaning.repair import HAN, REPAIRS, repair_text

Language = Literal["en", "zh", "auto"]
Words = list[str | None]
"""The words of a text in order, with ``None`` for punctuation or a dropped word; no phrase extends across ``None``."""

_HAN = re.compile(f"[{HAN}]")
_BETWEEN_HAN = re.compile(f"(?<=[{HAN}]) (?=[{HAN}])")
_LETTERS = rf"[^\W_{HAN}]+"
# A run of Chinese characters, or a word without what follows an apostrophe ("Stein's", "don't").
_WORD = re.compile(rf"([{HAN}]+)|({_LETTERS}(?:-{_LETTERS})*)(?:['’](?:{_LETTERS})?)*")
_URL = re.compile(r"(?:https?://|www\.)\S+")
_DASHES = str.maketrans("‐‑–", "---")
_PREFIXES = (
    "anti auto bi co cross de hyper inter intra meta micro mini multi non over post pre pseudo quasi re self semi sub "
    "super tri un under uni"
)
# These stay attached to the word that follows their hyphen.
PREFIXES = frozenset(_PREFIXES.split())

# A compound with one of these in the middle is a single term ("end-to-end").
_SMALL_WORDS = frozenset(
    ["a", "and", "by", "for", "from", "in", "of", "on", "one", "or", "per", "the", "to", "vs", "within"]
)

# These are in scikit-learn's English list only because of its age; in papers they are subjects.
_NOT_STOP_WORDS = "bill bottom cry fire mill mine side system thick thin top"
# What remains of "don't", "isn't", … when the apostrophe and the letters after it are removed.
_CONTRACTIONS = (
    "ain aren couldn didn doesn don hadn hasn haven isn let mustn needn shouldn wasn weren won wouldn"
)
# The usual wording of an abstract, whatever its subject.
_ACADEMIC_FILLER = """
    ability able accordingly accurately achieve addition additional additionally address advantage
    aforementioned aim aka al allow alongside analyze apply approach appropriate art assess assume attempt
    attractive author available base benefit better briefly broad capable carefully certain challenge
    characterize clear clearly combination combine common commonly compare competitive comprehensive conclude
    conduct consequently consider considerable consist construct contrast contribute contribution
    corresponding crucial current currently dataset deal define demonstrate depend derive despite determine
    develop different difficult difficulty directly discuss easily easy effective effectively effectiveness
    efficient efficiently employ enable enhance enjoy ensure especially essential establish et evaluate
    evidence example exhibit exist expect experiment experimental experimentally explain explicitly exploit
    explore extend extensive favorably finally firstly focus follow framework fully fundamental furthermore
    generally given goal good handle help highly idea identify ii iii illustrate implement important
    importantly improve improvement include incorporate increase insight inspire instance instead interesting
    introduce investigate involve issue iv just know lack lastly lead leverage lie like limitation literature
    main mainly major make method modify motivate naturally nature need new nips note notion novel number
    observe obtain occur offer outline outperform overall overcome paper particular particularly perform
    performance perspective popular possible potential potentially powerful practical practically practice
    present previous previously procedure produce promising property propose prove provide purpose readily
    realistic recent recently reduce related relevant rely remain remarkable report require research respect
    respectively result role satisfy scenario scheme secondly seek setting significant significantly similar
    similarly simple simply simultaneously specific specifically standard state-of-art state-of-the-art
    straightforward study substantial substantially successful successfully suffer suggest suitable summarize
    superior technique tend thanks theoretical theoretically thereof tool traditional traditionally true turn
    type typical typically underlying understand understanding unfortunately unified unify unless unlike use
    useful usually utilize validate variant variety various version vs want way well-known whilst wide widely
    work yield
"""

# Plurals that simplemma does not know or mistakes for another word, and singulars that it mistakes for plurals.
_LEMMAS = {
    "axes": "axis",
    "bases": "basis",
    "children": "child",
    "criteria": "criterion",
    "graphics": "graphics",
    "maxima": "maximum",
    "means": "means",
    "mice": "mouse",
    "minima": "minimum",
    "optima": "optimum",
    "phenomena": "phenomenon",
    "spectra": "spectrum",
    "statistics": "statistics",
}


@lru_cache
def default_stop_words(language: Language) -> frozenset[str]:
    """Return the words that are dropped by default.

    For English, these are scikit-learn's list except for a few words that are subjects of papers, what remains of
    contractions, and the filler of abstracts ("we propose a novel approach"). For Chinese, and for texts in both
    languages, the Chinese list of stopwords-iso is added.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    english = ENGLISH_STOP_WORDS.union(_CONTRACTIONS.split(), _ACADEMIC_FILLER.split()).difference(
        _NOT_STOP_WORDS.split()
    )
    return english if language == "en" else english | stopwordsiso.stopwords("zh")


@lru_cache(maxsize=200_000)
def lemma(word: str) -> str:
    """Return the singular of an English noun or the plain form of a verb in ``-s``, and any other word unchanged.

    Only these endings are removed. ``learning``, ``clustering`` and ``regularized`` are terms in their own right, but
    a full lemmatizer would turn them into ``learn``, ``cluster`` and ``regularize`` (and ``better`` into ``good``).
    """
    head, hyphen, tail = word.rpartition("-")
    if hyphen:
        return head + hyphen + lemma(tail) if head in PREFIXES or len(head) == 1 else word
    if word in _LEMMAS or not word.endswith("s") or len(word) < 4:
        return _LEMMAS.get(word, word)
    return simplemma.lemmatize(word, lang="en").lower()


@lru_cache(maxsize=200_000)
def is_stop_word(word: str, stop_words: frozenset[str]) -> bool:
    """Check whether a word, its :func:`lemma` or, for a verb form (``proposed``), its plain form is a stop word."""
    forms = {word, lemma(word)}
    if word.endswith(("ed", "ing")):
        forms.add(simplemma.lemmatize(word, lang="en"))
    return not forms.isdisjoint(stop_words)


def han_share(text: str) -> float:
    """Return the share of Chinese characters among the letters of a text (0 for a text without letters)."""
    letters = sum(map(str.isalpha, text))
    return len(_HAN.findall(text)) / letters if letters else 0.0


def _pieces_of_compound(word: str) -> Iterator[str]:
    """Split a hyphenated word, except at hyphens that belong to the term.

    Words joined by a small word (``end-to-end``, ``bag-of-words``) are not split at all. A single letter
    (``k-means``), a prefix (``semi-supervised``) or a number (``cifar-10``) stays with its word.
    """
    pieces = word.split("-")
    if not _SMALL_WORDS.isdisjoint(pieces[1:-1]):
        yield word
        return
    held = ""
    for piece, following in zip(pieces, [*pieces[1:], ""], strict=True):
        held += piece
        binds_forward = piece in PREFIXES or (len(piece) == 1 and piece.isalpha())
        if following and (binds_forward or following.isdigit()):
            held += "-"
        else:
            yield held
            held = ""


def split_words(text: str, *, segment_chinese: bool = False) -> Words:
    """Return the lower-case words of a text, separated by ``None`` at punctuation.

    Parameters
    ----------
    segment_chinese
        Let jieba segment each run of Chinese characters; otherwise, a run is one word. Segmented words of a single
        character are too ambiguous to be terms, so ``None`` takes their place.
    """
    words: Words = []
    end = 0
    text = unicodedata.normalize("NFKC", text).lower().translate(_DASHES)
    text = re.sub(r"\bstate of the art\b", "state-of-the-art", _URL.sub(";", text))
    for match in _WORD.finditer(text):
        if text[end : match.start()].strip(" \t\n_"):
            words.append(None)
        end = match.end()
        chinese, other = match.groups()
        if other:
            words.extend(_pieces_of_compound(other))
        elif segment_chinese:
            words.extend(word if len(word) > 1 else None for word in _segment_chinese(chinese))
        else:
            words.append(chinese)
    return words


def _segment_chinese(text: str) -> list[str]:
    import jieba

    jieba.setLogLevel(logging.WARNING)
    return jieba.lcut(text)


def _is_word(word: str) -> bool:
    return len(word) > 1 and any(map(str.isalpha, word))


_SPELLINGS = [("isation", "ization"), ("ise", "ize"), ("ising", "izing"), ("ised", "ized"), ("iser", "izer")]
_SPELLINGS += [("yse", "yze"), ("our", "or"), ("elling", "eling"), ("elled", "eled")]


def unite_spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Map rarer spellings of a word to the most frequent one, given how often each word occurs.

    There are three kinds: with and without a hyphen (``non-convex``, ``nonconvex``), British and American
    (``optimisation``, ``optimization``), and plurals that are in no dictionary (``rnns``, ``gaussians``), which are
    mapped to their singular. A spelling is mapped only if both forms occur.
    """
    united: dict[str, str] = {}
    for word in sorted(counts):
        is_plural = word.endswith("s") and len(word) > 3 and "-" not in word and word[:-1] in counts
        if is_plural and not simplemma.is_known(word, lang="en"):
            united[word] = word[:-1]
            continue
        spellings = {word.replace("-", "")} | {
            re.sub(f"{british}(?=s?$|-)", american, word) for british, american in _SPELLINGS if len(word) > 5
        }
        for other in sorted(spellings - {word}):
            if other in counts:
                rare, frequent = sorted((other, word), key=lambda spelling: (counts[spelling], spelling))
                united[rare] = frequent
    for word in united:
        while united[word] in united:
            united[word] = united[united[word]]
    return united


def join_phrases(words: Sequence[str | None], phrases: Collection[str]) -> Words:
    """Join the words of known phrases (``"neural network"``), from the left and with the longest phrase first."""
    longest = max((phrase.count(" ") + 1 for phrase in phrases), default=1)
    joined: Words = []
    start = 0
    while start < len(words):
        for length in range(longest, 0, -1):
            run = [word for word in words[start : start + length] if word is not None]
            if length == 1 or (len(run) == length and " ".join(run) in phrases):
                break
        joined.append(" ".join(run) if run else None)
        start += length
    return joined


def normalized_pointwise_mutual_information(pair: int, first: int, second: int, total: int) -> float:
    """Return how much more often two words stand together than by chance, from -1 to 1.

    The limit -1 means never, 0 means by chance, and 1 means always. The value is
    ``ln(p(x, y) / (p(x) p(y))) / -ln p(x, y)`` (Bouma 2009).

    Parameters
    ----------
    pair
        Count of the pair, at least 1.
    first, second
        Count of each word.
    total
        Count of all words.
    """
    return log(pair * total / (first * second)) / log(total / pair) if pair < total else 1.0


def find_phrases(
    documents: Sequence[Sequence[str | None]], *, min_count: int, min_npmi: float
) -> frozenset[str]:
    """Find runs of two to four words that belong together.

    Two adjacent words are a phrase if they stand together at least ``min_count`` times with a normalised pointwise
    mutual information of at least ``min_npmi``. A second pass, over the text with those phrases joined, finds longer
    ones: "stochastic" + "gradient descent". A phrase that then stands alone fewer than ``min_count`` times was part of
    a longer phrase ("hidden markov") and is dropped.

    Parameters
    ----------
    documents
        The words of each document in order, with ``None`` where no phrase may extend across.
    """
    phrases: frozenset[str] = frozenset()
    for _ in range(2):
        words: Counter[str] = Counter()
        pairs: Counter[tuple[str, str]] = Counter()
        for document in documents:
            joined = join_phrases(document, phrases)
            words.update(word for word in joined if word is not None)
            pairs.update((a, b) for a, b in pairwise(joined) if a is not None and b is not None)
        total = words.total()
        phrases |= {
            f"{a} {b}"
            for (a, b), count in pairs.items()
            if count >= min_count
            and a != b
            and normalized_pointwise_mutual_information(count, words[a], words[b], total) >= min_npmi
        }
    alone = Counter(term for document in documents for term in join_phrases(document, phrases))
    return frozenset(phrase for phrase in phrases if alone[phrase] >= min_count)


@dataclass(frozen=True)
class TermRecipe:
    """The steps from a text to its terms, the same for the documents that made a vocabulary and for new ones.

    Attributes
    ----------
    language
        ``"en"``, ``"zh"``, or ``"auto"`` to choose for each text by its share of Chinese characters.
    lemmatize
        Replace each word by its :func:`lemma`.
    stop_words
        Words to drop.
    spellings
        Maps a spelling to the one that it counts as.
    phrases
        Runs of words that count as one term, separated by spaces.
    repairs
        Names of the repairs to apply first, from :data:`~minillm_lib.corpora.cleaning.repair.REPAIRS`.
    """

    language: Language = "en"
    lemmatize: bool = True
    stop_words: frozenset[str] = frozenset()
    spellings: Mapping[str, str] = field(default_factory=dict)
    phrases: frozenset[str] = frozenset()
    repairs: tuple[str, ...] = tuple(REPAIRS)

    @property
    def phrase_terms(self) -> frozenset[str]:
        """The phrases as they appear in a vocabulary: Chinese ones have no spaces."""
        return frozenset(_BETWEEN_HAN.sub("", phrase) for phrase in self.phrases)

    def words(self, text: str, dropped: Counter[str] | None = None) -> Words:
        """Return the words of a repaired text, before spellings are united and phrases joined.

        Parameters
        ----------
        dropped
            Counter of dropped words, which is updated: stop words are counted under their own name, and numbers and
            single characters under ``""``.
        """
        is_chinese = self.language == "zh" or (self.language == "auto" and han_share(text) > 0.2)
        words: Words = []
        for word in split_words(text, segment_chinese=is_chinese):
            if word is None:
                words.append(None)
                continue
            base = lemma(word) if self.lemmatize else word
            reason = "" if not _is_word(word) else word if is_stop_word(word, self.stop_words) else None
            if reason is not None and dropped is not None:
                dropped[reason] += 1
            words.append(base if reason is None else None)
        return words

    def terms_of_words(self, words: Iterable[str | None]) -> list[str]:
        """Unite the spellings of words, join phrases, and leave out the gaps."""
        united = [word if word is None else self.spellings.get(word, word) for word in words]
        return [_BETWEEN_HAN.sub("", term) for term in join_phrases(united, self.phrases) if term is not None]

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order.

        Raises
        ------
        ValueError
            If ``repairs`` contains an unknown name.
        """
        return self.terms_of_words(self.words(repair_text(text, steps=self.repairs)))

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values for JSON; the same recipe always gives the same text."""
        return {
            "language": self.language,
            "lemmatize": self.lemmatize,
            "stop_words": sorted(self.stop_words),
            "spellings": dict(sorted(self.spellings.items())),
            "phrases": sorted(self.phrases),
            "repairs": list(self.repairs),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TermRecipe:
        """Restore a recipe from the values that :meth:`to_dict` returned."""
        return cls(
            **{
                **values,
                "stop_words": frozenset(values["stop_words"]),
                "phrases": frozenset(values["phrases"]),
                "repairs": tuple(values["repairs"]),
            }
        )
