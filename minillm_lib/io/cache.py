"""Where files that are fetched or built once are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def default_cache_dir() -> Path:
    """Return ``$MINILLM_CACHE`` or, if it is not set, the folder ``minillm`` in the user's cache directory."""
    if chosen := os.environ.get("MINILLM_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "minillm"
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    return Path(os.environ.get(variable) or Path.home() / ".cache") / "minillm"
