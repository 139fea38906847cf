"""Compare LDA in this project, tomotopy, lda, scikit-learn and gensim, in one run on one corpus.

    python benchmarks/lda.py [--parts fit transform busy size] [--topics 10 100 1000] [--threads 1 2] [--repeats 5]
                             [--packages minillm_lib tomotopy …] [--lists FOLDER]

The corpus is the NeurIPS abstracts of 2000-2017 if their lists are available (``--lists``, MINILLM_PAPERLISTS or
../shared/data/paperlists), otherwise the 1,000 papers shipped with the package. A tenth of the documents is held out.
There are four parts:

``fit``
    Speed is the number of training tokens times sweeps (or passes), divided by the seconds of these sweeps. Ours
    include the log-likelihood after each sweep. For the other packages, the time is that of the call that trains, which
    prepares the data as well, except for tomotopy's. This project and tomotopy take turns, and speeds are medians over
    the repeats; the others are slow and run once, for up to 100 topics. Two measures of quality are given as well: the
    joint log-likelihood per token, computed here from each sampler's own assignments, and the held-out perplexity by
    document completion, computed by the same function from each package's topics. "reaches" is the time in which this
    project reaches tomotopy's final perplexity.
``transform``
    Held-out documents per second on all cores. Half of each document is folded in; the perplexity is that of the other
    half. Scikit-learn is given this project's topics. Tomotopy can only use its own, for which a second row gives the
    figures of this project.
``busy``
    The speed on all cores while two other processes keep them busy, as a share of that on a quiet machine.
``size``
    Memory of the sampler's state per token, and one sweep over 10^8 synthetic tokens.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from busy import busy_processes

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
from minillm_lib.topics import evaluation
from minillm_lib.topics.gibbs_sampler import GibbsSampler, Tokens

ALPHA, BETA = 0.1, 0.01
SWEEPS = {10: 100, 100: 100, 1000: 40}
SLOW = ("lda", "scikit-learn", "gensim")
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
    return "NeurIPS abstracts 2000-2017", bag_of_words(
        documents, language="en", stop_words="abstracts"
    ).counts


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
    judge = GibbsLDA(len(topic_word), n_sweeps=1, alpha=ALPHA, n_chains=1, random_state=0).fit(held_out)
    judge.topic_word_ = np.maximum(topic_word, 1e-12)
    return judge.perplexity(held_out)


def fit_ours(X: sparse.csr_matrix, n_topics: int, n_threads: int, n_sweeps: int, seed: int) -> Fit:
    sampler = GibbsSampler(
        Tokens.from_matrix(X.astype(np.float64)),
        n_topics,
        alpha=np.full(n_topics, ALPHA),
        beta=BETA,
        seed=np.random.SeedSequence(seed),
        n_blocks=n_threads,
    )
    with ThreadPoolExecutor(n_threads) if n_threads > 1 else nullcontext() as executor:
        start = time.perf_counter()
        for _ in range(n_sweeps):
            sampler.sweep(executor)
        seconds = time.perf_counter() - start
    return Fit(seconds, sampler.topic_word(), (sampler.doc_topic_counts, sampler.topic_word_counts))


def tomotopy_model(X: sparse.csr_matrix, n_topics: int, seed: int) -> Any:
    """Return a tomotopy model of the documents, before its first sweep."""
    model = tomotopy.LDAModel(k=n_topics, alpha=ALPHA, eta=BETA, seed=seed + 1)
    for words in as_words(X):
        model.add_doc(words)
    model.optim_interval = 0
    model.train(0)
    return model


def as_words(X: sparse.csr_matrix) -> list[list[str]]:
    """Return each document as a list of words: the numbers of its terms, each as often as it occurs."""
    return [[str(term) for term in np.repeat(row.indices, row.data.astype(int))] for row in X]


def topics_of(model: Any, n_terms: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a tomotopy model's topics, ``(n_topics, n_terms)``, and the terms of its vocabulary."""
    columns = np.array([int(term) for term in model.used_vocabs])
    topic_word = np.full((model.k, n_terms), 1e-12)
    topic_word[:, columns] = [model.get_topic_word_dist(topic) for topic in range(model.k)]
    return topic_word, columns


def fit_tomotopy(X: sparse.csr_matrix, n_topics: int, n_threads: int, n_sweeps: int, seed: int) -> Fit:
    model = tomotopy_model(X, n_topics, seed)
    start = time.perf_counter()
    model.train(n_sweeps, workers=n_threads)
    seconds = time.perf_counter() - start
    topic_word, columns = topics_of(model, X.shape[1])
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
    model = GibbsLDA(n_topics, n_sweeps=2_000, beta=BETA, n_chains=1, n_threads=n_threads, random_state=0)
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
            if (name in SLOW and (repeat or n_topics > 100)) or (name == "lda" and n_threads > 1):
                continue  # `lda` is single-threaded
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


def transform(
    X: sparse.csr_matrix, held_out: sparse.csr_matrix, n_topics: int, repeats: int
) -> list[dict[str, Any]]:
    """Return documents per second and perplexity of folding in one half of each held-out document."""
    ours = GibbsLDA(
        n_topics,
        n_sweeps=SWEEPS.get(n_topics, 100),
        beta=BETA,
        n_chains=1,
        n_threads=os.cpu_count(),
        random_state=0,
    ).fit(X)
    tokens = Tokens.from_matrix(held_out.astype(np.float64))
    observed, hidden = evaluation.split_tokens(tokens, seed=0)
    halves = sparse.csr_matrix(
        (np.ones(len(observed)), observed.terms.copy(), observed.starts.copy()), shape=held_out.shape
    )
    halves.sum_duplicates()
    theirs = LatentDirichletAllocation(
        n_topics, doc_topic_prior=ALPHA, topic_word_prior=BETA, n_jobs=os.cpu_count(), max_iter=1
    ).fit(X[:100])
    theirs.components_ = ours.components_
    theirs.exp_dirichlet_component_ = (
        ours.topic_word_
    )  # it would otherwise be computed from the first 100 documents

    other = tomotopy_model(X, n_topics, seed=0)
    other.train(SWEEPS.get(n_topics, 100), workers=os.cpu_count())
    other_topics, _ = topics_of(other, X.shape[1])
    on_others = GibbsLDA(n_topics, n_sweeps=1, n_chains=1, random_state=0).fit(X)
    on_others.topic_word_ = other_topics
    few = halves[:200] if n_topics > 100 else halves  # its inference is slow with many topics
    words = as_words(few)
    with_words = np.flatnonzero([len(each) > 0 for each in words])

    def infer() -> np.ndarray:
        documents = [other.make_doc(words[d]) for d in with_words]
        theta = np.full((len(words), n_topics), 1 / n_topics)
        theta[with_words] = other.infer(documents, workers=os.cpu_count())[0]
        return theta

    contestants = {
        "minillm_lib": (lambda: ours.transform(halves), ours.topic_word_),
        "scikit-learn, same topics": (lambda: theirs.transform(halves), ours.topic_word_),
        "tomotopy, its topics": (infer, other_topics),
        "minillm_lib, tomotopy's topics": (lambda: on_others.transform(few), other_topics),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    thetas: dict[str, np.ndarray] = {}
    for repeat in range(repeats + 1):
        for name, (run, _) in contestants.items():
            if name.startswith("tomotopy") and repeat > 1:
                continue
            start = time.perf_counter()
            thetas[name] = run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    rows = []
    for name, (_, topic_word) in contestants.items():
        n_documents = len(thetas[name])
        first = int(hidden.starts[n_documents])
        predicted = Tokens(hidden.terms[:first], hidden.starts[: n_documents + 1], None, hidden.n_terms)
        rows.append(
            {
                "package": name,
                "n_topics": n_topics,
                "documents_per_second": n_documents / statistics.median(seconds[name]),
                "perplexity": evaluation.completion_perplexity(thetas[name], topic_word, predicted),
            }
        )
    return rows


def busy(X: sparse.csr_matrix, n_topics: int, repeats: int) -> list[dict[str, Any]]:
    """Return the speed on all cores, on a quiet machine and beside two busy processes."""
    n_threads = os.cpu_count() or 1
    n_sweeps = SWEEPS.get(n_topics, 100)
    rows = []
    for name in ("minillm_lib", "tomotopy"):
        fit = CONTESTANTS[name][0]
        quiet = statistics.median(fit(X, n_topics, n_threads, n_sweeps, r).seconds for r in range(repeats))
        with busy_processes():
            loaded = statistics.median(
                fit(X, n_topics, n_threads, n_sweeps, r).seconds for r in range(repeats)
            )
        speed = X.sum() * n_sweeps / 1e6
        rows.append(
            {
                "package": name,
                "n_topics": n_topics,
                "n_threads": n_threads,
                "million_tokens_per_second": float(speed / quiet),
                "beside_two_busy_processes": float(speed / loaded),
            }
        )
    return rows


def synthetic_tokens(n_tokens: int, n_documents: int, n_terms: int) -> Tokens:
    """Return documents of equal length, with terms drawn by Zipf's law."""
    p = 1 / np.arange(10, n_terms + 10)
    steps = np.cumsum(p / p.sum()).astype(np.float32)
    terms = np.empty(n_tokens, dtype=np.int32)
    rng = np.random.default_rng(0)
    for first in range(0, n_tokens, 10**7):
        draws = rng.random(min(10**7, n_tokens - first), dtype=np.float32)
        terms[first : first + len(draws)] = np.minimum(np.searchsorted(steps, draws), n_terms - 1)
    return Tokens(terms, np.linspace(0, n_tokens, n_documents + 1).astype(np.int64), None, n_terms)


def large_sweep(n_tokens: int, n_topics: int) -> dict[str, Any]:
    """Time one sweep over a large corpus in this process, and return the memory that it took."""
    tokens = synthetic_tokens(n_tokens, n_documents=n_tokens // 200, n_terms=50_000)
    n_threads = os.cpu_count() or 1
    warm_up = synthetic_tokens(10_000, 50, 500)
    for of in (warm_up, tokens):
        sampler = GibbsSampler(
            of, n_topics, alpha=np.full(n_topics, ALPHA), beta=BETA, seed=np.random.SeedSequence(0), n_blocks=n_threads
        )  # fmt: skip
        with ThreadPoolExecutor(n_threads) as executor:
            start = time.perf_counter()
            sampler.sweep(executor)
            seconds = time.perf_counter() - start
    return {
        "n_tokens": n_tokens,
        "n_topics": n_topics,
        "kernel": sampler.kernel,
        "seconds_of_first_sweep": seconds,
        "state_bytes_per_token": sampler.state_bytes / n_tokens,
        "peak_bytes_of_process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if platform.system() == "Darwin" else 1024),
    }


def size(X: sparse.csr_matrix, topics: list[int]) -> dict[str, Any]:
    """Return the bytes of state per token for the corpus, and the figures of one large corpus."""
    tokens = Tokens.from_matrix(X.astype(np.float64))
    per_token = {}
    for n_topics in topics:
        sampler = GibbsSampler(
            tokens, n_topics, alpha=np.full(n_topics, ALPHA), beta=BETA, seed=np.random.SeedSequence(0)
        )
        per_token[n_topics] = sampler.state_bytes / len(tokens)
    command = [sys.executable, __file__, "--large-sweep", str(10**8), "100"]
    large = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {"state_bytes_per_token": per_token, "large": large}


def fit_table(title: str, rows: list[dict[str, Any]]) -> Table:
    """Return a table of the rows, with each package's speed as a multiple of tomotopy's in the same setting."""
    result = Table(title=title, title_justify="left")
    headings = ["K", "threads", "package", "M tokens/s", "range", "vs tomotopy"]
    for heading in [*headings, "log p(w, z)", "perplexity", "reaches"]:
        result.add_column(heading, justify="left" if heading == "package" else "right")
    for row in rows:
        setting = (row["n_topics"], row["n_threads"])
        (peer,) = [
            r["million_tokens_per_second"]
            for r in rows
            if r["package"] == "tomotopy" and (r["n_topics"], r["n_threads"]) == setting
        ]
        reaches = row["seconds_to_tomotopys_perplexity"]
        result.add_row(
            *map(str, setting),
            row["package"],
            f"{row['million_tokens_per_second']:.2f}",
            f"{row['slowest']:.2f}-{row['fastest']:.2f}",
            f"{row['million_tokens_per_second'] / peer:.2f}x",
            "" if row["log_likelihood"] is None else f"{row['log_likelihood']:.3f}",
            f"{row['perplexity']:.0f}",
            "" if reaches is None else f"{reaches:.2f} s",
        )
    return result


def show(console: Console, record: dict[str, Any]) -> None:
    """Print the parts that the record has."""
    if rows := record.get("fit"):
        console.print(fit_table(record["corpus"], rows))
    if rows := record.get("transform"):
        table = Table(
            "K", "package", "documents/s", "perplexity", title="New documents", title_justify="left"
        )
        for row in rows:
            table.add_row(
                str(row["n_topics"]),
                row["package"],
                f"{row['documents_per_second']:,.0f}",
                f"{row['perplexity']:.0f}",
            )
        console.print(table)
    if rows := record.get("busy"):
        table = Table(
            "K", "package", "quiet", "beside two busy processes", "share", title="M tokens/s on all cores"
        )
        for row in rows:
            quiet, loaded = row["million_tokens_per_second"], row["beside_two_busy_processes"]
            table.add_row(
                str(row["n_topics"]), row["package"], f"{quiet:.1f}", f"{loaded:.1f}", f"{loaded / quiet:.0%}"
            )
        console.print(table)
    if sizes := record.get("size"):
        for n_topics, each in sizes["state_bytes_per_token"].items():
            console.print(f"state at K = {n_topics}: {each:.1f} bytes per token")
        large = sizes["large"]
        console.print(
            f"{large['n_tokens']:,} synthetic tokens, K = {large['n_topics']}:",
            f"first sweep {large['seconds_of_first_sweep']:.1f} s,",
            f"state {large['state_bytes_per_token']:.1f} bytes per token,",
            f"process {large['peak_bytes_of_process'] / 2**30:.1f} GiB",
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ["fit", "transform", "busy", "size"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--topics", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--packages", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--sweeps", type=int, help="By default 100, and 40 for 1,000 topics.")
    parser.add_argument("--repeats", type=int, default=5)
    default_lists = os.environ.get("MINILLM_PAPERLISTS", ROOT.parent / "shared" / "data" / "paperlists")
    parser.add_argument("--lists", type=Path, default=default_lists)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmarks" / "lda.json")
    parser.add_argument("--large-sweep", nargs=2, type=int, metavar=("TOKENS", "K"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.large_sweep:
        print(json.dumps(large_sweep(*arguments.large_sweep)))
        return
    packages = list(dict.fromkeys(["minillm_lib", "tomotopy", *arguments.packages]))
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")

    name, counts = corpus(Path(arguments.lists))
    order = np.random.default_rng(0).permutation(counts.shape[0])
    n_held_out = counts.shape[0] // 10
    held_out, X = counts[order[:n_held_out]], sparse.csr_matrix(counts[order[n_held_out:]], dtype=np.int64)
    for n_topics in arguments.topics:  # compile
        for n_threads in (1, 2):
            fit_ours(X[:50], n_topics, n_threads, 2, 0)

    console = Console(width=140)
    record: dict[str, Any] = {}
    if arguments.output.exists():  # parts that are not measured now keep their recorded values
        record = json.loads(arguments.output.read_text(encoding="utf-8"))
    record["corpus"] = f"{name}: {X.shape[0]:,} documents, {int(X.sum()):,} tokens, {X.shape[1]:,} terms"
    record["machine"] = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    record["versions"] = {
        "tomotopy": f"{tomotopy.__version__} ({tomotopy.isa})",
        "lda": lda.__version__,
        "scikit-learn": sklearn.__version__,
        "gensim": gensim.__version__,
    }
    record["repeats"] = arguments.repeats
    if "fit" in arguments.parts:
        rows: list[Row] = []
        for n_topics in arguments.topics:
            n_sweeps = arguments.sweeps or SWEEPS.get(n_topics, 100)
            for n_threads in arguments.threads:
                rows += race(packages, X, held_out, n_topics, n_threads, n_sweeps, arguments.repeats)
        record["fit"] = [asdict(row) for row in rows]
    if "transform" in arguments.parts:
        record["transform"] = [
            row
            for n_topics in arguments.topics
            for row in transform(X, held_out, n_topics, arguments.repeats)
        ]
    if "busy" in arguments.parts:
        record["busy"] = [row for n_topics in (10, 100) for row in busy(X, n_topics, arguments.repeats)]
    if "size" in arguments.parts:
        record["size"] = size(X, arguments.topics)
    show(console, record)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
