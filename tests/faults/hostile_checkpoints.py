"""Checkpoints that lie, that are cut, or that want to run code."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from faults.hostile import CODE, Hostile
from faults.tools import small_model
from minillm_lib.io.checksums import CHECKSUM_FILE

_DEEP = 100_000
_HARMLESS = ("a dtype of a function",)  # the tensors say what they are
Change = Callable[[Path], Any]


class _Runs:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (CODE,)


def prepare(folder: Path) -> None:
    """Write the checkpoints of which the hostile ones are made."""
    model = small_model(folder)
    model.save(folder / "model")
    model.save(folder / "model.pt")


def checkpoint_table() -> Mapping[str, Hostile]:
    """Return the hostile checkpoints by name."""
    return {
        **{f"directory: {name}": Hostile(_directory(change)) for name, change in _directories().items()},
        **{
            f"config.json: {name}": Hostile(
                _directory(_config(values)), "either" if name in _HARMLESS else "refused"
            )
            for name, values in _configs().items()
        },
        **{f"safetensors: {name}": Hostile(_directory(change)) for name, change in _headers().items()},
        **{f"one file: {name}": Hostile(_single(change)) for name, change in _single_files().items()},
    }


def _command(path: str) -> list[object]:
    return ["generate", "a word", "--ckpt", path, "--max-new-tokens", 2]


def _directory(change: Change) -> Callable[[], list[object]]:
    def make() -> list[object]:
        import shutil

        shutil.copytree(Path("../model"), "model")
        Path("model", CHECKSUM_FILE).unlink()  # a stranger's files have none, or fitting ones
        change(Path("model"))
        return _command("model")

    return make


def _single(change: Callable[[], Any]) -> Callable[[], list[object]]:
    def make() -> list[object]:
        change()
        return _command("model.pt")

    return make


def _json(name: str, text: str) -> Change:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def _config(values: Mapping[str, Any] | str) -> Change:
    """Change keys of ``config.json``, or the text itself."""

    def change(folder: Path) -> None:
        path = folder / "config.json"
        if isinstance(values, str):
            path.write_text(values, encoding="utf-8")
            return
        path.write_text(
            json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8"
        )

    return change


def _configs() -> dict[str, Mapping[str, Any] | str]:
    huge = 10**30
    return {
        "a million layers": {"num_hidden_layers": 10**6},
        "ten thousand layers": {"num_hidden_layers": 10**4},
        "a layer count of 10^30": {"num_hidden_layers": huge},
        "a width of 10^30": {"hidden_size": huge},
        "a vocabulary of 10^12": {"vocab_size": 10**12},
        "a million heads": {"num_attention_heads": 10**6, "head_dim": 2},
        "a context of 10^30": {"max_position_embeddings": huge},
        "a negative width": {"hidden_size": -32},
        "no layers": {"num_hidden_layers": 0},
        "layers as a float": {"num_hidden_layers": 2.5},
        "layers as a text": {"num_hidden_layers": "two"},
        "layers as a list": {"num_hidden_layers": [2]},
        "rope_scaling as a number": {"rope_scaling": 5},
        "rope_scaling as a list": {"rope_scaling": [{}]},
        "rope_scaling of an unknown type": {"rope_scaling": {"type": "secret", "factor": 2}},
        "a rope_theta of 0": {"rope_theta": 0},
        "a rope_theta that is not finite": {"rope_theta": float("inf")},
        "an eps that is no number": {"rms_norm_eps": float("nan")},
        "a dtype of a function": {"torch_dtype": "os.system"},
        "an unknown kind": {"model_type": "../../etc/passwd"},
        "remote code": {"model_type": "own", "auto_map": {"AutoModel": "own--evil.py"}},
        "an architecture as a number": {"architectures": 7, "model_type": 7},
        "a list": "[1, 2, 3]",
        "null": "null",
        "nothing": "",
        "half of it": '{"hidden_size": 32, "num_hid',
        "deep nesting": "[" * _DEEP + "]" * _DEEP,
        "deep objects": '{"a":' * _DEEP + "1" + "}" * _DEEP,
        "a number of a million digits": '{"hidden_size": ' + "9" * 10**6 + "}",
        "a lone surrogate": '{"model_type": "\\ud800"}',
    }


def _directories() -> dict[str, Change]:
    def replace(name: str, act: Callable[[Path], Any]) -> Change:
        def change(folder: Path) -> None:
            (folder / name).unlink(missing_ok=True)
            act(folder / name)

        return change

    return {
        "a FIFO for the weights": replace("model.safetensors", os.mkfifo),
        "a FIFO for the configuration": replace("config.json", os.mkfifo),
        "a folder for the weights": replace("model.safetensors", Path.mkdir),
        "an endless device for the configuration": replace(
            "config.json", lambda path: path.symlink_to("/dev/zero")
        ),
        "an endless device for the weights": replace(
            "model.safetensors", lambda path: path.symlink_to("/dev/zero")
        ),
        "a loop of links": replace("model.safetensors", lambda path: path.symlink_to(path.name)),
        "bytes for the configuration": replace(
            "config.json", lambda path: path.write_bytes(b"\xff\xfe\x00" * 99)
        ),
        "a tokenizer of noise": replace("tokenizer.model", lambda path: path.write_bytes(os.urandom(5000))),
        "an empty tokenizer": replace("tokenizer.model", lambda path: path.write_bytes(b"")),
        "a FIFO for the tokenizer": replace("tokenizer.model", os.mkfifo),
        "generation settings as a list": _json("generation_config.json", "[]"),
        "deep generation settings": _json("generation_config.json", "[" * _DEEP),
        "an index that leads outside": _index({"weight": "../../outside.safetensors"}),
        "an index of numbers": _index({"weight": 7}),
        "an index as a list": _index([1]),
        "a million shards": _index({str(number): f"{number}.safetensors" for number in range(10**6)}),
        "a pickle for the weights": _pickled_weights,
    }


def _index(weight_map: Any) -> Change:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        text = json.dumps({"metadata": {}, "weight_map": weight_map})
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")

    return change


def _pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Runs()))


def _headers() -> dict[str, Change]:
    """Safetensors: eight bytes with the length of a header in JSON, the header, the numbers."""

    def raw(length: int, header: bytes, body: bytes = b"") -> Change:
        return lambda folder: (folder / "model.safetensors").write_bytes(
            struct.pack("<Q", length) + header + body
        )

    def header(values: Any, body: bytes = bytes(64)) -> Change:
        text = json.dumps(values).encode()
        return raw(len(text), text, body)

    name = "model.norm.weight"
    return {
        "empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
        "a header of 2^63 bytes": raw(2**63, b"{}"),
        "a header longer than the file": raw(10**9, b"{}"),
        "no header": raw(0, b""),
        "a deep header": raw(2 * _DEEP, b"[" * _DEEP + b"]" * _DEEP),
        "a header as a list": header([]),
        "offsets that overlap": header(
            {each: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for each in (name, "model.b")}
        ),
        "offsets beyond the end": header({name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 10**15]}}),
        "negative offsets": header({name: {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]}}),
        "a shape of 10^18": header(
            {name: {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 64]}}
        ),
        "a shape that wraps around": header(
            {name: {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 64]}}
        ),
        "an unknown type": header({name: {"dtype": "X9", "shape": [16], "data_offsets": [0, 64]}}),
        "names of a megabyte": header(
            {"model." + "x" * 10**6: {"dtype": "F32", "shape": [16], "data_offsets": [0, 64]}}
        ),
        "no tensors": header({}),
        "cut in half": _cut,
    }


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _single_files() -> dict[str, Callable[[], Any]]:
    path = Path("model.pt")

    def saved(change: Callable[[dict[str, Any]], Any]) -> Callable[[], Any]:
        def make() -> None:
            content = torch.load("../model.pt", weights_only=True)
            for seal in set(content) - {"config", "model", "tokenizer", "generation_config"}:
                del content[seal]
            torch.save(change(content), path)

        return make

    def with_model(change: Callable[[dict[str, Any]], Any]) -> Callable[[], Any]:
        return saved(lambda content: {**content, "model": change(content["model"])})

    def first(model: dict[str, Any], change: Callable[[torch.Tensor], Any]) -> dict[str, Any]:
        name = next(iter(model))
        return {**model, name: change(model[name])}

    return {
        "a pickle that runs code": lambda: path.write_bytes(pickle.dumps(_Runs())),
        "a pickle inside that runs code": lambda: torch.save({"config": {}, "model": _Runs()}, path),
        "a FIFO": lambda: os.mkfifo(path),
        "an endless device": lambda: path.symlink_to("/dev/zero"),
        "empty": lambda: path.write_bytes(b""),
        "a text": lambda: path.write_text("no checkpoint", encoding="utf-8"),
        "an empty zip": lambda: zipfile.ZipFile(path, "w").close(),
        "a zip bomb": _zip_bomb,
        "a list": lambda: torch.save([1, 2], path),
        "a tensor": lambda: torch.save(torch.zeros(3), path),
        "a deep list": _deep_pickle,
        "integers for names": with_model(lambda model: dict(enumerate(model.values()))),
        "tensors without numbers": with_model(lambda model: first(model, lambda each: each.to("meta"))),
        "a tensor stretched to 10^12 numbers": with_model(
            lambda model: first(model, lambda each: each.flatten()[:1].expand(10**12))
        ),
        "sparse tensors": with_model(lambda model: first(model, lambda each: each.to_sparse())),
        "complex tensors": with_model(lambda model: first(model, lambda each: each.to(torch.complex64))),
        "whole numbers": with_model(lambda model: first(model, lambda each: each.to(torch.int64))),
        "weights that are no numbers": with_model(
            lambda model: first(model, lambda each: each * float("nan"))
        ),
        "infinite weights": with_model(lambda model: first(model, lambda each: each + float("inf"))),
        "a tokenizer of another type": saved(lambda content: {**content, "tokenizer": 7}),
        "a tokenizer of floats": saved(lambda content: {**content, "tokenizer": torch.rand(99)}),
        "a tokenizer of 2 dimensions": saved(
            lambda content: {**content, "tokenizer": torch.zeros(9, 9, dtype=torch.uint8)}
        ),
        "a tokenizer by numbers": saved(lambda content: {**content, "tokenizer": {1: 2}}),
        "settings of another type": saved(lambda content: {**content, "generation_config": 7}),
        "a configuration as a list": saved(lambda content: {**content, "config": [1]}),
        "a million layers": saved(
            lambda content: {**content, "config": {**content["config"], "num_hidden_layers": 10**6}}
        ),
    }


def _zip_bomb() -> None:
    """Write a megabyte that becomes a gigabyte, under the names that torch has."""
    with zipfile.ZipFile("model.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("archive/version", "3")
        with archive.open("archive/data/0", "w") as file:
            for _ in range(1 << 10):
                file.write(bytes(1 << 20))


def _deep_pickle() -> None:
    """Write lists in lists, as opcodes: an empty one, and the appending of it to the one before."""
    depth = 100_000
    Path("model.pt").write_bytes(b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".")
