"""Large files that arrive in pieces, from a real server on the loopback interface."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from email.message import Message
from pathlib import Path

import pytest
from local_server import Reply, ranged

from minillm_lib.io.fetch_errors import DownloadError

BODY = random.Random(0).randbytes(300_000)
CHANGED = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


def ranges(server) -> list[str | None]:
    return [headers["Range"] for _, headers in server.asked]


def begin(path: Path, url: str, content: bytes, validator: str = '"first"') -> None:
    """Leave on disk what a process leaves that was killed after it had received ``content``."""
    path.with_name(path.name + ".part").write_bytes(content)
    path.with_name(path.name + ".part.json").write_text(json.dumps({"url": url, "validator": validator}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "files" / "data.bin"


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    return tmp_path / "data.bin"


def test_a_file_arrives_whole_and_is_not_fetched_again(serve, client, path):
    server = serve(Reply(BODY))
    for _ in range(2):
        found = client().download_file(
            server.url + "/page", path, size=len(BODY), sha256=SHA256, progress=False
        )
        assert found == path
        assert path.read_bytes() == BODY
    assert server.paths == ["/page"]
    assert [file.name for file in path.parent.iterdir()] == ["data.bin"]


def test_a_file_that_is_there_but_differs_is_replaced(serve, client, begun):
    server = serve(Reply(BODY))
    begun.write_bytes(BODY[:-1] + b"x")
    client().download_file(server.url + "/page", begun, sha256=SHA256.upper(), progress=False)
    assert begun.read_bytes() == BODY


def test_after_a_cut_only_the_rest_is_asked_for(serve, client, path):
    server = serve(ranged(BODY, sent=100_000), ranged(BODY, sent=50_000), ranged(BODY))
    client().download_file(server.url + "/page", path, sha256=SHA256, progress=False)
    assert path.read_bytes() == BODY
    assert ranges(server) == [None, "bytes=100000-", "bytes=150000-"]
    assert {headers["If-Range"] for _, headers in server.asked[1:]} == {'"first"'}


def test_cuts_do_not_add_up_to_a_failure_while_the_file_grows(serve, client, path):
    server = serve(*[ranged(BODY, sent=20_000)] * 14, ranged(BODY))
    client(retries=1).download_file(server.url + "/page", path, sha256=SHA256, progress=False)
    assert path.read_bytes() == BODY
    assert len(server.asked) == 15


def test_no_growth_is_a_failure_that_leaves_no_file_but_what_has_arrived(serve, client, path):
    server = serve(ranged(BODY, sent=100_000), ranged(BODY, sent=0))
    with pytest.raises(DownloadError, match="after 3 attempts"):
        client(retries=2).download_file(server.url + "/page", path, progress=False)
    assert not path.exists()
    assert path.with_name("data.bin.part").read_bytes() == BODY[:100_000]


def test_a_killed_process_is_continued(serve, client, path):
    whole = ranged(BODY)

    def stalls(asked: Message) -> Reply:
        reply = whole(asked)
        reply.sent, reply.fault = 200_000, "stall"
        return reply

    server = serve(stalls, whole)
    url = server.url + "/page"
    script = (
        "import sys; from minillm_lib.io.download import Downloader\n"
        "Downloader(sys.argv[1]).download_file(*sys.argv[2:], progress=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path.parent / "cache"), url, str(path)])
    part = path.with_name("data.bin.part")
    try:
        assert server.stalled.wait(60)
        while not (part.exists() and part.stat().st_size):
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not path.exists()
    arrived = part.stat().st_size
    client().download_file(url, path, size=len(BODY), sha256=SHA256, progress=False)
    assert path.read_bytes() == BODY
    assert ranges(server) == [None, f"bytes={arrived}-"]


def test_a_server_that_ignores_ranges_starts_from_zero(serve, client, begun):
    server = serve(Reply(BODY, headers={"ETag": '"first"'}))
    begin(begun, server.url + "/page", BODY[:1000])
    client().download_file(server.url + "/page", begun, sha256=SHA256, progress=False)
    assert begun.read_bytes() == BODY
    assert ranges(server) == ["bytes=1000-"]


@pytest.mark.parametrize("obeys_if_range", [True, False])
def test_a_changed_file_is_never_mixed_with_the_old_one(serve, client, begun, obeys_if_range):
    new = ranged(CHANGED, etag='"second"')

    def forgetful(asked: Message) -> Reply:
        del asked["If-Range"]
        return new(asked)

    server = serve(new if obeys_if_range else forgetful)
    begin(begun, server.url + "/page", BODY[:1000])
    client().download_file(server.url + "/page", begun, progress=False)
    assert begun.read_bytes() == CHANGED


def test_a_file_that_changes_between_two_pieces_is_never_mixed(serve, client, path):
    server = serve(ranged(BODY, sent=100_000), ranged(CHANGED, etag='"second"'))
    client().download_file(server.url + "/page", path, progress=False)
    assert path.read_bytes() == CHANGED


def test_a_complete_part_needs_no_byte_more(serve, client, begun):
    server = serve(ranged(BODY))
    begin(begun, server.url + "/page", BODY)
    client().download_file(server.url + "/page", begun, size=len(BODY), sha256=SHA256, progress=False)
    assert begun.read_bytes() == BODY
    assert ranges(server) == [f"bytes={len(BODY)}-"]


def test_a_part_longer_than_the_file_is_thrown_away(serve, client, begun):
    server = serve(ranged(BODY))
    begin(begun, server.url + "/page", BODY + b"more")
    client().download_file(server.url + "/page", begun, progress=False)
    assert begun.read_bytes() == BODY


def test_a_part_that_is_damaged_on_disk_is_fetched_from_zero(serve, client, begun):
    server = serve(ranged(BODY))
    begin(begun, server.url + "/page", b"x" * 1000)
    client().download_file(server.url + "/page", begun, sha256=SHA256, progress=False)
    assert begun.read_bytes() == BODY
    assert ranges(server) == ["bytes=1000-", None]


@pytest.mark.parametrize("validator", ["", 'W/"weak"'])
def test_without_a_strong_validator_nothing_is_continued(serve, client, path, validator):
    facts = {"ETag": validator} if validator else {}
    server = serve(Reply(BODY, headers=facts, sent=1000), Reply(BODY, headers=facts))
    client().download_file(server.url + "/page", path, progress=False)
    assert path.read_bytes() == BODY
    assert ranges(server) == [None, None]


def test_the_date_of_the_file_serves_where_there_is_no_etag(serve, client, path):
    date = {"Last-Modified": "Tue, 02 Jan 2024 03:04:05 GMT"}
    rest = {"Content-Range": f"bytes 1000-{len(BODY) - 1}/{len(BODY)}"}
    server = serve(Reply(BODY, headers=date, sent=1000), Reply(BODY[1000:], 206, date | rest))
    client().download_file(server.url + "/page", path, progress=False)
    assert path.read_bytes() == BODY
    assert server.asked[1][1]["If-Range"] == date["Last-Modified"]


def test_the_part_of_another_address_is_not_continued(serve, client, begun):
    server = serve(ranged(BODY))
    begin(begun, "http://elsewhere.example/page", CHANGED[:1000])
    client().download_file(server.url + "/page", begun, progress=False)
    assert begun.read_bytes() == BODY
    assert ranges(server) == [None]


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"sha256": "0" * 64}, f"SHA-256 {SHA256} instead of {'0' * 64}"),
        ({"size": 7}, "300000 bytes instead of 7"),
    ],
)
def test_another_file_than_expected_is_an_error_and_leaves_nothing(serve, client, path, expected, message):
    server = serve(Reply(BODY, headers={"ETag": '"first"'}))
    with pytest.raises(DownloadError, match=message):
        client().download_file(server.url + "/page", path, **expected, progress=False)
    assert len(server.asked) == 1
    assert list(path.parent.iterdir()) == []


def test_a_cut_that_http_cannot_see_is_found_by_the_size(serve, client, path):
    server = serve(Reply(BODY, sent=1000, fault="no length"), Reply(BODY, fault="no length"))
    client().download_file(server.url + "/page", path, size=len(BODY), progress=False)
    assert path.read_bytes() == BODY


def test_an_empty_file_is_a_file(serve, client, path):
    server = serve(Reply(b""))
    client().download_file(server.url + "/page", path, size=0, progress=False)
    assert path.read_bytes() == b""


def test_a_large_file_is_not_held_in_memory(serve, client, path):
    size = 64 << 20
    server = serve(Reply(bytes(size)))
    downloader = client(timeout=10.0)
    tracemalloc.start()
    try:
        downloader.download_file(server.url + "/page", path, size=size, progress=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == size
    assert peak < size / 8


def test_the_progress_bar_counts_what_was_there_already(serve, client, begun, capsys):
    server = serve(ranged(BODY))
    begin(begun, server.url + "/page", BODY[:150_000])
    client().download_file(server.url + "/page", begun, size=len(BODY))
    assert "data.bin: 100%" in capsys.readouterr().err
