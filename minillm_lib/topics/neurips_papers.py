"""One thousand NeurIPS papers, 2013–2017, as a bag of words that comes with the package.

Only counts and metadata are shipped: how often each term occurs, and each paper's year, title and address in the
proceedings. The file is made from lists of papers with their abstracts (one JSON file per year) by::

    python -m minillm_lib.topics.neurips_papers LISTS_FOLDER [--check]

With the pinned versions of the packages that clean text, the result is identical byte for byte.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from minillm_lib.corpora.cleaning.repair import repair_text
from minillm_lib.corpora.document import Document
from minillm_lib.topics.document_term import BagOfWords, bag_of_words

SHIPPED_FILE = Path(__file__).with_name("neurips_1000.jsonl")
YEARS = range(2013, 2018)
N_PAPERS = 1_000
SEED = 2017
# Shorter ones are placeholders ("n/a", "This poster has been moved …") or abstracts that end in their first sentence.
_SHORTEST_ABSTRACT = 100


def load_neurips() -> BagOfWords:
    """Load the shipped bag of words of 1,000 NeurIPS papers, 2013–2017.

    ``meta`` gives each paper's ``year``, ``title`` and ``address``. The papers are a sample stratified by year and
    drawn with a fixed seed. Rows are ordered by year and title. Terms come from titles and abstracts.

    Raises
    ------
    ValueError
        If the shipped file is damaged.

    Examples
    --------
    >>> load_neurips()
    BagOfWords(1,000 documents, 2,517 terms, 56,536 tokens)
    """
    return BagOfWords.load(SHIPPED_FILE)


def read_paper_list(path: Path, year: int) -> list[Document]:
    """Read a year's list of papers as documents of title and abstract.

    Papers without an abstract are left out.

    Raises
    ------
    ValueError
        If the file is not a list of papers.
    """
    try:
        papers = json.loads(path.read_text(encoding="utf-8"))
        return [
            Document(
                f"{paper['title']}\n\n{paper['abstract']}",
                source=path.name,
                meta={
                    "year": year,
                    "title": repair_text(paper["title"], steps=("encoding", "whitespace")),
                    "address": paper.get("oa") or paper["site"],
                },
            )
            for paper in papers
            if len(paper.get("abstract") or "") >= _SHORTEST_ABSTRACT
        ]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a list of papers with title, abstract and address: {error!r}"
        ) from error


def quotas(sizes: Mapping[int, int], total: int) -> dict[int, int]:
    """Divide ``total`` among strata in proportion to their sizes, by the largest remainder method.

    Raises
    ------
    ValueError
        If the strata hold fewer than ``total`` altogether.
    """
    available = sum(sizes.values())
    if available < total:
        raise ValueError(f"cannot draw {total} papers from {available}")
    exact = {stratum: Fraction(total * size, available) for stratum, size in sizes.items()}
    shares = {stratum: int(share) for stratum, share in exact.items()}
    by_remainder = sorted(exact, key=lambda stratum: (shares[stratum] - exact[stratum], stratum))
    for stratum in by_remainder[: total - sum(shares.values())]:
        shares[stratum] += 1
    return shares


def draw(papers: Sequence[Document], number: int, seed: int) -> list[Document]:
    """Draw papers without replacement, and order them by title.

    Each paper's lot is a hash of the seed and its address, and the lowest lots win. The draw therefore depends neither
    on the order of the list nor on a random generator that a later version might change.
    """

    def lot(paper: Document) -> str:
        return hashlib.sha256(f"{seed} {paper.meta['address']}".encode()).hexdigest()

    return sorted(
        sorted(papers, key=lot)[:number], key=lambda paper: (paper.meta["title"], paper.meta["address"])
    )


def build_bag(lists_folder: Path) -> BagOfWords:
    """Make the bag of words from a folder with the lists ``nips2013.json`` to ``nips2017.json``.

    Raises
    ------
    ValueError
        If a file is not a list of papers, if there are too few papers, or if cleaning drops a paper that was drawn.
    """
    papers = {year: read_paper_list(lists_folder / f"nips{year}.json", year) for year in YEARS}
    number = quotas({year: len(papers[year]) for year in YEARS}, N_PAPERS)
    bag = bag_of_words(
        [paper for year in YEARS for paper in draw(papers[year], number[year], SEED)],
        language="en",
        stop_words="abstracts",
        # Chosen by looking at the topics: rarer phrases take tokens from their words without forming a theme of their
        # own, and terms in more than three out of ten papers ("model", "algorithm") belong to every theme.
        phrase_min_count=15,
        min_df=3,
        max_df=0.3,
    )
    if len(bag.meta) != N_PAPERS:
        raise ValueError(
            f"{N_PAPERS - len(bag.meta)} of the papers drawn were dropped in cleaning:\n{bag.report}"
        )
    return bag


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the shipped file, or check that building it gives the same bytes."""
    parser = argparse.ArgumentParser(
        prog="python -m minillm_lib.topics.neurips_papers", description=main.__doc__
    )
    parser.add_argument("lists_folder", type=Path, help="folder with nips2013.json … nips2017.json")
    parser.add_argument(
        "--check", action="store_true", help="compare with the shipped file without changing it"
    )
    options = parser.parse_args(arguments)
    bag = build_bag(options.lists_folder)
    print(bag, bag.report, sep="\n\n")
    if not options.check:
        bag.save(SHIPPED_FILE)
        print(f"\nwrote {SHIPPED_FILE.name}: {SHIPPED_FILE.stat().st_size:,} bytes")
        return
    with tempfile.TemporaryDirectory() as folder:
        rebuilt = Path(folder) / SHIPPED_FILE.name
        bag.save(rebuilt)
        if rebuilt.read_bytes() != SHIPPED_FILE.read_bytes():
            raise SystemExit(f"\n{SHIPPED_FILE.name} is NOT what these lists and packages produce")
    print(f"\n{SHIPPED_FILE.name} is reproduced byte for byte")


if __name__ == "__main__":
    main()
