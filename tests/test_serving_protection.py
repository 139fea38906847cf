import asyncio
import socket

import pytest
from served_model import running

from minillm_lib.serving.protection import Protection, is_loopback

ASK = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
KEY = "a secret"


@pytest.mark.parametrize(("host", "expected"), [
    ("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("[::1]", True),
    ("0.0.0.0", False), ("192.168.0.1", False), ("evil.example", False), ("localhost.evil.example", False),
    ("127.0.0.1.evil.example", False), ("", False),
])  # fmt: skip
def test_which_hosts_are_this_machine_only(host, expected):
    assert is_loopback(host) is expected


@pytest.fixture(scope="module")
def served():
    with running() as server:
        yield server


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1234", "[::1]:99", "LocalHost:8000"])
def test_names_of_this_machine_are_answered(served, host):
    assert served.get("/config", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "[::1", "192.168.0.7"]
)
def test_a_page_whose_name_was_made_to_point_here_is_refused(served, host):
    answer = served.post("/v1/chat/completions", ASK, headers={"Host": host})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "wrong_host"
    assert answer.json()["error"]["type"] == "permission_error"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://localhost",
        "http://localhost:1",
        "http://[",
        "http://[::1",
        "]",
        "//[x]",
    ],
)
def test_a_page_of_another_site_is_refused(served, origin):
    for answer in (
        served.post("/v1/chat/completions", ASK, headers={"Origin": origin}),
        served.get("/config", headers={"Origin": origin}),
    ):
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "wrong_origin"
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_its_own_page_is_answered(served):
    assert served.post("/v1/chat/completions", ASK, headers={"Origin": served.url}).status_code == 200


def test_the_key_is_asked_for_everywhere_but_on_the_page():
    with running(api_key=KEY, is_local=False) as served:
        for path in ("/config", "/v1/models", "/openapi.json", "/nothing"):
            answer = served.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"]["type"] == "authentication_error"
        for given in ("Bearer", "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY}x", "Bearer \xff"):
            answer = served.get("/config", headers={b"Authorization": given.encode("latin-1")})
            assert answer.status_code == 401
        assert served.get("/").status_code == served.get("/health").status_code == 200
        for given in (f"Bearer {KEY}", f"bearer  {KEY}"):
            assert served.get("/config", headers={"Authorization": given}).status_code == 200
        assert served.get("/", headers={"Host": "any.example"}).status_code == 200
        answer = served.client(api_key=KEY).chat.completions.create(model="tiny", **ASK)
        assert answer.usage.completion_tokens <= 1


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_is_not_read_beyond_its_limit(declared):
    with running(body_limit=1000) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            length = "Content-Length: 99999999" if declared else "Transfer-Encoding: chunked"
            head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n"
            connection.sendall(head.encode())
            if not declared:
                for _ in range(
                    4
                ):  # no more than is read: the rest would make the system reset the connection
                    connection.sendall(b"100\r\n" + b"x" * 256 + b"\r\n")
            answer = connection.recv(4096)
            assert b" 413 " in answer
            assert b"more than 1,000 bytes" in answer + connection.recv(4096)
        assert served.post("/v1/chat/completions", ASK).status_code == 200


def test_a_body_that_does_not_come_is_given_up(monkeypatch):
    monkeypatch.setattr("minillm_lib.serving.protection.BODY_SECONDS", 0.05)
    sent = []

    async def never():
        await asyncio.sleep(60)

    async def send(event):
        sent.append(event)

    scope = {"type": "http", "path": "/x", "headers": [(b"host", b"localhost")]}
    asyncio.run(Protection(None)(scope, never, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize("origin", [b"null", b"http://[", b""])
def test_a_page_without_a_place_is_refused_though_the_request_names_no_host_either(origin):
    sent = []

    async def send(event):
        sent.append(event)

    scope = {"type": "http", "path": "/", "headers": [(b"origin", origin)]}
    asyncio.run(Protection(None, is_local=False)(scope, None, send))
    assert sent[0]["status"] == 403
