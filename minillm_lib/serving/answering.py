"""Waiting for texts, and sending them to a client as long as there is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, TypeVar

from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.io.optional import optional_imports
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.serving.engine import Engine, QueueFullError, StoppingError, Submission
from minillm_lib.serving.errors import ApiError, internal_error, is_stopping, queue_is_full
from minillm_lib.serving.requests import ChatRequest, CompletionRequest
from minillm_lib.serving.responses import ResponseShape, event, usage
from minillm_lib.serving.served_text import ServedText, Update

with optional_imports("serve", "to serve a model"):
    from fastapi import Request
    from fastapi.responses import JSONResponse, Response, StreamingResponse

Result = TypeVar("Result")


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


def make_texts(
    model: MiniLLM,
    prompts: Sequence[list[int]],
    sampling: SamplingConfig,
    n: int,
    n_alternatives: int | None,
    **options: Any,
) -> list[ServedText]:
    """Return ``n`` texts per prompt; each has its own seed, as in a batch of ``generate``."""
    repeated = [prompt for prompt in prompts for _ in range(n)]
    seeds = [None if sampling.seed is None else sampling.seed + row for row in range(len(repeated))]
    return [
        ServedText(model, prompt, sampling.replace(seed=seed), n_alternatives=n_alternatives, **options)
        for prompt, seed in zip(repeated, seeds, strict=True)
    ]


async def respond(
    engine: Engine,
    request: Request,
    body: ChatRequest | CompletionRequest,
    shape: ResponseShape,
    texts: list[ServedText],
    before: Sequence[str],
    headers: dict[str, str],
) -> Response:
    """Queue texts, and answer with them in one piece or in many; ``before`` is put before each."""
    if len(texts) > engine.max_batch + engine.max_queue:
        most = engine.max_batch + engine.max_queue
        raise ApiError(
            400,
            f"{len(texts)} texts are asked for at a time, but this server has room for {most}",
            param="n",
            code="invalid_value",
        )
    submission = engine.submit(texts)
    n = body.n or 1
    with_scores = texts[0].n_alternatives is not None
    if not body.stream:
        last = await unless_gone(request, _last_updates(submission))
        choices = [
            shape.choice(
                index,
                before[index] + update.piece,
                update.scores if with_scores else None,
                update.finish_reason,
                texts[index].confidence,
                is_chunk=False,
            )
            for index, update in enumerate(last)
        ]
        return JSONResponse(shape.body(choices, usage(texts, n), is_chunk=False), headers=headers)

    async def events() -> AsyncIterator[str]:
        for choice in shape.beginnings(len(texts)):
            yield event(shape.body([choice], is_chunk=True))
        for index, text in enumerate(before):
            if text and not texts[index].with_prompt:
                choice = shape.choice(index, text, [] if with_scores else None, None, is_chunk=True)
                yield event(shape.body([choice], is_chunk=True))
        try:
            async for news in submission.updates():
                yield "".join(_pieces(shape, news, texts, before, with_scores))
        except Exception as error:
            yield event(in_our_shape(error).body)
        else:
            if body.includes_usage:
                yield event(shape.body([], usage(texts, n), is_chunk=True))
        yield "data: [DONE]\n\n"

    return _Stream(events(), submission, headers)


class _Stream(StreamingResponse):
    """A stream of events that gives its texts up if the client goes, even before the first of them."""

    def __init__(self, events: AsyncIterator[str], submission: Submission, headers: dict[str, str]) -> None:
        super().__init__(
            events, media_type="text/event-stream", headers={**headers, "Cache-Control": "no-store"}
        )
        self._submission = submission

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._submission.cancel()


def _pieces(
    shape: ResponseShape,
    news: Sequence[tuple[int, Update]],
    texts: Sequence[ServedText],
    before: Sequence[str],
    with_scores: bool,
) -> list[str]:
    """Return the events for what is new in a stream; the end of a text is an event of its own."""
    events = []
    for index, update in news:
        piece = update.piece
        if texts[index].with_prompt and update.scores and update.scores[0].log_probability is None:
            piece = before[index] + piece  # the prompt comes with its scores, which come with the first piece
        if piece or update.scores:
            scores = update.scores if with_scores else None
            choice = shape.choice(index, piece, scores, None, is_chunk=True)
            events.append(event(shape.body([choice], is_chunk=True)))
        if update.is_last:
            choice = shape.choice(
                index, "", None, update.finish_reason, texts[index].confidence, is_chunk=True
            )
            events.append(event(shape.body([choice], is_chunk=True)))
    return events


async def _last_updates(submission: Submission) -> list[Update]:
    """Wait for all texts, and return the last update of each, which contains the whole text."""
    last: dict[int, Update] = {}
    async for news in submission.updates():
        last.update(news)
    return [last[index] for index in range(len(last))]


async def unless_gone(request: Request, answer: Awaitable[Result]) -> Result:
    """Wait for an answer, and give it up if the client goes."""
    answering = asyncio.ensure_future(answer)
    watching = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientGoneError
        return answering.result()
    finally:
        for task in (answering, watching):
            task.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def in_our_shape(error: Exception) -> ApiError:
    """Return what a client is told of an error."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, QueueFullError):
        return queue_is_full()
    if isinstance(error, StoppingError):
        return is_stopping()
    return internal_error()
