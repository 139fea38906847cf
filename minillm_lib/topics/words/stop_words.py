"""Stop words: the words that say nothing of the subject of a text, for each language that has a list."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import simplemma
import stopwordsiso

from minillm_lib.corpora.cleaning.languages import ELIDING, LATIN_SCRIPT, STOP_LISTS, check_language
from minillm_lib.topics.words.lemmas import ROMANIAN, bare, lemma, lower
from minillm_lib.topics.words.traditional_chinese import simplified

# The lists have words that are there only because they were frequent in somebody's corpus; they are subjects.
_SUBJECTS = {
    "en": "bill bottom cry fire mill mine side system thick thin top",
    "de": "gott mann mensch menschen ordnung",
    "es": "empleo pais trabaja trabajais trabajamos trabajan trabajar trabajas trabajo",
    "fr": "pièce",
    "it": "ansa citta città gruppo mondo paese press registrazione scola uomo vita",
    "pt": "área noite obra povo sistema trabalhar trabalho viagem",
    "ru": "вода война глаз голова голос город дверь деньги дом дорога друг душа жена женщина жизнь земля книга комната "
    "лицо любить люди мать машина мир мира москва народ нога ночь окно отец писать плечо путь работа работать ребенок "
    "россия рука русский свет сила слово советский стол страна товарищ улица утро",
}
# What remains of "don't", "isn't", … when the apostrophe and the letters after it are removed.
_CONTRACTIONS = (
    "ain aren couldn didn doesn don hadn hasn haven isn let mustn needn shouldn wasn weren won wouldn"
)
# Adverbs and other small words that scikit-learn's list lacks.
_MORE_ENGLISH = """
    accordingly additionally aforementioned aka al alongside consequently currently despite directly
    especially et finally firstly furthermore generally ii iii instead iv just lastly like mainly
    particularly previously recently respectively secondly similarly simply thereof unfortunately unless
    unlike usually various vs whilst
"""
# The usual wording of an abstract, whatever its subject.
_ACADEMIC_FILLER = """
    ability able accurately achieve addition additional address advantage aim allow analyze apply
    approach appropriate art assess assume attempt attractive author available base benefit better
    briefly broad capable carefully certain challenge characterize clear clearly combination combine
    common commonly compare competitive comprehensive conclude conduct consider considerable consist
    construct contrast contribute contribution corresponding crucial current dataset deal define
    demonstrate depend derive determine develop different difficult difficulty discuss easily easy
    effective effectively effectiveness efficient efficiently employ enable enhance enjoy ensure
    essential establish evaluate evidence example exhibit exist expect experiment experimental
    experimentally explain explicitly exploit explore extend extensive favorably focus follow framework
    fully fundamental given goal good handle help highly idea identify illustrate implement important
    importantly improve improvement include incorporate increase insight inspire instance interesting
    introduce investigate involve issue know lack lead leverage lie limitation literature main major
    make method modify motivate naturally nature need new nips note notion novel number observe obtain
    occur offer outline outperform overall overcome paper particular perform performance perspective
    popular possible potential potentially powerful practical practically practice present previous
    procedure produce promising property propose prove provide purpose readily realistic recent reduce
    related relevant rely remain remarkable report require research respect result role satisfy scenario
    scheme seek setting significant significantly similar simple simultaneously specific specifically
    standard state-of-art state-of-the-art straightforward study substantial substantially successful
    successfully suffer suggest suitable summarize superior technique tend thanks theoretical
    theoretically tool traditional traditionally true turn type typical typically underlying understand
    understanding unified unify use useful utilize validate variant variety version want way well-known
    wide widely work yield
"""
# What stands before the apostrophe of an elided article or preposition and is longer than a letter.
_ELIDED = """
    qu jusqu lorsqu puisqu quoiqu quelqu presqu un dell all dall nell sull coll quell quest bell gl agl dagl degl negl
    sugl cos dov anch senz
"""


@lru_cache(maxsize=64)
def default_stop_words(language: str, *, abstracts: bool = False) -> frozenset[str]:
    """Return the words that are dropped by default in texts of a language; empty where no list is known.

    For English, these are scikit-learn's list, some more adverbs, and what remains of contractions. For other
    languages they are the list of stopwords-iso, and in languages that are not written in Latin letters the English
    list too, for English words in such texts. A few words that are subjects are left out.

    Parameters
    ----------
    abstracts
        Add the filler of English abstracts ("we propose a novel approach").

    Raises
    ------
    ValueError
        For an unknown language.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    if language == "auto":
        raise ValueError("language is 'auto'; stop words are those of one language, such as 'en'")
    check_language(language)
    words: set[str] = set()
    if language in STOP_LISTS and language != "en":
        listed = stopwordsiso.stopwords(STOP_LISTS[language])
        words = {bare(unicodedata.normalize("NFKC", word).lower()) for word in listed}
        words |= set(_ELIDED.split()) if language in ELIDING else set()
        words = {word.translate(ROMANIAN) for word in words} if language == "ro" else words
        words -= set(_SUBJECTS.get(language, "").split())
    if language not in LATIN_SCRIPT or language == "en":
        words |= ENGLISH_STOP_WORDS.union(_CONTRACTIONS.split(), _MORE_ENGLISH.split()).difference(
            _SUBJECTS["en"].split()
        )
        if abstracts:
            words |= set(_ACADEMIC_FILLER.split())
    return frozenset(words)


@lru_cache(maxsize=200_000)
def is_stop_word(word: str, stop_words: frozenset[str], language: str = "en") -> bool:
    """Check whether a word is a stop word, or its :func:`lemma` or, for English ``proposed``, its plain form."""
    forms = {lower(word, language), lemma(word, language)}
    if not word.isascii():
        forms |= {simplified(form) for form in forms} | {bare(form) for form in forms}
    elif word.endswith(("ed", "ing")) and (language == "en" or language not in LATIN_SCRIPT):
        forms.add(simplemma.lemmatize(word, lang="en"))
    return not forms.isdisjoint(stop_words)
