"""The page to chat with: one file, and a policy that lets it load nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

_PAGE = Path(__file__).with_name("chat_page.html")
_INLINE = re.compile(r"<(script|style)\b[^>]*>(.*?)</\1>", re.DOTALL)


def page_and_headers() -> tuple[str, dict[str, str]]:
    """Return the page, and the headers with which it is sent."""
    html = _PAGE.read_text(encoding="utf-8")
    headers = {
        "Content-Security-Policy": policy(html),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return html, headers


def policy(html: str) -> str:
    """Return the Content-Security-Policy of a page: its own inline scripts and styles, by their hashes, and no others.

    The page may ask this server, and load nothing.
    """
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in _INLINE.findall(html):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    sources = {kind: " ".join(own) or "'none'" for kind, own in hashes.items()}
    return (
        f"default-src 'none'; script-src {sources['script']}; style-src {sources['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
