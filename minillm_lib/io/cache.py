"""Where files that are fetched or built once are kept, and how their content is verified when it is read again."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from minillm_lib.io.atomic_write import write_atomically


def default_cache_dir() -> Path:
    """Return ``$MINILLM_CACHE`` or, if it is not set, the folder ``minillm`` in the user's cache directory."""
    if chosen := os.environ.get("MINILLM_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "minillm"
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    return Path(os.environ.get(variable) or Path.home() / ".cache") / "minillm"


def read_verified(entry: Path) -> bytes | None:
    """Return the content of a cache entry, or None if it is absent, empty, truncated or altered."""
    try:
        facts = json.loads(entry.with_suffix(".json").read_bytes())
        size, sha256 = facts["size"], facts["sha256"]
        content = entry.read_bytes() if entry.stat().st_size == size else b""
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return content if content and hashlib.sha256(content).hexdigest() == sha256 else None


def write_verified(entry: Path, url: str, content: bytes) -> None:
    """Write a cache entry, and beside it what :func:`read_verified` compares it with."""
    digest = hashlib.sha256(content).hexdigest()
    facts = {"url": url, "size": len(content), "sha256": digest, "fetched": datetime.now(UTC).isoformat()}
    write_atomically(entry, content)
    write_atomically(entry.with_suffix(".json"), json.dumps(facts).encode())
