"""The words of scripts that are written without spaces: Chinese by jieba, the others by ICU."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import regex

from minillm_lib.corpora.cleaning.scripts import HAN, KANA, SEGMENTED_SCRIPTS, UNSEGMENTED_SCRIPTS
from minillm_lib.io.optional import needed
from minillm_lib.topics.words.traditional_chinese import simplified

_KANA_RUN = regex.compile(rf"[{KANA}]+|[^{KANA}]+", regex.VERSION1)
_KANA = regex.compile(rf"[{KANA}]", regex.VERSION1)
_EAST_ASIAN = regex.compile(rf"[{HAN}{KANA}]", regex.VERSION1)
_SEGMENTED = regex.compile(
    "|".join(rf"(?P<{code}>\p{{{script}}})" for script, code in SEGMENTED_SCRIPTS.items())
)

# Words of computing that jieba's dictionary lacks, and whose pieces are no words (套, 接字).
_COMPUTING = (
    "套接字 线程池 字节流 哈希表 哈希值 散列表 互斥锁 闭包 字节码 微服务 迭代器 装饰器 词嵌入 过拟合 欠拟合 超参数 "
    "词元 大模型 预训练 协程 非阻塞 反序列化 泛型 丢包 爬取 后端 链接器 位图 光栅化 正则化 降维 支持向量机 学习率 "
    "验证集 测试集 训练集 数据集 词向量 自注意力 困惑度 马尔可夫链 狄利克雷 栈溢出 空指针 野指针 段错误 云计算 "
    "物联网 区块链 公钥 会话"
)

UserWords = tuple[tuple[str, int], ...]
"""Words that jieba must know, each with its frequency; 0 lets jieba choose one with which it stays whole."""


def segment(run: str, language: str, user_words: UserWords = ()) -> list[str]:
    """Cut a run of letters of a script without spaces into words.

    Chinese characters are cut by jieba, in a Japanese text (and next to kana, except in a Chinese one) by ICU; Korean
    puts spaces between words that are written in Chinese characters too. Thai, Lao, Khmer and Burmese are cut by ICU.
    For the other scripts no library knows the words; there, the run is one word, and a warning says so.

    Raises
    ------
    MissingPackageError
        If ICU is needed and not installed.
    """
    if len(run) == 1:
        return [run]
    if _EAST_ASIAN.match(run):
        if language == "ko":
            return [run]
        if language == "ja" or (language != "zh" and _KANA.search(run)):
            return _by_icu(run, "ja")
        if _KANA.search(run):
            return [
                word
                for part in _KANA_RUN.findall(run)
                for word in (_by_icu(part, "ja") if _KANA.match(part) else _by_jieba(part, user_words))
            ]
        return _by_jieba(run, user_words)
    match = _SEGMENTED.match(run)
    if match and match.lastgroup:
        return _by_icu(run, match.lastgroup)
    _warn_of_script(run)
    return [run]


def read_user_words(words: Mapping[str, int] | Iterable[str] | None) -> UserWords:
    """Return words for jieba, sorted.

    Parameters
    ----------
    words
        Frequencies by word, or words; a word may be followed by its frequency and its part of speech, as in the lines
        of a dictionary file for jieba (``套接字 100 n``).

    Raises
    ------
    ValueError
        If ``words`` is a single text, or a frequency is negative or no whole number.
    """
    if isinstance(words, str):
        raise ValueError(
            f"user_dict is the text {words!r}; pass its words, or a mapping of words to frequencies"
        )
    pairs = words.items() if isinstance(words, Mapping) else map(_user_word, words or ())
    found = {}
    for word, frequency in pairs:
        if isinstance(frequency, bool) or not isinstance(frequency, int) or frequency < 0:
            raise ValueError(
                f"user_dict gives {word!r} the frequency {frequency!r}; allowed is an int from 0"
            )
        if word.strip():
            found[word.strip()] = frequency
    return tuple(sorted(found.items()))


def _user_word(line: str) -> tuple[str, int]:
    parts = line.strip().split()
    if len(parts) > 1 and parts[-1].isascii() and parts[-1].isalpha() and parts[-2].isdigit():
        del parts[-1]  # the part of speech
    frequency = int(parts.pop()) if len(parts) > 1 and parts[-1].isdigit() else 0
    return " ".join(parts), frequency


@lru_cache(maxsize=2)
def _tokenizer(user_words: UserWords) -> Any:
    """Return a tokenizer of its own, so that the user's words stay out of jieba's global one."""
    import jieba

    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    for word in _COMPUTING.split():
        tokenizer.add_word(word)
    for word, frequency in user_words:
        tokenizer.add_word(simplified(word), frequency or None)
    return tokenizer


def _by_jieba(run: str, user_words: UserWords) -> list[str]:
    words, start = [], 0
    for word in _tokenizer(user_words).lcut(simplified(run)):
        words.append(run[start : start + len(word)])
        start += len(word)
    return words


def _by_icu(run: str, language: str) -> list[str]:
    breakers = needed("icu4py.breakers", "languages", _purpose(language))
    return list(breakers.WordBreaker(run, language))


def _purpose(language: str) -> str:
    names = {code: script for script, code in SEGMENTED_SCRIPTS.items()} | {"ja": "Japanese", "my": "Burmese"}
    return f"to split {names[language]} text, which has no spaces, into words"


def _warn_of_script(run: str) -> None:
    for script in UNSEGMENTED_SCRIPTS:
        if not regex.match(rf"\p{{{script}}}", run):
            continue
        warnings.warn(
            f"{script.replace('_', ' ')} is written without spaces between words, and no library here knows its "
            "words; each run of letters counts as one word",
            stacklevel=2,
        )
