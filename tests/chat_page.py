"""Doing with the chat page what a person does, for its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request
from served_model import Running

QUESTION = "what is a rose?"
EXAMPLES = {"en": ["what is a topic model?"], "zh": ["玫瑰就是玫瑰"]}
CHAT = "**/v1/chat/completions"
PHONE = {"width": 390, "height": 844}


@contextmanager
def pages(browser: Browser, url: str) -> Iterator[Callable[..., Page]]:
    """Return what opens the page; at the end, none has had an error or asked anybody but its server."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []
    requests: list[tuple[str, str]] = []

    def visit(address: str = url, *, before: Callable[[Page], object] | None = None, **options: Any) -> Page:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "locale": "en-US", **options}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.extend(_faults(message)))
        page.on("request", lambda request: requests.append((address, request.url)))
        if before is not None:
            before(page)
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert errors == []
    assert requests
    assert [each for own, each in requests if not each.startswith((f"{own}/", "data:"))] == []


def _faults(message: ConsoleMessage) -> list[str]:
    is_fault = message.type == "error" and "Failed to load resource" not in message.text  # refused on purpose
    return [message.text] if is_fault else []


def ask(page: Page, question: str = QUESTION) -> None:
    page.locator(".examples button").or_(page.locator(".turn")).first.wait_for()
    page.locator("#message").fill(question)
    page.locator("#message").press("Enter")


def finished(page: Page, n: int = 1) -> str:
    """Wait for reply n, and return its text."""
    page.locator(".turn").nth(n - 1).locator(".actions").last.wait_for()
    page.locator("#send").wait_for()
    return page.locator(".reply").nth(n - 1).text_content() or ""


def answers(page: Page) -> list[Any]:
    """Collect the bodies of the requests for replies."""
    bodies: list[Any] = []

    def note(request: Request) -> None:
        if request.url.endswith("/chat/completions"):
            bodies.append(request.post_data_json)

    page.on("request", note)
    return bodies


def refuse(page: Page, status: int, code: str | None = None) -> None:
    """Let the next request for a reply be refused."""
    error = {"error": {"message": "no", "type": "x", "param": None, "code": code}}
    page.route(CHAT, lambda route: route.fulfill(status=status, json=error), times=1)


def expected(served: Running, messages: list[dict[str, str]], **how: Any) -> str:
    """Return what the server answers to a program."""
    body = served.post("/v1/chat/completions", {"messages": messages, **how}).json()
    return str(body["choices"][0]["message"]["content"])


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
