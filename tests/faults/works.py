"""The work that is interrupted: one :class:`~faults.interruptions.Work` for each kind of long command."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from quick_runs import quick_pretraining, quick_sft, write_conversations, write_documents

from faults.campaign import Kind
from faults.dripping_server import dripping
from faults.interruptions import Work, interruption
from faults.tools import (
    TIMED,
    contents_of_model,
    digest,
    flat,
    minillm,
    random_text,
    small_model,
    write_tokenizer,
)

_RECORDED = ("step", "evaluation", "sample")
_DOWNLOADED = random.Random(5).randbytes(300_000)


def what_a_run_left(folder: Path) -> dict[str, Any]:
    """Return the weights, the optimizers' state, the model written, and the metrics without what a clock told."""
    import torch

    last = sorted(path for path in (folder / "run/checkpoints").glob("step-*") if "damaged" not in path.name)[
        -1
    ]
    lines = (folder / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = named_records(json.loads(line) for line in lines)
    untimed = {
        name: {key: value for key, value in record.items() if key not in (*TIMED, "crc32")}
        for name, record in records.items()
        if record["kind"] in _RECORDED
    }
    optimizer = torch.load(last / "trainer_state/optimizer.pt", weights_only=True)
    return {
        "step": last.name,
        "weights": digest(last / "model.safetensors"),
        **flat(optimizer, "optimizer"),
        **untimed,
        **contents_of_model(folder / "run.pt"),
    }


def named_records(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the records of a run by names that stay the same where others are missing."""
    named: dict[str, dict[str, Any]] = {}
    for record in records:
        name = f"{record['kind']} {record['step']} {record.get('prompt', '')}".rstrip()
        n_before = sum(each.partition(" again ")[0] == name for each in named)
        named[f"{name} again {n_before}" if n_before else name] = record
    return named


def prepare_pretraining(inputs: Path) -> None:
    """Write a configuration whose run is in the current folder, and the text that it reads, packed."""
    from minillm_lib.training.data import prepare_pretraining_data

    config = quick_pretraining(Path(), write_documents(inputs / "documents.jsonl"))
    prepare_pretraining_data(config.data, progress=False)
    (inputs / "config.yaml").write_text(yaml.safe_dump(config.as_json()), encoding="utf-8")


def train(stage: str, inputs: Path) -> None:
    """Train in the current folder, from the beginning or, as a user would, with ``--resume``."""
    resume = ["--resume"] if Path("run/config.yaml").is_file() else []
    minillm(stage, "--config", inputs / "config.yaml", *resume)


def _prepare_sft(inputs: Path) -> None:
    small_model(inputs).save(inputs / "base.pt")
    config = quick_sft(Path(), inputs / "base.pt", write_conversations(inputs / "conversations.jsonl"))
    (inputs / "config.yaml").write_text(yaml.safe_dump(config.as_json()), encoding="utf-8")


_RUN_OUTPUTS = {"run.pt": contents_of_model}
PRETRAINING = Work(
    prepare_pretraining, lambda inputs: train("pretrain", inputs), what_a_run_left, _RUN_OUTPUTS
)
SFT = Work(_prepare_sft, lambda inputs: train("sft", inputs), what_a_run_left, _RUN_OUTPUTS)


def _prepare_text(inputs: Path) -> None:
    rng = random.Random(1)
    lines = (json.dumps({"text": random_text(rng, 150)}) + "\n" for _ in range(250))
    (inputs / "documents.jsonl").write_text("".join(lines), encoding="utf-8")
    write_tokenizer(inputs)
    np.save(inputs / "ids.npy", np.random.default_rng(0).integers(4, 300, 200_000, dtype=np.uint16))


def _pack(inputs: Path) -> None:
    """Pack documents, and then ids."""
    from minillm_lib.corpora.files import read_files
    from minillm_lib.tokenizer import Tokenizer
    from minillm_lib.training.token_file import pack

    tokenizer = Tokenizer.load(inputs / "tokenizer.model")
    pack(read_files(inputs / "documents.jsonl"), tokenizer, "text.tokens", n_jobs=1, progress=False)
    minillm("data", "pack", inputs / "ids.npy", "-o", "ids", "--tokenizer", inputs / "tokenizer.model")


def read_tokens(path: Path) -> Any:
    """Return all of a token file, verified."""
    from minillm_lib.training.token_file import TokenFile

    file = TokenFile(path)
    file.verify()
    return [
        file.metadata,
        hashlib.sha256(file.tokens.tobytes()).hexdigest(),
        file.document_starts.tolist()[:9],
    ]


def _packed(folder: Path) -> Any:
    names = ("text.tokens", "ids/train.tokens", "ids/validation.tokens")
    return {name: read_tokens(folder / name) for name in names}


PACKING = Work(
    _prepare_text,
    _pack,
    _packed,
    {"text.tokens": read_tokens, "ids/train.tokens": read_tokens, "ids/validation.tokens": read_tokens},
    make_old=lambda inputs: _pack_one("text.tokens", inputs),
)


def _pack_one(path: str, inputs: Path) -> None:
    from minillm_lib.tokenizer import Tokenizer
    from minillm_lib.training.token_file import pack

    pack(["an older text"], Tokenizer.load(inputs / "tokenizer.model"), path, n_jobs=1, progress=False)


def _train_tokenizer(inputs: Path, vocab_size: int = 400) -> None:
    options = ("--corpus", "files", "--option", f"paths={inputs / 'documents.jsonl'}")
    minillm("tokenizer", "train", "own.model", *options, "--vocab-size", vocab_size)


def read_tokenizer(path: Path) -> Any:
    """Return a tokenizer's hash, and what it makes of a sentence."""
    from minillm_lib.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(path)
    return [tokenizer.sha256, tokenizer.vocab_size, tokenizer.encode("the topic model of a word 主题")]


TOKENIZER = Work(
    _prepare_text,
    _train_tokenizer,
    lambda folder: read_tokenizer(folder / "own.model"),
    {"own.model": read_tokenizer},
    make_old=lambda inputs: _train_tokenizer(inputs, 350),
)


def _prepare_topics(inputs: Path) -> None:
    rng = random.Random(2)
    lines = (json.dumps({"text": random_text(rng, 80)}) + "\n" for _ in range(60))
    (inputs / "documents.jsonl").write_text("".join(lines), encoding="utf-8")
    _topics(inputs, inputs / "warm", sweeps=2)  # compiles, or reads what is compiled


def _topics(inputs: Path, folder: Path, *, sweeps: int = 150, seed: int = 0) -> None:
    """Fit a model with a checkpoint every few sweeps, and save it."""
    from minillm_lib.corpora.files import read_files
    from minillm_lib.topics.document_term import bag_of_words
    from minillm_lib.topics.gibbs_lda import GibbsLDA
    from minillm_lib.topics.topic_model import TopicModel

    bag = bag_of_words(read_files(inputs / "documents.jsonl"), phrases=False, lemmatize=False, n_jobs=1)
    state = {"checkpoint": folder.parent / f"{folder.name}.checkpoint", "checkpoint_seconds": 0.02}
    model = GibbsLDA(5, n_sweeps=sweeps, n_chains=2, n_threads=1, random_state=seed, **state)
    TopicModel(model.fit(bag), bag, tuple(f"theme {number}" for number in range(5))).save(folder)


def read_topics(folder: Path) -> Any:
    """Return all of a saved topic model but when it was saved."""
    from minillm_lib.topics.topic_model import TopicModel

    found = TopicModel.load(folder)
    arrays = [found.lda.topic_word_, found.lda.doc_topic_, found.lda.z_, found.bag.counts.toarray()]
    return [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays] + [
        [*map(str, found.bag.vocabulary)],
        str(found.bag.report),
        str(found.lda.get_params()),
        [found.unit, *(found.labels or ())],
    ]


TOPICS = Work(
    _prepare_topics,
    lambda inputs: _topics(inputs, Path("model")),
    lambda folder: read_topics(folder / "model"),
    {"model": read_topics},
    make_old=lambda inputs: _topics(inputs, Path("model"), sweeps=5, seed=1),
)


def _prepare_saving(inputs: Path) -> None:
    _prepare_topics(inputs)
    _topics(inputs, inputs / "other", sweeps=3, seed=1)


def _save_again(inputs: Path, name: str = "warm") -> None:
    from minillm_lib.topics.topic_model import TopicModel

    TopicModel.load(inputs / name).save("model")


SAVING = Work(
    _prepare_saving,
    _save_again,
    lambda folder: read_topics(folder / "model"),
    {"model": read_topics},
    make_old=lambda inputs: _save_again(inputs, "other"),
)


@contextmanager
def _serving_downloads(inputs: Path) -> Iterator[None]:
    with dripping(_DOWNLOADED, seconds=0.3) as url:
        (inputs / "url").write_text(url, encoding="utf-8")
        yield


def _download(inputs: Path) -> None:
    from minillm_lib.io.download import Downloader

    sha256 = hashlib.sha256(_DOWNLOADED).hexdigest()
    with Downloader("cache", delay=0, backoff=0.01) as client:
        url = (inputs / "url").read_text(encoding="utf-8")
        client.download_file(url, "file.bin", size=len(_DOWNLOADED), sha256=sha256, progress=False)


DOWNLOADING = Work(
    lambda inputs: None,
    _download,
    lambda folder: sorted([path.name, digest(path)] for path in folder.iterdir() if path.is_file()),
    {"file.bin": digest},
    make_old=lambda inputs: Path("file.bin").write_bytes(b"an older file") and None,
    around=_serving_downloads,
)


def _prepare_export(inputs: Path) -> None:
    for seed in range(2):
        small_model(inputs, seed).save(inputs / f"{seed}.pt")


def _export(inputs: Path, seed: int = 0) -> None:
    for output in ("directory", "one.pt", "other.gguf"):
        minillm("export", output, "--ckpt", inputs / f"{seed}.pt")


EXPORTING = Work(
    _prepare_export,
    _export,
    lambda folder: {
        "directory": contents_of_model(folder / "directory"),
        "one.pt": contents_of_model(folder / "one.pt"),
        "other.gguf": digest(folder / "other.gguf"),
    },
    {"directory": contents_of_model, "one.pt": contents_of_model, "other.gguf": digest},
    make_old=lambda inputs: _export(inputs, 1),
)


def interruption_kinds() -> list[Kind]:
    """Return a kind of fault for each work, with how many are tried."""
    return [
        interruption("pretraining", PRETRAINING, 80),
        interruption("fine-tuning", SFT, 50),
        interruption("packing", PACKING, 30, n_quick=1),
        interruption("tokenizer training", TOKENIZER, 30, n_quick=1),
        interruption("topic models", TOPICS, 30, n_quick=1),
        interruption("saving topic models", SAVING, 30, n_quick=1),
        interruption("downloads", DOWNLOADING, 30, n_quick=1),
        interruption("exports", EXPORTING, 40, n_quick=1),
    ]
