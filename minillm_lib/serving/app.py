"""The paths of the server and what each does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minillm_lib.generation.decoding import N_CONFIDENCE_TOKENS, tokenizer_of
from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.generation.turns import is_fine_tuned
from minillm_lib.io.optional import optional_imports
from minillm_lib.serving.answering import ClientGoneError, in_our_shape, make_texts, respond, unless_gone
from minillm_lib.serving.batch import EngineError
from minillm_lib.serving.engine import Engine, QueueFullError, StoppingError
from minillm_lib.serving.errors import ApiError, check_model, from_validation
from minillm_lib.serving.inspection import inspect_tokens, most_inspected
from minillm_lib.serving.page import page_and_headers
from minillm_lib.serving.prompts import chat_prompt, checked_prompts, ids_to_inspect
from minillm_lib.serving.protection import BODY_LIMIT, App, Protection
from minillm_lib.serving.requests import ChatRequest, CompletionRequest, InspectRequest, conversation
from minillm_lib.serving.responses import ChatShape, CompletionShape

with optional_imports("serve", "to serve a model"):
    from fastapi import FastAPI, HTTPException, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, JSONResponse, Response


_GREEDY, _SAMPLED = SamplingConfig(temperature=0), SamplingConfig()


@dataclass(frozen=True)
class Service:
    """What is offered, and how.

    Attributes
    ----------
    name
        The name of the model for clients.
    examples
        Questions with which a conversation may begin, by language.
    chat_defaults, completion_defaults
        How tokens are chosen where a request does not say it.
    is_local, api_key, body_limit
        As in :class:`~minillm_lib.serving.protection.Protection`.
    """

    name: str
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    chat_defaults: SamplingConfig = _GREEDY
    completion_defaults: SamplingConfig = _SAMPLED
    is_local: bool = True
    api_key: str | None = None
    body_limit: int = BODY_LIMIT


def make_app(engine: Engine, service: Service) -> App:
    """Return the application: OpenAI's paths, those of the page, and the protection before them.

    Parameters
    ----------
    engine
        Of a model with a tokenizer. It must have been started.
    """
    app = FastAPI(title="minillm", docs_url=None, redoc_url=None)  # their pages load scripts from elsewhere
    _add_errors(app)
    model = engine.model
    answers = is_fine_tuned(model)

    @app.get("/health")
    async def health() -> Response:
        status = "stopping" if engine.is_stopping else "ok"
        content = {"status": status, "running": engine.n_running, "waiting": engine.n_waiting}
        return JSONResponse(content, 503 if engine.is_stopping else 200)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        html, headers = page_and_headers()
        return HTMLResponse(html, headers=headers)

    @app.get("/config")
    async def config() -> dict[str, Any]:
        return {
            "model": service.name,
            "context_length": model.config.context_length,
            "most_inspected": most_inspected(model),
            "parameters": model.config.n_parameters,
            "n_layers": model.config.n_layers,
            "n_heads": model.config.n_heads,
            "vocab_size": model.n_ids,
            "takes_turns": answers,
            "carries_history": not model.chat_defaults.fresh,
            "not_sure_below": model.chat_defaults.not_sure_below,
            "languages": list(service.examples),
            "examples": service.examples,
            "defaults": service.chat_defaults.model_dump(exclude={"stop", "seed", "max_new_tokens"}),
        }

    card = {"id": service.name, "object": "model", "created": int(time.time()), "owned_by": "minillm"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [card]}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> dict[str, Any]:
        check_model(name, service.name)
        return card

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        body.check(service.name)
        sampling = body.sampling(body.most, service.chat_defaults)
        prompt, n_forgotten = await asyncio.to_thread(
            chat_prompt, model, conversation(body.messages), body.most
        )
        extra = {"forgotten_messages": n_forgotten} if n_forgotten else {}
        shape = ChatShape(service.name, tokenizer_of(model), extra, model.chat_defaults.not_sure_below)
        n_alternatives = (body.top_logprobs or 0) if body.logprobs else None
        texts = make_texts(
            model,
            [prompt],
            sampling,
            body.n or 1,
            n_alternatives,
            streams=bool(body.stream),
            n_log_probs=N_CONFIDENCE_TOKENS,
        )
        headers = {"X-Minillm-Forgotten-Messages": str(n_forgotten)} if n_forgotten else {}
        return await respond(engine, request, body, shape, texts, [""] * len(texts), headers)

    @app.post("/v1/completions")
    async def complete(body: CompletionRequest, request: Request) -> Response:
        body.check(service.name)
        most = 16 if body.max_tokens is None else body.max_tokens
        sampling = body.sampling(max(most, 1), service.completion_defaults)
        prompts = await asyncio.to_thread(checked_prompts, model, body.prompt)
        shape = CompletionShape(service.name, tokenizer_of(model), {})
        texts = make_texts(
            model,
            prompts,
            sampling,
            body.n or 1,
            body.logprobs,
            streams=bool(body.stream),
            with_prompt=bool(body.echo) and body.logprobs is not None,
            writes_nothing=most == 0,
        )
        tokenizer = tokenizer_of(model)
        before = [tokenizer.decode(text.prompt) if body.echo else "" for text in texts]
        return await respond(engine, request, body, shape, texts, before, {})

    @app.post("/inspect")
    async def inspect(body: InspectRequest, request: Request) -> Response:
        ids, n_prompt = await asyncio.to_thread(ids_to_inspect, model, body)
        look = engine.run(lambda: inspect_tokens(model, ids, n_prompt, body.token, body.top))
        return JSONResponse(await unless_gone(request, look))

    return Protection(app, is_local=service.is_local, api_key=service.api_key, body_limit=service.body_limit)


def _add_errors(app: FastAPI) -> None:
    """Give every error OpenAI's shape."""

    def response(error: ApiError) -> Response:
        return JSONResponse(error.body, error.status, error.headers)

    async def ours(request: Request, error: Exception) -> Response:
        return response(in_our_shape(error))

    for kind in (ApiError, QueueFullError, StoppingError, EngineError, Exception):
        app.add_exception_handler(kind, ours)

    @app.exception_handler(ClientGoneError)
    async def gone(request: Request, error: ClientGoneError) -> Response:
        return Response(status_code=499)  # nobody reads it

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        kind = request.headers.get("content-type", "")
        if not kind.startswith("application/json"):
            message = (
                f"the body is of the type {kind!r}; send JSON, with the header Content-Type: application/json"
            )
            return response(ApiError(415, message, code="unsupported_media_type"))
        return response(from_validation(error.errors()))

    @app.exception_handler(404)
    async def not_found(request: Request, error: HTTPException) -> Response:
        message = (
            f"there is nothing at {request.method} {request.url.path}; GET /openapi.json lists what there is"
        )
        return response(ApiError(404, message, code="not_found"))

    @app.exception_handler(405)
    async def not_allowed(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        message = (
            f"{request.url.path} does not answer to {request.method}, but to {headers.get('Allow', 'others')}"
        )
        return response(ApiError(405, message, code="method_not_allowed", headers=headers))

    @app.exception_handler(400)
    async def unreadable(request: Request, error: HTTPException) -> Response:
        return response(ApiError(400, str(error.detail), code="invalid_body"))
