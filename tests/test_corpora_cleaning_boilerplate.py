"""Boilerplate is removed, and prose about the same subjects stays."""

from __future__ import annotations

import pytest

from minillm_lib.corpora.cleaning.boilerplate import remove_boilerplate

BEFORE, AFTER = "The sampler draws one topic at a time.", "It stops after a thousand sweeps."


@pytest.mark.parametrize(
    "line",
    [
        "Home | About us | Contact",
        "首页 > 新闻 > 产品",
        "Skip to main content",
        "↑ Back to top",
        "Next page »",
        "上一篇：如何安装",
        "We use cookies to give you the best experience on our website.",
        "This site uses strictly necessary cookies",
        "By continuing to browse this site, you agree to our use of cookies.",
        "本网站使用 Cookie 以改善您的体验。",
        "Share this on Facebook",
        "Follow us on Twitter and Instagram!",
        "Subscribe to our newsletter.",
        "分享到：微信 微博",
        "扫一扫，关注我们的公众号",
        "Please enable JavaScript to view this page.",
        "Loading...",
        "Read more »",
        "查看更多",
        "京ICP备12345678号-1",
        "Copyright (c) 2020 The Authors. All rights reserved.",
        "© 2021 Some Company",
        "(c) 2019, 2020 by Somebody",
        "版权所有 2020 某公司",
        "未经授权，不得转载",
        "# SPDX-License-Identifier: MIT",
    ],
)
def test_a_line_of_boilerplate_goes_and_its_neighbours_stay(line):
    assert remove_boilerplate(f"{BEFORE}\n\n{line}\n\n{AFTER}") == f"{BEFORE}\n\n\n{AFTER}"


@pytest.mark.parametrize(
    "text",
    [
        "Home",
        "At home, read more about topic models in the next page of this chapter.",
        "Browsers send cookies with each request; we use them to keep a session.",
        "The MIT licence grants permission free of charge, provided that the notice of copyright is kept.",
        "He asked us to share this on the way back to the top of the hill.",
        "下一篇论文将讨论吉布斯采样的收敛性。",
        "JavaScript is a language in which a pyLDAvis page is written.",
        "Neither the name of the model nor its size tells how well it works.",
        "The code can be found in [1]_,\nlicensed under the MIT license. More is said there.",
        "Copyright law protects works for decades.",
        "| home | 3 |\n| away | 4 |",
        "# Comments\n#\n# are kept\nx = 1",
        "(a) 1914\n(b) 1915\n(c) 1916\n(d) 1917\nAnswer: (b)",
        "When did it end?\n\n(c) 1916\n\nAnswer: (c)",
        "(b) 1915 Ypres\n\n(c) 1916 Somme\n\n(d) 1917 Arras",
        "(c) 1916 Somme\n(d) 1917 Arras",
        "It was founded in\n(c) 1916 London as a club, and is one still.",
        "(c) 1916 was a leap year.\nSo was 1920.",
    ],
)
def test_prose_about_the_same_things_stays(text):
    assert remove_boilerplate(text) == text


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (
            "# Copyright 2020 The Authors\n# Licensed under the Apache License, Version 2.0;\n# you may not use it\n#\n"
            "# Unless required by applicable law or agreed to in writing,\n# it comes as it is.\n",
            "import os\n",
        ),
        ("/* Copyright (c) 1999 Somebody\n * All rights reserved.\n */\n", "int main(void);"),
        (
            "Copyright (c) 2006, Somebody\n\n  * Redistributions of source code must retain the above copyright\n"
            "    notice and this list.\n\n  2. Redistributions in binary form must, too.\n",
            "\n\nThe text.",
        ),
        ("// (c) 2001 Somebody\n// Permission as below.\n", "int x = 0; // a comment"),
    ],
)
def test_a_licence_goes_to_the_end_of_its_comment_and_the_code_stays(header, code):
    assert remove_boilerplate(header + code).strip() == code.strip()


@pytest.mark.parametrize("notice", ["Copyright 2001 Somebody", "© 2001 Somebody", "(c) 2001-2003 Anna"])
def test_a_notice_takes_what_follows_with_it_only_if_that_is_a_licence(notice):
    assert remove_boilerplate(f"{notice}\n{BEFORE}\n{AFTER}") == f"{BEFORE}\n{AFTER}"
    licence = f"{notice}\nof some town.\nPermission is hereby granted, free of charge, to all."
    assert remove_boilerplate(f"{licence}\n\n{AFTER}") == f"\n{AFTER}"


def test_an_item_of_a_list_that_looks_like_a_notice_leaves_the_others():
    assert (
        remove_boilerplate("* Copyright 1976 Act\n* Patent Act\n* Design Act") == "* Patent Act\n* Design Act"
    )


def test_a_list_of_notices_is_read_once():
    assert remove_boilerplate("Copyright 2001 Somebody\n" * 50_000) == ""
