"""LaTeX becomes words, and text that only has dollar signs or backslashes in it stays."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings, strategies as st

from minillm_lib.corpora.cleaning.latex import strip_latex

NOT_LATEX = [
    "Of this, $5 million was raised in March. The rest was paid in cash (US$) for the house.",
    "It costs 5$ or 10$ a month, from 5$-10$ to 20$.",
    "$1,000–$2,000 and R$ 50, A$ 20, R$50, US$5m–US$6m, CA$30, and $5k, not 6k$.",
    "It rose from $3 per barrel in 1970 to $40 in 1980, that is (in US$ of 2000) tenfold.",
    'export PATH="$HOME/bin:$PATH:$MY_VAR/lib"',
    'for f in $FILES; do echo "$f" > $OUT/$f.txt; done',
    "kill $$; echo $$ > /tmp/x.$$ and rm /tmp/x.$$",
    "$(CC) $(CFLAGS) -o $@ $< ; $(A)$(B) ; ${HOME}/${USER}",
    "$a = $b + $c; $foo->bar($x); echo $this->name . $that; $i_max+$j_max",
    "return $ENV{$$self}; my ($x, $y) = @_; delete $ENV{$$self};",
    "$('#id').on('click', function() { $('.x').hide() });",
    r"C:\new\table\item and D:\temp\file.txt and E:\alpha\section.doc",
    r"print('a\nb\tc\rd') and \x41 and \u00e9",
    r"grep '\(foo\|bar\)' and ^foo$|^bar$ and \d{4}-\d{2} and \w{2,} and example\.com",
    r"it\'s, you\'re, I\'m, don\'t {\"action\": \"open\"}",
    r"\[not a link\] and \(see below\)",
    "it´s, geht´s, you´re",
    "{{ $value }} and `$1` and ~/x",
    "The price is $5.\n\nThe next paragraph has x^2 and y_1, and it costs $6.",
    "Prices: $5 " + "and so on " * 200 + "x^2 for US$ 7",
]
LATEX = [
    (r"$\ell_1$-norm, $k$-means, the $n$th", "l1-norm, k-means, the nth"),
    (r"in $O(n \log n)$ time, $O(rn^2)$ space", "in  time,  space"),
    (r"on $SE(3)$ for $p < 0.05$ and $T=HK$", "on  for  and "),
    (r"2$\times$ faster, 60$\%$, M$^3$N", "2 faster, 60, MN"),
    (r"so $$\sum_{i=1}^n x_i$$ and \[ a^2 + b^2 = c^2 \] hold", "so  and  hold"),
    (r"where \(x_i\) is $\epsilon$", "where xi is epsilon"),
    (r"$x$ and $y$", "x and y"),
    ("$a\n+ b$ ends", " ends"),
    (r"one\footnote{Two words.} three", "one Two words. three"),
    (r"\begin{itemize}\item one\end{itemize}", " one"),
    (r"\emphone-sided, \textitAppGrad", "one-sided, AppGrad"),
    (r"Erd\H{o}s, Ren\'e, \'Etude, \"Uber, Fran\c{c}ois", "Erdős, René, Étude, Über, François"),
    ("Nystr¨om, Poincar´e", "Nyström, Poincaré"),
    (r"\section{One} two~three \& 5\% \$6", "One two three & 5% $6"),
    (r"a macro \mymethod of \emph{LaTeX}", "a macro  of LaTeX"),
    (r"\fBname\fR of \fIa file\fP, \f(CWcode\fR", "name of a file, code"),
]


@pytest.mark.parametrize("text", NOT_LATEX)
def test_prices_variables_paths_and_patterns_are_no_latex(text: str) -> None:
    assert strip_latex(text) == text


@pytest.mark.parametrize(("text", "words"), LATEX)
def test_latex_becomes_words(text: str, words: str) -> None:
    assert strip_latex(text) == words


@pytest.mark.parametrize("text", NOT_LATEX)
def test_prose_between_dollar_signs_stays_beside_a_formula(text: str) -> None:
    mixed = f"We have $x^2$ here. {text}\n\nAnd $y_1$ there."
    kept = re.findall(r"[A-Za-z]{4,}", strip_latex(mixed))
    assert kept == re.findall(r"[A-Za-z]{4,}", mixed)


WORD = st.from_regex(r"[a-zA-Z]{4,9}", fullmatch=True)
SIGN = st.sampled_from(
    ["$", "US$", "$5", "5$", " $ ", "$1,000", "^", "_", "~", "`", "'", '"', "(", ")", "[", "]"]
)


@given(st.lists(WORD | SIGN, max_size=30), st.sampled_from([" ", "  ", "\n", "\n\n"]))
@settings(deadline=None)
def test_words_survive_where_there_is_no_command(parts: list[str], blank: str) -> None:
    text = blank.join(parts)
    assert re.findall("[A-Za-z]{4,}", strip_latex(text)) == re.findall("[A-Za-z]{4,}", text)


@given(st.text(alphabet="ab x\\${}[]()^_~\n1", max_size=60))
@settings(deadline=None)
def test_any_text_can_be_stripped(text: str) -> None:
    assert isinstance(strip_latex(text), str)


@pytest.mark.parametrize(("text", "plain"), [
    (r"\noindent\textbf{Background} of \emph{it}", "Background of it"),
    (r"\emph{We} found\footnote{A note.} that", "We found A note. that"),
    (r"\textbf{Ann Smith}\\University of Oslo", "Ann Smith University of Oslo"),
    (r"Line one\\Line two\\\emph{line} three", "Line one Line two line three"),
    (r"escaped twice: \\textbf{bold} \\emph{text}", "escaped twice: bold text"),
])  # fmt: skip
def test_no_word_runs_into_a_command(text, plain):
    assert " ".join(strip_latex(text).split()) == plain


@pytest.mark.parametrize("text", [
    r"copy \\server\share\text\new.doc now",
    r"see \\srv01\data\sum\cap",
    "5$, 10$ ou 15$",
    "$10, 5$ and 3",
])  # fmt: skip
def test_network_paths_and_lists_of_prices_stay(text):
    assert strip_latex(text) == text
