"""What cleaning did, in Chinese: the words of the steps that a bag of words can have."""

from __future__ import annotations

import re
from dataclasses import replace
from string import Formatter
from typing import Any

from minillm_lib.corpora.cleaning.report import CleaningStep
from minillm_lib.corpora.cleaning.step_kinds import STEP_KINDS

UNITS = {"documents": "篇文档", "tokens": "个词例", "terms": "个词"}
"""What the steps of a cleaning count, in Chinese."""

CLEANING_STEPS: dict[str, tuple[str, str]] = {
    "repair": ("{repair}", "文本已修复"),
    "repair tokens": ("{repair}：词", "作为标记或损坏而去掉"),
    "repair share": ("{repair}：占比大", "去掉的词超过 {share:.0%}"),
    "language": ("语言 {language}", "由文本判断"),
    "no stop list": ("语言 {language}：停用词", "这种语言没有停用词表"),
    "exact duplicates": ("完全重复", "词与前面的一篇文档相同"),
    "near duplicates": ("近似重复", "词与前面的一篇文档几乎相同"),
    "near duplicates not sought": ("近似重复：未查找", "超过前 {limit:,} 个词后，只查完全重复"),
    "near duplicates of some": ("近似重复：部分比较", "与超过 {limit:,} 篇文档共有罕见的词"),
    "numbers": ("数字和单个字符", "不是词"),
    "single Chinese characters": ("单个汉字", "除非在短语中，歧义太大，不宜作词"),
    "long words": ("过长的词", "超过 {limit} 个字符"),
    "stop words": ("停用词", "与内容无关"),
    "spellings": ("拼写", "计入另一种写法"),
    "phrases": ("短语", "计入短语"),
    "min_df": ("min_df={min_df}", "出现在不到 {limit:g} 篇文档中"),
    "max_df": ("max_df={max_df}", "出现在超过 {limit:g} 篇文档中"),
    "max_terms": ("max_terms={max_terms}", "不在最常见的词之列"),
    "min_df tokens": ("罕见的词", "低于 min_df={min_df} 的词的出现次数"),
    "max_df tokens": ("到处都有的词", "高于 max_df={max_df} 的词的出现次数"),
    "max_terms tokens": ("其余的词", "超出 max_terms={max_terms} 的词的出现次数"),
    "empty documents": ("空文档", "没有剩下任何词"),
    "kept words": ("keep", "在任何文档中都没有找到"),
    "vocabulary": ("词表", "不在词表中"),
}
"""The name of each kind of step and why it is done, in Chinese, by the keys of
:data:`~minillm_lib.corpora.cleaning.step_kinds.STEP_KINDS`."""

REPAIRS = {
    "encoding": "编码",
    "ligatures": "连字",
    "glyph numbers": "字形编号",
    "line-end hyphens": "行末连字符",
    "LaTeX": "LaTeX",
    "whitespace": "空白",
}
"""The repairs of a text, in Chinese, by their names in :data:`~minillm_lib.corpora.cleaning.repair.REPAIRS`."""


_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")  # as `g` writes one, such as 500.5 and 1e+06


def in_chinese(step: CleaningStep) -> CleaningStep:
    """Return a step with its name, reason and unit in Chinese; one of no known kind as it is."""
    key, values = _kind_of(step)
    if key not in CLEANING_STEPS:
        return step
    if "repair" in values:
        values["repair"] = REPAIRS.get(str(values["repair"]), str(values["repair"]))
    name, why = (sentence.format(**values) for sentence in CLEANING_STEPS[key])
    return replace(step, name=name, why=why, unit=UNITS[step.unit])


def _kind_of(step: CleaningStep) -> tuple[str, dict[str, Any]]:
    """Return the key and values of a step, found from its English words where an older report has not kept them."""
    if step.key:
        return step.key, dict(step.values)
    for key, kind in STEP_KINDS.items():
        name, why = _fitting(kind.name, step.name), _fitting(kind.why, step.why)
        if name is not None and why is not None and kind.unit == step.unit:
            return key, {**name, **why}
    return "", {}


def _fitting(pattern: str, text: str) -> dict[str, str | float] | None:
    """Return what stands in a text where a pattern has names in braces; None if the text is another."""
    pieces = [
        re.escape(before) + (f"(?P<{name}>.+)" if name else "")
        for before, name, _, _ in Formatter().parse(pattern)
    ]
    match = re.fullmatch("".join(pieces), text)
    if match is None:
        return None
    return {name: _number_or_text(value) for name, value in match.groupdict().items()}


def _number_or_text(value: str) -> str | float:
    if value.endswith("%"):
        return float(value[:-1]) / 100
    plain = value.replace(",", "")
    if plain.isdecimal():
        return int(plain)
    return float(plain) if _NUMBER.fullmatch(plain) else value
