"""English and Chinese are told from other languages."""

from __future__ import annotations

import pytest
from paper_lists import abstracts, needs_paper_lists

from minillm_lib.corpora.cleaning.filters import identify_language


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "We draw the topic of one word at a time, given the topics of all the other words."),
        ("en", "Return the mean of an array."),
        ("en", "Gradient descent, momentum, Adam"),
        (
            "en",
            "def mean(values):\n    if not values:\n        return 0\n    return sum(values) / len(values)",
        ),
        ("zh", "主题模型把每篇文档看作若干主题的混合。"),
        ("zh", "主題模型把每篇文檔看作若干主題的混合。"),
        ("zh", "讲讲 LDA 与 Transformer 的差异？"),
        ("other", "トピックモデルは文書を話題の混合とみなす。"),
        ("other", "토픽 모델은 문서를 주제의 혼합으로 본다."),
        ("other", "大韓民國의 토픽 모델은 文書를 주제의 혼합으로 본다."),
        ("other", "विषय मॉडल दस्तावेज़ों का वर्णन करता है।"),
        ("other", "ฉันรักภาษาไทย"),
        ("zh", "详见https://example.org/a/b/c/d/e，然后训练主题模型"),
        ("other", "Тематическая модель представляет документ как смесь тем."),
        ("other", "نموذج الموضوعات يصف كل وثيقة كمزيج من المواضيع."),
        ("other", "Das Modell beschreibt jedes Dokument als eine Mischung von Themen, die wir nicht sehen."),
        ("other", "Le modèle décrit chaque document comme un mélange de thèmes que nous ne voyons pas."),
        ("other", "El modelo describe cada documento como una mezcla de temas que no vemos."),
        ("other", "Il modello descrive ogni documento come una miscela di temi che non si vedono."),
        ("other", "O modelo descreve cada documento como uma mistura de temas que não vemos."),
        ("other", "Het model beschrijft elk document als een mengsel van onderwerpen die we niet zien."),
        ("other", "Model opisuje każdy dokument jako mieszaninę tematów, których nie widać."),
        ("other", "Modellen beskriver varje dokument som en blandning av ämnen som inte syns."),
        ("other", "3.14159 2.71828 1.41421"),
        ("other", ""),
    ],
)
def test_sentences(language, text):
    assert identify_language(text) == language


@needs_paper_lists
def test_abstracts_of_papers_are_english():
    found = [identify_language(text) for text in abstracts(2015) if len(text) > 100]
    assert len(found) > 300
    assert set(found) == {"en"}
