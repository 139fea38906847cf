"""Tasks of the harness: the course quiz, which is part of this package, and the harness's own by name."""

from __future__ import annotations

import difflib
import fnmatch
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from minillm_lib.evaluation.quiz import DELIMITERS, LANGUAGES, QUIZ, QuizLanguage, quiz_questions
from minillm_lib.io.optional import optional_imports
from minillm_lib.io.progress_bar import progress_bar

LOCAL_TASKS = {
    QUIZ: "multiple-choice questions about the course's subjects, in English and Chinese",
    f"{QUIZ}-en": "the English ones",
    f"{QUIZ}-zh": "the Chinese ones",
}
"""The tasks that need no network, and what they are."""

METRICS = ("acc", "acc_bytes", "acc_mutual_info")
"""The quiz's metrics, by the harness's names: an answer is chosen by its log probability after the question; by that
per UTF-8 byte; by how much the question raises it over that of the same answer as a text of its own."""

_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
SEED = 1234
"""The seed with which each model draws its solved examples."""


class UnknownTaskError(ValueError):
    """There is no task of a name; the message names similar ones."""


class TaskDataError(OSError):
    """A task cannot be loaded, mostly because its data is not available."""


def quiz_languages(task: str) -> tuple[QuizLanguage, ...]:
    """Return the languages of a local task's questions."""
    return tuple(each for each in LANGUAGES if task in (QUIZ, f"{QUIZ}-{each}"))


def quiz_task(language: QuizLanguage, *, chat: bool) -> Any:
    """Return the questions of a language as a task of the harness.

    Parameters
    ----------
    language
        ``"en"`` or ``"zh"``.
    chat
        Whether the question becomes a turn of a conversation, and so stands alone, without "Question:".
    """
    import datasets
    from lm_eval.api.task import ConfigurableTask

    rows = [
        {
            "id": each.id,
            "subject": each.subject,
            "text": each.question if chat else each.prompt,
            "choices": list(each.choices),
            "answer": each.answer,
        }
        for each in sorted(quiz_questions(language), key=lambda each: int(each.id.rpartition("-")[2]))
    ]  # one question of each subject after the other, so that a limit keeps all subjects
    config = {
        "task": f"{QUIZ}-{language}",
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)},
        "test_split": "test",
        "fewshot_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": lambda row: row["text"],
        "doc_to_choice": lambda row: row["choices"],
        "doc_to_target": lambda row: row["answer"],
        "target_delimiter": DELIMITERS[language],
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in METRICS
        ],
    }
    return ConfigurableTask(config=config)


def harness_names(pattern: str = "*") -> list[str]:
    """Return the names of the harness's own tasks and groups that match a pattern such as ``"ceval*"``."""
    names: Sequence[str] = _task_manager().all_tasks
    return fnmatch.filter(names, pattern)


def load_tasks(names: Sequence[str], *, n_shots: int | None, chat: bool) -> dict[str, Any]:
    """Return tasks as the harness's ``evaluate`` takes them.

    Parameters
    ----------
    names
        Local tasks, and names or patterns of the harness's own.
    n_shots
        How many solved examples come first; None for what each task says, which is none for the quiz. Tasks that say
        that there are none, and those of whole texts, keep to it.
    chat
        Whether the questions become turns of a conversation.

    Raises
    ------
    UnknownTaskError
        If there is no task of a name.
    TaskDataError
        If a task of the harness cannot be loaded, mostly because its data cannot be fetched.
    """
    local = dict.fromkeys(each for name in names for each in quiz_languages(name))
    wanted: list[Any] = [quiz_task(each, chat=chat) for each in local]
    foreign = [name for name in names if name not in LOCAL_TASKS]
    manager = _task_manager(with_defaults=bool(foreign))
    for name in foreign:
        if not (found := fnmatch.filter(manager.all_tasks, name)):
            near = difflib.get_close_matches(name, [*LOCAL_TASKS, *manager.all_tasks], n=3)
            hint = f"; similar names: {', '.join(near)}" if near else ""
            raise UnknownTaskError(f"there is no task {name!r}{hint}; minillm eval --list names all")
        wanted += found
    loaded: dict[str, Any] = {"tasks": {}, "groups": {}, "group_map": {}}
    for each in wanted:
        try:
            part = manager.load([each])
        except Exception as error:  # data sets come by several libraries, each with errors of its own
            raise TaskDataError(
                f"the task {each} cannot be loaded: {type(error).__name__}: {_first_line(error)}. The data of the "
                f"harness's tasks comes from the network; {QUIZ} and --text need none"
            ) from error
        for key in loaded:
            loaded[key] |= part[key]
    for task in loaded["tasks"].values():
        own = task.get_config("num_fewshot")
        fixed = own == 0 or task.OUTPUT_TYPE == "loglikelihood_rolling"  # which reads whole texts, one by one
        task.set_config("num_fewshot", (own or 0) if n_shots is None or fixed else n_shots)
    return loaded


def _task_manager(with_defaults: bool = True) -> Any:
    with optional_imports("eval", "to evaluate a model with the harness"):
        from lm_eval.tasks import TaskManager
    return TaskManager(include_defaults=with_defaults)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")


@contextmanager
def offline(wanted: bool = True) -> Iterator[None]:
    """Within the block, keep the libraries of Hugging Face from using the network, if ``wanted``."""
    if not wanted:
        yield
        return
    before = {name: os.environ.get(name) for name in _OFFLINE}
    os.environ.update(_OFFLINE)
    try:
        with (
            _switched("huggingface_hub.constants", "HF_HUB_OFFLINE"),
            _switched("datasets.config", "HF_HUB_OFFLINE"),
        ):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _switched(module: str, name: str) -> Iterator[None]:
    """Set a switch of a library that is imported already, and so no longer reads the environment."""
    loaded = sys.modules.get(module)
    if loaded is None or not hasattr(loaded, name):
        yield
        return
    before = getattr(loaded, name)
    setattr(loaded, name, True)
    try:
        yield
    finally:
        setattr(loaded, name, before)


@contextmanager
def quiet_harness(progress: bool) -> Iterator[None]:
    """Within the block, the harness logs only errors, and its bar is one of this package."""
    from lm_eval.api import task as module

    logger, bar = logging.getLogger("lm_eval"), module.tqdm
    level = logger.level
    logger.setLevel(logging.ERROR)
    module.tqdm = partial(progress_bar, desc="prompts", leave=False, disable=not progress)
    try:
        yield
    finally:
        logger.setLevel(level)
        module.tqdm = bar
