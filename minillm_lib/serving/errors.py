"""Errors in the shape that OpenAI's clients read: what is wrong, of which parameter, and a code to recognise it by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minillm_lib.io.refusals import reason

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An error that a client caused, or must know of.

    Parameters
    ----------
    status
        The HTTP status.
    message
        What is wrong and what is allowed.
    param
        The parameter of the request that is wrong, if it is one.
    code
        A word for programs.
    headers
        Further headers of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The body of the response."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def check_model(asked: str, offered: str) -> None:
    """Check that a client asks for the model that there is.

    Raises
    ------
    ApiError
        If it asks for another one.
    """
    if asked != offered:
        message = f"there is no model {asked!r} here; this server has {offered!r}"
        raise ApiError(404, message, param="model", code="model_not_found")


def queue_is_full() -> ApiError:
    """Return the error of a server that has too much to do."""
    return ApiError(
        429,
        "the server is busy, and its queue is full; try again in a moment",
        code="queue_full",
        headers={"Retry-After": "1"},
    )


def is_stopping() -> ApiError:
    """Return the error of a server that is about to end."""
    return ApiError(503, "the server is stopping", code="stopping", headers={"Retry-After": "5"})


def internal_error() -> ApiError:
    """Return the error of a mistake in the server; its log has more."""
    return ApiError(500, "an error inside the server; its log says more", code="internal_error")


def from_validation(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """Return one error for all that pydantic found wrong with a body; its parameter is the first that is wrong."""
    if errors[0]["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {errors[0]['ctx']['error']}", code="invalid_json")
    names = [_name(error["loc"]) for error in errors]
    messages = [
        f"{name}: {reason(error)}" if name else reason(error)
        for name, error in zip(names, errors, strict=True)
    ]
    return ApiError(400, "; ".join(dict.fromkeys(messages)), param=names[0] or None, code="invalid_value")


def _name(place: Sequence[str | int]) -> str:
    """Turn ``("body", "messages", 0, "content")`` into ``messages[0].content``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place if part != "body"]
    return "".join(parts).removeprefix(".")
