from __future__ import annotations

import itertools
import json
import random
import sys
from pathlib import Path

import pytest

from minillm_lib.corpora.cleaning.duplicates import jaccard, shingles, similar_pairs
from minillm_lib.corpora.docstrings.cleaning import clean_docstring
from minillm_lib.corpora.docstrings.corpus import (
    DOCSTRING_PACKAGES,
    DocstringsError,
    docstrings_manifest,
    load_docstrings,
    source_files,
)
from minillm_lib.corpora.docstrings.source import parse_module, public_names
from minillm_lib.corpora.document import SPLITS

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "s", "t", "r", "")]


def sentence(seed: int, n_words: int = 30) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=n_words)) + "."


def install(folder: Path, name: str, files: dict[str, str], version: str = "1.0") -> None:
    """Put a package, with what pip writes beside it, into a folder."""
    for path, source in files.items():
        target = folder / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source, encoding="utf-8")
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, ...]]:
    """A package of 200 functions, some near-copies of each other, that must not be imported."""
    original = sentence(-1, 60)
    functions = [f'def f{i}(x, y=1):\n    """{sentence(i)}"""\n' for i in range(200)]
    copies = [f'def copy{i}():\n    """{original} {sentence(i, 1 + i)}"""\n' for i in (0, 1, 25, 27)]
    install(
        tmp_path / "site",
        "synthetic",
        {
            "__init__.py": "from ._inner import *\nraise RuntimeError('this was imported')\n",
            "_inner.py": "".join(functions + copies),
            "broken.py": "def f(:\n",
            "tests/test_f.py": f'"""{sentence(-2)}"""\n',
        },
        version="2.5+cpu",
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return {"synthetic": ("synthetic",)}


def load_all(packages, cache_dir, **options):
    options = {"progress": False, "n_jobs": 1} | options
    return {
        split: load_docstrings(split, packages=packages, cache_dir=cache_dir, **options) for split in SPLITS
    }


def test_nothing_is_imported_and_names_are_those_of_users(packages, tmp_path):
    documents = [d for split in load_all(packages, tmp_path / "cache").values() for d in split]
    assert "synthetic" not in sys.modules
    one = next(d for d in documents if d.meta["object"] == "synthetic.f7")
    assert one.text == sentence(7)
    assert one.meta == {
        "object": "synthetic.f7",
        "kind": "function",
        "signature": "(x, y=1)",
        "package": "synthetic",
        "version": "2.5",
    }
    assert not any("test" in str(d.meta["object"]) for d in documents)


def test_copies_are_dropped_and_what_resembles_each_other_stays_in_one_split(packages, tmp_path):
    splits = load_all(packages, tmp_path / "cache")
    names = {split: {d.meta["object"].rpartition(".")[2] for d in splits[split]} for split in SPLITS}
    everything = set.union(*names.values())
    assert {f"f{i}" for i in range(200)} < everything
    assert "copy0" in everything
    assert "copy1" not in everything, "61 words of which 60 are the same"
    assert "copy25" in everything, "60 of 86 words are the same: similar, but no copy"
    assert any({"copy0", "copy25"} <= own for own in names.values())
    for first, second in itertools.combinations(SPLITS, 2):
        assert splits[first]
        for a, b in itertools.product(splits[first], splits[second]):
            assert jaccard(shingles(a.text), shingles(b.text)) < 0.6


def test_the_same_packages_give_the_same_bytes_on_any_number_of_processes(packages, tmp_path):
    for name, n_jobs in (("a", 1), ("b", 2)):
        load_all(packages, tmp_path / name, n_jobs=n_jobs)
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")} for name in "ab"
    )
    assert sorted(first) == ["manifest.json", "test.jsonl", "train.jsonl", "validation.jsonl"]
    assert first == second
    assert str(tmp_path).encode() not in b"".join(first.values())


def test_the_manifest_accounts_for_every_docstring(packages, tmp_path):
    manifest = docstrings_manifest(
        packages={**packages, "nowhere": ("nowhere",)}, cache_dir=tmp_path, progress=False
    )
    assert manifest["versions"] == {"synthetic": "2.5"}
    assert manifest["not installed"] == ["nowhere"]
    counts = manifest["counts"]
    assert counts["files that are no Python of this version"] == ["synthetic.broken"]
    assert counts["docstrings"] == 204
    assert counts["documents"] == 204 - sum(
        counts[why] for why in ("exact copies", "near copies", "shorter than 40 characters")
    )
    assert manifest["bytes"] == sum(split["bytes"] for split in manifest["splits"].values())


def test_a_damaged_cache_is_built_anew(packages, tmp_path):
    before = load_all(packages, tmp_path)
    (damaged,) = tmp_path.rglob("train.jsonl")
    damaged.write_bytes(damaged.read_bytes()[:-100])
    assert load_all(packages, tmp_path) == before


def test_other_versions_are_another_corpus(packages, tmp_path):
    load_all(packages, tmp_path / "cache")
    about = tmp_path / "site" / "synthetic-2.5+cpu.dist-info"
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: synthetic\nVersion: 2.6\n")
    load_all(packages, tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "docstrings").iterdir())) == 2


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(ValueError, match="split is 'dev'; allowed are 'train', 'validation', 'test'"):
        load_docstrings("dev", cache_dir=tmp_path)
    with pytest.raises(DocstringsError, match="none of these packages is installed: nowhere"):
        load_docstrings(packages={"nowhere": ("nowhere",)}, cache_dir=tmp_path)


def test_the_standard_library_is_found_with_the_frozen_modules_and_without_installed_packages():
    names = [name for name, _ in source_files("python", ())]
    assert {"os", "json.decoder", "asyncio.tasks", "statistics"} <= set(names)
    assert not any("site-packages" in name or name.startswith(("test.", "tkinter")) for name in names)
    assert names == sorted(names)


def test_docstrings_are_those_that_python_itself_would_give():
    """Parsed docstrings equal ``__doc__`` after import, for a module of the standard library."""
    import inspect
    import statistics

    parsed = parse_module(Path(statistics.__file__).read_bytes(), "statistics")
    found = {d.qualified_name: d for d in parsed.docstrings}
    assert found["mean"].text == inspect.getdoc(statistics.mean)
    assert found["NormalDist.cdf"].text == inspect.getdoc(statistics.NormalDist.cdf)
    assert found["NormalDist.cdf"].kind == "method"
    assert found["quantiles"].signature == str(inspect.signature(statistics.quantiles)).replace("'", "'")
    documented = [n for n in statistics.__all__ if inspect.isfunction(getattr(statistics, n))]
    assert set(documented) <= set(found)


def test_public_names_are_found_through_chains_and_cycles_of_imports():
    sources = {
        "p.__init__": "from ._core import *\nfrom .sub import Thing as Renamed\n",
        "p._core.__init__": "from .far import *\nfrom p import unknown\n",
        "p._core.far": "__all__ = ['shown']\ndef shown(): pass\ndef hidden(): pass\n",
        "p.sub": "from p._core.far import hidden\nclass Thing: pass\n",
        "q": "from p import shown\n",
    }
    modules = [
        parse_module(source.encode(), name, is_package=name.endswith("__init__"))
        for name, source in sources.items()
    ]
    names = public_names(modules)
    assert names["p._core.far", "shown"] == "p.shown"
    assert names["p._core.far", "hidden"] == "p.sub.hidden"
    assert names["p.sub", "Thing"] == "p.Renamed"


def test_docstrings_that_are_added_by_a_call_are_found():
    source = """
add_docstr(torch.abs, r'''
abs(input) -> Tensor

Computes {input}.
'''.format(**common))
add_newdoc("numpy._core.multiarray", "ndarray", ("sort", "Sorts" + " in place."))
unrelated("numpy", "text")
"""
    found = {d.qualified_name: (d.kind, d.text) for d in parse_module(source.encode(), "m").docstrings}
    assert found == {
        ".torch.abs": ("function", "abs(input) -> Tensor\n\nComputes {input}."),
        ".numpy._core.multiarray.ndarray.sort": ("method", "Sorts in place."),
    }


@pytest.mark.parametrize(
    ("noisy", "clean"),
    [
        ("Sum.\n\n.. versionadded:: 1.2\n   Long ago.\n\nMore.", "Sum.\n\nMore."),
        ("See :class:`~a.b.C`, :func:`text <a.f>` and :math:`x_1`.", "See `C`, `text` and `x_1`."),
        (".. code-block:: python\n   :linenos:\n\n   f(1)", "f(1)"),
        (".. note:: Careful.\n\nText.", "Careful.\n\nText."),
        (">>> f(1)  # doctest: +SKIP\n2", ">>> f(1)\n2"),
        (">>> a\narray([[1., 2.],\n[3., 4.],\n[5., 6.],\n[7., 8.]])\n\nEnd.", ">>> a\n\nEnd."),
        (">>> a\narray([1, 2])", ">>> a\narray([1, 2])"),
        ("Text.\n\nCopyright (c) 2001 Somebody.\nAll rights reserved.\n\nMore.", "Text.\n\nMore."),
        ("Parameters\n%(params)s\n{input}\nx : int", "Parameters\nx : int"),
        ("The angle \alpha and \frac{1}{2}.", r"The angle \alpha and \frac{1}{2}."),
        (".. _label:\n\nText.", "Text."),
        (".. contents:: On this page\n   :depth: 2\n\nText.", "Text."),
        (".. math:: x^2\n\n.. plot:: figures/sine.py", "x^2"),
        ("Set {a, b} of Straße 中文.", "Set {a, b} of Straße 中文."),
    ],
)
def test_cleaning_keeps_the_text_and_drops_the_noise(noisy, clean):
    assert clean_docstring(noisy) == clean
    assert clean_docstring(clean) == clean


def test_similar_pairs_are_all_pairs_above_the_threshold():
    """Equal to comparing each text with each other one."""
    rng = random.Random(0)
    texts = ["", "one"]
    for _ in range(40):
        words = rng.choices(WORDS, k=rng.randint(8, 80))
        texts.append(" ".join(words))
        for _ in range(3):
            changed = [w if rng.random() > 0.04 else "changed" for w in words]
            texts.append(" ".join(changed))
    own = [shingles(text) for text in texts]
    expected = {
        (i, j): jaccard(own[i], own[j])
        for i, j in itertools.combinations(range(2, len(texts)), 2)
        if jaccard(own[i], own[j]) >= 0.6
    }
    assert len(expected) > 30
    assert {(i, j): s for i, j, s in similar_pairs(texts, n_jobs=1)} == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"threshold is 0\.3; allowed is a similarity from 0\.6 to 1"):
        similar_pairs(texts, threshold=0.3)


@pytest.mark.slow
def test_the_whole_corpus_has_20_megabytes_and_no_near_copy_across_the_splits(tmp_path):
    manifest = docstrings_manifest(cache_dir=tmp_path, progress=False)
    assert manifest["bytes"] >= 20_000_000
    assert not manifest["not installed"], "all packages are in the lock file"
    lock = Path(__file__).parent.parent / "requirements.lock"
    locked = {line.partition("==")[0].lower().replace("_", "-") for line in lock.read_text().splitlines()}
    assert {name.replace("_", "-") for name in DOCSTRING_PACKAGES} - {"python"} <= locked
    for name, split in manifest["splits"].items():
        share = {"train": 0.9}.get(name, 0.05)
        assert split["bytes"] / manifest["bytes"] == pytest.approx(share, abs=0.015)
    (folder,) = (tmp_path / "docstrings").iterdir()
    rows = [
        (split, json.loads(line)["text"])
        for split in SPLITS
        for line in (folder / f"{split}.jsonl").read_bytes().splitlines()
    ]
    for first, second, _ in similar_pairs([text for _, text in rows]):
        assert rows[first][0] == rows[second][0]
