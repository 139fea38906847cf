"""A tiny random model behind a real server on a free port, for the tests."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import torch
from openai import OpenAI

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.serving.app import Service
from minillm_lib.serving.engine import Engine
from minillm_lib.serving.server import Server, listen
from minillm_lib.tokenizer import Tokenizer

TEXTS = ["a rose is a rose is a rose", "what is a topic model? 玫瑰就是玫瑰"] * 9
CONTEXT = 96


@functools.cache
def tiny_model(seed: int = 0, **overrides: Any) -> MiniLLM:
    """A model with large random weights, whose texts are therefore neither alike nor repetitive."""
    tokenizer = Tokenizer.train(TEXTS, vocab_size=310)
    shape = {"hidden_size": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 48}
    torch.manual_seed(seed)
    model = MiniLLM(ModelConfig(**{"vocab_size": 310, "max_seq_len": CONTEXT, **shape, **overrides})).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.25)
    model.tokenizer = tokenizer
    return model


@dataclass
class Running:
    """A server, and where it is."""

    server: Server
    engine: Engine
    url: str

    def client(self, **options: Any) -> OpenAI:
        return OpenAI(
            base_url=f"{self.url}/v1", **{"api_key": "none", "max_retries": 0, "timeout": 60, **options}
        )

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=60, trust_env=False, **options)

    def post_text(self, path: str, text: str, kind: str) -> httpx.Response:
        headers = {"Content-Type": kind}
        return httpx.post(self.url + path, content=text, headers=headers, timeout=60, trust_env=False)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, trust_env=False, **options)


@contextmanager
def running(
    model: MiniLLM | None = None,
    *,
    grace: float = 5,
    engine_options: dict[str, Any] | None = None,
    **service: Any,
) -> Iterator[Running]:
    """Serve a model in a thread until the end of the block."""
    engine = Engine(model or tiny_model(), **{"fast": False, **(engine_options or {})})
    with listen("127.0.0.1", 0) as listener:
        engine.start()
        server = Server(engine, Service(**{"name": "tiny", **service}), listener, grace=grace)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
        thread.start()
        eventually(lambda: server.started)
        try:
            yield Running(server, engine, f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            if thread.is_alive():
                server.stop_soon()
            thread.join(20)
            assert not thread.is_alive(), "the server does not stop"


def eventually(condition: Callable[[], Any], seconds: float = 15) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "this does not happen"
        time.sleep(0.01)
