"""What a run looks at from time to time: the loss on held-out text, and what the model writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from minillm_lib.generation.chat import ChatSession
from minillm_lib.tokenizer import Tokenizer
from minillm_lib.training.batches import Batch, Rows
from minillm_lib.training.compilation import uncompiled
from minillm_lib.training.config import RunConfig
from minillm_lib.training.distributed import Processes
from minillm_lib.training.evaluation import Score, evaluate
from minillm_lib.training.precision import Precision
from minillm_lib.training.replica import Replica
from minillm_lib.training.run_folder import Record


class HeldOut:
    """Evaluates a model on each source of held-out text, and lets it go on after the configured prompts."""

    def __init__(
        self,
        sources: Mapping[str, Rows],
        replica: Replica,
        tokenizer: Tokenizer,
        config: RunConfig,
        processes: Processes,
        precision: Precision,
        rows_at_a_time: int,
    ) -> None:
        self.sources, self.replica, self.tokenizer = sources, replica, tokenizer
        self.config, self.processes, self.precision = config, processes, precision
        self.rows_at_a_time = rows_at_a_time

    def records(self, step: int, tokens: int) -> Iterator[Record]:
        """One of kind ``evaluation``, then those of kind ``sample``; the model is in training mode again at the end."""
        self.replica.model.eval()
        scores = {name: self._score(rows) for name, rows in self.sources.items()}
        record = {"kind": "evaluation", "step": step, "tokens": tokens, **_as_record(_overall(scores))}
        if len(scores) > 1:
            record["by_source"] = {name: _as_record(score) for name, score in scores.items()}
        yield record
        # A model that is shared out would need all processes for each token, so it writes none.
        if self.processes.is_first and not self.replica.is_sharded:
            for prompt in self.config.evaluation.prompts:
                with uncompiled():
                    text = self._sample(prompt)
                yield {"kind": "sample", "step": step, "prompt": prompt, "text": text}
        self.replica.model.train()

    def _score(self, rows: Rows) -> Score:
        return evaluate(
            self._summed_loss,
            rows,
            self.tokenizer,
            self.processes,
            max_tokens=self.config.evaluation.max_tokens,
            rows_at_a_time=self.rows_at_a_time,
        )

    def _summed_loss(self, batch: Batch) -> Tensor:
        with self.precision.autocast():
            loss: Tensor = self.replica.summed_loss(batch)
            return loss

    def _sample(self, prompt: str) -> str:
        """How the model goes on after a prompt, or answers it; always the same for the same weights."""
        model, n = self.replica.model, self.config.evaluation.sample_tokens
        if self.config.stage == "sft":
            return ChatSession(model, temperature=0.0, max_new_tokens=n).send(prompt)
        text: str = model.generate(prompt, temperature=0.8, top_k=50, max_new_tokens=n, seed=0)[0].text
        return text


def _overall(scores: Mapping[str, Score]) -> Score:
    """The score of all sources together, each token counted once."""
    n_tokens = sum(score.n_tokens for score in scores.values())
    n_bytes = sum(score.n_bytes for score in scores.values())
    total = sum(score.loss * score.n_tokens for score in scores.values())
    return Score(total / max(n_tokens, 1), n_tokens, n_bytes)


def _as_record(score: Score) -> Record:
    return {
        "loss": score.loss,
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte,
        "n_tokens": score.n_tokens,
    }
