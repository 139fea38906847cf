"""Lines of metrics.jsonl that are no records are left out, named and counted; what is a record comes through."""

from __future__ import annotations

import json
import math
import re

import pytest
from recorded_run import recorded_run, write_run

from minillm_lib.io.regular_file import NotRegularFileError
from minillm_lib.training.records import as_line, faults_in_words, read_records
from minillm_lib.training.run import RunResult
from minillm_lib.viz.run_report import summarize_run

STEP = {"kind": "step", "step": 3, "tokens": 12, "loss": 2.5}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"42", "it holds 42; a record is an object with a kind and a step"),
        (b"null", "it holds None"),
        (b"[1, 2]", "it holds [1, 2]"),
        (b'"step"', "it holds 'step'"),
        (b"\x00\xff\xfe", "it is not"),
        (b'{"kind": "step", "st', "it is not JSON: "),
        (b"[" * 50_000, "it is not JSON: "),
        (b"{}", "its kind is None; it must be a word such as step or evaluation"),
        (as_line({**STEP, "kind": 3}), "its kind is 3"),
        (as_line({**STEP, "step": "3"}), "its step is '3'; it must be a whole number from 0"),
        (as_line({**STEP, "step": True}), "its step is True"),
        (as_line({**STEP, "step": -1}), "its step is -1"),
        (b'{"kind": "step", "step": 3, "tokens": 12, "loss": ' + b"9" * 5000 + b"}", "it is not JSON: "),
        (as_line({"kind": "step", "step": 3, "tokens": 12}), "loss is missing in a record of the kind step"),
        (as_line({"kind": "evaluation", "step": 3, "tokens": 12, "loss": 1.0}), "perplexity is missing"),
        (as_line({**STEP, "loss": "NaN"}), "loss is 'NaN'; it must be a number"),
        (as_line({**STEP, "loss": 10**400}), "loss is 1000"),
        (as_line({**STEP, "lr": None}), "lr is None; it must be a number"),
        (as_line({**STEP, "tokens": 1.5}), "tokens is 1.5; it must be a whole number from 0"),
        (as_line({**STEP, "layer_grad_norms": 3}), "layer_grad_norms is 3; it must be a list of numbers"),
        (as_line({**STEP, "by_source": [3]}), "by_source is [3]; it must be an object"),
        (as_line({"kind": "sample", "step": 3, "prompt": "a", "text": 5}), "text is 5; it must be a text"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, line, problem):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(as_line(STEP) + line.rstrip(b"\n") + b"\n" + as_line({**STEP, "step": 4}))
    records, (faulty,) = read_records(path)
    assert [record["step"] for record in records] == [3, 4]
    assert faulty.number == 2
    assert faulty.problem.startswith(problem)
    assert faulty.content == line.rstrip(b"\n")
    told = faults_in_words(path, [faulty])
    assert told.startswith(f"{path}: 1 line is no record and is left out (line 2: {problem}")
    assert len(told) < len(str(path)) + 200


def test_many_faulty_lines_are_counted_and_some_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"42\n" * 50 + as_line(STEP) + b'{"kind"')
    records, faulty = read_records(path)
    assert records == [STEP]
    assert faulty[-1].problem == "it is cut off"
    told = faults_in_words(path, faulty)
    assert told.startswith(f"{path}: 51 lines are no records and are left out (line 1: it holds 42")
    assert told.endswith("; and 48 more)")


def test_blocks_have_as_many_gradients_in_each_record(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = ([0.1, 0.2], [0.1], [0.3, None])
    path.write_bytes(b"".join(as_line({**STEP, "layer_grad_norms": each}) for each in rows))
    records, (faulty,) = read_records(path)
    assert [record["layer_grad_norms"] for record in records] == [rows[0], rows[2]]
    assert faulty.problem == "layer_grad_norms has 1 number; the records before have 2"


def test_numbers_that_diverged_are_records(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(as_line({**STEP, "loss": float("nan")}))
    assert read_records(path) == ([{**STEP, "loss": None}], [])
    path.write_bytes(b'{"kind":"step","step":4,"tokens":1,"loss":NaN}\n')
    (record,), faulty = read_records(path)
    assert math.isnan(record["loss"])
    assert faulty == []


def test_any_flipped_bit_is_found_and_its_line_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    written = [{**STEP, "step": step, "lr": 1e-3, "layer_grad_norms": [0.5, None]} for step in range(3)]
    content = b"".join(map(as_line, written))
    begin = content.index(b"\n")  # the end of the first line, and all of the second
    for place in range(begin, content.index(b"\n", begin + 1)):
        for bit in range(place % 2, 8, 2):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            records, faulty = read_records(path)
            if records != written:  # a space may have become another
                assert all(record in written for record in records), (place, bit)
                assert faulty[0].number == (1 if place == begin else 2), (place, bit)


def test_lines_without_checksums_are_read_unless_others_have_them(tmp_path):
    path = tmp_path / "metrics.jsonl"
    old = [json.dumps({**STEP, "step": step}).encode() + b"\n" for step in range(3)]
    path.write_bytes(b"".join(old))
    assert len(read_records(path)[0]) == 3
    path.write_bytes(old[0] + as_line(STEP))
    records, (faulty,) = read_records(path)
    assert records == [STEP]
    assert faulty.number == 1
    assert faulty.problem == "it has no checksum (crc32), unlike other lines"


def test_pandas_reads_the_metrics(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"".join(as_line({**STEP, "step": step}) for step in range(20)))
    frame = pandas.read_json(path, lines=True)
    assert frame["step"].tolist() == list(range(20))
    assert frame["loss"].tolist() == [2.5] * 20


def test_a_folder_is_no_file(tmp_path):
    assert read_records(tmp_path / "missing") == ([], [])
    with pytest.raises(NotRegularFileError, match="is a folder; a file is expected"):
        read_records(tmp_path)


def test_a_run_with_damaged_metrics_is_still_read_and_reported_on(tmp_path):
    folder = write_run(tmp_path / "run", recorded_run(100))
    lines = (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    diverged = (
        json.dumps(
            {
                "kind": "evaluation",
                "step": 101,
                "tokens": 9,
                **dict.fromkeys(("loss", "perplexity", "bits_per_byte")),
            }
        ).encode()
        + b"\n"
    )
    (folder / "metrics.jsonl").write_bytes(b"42\n" + b"".join(lines[:-1]) + diverged + lines[-1][:9])
    named = re.escape(
        f"{folder / 'metrics.jsonl'}: 2 lines are no records and are left out (line 1: it holds 42"
    )
    with pytest.warns(UserWarning, match=named):
        result = RunResult.of(folder)
    assert len(result.steps) == 100
    summary = summarize_run(result)
    assert summary.best["loss"] == min(record["loss"] for record in result.measured)
