"""YAML within limits: what is beyond them is named, at once, and nothing but YAML's own types is built."""

from __future__ import annotations

import os
import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from minillm_lib.io.yaml_text import YAMLError, parse_yaml, read_yaml, sealed_yaml

BILLION = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))


def test_aliases_and_merged_keys_are_what_they_stand_for():
    text = "a: &a {x: 1, y: 2}\nb: *a\nc:\n  <<: *a\n  x: 3"
    assert parse_yaml(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 3, "y": 2}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BILLION, "line 6: there are more than 20,000 values, counting what each alias"),
        ("a: &a a\nb: [" + "*a," * 30_000 + "]", "line 2: there are more than 20,000 values"),
        ("[" * 3000, "line 1: values are nested more than 50 levels deep"),
        ("- " * 3000, "line 1: values are nested more than 50 levels deep"),
        ("\n".join(" " * i + "a:" for i in range(100)), "line 51: values are nested"),
        ("&a [*a]", r"line 1: \*a stands within the value that it stands for"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: the key 'a' occurs twice"),
        ("? [a]\n: b", r"line 1, column 3: \['a'\] cannot be a key"),
        ("a:\n\tb: 1", "line 2, column 1: .*indented by spaces, not by tabs"),
        ("a: " + "9" * 5000, "line 1, column 4: '999.*9' is no int that can be read"),
        ("a: 2020-99-99", "line 1, column 4: '2020-99-99' is no timestamp that can be read"),
        ("!!bool abc", "'abc' is no bool that can be read"),
        ("!!int ''", "'' is no int that can be read"),
        ("a: \x00", r"the character U\+0000, the 4th, is not allowed in YAML"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("--- 1\n--- 2", "expected a single document"),
        ("a: [1, 2", "line 1, column 9: "),
    ],
)
def test_what_is_no_yaml_or_too_much_of_it_is_named_with_its_line(text, problem):
    began = time.process_time()
    with pytest.raises(YAMLError, match=problem) as caught:
        parse_yaml(text)
    assert time.process_time() - began < 5
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_files_are_text_of_reasonable_length(tmp_path):
    path = tmp_path / "config.yaml"
    with pytest.raises(FileNotFoundError):
        read_yaml(path)
    for content, problem in (
        (b"a: 1\nb: \xff\xfe", r"line 2 is not UTF-8 text \(byte 0xff\)"),
        (b"a: " + b"x" * 300_000, "it is longer than 256 KiB"),
    ):
        path.write_bytes(content)
        with pytest.raises(YAMLError, match=problem):
            read_yaml(path)
    path.write_bytes("\ufeffa: 主题".encode())
    assert read_yaml(path) == {"a": "主题"}
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(YAMLError, match="is a named pipe"):
        read_yaml(tmp_path / "pipe")


def test_a_flipped_bit_in_sealed_yaml_changes_no_value_unnoticed(tmp_path):
    path = tmp_path / "config.yaml"
    values = {"train": {"lr": 0.001, "steps": 12}, "prompts": ["主题", "a # b"], "name": "M"}
    content = sealed_yaml(values)
    assert yaml.safe_load(content) == values
    path.write_bytes(content.replace(b"\n", b"\r\n"))
    assert read_yaml(path) == values
    for place in range(len(content)):
        for bit in range(place % 2, 8, 2):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                assert read_yaml(path) == values, (place, bit)
            except YAMLError:
                continue
    path.write_bytes(content.replace(b"12", b"13"))
    with pytest.raises(
        YAMLError, match=r"is not what its checksum in the last line says; .* remove that line"
    ):
        read_yaml(path)
    path.write_bytes(content.replace(b"12", b"13").rpartition(b"# crc32")[0])
    assert read_yaml(path)["train"]["steps"] == 13


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
@settings(max_examples=50)
def test_ordinary_yaml_is_read_as_ever(value):
    assert parse_yaml(yaml.safe_dump(value)) == value


@given(st.text(alphabet="ab:-[]{}&*!|>%@,?'\"#\n\t 01.~<", max_size=60))
@settings(max_examples=200)
def test_any_text_is_read_or_named(text):
    with suppress(YAMLError):
        parse_yaml(text)
