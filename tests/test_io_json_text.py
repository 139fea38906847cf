"""JSON of unknown origin."""

from __future__ import annotations

import json

import pytest

from minillm_lib.io import json_text
from minillm_lib.io.json_text import DEEPEST, RepeatedKeyError, decode_json, parse_json


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_hundred_levels_are_read_and_one_more_is_not(opening):
    closing = "]" if opening == "[" else "}"
    fits, too_deep = (opening * n + "0" + closing * n for n in (DEEPEST, DEEPEST + 1))
    assert parse_json(fits) == json.loads(fits) == decode_json(fits, 0)[0]
    for parse in (parse_json, lambda text: decode_json(text, 0)):
        with pytest.raises(ValueError, match=r"^nested more than 100 levels deep$"):
            parse(too_deep)
        with pytest.raises(ValueError, match=r"^nested more than 100 levels deep$"):
            parse(opening * 200_000)


def test_many_brackets_side_by_side_are_not_deep():
    assert parse_json("[" + "[]," * 500 + "{}]") == [[]] * 500 + [{}]


def test_other_faults_are_said_in_words():
    with pytest.raises(ValueError, match=r"^an integer of more than 4,300 digits$"):
        parse_json("[" + "1" * 5000 + "]")
    with pytest.raises(json.JSONDecodeError):
        parse_json("[1,")
    with pytest.raises(ValueError, match="codec"):
        parse_json(b"\xff\xff")


def test_more_values_than_memory_is_for_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(json_text, "MOST_VALUES", 100)
    assert parse_json(b"[" + b"1," * 98 + b"1]") == [1] * 99
    with pytest.raises(ValueError, match="more than 100 values"):
        parse_json(b"[" + b"1," * 100 + b"1]")


@pytest.mark.parametrize(
    "text", ['{"a": 1, "b": 2, "a": 3}', '[{"b": {"a": 1, "a": 1}}]', '{"\\u0061": null, "a": {}}']
)
def test_a_key_that_occurs_twice_is_refused_and_the_end_is_known(text):
    for parse in (parse_json, lambda text: decode_json(text + " [1]", 0)):
        with pytest.raises(RepeatedKeyError, match=r"^the key 'a' occurs twice in one object$") as caught:
            parse(text)
        assert caught.value.end == len(text)
    assert parse_json('[{"a": 1}, {"a": {"a": 2}}]') == [{"a": 1}, {"a": {"a": 2}}]
