"""Compare LDA in this project, tomotopy, lda, scikit-learn and gensim, in one run on one corpus.

    python benchmarks/lda.py [--topics 10 100] [--threads 1 2] [--sweeps 100] [--repeats 5]
                             [--packages minillm_lib tomotopy …] [--lists FOLDER]

The corpus is the NeurIPS abstracts of 2000-2017 if their lists are available (``--lists``, MINILLM_PAPERLISTS or
../shared/data/paperlists), otherwise the 1,000 papers shipped with the package. A tenth of the documents is held out.

Speed is the number of training tokens times sweeps (or passes), divided by the seconds of the call that trains. The
packages take turns, and speeds are medians over the repeats. Two measures of quality are given as well: the joint
log-likelihood per token, computed here from each sampler's own assignments, and the held-out perplexity by document
completion, computed by the same function from each package's topics. "reaches" is the time in which this project
reaches tomotopy's final perplexity.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.remove(str(Path(__file__).parent.resolve()))  # otherwise `import lda` would find this file

import gensim
import lda
import numpy as np
import sklearn
import tomotopy
from gensim.matutils import Sparse2Corpus
from gensim.models import LdaMulticore
from rich.console import Console
from rich.table import Table
from scipy import sparse
from sklearn.decomposition import LatentDirichletAllocation

from minillm_lib import GibbsLDA, bag_of_words, load_neurips
from minillm_lib.corpora.document import Document

ALPHA, BETA = 0.1, 0.01
ROOT = Path(__file__).parent.parent


@dataclass
class Row:
    """The results of one package for one number of topics and threads."""

    package: str
    n_topics: int
    n_threads: int
    million_tokens_per_second: float
    slowest: float
    fastest: float
    log_likelihood: float | None
    perplexity: float
    seconds_to_tomotopys_perplexity: float | None = None


@dataclass
class Fit:
    """The result of one fit: the seconds of the training call, the topics, and the count tables of the assignments."""

    seconds: float
    topic_word: np.ndarray
    tables: tuple[np.ndarray, np.ndarray] | None = None


def corpus(lists: Path) -> tuple[str, sparse.csr_matrix]:
    """Return the name and the document-term matrix of the corpus."""
    files = [lists / "nips" / f"nips{year}.json" for year in range(2000, 2018)]
    if not all(file.exists() for file in files):
        return "1,000 NeurIPS papers (shipped)", load_neurips().counts
    papers = [paper for file in files for paper in json.loads(file.read_text(encoding="utf-8"))]
    documents = [
        Document(f"{paper['title']}. {paper['abstract']}") for paper in papers if paper.get("abstract")
    ]
    return "NeurIPS abstracts 2000-2017", bag_of_words(documents).counts


def joint_log_likelihood(doc_topic: np.ndarray, topic_word: np.ndarray) -> float:
    """Return ``log p(w, z)`` in nats per token, by equations 2 and 3 of Griffiths & Steyvers (2004)."""
    from scipy.special import gammaln

    def rows(counts: np.ndarray, prior: float) -> float:
        size = counts.shape[1]
        by_row = gammaln(counts + prior).sum(axis=1) - gammaln(counts.sum(axis=1) + size * prior)
        return float(by_row.sum() + len(counts) * (gammaln(size * prior) - size * gammaln(prior)))

    return (rows(doc_topic, ALPHA) + rows(topic_word, BETA)) / float(doc_topic.sum())


def perplexity(topic_word: np.ndarray, held_out: sparse.csr_matrix) -> float:
    """Return the held-out perplexity of these topics by document completion, in the same way for every package."""
    judge = GibbsLDA(len(topic_word), n_sweeps=1, alpha=ALPHA, n_threads=1, random_state=0).fit(held_out)
    judge.topic_word_ = np.maximum(topic_word, 1e-12)
    return judge.perplexity(held_out)


def fit_ours(X: sparse.csr_matrix, n_topics: int, n_threads: int, n_sweeps: int, seed: int) -> Fit:
    model = GibbsLDA(
        n_topics, n_sweeps=n_sweeps, burn_in=n_sweeps - 1, thin=1, n_threads=n_threads, random_state=seed
    )
    start = time.perf_counter()
    *_, (sampler,) = model.iter_sweeps(X)
    seconds = time.perf_counter() - start
    return Fit(seconds, model.topic_word_, (sampler.doc_topic_counts, sampler.topic_word_counts))


def fit_tomotopy(X: sparse.csr_matrix, n_topics: int, n_threads: int, n_sweeps: int, seed: int) -> Fit:
    model = tomotopy.LDAModel(k=n_topics, alpha=ALPHA, eta=BETA, seed=seed + 1)
    names = [str(term) for term in range(X.shape[1])]
    for row in X:
        model.add_doc([names[term] for term in np.repeat(row.indices, row.data)])
    model.optim_interval = 0
    model.train(0)
    start = time.perf_counter()
    model.train(n_sweeps, workers=n_threads)
    seconds = time.perf_counter() - start
    columns = np.array([int(term) for term in model.used_vocabs])
    topic_word = np.full((n_topics, X.shape[1]), 1e-12)
    topic_word[:, columns] = [model.get_topic_word_dist(topic) for topic in range(n_topics)]
    tables = np.zeros((X.shape[0], n_topics)), np.zeros((n_topics, X.shape[1]))
    for d, document in enumerate(model.docs):
        np.add.at(tables[0], (d, list(document.topics)), 1)
        np.add.at(tables[1], (list(document.topics), columns[list(document.words)]), 1)
    return Fit(seconds, topic_word, tables)


def fit_lda(X: sparse.csr_matrix, n_topics: int, n_threads: int, n_sweeps: int, seed: int) -> Fit:
    model = lda.LDA(n_topics, n_iter=n_sweeps, alpha=ALPHA, eta=BETA, random_state=seed, refresh=n_sweeps)
    start = time.perf_counter()
    model.fit(X)
    seconds = time.perf_counter() - start
    return Fit(seconds, model.topic_word_, (model.ndz_.astype(float), model.nzw_.astype(float)))


def fit_sklearn(X: sparse.csr_matrix, n_topics: int, n_threads: int, n_sweeps: int, seed: int) -> Fit:
    model = LatentDirichletAllocation(
        n_topics,
        doc_topic_prior=ALPHA,
        topic_word_prior=BETA,
        learning_method="online",
        max_iter=n_sweeps,
        n_jobs=n_threads,
        random_state=seed,
    )
    start = time.perf_counter()
    model.fit(X)
    seconds = time.perf_counter() - start
    return Fit(seconds, model.components_ / model.components_.sum(axis=1, keepdims=True))


def fit_gensim(X: sparse.csr_matrix, n_topics: int, n_threads: int, n_sweeps: int, seed: int) -> Fit:
    bags = list(Sparse2Corpus(X, documents_columns=False))
    start = time.perf_counter()
    model = LdaMulticore(
        bags,
        num_topics=n_topics,
        id2word={term: str(term) for term in range(X.shape[1])},
        workers=n_threads,
        passes=n_sweeps,
        alpha=np.full(n_topics, ALPHA),
        eta=BETA,
        random_state=seed,
    )
    return Fit(time.perf_counter() - start, model.get_topics())


CONTESTANTS: dict[str, tuple[Callable[..., Fit], int]] = {
    # the function that fits, and the maximum number of passes: variational inference is slow but needs fewer
    "minillm_lib": (fit_ours, 10**9),
    "tomotopy": (fit_tomotopy, 10**9),
    "lda": (fit_lda, 10**9),
    "scikit-learn": (fit_sklearn, 5),
    "gensim": (fit_gensim, 5),
}


def time_to_reach(
    target: float, X: sparse.csr_matrix, held_out: sparse.csr_matrix, n_topics: int, n_threads: int
) -> float:
    """Return the seconds of sampling until the topics of one state reach the held-out perplexity ``target``."""
    model = GibbsLDA(n_topics, n_sweeps=2_000, n_threads=n_threads, random_state=0)
    seconds, start = 0.0, time.perf_counter()
    for sweep, (sampler,) in enumerate(model.iter_sweeps(X), 1):
        if sweep % 5 == 0:
            seconds += time.perf_counter() - start
            if perplexity(sampler.topic_word(), held_out) <= target:
                return seconds
            start = time.perf_counter()
    return float("nan")


def race(
    packages: list[str],
    X: sparse.csr_matrix,
    held_out: sparse.csr_matrix,
    n_topics: int,
    n_threads: int,
    n_sweeps: int,
    repeats: int,
) -> list[Row]:
    """Fit the packages in turn, ``repeats`` times, and return the results of each."""
    n_tokens = int(X.sum())
    fits: dict[str, list[Fit]] = {name: [] for name in packages}
    speeds: dict[str, list[float]] = {name: [] for name in packages}
    for repeat in range(repeats):
        for name in packages:
            if name == "lda" and n_threads > 1:
                continue  # it is single-threaded
            fit, most = CONTESTANTS[name]
            passes = min(n_sweeps, most)
            fits[name].append(fit(X, n_topics, n_threads, passes, repeat))
            speeds[name].append(n_tokens * passes / fits[name][-1].seconds / 1e6)
    rows = [
        Row(
            name,
            n_topics,
            n_threads,
            statistics.median(speeds[name]),
            min(speeds[name]),
            max(speeds[name]),
            statistics.fmean(joint_log_likelihood(*fit.tables) for fit in of_name)
            if of_name[0].tables
            else None,
            statistics.fmean(perplexity(fit.topic_word, held_out) for fit in of_name),
        )
        for name, of_name in fits.items()
        if of_name
    ]
    target = next(row.perplexity for row in rows if row.package == "tomotopy")
    rows[0].seconds_to_tomotopys_perplexity = time_to_reach(target, X, held_out, n_topics, n_threads)
    return rows


def table(title: str, rows: list[Row]) -> Table:
    """Return a table of the rows, with each package's speed as a multiple of tomotopy's in the same setting."""
    result = Table(title=title, title_justify="left")
    for heading in (
        "K",
        "threads",
        "package",
        "M tokens/s",
        "range",
        "vs tomotopy",
        "log p(w, z)",
        "perplexity",
        "reaches",
    ):
        result.add_column(heading, justify="left" if heading == "package" else "right")
    for row in rows:
        (peer,) = [
            r.million_tokens_per_second
            for r in rows
            if (r.package, r.n_topics, r.n_threads) == ("tomotopy", row.n_topics, row.n_threads)
        ]
        reaches = row.seconds_to_tomotopys_perplexity
        result.add_row(
            str(row.n_topics),
            str(row.n_threads),
            row.package,
            f"{row.million_tokens_per_second:.2f}",
            f"{row.slowest:.2f}-{row.fastest:.2f}",
            f"{row.million_tokens_per_second / peer:.2f}x",
            "" if row.log_likelihood is None else f"{row.log_likelihood:.3f}",
            f"{row.perplexity:.0f}",
            "" if reaches is None else f"{reaches:.2f} s",
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--topics", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--packages", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    default_lists = os.environ.get("MINILLM_PAPERLISTS", ROOT.parent / "shared" / "data" / "paperlists")
    parser.add_argument("--lists", type=Path, default=default_lists)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmarks" / "lda.json")
    arguments = parser.parse_args()
    packages = list(dict.fromkeys(["minillm_lib", "tomotopy", *arguments.packages]))
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")

    name, counts = corpus(Path(arguments.lists))
    order = np.random.default_rng(0).permutation(counts.shape[0])
    n_held_out = counts.shape[0] // 10
    held_out, X = counts[order[:n_held_out]], sparse.csr_matrix(counts[order[n_held_out:]], dtype=np.int64)
    size = f"{X.shape[0]:,} documents, {int(X.sum()):,} tokens, {X.shape[1]:,} terms"
    title = f"{name}: {size}; {arguments.sweeps} sweeps"
    fit_ours(X[:50], 5, 1, 2, 0)  # compile
    fit_ours(X[:50], 5, 2, 2, 0)

    console = Console(width=140)
    rows: list[Row] = []
    for n_topics in arguments.topics:
        for n_threads in arguments.threads:
            rows += race(packages, X, held_out, n_topics, n_threads, arguments.sweeps, arguments.repeats)
            console.print(table(title, rows))
    record: dict[str, Any] = {
        "corpus": title,
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {
            "tomotopy": f"{tomotopy.__version__} ({tomotopy.isa})",
            "lda": lda.__version__,
            "scikit-learn": sklearn.__version__,
            "gensim": gensim.__version__,
        },
        "repeats": arguments.repeats,
        "rows": [asdict(row) for row in rows],
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
