"""pyLDAvis as a single page that needs no network, with the model's own topic numbers."""

from __future__ import annotations

import html
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minillm_lib.io.optional import optional_imports
from minillm_lib.topics.pyldavis_words import WORDS
from minillm_lib.topics.stability import UNSTABLE
from minillm_lib.topics.summary import (
    checked_labels,
    document_lengths,
    jensen_shannon_divergence,
    stability_of,
)

# Importing pyLDAvis turns on every DeprecationWarning for the whole process.
with optional_imports("report", "to make the interactive map of topics"), warnings.catch_warnings():
    import pandas as pd
    import pyLDAvis
    import pyLDAvis.urls
    from pyLDAvis.utils import NumPyEncoder

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA

TINY = 1e-12  # replaces a probability of 0, because pyLDAvis takes its logarithm

# LDAvis 3.0.0 takes topic 0 to mean "no topic". With the model's numbers, which start at 0, topic 0 could not be
# chosen, and a word would highlight the neighbours of its topics. It also takes the topics to be numbered without gaps,
# never updates the axis of the bars, gives bars of less than one token a negative width, reacts to the slider only when
# a mouse moves it, shows "&" in a term as "&amp;", and crops the large circles of a model with few topics. The slider
# starts at 0.6, the default of top_terms, so that both rank terms in the same way.
_LDAVIS_REPAIRS = (
    ("topic: 0,", "topic: -1,"),
    ("vis_state.topic > 0", "vis_state.topic >= 0"),
    (
        "getElementById(topicID).value = vis_state.topic = 0",
        "getElementById(topicID).value = ''; vis_state.topic = -1",
    ),
    ('topicInput.value = "0"', 'topicInput.value = ""'),
    ("value_old = document.getElementById(topicID).value", "value_old = vis_state.topic"),
    (
        "Math.min(K, +value_old + 1).toFixed(0)",
        "numbers[Math.min(K - 1, numbers.indexOf(+value_old) + 1)]",
    ),
    (
        "Math.max(0, +value_old - 1).toFixed(0)",
        "numbers[Math.max(0, numbers.indexOf(+value_old) - 1)]",
    ),
    ("!isNaN(value_new) && value_new > 0", "value_new.trim() !== '' && numbers.includes(+value_new)"),
    ("Math.min(K, Math.max(1, value_new))", "+value_new"),
    ("dat2[i].Topic - 1", "numbers.indexOf(dat2[i].Topic)"),
    ("term.innerHTML", "term.textContent"),
    ("barwidth = 530", "barwidth = bars.width"),
    ("barheight = 530", "barheight = bars.height"),
    ("mdsheight + 10", "barheight + 10"),
    ("y(d.Term) + 12", "y(d.Term) + 0.75 * y.bandwidth()"),
    ('.attr("x", "xaxis")', '.attr("class", "xaxis")'),
    (".domain([1, d3.max(", ".domain([0, d3.max("),
    ('.on("mouseup"', '.on("change"'),
    ("ydiff = yrange[1] - yrange[0]", "ydiff = yrange[1] - yrange[0] || (xdiff ? 0 : 1)"),
    (
        "xpad = 0.05",
        "edge = Math.sqrt(d3.max(mdsData, d => d.Freq) / 100 * circle_prop / Math.PI),"
        " xpad = Math.max(0.05, edge / (1 - 2 * edge))",
    ),
    ("ypad = 0.05", "ypad = xpad"),
    ("lambda: 1,", "lambda: 0.6,"),
    ("current: 1", "current: 0.6"),
)

# where the script has its texts, the page says its own, in its language
_LDAVIS_TEXTS = (
    ('topicLabel.innerHTML = "Selected Topic: <span', 'topicLabel.innerHTML = texts.selected + "<span'),
    ('"Previous Topic"', "texts.previous"),
    ('"Next Topic"', "texts.next"),
    ('"Clear Topic"', "texts.clear"),
    ('"Slide to adjust relevance metric:"', "texts.slider"),
    ('"Intertopic Distance Map (via multidimensional scaling)"', "texts.map"),
    ("data['plot.opts'].xlab", "texts.first_axis"),
    ("data['plot.opts'].ylab", "texts.second_axis"),
    ('"Marginal topic distribution"', "texts.sizes"),
    (
        '"Conditional topic distribution given term = \'" + term.textContent + "\'"',
        "say(texts.sizes_of_term, {term: term.textContent})",
    ),
    ('"Top-" + R + " Most Salient Terms"', "say(texts.salient, {n: R})"),
    (
        '.text("Top-" + R + " Most Relevant Terms for Topic " + topics + " (" + Freq + "% of tokens)")',
        ".text(say(texts.relevant, {n: R, topic: topics, share: Freq}))"
        '.append("tspan").attr("class", "name").attr("x", barwidth / 2).attr("y", -48).text(about(d))',
    ),
    ('"Overall term frequency"', "texts.overall"),
    ('"Estimated term frequency within the selected topic"', "texts.within"),
)

_PAGE_STYLE = """
body { margin: 0; background: white; }
.lda-page { display: flow-root; padding-bottom: 6px; }
.lda-page > svg { display: block; width: 100%; max-width: 1210px; }
.lda-page .name { font-size: 13px; font-weight: bold; }
.lda-page .dot.unstable { stroke-width: 4px; stroke-dasharray: 7 5; }
.lda-page :focus-visible { outline: 2px solid #0072b2; outline-offset: 1px; }
.lda-page svg { overflow: visible; }
.lda-page a { display: none; }
.lda-page p { margin: 2px 8px; font: 12px/1.4 sans-serif; max-width: 1180px; overflow-wrap: anywhere; }
.lda-page button, .lda-page input { font-size: 14px; }
.lda-page > div { width: auto !important; max-width: 1210px; display: flex; flex-wrap: wrap; gap: 8px; }
.lda-page > div > div { flex: 1 1 340px; height: auto !important; margin: 0 !important; padding: 8px !important;
  display: flex !important; flex-wrap: wrap; align-items: center; gap: 4px; background: #f0f2f5 !important; }
.lda-page > div > div > :not(input) { width: auto !important; height: auto !important; margin: 0 !important; }
.lda-page > div > div > [id$="-sliderdiv"] { width: 250px !important; padding: 0 8px !important; }
.stacked g[id$="-bar-freqs"] { transform: translate(175px, 770px); }
.stacked > svg text { font-size: 19px !important; }
@media print { .lda-page > div { display: none; } }
"""

# The two panels are side by side if there is room, and one below the other if there is not. A frame around the page
# is made as tall as the page. Where the text of the footnotes would be cut or become too small inside the drawing, they
# stand below it. LDAvis keeps its state in the address, which a page in a frame is not allowed to change.
_PAGE_SCRIPT = """
history.replaceState = history.pushState = () => {};
const numbers = data.mdsDat.topics;
const say = (text, values) => text.replace(/\\{(\\w+)\\}/g, (_, name) => values[name]);
function about(topic) {
  const parts = [topic.label];
  if (topic.stability !== null) parts.push(say(texts.stability, {stability: topic.stability.toFixed(2)}));
  if (topic.is_unstable) parts.push(texts.unstable);
  return parts.filter(Boolean).join(" · ");
}
const page = document.getElementById(visid), bars = {};
let stacked = null;
function note(text) {
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  page.append(paragraph);
}
function draw() {
  Object.assign(bars, stacked ? {width: 385, height: 810} : {width: 530, height: 530});
  page.replaceChildren();
  page.classList.toggle("stacked", stacked);
  new LDAvis("#" + visid, data, "#0072b2", "#d55e00");
  const chart = page.querySelector(":scope > svg");
  chart.removeAttribute("width");
  chart.removeAttribute("height");
  chart.setAttribute("viewBox", stacked ? "0 0 590 1640" : "0 -22 1210 722");
  document.getElementById(visid + "-lambda").setAttribute("aria-label", texts.slider);
  d3.selectAll(".dot").each(function (topic) {
    const name = [say(texts.topic, {topic: topic.topics}), about(topic)].filter(Boolean).join(": ");
    d3.select(this).classed("unstable", topic.is_unstable).append("title").text(name);
  });
  if (data.mdsDat.is_unstable.some(Boolean)) note(texts.legend);
  if (numbers.length < n_topics) {
    const share = d3.sum(data.mdsDat.Freq).toFixed(0);
    note(say(texts.capped, {drawn: numbers.length, n_topics: n_topics, share: share}));
  }
  note(texts.saliency);
  note(texts.relevance);
}
function fit() {
  if (stacked !== innerWidth < 760) {
    stacked = innerWidth < 760;
    draw();
  }
  if (window.frameElement) frameElement.style.height = page.offsetHeight + "px";
}
addEventListener("resize", fit);
fit();
"""

MOST_TOPICS = 100
"""With more topics, the map shows the largest ones: more circles cannot be told apart, and the page would grow."""

_N_SLIDER_STEPS = 100
_LEAST_TOKENS = 0.5  # a term of which a topic has less has no visible bar


def topic_map(topic_word: ArrayLike) -> NDArray[np.float64]:
    """Place the topics on a plane, ``(n_topics, 2)``, so that topics with similar words lie close together.

    The method is classical multidimensional scaling of the Jensen–Shannon distances. A symmetric eigensolver keeps
    the result real when topics are equal, as empty ones are. One or two topics are placed like any other number.
    """
    squared_distance = jensen_shannon_divergence(topic_word)
    n_topics = len(squared_distance)
    centre = np.eye(n_topics) - 1 / n_topics
    eigenvalues, eigenvectors = np.linalg.eigh(-centre @ squared_distance @ centre / 2)
    coordinates = eigenvectors * np.sqrt(np.maximum(eigenvalues, 0))
    # the sign of an eigenvector is arbitrary; its largest entry is made positive
    coordinates *= np.where(coordinates[np.abs(coordinates).argmax(axis=0), range(n_topics)] < 0, -1, 1)
    result = np.zeros((n_topics, 2))
    result[:, : min(2, n_topics)] = coordinates[:, ::-1][:, :2]
    return result


def prepare_pyldavis(
    model: GibbsLDA, bag: BagOfWords, *, n_terms: int = 30, labels: Sequence[str] | None = None
) -> pyLDAvis.PreparedData:
    """Prepare ``model`` for :func:`pyldavis_html`.

    Topics keep the model's order and its numbers, which start at 0; of more than :data:`MOST_TOPICS`, the largest are
    taken. Empty documents, empty topics, unused terms and models of one or two topics are allowed.

    The tables are those of pyLDAvis, computed with less memory: a topic's terms are those that are among its
    ``n_terms`` most relevant for some position of the slider and of which it has tokens.

    Parameters
    ----------
    bag
        The bag of words that the model was fitted on.
    n_terms
        Maximum number of terms per topic.
    labels
        A name for each topic, shown above its terms; an empty one, or None for all, for no name.

    Raises
    ------
    ValueError
        If the model was not fitted on ``bag``, ``bag`` has no tokens at all, or there is not one label per topic.
    """
    lengths = document_lengths(model, bag)
    if not lengths.sum() > 0:
        raise ValueError("the bag of words has no tokens, so there is nothing to show")
    names, stability = checked_labels(labels, len(model.topic_word_)), stability_of(model)
    tokens = lengths @ model.doc_topic_
    drawn = np.sort(np.argsort(-tokens, kind="stable")[:MOST_TOPICS])
    topic_word = _without_zeros(model.topic_word_[drawn])
    tables = _TermTables(
        bag.vocabulary,
        topic_word,
        tokens[drawn],
        tokens @ model.topic_word_,
        min(n_terms, len(bag.vocabulary)),
    )
    coordinates = pd.DataFrame(topic_map(topic_word), columns=["x", "y"]).assign(
        topics=drawn,
        cluster=1,
        Freq=100 * tokens[drawn] / tokens.sum(),
        label=[names[k] for k in drawn],
        stability=None if stability is None else stability[drawn],
        is_unstable=False if stability is None else stability[drawn] < UNSTABLE,
    )
    info = tables.topic_info(drawn)
    return pyLDAvis.PreparedData(
        coordinates,
        info,
        tables.token_table(drawn, np.unique(info.index)),
        tables.n_terms,
        1 / _N_SLIDER_STEPS,
        {"xlab": "", "ylab": "", "n_topics": len(model.topic_word_)},
        drawn.tolist(),
    )


@dataclass(frozen=True)
class _TermTables:
    """The tables of terms that LDAvis draws from.

    Attributes
    ----------
    topic_word
        The topics that are drawn, ``(n_drawn, n_terms)``, without zeros.
    tokens
        The number of tokens of each of them, ``(n_drawn,)``.
    frequency
        How often the model expects each term in all topics, ``(n_terms,)``.
    """

    vocabulary: NDArray[np.str_]
    topic_word: NDArray[np.float64]
    tokens: NDArray[np.float64]
    frequency: NDArray[np.float64]
    n_terms: int

    def topic_info(self, numbers: NDArray[np.int64]) -> pd.DataFrame:
        """Make the rows of the bar charts, indexed by term: of no topic first, then of each."""
        return pd.concat([self._default_rows(), *map(self._topic_rows, range(len(numbers)), numbers)])

    def _default_rows(self) -> pd.DataFrame:
        """Take the most salient terms, those that say most about the topic of a token (Chuang and others, 2012).

        pyLDAvis takes all topics as equally large here, which the definition does not.
        """
        share = self.tokens / self.tokens.sum()
        in_topics = np.maximum(share @ self.topic_word, TINY)
        # one topic at a time: sum over t of p(t | w) log(p(t | w) / p(t)), where p(t | w) = p(w | t) p(t) / p(w)
        distinctiveness = sum(
            part * row / in_topics * np.log(row / in_topics)
            for part, row in zip(share, self.topic_word, strict=True)
            if part > 0
        )
        terms = np.argsort(-self.frequency * distinctiveness, kind="stable")[: self.n_terms]
        count, rank = np.floor(self.frequency[terms]), np.arange(self.n_terms, 0, -1)
        return self._rows(terms, count, count, "Default", rank, rank)

    def _topic_rows(self, row: int, number: int) -> pd.DataFrame:
        probability = self.topic_word[row]
        log_probability = np.log(probability)
        share = np.maximum(self.frequency, TINY) / self.frequency.sum()
        log_lift = log_probability - np.log(share)
        relevance = 0.6 * log_probability + 0.4 * log_lift
        terms = np.flatnonzero(self.tokens[row] * probability >= _LEAST_TOKENS)
        terms = np.union1d(terms, np.argsort(-relevance, kind="stable")[: self.n_terms])
        terms = terms[_among_the_best(log_probability[terms], log_lift[terms], self.n_terms)]
        return self._rows(
            terms,
            self.tokens[row] * probability[terms],
            self.frequency[terms],
            f"Topic{number}",
            log_probability[terms].round(4),
            log_lift[terms].round(4),
        )

    def _rows(
        self, terms: NDArray[np.int64], freq: ArrayLike, total: ArrayLike, category: str, *logs: ArrayLike
    ) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "Term": [str(term) for term in self.vocabulary[terms]],
                "Freq": freq,
                "Total": total,
                "Category": category,
                "logprob": logs[0],
                "loglift": logs[1],
            },
            index=terms,
        )

    def token_table(self, numbers: NDArray[np.int64], terms: NDArray[np.int64]) -> pd.DataFrame:
        """Make the shares of each term's tokens that the topics have, without those of less than half a token."""
        count = self.tokens[:, None] * self.topic_word[:, terms]
        rows, columns = np.nonzero(count >= _LEAST_TOKENS)
        share = count[rows, columns].round() / np.maximum(self.frequency[terms[columns]], TINY)
        names = np.array([str(term) for term in self.vocabulary[terms]], dtype=object)
        table = pd.DataFrame({"Topic": numbers[rows], "Freq": share.round(4), "Term": names[columns]})
        return table.sort_values(["Term", "Topic"], ignore_index=True)


def _among_the_best(
    log_probability: NDArray[np.float64], log_lift: NDArray[np.float64], n: int
) -> NDArray[np.int64]:
    """Return the places of the terms that are among the ``n`` most relevant for some position of the slider."""
    if n >= len(log_lift):
        return np.arange(len(log_lift))
    best: set[int] = set()
    for weight in np.linspace(0, 1, _N_SLIDER_STEPS + 1):
        relevance = weight * log_probability + (1 - weight) * log_lift
        best.update(np.argpartition(-relevance, n - 1)[:n].tolist())
    return np.array(sorted(best))


def _without_zeros(rows: ArrayLike) -> NDArray[np.float64]:
    positive = np.maximum(np.asarray(rows, dtype=np.float64), TINY)
    return positive / positive.sum(axis=1, keepdims=True)


def pyldavis_html(
    prepared: pyLDAvis.PreparedData, *, visid: str = "ldavis", language: Literal["en", "zh"] = "en"
) -> str:
    """Return a complete HTML page that shows ``prepared`` without a network.

    The page contains its scripts and styles. The same input gives the same page. Unstable topics have a dashed outline.

    Parameters
    ----------
    visid
        Prefix of the ids of the page's elements, a letter followed by letters, digits, ``_`` and ``-``. By default,
        the circle of topic 3 is ``#ldavis-topic3``.
    language
        Language of the page, ``"en"`` or ``"zh"``.

    Raises
    ------
    ValueError
        If ``visid`` has another form, or ``language`` is unknown.
    RuntimeError
        If the installed version of pyLDAvis is not one that this module can repair.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", visid, re.ASCII):
        raise ValueError(f"visid is {visid!r}; it must be a letter followed by letters, digits, _ and -")
    if language not in WORDS:
        raise ValueError(f"language is {language!r}; it must be one of {', '.join(map(repr, WORDS))}")
    style = Path(pyLDAvis.urls.LDAVIS_CSS_LOCAL).read_text(encoding="utf-8")
    d3 = Path(pyLDAvis.urls.D3_LOCAL).read_text(encoding="utf-8")
    texts = json.dumps(WORDS[language], ensure_ascii=False)
    n_topics = prepared.plot_opts.get("n_topics", len(prepared.topic_coordinates))
    return f"""<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>pyLDAvis</title>
<link rel="icon" href="data:,">
<style>{style}{_PAGE_STYLE}</style>
</head>
<body>
<div id="{visid}" class="lda-page"></div>
<script>{_inside_script(d3)}</script>
<script>{_inside_script(_repaired_ldavis())}</script>
<script>
const visid = "{visid}", n_topics = {n_topics}, texts = {texts};
const data = {_compact_json(prepared)};
{_PAGE_SCRIPT}</script>
</body>
</html>
"""


def _compact_json(prepared: pyLDAvis.PreparedData) -> str:
    """Write the tables as JSON that is valid JavaScript and cannot end a script, with few digits."""
    data = prepared.to_dict()
    for name in ("Freq", "Total"):
        data["tinfo"][name] = [round(value, 2) for value in data["tinfo"][name]]
    text = json.dumps(data, cls=NumPyEncoder, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _inside_script(source: str) -> str:
    """Escape ``source`` so that it cannot end the script element that contains it."""
    return re.sub("</(?=script)", r"<\\/", source, flags=re.IGNORECASE)


def _repaired_ldavis() -> str:
    source = Path(pyLDAvis.urls.LDAVIS_LOCAL).read_text(encoding="utf-8")
    for faulty, repaired in (*_LDAVIS_REPAIRS, *_LDAVIS_TEXTS):
        if faulty not in source:
            raise RuntimeError(
                f"the LDAvis script of pyLDAvis {pyLDAvis.__version__} does not contain {faulty!r}, "
                "which minillm_lib repairs; install pyldavis 3.4.1"
            )
        source = source.replace(faulty, repaired)
    return source


@dataclass(frozen=True)
class PyLDAvisFrame:
    """A pyLDAvis page that a notebook shows as the output of a cell.

    Attributes
    ----------
    page
        The HTML of the page.
    height
        Height of the frame in pixels, until the page measures itself.
    """

    page: str = field(repr=False)
    height: int = 860

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.page)}" title="pyLDAvis: topics and their terms" '
            f'style="width: 100%; height: {self.height}px; border: 0"></iframe>'
        )


def pyldavis_iframe(
    prepared: pyLDAvis.PreparedData,
    *,
    visid: str = "ldavis",
    height: int = 860,
    language: Literal["en", "zh"] = "en",
) -> PyLDAvisFrame:
    """Show ``prepared`` in a notebook without a network.

    Parameters
    ----------
    visid, language
        As in :func:`pyldavis_html`.
    height
        Height in pixels, until the page measures itself.

    Raises
    ------
    ValueError, RuntimeError
        As in :func:`pyldavis_html`.
    """
    return PyLDAvisFrame(pyldavis_html(prepared, visid=visid, language=language), height)
