from __future__ import annotations

import os
from pathlib import Path

import pytest

from minillm_lib.topics.document_term import bag_of_words
from minillm_lib.topics.words import word_files
from minillm_lib.topics.words.word_files import (
    read_labels,
    read_seed_words,
    read_words,
    terms_of_seeds,
    words_or_file,
)

TEXTS = [
    "Neural networks, speech, neural networks, vision.",
    "A neural network, kernels: vision, speech.",
    "Kernels, posteriors, neural networks, kernels.",
    "Posteriors, kernels; a neural network, speech.",
]


@pytest.fixture
def write(tmp_path: Path):
    def to_file(text: str, encoding: str = "utf-8", name: str = "words.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return to_file


def test_words_stand_on_lines_or_between_commas_and_comments_are_left_out(write) -> None:
    path = write(
        "# my words\nRiver, harbour\n\n  Neural   Network  # a phrase\nriver\nC#，ｆｕｌｌ、宽\r\nlast"
    )
    assert read_words(path) == ["river", "harbour", "neural network", "c#", "full", "宽", "last"]


def test_a_guess_of_the_encoding_is_said(write, recwarn) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        read_words(write("猫\n狗\n主题模型", encoding))
    assert not recwarn.list
    with pytest.warns(UserWarning, match="was read as gb18030, a guess: it begins with '猫"):
        read_words(write("猫\n狗\n主题模型", "gb18030"))


@pytest.mark.filterwarnings("ignore:.*a guess")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_the_encoding_is_found(write, encoding: str) -> None:
    words = ["这是", "我们", "一个", "没有", "可以", "他们", "因为", "所以", "研究", "问题"]
    assert read_words(write("\n".join(words), encoding)) == words


def test_an_option_is_a_file_or_the_words_themselves(write, tmp_path: Path) -> None:
    assert words_or_file(str(write("ant\nbee"))) == ["ant", "bee"]
    assert words_or_file("Ant, bee") == ["ant", "bee"]
    for missing in (str(tmp_path / "none"), "none.txt"):
        with pytest.raises(FileNotFoundError, match="none"):
            words_or_file(missing)
    with pytest.raises(ValueError, match="holds no words"):
        words_or_file(" , ")
    with pytest.raises(ValueError, match="holds no words"):
        read_words(write("# only a comment\n"))
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_words(tmp_path)


def test_seed_words_have_a_topic_per_line(write) -> None:
    path = write("Ships: boat, harbour, Deep Sea\n# comment\nflour, dough\n烘焙：面粉，面包")
    assert read_seed_words(path) == {
        "Ships": ["boat", "harbour", "deep sea"],
        "flour": ["flour", "dough"],
        "烘焙": ["面粉", "面包"],
    }
    with pytest.raises(ValueError, match="names no words"):
        read_seed_words(write("Ships:\n"))
    with pytest.raises(ValueError, match="two lines are called 'a'"):
        read_seed_words(write("a: b\na: c"))
    with pytest.raises(ValueError, match="holds no seed words"):
        read_seed_words(write(""))


def test_labels_are_a_line_per_topic_or_numbered(write) -> None:
    assert read_labels(write("Ships\nBread and more\n"), 2) == ("Ships", "Bread and more")
    assert read_labels(write("2: Ships\n0：烘焙"), 3) == ("烘焙", "", "Ships")
    for text, message in (
        ("Ships", "holds 1 names for 3 topics"),
        ("3: Ships", "names topic 3, but there are 3 topics, 0 to 2"),
        ("1: a\n1: b", "names topic 1 twice"),
        ("1: a\nb\nc", "write it in all or none"),
        ("", "holds 0 names|holds no names"),
    ):
        with pytest.raises(ValueError, match=message):
            read_labels(write(text), 3)


def test_seed_words_become_terms_by_the_cleaning_of_the_documents() -> None:
    bag = bag_of_words(TEXTS, min_df=1, max_df=1.0, phrase_min_count=3)
    assert "neural network" in bag.vocabulary
    seeds = {"nets": ["neural networks", "unheard"], "bayes": ["kernels", "posterior", "speech vision"]}
    assert terms_of_seeds(seeds, bag) == {
        "nets": ["neural network", "unheard"],
        "bayes": ["kernel", "posterior", "speech", "vision"],
    }


def test_only_a_regular_file_of_a_list_s_size_is_read(tmp_path, write, monkeypatch):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ValueError, match=r"pipe\.txt is a named pipe"):
        words_or_file(str(tmp_path / "pipe.txt"))
    (tmp_path / "zero").symlink_to(os.devnull)
    with pytest.raises(ValueError, match="zero is a character device"):
        read_seed_words(tmp_path / "zero")
    monkeypatch.setattr(word_files, "_MOST_BYTES", 10)
    with pytest.raises(ValueError, match=r"has 11 bytes; files of its kind have at most 10"):
        read_words(write("one\ntwo\nyes"))


def test_the_number_of_a_topic_may_have_any_number_of_digits(write):
    with pytest.raises(ValueError, match=r"names topic 9{40}, but there are 3 topics"):
        read_labels(write(f"{'9' * 5000}: Ships"), 3)
