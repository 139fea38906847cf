"""A real browser for the tests: an installed Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_INSIDE_THE_PAGE = ("file:", "data:", "about:", "blob:")


@dataclass
class Visit:
    """An open page, every address that it requested, and every error on it."""

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def requests_to_outside(self) -> list[str]:
        return [address for address in self.requests if not address.startswith(_INSIDE_THE_PAGE)]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start an installed Chromium; skip the test if there is none, unless MINILLM_REQUIRE_BROWSER=1."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        program = next(filter(None, map(shutil.which, (*_NAMES, own))), None)
        if program is None:
            message = (
                f"no browser: none of {_NAMES} is on the PATH, nor one from `playwright install chromium`"
            )
            if os.environ.get("MINILLM_REQUIRE_BROWSER") == "1":
                pytest.fail(message)
            pytest.skip(message)
        browser = playwright.chromium.launch(executable_path=program, args=_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(browser: Browser, path: Path, *, width: int = 1280, offline: bool = False) -> Iterator[Visit]:
    """Open a file as a person does who double-clicks it."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.set_offline(offline)
    visit = Visit(context.new_page())
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    visit.page.on("console", lambda message: message.type == "error" and visit.errors.append(message.text))
    visit.page.on("pageerror", lambda error: visit.errors.append(str(error)))
    visit.page.goto(path.resolve().as_uri())
    try:
        yield visit
    finally:
        context.close()


def take_picture(report: Path, picture: Path, *, topic: int = 7, height: int = 1480) -> None:
    """Photograph the top of a report of topics with one of them chosen, as for the README."""
    with open_browser() as browser, visit(browser, report) as opened:
        opened.page.set_viewport_size({"width": 1280, "height": height})
        opened.page.frame_locator("iframe").locator(f"#ldavis-topic{topic}").dispatch_event("click")
        opened.page.screenshot(path=picture)


if __name__ == "__main__":
    take_picture(Path(sys.argv[1]), Path(sys.argv[2]))
