"""From a text to its terms: words, lemmas, stop words, united spellings and phrases.

A :class:`TermRecipe` holds everything that must stay the same when new documents are counted over an old vocabulary.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import log
from typing import Any, Literal, cast, get_args

import regex

from minillm_lib.corpora.cleaning.languages import check_language, identify, languages_of
from minillm_lib.corpora.cleaning.repair import REPAIRS, check_steps, repair_text
from minillm_lib.corpora.cleaning.scripts import HAN, UNSPACED
from minillm_lib.topics.words.lemmas import lemma, lower, unite_spellings
from minillm_lib.topics.words.segmentation import UserWords, read_user_words
from minillm_lib.topics.words.splitting import Words, split_words, surface_words
from minillm_lib.topics.words.stop_words import default_stop_words, is_stop_word

__all__ = [
    "SINGLE_CHINESE",
    "TermRecipe",
    "Words",
    "default_stop_words",
    "is_stop_word",
    "join_phrases",
    "lemma",
    "normalized_pointwise_mutual_information",
    "split_words",
    "unite_spellings",
]

StopList = Literal["default", "abstracts"]
SINGLE_CHINESE = "single Chinese characters"
"""The name under which Chinese words of one character are counted that are not part of a phrase."""


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


_HAN = regex.compile(HAN)
# Scripts in which a single letter says as little as in the Latin one, whatever its marks.
_SINGLE_LETTER = regex.compile(r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}\p{Syriac}]\p{M}*|.")
# Here a character is a syllable or, in Japanese, a word.
_SYLLABLE = regex.compile(r"[\p{Hangul}\p{Tibetan}\p{Yi}\p{Han}]")


def _is_word(word: str) -> bool:
    if word.isascii():
        return len(word) > 1 and not word.isdigit() and any(map(str.isalpha, word))
    if not any(map(str.isalpha, word)):
        return False
    return _SINGLE_LETTER.fullmatch(word) is None or _SYLLABLE.match(word) is not None


def _is_single_chinese(word: str) -> bool:
    return len(word) == 1 and not word.isascii() and _HAN.match(word) is not None


_SPACE_BETWEEN_UNSPACED = regex.compile(rf"(?<=[{UNSPACED}]) (?=[{UNSPACED}])", regex.VERSION1)
_SPACE_IN_TIBETAN = regex.compile(r"(?<=\p{Tibetan}) (?=\p{Tibetan})")


def _written(term: str) -> str:
    """Return a term as its script writes it: no space in Chinese, a point between the syllables of Tibetan."""
    if " " not in term or term.isascii():
        return term
    return _SPACE_IN_TIBETAN.sub("་", _SPACE_BETWEEN_UNSPACED.sub("", term))


@lru_cache(maxsize=8)
def _lower_words(words: frozenset[str]) -> frozenset[str]:
    return frozenset(unicodedata.normalize("NFKC", word).lower() for word in words)


@lru_cache(maxsize=8)
def _with_signs(words: frozenset[str]) -> tuple[str, ...]:
    """Return the words that have other signs than a word has (``c++``, ``node.js``), and would be split at them."""
    return tuple(sorted(word for word in words if _SIGN_IN_WORD.search(word)))


_SIGN_IN_WORD = regex.compile(r"^[^\s]*[^\w\p{M}\s'’·\-][^\s]*$")


@dataclass(frozen=True)
class TermRecipe:
    """The steps from a text to its terms, the same for the documents that made a vocabulary and for new ones.

    :meth:`make` checks its arguments.

    Attributes
    ----------
    language
        The code of a language, or ``"auto"`` to choose one for each text.
    lemmatize
        Replace each word by its :func:`~minillm_lib.topics.words.lemmas.lemma`.
    stop_words
        Words to drop.
    spellings
        Maps a spelling to the one that it counts as.
    phrases
        Runs of words that count as one term, separated by spaces.
    repairs
        Names of the repairs to apply first, from :data:`~minillm_lib.corpora.cleaning.repair.REPAIRS`.
    keep
        Words that are never dropped.
    stop_list
        Drop the stop words of each text's language too: the ``"default"`` ones, or those with the filler of
        ``"abstracts"``.
    languages
        With ``language="auto"``, the languages of the corpus, the most frequent first.
    user_words
        Words that jieba must know, with their frequencies.
    """

    language: str = "en"
    lemmatize: bool = True
    stop_words: frozenset[str] = frozenset()
    spellings: Mapping[str, str] = field(default_factory=dict)
    phrases: frozenset[str] = frozenset()
    repairs: tuple[str, ...] = tuple(REPAIRS)
    keep: frozenset[str] = frozenset()
    stop_list: StopList | None = None
    languages: tuple[str, ...] = ()
    user_words: UserWords = ()

    @classmethod
    def make(
        cls,
        language: str = "auto",
        lemmatize: bool = True,
        stop_words: StopList | Collection[str] | None = "default",
        more_stop_words: Collection[str] = (),
        keep: Collection[str] = (),
        repairs: Sequence[str] = tuple(REPAIRS),
        user_dict: Mapping[str, int] | Iterable[str] | None = None,
    ) -> TermRecipe:
        """Make a recipe, without spellings and phrases, which a corpus has to be read for.

        Parameters
        ----------
        language
            The code of a language (ISO 639), or ``"auto"`` to choose one for each text.
        lemmatize
            Count ``networks`` as ``network``, and ``Häuser`` as ``haus``.
        stop_words
            Words to drop. ``"default"`` means the list for the language, ``"abstracts"`` that list and the usual
            wording of English abstracts ("we propose a novel approach"), ``None`` no words.
        more_stop_words
            Words to drop besides these.
        keep
            Words that are never dropped: as stop words, as single characters, or because they are rare or everywhere;
            nor split at signs inside of them (``c++``, ``node.js``).
        repairs
            Names of the repairs to apply first, from :data:`~minillm_lib.corpora.cleaning.repair.REPAIRS`.
        user_dict
            Words that jieba must know, or a mapping of words to frequencies, or the lines of a dictionary for jieba.

        Raises
        ------
        ValueError
            For an argument that is not allowed; the message says what is.
        """
        check_language(language)
        check_steps(repairs)
        if isinstance(stop_words, str) and stop_words not in get_args(StopList):
            raise ValueError(
                f"stop_words is {stop_words!r}; allowed values: 'default', 'abstracts', None, a collection of words"
            )
        for name, words in (("keep", keep), ("more_stop_words", more_stop_words)):
            if isinstance(words, str):
                raise ValueError(f"{name} is the text {words!r}; pass a collection of words")
        stop_list: StopList | None = None
        if not isinstance(stop_words, str):
            dropped = _lower_words(frozenset(stop_words or ()))
        elif language == "auto":
            dropped, stop_list = frozenset(), cast(StopList, stop_words)
        else:
            dropped = default_stop_words(language, abstracts=stop_words == "abstracts")
        return cls(
            language,
            lemmatize,
            dropped | _lower_words(frozenset(more_stop_words)),
            repairs=tuple(repairs),
            keep=_lower_words(frozenset(keep)),
            stop_list=stop_list,
            user_words=read_user_words(user_dict),
        )

    def with_languages_of(self, texts: Iterable[str]) -> TermRecipe:
        """Return a recipe that knows which languages a corpus has, given (some of) its texts.

        It then chooses among these only, so that a text of five words is not mistaken for one of fifty languages. A
        recipe of one language is returned as it is.
        """
        return replace(self, languages=languages_of(texts)) if self.language == "auto" else self

    def language_of(self, text: str) -> str:
        """Return the language of a text: that of the recipe, or the one it seems to be in."""
        return identify(text, self.languages) if self.language == "auto" else self.language

    @property
    def _is_japanese(self) -> bool:
        """Whether Chinese characters are Japanese words: there, 猫 alone is a word, and no part of one."""
        languages = self.languages if self.language == "auto" else (self.language,)
        return "ja" in languages and "zh" not in languages

    @property
    def phrase_terms(self) -> frozenset[str]:
        """The phrases as they appear in a vocabulary: Chinese ones have no spaces."""
        return frozenset(map(_written, self.phrases))

    def words(self, text: str, dropped: Counter[str] | None = None, *, language: str | None = None) -> Words:
        """Return the words of a repaired text, before spellings are united and phrases joined.

        Chinese words of one character are still among them, since they may be part of a phrase; :meth:`terms_of_words`
        drops those that are not.

        Parameters
        ----------
        dropped
            Counter of dropped words, which is updated: stop words are counted under their own name, and numbers and
            single characters under ``""``.
        language
            The language of the text, if it is known; otherwise, :meth:`language_of` finds it.

        Raises
        ------
        MissingPackageError
            If the text's script needs a segmenter that is not installed.
        """
        language = language or self.language_of(text)
        stop_words = _with_list(self.stop_words, self.stop_list, language)
        words: Words = []
        for surface in surface_words(text, language, self.user_words, _with_signs(self.keep)):
            if surface is None:
                words.append(None)
                continue
            word = surface if language == "en" else lower(surface, language)
            base = lemma(surface, language) if self.lemmatize else word
            if self.keep and (word in self.keep or base in self.keep):
                words.append(word if word in self.keep else base)
                continue
            reason: str | None = None
            if not _is_word(word):
                reason = ""
            elif is_stop_word(surface, stop_words, language):
                reason = word
            if reason is not None and dropped is not None:
                dropped[reason] += 1
            words.append(base if reason is None else None)
        return words

    def terms_of_words(self, words: Iterable[str | None], dropped: Counter[str] | None = None) -> list[str]:
        """Unite the spellings of words, join phrases, and leave out the gaps and single Chinese characters.

        Parameters
        ----------
        dropped
            Counter that is updated with the number of :data:`SINGLE_CHINESE` that are no part of a phrase.
        """
        united = [word if word is None else self.spellings.get(word, word) for word in words]
        terms: list[str] = []
        singles = 0
        for term in join_phrases(united, self.phrases):
            if term is None:
                continue
            if _is_single_chinese(term) and not self._is_japanese and term not in self.keep:
                singles += 1
            else:
                terms.append(_written(term))
        if singles and dropped is not None:
            dropped[SINGLE_CHINESE] += singles
        return terms

    def terms(self, text: str) -> list[str]:
        """Return the terms of a text in order.

        Raises
        ------
        ValueError
            If ``repairs`` contains an unknown name.
        MissingPackageError
            If the text's script needs a segmenter that is not installed.
        """
        return self.terms_of_words(self.words(repair_text(text, steps=self.repairs)))

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values for JSON; the same recipe always gives the same text."""
        values = {
            "language": self.language,
            "lemmatize": self.lemmatize,
            "stop_words": sorted(self.stop_words),
            "spellings": dict(sorted(self.spellings.items())),
            "phrases": sorted(self.phrases),
            "repairs": list(self.repairs),
        }
        if self.language == "auto":
            values |= {"stop_list": self.stop_list, "languages": list(self.languages)}
        if self.keep:
            values["keep"] = sorted(self.keep)
        if self.user_words:
            values["user_words"] = dict(self.user_words)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TermRecipe:
        """Restore a recipe from the values that :meth:`to_dict` returned, in this or an earlier version."""
        # Until version 0.2, "auto" chose between these two.
        languages = values.get("languages", ("en", "zh") if values["language"] == "auto" else ())
        return cls(
            **{
                **values,
                "stop_words": frozenset(values["stop_words"]),
                "phrases": frozenset(values["phrases"]),
                "repairs": tuple(values["repairs"]),
                "keep": frozenset(values.get("keep", ())),
                "languages": tuple(languages),
                "user_words": read_user_words(values.get("user_words")),
            }
        )


@lru_cache(maxsize=64)  # so that the same set is handed to the cache of `is_stop_word` each time
def _with_list(stop_words: frozenset[str], stop_list: StopList | None, language: str) -> frozenset[str]:
    if stop_list is None:
        return stop_words
    listed = default_stop_words(language, abstracts=stop_list == "abstracts")
    return stop_words | listed if stop_words else listed
