"""The figures that an original report states, kept as a JSON file, for a report on training runs to compare with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from minillm_lib.io.wording import shown

Text = Annotated[str, Field(min_length=1)]


class StageFigures(BaseModel):
    """The figures of one training stage, as texts that a report shows unchanged, such as ``"7.4 → 2.5"``.

    Attributes
    ----------
    loss
        Cross-entropy in nats per token.
    hours
        Hours of training.

    A figure is None where the original does not state it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    loss: Text | None = None
    perplexity: Text | None = None
    bits_per_byte: Text | None = None
    steps: Text | None = None
    tokens: Text | None = None
    parameters: Text | None = None
    hours: Text | None = None


class OriginalFigures(BaseModel):
    """The title of an original report, and the figures that it states for each stage.

    The JSON file has the same keys::

        {"title": "A report", "stages": {"pretrain": {"loss": "7.4 → 2.5", "steps": "1,300"}}}
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: Text
    stages: dict[Literal["pretrain", "sft"], StageFigures] = Field(min_length=1)

    @classmethod
    def of(cls, source: str | os.PathLike[str] | OriginalFigures) -> OriginalFigures:
        """Return figures as they are, or read them from the path of a JSON file.

        Raises
        ------
        ValueError
            If the file cannot be read, is not JSON, or has a missing, unknown or invalid key. The message names the
            file and the key.
        """
        if isinstance(source, OriginalFigures):
            return source
        path = Path(source)
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ValueError(f"cannot read the original's figures from {path}: {error.strerror}") from error
        except ValidationError as error:
            problems = "; ".join(_problem(details) for details in error.errors())
            raise ValueError(f"{path}: {problems}") from None

    def of_stage(self, stage: str) -> StageFigures:
        """Return the figures of a stage; all of them are None if the original does not have the stage."""
        return next((figures for name, figures in self.stages.items() if name == stage), StageFigures())


def _problem(details: Any) -> str:
    """Describe one of pydantic's errors in words, with its key."""
    key = ".".join(str(part) for part in details["loc"] if part != "[key]")
    match details["type"]:
        case "json_invalid":
            return f"this is not JSON: {details['ctx']['error']}"
        case "missing":
            return f"the key {key} is missing"
        case "extra_forbidden":
            return f"the key {key} is unknown"
        case "literal_error":
            return f"the key {key} is unknown; allowed keys: {details['ctx']['expected']}"
    where = f"{key} is {shown(details['input'])}" if key else "the file is invalid"
    return f"{where}: {details['msg'][0].lower()}{details['msg'][1:]}"
