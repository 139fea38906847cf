"""Telling English and Chinese from other languages, by script and by function words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Literal

from minillm_lib.corpora.cleaning import HAN
from minillm_lib.corpora.deduplication import text_units

Language = Literal["en", "zh", "other"]

# The words that hold sentences together, by which languages in Latin letters are told apart. One-letter words are
# left out: too many languages share them.
_FUNCTION_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the of and to in is that for it with as are this by be or from on not at an if we you can which has was",
        "cs": "je se na že to jsou jako pro ale nebo by být který",
        "da": "og at det er en til af på for ikke som med den de har jeg",
        "de": "der die das und ist nicht ein eine mit für auf den von zu im dem sich des auch wird es als werden",
        "es": "el la los las es una del que en por para con no se su como más lo un al son",
        "fi": "ja on ei että se oli hän kun mutta niin ovat myös tai",
        "fr": "le la les et est une des du dans pour que qui pas sur avec ce au plus sont nous un il par",
        "hu": "az és hogy nem is egy ez meg csak van vagy mint",
        "id": "yang dan di dengan untuk ini itu dari adalah tidak pada dalam ke",
        "it": "il la di che un una per non con sono del della le si gli nel come anche alla dei",
        "nl": "de het een en van is dat niet op te zijn met voor er aan die ook wordt worden",
        "pl": "na się nie do jest to że jak ale są oraz dla przez od po",
        "pt": "os as de que um uma para com não do da em se na no por dos das são ao mais",
        "ro": "și în de la cu nu este pe un din care pentru sunt mai",
        "sv": "och att det som en är på för inte med av den till har de ett",
        "tr": "ve bir bu için ile da çok olarak daha olan gibi ne",
        "vi": "và của là có không các trong một được cho người với này",
    }.items()
}
_LATIN_WORD = re.compile(r"[a-zà-öø-ÿāăąćčďđēęěğīıłńňőœřśşšťũūůűźżžơưșțạ-ỹ]+")
_KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\u1100-\u11ff\uac00-\ud7af]")
_HAN = re.compile(f"[{HAN}]")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+")
_SAMPLE = 20_000
_LONG_ENOUGH = 30
_LEAST_ENGLISH = 0.04


def identify_language(text: str) -> Language:
    """Tell English and Chinese from everything else, by script and by function words.

    A text is Chinese (``"zh"``, simplified or traditional) if at least three in ten of its units, words and Chinese
    characters, are Chinese characters and next to no kana or hangul stand among them. It is English if it is written
    in Latin letters and none of sixteen other languages finds more of its function words ("the", "der", "les") in it.

    The limits: a text of a few words without function words counts as English if it is plain ASCII. A text of thirty
    words or more of which under 4% are English function words is ``"other"``; so are lists of names or numbers. A text
    in two languages counts as the one that dominates. Only the first 20,000 characters are looked at.
    """
    units = text_units(_ADDRESS.sub(" ", text[:_SAMPLE]))
    words = [unit for unit in units if any(map(str.isalpha, unit))]
    han = sum(_HAN.match(word) is not None for word in words)
    foreign = sum(len(_KANA_OR_HANGUL.findall(word)) for word in words)
    if not words or foreign > 0.05 * (han + foreign):
        return "other"
    if han >= 0.3 * len(words):
        return "zh"
    latin = [word for word in words if _LATIN_WORD.match(word)]
    if len(latin) < 0.5 * len(words):
        return "other"
    occurrences = Counter(latin)
    counts = {language: sum(occurrences[word] for word in own) for language, own in _FUNCTION_WORDS.items()}
    english = counts.pop("en")
    if english < max(counts.values()) or (english == 0 and not text.isascii()):
        return "other"
    return "en" if english >= _LEAST_ENGLISH * len(latin) or len(latin) < _LONG_ENOUGH else "other"
