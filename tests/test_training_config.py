from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, strategies as st
from torch.distributed.run import get_args_parser

from minillm_lib.model.config import PRESETS, ModelConfig
from minillm_lib.training.config import ConfigError, OptimizerConfig, PretrainConfig, SFTConfig, TrainConfig
from minillm_lib.training.overrides import differences, load_config, parse_overrides

ROOT = Path(__file__).parent.parent


@pytest.fixture
def load(tmp_path):
    """Load a configuration from YAML text and command-line arguments."""

    def load(text="", *arguments, kind=PretrainConfig):
        path = None
        if text:
            path = tmp_path / "config.yaml"
            path.write_text(text, encoding="utf-8")
        return load_config(kind, path, parse_overrides(arguments))

    return load


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_configuration_that_is_shipped_is_valid(path):
    kind = SFTConfig if path.name.startswith("sft") else PretrainConfig
    assert load_config(kind, path).stage == kind().stage


def test_the_configurations_that_the_readme_names_are_there():
    names = {path.name for path in (ROOT / "configs").glob("*.yaml")}
    assert names >= {"pretrain.yaml", "sft.yaml", "pretrain-tiny.yaml", "sft-tiny.yaml"}


def test_what_it_writes_reads_back_as_the_same(load):
    config = load("model: {preset: tiny, qk_norm: true}\ntrain: {lr: 3e-4, clip_norm: null}")
    assert load(yaml.safe_dump(config.as_json())) == config
    sft = load("ckpt: a.pt\ndata: {conversations: [{path: mine.jsonl, most: 7}]}", kind=SFTConfig)
    assert load(yaml.safe_dump(sft.as_json()), kind=SFTConfig) == sft


@pytest.mark.parametrize(
    ("arguments", "key", "value"),
    [
        (["--train.lr", "3e-4"], "train.optimizer.lr", 3e-4),
        (["--train.lr=3e-4"], "train.optimizer.lr", 3e-4),
        (["--train.weight_decay", "0"], "train.optimizer.weight_decay", 0.0),
        (["--train.warmup_steps", "7"], "train.schedule.warmup_steps", 7),
        (["--train.optimizer.name", "muon"], "train.optimizer.name", "muon"),
        (["--train.clip_norm", "null"], "train.clip_norm", None),
        (["--train.compile", "true"], "train.compile", True),
        (["--train.device", "cpu"], "train.device", "cpu"),
        (["--evaluation.prompts", '["a, b", "主题"]'], "evaluation.prompts", ["a, b", "主题"]),
        (["--log.wandb", "2024"], "log.wandb", "2024"),
        (["--run", "2024-01-01"], "run", "2024-01-01"),
        (["--run_folder", "runs/7"], "run", "runs/7"),
        (["--output", "x=y.pt"], "output", "x=y.pt"),
        (["--model", "tiny"], "model.hidden_size", PRESETS["tiny"]["hidden_size"]),
        (["--model.preset", "tiny"], "model.hidden_size", PRESETS["tiny"]["hidden_size"]),
        (["--model", "tiny", "--model.qk_norm", "true"], "model.qk_norm", True),
        (["--model.hidden_size", "384", "--model", "tiny"], "model.hidden_size", 384),
        (["--model.rope_scaling", "{rope_type: linear, factor: 2}"], "model.rope_scaling.factor", 2.0),
    ],
)
def test_any_key_is_overridden(load, arguments, key, value):
    found = load("", *arguments).as_json()
    for part in key.split("."):
        found = found[part]
    assert found == value


def test_torchrun_takes_no_key_for_an_option_of_its_own():
    """It reads also what stands behind the script, and an abbreviation there is an error (before Python 3.13)."""
    options = [name for action in get_args_parser()._actions for name in action.option_strings]
    keys = {*PretrainConfig.model_fields, *SFTConfig.model_fields, "run_folder"}
    taken = {key for key in keys if any(option.startswith(f"--{key}") for option in options)}
    assert taken == {"run", "log"}, "run has another name, run_folder; log is a section, its keys are given"


def test_an_override_leaves_what_stands_beside_it(load):
    text = "model: tiny\ntrain: {optimizer: {name: muon, lr: 0.1}, schedule: {name: wsd}, steps: 5}"
    config = load(text, "--train.lr", "0.2", "--train.warmup_steps", "3", "--model.dropout", "0.1")
    assert config.train.optimizer == OptimizerConfig(name="muon", lr=0.2)
    assert (config.train.schedule.name, config.train.schedule.warmup_steps) == ("wsd", 3)
    assert config.train.steps == 5
    assert config.model == ModelConfig.from_preset("tiny", dropout=0.1)


@pytest.mark.parametrize("written", ["lr: 0.1", "optimizer: {lr: 0.1}"])
@pytest.mark.parametrize("option", ["--train.lr", "--train.optimizer.lr"])
def test_an_override_wins_whichever_name_either_uses(load, written, option):
    assert load(f"train: {{{written}}}", option, "0.5").train.optimizer.lr == 0.5


def test_a_preset_fills_in_what_depends_on_the_changed_keys(load):
    assert load("model: {preset: 26m, hidden_size: 256}").model.head_dim == 32


def test_short_names_work_from_python():
    assert TrainConfig(lr=0.3).optimizer.lr == 0.3
    config = TrainConfig(lr=0.3, optimizer=OptimizerConfig(name="muon"))
    assert config.optimizer == OptimizerConfig(name="muon", lr=0.3)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (
            "train: {stepz: 3}",
            [],
            "train: unknown key 'stepz' (value 3); did you mean 'steps'?; the keys are steps,",
        ),
        ("train: {steps: 0}", [], "train.steps is 0: Input should be greater than 0"),
        ("train: {lr: -1}", [], "train.optimizer.lr is -1: Input should be greater than 0"),
        ("train: {lr: .nan}", [], "train.optimizer.lr is nan: Input should be"),
        ("train: {lr: 1, optimizer: {lr: 2}}", [], "train: lr is short for optimizer.lr: give one of them"),
        (
            "train: {precision: fp8}",
            [],
            "train.precision is 'fp8': Input should be 'auto', 'float32', 'bf16' or 'fp16'",
        ),
        ("train: {seed: 4294967296}", [], "train.seed is 4294967296: Input should be less than 2147483648"),
        ("train: 3", ["--train.lr", "1"], "train is 3; it must hold keys with values"),
        (
            "train: {optimizer: adamw, lr: 1}",
            [],
            "train: optimizer is 'adamw'; it must hold keys with values",
        ),
        ("model: [1]", [], "model is [1]: Input should be keys with values"),
        ("model: huge", [], "model: unknown preset 'huge'; the presets are nano, tiny, 26m"),
        ("model: {preset: [1]}", [], "model: unknown preset [1]; the presets are nano"),
        (
            "model: {preset: tiny, hidden_size: 100}",
            [],
            "model: hidden_size=100 must be a multiple of n_heads=6",
        ),
        (
            "model: tiny",
            ["--train.seq_len", "900"],
            "train.seq_len=900 is longer than the max_seq_len=512 of the model",
        ),
        ("data: {corpora: []}", [], "data.corpora: at least one is needed"),
        ("data: {corpora: docstrings}", [], "data.corpora is 'docstrings': Input should be a list"),
        ("data: {corpora: [{name: grammar, opts: 1}]}", [], "data.corpora.0: unknown key 'opts' (value 1)"),
        ("start: a.pt", [], "unknown key 'start' (value 'a.pt')"),
        ("", ["--trian.lr", "3"], "unknown key --trian.lr (value '3'). Did you mean --train.lr?"),
        ("", ["--lr", "3"], "unknown key --lr (value '3'). Did you mean --train.lr?"),
        (
            "",
            ["--train.optimizer.mu", "3"],
            "The keys of train.optimizer are train.optimizer.name, train.optimizer.lr",
        ),
        ("", ["--train.lr", "fast"], "train.optimizer.lr is 'fast': Input should be a valid number"),
        ("", ["--train.lr", "[1"], "--train.lr is '[1', which is no list or mapping"),
        ("", ["--train.lr"], "--train.lr needs a value, as in --train.lr 3e-4"),
        ("", ["--train.lr", "--train.steps", "3"], "--train.lr needs a value"),
        ("", ["--train.lr="], "--train.lr needs a value"),
        ("", ["fast"], "'fast' is no option; keys are overridden as in --train.lr 3e-4"),
        ("- 3", [], "must hold keys with values, such as 'train:'; it holds [3]"),
        ("# nothing", [], "it is empty"),
        ("train:\n  steps: [", [], "config.yaml is no configuration: line 2, column 11: "),
        ("1: 2", [], "unknown key 1 (value 2)"),
        ("train:\n\tsteps: 1", [], "line 2, column 1: found character"),
        (f"train: {{steps: 1{'0' * 30}}}", [], "train.steps is 10000000"),
        (f"train: {{steps: 0x{'f' * 5000}}}", [], "train.steps is <int that is too long to be shown>"),
        (
            "train: {lr: 1}\ntrain: {steps: 4}",
            [],
            "config.yaml is no configuration: line 2, column 1: the key 'train' occurs twice",
        ),
    ],
)
def test_a_mistake_is_named_in_one_line(load, text, arguments, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        load(text, *arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{most: 3}", "data.conversations.0: give either name (course-faq, course-dialogues, "),
        ("{name: course-faq, path: a.jsonl}", "data.conversations.0: give either name"),
        (
            "{name: mine}",
            "data.conversations.0.name is 'mine': Input should be 'course-faq', 'course-dialogues', ",
        ),
        ("{path: a.jsonl, held_out: 1}", "data.conversations.0.held_out is 1: Input should be less than 1"),
    ],
)
def test_so_is_one_in_the_conversations(load, text, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(f"data: {{conversations: [{text}]}}", kind=SFTConfig)


def test_two_mistakes_are_named_at_once(load):
    with pytest.raises(ConfigError, match=r"train\.steps is 0: .*; train\.optimizer\.lr is -1: "):
        load("train: {steps: 0, lr: -1}")


def test_a_file_that_is_not_there_or_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no configuration .*missing\.yaml"):
        load_config(PretrainConfig, tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read: .* is a folder"):
        load_config(PretrainConfig, tmp_path)
    (tmp_path / "latin.yaml").write_bytes("run: é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml is no configuration: line 1 is not UTF-8"):
        load_config(PretrainConfig, tmp_path / "latin.yaml")


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
KEYS = st.sampled_from(["lr", "optimizer", "name", "preset", "x"])


@given(
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
    )
)
def test_no_value_of_a_section_leads_to_another_kind_of_error(value):
    for section in ("train", "model", "data", "evaluation"):
        message = None
        try:
            load_config(PretrainConfig, None, {section: value, "train.lr": 0.1, "model.dropout": 0.1})
        except ConfigError as error:
            message = str(error)
        assert message is None or message.startswith((section, "unknown key --"))


def test_differences_are_named_by_their_dotted_keys(load):
    before, now = (
        load("model: tiny").as_json(),
        load("model: nano\ntrain: {lr: 0.5, clip_norm: null}").as_json(),
    )
    found = {key: (old, new) for key, old, new in differences(before, now)}
    assert found["train.optimizer.lr"] == (1e-3, 0.5)
    assert found["train.clip_norm"] == (1.0, None)
    assert found["model.hidden_size"] == (192, 64)
    assert not any(key.startswith("data") for key in found)
    assert not list(differences(now, now))


def test_a_configuration_is_checked_without_loading_torch():
    code = (
        "import sys; from minillm_lib.training import PretrainConfig, load_config;"
        "load_config(PretrainConfig); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_a_file_alone_tells_which_kind_of_run_it_is():
    assert isinstance(load_config(ROOT / "configs" / "pretrain.yaml"), PretrainConfig)
    tuned = load_config(ROOT / "configs" / "sft.yaml", overrides={"train.steps": 7})
    assert isinstance(tuned, SFTConfig)
    assert tuned.train.steps == 7
