from __future__ import annotations

import json
import math
import pickle
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from minillm_lib.topics.terms import (
    SINGLE_CHINESE,
    TermRecipe,
    join_phrases,
    normalized_pointwise_mutual_information,
    split_words,
)

WORD = st.sampled_from(["deep", "neural", "network", "gradient", "descent", None])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Deep Neural-Network (DNN) training.", ["deep", "neural", "network", None, "dnn", None, "training"]),
        ("Stein's method; they don't mix", ["stein", "method", None, "they", "don", "mix"]),
        ("k-means, Q-learning and k-NN", ["k-means", None, "q-learning", "and", "k-nn"]),
        ("semi-supervised non-convex", ["semi-supervised", "non-convex"]),
        ("end-to-end bag-of-words", ["end-to-end", "bag-of-words"]),
        ("the state of the art", ["the", "state-of-the-art"]),
        ("CIFAR-10, 3D", ["cifar-10", None, "3d"]),
        ("Kullback–Leibler", ["kullback", "leibler"]),
        ("see http://a.org/x-y?z=1 now", ["see", None, "now"]),
        ("snake_case", ["snake", "case"]),
        ("ﬁne ＬＤＡ x²", ["fine", "lda", "x2"]),
        ("Über naïve Wörter", ["über", "naïve", "wörter"]),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str | None]) -> None:
    assert split_words(text) == words


def test_chinese_is_segmented_and_english_in_it_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    words = split_words("基于K-means的主题模型，在GPU上训练。", "zh")
    assert words == ["基于", "k-means", "的", "主题", "模型", None, "在", "gpu", "上", "训练"]
    assert capfd.readouterr() == ("", "")


def test_npmi_is_1_for_inseparable_words_0_for_independent_and_below_0_for_repelling_ones() -> None:
    npmi = normalized_pointwise_mutual_information
    assert npmi(10, 10, 10, 1000) == pytest.approx(1)
    assert npmi(10, 100, 100, 1000) == pytest.approx(0)
    assert npmi(1, 100, 100, 1000) < 0
    assert npmi(20, 50, 40, 1000) == pytest.approx(math.log(0.02 / (0.05 * 0.04)) / -math.log(0.02))


def test_the_longest_phrase_wins_from_the_left_and_none_crosses_a_gap() -> None:
    phrases = {"gradient descent", "stochastic gradient descent", "descent method"}
    words = ["stochastic", "gradient", "descent", "method", None, "gradient", None, "descent", "method"]
    assert join_phrases(words, phrases) == [
        "stochastic gradient descent",
        "method",
        None,
        "gradient",
        None,
        "descent method",
    ]


@given(st.lists(WORD), st.sets(st.lists(WORD.filter(bool), min_size=2, max_size=3).map(" ".join)))
def test_joining_phrases_loses_and_reorders_nothing(words: list[str | None], phrases: set[str]) -> None:
    joined = join_phrases(words, phrases)
    assert [part for term in joined for part in (term.split(" ") if term else [None])] == words


@given(st.text())
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:.*is written without spaces")
def test_a_recipe_gives_words_for_any_text_and_counts_what_it_drops(text: str) -> None:
    pytest.importorskip("icu4py.breakers")
    recipe = TermRecipe.make("auto", stop_words=["the"])
    dropped: Counter[str] = Counter()
    words = recipe.words(text, dropped)
    terms = recipe.terms_of_words(words, dropped)
    language = recipe.language_of(text)
    split = [word for word in split_words(text, language) if word]
    assert len(terms) + dropped.total() == len(split)
    assert all(terms)


@pytest.fixture
def no_words() -> Counter[str]:
    return Counter()


def test_chinese_words_of_one_character_are_counted_and_kept_where_they_are_named(
    no_words: Counter[str],
) -> None:
    recipe = TermRecipe.make("zh")
    assert recipe.terms_of_words(recipe.words("猫和狗喜欢水", no_words), no_words) == ["喜欢"]
    assert no_words == {SINGLE_CHINESE: 3, "和": 1}
    assert TermRecipe.make("zh", keep=["猫", "和"]).terms("猫和狗喜欢水") == ["猫", "和", "喜欢"]


def test_chinese_words_of_one_character_are_part_of_a_learned_phrase() -> None:
    recipe = replace(TermRecipe.make("zh"), phrases=frozenset(["蓝莓 派"]))
    assert split_words("蓝莓派和派", "zh") == ["蓝莓", "派", "和", "派"]
    assert recipe.terms("蓝莓派和派") == ["蓝莓派"]


def test_words_of_computing_and_of_the_user_are_words_for_jieba() -> None:
    import jieba

    before = dict(jieba.dt.FREQ)
    assert "套接字" in TermRecipe.make("zh").terms("服务器用套接字接收请求")
    text = "我们用C语言写魔改栈帧"
    assert "魔改栈帧" not in TermRecipe.make("zh").terms(text)
    for user_dict in (["魔改栈帧", "C语言"], {"魔改栈帧": 10, "C语言": 0}, ["魔改栈帧 10 n", "C语言"]):
        recipe = TermRecipe.make("zh", user_dict=user_dict)
        assert TermRecipe.from_dict(json.loads(json.dumps(recipe.to_dict()))).terms(text) == [
            "c语言",
            "魔改栈帧",
        ]
    assert before == jieba.dt.FREQ


def test_traditional_chinese_is_cut_like_simplified_and_stays_traditional() -> None:
    simplified, traditional = "我们现在研究机器学习的资料", "我們現在研究機器學習的資料"
    recipe = TermRecipe.make("zh")
    assert recipe.terms(simplified) == ["现在", "研究", "机器", "学习", "资料"]
    assert recipe.terms(traditional) == ["現在", "研究", "機器", "學習", "資料"]


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("de", "Die Häuser der Städte und ihre Bäume; Netze und Daten", "haus stadt baum netz datum"),
        ("fr", "L'homme de Paris qu'il a vu boit de l'eau", "homme paris boire eau"),
        ("it", "Le case dell'isola e i libri", "casa isola libro"),
        ("es", "Las redes neuronales y los niños", "red neuronal niño"),
        ("ru", "В Москве построили дома и читали книги", "москва построить дом читать книга"),
        ("hi", "लड़कियों की किताबें", "लड़की किताब"),
        ("uk", "Об'єкти та книги", "об'єкт книга"),
        ("ar", "كَتَبَ المدارس", "كتب مدرسة"),
        ("tr", "İstanbul'da kitaplar", "istanbul kitap"),
        ("ta", "தமிழ் மொழி", "தமிழ் மொழி"),
        ("zh", "Networks 模型 and the models", "network 模型 model"),
    ],
)
def test_stop_words_and_lemmas_are_those_of_the_language(language: str, text: str, terms: str) -> None:
    assert TermRecipe.make(language).terms(text) == terms.split()


def test_each_text_of_a_mixed_corpus_is_treated_by_its_own_language() -> None:
    corpus = [
        "The cats are sleeping on the roof of the house",
        "Die Katzen schlafen auf dem Dach des Hauses",
    ] * 9
    recipe = TermRecipe.make().with_languages_of(corpus)
    assert set(recipe.languages) == {"de", "en"}
    assert recipe.terms("The cats die on roofs") == ["cat", "die", "roof"]
    assert recipe.terms("Die Katzen sind auf den Dächern") == ["katze", "dach"]
    assert TermRecipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_words_to_keep_are_never_dropped_and_never_changed() -> None:
    recipe = TermRecipe.make("en", keep=["US", "works", "c"])
    assert recipe.terms("the us works in C and it works") == ["us", "works", "c", "works"]


def test_the_filler_of_abstracts_is_dropped_only_from_abstracts() -> None:
    text = "The author of this popular report shows evidence of property and literature; we work"
    assert TermRecipe.make("en").terms(text) == [
        *("author", "popular", "report", "evidence", "property", "literature", "work")
    ]
    assert TermRecipe.make("en", stop_words="abstracts").terms(text) == []
    assert TermRecipe.make("auto", stop_words="abstracts").terms(text) == []


def test_own_stop_words_replace_the_list() -> None:
    assert TermRecipe.make("en", stop_words=["Cats"]).terms("the cats and dogs") == ["the", "and", "dog"]
    assert TermRecipe.make("auto", stop_words=None).terms("the cats") == ["the", "cat"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "klingon"}, r"language is 'klingon'; allowed values: 'auto' .*, zh"),
        ({"stop_words": "english"}, r"stop_words is 'english'; allowed values: 'default', 'abstracts', None"),
        ({"repairs": ["latex"]}, r"unknown repair 'latex'; the repairs are .*'LaTeX'"),
        ({"repairs": "LaTeX"}, "repairs is the text 'LaTeX'"),
        ({"keep": "word"}, "keep is the text 'word'"),
        ({"user_dict": "套接字"}, "user_dict is the text '套接字'"),
        ({"user_dict": {"套接字": -1}}, "gives '套接字' the frequency -1"),
    ],
)
def test_wrong_options_are_refused_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TermRecipe.make(**options)


def test_a_chinese_phrase_is_written_without_a_space() -> None:
    assert TermRecipe("zh", phrases=frozenset(["主题 模型"])).terms("主题模型") == ["主题模型"]


def test_a_recipe_survives_json() -> None:
    recipe = TermRecipe("zh", False, frozenset({"的"}), {"a": "b"}, frozenset({"x y"}), ("encoding",))
    assert TermRecipe.from_dict(recipe.to_dict()) == recipe
    recipe = TermRecipe.make("auto", keep=["猫"], user_dict={"词元": 3})
    restored = TermRecipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert restored == recipe == pickle.loads(pickle.dumps(recipe))


def test_a_recipe_of_before_keeps_its_form_and_its_meaning() -> None:
    old = {
        "language": "en",
        "lemmatize": True,
        "stop_words": ["the"],
        "spellings": {},
        "phrases": [],
        "repairs": [],
    }
    assert TermRecipe.from_dict(old).to_dict() == old
    assert TermRecipe.from_dict({**old, "language": "auto"}).languages == ("en", "zh")


@pytest.mark.parametrize("language", ["auto", "en"])
def test_own_stop_words_come_on_top_of_the_list_of_the_language(language: str) -> None:
    text = "the boats of a river and the literature"
    recipe = TermRecipe.make(language, more_stop_words=["Boat"])
    assert recipe.terms(text) == ["river", "literature"]
    assert TermRecipe.from_dict(recipe.to_dict()).terms(text) == ["river", "literature"]
    assert "the" in TermRecipe.make(language, stop_words=None, more_stop_words=["boat"]).terms(text)
    with pytest.raises(ValueError, match="more_stop_words is the text 'boat'"):
        TermRecipe.make(language, more_stop_words="boat")


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_words_to_keep_may_have_signs(language: str) -> None:
    recipe = TermRecipe.make(language, stop_words=None, keep=["C++", "c#", ".net", "node.js", "AT&T"])
    words = recipe.words("C++11, C#; ASP.NET, .NET; Node.js at AT&T; AT&TX 用C++编程")
    kept = [word for word in words if word in recipe.keep]
    assert kept == ["c++", "c#", ".net", "node.js", "at&t", "c++"]
