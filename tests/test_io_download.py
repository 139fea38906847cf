"""The downloader against a real server on the loopback interface, and the server's errors."""

from __future__ import annotations

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from faults.fault_server import FaultServer, chunked, head, raw, whole
from local_server import LocalServer, Reply

import minillm_lib
from minillm_lib.io import download
from minillm_lib.io.answer import check_redirection
from minillm_lib.io.cache import default_cache_dir
from minillm_lib.io.download import Downloader
from minillm_lib.io.fetch_errors import DownloadError, FailedAttempt

BODY = "Bäume und Wälder".encode() * 500
FINE = Reply(BODY)
FAULTS = {
    "500": Reply(b"broken", 500),
    "503": Reply(b"busy", 503),
    "429": Reply(b"slow down", 429, {"Retry-After": "0"}),
    "truncated": Reply(BODY, sent=100),
    "empty": Reply(BODY, sent=0),
    "reset": Reply(fault="reset"),
    "time-out": Reply(fault="stall"),
    "stalled body": Reply(BODY, sent=100, fault="stall"),
}


def test_what_has_been_fetched_is_not_asked_for_again(serve, client):
    server = serve(FINE, Reply(b"another page"))
    with client() as first, client() as second:
        assert first.get(server.url + "/page") == first.get(server.url + "/page") == BODY
        assert second.get(server.url + "/page") == BODY
        assert server.paths == ["/page"]
        assert second.get(server.url + "/page", refresh=True) == b"another page"
        assert first.get(server.url + "/page") == b"another page"


def test_the_client_says_who_it_is(serve, client):
    server = serve(FINE)
    client().get(server.url + "/page")
    assert f"minillm-lib/{minillm_lib.__version__}" in server.asked[0][1]["User-Agent"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_survived(serve, client, fault):
    server = serve(FAULTS[fault], FAULTS[fault], FINE)
    assert client().get(server.url + "/page") == BODY
    assert server.paths == ["/page"] * 3


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lasting_fault_is_an_error_that_says_what_happened_and_is_not_cached(serve, client, fault):
    server = serve(*[FAULTS[fault]] * 4, FINE)
    url = server.url + "/page"
    with pytest.raises(DownloadError) as caught:
        client().get(url)
    expected = FAULTS[fault].status if FAULTS[fault].status != 200 else None
    assert (caught.value.url, caught.value.status, caught.value.attempts) == (url, expected, 4)
    assert url in str(caught.value)
    assert "after 4 attempts" in str(caught.value)
    assert "try again later" in str(caught.value)
    assert client().get(url) == BODY


def test_nobody_listening_is_an_error(client):
    with LocalServer({}) as server:
        url = server.url
    with pytest.raises(DownloadError, match="ConnectError") as caught:
        client(retries=1).get(url)
    assert caught.value.attempts == 2


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_not_asked_for_twice(serve, client, status):
    server = serve(Reply(status=status))
    with pytest.raises(DownloadError, match=f"HTTP {status} .* after 1 attempt; .*check the address"):
        client().get(server.url + "/page")
    assert server.paths == ["/page"]


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/page", "no address", "http://a:b/"])
def test_an_address_that_is_none_is_an_error_at_once(client, address):
    with pytest.raises(DownloadError, match="after 1 attempt; check the address"):
        client().get(address)


def test_a_redirection_is_followed(serve, client):
    server = serve(Reply(status=302, headers={"Location": "/moved"}), moved=FINE)
    assert client().get(server.url + "/page") == BODY


@pytest.mark.parametrize(
    ("before", "after", "is_refused"),
    [
        ("https://a.b/c", "http://a.b/c", True),
        ("https://a.b/c", "file:///etc/passwd", True),
        ("http://a.b/c", "https://a.b/c", False),
        ("http://a.b/c", "http://d.e/f", False),
    ],
)
def test_no_redirection_leads_from_the_encrypted_web_elsewhere(before, after, is_refused):
    with pytest.raises(FailedAttempt, match="redirects to") if is_refused else nullcontext():
        check_redirection(httpx.URL(before), httpx.URL(after))


@pytest.mark.parametrize("is_chunked", [False, True])
def test_what_a_server_sends_behind_an_answer_is_not_the_next_one(client, monkeypatch, is_chunked):
    """Neither for the page itself, asked for again, nor for another page on the same connection."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    poison = head(Content_Length=6) + b"POISON"
    first = (
        chunked(b"first", end=b"0\r\n\r\n" + poison)
        if is_chunked
        else raw(head(Content_Length=5) + b"first" + poison, keep=True)
    )
    with FaultServer([first, whole(b"second")]) as server:
        downloader = client(retries=0, timeout=5.0)
        with pytest.raises(DownloadError, match="sends more than the length"):
            downloader.get(server.url + "/first")
        assert downloader.get(server.url + "/other") == b"second"


def test_an_empty_cache_entry_is_no_content(serve, client, tmp_path):
    server = serve(FINE)
    client().get(server.url + "/page")
    (facts,) = (tmp_path / "cache").rglob("*.json")
    facts.with_suffix("").write_bytes(b"")
    facts.write_text(json.dumps({"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}))
    assert client().get(server.url + "/page") == BODY


@pytest.mark.parametrize("form", ["number", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_the_pause_that_the_server_asks_for_is_kept_by_all_threads(serve, client, monkeypatch, form, status):
    clock = FakeClock(monkeypatch)
    in_a_minute = datetime.now(UTC) + timedelta(seconds=60)
    asked = "60" if form == "number" else format_datetime(in_a_minute, usegmt=True)
    server = serve(Reply(status=status, headers={"Retry-After": asked}), FINE, other=FINE)
    downloader = client(retries=1)
    assert downloader.get(server.url + "/page") == BODY
    assert clock.now > 55
    downloader.get(server.url + "/other")
    assert server.paths == ["/page", "/page", "/other"]


def test_a_pause_longer_than_acceptable_is_an_error_that_names_it(serve, client):
    server = serve(Reply(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(DownloadError, match="in 3600 s"):
        client().get(server.url + "/page")
    assert server.paths == ["/page"]


def test_pauses_grow_with_each_failure(serve, client, monkeypatch):
    clock = FakeClock(monkeypatch)
    server = serve(Reply(status=500))
    with pytest.raises(DownloadError):
        client(backoff=1.0, retries=5).get(server.url + "/page")
    pauses = [pause for pause in clock.pauses if pause]
    assert len(pauses) == 5
    assert all(2**k / 2 <= pause <= 2**k for k, pause in enumerate(pauses))


def test_requests_are_kept_apart(serve, client, monkeypatch):
    clock = FakeClock(monkeypatch)
    server = serve(FINE, a=FINE, b=FINE, c=FINE)
    downloader = client(delay=2.0)
    for name in ("page", "a", "b", "c"):
        downloader.get(f"{server.url}/{name}")
    assert clock.now == pytest.approx(3 * 2.0)


def test_never_more_connections_than_allowed(serve, client):
    names = [f"p{i}" for i in range(24)]
    server = serve(FINE, **{name: Reply(name.encode(), pause=0.02) for name in names})
    downloader = client(max_connections=3, timeout=5.0)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda name: downloader.get(f"{server.url}/{name}"), names))
    assert found == [name.encode() for name in names]
    assert 1 < server.most_at_once <= 3


@pytest.mark.parametrize(
    "damage", ["altered", "cut", "emptied", "facts lost", "facts cut", "facts of another"]
)
def test_a_damaged_cache_entry_is_fetched_again(serve, client, tmp_path, damage):
    server = serve(FINE)
    client().get(server.url + "/page")
    (facts,) = (tmp_path / "cache").rglob("*.json")
    entry = facts.with_suffix("")
    assert entry.read_bytes() == BODY
    if damage == "altered":
        entry.write_bytes(BODY[:-1] + b"?")
    elif damage == "cut":
        entry.write_bytes(BODY[:100])
    elif damage == "emptied":
        entry.write_bytes(b"")
    elif damage == "facts lost":
        facts.unlink()
    elif damage == "facts cut":
        facts.write_bytes(facts.read_bytes()[:20])
    else:
        facts.write_text(json.dumps({"size": len(BODY), "sha256": "0" * 64}))
    assert client().get(server.url + "/page") == BODY
    assert server.paths == ["/page"] * 2
    assert client().get(server.url + "/page") == BODY
    assert server.paths == ["/page"] * 2


def test_a_cut_that_http_cannot_see_is_found_by_validation(serve, client):
    whole = json.dumps(list(range(1000))).encode()
    server = serve(Reply(whole, sent=500, fault="no length"), Reply(whole, fault="no length"))
    assert client().get(server.url + "/page", validate=json.loads) == whole
    assert server.paths == ["/page"] * 2


def test_content_that_never_passes_validation_is_an_error(serve, client):
    server = serve(Reply(b"<html>login</html>"))
    with pytest.raises(DownloadError, match="damaged content"):
        client(retries=2).get(server.url + "/page", validate=json.loads)
    assert server.paths == ["/page"] * 3


def test_other_exceptions_of_a_validation_pass_and_nothing_is_cached(serve, client):
    def never(_: bytes) -> None:
        raise LookupError("no such thing on this page")

    server = serve(FINE)
    for _ in range(2):
        with pytest.raises(LookupError, match="no such thing"):
            client().get(server.url + "/page", validate=never)
    assert server.paths == ["/page"] * 2


def test_the_cache_lies_where_the_user_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("MINILLM_CACHE", str(tmp_path / "here"))
    assert default_cache_dir() == Downloader().cache_dir == tmp_path / "here"
    monkeypatch.delenv("MINILLM_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "minillm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "minillm"


@pytest.mark.parametrize(
    "option",
    [
        *({"max_connections": 0}, {"retries": -1}, {"delay": -0.1}, {"backoff": -1}, {"min_rate": -1}),
        *(
            {"max_bytes": 0},
            {"max_file_bytes": 0},
            {"max_ratio": 0},
            {"max_seconds": 0},
            {"max_file_seconds": 0},
        ),
    ],
)
def test_impossible_options_are_refused(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        Downloader(**option)


class FakeClock:
    """Replaces the downloader's clock: a pause takes no time and moves the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        monkeypatch.setattr(download, "monotonic", lambda: self.now)
        monkeypatch.setattr(download, "sleep", self._pause)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
