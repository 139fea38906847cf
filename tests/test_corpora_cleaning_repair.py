from __future__ import annotations

import doctest
import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st
from paper_lists import abstracts, needs_paper_lists

from minillm_lib.corpora.cleaning import repair
from minillm_lib.corpora.cleaning.repair import REPAIRS, count_words, repair_text
from minillm_lib.corpora.cleaning.report import CleaningReport

_LATEX = r"\emph{ {\em } { $ $$ \ \ell_1 \eps \"o \c \cite{x} `` '' ~ ¨a"
_PDF = "(cid:173) (cid:12) (cid: ﬁ ﬃ - â€™ &amp; &lt;"
DEBRIS = [*_LATEX.split(" "), *_PDF.split(" ")]
DEBRIS += [" ", "\n", "\n\n\n", "\u00ad", "\u200b", "\ufffc"]
PLAIN = 'A Bayesian network is learned from data; its structure (a graph) needs 3 passes.\n\nIt\'s "good".'


@pytest.mark.parametrize(
    ("damaged", "repaired"),
    [
        ("prob(cid:173) lems of parti(cid:173)\ncular interest", "problems of particular interest"),
        ("large(cid:173) margin", "large-margin"),
        ("a Gauss(cid:173) Newton step", "a Gauss-Newton step"),
        ("classi(cid:12)cation, di(cid:11)erent, e(cid:14)cient", "classification, different, efficient"),
        ("in(cid:2)nite, in(cid:3)uenced, N(cid:2)N", "infinite, influenced, N N"),
        ("the Nystr(cid:246)m method, where (cid:15)-tubes exist", "the Nyström method, where -tubes exist"),
        ("is shown to out- perform prior work", "is shown to outperform prior work"),
        ("state-\nof-the-art, high-\ndimensional", "state-of-the-art, high-dimensional"),
        ("the cost-to- go function", "the cost-to-go function"),
        ("pre- and postsynaptic spikes", "pre- and postsynaptic spikes"),
        ("hyphen\u00adation", "hyphenation"),
        ("ﬂow of eﬀects in a classiﬁer, diﬃcult", "flow of effects in a classifier, difficult"),
        ("the userâ€™s â€œblack boxâ€\x9d", "the user’s “black box”"),
        ("$\\ell_1$-regularized $k$-means in $L_2$, $\\epsilon$ error", "l1-regularized k-means in L2, epsilon error"),
        ("regret of $O(\\sqrt{T \\log K})$ rounds", "regret of rounds"),
        ("within $95$\\% of optimal", "within 95% of optimal"),
        ("costs $5 and $10 a run", "costs $5 and $10 a run"),
        ("as shown~\\cite{Lowe2004,Dalal} and by \\citet[\\S 9.2]{ambrosio}.", "as shown and by ."),
        ("is \\emph{only} {\\em half-integral} \\textbf{and \\textit{nested}}", "is only half-integral and nested"),
        ("R\\'enyi, H\\\"{o}lder, {\\L}ojasiewicz, Fr{\\'e}chet", "Rényi, Hölder, Łojasiewicz, Fréchet"),
        ("Erd\\H{o}s, \\c{S}, na\\\"{\\i}ve", "Erdős, Ş, naïve"),
        ("G¨artner and the Cram´er-Rao bound", "Gärtner and the Cramér-Rao bound"),
        ("a ``filter manifold'' network", 'a "filter manifold" network'),
        ("Random \ufffcPartitions  \n \n\n of\u2029sets \u200b", "Random Partitions\n\nof\nsets"),
        ("在图像上训练，效果“好”。", "在图像上训练，效果“好”。"),
    ],
)  # fmt: skip
def test_debris_of_papers_is_repaired(damaged: str, repaired: str) -> None:
    assert repair_text(damaged) == repaired


def test_the_example_in_the_documentation_is_true() -> None:
    assert doctest.testmod(repair) == doctest.TestResults(failed=0, attempted=1)


def test_text_without_damage_is_left_as_it_is() -> None:
    assert repair_text(PLAIN) == PLAIN


@given(st.lists(st.one_of(st.text(max_size=8), st.sampled_from(DEBRIS)), max_size=20).map("".join))
@settings(max_examples=400, deadline=None)
def test_repairing_twice_changes_nothing_more(text: str) -> None:
    repaired = repair_text(text)
    assert repair_text(repaired) == repaired
    assert unicodedata.is_normalized("NFC", repaired)


@given(st.integers(1, 59), st.sampled_from(["(cid:173) ", "(cid:173)\n", "- ", "-\n", "\u00ad\n"]))
@settings(deadline=None)
def test_a_word_broken_anywhere_by_a_line_end_is_whole_again(position: int, break_: str) -> None:
    text = "unsupervised classification algorithms outperform probabilistic backpropagation"
    if not (text[position - 1].isalpha() and text[position].isalpha()):
        return
    repaired = repair_text(text[:position] + break_ + text[position:])
    # Where both halves are words and the whole is not in the dictionary a hyphen remains, as in "back-propagation".
    assert repaired.replace("-", "") == text


def test_a_step_left_out_leaves_its_debris() -> None:
    steps = [name for name in REPAIRS if name != "LaTeX"]
    assert repair_text("\\emph{a}  ﬁt", steps=steps) == "\\emph{a} fit"


def test_steps_that_changed_something_are_named() -> None:
    changed: set[str] = set()
    repair_text("a ﬁt of  $k$", changed=changed)
    assert changed == {"ligatures", "LaTeX", "whitespace"}


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("Die Wahrschein-\nlichkeit ist in der Haupt- und Nebenachse", None),
        ("L'appren-\ntissage des réseaux de neurones pro- fonds", None),
        ("Нейрон-\nные сети обучаются на больших дан-\nных", None),
        (
            "Москва- столица России, большой и красивый город",
            "Москва-столица России, большой и красивый город",
        ),
        (
            "Krasnoj- blabla und noch ein Satz auf Deutsch mit Wörtern",
            "Krasnoj- blabla und noch ein Satz auf Deutsch mit Wörtern",
        ),
        (
            "voor- en nadelen van de methode zijn hier te zien",
            "voor- en nadelen van de methode zijn hier te zien",
        ),
        ("the last word-\n\nNext chapter", "the last word-\n\nNext chapter"),
    ],
)
def test_words_of_other_languages_are_rejoined_by_their_dictionary(text: str, repaired: str | None) -> None:
    if repaired is None:
        repaired = re.sub(r"- und", "⁃ und", text)
        repaired = re.sub(r"-\s", "", repaired).replace("⁃", "-")
    assert repair_text(text) == repaired


def test_spaces_without_width_stay_where_they_part_words() -> None:
    assert repair_text("ភាសា\u200bខ្មែរ a\u200bb") == "ភាសា\u200bខ្មែរ ab"


@pytest.mark.parametrize(
    ("text", "removed"),
    [
        ("nothing to do here", {}),
        (r"the loss $\sum_i \text{hinge loss}_i$ is small", {"LaTeX": 2}),
        (r"is \emph{only} {\em half} \cite{Lowe}", {}),
        ("classi(cid:12)cation of prob(cid:173) lems", {}),
        ("the prob-\nlems &amp; â€™ ﬁts", {}),
    ],
)
def test_the_words_that_a_repair_takes_are_counted(text: str, removed: dict[str, int]) -> None:
    counted: Counter[str] = Counter()
    repair_text(text, removed=counted)
    assert counted == removed


def test_words_are_counted_in_every_script() -> None:
    assert count_words("two words, a B 1 \\emph{three}") == 3
    assert count_words("主题模型") == 4
    assert count_words("हिन्दी में") == 2


@given(
    st.lists(st.from_regex(r"[a-zé]{2,8}", fullmatch=True), max_size=12), st.sampled_from([" ", "\n", ", "])
)
@settings(deadline=None)
def test_words_survive_all_repairs(words: list[str], between: str) -> None:
    removed: Counter[str] = Counter()
    assert re.findall(r"\w+", repair_text(between.join(words), removed=removed)) == words
    assert not removed


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(ValueError, match=r"'latex'.*'LaTeX'"):
        repair_text("", steps=["latex"])


@needs_paper_lists
@pytest.mark.parametrize("year", [1987, 1994, 2001, 2002, 2009, 2016])
def test_real_abstracts_of_every_era_lose_their_debris(year: int) -> None:
    damaged = abstracts(year)
    repaired = [repair_text(text) for text in damaged]
    debris = re.compile(r"\(cid:\d+\)|[ﬀ-ﬆ\u00ad]|\\(?:emph|cite|textit|ell)\b|  ")
    assert sum(len(debris.findall(text)) for text in damaged) > 100
    assert not any(debris.search(text) for text in repaired)
    assert [repair_text(text) for text in repaired] == repaired
    # Repairs remove marks and formulas, not prose.
    words_before, words_after = (
        sum(len(re.findall(r"[a-z]{4,}", t)) for t in texts) for texts in (damaged, repaired)
    )
    assert 0.8 * words_before < words_after < 1.2 * words_before


def test_a_report_shows_what_was_done_and_survives_json() -> None:
    report = CleaningReport()
    report.record("stop words", "says nothing", "tokens", 30, 120, ["the", "<of>"])
    report.record("idle", "had nothing to do", "tokens", 0, 120)
    assert [step.name for step in report.steps] == ["stop words"]
    assert "30 of 120 tokens" in str(report)
    assert "25.0%" in str(report)
    assert "&lt;of&gt;" in report._repr_html_()
    assert CleaningReport.from_list(report.to_list()) == report
