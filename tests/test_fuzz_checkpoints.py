"""Any bytes in place of a file of a checkpoint load as a model, or are an error in words."""

from __future__ import annotations

import json
import os
import struct

import pytest
import torch
from fuzzing import damaged, fuzzed, little_memory as little_memory, succeeds_or_speaks, values
from hypothesis import given, strategies as st
from quick_runs import MODEL, WORDS

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("little_memory")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small checkpoint as its files by name, without checksums: as a stranger may give it."""
    torch.manual_seed(0)
    model = MiniLLM(ModelConfig.model_validate(MODEL)).eval()
    model.tokenizer = Tokenizer.train([f"{WORDS} {number}" for number in range(30)], vocab_size=320)
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save(folder / "model")
    model.save(folder / "model.pt")
    return folder


def loads(folder, name, content):
    """Load a copy of the checkpoint in which a file is another."""
    changed = folder / "changed"
    if not changed.exists():
        changed.mkdir()
    for path in changed.iterdir():
        path.unlink()
    for path in (folder / "model").iterdir():
        if path.name not in (name, "SHA256SUMS"):
            os.link(path, changed / path.name)
    (changed / name).write_bytes(content)
    return succeeds_or_speaks(lambda: MiniLLM.load_from_checkpoint(changed))


KEYS = (
    *("model_type", "architectures", "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"),
    *("num_key_value_heads", "intermediate_size", "head_dim", "max_position_embeddings", "rope_theta"),
    *("rope_scaling", "rope_parameters", "rms_norm_eps", "tie_word_embeddings", "torch_dtype", "hidden_act"),
    *("attention_bias", "quantization_config", "minillm", "stage", "tokenizer_sha256", "eos_token_id"),
)


def as_json(value):
    return json.dumps(value).encode()


@fuzzed(400)
@given(changes=st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=3))
def test_values_of_its_configuration(checkpoint, changes):
    known = json.loads((checkpoint / "model" / "config.json").read_text(encoding="utf-8"))
    loads(checkpoint, "config.json", as_json({**known, **changes}))


@fuzzed(200)
@given(value=values)
def test_anything_for_its_configuration(checkpoint, value):
    assert isinstance(loads(checkpoint, "config.json", as_json(value)), str), "no such value is a model"


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "tokenizer.model", "model.safetensors"]
)
@fuzzed(200)
@given(data=st.data())
def test_damaged_files(checkpoint, name, data):
    content = (checkpoint / "model" / name).read_bytes()
    loads(checkpoint, name, data.draw(damaged(content)))


@fuzzed(150)
@given(data=st.data())
def test_a_damaged_single_file(checkpoint, data):
    path = checkpoint / "changed.pt"
    path.write_bytes(data.draw(damaged((checkpoint / "model.pt").read_bytes())))
    succeeds_or_speaks(lambda: MiniLLM.load_from_checkpoint(path))


TENSORS = st.fixed_dictionaries(
    {
        "dtype": st.one_of(
            st.sampled_from(["F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "X"]), values
        ),
        "shape": st.one_of(
            st.lists(st.sampled_from([0, 1, 4, 32, 320, -1, 2**40, 2**63]), max_size=4), values
        ),
        "data_offsets": st.one_of(st.lists(st.integers(-8, 500), min_size=2, max_size=2), values),
    }
)
NAMES = st.one_of(
    st.sampled_from(["model.norm.weight", "model.embed_tokens.weight", "lm_head.weight", "__metadata__", ""]),
    st.text(max_size=10),
)


@fuzzed(400)
@given(
    header=st.one_of(st.dictionaries(NAMES, st.one_of(TENSORS, values), max_size=4), values),
    excess=st.sampled_from([0, 0, 0, 1, -1, 10**6, 2**62]),
    body=st.binary(max_size=600),
)
def test_headers_of_safetensors(checkpoint, header, excess, body):
    text = json.dumps(header).encode()
    length = max(len(text) + excess, 0)
    content = struct.pack("<Q", length) + text + body
    assert isinstance(loads(checkpoint, "model.safetensors", content), str), "no such file has all tensors"
