"""Words in the scripts of the world: marks stay with their letters, and nothing is dropped for its script."""

from __future__ import annotations

import sys
import unicodedata

import pytest
import regex
from hypothesis import given, settings, strategies as st

from minillm_lib.corpora.cleaning.duplicates import text_units
from minillm_lib.corpora.cleaning.repair import repair_text
from minillm_lib.io.optional import MissingPackageError
from minillm_lib.topics.terms import TermRecipe
from minillm_lib.topics.words.splitting import split_words

# The words of a sentence in each language; "|" is punctuation.
SENTENCES = [
    ("en", "Don't lose Stein's state of the art e-mail.", "don lose stein state-of-the-art e-mail"),
    ("fr", "L'homme qu’il a vu aujourd'hui boit l’eau.", "l homme qu il a vu aujourd'hui boit l eau"),
    ("it", "L'acqua dell'isola è buona.", "l acqua dell isola è buona"),
    ("ca", "L'home col·labora amb l'escola.", "l home col·labora amb l escola"),
    ("de", "Die Straße ist größer, die STRASSE nicht.", "die straße ist größer | die strasse nicht"),
    ("vi", "Tôi yêu tiếng Việt và phở.", "tôi yêu tiếng việt và phở"),
    ("yo", "Ọjọ́ dára ní ilẹ̀ Yorùbá.", "ọjọ́ dára ní ilẹ̀ yorùbá"),
    ("tr", "İstanbul'da IŞIK var.", "istanbul ışık var"),
    ("sw", "Ng'ombe wa babu.", "ng'ombe wa babu"),
    ("el", "Η οδός είναι ΟΔΟΣ.", "η οδός είναι οδος"),
    ("ru", "Ёлка стоит по-русски.", "ёлка стоит по русски"),
    ("uk", "Об'єкт і сім’я.", "об'єкт і сім'я"),
    ("mn", "Монгол хэл сайхан.", "монгол хэл сайхан"),
    ("hy", "Ինչո՞ւ է երկինքը կապույտ։", "ինչու է երկինքը կապույտ"),
    ("ka", "საქართველო ლამაზია.", "საქართველო ლამაზია"),
    ("he", 'צה"ל ושָׁלוֹם בבית־ספר', 'צה"ל ושָׁלוֹם בבית ספר'),
    ("ar", "كَتَبَ الولد الـــدرس، ثم نام.", "كَتَبَ الولد الدرس | ثم نام"),
    ("fa", "می‌خواهم کتاب‌ها را بخوانم.", "می‌خواهم کتاب‌ها را بخوانم"),
    ("ur", "یہ اردو زبان ہے۔", "یہ اردو زبان ہے"),
    ("hi", "हिन्दी में दस्तावेज़ों का वर्णन है।", "हिन्दी में दस्तावेज़ों का वर्णन है"),
    ("bn", "বাংলা ভাষা খুব সুন্দর।", "বাংলা ভাষা খুব সুন্দর"),
    ("pa", "ਪੰਜਾਬੀ ਇੱਕ ਭਾਸ਼ਾ ਹੈ।", "ਪੰਜਾਬੀ ਇੱਕ ਭਾਸ਼ਾ ਹੈ"),
    ("gu", "ગુજરાતી સુંદર ભાષા છે.", "ગુજરાતી સુંદર ભાષા છે"),
    ("or", "ଓଡ଼ିଆ ଏକ ଭାଷା।", "ଓଡ଼ିଆ ଏକ ଭାଷା"),
    ("ta", "தமிழ் மொழியில் புத்தகங்கள்.", "தமிழ் மொழியில் புத்தகங்கள்"),
    ("te", "తెలుగు ఒక భాష.", "తెలుగు ఒక భాష"),
    ("kn", "ಕನ್ನಡ ಒಂದು ಭಾಷೆ.", "ಕನ್ನಡ ಒಂದು ಭಾಷೆ"),
    ("ml", "മലയാളം ഒരു ഭാഷയാണ്.", "മലയാളം ഒരു ഭാഷയാണ്"),
    ("si", "ශ්‍රී ලංකාව රටකි.", "ශ්‍රී ලංකාව රටකි"),
    ("am", "ሰላም፡ለዓለም፡ነው።", "ሰላም ለዓለም ነው"),
    ("ko", "책과 물을 샀다, 大學에서.", "책과 물을 샀다 | 大學 에서"),
    ("zh", "我们研究主题模型，猫也是。", "我们 研究 主题 模型 | 猫 也 是"),
    ("zh", "機器學習與現在的技術。", "機器 學習 與 現在 的 技術"),
    ("chr", "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ.", "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ"),
    ("mn", "ᠮᠣᠩᠭᠣᠯ ᠬᠡᠯᠡ", "ᠮᠣᠩᠭᠣᠯ ᠬᠡᠯᠡ"),
    ("bo", "བོད་སྐད་ནི།", "བོད སྐད ནི"),
    ("dv", "ދިވެހި ބަސް", "ދިވެހި ބަސް"),
]
# These are segmented by ICU.
SEGMENTED = [
    ("th", "ฉันรักภาษาไทย", "ฉัน รัก ภาษา ไทย"),
    ("lo", "ພາສາລາວ", "ພາສາ ລາວ"),
    ("km", "ខ្ញុំស្រឡាញ់ភាសា។", "ខ្ញុំ ស្រឡាញ់ ភាសា"),
    ("my", "ကျွန်တော် စာအုပ်", "ကျွန်တော် စာအုပ်"),
    ("ja", "文書は話題の混合、猫。", "文書 は 話題 の 混合 | 猫"),
]
EVERY_SCRIPT = [*SENTENCES, *SEGMENTED]
DISCARDED = "\u00ad\u0640\u2060\ufeff"
LETTERS = st.characters(categories=["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"], max_codepoint=0x1FFFF)


@pytest.fixture
def needs_icu() -> None:
    pytest.importorskip("icu4py.breakers")


def expected(words: str) -> list[str | None]:
    return [None if word == "|" else unicodedata.normalize("NFKC", word) for word in words.split()]


@pytest.mark.parametrize(("language", "sentence", "words"), SENTENCES)
def test_words_of_a_sentence(language: str, sentence: str, words: str) -> None:
    assert split_words(sentence, language) == expected(words)


@pytest.mark.parametrize(("language", "sentence", "words"), SEGMENTED)
@pytest.mark.usefixtures("needs_icu")
def test_words_of_a_sentence_without_spaces(language: str, sentence: str, words: str) -> None:
    assert split_words(sentence, language) == expected(words)


@pytest.mark.parametrize(("language", "sentence", "words"), EVERY_SCRIPT)
@pytest.mark.usefixtures("needs_icu")
def test_letters_with_their_marks_apart_give_the_same_words(language: str, sentence: str, words: str) -> None:
    assert split_words(unicodedata.normalize("NFD", sentence), language) == expected(words)


@pytest.mark.parametrize(("language", "sentence", "words"), EVERY_SCRIPT)
@pytest.mark.usefixtures("needs_icu")
def test_repairs_leave_every_script_alone(language: str, sentence: str, words: str) -> None:
    assert repair_text(sentence) == unicodedata.normalize("NFC", sentence)


@pytest.mark.parametrize(("language", "sentence", "words"), EVERY_SCRIPT)
def test_units_of_duplicates_lose_no_letter(language: str, sentence: str, words: str) -> None:
    units = text_units(sentence)
    letters = [c for c in unicodedata.normalize("NFKC", sentence).lower() if regex.match(r"[\p{L}\p{M}]", c)]
    assert [c for c in "".join(units) if regex.match(r"[\p{L}\p{M}]", c)] == letters
    assert not any(regex.match(r"\p{M}", unit) for unit in units)


@pytest.mark.usefixtures("needs_icu")
def test_each_part_of_a_mixed_text_is_split_by_its_script() -> None:
    words = split_words("We met 文本分析 and ภาษาไทย and 日本語のテキスト in हिन्दी.", "en")
    assert words == [
        *("we", "met", "文本", "分析", "and", "ภาษา", "ไทย", "and"),
        *("日本語", "の", "テキスト", "in", "हिन्दी"),
    ]


@pytest.mark.usefixtures("needs_icu")
def test_characters_beyond_the_basic_plane_do_not_shift_the_words_after_them() -> None:
    assert split_words("𠮷野家はラーメン", "ja")[-1] == "ラーメン"
    assert split_words("𝒜x ภาษาไทย", "th") == ["ax", "ภาษา", "ไทย"]
    assert "".join(w for w in split_words("𠀀𠀁𫝆主题模型", "zh") if w) == "𠀀𠀁𫝆主题模型"


@given(st.text(LETTERS, max_size=30))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:.*is written without spaces")
def test_no_letter_is_lost_and_no_mark_begins_a_word(text: str) -> None:
    pytest.importorskip("icu4py.breakers")
    words = [word for word in split_words(text, "zh") if word]
    normal = unicodedata.normalize("NFKC", text)
    assert sum(bool(regex.match(r"\p{L}", c)) for c in "".join(words) if c not in DISCARDED) >= sum(
        bool(regex.match(r"[\p{L}--[ـ]]", c, regex.VERSION1)) for c in normal
    ) - sum(c in "İ" for c in normal)
    assert not any(regex.match(r"\p{M}", word) for word in words)


@pytest.mark.parametrize("text", ["ภาษาไทย", "ພາສາລາວ", "ភាសាខ្មែរ", "မြန်မာဘာသာ", "日本語の文"])
def test_a_missing_segmenter_is_named_and_nothing_dropped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setitem(sys.modules, "icu4py.breakers", None)
    monkeypatch.setitem(sys.modules, "icu4py", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'minillm-lib\[languages\]'"):
        TermRecipe.make("auto").terms(text)
    # A single character needs nobody to cut it, as in this shrug.
    assert split_words(r"¯\_(ツ)_/¯") == [None, "ツ"]


def test_a_script_that_nobody_can_segment_is_said_and_kept() -> None:
    with pytest.warns(UserWarning, match="Javanese is written without spaces"):
        assert split_words("ꦲꦏ꧀ꦱꦫꦗꦮ") == ["ꦲꦏ꧀ꦱꦫꦗꦮ"]


def test_an_address_ends_where_chinese_begins() -> None:
    assert split_words("见https://a.org/x?y=1，然后训练", "zh") == ["见", None, "然后", "训练"]
    assert split_words("见www.a.org然后", "zh") == ["见", None, "然后"]


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("ko", "책 물 나무", ["책", "물", "나무"]),
        ("hi", "माँ घी", ["माँ", "घी"]),
        ("ja", "猫と犬", ["猫", "犬"]),
        ("yo", "ẹ̀ ilẹ̀", ["ilẹ̀"]),
        ("he", "בָ בית", ["בית"]),
        ("ru", "э стол", ["стол"]),
    ],
)
@pytest.mark.usefixtures("needs_icu")
def test_a_single_letter_is_no_word_but_a_syllable_or_a_japanese_character_is(
    language: str, text: str, terms: list[str]
) -> None:
    assert TermRecipe.make(language, stop_words=None, lemmatize=False).terms(text)[-len(terms) :] == terms
    assert len(TermRecipe.make(language, stop_words=["と"], lemmatize=False).terms(text)) == len(terms)


def test_syllables_of_tibetan_are_joined_by_their_point() -> None:
    recipe = TermRecipe("bo", phrases=frozenset(["སྐད ཡིག"]))
    assert recipe.terms("སྐད་ཡིག་བོད") == ["སྐད་ཡིག", "བོད"]
    assert recipe.phrase_terms == {"སྐད་ཡིག"}


@pytest.mark.parametrize(("language", "text", "words"), [
    ("en", "O’Neill and O'Brien's l'Hôpital, don't", "o'neill and o'brien l'hôpital don"),
    ("de", "D'Angelo, geht's", "d'angelo geht"),
    ("tr", "O'nun, Ankara'dan", "o ankara"),
    ("ro", "oraşul şi oraș", "orașul și oraș"),
])  # fmt: skip
def test_what_follows_an_apostrophe_is_cut_but_not_from_a_name(language: str, text: str, words: str) -> None:
    assert [word for word in split_words(text, language) if word] == words.split()
