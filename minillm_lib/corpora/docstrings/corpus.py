"""A corpus that every learner already has on disk: the docstrings of Python and of the course's packages.

Nothing is downloaded and no package is imported, since the source files are parsed. Each docstring of a module, class
or function becomes a :class:`~minillm_lib.corpora.document.Document`, under the name by which users know its object
(``numpy.linalg.svd``, not ``numpy.linalg._linalg.svd``). Markup and doctest output that teach nothing are removed
(:func:`clean_docstring`), duplicates are dropped, and the rest is divided into train, validation and test such that
near-copies are always in the same split.

The text stays under the licence of its package. The corpus is built where it is used and never shipped.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scipy.cluster.hierarchy import DisjointSet

from minillm_lib.corpora.cleaning.duplicates import similar_pairs
from minillm_lib.corpora.docstrings.cleaning import clean_docstring
from minillm_lib.corpora.docstrings.source import Docstring, ParsedModule, parse_module, public_names
from minillm_lib.corpora.document import SPLITS, Document, Split, split_of
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.io.cache import default_cache_dir
from minillm_lib.io.parallel import parallel_map
from minillm_lib.io.progress_bar import progress_bar

STANDARD_LIBRARY = "python"
DOCSTRING_PACKAGES: Mapping[str, tuple[str, ...]] = {
    STANDARD_LIBRARY: (),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "pandas": ("pandas",),
    "matplotlib": ("matplotlib", "mpl_toolkits"),
    "scikit-learn": ("sklearn",),
    "torch": ("torch",),
    "sympy": ("sympy",),
    "networkx": ("networkx",),
    "ipython": ("IPython",),
    "seaborn": ("seaborn",),
    "numba": ("numba",),
    "gensim": ("gensim",),
    "transformers": ("transformers",),
    "huggingface_hub": ("huggingface_hub",),
    "mpmath": ("mpmath",),
    "pydantic": ("pydantic",),
    "tornado": ("tornado",),
    "narwhals": ("narwhals",),
    "hypothesis": ("hypothesis",),
    "pytest": ("pytest", "_pytest"),
    "prompt_toolkit": ("prompt_toolkit",),
    "fonttools": ("fontTools",),
    "pygments": ("pygments",),
    "rich": ("rich",),
    "pillow": ("PIL",),
    "babel": ("babel",),
    "pyparsing": ("pyparsing",),
    "fsspec": ("fsspec",),
    "click": ("click",),
    "jinja2": ("jinja2",),
    "joblib": ("joblib",),
    "beautifulsoup4": ("bs4",),
    "anyio": ("anyio",),
    "datasketch": ("datasketch",),
    "traitlets": ("traitlets",),
    "httpx": ("httpx",),
    "einops": ("einops",),
    "tqdm": ("tqdm",),
}
"""The distributions to read, in this order, and their top-level modules; all of them are in the lock file."""

DUPLICATE_SIMILARITY = 0.8
RELATED_SIMILARITY = 0.6
MIN_CHARACTERS = 40

# These are not always installed with Python (Debian packages them separately) or do not document anything for users.
_LEFT_OUT_OF_THE_STANDARD_LIBRARY = {
    *("antigravity", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "this", "tkinter"),
    *("turtle", "turtledemo", "venv"),
}
_NOT_PUBLIC = {
    *("test", "tests", "testdata", "conftest", "benchmarks", "third_party", "extern", "externals"),
    *("vendor", "_vendor", "vendored", "_vendored"),
}
# The code that determines the corpus: a change in one of these files rebuilds it, like a new version of a package.
_PARTS = (
    *("cleaning.py", "corpus.py", "source.py"),
    *("../document.py", "../cleaning/boilerplate.py", "../cleaning/duplicates.py", "../cleaning/repair.py"),
)


class DocstringsError(ValueError):
    """None of the packages for the corpus is installed."""


def load_docstrings(
    split: Split = "train",
    *,
    packages: Mapping[str, Sequence[str]] = DOCSTRING_PACKAGES,
    cache_dir: str | Path | None = None,
    n_jobs: int = -1,
    progress: bool = True,
) -> list[Document]:
    """Return the docstrings of the standard library and of installed packages; the first call builds and caches them.

    ``meta`` of a document holds ``object`` (the dotted name for users), ``kind`` (``"module"``, ``"class"``,
    ``"function"`` or ``"method"``), ``signature`` (empty except for functions and methods), ``package`` and
    ``version``. Its ``source`` is ``docstrings:`` followed by the package.

    The same versions of Python and of the packages give the same documents in the same order on every machine.

    Parameters
    ----------
    split
        ``"train"`` (about 90 % of the text), ``"validation"`` or ``"test"`` (5 % each).
    packages
        Distributions and their top-level modules. Distributions that are not installed are left out and listed in the
        manifest.
    cache_dir
        Folder of the cached corpus; :func:`~minillm_lib.io.cache.default_cache_dir` if None.
    n_jobs
        Number of processes that build the corpus; -1 for one per core.

    Raises
    ------
    ValueError
        If the split is unknown.
    DocstringsError
        If none of the packages is installed.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; allowed are {', '.join(map(repr, SPLITS))}")
    folder = _built(packages, cache_dir, n_jobs, progress)
    rows = (json.loads(line) for line in (folder / f"{split}.jsonl").read_bytes().splitlines())
    return [Document(row["text"], row["source"], row["meta"]) for row in rows]


def docstrings_manifest(
    *,
    packages: Mapping[str, Sequence[str]] = DOCSTRING_PACKAGES,
    cache_dir: str | Path | None = None,
    n_jobs: int = -1,
    progress: bool = True,
) -> dict[str, Any]:
    """Return what the corpus was made from and what it holds: versions, counts, bytes and hashes.

    Two machines have the same corpus if and only if ``sha256`` is the same. See :func:`load_docstrings` for the
    parameters; here too, the first call builds the corpus.

    Raises
    ------
    DocstringsError
        If none of the packages is installed.
    """
    folder = _built(packages, cache_dir, n_jobs, progress)
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return manifest


def _built(
    packages: Mapping[str, Sequence[str]], cache_dir: str | Path | None, n_jobs: int, progress: bool
) -> Path:
    """Return the folder of the corpus, after building it if it is missing or damaged."""
    versions = _versions(packages)
    if not any(versions.values()):
        raise DocstringsError(f"none of these packages is installed: {', '.join(packages)}")
    recipe = hashlib.sha256()
    for name in _PARTS:
        recipe.update((Path(__file__).parent / name).read_text(encoding="utf-8").encode())
    key = _sha256(_json([versions, {name: list(packages[name]) for name in packages}, recipe.hexdigest()]))
    folder = (Path(cache_dir) if cache_dir is not None else default_cache_dir()) / "docstrings" / key[:16]
    if not _is_whole(folder):
        documents, counts = _collect(packages, versions, n_jobs, progress)
        _write(folder, documents, versions, counts)
    return folder


def _versions(packages: Mapping[str, Sequence[str]]) -> dict[str, str | None]:
    """Return the installed version of each package, None for those that are not installed."""
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            is_python = package == STANDARD_LIBRARY
            version = platform.python_version() if is_python else importlib.metadata.version(package)
            # torch 2.13.0+cpu has the docstrings of 2.13.0+cu130
            versions[package] = version.partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def source_files(package: str, modules: Sequence[str]) -> list[tuple[str, Path]]:
    """Return the modules of a package and their Python files, in order of the modules' names.

    The modules are located without importing them. Tests and vendored copies of other packages are left out.
    """
    found: dict[str, Path] = {}
    for name, place in _places(package, modules):
        for path in [place] if place.is_file() else place.rglob("*.py"):
            inner = () if place.is_file() else path.relative_to(place).with_suffix("").parts
            if not any(part in _NOT_PUBLIC or part.startswith("test_") for part in inner):
                found[".".join((name, *inner))] = path
    return sorted(found.items())


def _places(package: str, modules: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Yield the folders and files of top-level modules."""
    if package == STANDARD_LIBRARY:
        library = Path(sysconfig.get_path("stdlib"))
        for name in sys.stdlib_module_names - _LEFT_OUT_OF_THE_STANDARD_LIBRARY:
            yield from ((name, place) for place in (library / name, library / f"{name}.py") if place.exists())
        return
    for name in modules:
        spec = importlib.util.find_spec(name)  # for a top-level name, this runs no code of the module
        if spec is not None:
            places = spec.submodule_search_locations or [spec.origin or ""]
            yield from ((name, Path(place)) for place in places if place)


def _collect(
    packages: Mapping[str, Sequence[str]], versions: Mapping[str, str | None], n_jobs: int, progress: bool
) -> tuple[list[Document], dict[str, Any]]:
    """Read, clean and deduplicate the docstrings.

    Returns the documents, whose ``meta`` also names their split, and the counts for the manifest.
    """
    files = [
        (package, module, path)
        for package, modules in packages.items()
        if versions[package] is not None
        for module, path in source_files(package, modules)
    ]
    chunks = [files[start : start + 100] for start in range(0, len(files), 100)]
    jobs = parallel_map(_parse, chunks, n_jobs=n_jobs)
    with progress_bar(jobs, total=len(chunks), desc="reading docstrings", disable=not progress) as parsed:
        modules = [module for chunk in parsed for module in chunk]
    documents, counts = _documents(modules, [package for package, _, _ in files], versions)
    documents, counts["near copies"] = _divided(documents, n_jobs, progress)
    return documents, counts


def _parse(files: Sequence[tuple[str, str, Path]]) -> list[ParsedModule]:
    modules = []
    for _, name, path in files:
        module = parse_module(path.read_bytes(), name, is_package=path.stem == "__init__")
        docstrings = (replace(found, text=clean_docstring(found.text)) for found in module.docstrings)
        modules.append(replace(module, docstrings=tuple(docstrings)))
    return modules


def _documents(
    modules: Sequence[ParsedModule], packages: Sequence[str], versions: Mapping[str, str | None]
) -> tuple[list[Document], dict[str, Any]]:
    counts: dict[str, Any] = {
        "docstrings": sum(len(module.docstrings) for module in modules),
        "files": len(modules),
        "files that are no Python of this version": [module.name for module in modules if module.problem],
    }
    names = public_names(modules)
    documents: dict[str, Document] = {}
    too_short = 0
    for module, package in zip(modules, packages, strict=True):
        for found in module.docstrings:
            if len(found.text) < MIN_CHARACTERS:
                too_short += 1
                continue
            meta = {
                "object": _public_name(found, module.name, names),
                "kind": found.kind,
                "signature": found.signature,
                "package": package,
                "version": versions[package],
            }
            document = Document(found.text, f"docstrings:{package}", meta)
            documents.setdefault(" ".join(found.text.lower().split()), document)
    counts[f"shorter than {MIN_CHARACTERS} characters"] = too_short
    counts["exact copies"] = counts["docstrings"] - too_short - len(documents)
    return list(documents.values()), counts


def _public_name(found: Docstring, module: str, names: Mapping[tuple[str, str], str]) -> str:
    """Return the dotted name by which users know an object."""
    if found.is_absolute:
        home, _, own = found.qualified_name[1:].rpartition(".")
        return names.get((home, own), f"{home}.{own}")
    top, _, member = found.qualified_name.partition(".")
    return ".".join(part for part in (names.get((module, top), f"{module}.{top}").strip("."), member) if part)


def _whole_object(document: Document) -> str:
    """Return the object that determines the split: for a method, its class."""
    name = str(document.meta["object"])
    return name.rpartition(".")[0] if document.meta["kind"] == "method" else name


def _divided(documents: Sequence[Document], n_jobs: int, progress: bool) -> tuple[list[Document], int]:
    """Drop near-copies and choose one split for each object and all objects that resemble it.

    Returns the documents that are kept and the number of those dropped.
    """
    texts = [document.text for document in documents]
    pairs = similar_pairs(texts, threshold=RELATED_SIMILARITY, n_jobs=n_jobs, progress=progress)
    dropped: set[int] = set()
    for pair in sorted(pairs, key=lambda pair: (pair.second, pair.first)):
        if pair.similarity >= DUPLICATE_SIMILARITY and pair.first not in dropped:
            dropped.add(pair.second)

    # An object whose text was dropped links no others: the methods `fit` of all classes repeat the same sentence.
    own = [_whole_object(document) for document in documents]
    kept = [index for index in range(len(documents)) if index not in dropped]
    related = DisjointSet(dict.fromkeys(own[index] for index in kept))
    for pair in pairs:
        if not dropped & {pair.first, pair.second}:
            related.merge(own[pair.first], own[pair.second])
    splits: dict[str, Split] = {}
    for group in related.subsets():
        splits.update(dict.fromkeys(group, split_of(min(group))))
    divided = [
        replace(documents[index], meta={**documents[index].meta, "split": splits[own[index]]})
        for index in kept
    ]
    return divided, len(dropped)


def _write(
    folder: Path, documents: Sequence[Document], versions: Mapping[str, str | None], counts: Mapping[str, Any]
) -> None:
    manifest: dict[str, Any] = {
        "versions": {package: version for package, version in versions.items() if version is not None},
        "not installed": [package for package, version in versions.items() if version is None],
        "counts": {**counts, "documents": len(documents)},
        "bytes": sum(len(document.text.encode()) for document in documents),
        "packages": _by_package(documents),
        "splits": {},
    }
    for split in SPLITS:
        own = [document for document in documents if document.meta["split"] == split]
        lines = []
        for document in own:
            meta = {name: value for name, value in document.meta.items() if name != "split"}
            lines.append(_json({"text": document.text, "source": document.source, "meta": meta}) + b"\n")
        content = b"".join(lines)
        write_atomically(folder / f"{split}.jsonl", content)
        n_bytes = sum(len(document.text.encode()) for document in own)
        manifest["splits"][split] = {"documents": len(own), "bytes": n_bytes, "sha256": _sha256(content)}
    manifest["sha256"] = _sha256(_json(manifest["splits"]))
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False).encode())


def _by_package(documents: Sequence[Document]) -> dict[str, dict[str, int]]:
    n_documents: Counter[str] = Counter()
    n_bytes: Counter[str] = Counter()
    for document in documents:
        n_documents[document.meta["package"]] += 1
        n_bytes[document.meta["package"]] += len(document.text.encode())
    return {
        package: {"documents": n_documents[package], "bytes": n_bytes[package]} for package in n_documents
    }


def _is_whole(folder: Path) -> bool:
    """Check that the manifest exists and every split has the hash stated in it."""
    try:
        splits = json.loads((folder / "manifest.json").read_bytes())["splits"]
        return all(
            _sha256((folder / f"{split}.jsonl").read_bytes()) == splits[split]["sha256"] for split in SPLITS
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
