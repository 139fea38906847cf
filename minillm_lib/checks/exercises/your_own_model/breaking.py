"""A run that is killed and resumed, on a tiny model and a text of the check's own."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minillm_lib.checks.exercise import Exercise, Inputs
from minillm_lib.corpora.grammar import load_grammar
from minillm_lib.training.run import RunResult
from minillm_lib.training.run_folder import RunError
from minillm_lib.training.stages import pretrain

_STEPS, _EVERY = 8, 3
_TINY = {
    "vocab_size": 400,
    "hidden_size": 16,
    "n_layers": 1,
    "n_heads": 2,
    "intermediate_size": 32,
    "max_seq_len": 32,
}


@cache
def _home() -> Path:
    """Return a folder with a text, which goes when Python ends."""
    folder = tempfile.TemporaryDirectory(prefix="minillm-check-")
    _kept.append(folder)
    texts = [document.text for document in load_grammar("en").generate(60, seed=3)]
    Path(folder.name, "text.txt").write_text("\n\n".join(texts), encoding="utf-8")
    return Path(folder.name)


_kept: list[Any] = []


@contextlib.contextmanager
def _configuration(name: str = "") -> Iterator[Path]:
    """Write the configuration of a run in a folder of its own; all of them read the same tokens."""
    home = _home()
    with tempfile.TemporaryDirectory(dir=home, prefix=name, ignore_cleanup_errors=True) as folder:
        corpus = {"name": "files", "options": {"paths": str(home / "text.txt"), "documents": "paragraph"}}
        values = {
            "run": f"{folder}/run",
            "output": f"{folder}/model",
            "model": _TINY,
            "data": {"corpora": [corpus], "vocab_size": 400, "folder": str(home / "data")},
            "train": {"steps": _STEPS, "batch_size": 2, "seq_len": 32, "device": "cpu", "precision": "float32",
                      "optimizer": {"name": "muon", "lr": 0.02}, "schedule": {"warmup_steps": 2}},
            "evaluation": {"every": _STEPS, "max_tokens": 128},
            "checkpoint": {"every": _EVERY},
        }  # fmt: skip
        path = Path(folder, "config.yaml")
        path.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML, too
        yield path


@cache
def _without_a_break() -> tuple[Any, Any]:
    with _configuration("whole-") as path:
        return _facts(pretrain(path, progress=False))


def _facts(run: RunResult) -> tuple[Any, Any]:
    """Return the losses of all steps, and the weights of the model."""
    weights = {name: value.numpy().copy() for name, value in run.load_model().state_dict().items()}
    return run.series("loss")[1], weights


def _judged(answer: Callable[..., Any], stop_after: int) -> dict[str, Any]:
    """Let an answer train, and say what became of the run."""
    with _configuration() as path:
        returned = answer(str(path), stop_after)
        try:
            run = RunResult.of(path.with_name("run"))
        except RunError:
            return {"the run": "was never begun"}
        resumed = [record["step"] for record in run.of_kind("resume")]
        said: dict[str, Any] = {
            "the run": "has finished" if run.is_finished else "has not finished",
            "resumed after steps": resumed,
            "returned": "nothing" if returned is None else "something",
        }
        if run.is_finished:
            losses, weights = _facts(run)
            whole_losses, whole = _without_a_break()
            same = len(losses) == len(whole_losses) and np.allclose(losses, whole_losses, rtol=1e-6)
            same &= all(np.allclose(weights[name], whole[name], rtol=0, atol=1e-6) for name in whole)
            said["its weights"] = "those of a run without a break" if same else "other than without a break"
        return said


def _break(config: str, stop_after: int, *, then: str = "resume", **first: Any) -> Any:
    def kill(record: Any) -> None:
        if record["kind"] == "step" and record["step"] == stop_after:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        pretrain(config, progress=False, on_record=None if first else kill, **first)
    if then == "again":
        return pretrain(config, overwrite=True, progress=False)
    if then == "nothing":
        return "the first part"
    run = pretrain(config, resume=True, progress=False, on_record=kill if then == "killed again" else None)
    return None if then == "not returned" else run


def train_with_a_break(
    config: Any, stop_after: int, on_record: Callable[[Any], None] | None = None
) -> RunResult:
    """Train, be killed after a step, and resume: what the notebook goes on with while the exercise is open."""

    def kill(record: Any) -> None:
        if on_record is not None:
            on_record(record)
        if record["kind"] == "step" and record["step"] == stop_after:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        pretrain(config, progress=False, on_record=kill)
    return pretrain(config, resume=True, progress=False, on_record=on_record)


def _stops(rng: np.random.Generator) -> Inputs:
    return (int(rng.choice([4, 5, 7])),)


TRAIN_WITH_A_BREAK = Exercise(
    name="train_with_a_break",
    points=3,
    reference=train_with_a_break,
    use=_judged,
    inputs=_stops,
    cases=1,
    time_limit=120,
    hints=(
        "`pretrain` is called twice. What makes the first call end early, without any change to the configuration?",
        "Give the first call a function as `on_record`, which raises `KeyboardInterrupt` when it gets the record of "
        "step "
        "`stop_after`, as the stop button does. The error must be caught, and the second call resumes.",
        "In `kill(record)`: pass the record on, then `if record[\"kind\"] == \"step\" and record[\"step\"] == "
        "stop_after: "
        "raise KeyboardInterrupt`. Around the first `pretrain(config, on_record=kill)` stands `try: … except "
        "KeyboardInterrupt: pass`; then return `pretrain(config, resume=True, on_record=on_record)`.",
    ),
    misconceptions={
        lambda config, stop_after: _break(config, stop_after, then="again"): "The run that finished went through in "
        "one piece: it was never interrupted, or the second call began anew (`overwrite=True`) in place of resuming "
        "it. "
        "Raise `KeyboardInterrupt` from `on_record` at step `stop_after`, and resume.",
        lambda config, stop_after: _break(config, stop_after, then="nothing"): "The run was killed, but never resumed: "
        "a second call with `resume=True` is missing.",
        lambda config, stop_after: _break(config, stop_after, **{"train.steps": stop_after}): "You made the first part "
        "a shorter run, whose learning rate had fallen to its end by then; so the weights are not those of a run "
        "without a break. Leave the steps as they are, and kill the run.",
        lambda config, stop_after: _break(config, stop_after, then="killed again"): "The second call is killed as "
        "well, "
        "since it repeats the step: it resumed from the checkpoint before. Give it the plain `on_record`.",
        lambda config, stop_after: _break(config, stop_after, then="not returned"): "The run is right, but your "
        "function "
        "returns nothing. Return what the second call of `pretrain` returns.",
    },
)  # fmt: skip
