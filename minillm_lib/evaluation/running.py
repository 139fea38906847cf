"""An evaluation: each model on each task, and the figures with their intervals."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from minillm_lib import __version__
from minillm_lib.evaluation.models import hashes, open_model
from minillm_lib.evaluation.quiz import LANGUAGES, N_CHOICES, QUIZ
from minillm_lib.evaluation.results import Evaluation, ModelScores, Score
from minillm_lib.evaluation.statistics import Z95, wilson_interval
from minillm_lib.evaluation.tasks import LOCAL_TASKS, METRICS, SEED, load_tasks, offline, quiet_harness
from minillm_lib.evaluation.texts import checked_stride, score_texts
from minillm_lib.io.optional import installed_version
from minillm_lib.io.wording import number_of

_PACKAGES = ("torch", "lm-eval", "datasets", "transformers", "tokenizers", "sentencepiece", "numpy")
_SHARES = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")
_BOOTSTRAPS = 1000  # samples for the error of a metric that is not a mean
_RANGES = {  # of metrics whose values for single questions do not show it
    **dict.fromkeys(("perplexity", "word_perplexity", "byte_perplexity"), (1.0, math.inf)),
    "bits_per_byte": (0.0, math.inf),
    "mcc": (-1.0, 1.0),
}
_MOST_NAMES = 5
_COUNTS = {
    "cut": "contexts that did not fit and lost their beginning: {}, and tokens that they lost: {}",
    "merged": "tokens across the border between a question and its answer, which count for the answer: {}",
    "cut prompts": "prompts that lost their beginning to leave room for an answer: {}",
    "limited answers": "answers limited to half of the context, which is less than their tasks allow: {}",
}


def evaluate(
    checkpoints: Sequence[str | os.PathLike[str]],
    tasks: Sequence[str] = (QUIZ,),
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
    stride: int | None = None,
    limit: int | None = None,
    n_shots: int | None = None,
    chat: bool = False,
    batch_size: int = 16,
    device: str | None = None,
    progress: bool = True,
    verify: bool = True,
    after_each: Callable[[Evaluation], object] | None = None,
) -> Evaluation:
    """Measure what models know, on the same tasks.

    If all tasks are part of this package, the network is not used. Before the first model is measured, the others are
    opened as well, so that a mistake in one of them is told at once.

    Parameters
    ----------
    checkpoints
        As :func:`~minillm_lib.evaluation.models.open_model` takes them.
    tasks
        :data:`~minillm_lib.evaluation.tasks.LOCAL_TASKS`, and names of the harness's own tasks.
    tokenizer
        Another tokenizer than the checkpoints' own, for all of them.
    texts
        Documents to measure bits per byte on, by the name of their file.
    stride
        Tokens per window of the texts: see :func:`~minillm_lib.evaluation.texts.score_texts`.
    limit
        The most questions of each task; None for all.
    n_shots
        How many solved examples come before each question; None for what each task says. Tasks that do not follow it
        are named in the notes.
    chat
        Whether questions are put as turns of a conversation, by the model's own template.
    batch_size
        The most rows that are computed together.
    device
        By default the best one.
    progress
        Whether bars are shown.
    verify
        Whether damage to the checkpoints is looked for: see :func:`~minillm_lib.model.checkpoint.load_checkpoint`.
    after_each
        Called after each model with what has been found so far, so that an error in a later one does not lose it.

    Raises
    ------
    ValueError
        If there is nothing to do, a checkpoint is missing or given twice, or a number is out of range; for an unknown
        task (:class:`~minillm_lib.evaluation.tasks.UnknownTaskError`); and as ``open_model`` and ``score_texts`` do.
    TaskDataError
        If the data of a task is not available.
    MissingPackageError
        If the harness is not installed.
    """
    paths = [Path(each) for each in checkpoints]
    if not paths or not (tasks or texts):
        raise ValueError("there is nothing to evaluate: give a checkpoint, and a task or a text")
    if missing := [str(path) for path in paths if not path.exists()]:
        raise ValueError(f"{', '.join(missing)}: there is no checkpoint here")
    names = _short_names(paths)
    for name, number in (("limit", limit), ("n_shots", n_shots)):
        if number is not None and number < (name == "limit"):
            raise ValueError(f"{name} is {number}; allowed is a number from {int(name == 'limit')}")
    given = None if tokenizer is None else Path(tokenizer)

    def opened(path: Path) -> tuple[Any, dict[str, Any]]:
        lm, facts = open_model(
            path, tokenizer=given, device=device, batch_size=batch_size, progress=progress, verify=verify
        )
        if chat:
            lm.apply_chat_template([{"role": "user", "content": "?"}])
        if texts:
            checked_stride(lm, texts, stride)
        return lm, facts

    with offline(all(task in LOCAL_TASKS for task in tasks)), quiet_harness(progress):
        loaded = load_tasks(tasks, n_shots=n_shots, chat=chat) if tasks else {"tasks": {}}
        shots = {name: task.get_config("num_fewshot") for name, task in loaded["tasks"].items()}
        settings = {
            "tasks": list(tasks),
            "tokenizer": None if given is None else {"path": str(given), "files": hashes(given)},
            "texts": {name: _facts(documents) for name, documents in (texts or {}).items()},
            "stride": stride,
            "limit": limit,
            "num_fewshot": n_shots,
            "num_fewshot_of_tasks": shots,
            "apply_chat_template": chat,
            "batch_size": batch_size,
        }
        said = [] if n_shots is None else list(_notes_on_shots(shots, n_shots))
        for path in paths[1:]:
            opened(path)
        models: list[ModelScores] = []
        for path, name in zip(paths, names, strict=True):
            lm, facts = opened(path)
            start, scores, right = time.perf_counter(), list[Score](), dict[str, bool]()
            if tasks:
                scores, right = _run(lm, loaded, limit, chat)
            if texts:
                scores += score_texts(lm, texts, stride=stride)
            seconds, notes = round(time.perf_counter() - start, 1), list(_notes(lm.counts))
            models.append(ModelScores(name, str(path), hashes(path), facts, scores, notes, seconds, right))
            left = names[len(models) :]
            unfinished = [f"the evaluation is not finished; not measured: {', '.join(left)}"] if left else []
            result = Evaluation(list(models), settings, _made_with(), [*said, *unfinished])
            if after_each is not None:
                after_each(result)
    return result


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest endings of paths that tell them apart."""
    whole = [path.resolve() for path in paths]
    if len(set(whole)) < len(whole):
        raise ValueError(f"a checkpoint is given twice: {', '.join(map(str, paths))}")
    for n_parts in range(1, max(len(path.parts) for path in whole) + 1):
        names = ["/".join(path.parts[-n_parts:]) for path in whole]
        if len(set(names)) == len(names):
            break
    return names


def _facts(documents: Sequence[str]) -> dict[str, Any]:
    content = [text.encode() for text in documents]
    digest = hashlib.sha256(b"\0".join(content)).hexdigest()
    return {"documents": len(documents), "bytes": sum(map(len, content)), "sha256": digest}


def _notes(counts: Counter[str]) -> Iterator[str]:
    for kind, words in _COUNTS.items():
        if counts[kind]:
            yield words.format(f"{counts[kind]:,}", f"{counts[f'{kind} tokens']:,}")


def _notes_on_shots(shots: Mapping[str, int], wanted: int) -> Iterator[str]:
    """Name the tasks that do not take as many solved examples as wanted."""
    if others := [f"{name} ({n})" for name, n in shots.items() if n != wanted]:
        named = ", ".join(others[:_MOST_NAMES])
        more = f" and {len(others) - _MOST_NAMES:,} more" if len(others) > _MOST_NAMES else ""
        yield (
            f"the number of solved examples is fixed, and not {wanted:,}, in {number_of(len(others), 'task')}: "
            f"{named}{more}"
        )


def _made_with() -> dict[str, Any]:
    versions = {package: installed_version(package) for package in _PACKAGES}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "minillm_lib": __version__,
        **versions,
    }


def _run(
    lm: Any, loaded: dict[str, Any], limit: int | None, chat: bool
) -> tuple[list[Score], dict[str, bool]]:
    """Return the figures of tasks, and which questions of the quiz are answered right.

    The figures are those of the quiz by language and subject, and of other tasks as the harness sums them up.
    """
    from lm_eval.evaluator import evaluate as run_harness

    others = {name: task for name, task in loaded["tasks"].items() if not name.startswith(QUIZ)}
    for task in loaded["tasks"].values():
        task.set_fewshot_seed(SEED)  # for each model again: drawing changes the sampler
    found = run_harness(
        lm,
        loaded,
        limit=limit,
        bootstrap_iters=_BOOTSTRAPS if others else 0,
        apply_chat_template=chat,
        fewshot_as_multiturn=chat,
    )
    quiz = [row for name, rows in found["samples"].items() if name not in others for row in rows]
    scores = _of_quiz(quiz) if quiz else []
    better = found["higher_is_better"]
    for name, task in others.items():
        rows = found["samples"][name]
        n = found["n-samples"][name]["effective"]
        scores += _of_results(name, found["results"][name], n, rows, better.get(name), _chance_of(task, rows))
    for name, results in found.get("groups", {}).items():
        members = [task.task_name for task in loaded["groups"][name].get_all_tasks()]
        rows = [row for member in members for row in found["samples"][member]]
        scores += _of_results(name, results, results.get("sample_len", 0), rows, better.get(name), None)
    return scores, {row["doc"]["id"]: bool(row["acc"]) for row in quiz}


def _of_quiz(rows: Sequence[dict[str, Any]]) -> list[Score]:
    """Return the shares of all questions, then by language, then by subject."""
    parts = {"all": list(rows)}
    for key in (lambda row: row["doc"]["id"].partition("-")[0], lambda row: row["doc"]["subject"]):
        for row in rows:
            parts.setdefault(key(row), []).append(row)
    if sum(part in LANGUAGES for part in parts) == 1:
        del parts["all"]  # the same as the only language
    return [
        _share(QUIZ, part, metric, [float(row[metric]) for row in own], 1 / N_CHOICES)
        for part, own in parts.items()
        for metric in METRICS
    ]


def _share(task: str, part: str, metric: str, values: Sequence[float], chance: float | None) -> Score:
    n = len(values)
    return Score(task, part, metric, sum(values) / n, n, *wilson_interval(sum(values), n), chance)


def _chance_of(task: Any, rows: Sequence[dict[str, Any]]) -> float | None:
    """Return what guessing gives in a task with choices: the mean of one divided by their number."""
    if task.OUTPUT_TYPE != "multiple_choice" or not rows:
        return None
    return sum(1 / len(task.doc_to_choice(row["doc"])) for row in rows) / len(rows)


def _of_results(
    task: str,
    results: Mapping[str, Any],
    n: int,
    rows: Sequence[Mapping[str, Any]],
    better: Mapping[str, bool | None] | None,
    chance: float | None,
) -> list[Score]:
    """Return what the harness found in a task or a group, under the names that it gives to metrics and filters.

    Parameters
    ----------
    rows
        What it found for each question.
    better
        For each metric, whether a larger value is a better one.
    """
    scores = []
    for key, value in results.items():
        metric, comma, filtered = key.partition(",")
        if not comma or metric.endswith("_stderr") or isinstance(value, str):
            continue
        name = metric if filtered == "none" else f"{metric} ({filtered})"
        values = [row[metric] for row in rows if row["filter"] == filtered and metric in row]
        ends = _interval(metric, value, results.get(f"{metric}_stderr,{filtered}"), values)
        is_better = bool((better or {}).get(metric, metric in _SHARES))
        own_chance = chance if metric in _SHARES else None
        scores.append(Score(task, "all", name, float(value), int(n), *ends, own_chance, is_better))
    return scores


def _interval(
    metric: str, value: float, error: Any, values: Sequence[Any]
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of what a metric makes of one value per question; None, None if none can be told."""
    numbers = [float(each) for each in values if isinstance(each, int | float | np.number | np.bool_)]
    are_shares = 0 < len(numbers) == len(values) and all(0 <= each <= 1 for each in numbers)
    if are_shares and {*numbers} <= {0, 1} and math.isclose(value, sum(numbers) / len(numbers), abs_tol=1e-9):
        return wilson_interval(sum(numbers), len(numbers))
    if not isinstance(error, float) or not error > 0:
        return None, None  # values that are all alike do not tell how far apart others would be
    least, most = (0.0, 1.0) if are_shares else _RANGES.get(metric, (-math.inf, math.inf))
    return max(least, value - Z95 * error), min(most, value + Z95 * error)
