"""The one thread that owns the model: it takes texts from a bounded queue, and writes them together."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from typing import Any

import psutil
import torch

from minillm_lib.generation.sampling import SamplingConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.eval_view import in_eval_mode
from minillm_lib.serving.batch import Batch, Updates, ended_by
from minillm_lib.serving.served_text import ServedText, Update

_PROMPT_TOKENS_AT_A_TIME = 1024  # read between two steps, while the texts in the batch wait
_TEXTS_PER_STEP = (
    8  # for as many in the batch, a new one waits another step, so that more prompts are read together
)
_SHARE_OF_MEMORY = 0.5
_MOST_SECONDS_TO_SEND = 0.01  # a loop that is busy with something else does not hold up the texts for longer


class QueueFullError(Exception):
    """There is no place for more texts at the moment."""


class StoppingError(Exception):
    """The server is stopping, and takes no more texts."""


class Submission:
    """The texts of one request, and what is reported about them.

    Attributes
    ----------
    texts
        In the order of the request.
    """

    def __init__(self, engine: Engine, texts: Sequence[ServedText]) -> None:
        self.texts = list(texts)
        self._engine, self._loop = engine, asyncio.get_running_loop()
        self._updates: asyncio.Queue[tuple[int, Update]] = asyncio.Queue()
        self._row = {id(text): row for row, text in enumerate(texts)}

    async def updates(self) -> AsyncIterator[list[tuple[int, Update]]]:
        """Yield what is new: the numbers of texts, and what each has gained, until all are finished.

        Raises
        ------
        Exception
            The reason why a text cannot be finished; the others are given up.
        """
        unfinished = len(self.texts)
        try:
            while unfinished:
                news = [await self._updates.get()]
                while not self._updates.empty():
                    news.append(self._updates.get_nowait())
                for _, update in news:
                    if update.error is not None:
                        raise update.error
                    unfinished -= update.is_last
                yield news
        finally:
            if unfinished:
                self.cancel()

    def cancel(self) -> None:
        """Give up those texts that are not finished."""
        self._engine.cancel(self)

    def report(self, text: ServedText, update: Update) -> None:
        """Pass on an update; called in the event loop."""
        self._updates.put_nowait((self._row[id(text)], update))

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where updates are waited for."""
        return self._loop


class Engine:
    """Writes the texts of all requests, as many of them at a time as the batch may have.

    Parameters
    ----------
    model
        A model with a tokenizer, whose weights nothing changes meanwhile. In training mode it is served as in eval
        mode: without dropout.
    max_batch
        The most texts that are decoded together.
    max_queue
        The most texts that wait for a place in the batch.
    fast, bf16
        As in :class:`~minillm_lib.serving.batch.Batch`.

    Attributes
    ----------
    is_stopping
        Whether new texts are refused.
    """

    def __init__(
        self,
        model: MiniLLM,
        *,
        max_batch: int = 32,
        max_queue: int = 128,
        fast: bool = True,
        bf16: bool = False,
    ) -> None:
        self.model, self.max_batch, self.max_queue = in_eval_mode(model), max_batch, max_queue
        self.is_stopping = False
        self._batch = Batch(self.model, fast=fast, bf16=bf16)
        self._waiting: deque[ServedText] = deque()
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._submissions: dict[int, Submission] = {}  # by the id of each text
        self._steps_since_new = 0
        self._n_running, self._most_slots = 0, _slots_in_memory(model)
        self._is_over, self._shares_cores = False, model.device.type == "cpu"
        self._something = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="minillm-engine", daemon=True)

    def start(self) -> None:
        """Write a first token, which may have to compile something, and begin to wait for texts."""
        assert self.model.tokenizer is not None
        sampling = SamplingConfig(temperature=0, max_new_tokens=3)
        self._batch.add([ServedText(self.model, [self.model.tokenizer.bos_id], sampling)])
        while self._batch.texts:
            self._batch.step()
        self._thread.start()

    def submit(self, texts: Sequence[ServedText]) -> Submission:
        """Queue texts; called in the event loop.

        Raises
        ------
        QueueFullError
            If not all of them have a place.
        StoppingError
            If the server is stopping.
        """
        submission = Submission(self, texts)
        with self._something:
            self._check_place(len(texts))
            self._waiting += texts
            self._submissions.update((id(text), submission) for text in texts)
            self._something.notify()
        return submission

    async def run(self, job: Callable[[], Any]) -> Any:
        """Call a function that uses the model, between two steps, and return its result.

        Raises
        ------
        QueueFullError, StoppingError
            As in :meth:`submit`.
        """
        future: Future[Any] = Future()
        with self._something:
            self._check_place(1)
            self._jobs.append((job, future))
            self._something.notify()
        return await asyncio.wrap_future(future)

    def cancel(self, submission: Submission) -> None:
        """Give up the texts of a submission; those that wait free their places at once, others before the next step."""
        with self._something:
            for text in submission.texts:
                text.is_cancelled = True
                self._submissions.pop(id(text), None)
            self._waiting = deque(text for text in self._waiting if not text.is_cancelled)
            self._something.notify()

    def drain(self) -> None:
        """Refuse new texts and those that wait; those in the batch go on."""
        with self._something:
            self.is_stopping = True
            refused, self._waiting = self._waiting, deque()
        self._report([(text, Update(error=StoppingError())) for text in refused])

    def stop(self) -> None:
        """Give up the texts in the batch, and end the thread."""
        self.drain()
        with self._something:
            self._is_over = True
            self._something.notify()
        self._thread.join()

    @property
    def n_waiting(self) -> int:
        """Number of texts that wait for a place in the batch."""
        return len(self._waiting)

    @property
    def n_running(self) -> int:
        """Number of texts in the batch."""
        return self._n_running

    def _check_place(self, n_texts: int) -> None:
        if self.is_stopping:
            raise StoppingError
        taken = self._n_running + len(self._waiting) + len(self._jobs)
        if taken + n_texts > self.max_batch + self.max_queue:
            raise QueueFullError

    def _work(self) -> None:
        while not self._is_over:
            with self._something:
                self._something.wait_for(
                    lambda: self._is_over or self._waiting or self._jobs or self._batch.texts
                )
                new = [] if self._is_over else self._admitted()
                self._n_running = len(self._batch.texts) + len(new)
                jobs, self._jobs = self._jobs, deque()
            for job, future in jobs:
                _do(job, future)
            self._attempt(new)
        self._report([(text, Update(error=StoppingError())) for text in self._batch.texts])
        for _, future in self._jobs:
            future.set_exception(StoppingError())

    def _admitted(self) -> list[ServedText]:
        """Take those texts from the queue for which there is a place, and memory, and time before the next step."""
        new: list[ServedText] = []
        self._steps_since_new += 1
        if self._steps_since_new <= len(self._batch.texts) // _TEXTS_PER_STEP:
            return []
        while self._waiting:
            others, text = [*self._batch.texts, *new], self._waiting[0]
            slots = (len(others) + 1) * max(each.most_tokens for each in [*others, text])
            tokens = (len(new) + 1) * max(len(each.prompt) for each in [*new, text])
            if len(others) == self.max_batch or (others and slots > self._most_slots):
                break
            if new and tokens > _PROMPT_TOKENS_AT_A_TIME:
                break
            new.append(self._waiting.popleft())
            self._steps_since_new = 0
        return new

    def _attempt(self, new: list[ServedText]) -> None:
        """Add new texts to the batch or, if there are none, take a step; remove texts that nobody waits for.

        If a step fails, report it for all texts, and go on with an empty batch.
        """
        texts = [*self._batch.texts, *new]
        try:
            for text in [text for text in self._batch.texts if text.is_cancelled]:
                self._batch.remove(text)
            updates = self._join(new) if new else self._batch.step() if self._batch.texts else []
        except Exception as error:
            updates = ended_by(error, texts)
            self._batch.clear()
        self._n_running = len(self._batch.texts)  # before the report, after which the next request may come
        sent = self._report(updates)
        if self._shares_cores:
            # The threads of a step wait for the slowest of them: one whose core the event loop has taken.
            for each in sent:
                each.wait(_MOST_SECONDS_TO_SEND)

    def _join(self, new: list[ServedText]) -> Updates:
        """Add new texts to the batch; if that fails for several, each is tried alone, as only one may be the reason."""
        try:
            return self._batch.add(new)
        except Exception as error:
            if len(new) == 1:
                return ended_by(error, new)
        return [update for text in new for update in self._join([text])]

    def _report(self, updates: Updates) -> list[threading.Event]:
        """Pass updates to the event loops that wait for them, all of a step at once; say when each has sent them."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}
        with self._something:
            for text, update in updates:
                is_news = update.piece or update.scores or update.is_last
                submission = self._submissions.get(id(text))
                if update.is_last:
                    self._submissions.pop(id(text), None)
                if is_news and submission is not None:
                    by_loop.setdefault(submission.loop, []).append(
                        lambda s=submission, t=text, u=update: s.report(t, u)  # type: ignore[misc]
                    )
        sent = []
        for loop, reports in by_loop.items():
            if not loop.is_closed():
                sent.append(threading.Event())
                loop.call_soon_threadsafe(_call_all, loop, reports, sent[-1])
        return sent


def _call_all(
    loop: asyncio.AbstractEventLoop, functions: Sequence[Callable[[], None]], done: threading.Event
) -> None:
    for function in functions:
        function()
    loop.call_soon(done.set)  # after those tasks that the functions have woken


def _do(job: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _slots_in_memory(model: MiniLLM) -> int:
    """Return for how many tokens, of all rows together, the memory of the device has room for keys and values."""
    config, device = model.config, model.device
    if device.type == "cuda":
        available, _ = torch.cuda.mem_get_info(device)
    else:
        available = psutil.virtual_memory().available
    bytes_per_slot = (
        2 * config.n_layers * config.n_kv_heads * config.head_dim * model.embed_tokens.weight.itemsize
    )
    # Growing needs the old and the new memory at the same time, and the number of rows is doubled.
    return int(_SHARE_OF_MEMORY * available / bytes_per_slot / 3)
