"""What a training run does, as one typed and validated value; every key has its description below it.

This module does not import torch, so that a mistake in a configuration is found at once. Files and command lines are
read by :mod:`~minillm_lib.training.overrides`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, Field, PositiveFloat, field_validator, model_validator

from minillm_lib.io.wording import shown
from minillm_lib.model.config import PRESETS, ModelConfig, StrictConfig

Item = TypeVar("Item")
_MOST = 2**31 - 1  # larger numbers overflow the integers of the libraries below
Count = Annotated[int, Field(gt=0, le=_MOST)]
CountOrZero = Annotated[int, Field(ge=0, le=_MOST)]
VOCAB_SIZE = 6400
"""The number of pieces of a tokenizer whose size is not given, if the text yields so many."""


class ConfigError(ValueError):
    """A configuration that cannot be read; the message is one line, with the key, its value and what is allowed."""


def _not_empty(values: tuple[Item, ...]) -> tuple[Item, ...]:
    if not values:
        raise ValueError("at least one is needed")
    return values


class CorpusConfig(StrictConfig):
    """A corpus of ``minillm data list``."""

    name: str
    """Its name, as minillm data list shows it; files is your own text."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the corpus, as minillm data list shows them. Those of files are paths (files, folders or globs) and,
    if wanted, documents (what one document is: file, paragraph, line or row), separator, text_key and encoding."""
    repeat: Count = 1
    """How many times the training text contains it."""


class DataConfig(StrictConfig):
    """What a language model reads, and the tokenizer that splits it."""

    corpora: Annotated[tuple[CorpusConfig, ...], AfterValidator(_not_empty)] = (
        CorpusConfig(name="docstrings"),
    )
    """Corpora with name, options and repeat; their train splits are the training text, their validation splits the
    held-out text."""
    tokenizer: Path | None = None
    """A tokenizer.model, or a checkpoint that holds one; by default one is trained on the training text."""
    vocab_size: Count | None = None
    """Number of pieces of the tokenizer that is trained. By default 6,400, or as many as the text yields if that is
    fewer. The model takes the tokenizer's number."""
    packed: Path | None = None
    """A folder that minillm data pack has written: token files and their tokenizer, in place of corpora."""
    tokenizer_megabytes: PositiveFloat = 20.0
    """How much of each corpus the tokenizer is trained on, in megabytes."""
    folder: Path = Path("data")
    """Where token files are kept; each recipe has its own folder there, and is packed only once."""
    document_mask: bool = False
    """Keep attention within each document; by default a row is read as one text, across documents."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        others = ("tokenizer", "vocab_size", "corpora")
        given = [key for key in others if getattr(self, key) != type(self).model_fields[key].default]
        if self.packed is not None and given:
            raise ValueError(f"packed takes the place of {', '.join(given)}: leave them out, or packed")
        return self


Source = Literal["course-faq", "course-dialogues", "out-of-scope", "docstring-qa", "minimind-sft"]


class ConversationsConfig(StrictConfig):
    """A source of conversations: one that is known by its name, or your own files with ``path``.

    A source may be listed twice, once with ``answer_tokens`` or ``rewordings`` and once without.
    """

    name: Source | None = None
    """A source that comes with the course, or minimind-sft, which is downloaded."""
    path: Path | tuple[Path, ...] | None = None
    """Your own conversations, in place of a name: a file, a folder, a pattern such as chats/*.jsonl, or a list of them.
    Each record holds messages, {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]},
    or a question and an answer, {"question": "…", "answer": "…"}; JSON lines, JSON, CSV, Excel and Parquet are read."""
    held_out: float = Field(default=0.02, ge=0, lt=1)
    """Share of the conversations of files or of minimind-sft that is held out, chosen by a hash of each; at least one
    of two or more, unless it is 0."""
    repeat: Count = 1
    """How many times each conversation occurs in an epoch."""
    most: Count | None = None
    """Take at most this many conversations to train on; files are read no further."""
    rewordings: CountOrZero = 0
    """Replace each question by this many noisy rewordings of it (:func:`~minillm_lib.corpora.faq.reword`)."""
    answer_tokens: Count | None = None
    """Keep only this many tokens of each answer. Its beginning decides which answer it is, and
    several times as many questions fit into a step."""
    merge_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Leave out this share of the tokenizer's merges in what users say, anew in each repetition, so that the model sees
    the same words in other pieces, too (:mod:`~minillm_lib.tokenizer.merge_dropout`)."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the function that reads the source; for files, those of
    :func:`~minillm_lib.corpora.conversations.reading.read_conversations`: system, tools, reasoning, max_faulty_share, …
    """

    @property
    def paths(self) -> tuple[Path, ...]:
        """``path`` as a list, which is empty for a source with a name."""
        return (self.path,) if isinstance(self.path, Path) else self.path or ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.name is None) == (self.path is None):
            raise ValueError(
                f"give either name ({', '.join(get_args(Source))}) or path (files of conversations)"
            )
        return self


class ConversationDataConfig(StrictConfig):
    """What a chat model is trained on."""

    conversations: Annotated[tuple[ConversationsConfig, ...], AfterValidator(_not_empty)] = (
        ConversationsConfig(name="course-faq"),
        ConversationsConfig(name="docstring-qa"),
    )
    """Sources of conversations, each with a name or a path."""


class OptimizerConfig(StrictConfig):
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), or Muon on the blocks' matrices and AdamW on the rest.

    Muon's updates are scaled to the size of AdamW's (Liu et al. 2025, arXiv:2502.16982), so that one ``lr`` serves
    both; its products are computed in ``train.precision``.
    """

    name: Literal["adamw", "muon"] = "adamw"
    """AdamW, or Muon for the matrices of the blocks and AdamW for the rest."""
    lr: PositiveFloat = 1e-3
    """The peak of the learning rate."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled weight decay, on matrices only."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of AdamW's average of gradients."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of AdamW's average of squared gradients."""
    eps: PositiveFloat = 1e-8
    """Added to the denominator of AdamW's update."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Momentum of Muon."""


class ScheduleConfig(StrictConfig):
    """How the learning rate changes: linearly up over ``warmup_steps``, then as ``name`` says."""

    name: Literal["cosine", "wsd", "constant"] = "cosine"
    """Fall along a cosine; stay at the peak and then fall linearly (WSD, Hu et al. 2024, arXiv:2404.06395); or stay."""
    warmup_steps: CountOrZero = 50
    """Steps over which the learning rate rises to its peak."""
    steps: Count | None = None
    """The step in which the decay ends, and from which the rate stays as it is then; train.steps by default. A run that
    resumes with more steps keeps the schedule that it began with, unless this is given."""
    decay_share: float = Field(default=0.2, gt=0, le=1)
    """Share of the steps, at the end, over which wsd falls."""
    final_share: float = Field(default=0.1, ge=0, le=1)
    """The learning rate at the end of the decay as a share of the peak."""


class TrainConfig(StrictConfig):
    """The training loop. ``lr``, ``weight_decay`` and ``warmup_steps`` may be written here for short."""

    steps: Count = 1000
    """Optimizer steps of the whole run."""
    batch_size: Count = 8
    """Rows per step, over all processes."""
    micro_batch_size: Count | None = None
    """Rows that go through the model at a time; by default as many as make 4,096 tokens, and 16,384 on a
    CUDA device, which small parts would leave idle."""
    seq_len: Count | None = None
    """Tokens per row; the model's max_seq_len by default and, in fine-tuning, at most 2,048: other people's models have
    contexts of 32,768 and more, which few conversations fill."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimizer."""
    schedule: ScheduleConfig = ScheduleConfig()
    """The learning rate over the steps."""
    clip_norm: PositiveFloat | None = 1.0
    """Gradients with a larger norm are scaled down to this one; null turns that off."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Decides the initial weights, the order of the data and dropout."""
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """Type of the computations. auto takes bf16 on CUDA devices that support it, fp16 with a loss scaler on others, and
    elsewhere bf16 where the device has instructions for it (MPS; CPUs with AVX512-BF16 or AMX), else float32."""
    tf32: bool = True
    """Allow TF32 for float32 matrix products on CUDA."""
    compile: bool = False
    """Compile the blocks and the loss with torch.compile."""
    activation_checkpointing: bool = False
    """Recompute each block in the backward pass instead of keeping its activations: less memory, more time, the same
    results."""
    distributed: Literal["ddp", "fsdp"] = "ddp"
    """With several processes: keep the model in each (ddp), or shard it over them (fsdp, FSDP2)."""
    device: str | None = None
    """cpu, cuda, cuda:1, mps; the best available one by default."""
    on_nan: Literal["stop", "rollback"] = "stop"
    """When a loss or gradient is not finite: stop, or go back to the last checkpoint and skip the batch."""
    on_spike: Literal["warn", "stop", "rollback"] = "warn"
    """When a loss is far above the recent ones: warn, stop, or go back to the last checkpoint and skip the batch."""
    spike_deviations: PositiveFloat = 8.0
    """A loss is a spike this many standard deviations above the mean of the last hundred."""

    @model_validator(mode="before")
    @classmethod
    def _take_short_names(cls, values: Any) -> Any:
        """Let ``train.lr`` stand for ``train.optimizer.lr``, and so on for what people set most often."""
        return with_full_names(values) if isinstance(values, Mapping) else values

    def fine_tuning_seq_len(self, model: ModelConfig) -> int:
        """Return the tokens per row in which conversations are packed for a model."""
        return self.seq_len or min(model.max_seq_len, LONGEST_CONVERSATION)

    def rows_at_a_time(self, seq_len: int, n_processes: int = 1, *, on_gpu: bool = False) -> int:
        """Return how many rows of ``seq_len`` tokens go through the model at a time, in each process."""
        own = max(self.batch_size // n_processes, 1)
        most_tokens = _TOKENS_ON_A_GPU if on_gpu else _TOKENS_AT_A_TIME
        return min(own, self.micro_batch_size or max(most_tokens // seq_len, 1))


_TOKENS_AT_A_TIME = 4096
_TOKENS_ON_A_GPU = 16_384
LONGEST_CONVERSATION = 2048
"""The most tokens per row of conversations, if train.seq_len is not given."""

SHORT_NAMES: Mapping[str, tuple[str, str]] = {
    "lr": ("optimizer", "lr"),
    "weight_decay": ("optimizer", "weight_decay"),
    "warmup_steps": ("schedule", "warmup_steps"),
}
"""Keys of ``train`` that stand for one of a section in it."""


def with_full_names(train: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``train`` with each short name in its section.

    Raises
    ------
    ConfigError
        If a key is given under both names, or the section is no mapping.
    """
    values = dict(train)
    for short, (section, key) in SHORT_NAMES.items():
        if short not in values:
            continue
        inner = values.get(section) or {}
        if isinstance(inner, StrictConfig):
            inner = {name: getattr(inner, name) for name in inner.model_fields_set}
        if not isinstance(inner, Mapping):
            raise ConfigError(f"{section} is {shown(inner)}; it must hold keys with values, such as {key}")
        if key in inner:
            raise ConfigError(f"{short} is short for {section}.{key}: give one of them")
        values[section] = {**inner, key: values.pop(short)}
    return values


class EvaluationConfig(StrictConfig):
    """The loss on held-out text, and samples from fixed prompts, at regular intervals and at the end.

    A model that is sharded over processes (``train.distributed: fsdp``) writes no samples.
    """

    every: Count = 100
    """Steps between two evaluations."""
    max_tokens: Count = 100_000
    """The most held-out tokens to read, spread evenly over the text. A run that resumes with another number chooses its
    best model again, among those from there on."""
    prompts: tuple[str, ...] = ()
    """Texts that the model continues (in pretraining) or answers (in fine-tuning) at each evaluation."""
    sample_tokens: Count = 48
    """Tokens per sample."""


class CheckpointConfig(StrictConfig):
    """When to save, and what to keep; the best checkpoint by held-out loss is always kept."""

    every: Count = 100
    """Steps between two checkpoints."""
    keep_last: Count = 2
    """How many of the newest checkpoints to keep."""
    keep_every: Count | None = None
    """Also keep each checkpoint whose step is a multiple of this."""

    def most_kept(self, steps: int) -> int:
        """Return how many checkpoints there are at most after this many steps."""
        return self.keep_last + 1 + (steps // self.keep_every if self.keep_every else 0)


class LogConfig(StrictConfig):
    """Where metrics go besides ``metrics.jsonl``."""

    tensorboard: bool = False
    """Write TensorBoard event files to the run's folder."""
    wandb: str | None = None
    """Log to Weights & Biases, to the project of this name."""


class RunConfig(StrictConfig):
    """What pretraining and fine-tuning have in common."""

    run: Path
    """The run's folder: its configuration, metrics and checkpoints."""
    output: Path
    """Where the best model goes at the end: a directory, or a .pt file."""
    train: TrainConfig = TrainConfig()
    """The training loop."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Held-out loss and samples."""
    checkpoint: CheckpointConfig = CheckpointConfig()
    """Saving."""
    log: LogConfig = LogConfig()
    """Other places for the metrics."""
    ckpt: Path | None = None
    """The model to start from."""

    @property
    def stage(self) -> Literal["pretrain", "sft"]:
        """``"pretrain"`` or ``"sft"``."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        """Return every key with its value, defaults included, in JSON's types."""
        return self.model_dump(mode="json")


class PretrainConfig(RunConfig):
    """A run that learns to continue text: from random weights, or from a checkpoint."""

    run: Path = Path("runs/pretrain")
    """The run's folder: its configuration, metrics and checkpoints."""
    output: Path = Path("checkpoints/pretrain.pt")
    """Where the best model goes at the end: a directory, or a .pt file."""
    ckpt: Path | None = None
    """The model to train further, with its tokenizer. The keys of model must describe its shape; what changes no
    weight, such as max_seq_len and rope_scaling, may differ. The optimizer starts again, so the learning rate should
    warm up again, to a peak below that of the first run."""
    model: ModelConfig = ModelConfig()
    """The shape of the model; model.preset names one of those of minillm doctor. Without vocab_size, the model has as
    many ids as the tokenizer."""
    data: DataConfig = DataConfig()
    """The text, and its tokenizer."""

    @field_validator("model", mode="before")
    @classmethod
    def _named_model(cls, value: Any) -> Any:
        """Turn ``{"preset": "tiny", "qk_norm": true}`` into the keys of a model."""
        if isinstance(value, str):
            value = {"preset": value}
        if isinstance(value, Mapping) and "preset" in value:
            name, overrides = value["preset"], {key: value[key] for key in value if key != "preset"}
            if not isinstance(name, str) or name not in PRESETS:
                raise ValueError(f"unknown preset {shown(name)}; the presets are {', '.join(PRESETS)}")
            return {**PRESETS[name], **overrides}
        return value

    @property
    def stage(self) -> Literal["pretrain", "sft"]:
        """``"pretrain"``."""
        return "pretrain"

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        check_seq_len(self.train.seq_len, self.model, "the model")
        return self

    @property
    def seq_len(self) -> int:
        """Tokens per row."""
        return self.train.seq_len or self.model.max_seq_len

    @property
    def text(self) -> DataConfig:
        """``data`` with what other keys decide: the tokenizer of ``ckpt``, and the size of ``model.vocab_size``."""
        data = self.data
        if data.tokenizer is not None or data.packed is not None:
            return data
        if self.ckpt is not None:
            return data.replace(tokenizer=self.ckpt)
        if data.vocab_size is None and (self.model_vocab_size or VOCAB_SIZE) < VOCAB_SIZE:
            return data.replace(vocab_size=self.model_vocab_size)
        return data

    @property
    def model_vocab_size(self) -> int | None:
        """``model.vocab_size`` if it is given; without it, the model takes the tokenizer's."""
        return self.model.vocab_size if "vocab_size" in self.model.model_fields_set else None


def check_seq_len(seq_len: int | None, model: ModelConfig, whose: str) -> None:
    """Check that rows of ``train.seq_len`` fit into a model.

    Raises
    ------
    ConfigError
        If not; the message names the length and the model's limit, as that of ``whose``.
    """
    longest = model.context_length
    if seq_len is not None and seq_len > longest:
        key = "max_seq_len" if longest == model.max_seq_len else "context_length"
        raise ConfigError(f"train.seq_len={seq_len} is longer than the {key}={longest} of {whose}")


class SFTConfig(RunConfig):
    """A run that teaches a pretrained model to answer."""

    run: Path = Path("runs/sft")
    """The run's folder: its configuration, metrics and checkpoints."""
    output: Path = Path("checkpoints/sft.pt")
    """Where the best model goes at the end: a directory, or a .pt file."""
    ckpt: Path = Path("checkpoints/pretrain.pt")
    """The pretrained model, with its tokenizer."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Share of the activations and attention weights that are set to 0 at random in training; as in the checkpoint by
    default."""
    data: ConversationDataConfig = ConversationDataConfig()
    """The conversations."""

    @property
    def stage(self) -> Literal["pretrain", "sft"]:
        """``"sft"``."""
        return "sft"
