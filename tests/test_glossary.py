"""course/GLOSSARY.md: each term once, in both languages, with the notebook in which it really stands."""

from __future__ import annotations

import re

import pytest
from course_build import ROOT, SOURCES

GLOSSARY = (ROOT / "course" / "GLOSSARY.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in GLOSSARY.splitlines()
    if re.match(r"\| (?!English|---)", line)
]
_TEXTS = {source.stem: source.read_text(encoding="utf-8").lower() for source in SOURCES}


def test_it_has_enough_terms_and_none_twice():
    terms = [row[0].lower() for row in ROWS]
    assert len(terms) >= 60
    assert len(set(terms)) == len(terms)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_term_has_its_chinese_its_meaning_and_a_notebook_that_has_it(row):
    term, chinese, meaning, link = row
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert meaning
    number, notebook = re.fullmatch(r"\[(\d\d)\]\((\w+)\.ipynb\)", link).groups()
    assert notebook.startswith(f"{number}_")
    assert notebook in _TEXTS, "there is no such notebook"
    text = " ".join(re.sub(r"^# ?", "", line) for line in _TEXTS[notebook].splitlines())
    words = re.split(r" \(|, ", term.lower())[0]
    assert words in text or words.replace("-", " ") in text, f"{notebook} does not speak of {words!r}"


def test_the_first_notebook_links_to_it():
    assert "](GLOSSARY.md)" in _TEXTS["00_welcome"].replace("glossary.md", "GLOSSARY.md")
    assert "](00_welcome.ipynb)" in GLOSSARY
