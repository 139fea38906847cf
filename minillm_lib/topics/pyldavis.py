"""pyLDAvis as a single page that needs no network, with the model's own topic numbers."""

from __future__ import annotations

import html
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minillm_lib.io.optional import optional_imports
from minillm_lib.topics.summary import document_lengths, expected_term_frequency, jensen_shannon_divergence

# Importing pyLDAvis turns on every DeprecationWarning for the whole process.
with optional_imports("report", "to make the interactive map of topics"), warnings.catch_warnings():
    import pyLDAvis
    import pyLDAvis.urls

if TYPE_CHECKING:
    from minillm_lib.topics.document_term import BagOfWords
    from minillm_lib.topics.gibbs_lda import GibbsLDA

TINY = 1e-12  # replaces a probability of 0, because pyLDAvis takes its logarithm

# LDAvis 3.0.0 takes topic 0 to mean "no topic". With the model's numbers, which start at 0, topic 0 could not be
# chosen, and a word would highlight the neighbours of its topics. LDAvis also never updates the axis of the bars,
# gives bars of less than one token a negative width, reacts to the slider only when a mouse moves it, and crops the
# large circles of a model with few topics. The slider starts at 0.6, the default of top_terms, so that both
# rank terms in the same way.
_LDAVIS_REPAIRS = (
    ("topic: 0,", "topic: -1,"),
    ("vis_state.topic > 0", "vis_state.topic >= 0"),
    (
        "getElementById(topicID).value = vis_state.topic = 0",
        "getElementById(topicID).value = ''; vis_state.topic = -1",
    ),
    ('topicInput.value = "0"', 'topicInput.value = ""'),
    ("value_old = document.getElementById(topicID).value", "value_old = vis_state.topic"),
    ("Math.min(K, +value_old + 1)", "Math.min(K - 1, +value_old + 1)"),
    ("!isNaN(value_new) && value_new > 0", "!isNaN(value_new) && value_new !== ''"),
    ("Math.min(K, Math.max(1, value_new))", "Math.min(K - 1, Math.max(0, Math.round(value_new)))"),
    ("dat2[i].Topic - 1", "dat2[i].Topic"),
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

_PAGE_STYLE = """
body { margin: 0; background: white; }
.lda-page > svg { display: block; width: 100%; max-width: 1210px; }
.lda-page svg { overflow: visible; }
.lda-page a text { font-size: 9.5px; }
.lda-page > div { width: auto !important; max-width: 1210px; display: flex; flex-wrap: wrap; gap: 8px; }
.lda-page > div > div { flex: 1 1 340px; height: auto !important; margin: 0 !important; padding: 8px !important;
  display: flex !important; flex-wrap: wrap; align-items: center; gap: 4px; background: #f0f2f5 !important; }
.lda-page > div > div > :not(input) { width: auto !important; height: auto !important; margin: 0 !important; }
.lda-page > div > div > [id$="-sliderdiv"] { width: 250px !important; padding: 0 8px !important; }
.stacked g[id$="-bar-freqs"] { transform: translate(170px, 770px); }
.stacked > svg text { font-size: 16px !important; }
.stacked > svg a text { font-size: 10px !important; }
@media print { .lda-page > div { display: none; } }
"""

# The two panels are side by side if there is room, and one below the other if there is not. A frame around the page
# is made as tall as the page. LDAvis keeps its state in the address, which a page in a frame is not allowed to change.
_PAGE_SCRIPT = """
history.replaceState = history.pushState = () => {};
new LDAvis("#" + visid, data, "#0072b2", "#d55e00");
const page = document.getElementById(visid), chart = page.querySelector(":scope > svg");
chart.removeAttribute("width");
chart.removeAttribute("height");
function fit() {
  const stacked = innerWidth < 760;
  page.classList.toggle("stacked", stacked);
  chart.setAttribute("viewBox", stacked ? "0 0 730 1400" : "0 0 1210 700");
  if (window.frameElement) frameElement.style.height = page.offsetHeight + "px";
}
addEventListener("resize", fit);
fit();
"""


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


def prepare_pyldavis(model: GibbsLDA, bag: BagOfWords, *, n_terms: int = 30) -> pyLDAvis.PreparedData:
    """Prepare ``model`` for :func:`pyldavis_html`.

    Topics keep the model's order and its numbers, which start at 0. Empty documents, empty topics, unused terms and
    models of one or two topics are allowed.

    Parameters
    ----------
    bag
        The bag of words that the model was fitted on.
    n_terms
        Maximum number of terms per topic.

    Raises
    ------
    ValueError
        If the model was not fitted on ``bag``, or ``bag`` has no tokens at all.
    """
    lengths = document_lengths(model, bag)
    if not lengths.sum() > 0:
        raise ValueError("the bag of words has no tokens, so there is nothing to show")
    topic_word = _without_zeros(model.topic_word_)
    doc_topic = _without_zeros(model.doc_topic_)
    return pyLDAvis.prepare(
        topic_word,
        doc_topic,
        lengths,
        [str(term) for term in bag.vocabulary],
        expected_term_frequency(model, lengths),
        R=n_terms,
        mds=lambda frame: topic_map(frame.to_numpy()),
        n_jobs=1,
        plot_opts={"xlab": "first axis", "ylab": "second axis"},
        sort_topics=False,
        start_index=0,
    )


def _without_zeros(rows: ArrayLike) -> NDArray[np.float64]:
    positive = np.maximum(np.asarray(rows, dtype=np.float64), TINY)
    return positive / positive.sum(axis=1, keepdims=True)


def pyldavis_html(prepared: pyLDAvis.PreparedData, *, visid: str = "ldavis") -> str:
    """Return a complete HTML page that shows ``prepared`` without a network.

    The page contains its scripts and styles. The same input gives the same page.

    Parameters
    ----------
    visid
        Prefix of the ids of the page's elements, a letter followed by letters, digits, ``_`` and ``-``. By default,
        the circle of topic 3 is ``#ldavis-topic3``.

    Raises
    ------
    ValueError
        If ``visid`` has another form.
    RuntimeError
        If the installed version of pyLDAvis is not one that this module can repair.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", visid, re.ASCII):
        raise ValueError(f"visid is {visid!r}; it must be a letter followed by letters, digits, _ and -")
    style = Path(pyLDAvis.urls.LDAVIS_CSS_LOCAL).read_text(encoding="utf-8")
    d3 = Path(pyLDAvis.urls.D3_LOCAL).read_text(encoding="utf-8")
    data = prepared.to_json().replace("<", "\\u003c")
    return f"""<!DOCTYPE html>
<html lang="en">
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
const visid = "{visid}", data = {data};
{_PAGE_SCRIPT}</script>
</body>
</html>
"""


def _inside_script(source: str) -> str:
    """Escape ``source`` so that it cannot end the script element that contains it."""
    return re.sub("</(?=script)", r"<\\/", source, flags=re.IGNORECASE)


def _repaired_ldavis() -> str:
    source = Path(pyLDAvis.urls.LDAVIS_LOCAL).read_text(encoding="utf-8")
    for faulty, repaired in _LDAVIS_REPAIRS:
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
    prepared: pyLDAvis.PreparedData, *, visid: str = "ldavis", height: int = 860
) -> PyLDAvisFrame:
    """Show ``prepared`` in a notebook without a network.

    Parameters
    ----------
    visid
        As in :func:`pyldavis_html`.
    height
        Height in pixels, until the page measures itself.

    Raises
    ------
    ValueError, RuntimeError
        As in :func:`pyldavis_html`.
    """
    return PyLDAvisFrame(pyldavis_html(prepared, visid=visid), height)
