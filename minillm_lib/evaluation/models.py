"""Models for an evaluation: this package's checkpoints, and whatever transformers can open."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from minillm_lib.evaluation.harness_model import HarnessModel, Pair
from minillm_lib.io.checksums import sha256_of
from minillm_lib.io.optional import MissingPackageError
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.devices import best_device
from minillm_lib.model.hugging_face import from_hugging_face

_DECISIVE = ("*.safetensors", "*.bin", "*.json", "*.model", "*.jinja", "*.txt")


def open_model(
    path: Path,
    *,
    tokenizer: Path | None = None,
    device: str | None = None,
    batch_size: int = 16,
    progress: bool = True,
    verify: bool = True,
) -> tuple[Any, dict[str, Any]]:
    """Open a checkpoint for the harness.

    Parameters
    ----------
    path
        A checkpoint of this package, or a directory of Hugging Face. What this package does not read is opened by the
        harness's own ``hf``, with transformers.
    tokenizer
        Another tokenizer than the checkpoint's own: see :func:`~minillm_lib.model.checkpoint.load_checkpoint`. What
        transformers read needs a folder.
    device
        By default the best one; a CPU computes in float32.
    batch_size
        The most rows that are computed together.
    progress
        Whether bars are shown.
    verify
        Whether damage is looked for: see :func:`~minillm_lib.model.checkpoint.load_checkpoint`. What transformers read
        is not verified.

    Returns
    -------
    lm, facts
        The model, and what can be said of it: parameters, context, device, and which program read it.

    Raises
    ------
    CheckpointError
        If the checkpoint is damaged.
    ValueError
        If the device is not available, the model has no tokenizer, or transformers cannot use the given one.
    MissingPackageError
        If the checkpoint is for transformers, and a package is missing.
    """
    target = _device(device)
    reason = _why_foreign(path)
    if reason is None:
        dtype = torch.float32 if target.type == "cpu" else None
        model = MiniLLM.load_from_checkpoint(
            path, device=target, dtype=dtype, tokenizer=tokenizer or True, verify=verify
        )
        lm: Any = HarnessModel(model, batch_size=batch_size, progress=progress)
        n_parameters, reader = model.config.n_parameters, "minillm_lib"
    else:
        lm = _with_transformers(path, tokenizer, str(target), batch_size, reason)
        n_parameters, reader = lm.model.num_parameters(), f"transformers ({reason})"
    facts = {"parameters": n_parameters, "context": lm.max_length, "device": str(target), "reader": reader}
    return lm, facts


def _device(name: str | None) -> torch.device:
    try:
        device = best_device() if name is None else torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name!r} is not available here: {str(error).splitlines()[0]}") from None
    return device


def hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a checkpoint that decides what it computes, by name."""
    files = [path] if path.is_file() else sorted({each for kind in _DECISIVE for each in path.glob(kind)})
    return {file.name: sha256_of(file) for file in files}


def _why_foreign(path: Path) -> str | None:
    """Return why this package cannot read a directory of Hugging Face; None if it can, or it is none."""
    try:
        values = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # the loader says what is wrong
    if not isinstance(values, dict) or values.get("model_type") in (None, "minillm"):
        return None
    try:
        from_hugging_face(values)
    except ValueError as error:
        return str(error).splitlines()[0]
    return None


def _with_transformers(path: Path, tokenizer: Path | None, device: str, batch_size: int, reason: str) -> Any:
    try:
        from lm_eval.models.huggingface import HFLM
        from lm_eval.models.utils import normalize_gen_kwargs
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{path}: {reason}. The harness reads it with transformers, and the package {error.name} is not installed: "
            "pip install 'lm-eval[hf]'",
            name=error.name,
        ) from None

    class TransformersModel(HFLM):
        """The harness's ``hf``, which counts what it cuts, and scores ids as well as texts."""

        counts: Counter[str]

        def log_likelihoods(self, pairs: Iterable[Pair], what: str = "scoring") -> list[tuple[float, bool]]:
            """Return the log probability of each second part, and whether all its tokens are the likeliest."""
            return self._loglikelihood_tokens([(("", ""), context, tokens) for context, tokens in pairs])

        def _loglikelihood_tokens(self, requests: Any, **options: Any) -> list[tuple[float, bool]]:
            for _, context, tokens in requests:
                if (cut := len(context) + len(tokens) - self.max_length - 1) > 0:
                    self.counts.update({"cut": 1, "cut tokens": cut})
            found: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, **options)
            return found

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            for request in requests:
                prompt, options = request.args
                n_tokens = normalize_gen_kwargs(options, self.max_gen_toks)["max_gen_toks"]
                room = self.max_length - n_tokens
                if room < 1:
                    raise ValueError(
                        f"{path}: a task has answers of {n_tokens:,} tokens, for which there is no room in the model's "
                        f"context of {self.max_length:,}"
                    )
                self.counts["cut prompts"] += len(self.tok_encode(prompt)) > room
            with torch.random.fork_rng():
                torch.manual_seed(0)  # what is drawn is the same each time
                found: list[str] = super().generate_until(requests, disable_tqdm=disable_tqdm)
            return found

    if tokenizer is not None and not tokenizer.is_dir():
        raise ValueError(
            f"{path}: {reason}. transformers read it, and they need the folder of a tokenizer, not {tokenizer}"
        )
    model = TransformersModel(
        pretrained=str(path),
        tokenizer=None if tokenizer is None else str(tokenizer),
        device=device,
        dtype="float32" if device == "cpu" else "auto",
        batch_size=batch_size,
    )
    n_ids, n_rows = len(model.tokenizer), model.model.get_input_embeddings().num_embeddings
    if tokenizer is not None and n_ids > n_rows:
        raise ValueError(
            f"{path}: the tokenizer in {tokenizer} has {n_ids:,} ids, but the weights have rows for only {n_rows:,}"
        )
    model.counts = Counter()
    return model
