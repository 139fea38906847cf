"""What a training run does, as one typed and validated value: from YAML, each key overridable on the command line.

This module does not import torch, so that a mistake in a configuration is found at once.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from minillm_lib.model.config import PRESETS, ModelConfig, StrictConfig

Item = TypeVar("Item")


class ConfigError(ValueError):
    """A configuration that cannot be read; the message is one line, with the key, its value and what is allowed."""


def _not_empty(values: tuple[Item, ...]) -> tuple[Item, ...]:
    if not values:
        raise ValueError("at least one is needed")
    return values


class CorpusConfig(StrictConfig):
    """A corpus of ``minillm data list`` with its options; ``repeat`` times over in the training text."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    repeat: PositiveInt = 1


class DataConfig(StrictConfig):
    """What a language model reads, and the tokenizer that cuts it.

    Parameters
    ----------
    corpora
        Their ``train`` splits are the training text, their ``validation`` splits the held-out text.
    tokenizer
        A ``tokenizer.model``, or a checkpoint that holds one; by default one is trained on the training text.
    vocab_size, tokenizer_megabytes
        Of the tokenizer that is trained: its number of pieces, and how much of each corpus it sees.
    folder
        Where token files are kept; each recipe has a folder of its own there, and is packed only once.
    document_mask
        Keep attention within each document; by default a row is read as one text, across documents.
    """

    corpora: Annotated[tuple[CorpusConfig, ...], AfterValidator(_not_empty)] = (
        CorpusConfig(name="docstrings"),
    )
    tokenizer: Path | None = None
    vocab_size: PositiveInt = 6400
    tokenizer_megabytes: PositiveFloat = 20.0
    folder: Path = Path("data")
    document_mask: bool = False


Source = Literal["course-faq", "docstring-qa"]


class ConversationsConfig(StrictConfig):
    """A source of conversations: ``course-faq``, ``docstring-qa``, or a file of one's own with ``path``.

    A file has no test split: ``held_out`` is the share of its conversations that is set aside, chosen by hash.
    ``repeat`` counts how often each conversation stands in an epoch, ``most`` how many are taken at most.
    With ``rewordings``, so many noisy wordings of each question take the place of the question itself
    (:func:`~minillm_lib.corpora.faq.reword`). With ``answer_tokens``, only the first so many tokens of each
    answer are trained on, and the rest is left out: which answer is the right one shows there, and several times as
    many questions fit into a step. A source may be listed twice, as it is and so.
    """

    name: Source | None = None
    path: Path | None = None
    held_out: float = Field(default=0.02, ge=0, lt=1)
    repeat: PositiveInt = 1
    most: PositiveInt | None = None
    rewordings: NonNegativeInt = 0
    answer_tokens: PositiveInt | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.name is None) == (self.path is None):
            raise ValueError(
                "give either name (course-faq or docstring-qa) or path (a file of conversations)"
            )
        return self


class ConversationDataConfig(StrictConfig):
    """What a chat model is trained on."""

    conversations: Annotated[tuple[ConversationsConfig, ...], AfterValidator(_not_empty)] = (
        ConversationsConfig(name="course-faq"),
        ConversationsConfig(name="docstring-qa"),
    )


class OptimizerConfig(StrictConfig):
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), or Muon on the blocks' matrices and AdamW on the rest.

    Weight decay acts on matrices only. Muon's updates are scaled to the size of AdamW's (Liu et al. 2025,
    arXiv:2502.16982), so that one ``lr`` serves both; its products are computed in ``train.precision``.
    """

    name: Literal["adamw", "muon"] = "adamw"
    lr: PositiveFloat = 1e-3
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eps: PositiveFloat = 1e-8
    momentum: float = Field(default=0.95, ge=0, lt=1)


class ScheduleConfig(StrictConfig):
    """How the learning rate goes: up in a straight line over ``warmup_steps``, then as ``name`` says.

    ``cosine`` falls to ``final_share`` of the peak by the last step; ``wsd`` stays at the peak and falls in a
    straight line over the last ``decay_share`` of the steps (Hu et al. 2024, arXiv:2404.06395); ``constant`` stays.
    """

    name: Literal["cosine", "wsd", "constant"] = "cosine"
    warmup_steps: NonNegativeInt = 50
    decay_share: float = Field(default=0.2, gt=0, le=1)
    final_share: float = Field(default=0.1, ge=0, le=1)


class TrainConfig(StrictConfig):
    """The loop.

    Parameters
    ----------
    steps
        Optimizer steps of the whole run.
    batch_size, micro_batch_size
        Rows of a step, over all processes; and how many of them go through the model at a time. The default is as
        many as make 4,096 tokens.
    seq_len
        Tokens of a row; the model's ``max_seq_len`` by default.
    clip_norm
        The gradient is scaled down to this norm where it is longer; null never does so.
    seed
        Decides the initial weights, the order of the data and dropout.
    precision
        ``auto`` is bf16 on CUDA devices that have it and fp16 with a scaler on others; elsewhere bf16 where the device
        has instructions for it (MPS; CPUs with AVX512-BF16 or AMX), and float32 where bf16 would be slower.
    activation_checkpointing
        Recompute each block in the backward pass instead of keeping its activations: less memory, more time, and the
        same results. For pretraining it may also be a key of the model.
    distributed
        With several processes: ``ddp`` keeps the model in each, ``fsdp`` shares it out (FSDP2).
    on_nan, on_spike
        What a loss or gradient that is not finite, and a loss far above the recent ones, lead to: ``stop``,
        ``rollback`` to the last checkpoint without the batch, or, for a spike, ``warn``.
    spike_deviations
        A loss counts as a spike this many standard deviations above the mean of the last hundred.
    """

    steps: PositiveInt = 1000
    batch_size: PositiveInt = 8
    micro_batch_size: PositiveInt | None = None
    seq_len: PositiveInt | None = None
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    clip_norm: PositiveFloat | None = 1.0
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    tf32: bool = True
    compile: bool = False
    activation_checkpointing: bool = False
    distributed: Literal["ddp", "fsdp"] = "ddp"
    device: str | None = None
    on_nan: Literal["stop", "rollback"] = "stop"
    on_spike: Literal["warn", "stop", "rollback"] = "warn"
    spike_deviations: PositiveFloat = 8.0

    @model_validator(mode="before")
    @classmethod
    def _take_short_names(cls, values: Any) -> Any:
        """``train.lr`` stands for ``train.optimizer.lr``, and so on for what people set most often."""
        return _with_full_names(values) if isinstance(values, Mapping) else values

    def rows_at_a_time(self, seq_len: int, n_processes: int = 1) -> int:
        """How many rows of ``seq_len`` tokens go through the model at a time, in each process."""
        own = max(self.batch_size // n_processes, 1)
        return min(own, self.micro_batch_size or max(_TOKENS_AT_A_TIME // seq_len, 1))


_TOKENS_AT_A_TIME = 4096

_RUN_FOLDER = "run_folder"
"""Another name for ``run``: torchrun takes ``--run`` for an abbreviation of options of its own, and stops."""

_SHORT_NAMES = {
    "lr": ("optimizer", "lr"),
    "weight_decay": ("optimizer", "weight_decay"),
    "warmup_steps": ("schedule", "warmup_steps"),
}


def _with_full_names(train: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ``train`` with each short name where it belongs."""
    values = dict(train)
    for short, (section, key) in _SHORT_NAMES.items():
        if short not in values:
            continue
        inner = values.get(section) or {}
        if isinstance(inner, StrictConfig):
            inner = {name: getattr(inner, name) for name in inner.model_fields_set}
        if not isinstance(inner, Mapping):
            raise ConfigError(f"{section} is {inner!r}; it must hold keys with values, such as {key}")
        if key in inner:
            raise ConfigError(f"{short} is short for {section}.{key}: give one of them")
        values[section] = {**inner, key: values.pop(short)}
    return values


class EvaluationConfig(StrictConfig):
    """Every so many steps, and at the end: the loss on held-out text, and samples from fixed prompts.

    A model that is shared out over processes (``train.distributed: fsdp``) writes no samples.
    """

    every: PositiveInt = 100
    max_tokens: PositiveInt = 100_000
    prompts: tuple[str, ...] = ()
    sample_tokens: PositiveInt = 48


class CheckpointConfig(StrictConfig):
    """When to save, and what to keep: the last few, the best by held-out loss, and every so many steps."""

    every: PositiveInt = 100
    keep_last: PositiveInt = 2
    keep_every: PositiveInt | None = None

    def most_kept(self, steps: int) -> int:
        """How many checkpoints there are at most after so many steps."""
        return self.keep_last + 1 + (steps // self.keep_every if self.keep_every else 0)


class LogConfig(StrictConfig):
    """Where metrics go beside ``metrics.jsonl``."""

    tensorboard: bool = False
    wandb: str | None = Field(default=None, description="the project's name")


def _named_model(value: Any) -> Any:
    """``{"preset": "tiny", "qk_norm": true}`` as the keys of a model."""
    if isinstance(value, str):
        value = {"preset": value}
    if isinstance(value, Mapping) and "preset" in value:
        name, overrides = value["preset"], {key: value[key] for key in value if key != "preset"}
        if not isinstance(name, str) or name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}; there are {', '.join(PRESETS)}")
        return {**PRESETS[name], **overrides}
    return value


class RunConfig(StrictConfig):
    """What pretraining and fine-tuning have in common.

    Parameters
    ----------
    run
        The run's folder: its configuration, metrics and checkpoints.
    output
        Where the best model goes at the end: a directory, or a ``.pt`` file.
    """

    run: Path
    output: Path
    train: TrainConfig = TrainConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    log: LogConfig = LogConfig()

    @property
    def stage(self) -> str:
        """``"pretrain"`` or ``"sft"``."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        """Every key with its value, defaults included, in JSON's types."""
        return self.model_dump(mode="json")


class PretrainConfig(RunConfig):
    """A run that learns to continue text: from nothing, or on from a checkpoint.

    Parameters
    ----------
    ckpt
        The model to go on from, with its tokenizer. ``model`` must have its shape; what changes no weight, such as
        ``max_seq_len`` and ``rope_scaling``, may differ. The optimizer begins anew, so the learning rate should warm
        up again, to a peak below that of the first run.
    """

    run: Path = Path("runs/pretrain")
    output: Path = Path("checkpoints/pretrain.pt")
    ckpt: Path | None = None
    model: Annotated[ModelConfig, BeforeValidator(_named_model)] = ModelConfig()
    data: DataConfig = DataConfig()

    @property
    def stage(self) -> str:
        return "pretrain"

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        longest = self.model.context_length
        if self.train.seq_len is not None and self.train.seq_len > longest:
            key = "max_seq_len" if longest == self.model.max_seq_len else "context_length"
            raise ValueError(f"train.seq_len={self.train.seq_len} is longer than the model's {key}={longest}")
        return self

    @property
    def seq_len(self) -> int:
        """Tokens of a row."""
        return self.train.seq_len or self.model.max_seq_len

    @property
    def text(self) -> DataConfig:
        """``data``, with the tokenizer of ``ckpt`` where another is not named."""
        if self.ckpt is None or self.data.tokenizer is not None:
            return self.data
        return self.data.replace(tokenizer=self.ckpt)


class SFTConfig(RunConfig):
    """A run that teaches a pretrained model to answer."""

    run: Path = Path("runs/sft")
    output: Path = Path("checkpoints/sft.pt")
    ckpt: Path = Path("checkpoints/pretrain.pt")
    data: ConversationDataConfig = ConversationDataConfig()

    @property
    def stage(self) -> str:
        return "sft"


Config = TypeVar("Config", bound=RunConfig)


def kind_of_config(path: str | os.PathLike[str]) -> type[PretrainConfig] | type[SFTConfig]:
    """Whether a YAML file is for pretraining or for fine-tuning, by the keys that only one of them has.

    Raises ``ConfigError`` if there is no such file, or it is no mapping.
    """
    values = _read_yaml(Path(path))
    data = values.get("data")
    section = data if isinstance(data, Mapping) else {}
    is_pretraining = "model" in values or "corpora" in section
    return (
        SFTConfig
        if "conversations" in section or ("ckpt" in values and not is_pretraining)
        else PretrainConfig
    )


def load_config(
    kind: type[Config], path: str | os.PathLike[str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Config:
    """Read a configuration from YAML and change some of its keys.

    Parameters
    ----------
    overrides
        Values by dotted key, ``{"train.lr": 3e-4}``. A section goes before its own keys, whatever their order here.

    Raises
    ------
    ConfigError
        If the file is missing or no mapping; if a key is unknown or a value not allowed.
    """
    values = {} if path is None else _read_yaml(Path(path))
    broadest_first = sorted((overrides or {}).items(), key=lambda override: override[0].count("."))
    try:
        for key, value in broadest_first:
            _override(values, _full_name(kind, key, value), value)
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(in_one_line(error)) from None


def _override(values: dict[str, Any], key: str, value: Any) -> None:
    """Set what a dotted key leads to, leaving all beside it as it is."""
    *sections, last = key.split(".")
    for depth, section in enumerate(sections, 1):
        inner = values.get(section) or {}
        if section == "model" and isinstance(inner, str):
            inner = {"preset": inner}
        if not isinstance(inner, Mapping):
            raise ConfigError(f"{'.'.join(sections[:depth])} is {inner!r}; it must hold keys with values")
        if section == "train":
            try:
                inner = _with_full_names(inner)
            except ConfigError as error:
                raise ConfigError(f"train: {error}") from None
        values[section] = dict(inner)
        values = values[section]
    values[last] = value


def in_one_line(error: ValidationError) -> str:
    """What a configuration gets wrong: each key with its value and what is allowed."""
    return "; ".join(map(_fault_in_words, error.errors()))


def _fault_in_words(fault: Any) -> str:
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "value_error":  # one of ours, which names the value itself
        message = str(fault["ctx"]["error"])
        return f"{key}: {message}" if key else message
    return f"{key} is {fault['input']!r}: {fault['msg']}"


class _StrictLoader(yaml.SafeLoader):
    """YAML in which no key may stand twice in a mapping; ordinary YAML lets the second one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} stands there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration {path}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold keys with values, such as 'train:'; it holds {values!r}")
    return values


def _parse(text: str) -> Any:
    return yaml.load(text, _StrictLoader)


def parse_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """``["--train.lr", "3e-4", "--log.tensorboard=true"]`` as values by dotted key.

    Lists, mappings and ``null`` are written as in YAML; all else stays text, which the configuration converts.

    Raises
    ------
    ConfigError
        If an argument is no ``--key``, a value is missing, or a list or mapping is not closed.
    """
    overrides: dict[str, Any] = {}
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("--"):
            raise ConfigError(f"{argument!r} is no option; keys are overridden as in --train.lr 3e-4")
        key, equals, value = argument.removeprefix("--").partition("=")
        if not equals:
            value = next(remaining, "")
        if not value or value.startswith("--"):
            raise ConfigError(f"--{key} needs a value, as in --train.lr 3e-4")
        overrides[key] = _value(key, value)
    return overrides


def _value(key: str, text: str) -> Any:
    if not text.startswith(("[", "{")) and text not in ("null", "~"):
        return text
    try:
        return _parse(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigError(f"--{key} is {text!r}, which is no list or mapping: {problem}") from None


def _full_name(kind: type[StrictConfig], key: str, value: Any) -> str:
    """A dotted key without short names; one that leads nowhere is an error, with the nearest that exists."""
    if key == _RUN_FOLDER:
        return "run"
    keys = list(_keys(kind))
    section, _, last = key.rpartition(".")
    if key not in keys:
        ends_so = sorted((name for name in keys if name.endswith(f".{key}")), key=len)
        close = ends_so or difflib.get_close_matches(key, keys, n=1)
        hint = f"; did you mean --{close[0]}?" if close else ""
        known = [name for name in keys if name.rpartition(".")[0] == section] or list(kind.model_fields)
        raise ConfigError(
            f"unknown key --{key} (value {value!r}){hint}; the keys there are {', '.join(known)}"
        )
    return ".".join(("train", *_SHORT_NAMES[last])) if section == "train" and last in _SHORT_NAMES else key


def _keys(kind: type[StrictConfig], prefix: str = "") -> Iterator[str]:
    """All dotted keys of a configuration."""
    for name, field in kind.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, StrictConfig):
            yield from _keys(field.annotation, f"{prefix}{name}.")
    if kind is TrainConfig:
        yield from (prefix + short for short in _SHORT_NAMES)
    if kind is ModelConfig:
        yield f"{prefix}preset"


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys at which two configurations, as :meth:`RunConfig.as_json` gives them, differ, with both values."""
    for key in {**before, **now}:
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}", old, new
