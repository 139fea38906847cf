"""The language of a text: by its script, and by the corpus where the script is shared."""

from __future__ import annotations

import pytest
from paper_lists import abstracts, needs_paper_lists

from minillm_lib.corpora.cleaning.languages import LANGUAGES, check_language, identify, languages_of

GERMAN = [
    "Die Katze sitzt auf dem Dach",
    "Haus Straße Auto Brücke",
    "Regen Wolke Sonne Wind",
    "Kaffee und Brot",
]
ENGLISH = ["The cat sits on the roof", "house road car bridge", "rain cloud sun wind", "coffee and bread"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        *(("ko", "한국어"), ("ko", "大學에서 한국어를 배운다"), ("th", "ภาษา"), ("ja", "日本語です")),
        *(("zh", "主题模型"), ("zh", "主題模型"), ("zh", "用Transformer做文本分类"), ("he", "שלום")),
        *(("el", "γεια"), ("hy", "բարև")),
        *(("ka", "გამარჯობა"), ("ta", "தமிழ்"), ("am", "ሰላም"), ("bo", "བོད"), ("chr", "ᏣᎳᎩ"), ("my", "မြန်မာ")),
        *(("de", "Die Katze sitzt auf dem Dach und schläft."), ("fr", "Le chat dort sur le toit de la maison.")),
        *(("uk", "Кіт сидить на даху і дивиться на місто."), ("ru", "Кошка сидит на крыше и смотрит на город.")),
        *(("fa", "گربه روی بام نشسته است و شهر را می‌بیند."), ("ar", "القطة تجلس على السطح وتنظر إلى المدينة.")),
        *(("mr", "मांजर छतावर बसले आहे आणि शहराकडे पाहत आहे."), ("hi", "बिल्ली छत पर बैठी है और शहर को देख रही है।")),
    ],
)  # fmt: skip
def test_sentences(language: str, text: str) -> None:
    assert identify(text) == language


@pytest.mark.parametrize("text", ["neural networks", "12 34", "", "ok", "ꦲꦏ"])
def test_what_cannot_be_told_is_the_most_frequent_language_of_the_corpus(text: str) -> None:
    assert identify(text) == "en"
    assert identify(text, ("de", "en")) == "de"


def test_few_words_are_in_a_language_that_the_corpus_has() -> None:
    for language, corpus in (("en", ENGLISH), ("de", GERMAN)):
        languages = languages_of(corpus * 10)
        assert languages[0] == language
        assert {identify(text, languages) for text in corpus} == {language}
    both = languages_of((GERMAN + ENGLISH) * 10)
    assert set(both) == {"de", "en"}
    assert [identify(text, both) for text in GERMAN + ENGLISH] == ["de"] * 4 + ["en"] * 4


def test_a_corpus_has_a_language_for_each_script() -> None:
    corpus = [*ENGLISH, *ENGLISH, "主题模型是文档的混合", "Кошка сидит на крыше"]
    languages = languages_of(corpus)
    assert languages[0] == "en"
    assert {"zh", "ru"} <= set(languages)
    # A script that the sample did not have is still told.
    assert identify("한국어", languages) == "ko"


@needs_paper_lists
def test_titles_of_papers_are_english() -> None:
    titles = [" ".join(text.split()[:6]) for text in abstracts(2015) if len(text) > 100]
    languages = languages_of(titles)
    assert languages == ("en",)
    assert {identify(title, languages) for title in titles} == {"en"}


def test_an_unknown_code_is_refused_with_a_list() -> None:
    assert {"en", "zh", "ko", "hi", "ta", "th", "uk", "tr", "he", "sw"} <= LANGUAGES
    check_language("auto")
    with pytest.raises(ValueError, match=r"language is 'xx'; allowed values: 'auto' .*, de, .*, zh"):
        check_language("xx")


def test_a_few_texts_of_bare_words_are_in_one_language():
    """Each alone could be in another language; together they are English."""
    texts = [
        "stone lake wolf lake stone valley snow wolf mountain",
        "garage motor truck gear gear fuel truck license gear",
        "salt flour milk oven spoon salt butter recipe salt",
        "the garden of the old house",
    ]
    assert languages_of(texts) == ("en",)
    assert set(languages_of([*texts, "der Garten und das alte Haus, in dem wir wohnen"] * 3)) == {"en", "de"}
