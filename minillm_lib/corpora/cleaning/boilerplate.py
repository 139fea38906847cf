"""Removing what surrounds the text of a page or a file: licences, menus, cookie notices, calls to share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

COPYRIGHT_NOTICE = r"(?:(?:copyright|©)\s*(?:\(c\)|©|\d{4})|\(c\) \d{4})"
LICENCE_PHRASES = (
    r"all rights reserved",
    r"SPDX-License-Identifier:",
    r"licensed under the .{0,40}\blicen[cs]e\b",
    r"permission is hereby granted, free of charge",
    r"the software is provided [\"“]as is",
    r"this software is provided by the copyright",
    r"redistribution and use in source and binary forms",
    r"unless required by applicable law or agreed",
    r"you may obtain a copy of the licen[cs]e",
    r"you should have received a copy of the (?:gnu|licen[cs]e)",
    r"this (?:program|file|library) is (?:free software|distributed in the hope)",
    r"版权所有|版权声明[:：]|保留所有权利",
    r"未经(?:许可|授权|允许)[,，]?(?:不得|禁止|严禁)转载",
)
"""Patterns of the phrases with which paragraphs of the common licences begin (MIT, BSD, Apache, GPL)."""

# Clauses with a paragraph of their own, after one of the phrases above.
_LICENCE_CLAUSES = (
    r"(?:the )?above copyright notice and this permission",
    r"redistributions (?:of|in) (?:source|binary)",
    r"neither the names? of .{0,80}\bnor the names",
)
_COMMENT_MARK = r"#+|//+|/?\*+|--|;+|%+"
_MARK = rf"(?P<indent>[ \t]*)(?P<mark>{_COMMENT_MARK}|)[ \t]*"
_NOTICE = re.compile(_MARK + COPYRIGHT_NOTICE, re.IGNORECASE)
# "(c) 1916" is also the third answer of a question. A notice has a name behind the year, and no neighbours (b) and (d).
_BARE_C = re.compile(rf"{_MARK}\(c\)", re.IGNORECASE)
_BARE_NOTICE = re.compile(rf"{_MARK}\([cC]\) \d{{4}}(?:\s*[-–,]\s*\d{{4}})*,?\s+(?:by\s+\w|[^\W\d_a-z])")
_ANSWER = re.compile(r"\s*\([bd]\)", re.IGNORECASE)
_LICENCE = re.compile(rf"{_MARK}(?:\d\. )?(?:{'|'.join(LICENCE_PHRASES + _LICENCE_CLAUSES)})", re.IGNORECASE)
_ANY_PHRASE = re.compile("|".join(LICENCE_PHRASES), re.IGNORECASE)
_BARE_COMMENT = re.compile(r"[ \t]*(?:#+|//+|\*+/?|--|;+|%+)[ \t]*")

_MENU_ITEM = (
    r"(?:home|about(?: us)?|contact(?: us)?|blog|faq|help|news|search|menu|login|log in|sign in|sign up|register"
    r"|site ?map|privacy(?: policy)?|terms(?: of (?:use|service))?|cookies?(?: policy)?|products|shop|cart|next"
    r"|prev(?:ious)?|首页|关于我们|联系我们|登录|注册|网站地图|隐私政策|服务条款|新闻|产品|帮助|搜索)"
)
_NETWORKS = r"(?:facebook|twitter|x|linkedin|reddit|whatsapp|instagram|youtube|mastodon|e-?mail)"
_ARROW = r"(?:\s*[»›→>]+)?"
# Each is the pattern of a whole line.
_LINES = (
    # menus and navigation
    rf"{_MENU_ITEM}(?:\s*[|•·›»>/]\s*{_MENU_ITEM})+",
    r"skip to (?:main )?(?:content|navigation)|jump to navigation|toggle (?:navigation|menu)",
    r"(?:[←^↑]\s*)?(?:back|return) to (?:the )?top",
    rf"(?:[«‹←]\s*)?(?:previous|next) (?:page|post|article){_ARROW}",
    r"返回顶部|回到顶部|跳转到主要内容|[上下]一[篇页](?:[:：].{0,40})?",
    # cookies
    r"(?:we|(?:this|our) (?:web)?site) uses? (?:\w+ ){0,3}cookies?\b.{0,200}|accept (?:all )?cookies|cookie settings",
    r"by (?:continuing to (?:use|browse)|using) (?:this|our) (?:web)?site,? you (?:agree|consent|accept)\b.{0,200}",
    r"(?:本站|本网站|我们)(?:会)?使用\s*cookies?.{0,100}|接受(?:所有|全部)?\s*cookies?",
    # calls to share, follow and subscribe
    rf"share (?:this(?: (?:post|page|article|story))?|(?:this )?(?:on|via) {_NETWORKS}.{{0,40}})",
    rf"(?:follow|like|find) us on {_NETWORKS}.{{0,60}}|tweet(?: this)?|print this page",
    r"subscribe (?:to our|now|today)\b.{0,60}|sign up (?:for|to) our\b.{0,60}newsletter.{0,20}",
    r"分享到[:：]?\s*(?:微信|微博|朋友圈|QQ).{0,20}|关注我们(?:[:：].{0,30})?|(?:微信)?扫[码一].{0,10}关注.{0,30}",
    r"长按.{0,10}二维码.{0,30}",
    # what a browser without scripts is shown
    r"(?:please )?(?:enable|turn on) java ?script\b.{0,100}",
    r"java ?script is (?:disabled|required|not enabled)\b.{0,100}|(?:loading|加载中)(?:\.{2,}|…+)",
    # links to the rest
    rf"(?:read|show|load|view|click (?:here )?(?:for|to read)) more(?:\s*(?:\.{{3}}|…))?{_ARROW}",
    rf"(?:点击)?(?:查看|阅读|加载)更多(?:\s*(?:\.{{3}}|…+))?{_ARROW}|阅读全文",
    # the registration of Chinese sites
    r".{0,20}ICP\s*备\s*\d+\s*号.{0,40}|.{0,10}公网安备\s*\d+\s*号.{0,20}",
)
_LINE = re.compile(rf"(?:{'|'.join(_LINES)})[ .!。！]*", re.IGNORECASE)
_LONGEST_LINE = 300
_NEAR = 20  # lines behind a notice among which a phrase of its licence is looked for
_MARKS_AND_BLANKS = " \t#/*-;%"


def remove_boilerplate(text: str) -> str:
    """Remove the lines that surround the text of a page or file: licences, menus, cookie notices, calls to share.

    A *licence* is removed by the paragraph: from the beginning of one that starts like those of the common licences, or
    from a copyright notice if there is a phrase of these licences behind it, to the next empty line. Of a comment in
    code, what follows a notice is removed to the end of the comment's paragraph; otherwise, a notice is a line.
    Everything else is removed by the line, and only if the *entire* line matches a known pattern (menus, navigation,
    cookies, sharing, scripts, "read more", Chinese site registration), in English or Chinese. A sentence of prose that
    contains more than such a pattern stays.
    """
    kept: list[str] = []
    lines = text.split("\n")
    position = 0
    while position < len(lines):
        line = lines[position]
        starts_paragraph = position == 0 or not lines[position - 1].strip(_MARKS_AND_BLANKS)
        notice = _NOTICE.match(line)
        if notice and _BARE_C.match(line) and not (starts_paragraph and _is_bare_notice(lines, position)):
            notice = None
        licence = notice or (_LICENCE.match(line) if starts_paragraph else None)
        position += 1
        if licence:
            is_code = (
                licence["mark"].strip("*") != ""
            )  # rather than a paragraph of prose, or an item of a list
            is_paragraph = (
                not notice or is_code or _has_phrase(lines[position - 1 : position + _NEAR], licence)
            )
            while is_paragraph and position < len(lines) and _goes_on(lines[position], licence):
                position += 1
            while licence["mark"] and position < len(lines) and _BARE_COMMENT.fullmatch(lines[position]):
                position += 1
        elif not _is_boilerplate(line):
            kept.append(line)
    return "\n".join(kept)


def _is_bare_notice(lines: Sequence[str], position: int) -> bool:
    """Return whether a line that begins with "(c)" is a notice, rather than an answer among others."""
    around = (range(position - 1, -1, -1), range(position + 1, len(lines)))
    neighbours = [next((lines[place] for place in places if lines[place].strip()), "") for places in around]
    return not any(map(_ANSWER.match, neighbours)) and _BARE_NOTICE.match(lines[position]) is not None


def _has_phrase(lines: Sequence[str], licence: re.Match[str]) -> bool:
    """Return whether a paragraph, of which these are the first lines, has a phrase of the common licences."""
    further = takewhile(lambda line: _goes_on(line, licence), lines[1:])
    return _ANY_PHRASE.search(" ".join([lines[0], *further])) is not None


def _goes_on(line: str, licence: re.Match[str]) -> bool:
    """Return whether a line belongs to a licence's paragraph: a comment with the same mark, or indented under it."""
    bare = line.lstrip()
    is_within = bare.startswith(licence["mark"].lstrip("/") if "*" in licence["mark"] else licence["mark"])
    is_under = len(line) - len(bare) > len(licence["indent"])
    return bool(bare) and (is_within or is_under) and not _BARE_COMMENT.fullmatch(line)


def _is_boilerplate(line: str) -> bool:
    bare = line.strip()
    return 0 < len(bare) <= _LONGEST_LINE and _LINE.fullmatch(bare) is not None
