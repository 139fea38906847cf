"""Which settings give topics that other chains find as well? The defaults of ``GibbsLDA`` come from these figures.

    python benchmarks/stability.py [--parts priors sweeps chains calibration noise] [--corpora papers abstracts …]
                                   [--lists FOLDER] [--folder FOLDER] [--output FILE]

Corpora, as far as they are available: ``papers``, the 1,000 papers shipped with the package; ``abstracts``, the NeurIPS
abstracts of 2000-2017 (``--lists``, as in ``benchmarks/lda.py``); ``docstrings``, 2,000 of that corpus; ``faq``, the
course's questions and answers in English; and ``folder``, your own files (``--folder``). A tenth of the documents is
held out.

Each setting is fitted with four sets of independent chains. From each set, one model is made: the chain with the
highest log-likelihood ("likeliest"), the one whose topics the others find best ("central"), or that chain with each
topic averaged over the chains that find it ("consensus"). What would a second user with another seed have seen? The
measures are means over all pairs of two sets:

``recurs``, ``worst``
    Overlap (the sum of the smaller probabilities) of the matched topics of the models of both sets: mean, and minimum.
    ``error`` is the standard error of the first, with the pairs taken as independent.
``top_ten``
    Share of the ten most probable terms that matched topics have in common.
``found``
    Mean overlap of the first model's topics with those of each single chain of the second set.
``stability``
    What the first set says itself, ``GibbsLDA.stability_``, and ``foretells``: its correlation, over the topics, with
    their overlap in the second model.
``coherence``, ``perplexity``
    NPMI of the ten most probable terms, and document completion, on held-out documents.

``calibration`` takes all pairs of chains of the chosen setting, and says how many of the ten most probable terms two
matched topics have in common at each overlap. ``noise`` measures what stability topics have where there is nothing to
find: every token of the corpus is given a term at random, with the terms' own frequencies. ``UNSTABLE`` comes from
these two.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import sparse

from minillm_lib import GibbsLDA, bag_of_words, load_neurips
from minillm_lib.corpora.document import Document, sample
from minillm_lib.topics.chains import Chain, consensus
from minillm_lib.topics.evaluation import coherence
from minillm_lib.topics.stability import match_chains, match_topics

ROOT = Path(__file__).parent.parent
CORPORA = ("papers", "abstracts", "docstrings", "faq", "folder")
MODELS = ("likeliest", "central", "consensus")
N_SETS = 4
N_CHAINS = 4
N_SWEEPS = {"abstracts": 200, "docstrings": 300, "folder": 300}
PRIORS: list[dict[str, Any]] = [
    {"alpha": alpha, "beta": beta}
    for alpha, beta in (
        *((0.1, beta) for beta in (0.01, 0.05, 0.1, 0.2, "learned")),
        ("50/K", 0.1),
        *(("learned", beta) for beta in (0.1, "learned")),
    )
]
CHOSEN: dict[str, Any] = {"alpha": 0.1, "beta": 0.1}


def counts_of(name: str, lists: Path, folder: Path | None) -> sparse.csr_matrix | None:
    """Return the document-term matrix of a corpus, or None if it is not available."""
    if name == "papers":
        return load_neurips().counts
    documents = _documents(name, lists, folder)
    return None if documents is None else bag_of_words(documents, language="en").counts


def _documents(name: str, lists: Path, folder: Path | None) -> list[Document] | None:
    if name == "abstracts":
        files = [lists / "nips" / f"nips{year}.json" for year in range(2000, 2018)]
        if not all(file.exists() for file in files):
            return None
        papers = [paper for file in files for paper in json.loads(file.read_text(encoding="utf-8"))]
        return [
            Document(f"{paper['title']}. {paper['abstract']}") for paper in papers if paper.get("abstract")
        ]
    if name == "docstrings":
        from minillm_lib.corpora.registry import load_corpus

        return sample(load_corpus("docstrings"), 2_000)
    if name == "faq":
        from minillm_lib.corpora.registry import load_corpus

        return list(load_corpus("course-faq", language="en"))
    if folder is None:
        return None
    from minillm_lib.corpora.files import read_files

    return list(read_files(folder))


def parameters_of(setting: dict[str, Any], n_topics: int) -> dict[str, Any]:
    """Return a setting's arguments of ``GibbsLDA``."""
    alpha, beta = setting["alpha"], setting["beta"]
    return {
        "alpha": 50 / n_topics if alpha == "50/K" else 0.1 if alpha == "learned" else alpha,
        "beta": 0.01 if beta == "learned" else beta,
        "learn_alpha": alpha == "learned",
        "learn_beta": beta == "learned",
    }


def shown(chains: list[Chain], model: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the topics, ``(n_topics, n_terms)``, and alpha, ``(n_topics,)``, that would be shown of some chains."""
    if model == "likeliest":
        heights = [chain.log_likelihoods[len(chain.log_likelihoods) // 2 :].mean() for chain in chains]
        best = chains[int(np.argmax(heights))]
        return best.topic_word, best.alpha
    matched = match_chains([chain.topic_word for chain in chains])
    result = chains[matched.central] if model == "central" else consensus(chains, matched)
    return result.topic_word, result.alpha


def compare(sets: list[list[Chain]], model: str, held_out: sparse.csr_matrix) -> dict[str, float]:
    """Compare what is shown of several sets of chains."""
    models = [shown(chains, model) for chains in sets]
    matched = [match_chains([chain.topic_word for chain in chains]) for chains in sets]
    recurs, worst, common, found, foretells = [], [], [], [], []
    for first, second in combinations(range(len(sets)), 2):
        topics, others = models[first][0], models[second][0]
        order, overlap = match_topics(topics, others)
        recurs.append(overlap.mean())
        worst.append(overlap.min())
        pairs = zip(top_ten(topics), top_ten(others[order]), strict=True)
        common.append(np.mean([len(set(mine) & set(theirs)) / 10 for mine, theirs in pairs]))
        found.append(np.mean([match_topics(topics, chain.topic_word)[1] for chain in sets[second]]))
        foretells.append(np.corrcoef(matched[first].stability, overlap)[0, 1])
    result = {
        "recurs": np.mean(recurs),
        "error": np.std(recurs, ddof=1) / np.sqrt(len(recurs)),
        "worst": np.mean(worst),
        "top_ten": np.mean(common),
        "found": np.mean(found),
        "coherence": np.mean([held_out_coherence(topics, held_out) for topics, _ in models]),
        "perplexity": np.mean([held_out_perplexity(*each, held_out) for each in models]),
    }
    if model != "likeliest":  # whose topics are in another order
        result["stability"] = np.mean([each.stability for each in matched])
        result["foretells"] = np.mean(foretells)
    return {name: round(float(value), 4) for name, value in result.items()}


def top_ten(topics: np.ndarray) -> np.ndarray:
    return np.argsort(-topics, axis=1, kind="stable")[:, :10]


def held_out_coherence(topics: np.ndarray, held_out: sparse.csr_matrix) -> float:
    seen = np.flatnonzero(held_out.getnnz(axis=0))
    best = np.argsort(-topics[:, seen], axis=1, kind="stable")[:, :10]
    return float(coherence(seen[best].tolist(), held_out, vocabulary=range(held_out.shape[1])).mean())


def held_out_perplexity(topics: np.ndarray, alpha: np.ndarray, held_out: sparse.csr_matrix) -> float:
    judge = GibbsLDA(len(topics), n_sweeps=1, n_chains=1, alpha=alpha, random_state=0).fit(held_out)
    judge.topic_word_ = topics
    return judge.perplexity(held_out)


def sets_of(X: sparse.csr_matrix, n_topics: int, n_chains: int, **parameters: Any) -> list[list[Chain]]:
    chains = GibbsLDA(n_topics, n_chains=N_SETS * n_chains, random_state=0, **parameters).fit(X).chains_
    return [chains[n_chains * number : n_chains * (number + 1)] for number in range(N_SETS)]


def rows_of(
    corpus: str, counts: sparse.csr_matrix, parts: list[str], n_topics: int
) -> Iterator[dict[str, Any]]:
    """Yield the results of one corpus."""
    order = np.random.default_rng(0).permutation(counts.shape[0])
    n_held_out = counts.shape[0] // 10
    held_out, X = counts[order[:n_held_out]], sparse.csr_matrix(counts[order[n_held_out:]], dtype=np.int64)
    chosen = parameters_of(CHOSEN, n_topics)
    jobs: list[tuple[str, dict[str, Any], int, int, dict[str, Any]]] = []
    usual = N_SWEEPS.get(corpus, 500)
    if "priors" in parts:
        jobs += [("priors", setting, usual, N_CHAINS, parameters_of(setting, n_topics)) for setting in PRIORS]
    if "sweeps" in parts:
        jobs += [("sweeps", CHOSEN, n, N_CHAINS, chosen) for n in (200, 500, 1000, 2000)]
    if "chains" in parts:
        jobs += [("chains", CHOSEN, usual, n, chosen) for n in (2, 4, 8)]
    for part, setting, n_sweeps, n_chains, parameters in jobs:
        start = time.perf_counter()
        sets = sets_of(X, n_topics, n_chains, n_sweeps=n_sweeps, **parameters)
        seconds = time.perf_counter() - start
        yield {
            "part": part, "corpus": corpus, "n_topics": n_topics, **setting, "n_sweeps": n_sweeps,
            "n_chains": n_chains, "seconds_per_set": round(seconds / N_SETS, 1),
            **{model: compare(sets, model, held_out) for model in MODELS},
        }  # fmt: skip
    if "calibration" in parts:
        chains = [
            each for chains in sets_of(X, n_topics, N_CHAINS, n_sweeps=usual, **chosen) for each in chains
        ]
        yield {
            "part": "calibration", "corpus": corpus, "n_topics": n_topics, **CHOSEN, "n_sweeps": usual,
            "n_chains": N_CHAINS, "by_overlap": calibration(chains),
        }  # fmt: skip
    if "noise" in parts:
        sets = sets_of(shuffled(X), n_topics, N_CHAINS, n_sweeps=usual, **chosen)
        stability = np.array([match_chains([chain.topic_word for chain in each]).stability for each in sets])
        yield {
            "part": "noise", "corpus": corpus, "n_topics": n_topics, **CHOSEN, "n_sweeps": usual,
            "n_chains": N_CHAINS, "stability": round(float(stability.mean()), 4),
            "highest": round(float(stability.max()), 4),
        }  # fmt: skip


def calibration(chains: list[Chain]) -> list[dict[str, float]]:
    """Return what matched topics of two chains have in common, by their overlap in steps of 0.1."""
    found = []
    for first, second in combinations(chains, 2):
        order, overlap = match_topics(first.topic_word, second.topic_word)
        pairs = zip(top_ten(first.topic_word), top_ten(second.topic_word[order]), strict=True)
        found += [
            (shared, len(set(mine) & set(theirs)))
            for shared, (mine, theirs) in zip(overlap, pairs, strict=True)
        ]
    overlaps, common = np.array(found).T
    steps = np.floor(overlaps * 10) / 10
    return [
        {
            "from": round(float(step), 1),
            "n_pairs": int((steps == step).sum()),
            "common_terms": round(float(common[steps == step].mean()), 2),
            "fewer_than_five": round(float((common[steps == step] < 5).mean()), 3),
        }
        for step in np.unique(steps)
    ]


def shuffled(X: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return documents as long as those of ``X``, of terms drawn without regard to the document."""
    terms = np.repeat(X.indices, X.data)
    np.random.default_rng(0).shuffle(terms)
    ends = np.concatenate([[0], np.cumsum(np.asarray(X.sum(axis=1)))]).astype(np.int64)
    noise = sparse.csr_matrix((np.ones(len(terms), dtype=np.int64), terms, ends), shape=X.shape)
    noise.sum_duplicates()
    return noise


def show(console: Console, record: dict[str, Any]) -> None:
    for (corpus, part), rows in _grouped(record["rows"]).items():
        if part == "calibration":
            for row in rows:
                steps = ", ".join(
                    f"{each['from']:.1f}: {each['fewer_than_five']:.0%}" for each in row["by_overlap"]
                )
                console.print(
                    f"{corpus}, share of pairs with fewer than 5 of 10 terms in common, by overlap: {steps}"
                )
            continue
        if part == "noise":
            for row in rows:
                console.print(
                    f"{corpus}, terms dealt at random: stability {row['stability']:.2f}, at most {row['highest']:.2f}"
                )
            continue
        table = Table(
            "K", "alpha", "beta", "sweeps", "chains", "shown", "recurs", "worst", "top ten", "found",
            "stability", "foretells", "NPMI", "perplexity",
            title=f"{corpus}: {part}", title_justify="left",
        )  # fmt: skip
        for row in rows:
            for model in MODELS:
                each = row[model]
                table.add_row(
                    *(str(row[key]) for key in ("n_topics", "alpha", "beta", "n_sweeps", "n_chains")), model,
                    f"{each['recurs']:.3f} ± {each['error']:.3f}", f"{each['worst']:.2f}", f"{each['top_ten']:.2f}",
                    f"{each['found']:.3f}", f"{each['stability']:.3f}" if "stability" in each else "",
                    f"{each['foretells']:.2f}" if "foretells" in each else "", f"{each['coherence']:.3f}",
                    f"{each['perplexity']:.0f}",
                )  # fmt: skip
        console.print(table)


def _grouped(rows: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["corpus"], row["part"]), []).append(row)
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = ["priors", "sweeps", "chains", "calibration", "noise"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=CORPORA)
    parser.add_argument("--topics", type=int, default=10)
    default_lists = os.environ.get("MINILLM_PAPERLISTS", ROOT.parent / "shared" / "data" / "paperlists")
    parser.add_argument("--lists", type=Path, default=default_lists)
    parser.add_argument("--folder", type=Path, help="Text files of your own.")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmarks" / "stability.json")
    arguments = parser.parse_args()

    console = Console(width=160)
    record: dict[str, Any] = {"rows": [], "corpora": {}}
    if arguments.output.exists():  # what is not measured now keeps its recorded values
        record = json.loads(arguments.output.read_text(encoding="utf-8"))
    record["machine"] = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    for corpus in arguments.corpora:
        counts = counts_of(corpus, Path(arguments.lists), arguments.folder)
        if counts is None:
            console.print(f"{corpus} is not available; it is left out")
            continue
        record["corpora"][corpus] = (
            f"{counts.shape[0]:,} documents, {counts.shape[1]:,} terms, {int(counts.sum()):,} tokens"
        )
        record["rows"] = [
            row
            for row in record["rows"]
            if (row["corpus"], row["n_topics"]) != (corpus, arguments.topics)
            or row["part"] not in arguments.parts
        ]
        for row in rows_of(corpus, counts, arguments.parts, arguments.topics):
            record["rows"].append(row)
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    show(console, record)
    console.print(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
