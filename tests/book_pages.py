"""The modules of book/ for the tests."""

from __future__ import annotations

import sys
from pathlib import Path

BOOK = Path(__file__).parent.parent / "book"
sys.path.insert(0, str(BOOK))
