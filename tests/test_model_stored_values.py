"""Whatever a checkpoint holds, it is loaded as it is meant, or refused in a sentence, and nothing large is built."""

from __future__ import annotations

import json
import math
import struct
import zipfile

import pytest
import torch

from minillm_lib.model import weights
from minillm_lib.model.checkpoint import CheckpointError, load_checkpoint
from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.stored_values import mapping_of_values, read_json

DEEP = 100_000
NORM = "model.norm.weight"


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """A folder and a file without checksums, as somebody else may have made them."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "intermediate_size": 24}
    path = tmp_path_factory.mktemp("intact")
    model = MiniLLM(ModelConfig(vocab_size=40, max_seq_len=32, **shape))
    for name in ("model", "model.pt"):
        model.save(path / name)
    return path


@pytest.fixture
def folder(intact, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((intact / "model" / name).read_bytes())
    return tmp_path


def refusal(path):
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 1000
    return message


VALUES = [
    (
        "num_hidden_layers",
        10**6,
        "layers.1.input_layernorm.weight is missing; the configuration expects (16,) in each of 1,000,000 layers",
    ),
    (
        "num_hidden_layers",
        10**30,
        "num_hidden_layers is 1000000000000000000000000000000: Input should be less than",
    ),
    ("num_hidden_layers", 0, "num_hidden_layers is 0: Input should be greater than 0"),
    ("num_hidden_layers", -1, "num_hidden_layers is -1: Input should be greater than 0"),
    ("num_hidden_layers", 1.0, "num_hidden_layers is 1.0; it must be a whole number"),
    ("num_hidden_layers", "1", "num_hidden_layers is '1'; it must be a whole number"),
    ("num_hidden_layers", True, "num_hidden_layers is True; it must be a whole number"),
    ("num_hidden_layers", [1], "num_hidden_layers is [1]; it must be a whole number"),
    ("hidden_size", 10**30, "hidden_size is 1000000000000000000000000000000: Input should be less than"),
    ("hidden_size", 2**31 - 2, "has the shape (40, 16), but the configuration expects (40, 2147483646)"),
    ("vocab_size", 2**31 - 1, "has the shape (40, 16), but the configuration expects (2147483647, 16)"),
    (
        "num_attention_heads",
        2**31 - 1,
        "n_kv_heads=2 must divide n_heads=2147483647; allowed: [1, 2147483647]",
    ),
    ("max_position_embeddings", 10**30, "max_position_embeddings is 1000"),
    ("rms_norm_eps", "small", "rms_norm_eps is 'small'; it must be a number"),
    ("rms_norm_eps", -1, "rms_norm_eps is -1: Input should be greater than 0"),
    ("tie_word_embeddings", "yes", "tie_word_embeddings is 'yes'; it must be true or false"),
    ("rope_theta", 0, "rope_theta is 0: Input should be greater than 1"),
    ("rope_theta", "1e4", "rope_theta is '1e4'; it must be a number"),
    ("rope_theta", 10**400, "rope_theta is 1000"),
    ("rope_scaling", 5, "rope_scaling is 5; it must be null, or a mapping with the key rope_type"),
    ("rope_scaling", [1], "rope_scaling is [1]; it must be"),
    ("rope_scaling", "yarn", "rope_scaling is 'yarn'; it must be"),
    ("layer_types", 5, "layer_types has 5"),
    ("layer_types", [["a"]], "layer_types has ['a']"),
    ("model_type", 7, "model_type is 7; this package reads"),
    ("model_type", ["llama"], "model_type is ['llama']; this package reads"),
    ("minillm_stage", [1], "minillm_stage is [1]; it must be one of"),
    ("minillm_tokenizer", 5, "minillm_tokenizer is 5; it must have the strings"),
]


@pytest.mark.parametrize(
    ("key", "value", "words"), VALUES, ids=[f"{key}={str(value)[:9]}" for key, value, _ in VALUES]
)
def test_a_value_of_a_configuration_is_refused_with_its_key(folder, key, value, words):
    values = json.loads((folder / "config.json").read_text()) | {key: value}
    if key == "num_attention_heads":
        values["num_key_value_heads"] = 2
    (folder / "config.json").write_text(json.dumps(values))
    assert words in refusal(folder)


@pytest.mark.parametrize(
    ("scaling", "words"),
    [
        ({"rope_type": "yarn", "factor": "4"}, "rope_scaling.factor is '4'; it must be a number"),
        ({"rope_type": ["yarn"], "factor": 4}, "rope_scaling.rope_type is ['yarn']; it must be a string"),
        (
            {"rope_type": "yarn", "factor": 0.5},
            "rope_scaling.yarn.factor is 0.5: Input should be greater than or equal",
        ),
        ({"rope_type": "yarn", "factor": 2, "beta_slow": 1e308, "beta_fast": 1e308}, "no model can be built"),
        ({"rope_type": "linear", "factor": 2, "rope_theta": [1]}, "rope_theta is [1]; it must be a number"),
    ],
)
def test_a_scaling_is_refused_with_its_key(folder, scaling, words):
    values = json.loads((folder / "config.json").read_text()) | {"rope_scaling": scaling}
    (folder / "config.json").write_text(json.dumps(values))
    assert words in refusal(folder)


def test_layers_are_not_built_before_their_tensors_are_known(folder, monkeypatch):
    built, without_data = [], weights._without_data

    def spy(config, *others):
        built.append(config.n_layers)
        return without_data(config, *others)

    monkeypatch.setattr(weights, "_without_data", spy)
    values = json.loads((folder / "config.json").read_text()) | {"num_hidden_layers": 10**4}
    (folder / "config.json").write_text(json.dumps(values))
    assert "in each of 10,000 layers (num_hidden_layers)" in refusal(folder)
    assert built == [1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * DEEP + "]" * DEEP, "too deeply"),
        ('{"a":' * DEEP + "1" + "}" * DEEP, "too deeply"),
        ('{"a":' + "[" * 40 + "]" * 40 + "}", "key 'a', is too deep"),
        ('{"vocab_size": 40, "vocab_size": 41}', "the key 'vocab_size' occurs twice"),
        ('{"rope_theta": NaN}', "the number NaN"),
        ('{"rope_theta": -Infinity}', "the number -Infinity"),
        ('{"rope_theta": 1e999}', "key 'rope_theta', has the value inf"),
        ('{"rope_theta": ' + "9" * 10**5 + "}", "not JSON"),
        ("[1, 2]", "not a mapping of keys to values, but of the type list"),
        ("null", "of the type NoneType"),
        ("", "not JSON"),
        ('{"model_type": "\\ud800"}', r"model_type is '\ud800'"),
        ('{"model_type": "' + "x" * 10**6 + '"}', "model_type is 'xxx"),
        (" " * (17 << 20) + "{}", "has 17,825,794 bytes; files of its kind have at most"),
    ],
    ids=range(14),
)
def test_a_text_that_is_no_configuration_is_refused(folder, text, words):
    (folder / "config.json").write_text(text)
    message = refusal(folder)
    assert words in message
    assert str(folder / "config.json") in message


def test_values_without_end_are_not_walked_to_their_end(tmp_path):
    value = []
    for _ in range(30):
        value = [value, value]
    with pytest.raises(CheckpointError, match="key 'a', is too deep or too large"):
        mapping_of_values(tmp_path, {"a": value})
    with pytest.raises(CheckpointError, match="a key of the type int"):
        mapping_of_values(tmp_path, {"a": {1: 2}})
    with pytest.raises(CheckpointError, match="a value of the type Tensor"):
        mapping_of_values(tmp_path, {"a": torch.ones(1)})
    (tmp_path / "fine.json").write_text('{"a": [1, {"b": null}], "c": 1e300}')
    assert read_json(tmp_path / "fine.json") == {"a": [1, {"b": None}], "c": 1e300}


def header(values, body=bytes(64), length=None):
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def tensor(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        header(b"{}", b"", length=2**60),
        header(b"{}", b"", length=10**9),
        header(b"[" * DEEP + b"]" * DEEP),
        header([]),
        header({NORM: tensor([16], 0, 64), "model.other": tensor([16], 0, 64)}),
        header({NORM: tensor([4], 0, 16), "model.other": tensor([4], 32, 48)}),
        header({NORM: tensor([16], 0, 10**15)}),
        header({NORM: tensor([16], -64, 0)}),
        header({NORM: tensor([2**62, 4], 0, 64)}),
        header({NORM: tensor([16], 0, 64, "X9")}),
        header({NORM: tensor([16], 0, 64)}),
        header({"model." + "x" * 10**6: tensor([16], 0, 64)}),
        header({}),
    ],
    ids=range(14),
)
def test_a_header_that_lies_is_refused(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    assert str(folder / "model.safetensors") in refusal(folder)


def content_of(change):
    """Return what changes a key of a single file's content."""
    return lambda content: content | change


def first_tensor(change):
    def with_changed(content):
        (name, first), *others = content["model"].items()
        return content | {"model": {name: change(first), **dict(others)}}

    return with_changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda content: content | {"model": dict(enumerate(content["model"].values()))},
            "a name is of the type int",
        ),
        (lambda content: content | {"model": [1]}, "expected tensors by name and nothing else, not list"),
        (first_tensor(lambda each: 5), "model.embed_tokens.weight is of the type int"),
        (first_tensor(lambda each: each.to("meta")), "has a shape, but no numbers"),
        (first_tensor(lambda each: each.flatten()[:1].expand(10**12)), "which needs 4,000,000,000,000 bytes"),
        (first_tensor(lambda each: each.to_sparse()), "has the layout torch.sparse_coo; only dense"),
        (
            first_tensor(lambda each: each.to(torch.complex64)),
            "torch.complex64, but weights must be floating point",
        ),
        (first_tensor(lambda each: torch.quantize_per_tensor(each, 0.1, 0, torch.qint8)), "torch.qint8"),
        (first_tensor(lambda each: each.to(torch.int64)), "torch.int64, but weights must be floating point"),
        (
            first_tensor(lambda each: each.to(torch.float8_e5m2)),
            "float8_e5m2, in which a model cannot compute",
        ),
        (first_tensor(lambda each: each[:0]), "has the shape (0, 16)"),
        (
            first_tensor(lambda each: each * math.nan),
            "640 of 640 values in tensor model.embed_tokens.weight are infinite or not",
        ),
        (content_of({"tokenizer": 7}), "the tokenizer in it is not the bytes of files, but int"),
        (content_of({"tokenizer": [1]}), "but list"),
        (content_of({"tokenizer": {"tokenizer.model": 2}}), "but int"),
        (content_of({"tokenizer": {1: torch.zeros(2, dtype=torch.uint8)}}), "a name is of the type int"),
        (
            content_of({"tokenizer": torch.rand(9)}),
            "tokenizer.model of the tokenizer in it is not bytes, but",
        ),
        (content_of({"tokenizer": torch.zeros(9, 9, dtype=torch.uint8)}), "of the shape (9, 9)"),
        (content_of({"tokenizer": torch.zeros(9, dtype=torch.uint8, device="meta")}), "no numbers"),
        (content_of({"generation_config": 7}), "the generation configuration is not a mapping"),
        (content_of({"generation_config": {"minillm": 5}}), "minillm: the whole is 5"),
        (content_of({"config": [1]}), "the configuration is not a mapping"),
        (content_of({"config": {1: 2}}), "has a key of the type int"),
        (content_of({"config": {"vocab_size": torch.ones(1)}}), "a value of the type Tensor"),
        (lambda content: {1: 2}, "found ['int']"),
        (lambda content: {"config": {"num_hidden_layers": 10**6}, "model": {}}, "model_type is None"),
    ],
    ids=range(26),
)
@pytest.mark.filterwarnings("ignore:.*quantiz.*")
def test_a_single_file_with_other_content_is_refused(intact, tmp_path, change, words):
    torch.save(change(torch.load(intact / "model.pt")), tmp_path / "model.pt")
    assert words in refusal(tmp_path / "model.pt")


def test_an_archive_cannot_grow(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 20))
    assert "its parts are repeated or compressed (1,048,576 bytes in a file of" in refusal(
        tmp_path / "model.pt"
    )


def test_text_that_is_no_archive_is_refused(tmp_path):
    for content in (
        b"no checkpoint",
        b"PK\x03\x04 no archive",
        b"\x80\x02" + b"]" * DEEP + b"a" * (DEEP - 1) + b".",
    ):
        (tmp_path / "model.pt").write_bytes(content)
        assert "model.pt: truncated" in refusal(tmp_path / "model.pt")
