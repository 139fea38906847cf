from __future__ import annotations

import json
import os
import random

import pytest

from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.reading.guessing import guess_encoding
from minillm_lib.corpora.reading.report import ReadError, ReadReport

TEXTS = {
    "zh": "今天天气很好，我们一起去公园散步。主题模型是一种统计方法，用来发现文档中的主题。孩子们喜欢玩耍。",
    "zh-Hant": "今天天氣很好，我們一起去公園散步。主題模型是一種統計方法，用來發現文件中的主題。孩子們喜歡玩耍。",
    "ja": "今日は天気がいいので、公園を散歩しました。トピックモデルは文書から話題を見つける方法です。",
    "ko": "오늘은 날씨가 좋아서 공원을 산책했습니다. 토픽 모델은 문서에서 추상적인 주제를 찾는 방법입니다.",
    "ru": "Сегодня хорошая погода, и мы гуляем в парке. Тематическая модель находит скрытые темы в документах.",
    "uk": "Сьогодні гарна погода, і ми гуляємо в парку. Тематична модель знаходить приховані теми у документах.",
    "el": "Σήμερα ο καιρός είναι καλός και περπατάμε στο πάρκο. Το μοντέλο βρίσκει κρυμμένα θέματα.",
    "de": "Heute ist schönes Wetter, und wir gehen im Park spazieren, während die Größeren übers Feld laufen.",
    "fr": "Aujourd'hui il fait beau. Le modèle thématique découvre des thèmes cachés ; les élèves préfèrent l'été.",
    "pl": "Dziś jest ładna pogoda i spacerujemy po parku. Dzieci lubią bawić się na trawie, żeby się rozwijać.",
    "cs": "Dnes je hezké počasí a procházíme se v parku. Tematický model nachází skrytá témata ve sbírce dokumentů.",
    "tr": "Bugün hava güzel ve parkta yürüyoruz. Konu modeli gizli konuları bulur. Şimdi ışığı açıyoruz, değil mi?",
    "he": "היום מזג האוויר נעים ואנחנו מטיילים בפארק. מודל הנושאים מוצא נושאים נסתרים באוסף של מסמכים.",
    "ar": "الطقس جميل اليوم ونحن نتمشى في الحديقة. يجد نموذج المواضيع مواضيع خفية في مجموعة من الوثائق.",
    "th": "วันนี้อากาศดี เราไปเดินเล่นในสวนสาธารณะ แบบจำลองหัวข้อค้นหาหัวข้อที่ซ่อนอยู่ในเอกสาร",
}
ENCODINGS = [
    ("zh", "gbk"), ("zh", "gb18030"), ("zh-Hant", "big5"), ("ja", "cp932"), ("ja", "euc_jp"), ("ja", "iso2022_jp"),
    ("ko", "cp949"), ("ru", "cp1251"), ("ru", "koi8_r"), ("ru", "cp866"), ("ru", "iso8859_5"), ("uk", "cp1251"),
    ("el", "cp1253"), ("de", "cp1252"), ("fr", "cp1252"), ("pl", "cp1250"), ("pl", "iso8859_2"), ("cs", "cp1250"),
    ("tr", "cp1254"), ("he", "cp1255"), ("ar", "cp1256"), ("th", "cp874"),
    *((language, f"utf-16-{order}") for language in TEXTS for order in ("le", "be")),
]  # fmt: skip


@pytest.mark.parametrize(("language", "encoding"), ENCODINGS)
def test_a_sentence_shows_its_encoding(tmp_path, language, encoding):
    (tmp_path / "t.txt").write_bytes(TEXTS[language].encode(encoding))
    report = ReadReport()
    (document,) = read_files(tmp_path / "t.txt", report=report)
    assert document.text == TEXTS[language]
    assert report.notes[0].startswith("the encoding was recognised as ")
    assert "; encoding states another" in report.notes[0]


@pytest.mark.parametrize(
    ("language", "encoding"), [pair for pair in ENCODINGS if not pair[1].startswith(("utf", "iso2022"))]
)
def test_short_files_of_a_folder_are_recognised_together(tmp_path, language, encoding):
    """Each holds a few characters, some of which are valid in several encodings."""
    text, draw = TEXTS[language], random.Random(0)
    pieces = [
        text[start : start + 12].strip() for start in (draw.randrange(len(text) - 12) for _ in range(60))
    ]
    for number, piece in enumerate(pieces):
        (tmp_path / f"{number:02}.txt").write_bytes(piece.encode(encoding))
    assert [document.text for document in read_files(tmp_path)] == pieces


def test_each_file_of_a_mixed_folder_has_its_own_encoding(tmp_path):
    written = {}
    for language, encoding in [
        ("zh", "gbk"),
        ("ja", "cp932"),
        ("ru", "koi8_r"),
        ("zh", "utf-8"),
        ("ko", "utf-16"),
    ]:
        for start in (0, 5, 10):
            name = f"{language}-{encoding}-{start}"
            written[name] = TEXTS[language][start:]
            (tmp_path / f"{name}.txt").write_bytes(written[name].strip().encode(encoding))
    found = {document.meta["title"]: document.text for document in read_files(tmp_path)}
    assert found == {name: text.strip() for name, text in written.items()}


def test_gbk_lines_and_records_are_read_without_being_told(tmp_path):
    (tmp_path / "t.jsonl").write_bytes(
        '{"text": "湖泊，小鸟，云朵"}\n{"text": "草地，老鹰，森林"}\n'.encode("gbk")
    )
    assert [document.text for document in read_files(tmp_path)] == ["湖泊，小鸟，云朵", "草地，老鹰，森林"]
    (tmp_path / "t.jsonl").write_bytes('{"text": "lake"}\r\n{"text": "wolf"}\r\n'.encode("utf-16"))
    assert [document.text for document in read_files(tmp_path)] == ["lake", "wolf"]


def test_much_that_does_not_decode_as_was_stated_is_an_error(tmp_path):
    for number in range(10):
        (tmp_path / f"{number}.txt").write_bytes(TEXTS["zh"].encode("gbk"))
    with pytest.raises(
        ReadError, match=r"(?s)wrong encoding \(10\).*0\.txt:1: wrong encoding \(byte 0xBD is not valid utf-8"
    ):
        list(read_files(tmp_path, encoding="utf-8"))
    (tmp_path / "a.txt").write_bytes(TEXTS["zh"].encode("utf-16-be"))
    with pytest.raises(ReadError, match="much of it is not valid utf-32"):
        list(read_files(tmp_path / "a.txt", encoding="utf-32-le"))


def test_the_stated_encoding_wins_over_the_detector_but_not_over_a_mark(tmp_path):
    (tmp_path / "t.txt").write_bytes("Größe".encode("cp1252"))
    assert next(read_files(tmp_path, encoding="cp1251")).text == "GrцЯe"
    (tmp_path / "t.txt").write_bytes("Größe".encode("utf-8-sig"))
    assert next(read_files(tmp_path, encoding="cp1251")).text == "Größe"


def test_an_accent_late_in_a_long_file_counts(tmp_path):
    content = b"plain text\n" * 100_000 + "ein größeres Wörterbuch für Übungen\n".encode("cp1252")
    (tmp_path / "t.txt").write_bytes(content)
    *_, last = read_files(tmp_path, documents="line")
    assert last.text == "ein größeres Wörterbuch für Übungen"


@pytest.mark.parametrize(
    "content", [b"\0" * 5000, random.Random(0).randbytes(5000), b"\x7fELF" + bytes(range(256)) * 9]
)
def test_bytes_that_are_no_text_are_refused_in_words(tmp_path, content):
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(ReadError, match=r"not text"):
        list(read_files(tmp_path / "t.txt"))


def test_random_bytes_are_in_no_encoding():
    assert guess_encoding(os.urandom(4000)) is None
    assert guess_encoding(bytes(byte | 0x80 for byte in os.urandom(4000))) is None


def test_short_files_of_gbk_are_not_taken_for_valid_or_damaged_utf8(tmp_path):
    texts = ["联通", "今天天气很好我们去公园玩", "大家都觉得这个东西不错", "态度好好好", "物流太慢客服态度差"]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_bytes(text.encode("gbk"))
    assert [document.text for document in read_files(tmp_path)] == texts


@pytest.mark.parametrize("text", ["été", "µ", "Ж", "naïve", "“a”"])
def test_a_few_letters_of_utf8_stay_utf8(tmp_path, text):
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
    assert [document.text for document in read_files(tmp_path)] == [text] * 3


def test_an_encoding_that_fits_every_byte_is_preferred_to_a_close_one_that_does_not(tmp_path):
    text = "รัฐบาลได้หารือเกี่ยวกับมาตรการใหม่เพื่อสนับสนุนเศรษฐกิจ"
    (tmp_path / "t.txt").write_bytes(text.encode("cp874"))
    with pytest.warns(UserWarning, match="taken for cp874, but may be gb18030"):
        assert [document.text for document in read_files(tmp_path / "t.txt")] == [text]


@pytest.mark.parametrize("name", ["t.txt", "t.json", "t.jsonl"])
def test_a_replacement_character_that_the_file_holds_is_no_damage(tmp_path, name):
    texts = ["a � b and more", "词 � 句"] * 30
    content = "\n".join(texts) if name == "t.txt" else json.dumps(texts, ensure_ascii=False)
    report = ReadReport()
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert [
        d.text
        for d in read_files(tmp_path / name, documents="line" if name == "t.txt" else "auto", report=report)
    ] == texts
    assert not report.replaced_bytes
