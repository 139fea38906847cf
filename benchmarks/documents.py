"""Count the terms of a million short documents that come from a stream, and fit a topic model to them.

    python benchmarks/documents.py [--documents 1000000] [--topics 50] [--sweeps 20] [--measurements "stream alone" …]

The documents are made up here, from a fixed seed: on average twenty words, of which two fifths are English stop words,
and the others are drawn by Zipf's law from a vocabulary of 100,000 invented words, in an order that depends on the
topic of the document. One document in a hundred repeats an earlier one, with or without another word at its end.

Each measurement runs in a process of its own. Memory is the largest sum of the resident memory of this process and its
children, read five times a second; pages that several processes share count several times. The seconds of processor
time are those of all of these processes, and differ from the seconds on the clock where others were busy too.

The measurements are those from the stream to the document-term matrix, and then those of
:class:`~minillm_lib.topics.gibbs_lda.GibbsLDA` on this matrix. "stream alone" makes the documents and does nothing
else. This project repairs the texts, finds exact and near duplicates, splits words, looks up lemmas, drops stop words,
unites spellings, finds phrases and reports on all of this. Scikit-learn and gensim do less: they split words, and drop
stop words and rare and ubiquitous terms (gensim in two readings of the stream).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from scipy import sparse

ROOT = Path(__file__).parent.parent
SEED = 0
N_WORDS, N_TOPICS, WORDS_PER_DOCUMENT, STOP_SHARE, COPY_SHARE = 100_000, 50, 20, 0.4, 0.01
STOP_WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "for",
    "it",
    "with",
    "on",
    "as",
    "by",
    "at",
    "this",
]
STOP_WORDS += ["be", "are", "from", "or", "an"]
AT_ONCE = 1_000
COUNT, FIT = "minillm_lib, 2 processes", "GibbsLDA"
SECONDS_BETWEEN_READINGS = 0.2


def invented_words(number: int, random: np.random.Generator) -> list[str]:
    """Return different words of two to four syllables, in a random order."""
    syllables = np.array([consonant + vowel for consonant in "bcdfghklmnprstvz" for vowel in "aeiou"])
    words: dict[str, None] = {}
    while len(words) < number:
        for length in random.integers(2, 5, size=number):
            words["".join(random.choice(syllables, size=length))] = None
    return list(words)[:number]


def stream(n_documents: int) -> Iterator[str]:
    """Yield the documents, always the same ones."""
    random = np.random.default_rng(SEED)
    words = np.array([*invented_words(N_WORDS, random), *STOP_WORDS], dtype=object)
    probability = 1 / np.arange(1, N_WORDS + 1)
    cumulated = np.cumsum(probability / probability.sum())
    orders = np.array([random.permutation(N_WORDS) for _ in range(N_TOPICS)])
    earlier: list[str] = []
    for first in range(0, n_documents, AT_ONCE):
        n = min(AT_ONCE, n_documents - first)
        lengths = 1 + random.poisson(WORDS_PER_DOCUMENT - 1, size=n)
        topics = np.repeat(random.integers(N_TOPICS, size=n), lengths)
        ranks = np.minimum(np.searchsorted(cumulated, random.random(len(topics))), N_WORDS - 1)
        stop_words = N_WORDS + random.integers(len(STOP_WORDS), size=len(topics))
        is_stop_word = random.random(len(topics)) < STOP_SHARE
        chosen = words[np.where(is_stop_word, stop_words, orders[topics, ranks])].tolist()
        texts, end = [], 0
        for length in lengths.tolist():
            texts.append(" ".join(chosen[end : end + length]).capitalize() + ".")
            end += length
        for copy in np.flatnonzero(random.random(n) < COPY_SHARE).tolist():
            if earlier:
                texts[copy] = earlier[copy % len(earlier)] + (" Indeed." if copy % 2 else "")
        earlier = texts[:50]
        yield from texts


def count_ours(n_documents: int, n_jobs: int, language: str, path: Path | None = None) -> dict[str, Any]:
    from minillm_lib import bag_of_words

    bag = bag_of_words(stream(n_documents), language=language, n_jobs=n_jobs, progress=True)
    print(bag.report, file=sys.stderr)
    if path is not None:
        sparse.save_npz(path, bag.counts, compressed=False)
    return size_of(bag.counts)


def count_sklearn(n_documents: int) -> dict[str, Any]:
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(stop_words="english", min_df=2, max_df=0.5, dtype=np.int32)
    return size_of(vectorizer.fit_transform(stream(n_documents)))


def count_gensim(n_documents: int) -> dict[str, Any]:
    from gensim.corpora import Dictionary
    from gensim.matutils import corpus2csc
    from gensim.utils import simple_preprocess
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    def documents() -> Iterator[list[str]]:
        for text in stream(n_documents):
            yield [word for word in simple_preprocess(text) if word not in ENGLISH_STOP_WORDS]

    dictionary = Dictionary(documents(), prune_at=None)
    dictionary.filter_extremes(no_below=2, no_above=0.5, keep_n=None)
    corpus = map(dictionary.doc2bow, documents())
    return size_of(corpus2csc(corpus, num_terms=len(dictionary), dtype=np.int32).T.tocsr())


def only_stream(n_documents: int) -> dict[str, Any]:
    return {"documents": sum(1 for _ in stream(n_documents))}


def fit(path: Path, n_topics: int, n_sweeps: int) -> dict[str, Any]:
    from minillm_lib import GibbsLDA

    counts = sparse.load_npz(path)
    model = GibbsLDA(n_topics, n_sweeps=n_sweeps, n_chains=1, random_state=0)
    model.fit(counts[:100])  # compile
    start = time.perf_counter()
    model.fit(counts)
    seconds = time.perf_counter() - start
    return {**size_of(counts), "topics": n_topics, "sweeps": n_sweeps, "seconds_of_fit": seconds}


def size_of(counts: sparse.csr_matrix) -> dict[str, Any]:
    return {"documents": counts.shape[0], "terms": counts.shape[1], "tokens": int(counts.sum())}


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "stream alone": lambda options: only_stream(options.documents),
    "minillm_lib, 1 process": lambda options: count_ours(options.documents, 1, "en"),
    COUNT: lambda options: count_ours(options.documents, 2, "en", options.matrix),
    "minillm_lib, 2 processes, language to be found": lambda options: count_ours(
        options.documents, 2, "auto"
    ),
    "scikit-learn": lambda options: count_sklearn(options.documents),
    "gensim": lambda options: count_gensim(options.documents),
    FIT: lambda options: fit(options.matrix, options.topics, options.sweeps),
}


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a measurement in a process of its own; return its results with the time and the memory that it took."""
    command = [sys.executable, __file__, "--measure", name, "--matrix", str(options.matrix)]
    for option in ("documents", "topics", "sweeps"):
        command += [f"--{option}", str(getattr(options, option))]
    load = os.getloadavg()[0]
    start = time.perf_counter()
    peak, processor_seconds = 0, dict[int, float]()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            peak = max(peak, read_processes(process.pid, processor_seconds))
            time.sleep(SECONDS_BETWEEN_READINGS)
        seconds = time.perf_counter() - start
        output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{name} failed")
    return {
        "seconds": seconds,
        "processor_seconds": sum(processor_seconds.values()),
        "peak_bytes": peak,
        "load_before": load,
        **json.loads(output.splitlines()[-1]),
    }


def read_processes(pid: int, processor_seconds: dict[int, float]) -> int:
    """Return the resident memory of a process and its children together, and note the processor time of each."""
    total = 0
    try:
        parent = psutil.Process(pid)
        processes = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in processes:
        try:
            total += process.memory_info().rss
            times = process.cpu_times()
            processor_seconds[process.pid] = times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return total


def show(console: Console, record: dict[str, Any]) -> None:
    """Print the measurements that the record has."""
    table = Table(title=f"{record['documents']:,} documents to a matrix", title_justify="left")
    for heading in ("", "seconds", "processor", "documents/s", "memory, MB", "rows", "terms", "tokens"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, row in record["measurements"].items():
        if name != FIT:
            table.add_row(
                name,
                f"{row['seconds']:.0f}",
                f"{row['processor_seconds']:.0f}",
                f"{record['documents'] / row['seconds']:,.0f}",
                f"{row['peak_bytes'] / 1e6:,.0f}",
                *(f"{row[key]:,}" if key in row else "" for key in ("documents", "terms", "tokens")),
            )
    console.print(table)
    if row := record["measurements"].get(FIT):
        speed = row["tokens"] * row["sweeps"] / row["seconds_of_fit"] / 1e6
        console.print(
            f"GibbsLDA, K = {row['topics']}, one chain, {row['sweeps']} sweeps over {row['tokens']:,} tokens: "
            f"{row['seconds_of_fit']:.0f} s, {speed:.1f} M tokens/s, {row['peak_bytes'] / 1e6:,.0f} MB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measurements", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--topics", type=int, default=50)
    parser.add_argument("--sweeps", type=int, default=20)
    parser.add_argument(
        "--note", default="", help="A sentence for the record, such as what else was running."
    )
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmarks" / "documents.json")
    parser.add_argument("--measure", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    parser.add_argument("--matrix", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(MEASUREMENTS[options.measure](options)))
        return
    console = Console(width=140)
    record: dict[str, Any] = {"documents": options.documents, "measurements": {}}
    if options.output.exists():  # what is not measured now keeps its recorded values
        earlier = json.loads(options.output.read_text(encoding="utf-8"))
        record = earlier if earlier["documents"] == options.documents else record
    record["machine"] = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    record["versions"] = {package: version(package) for package in ("scikit-learn", "gensim")}
    record["note"] = options.note
    names = [name for name in MEASUREMENTS if name in options.measurements]
    if FIT in names and COUNT not in names:
        names.insert(0, COUNT)  # which makes the matrix
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        options.matrix = Path(folder) / "counts.npz"
        for name in names:
            record["measurements"][name] = measure(name, options)
            options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    show(console, record)
    console.print(f"written to {options.output}")


if __name__ == "__main__":
    main()
