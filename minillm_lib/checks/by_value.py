"""Functions and models of an exercise as bytes: code and all, for a process that cannot import where they come from."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle

from minillm_lib.checks.plain_values import PlainValueError

_EXERCISES = f"{__package__}.exercises"


@dataclass(frozen=True)
class ByValue:
    """Marks what is to be sent with its code, instead of being called where it is."""

    value: Any


def pickled_by_value(value: Any, secrets: Sequence[Any] = ()) -> bytes:
    """Return a function or object as bytes, with the code of what is made in a file of exercises.

    Parameters
    ----------
    secrets
        Functions that it may not hold.

    Raises
    ------
    PlainValueError
        If it holds a secret, or something that cannot be sent.
    """
    cloudpickle.register_pickle_by_value(importlib.import_module(_EXERCISES))
    content = io.BytesIO()
    try:
        _Pickler(content, secrets).dump(value)
    except PlainValueError:
        raise
    except Exception as error:  # a lock or an open file in it, for example
        raise PlainValueError(f"{type(error).__name__}: {error}") from None
    return content.getvalue()


class _Pickler(cloudpickle.Pickler):
    def __init__(self, file: io.BytesIO, secrets: Sequence[Any]) -> None:
        super().__init__(file)
        self._secrets = {id(secret) for secret in secrets}

    def reducer_override(self, obj: Any) -> Any:
        if id(obj) in self._secrets:
            raise PlainValueError(
                f"it uses {getattr(obj, '__name__', 'an answer')!r}, which stays with the grader"
            )
        return super().reducer_override(obj)
