"""Where the real lists of papers are, for the tests that need them."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAPER_LISTS = Path(os.environ.get("MINILLM_PAPERLISTS", ROOT.parent / "shared" / "data" / "paperlists"))
needs_paper_lists = pytest.mark.skipif(
    not PAPER_LISTS.is_dir(), reason=f"the real lists of papers are not at {PAPER_LISTS}"
)


@cache
def abstracts(year: int) -> list[str]:
    """The abstracts of the NeurIPS papers of a year, as they stand in the list."""
    papers: list[dict[str, Any]] = json.loads((PAPER_LISTS / "nips" / f"nips{year}.json").read_bytes())
    return [paper["abstract"] for paper in papers if paper.get("abstract")]
