"""Corpora from Hugging Face or ModelScope, or from a local file in the same format.

The hub states the size and, for large files, the SHA-256 of a corpus file.
:class:`~minillm_lib.io.download.Downloader` downloads the file into the cache, resumes interrupted downloads and
verifies the result, which is then read as a stream.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from minillm_lib.corpora.conversations import Conversation, read_conversations
from minillm_lib.corpora.document import Document
from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.reading.finding import Paths
from minillm_lib.io.fetch_errors import FetchError
from minillm_lib.io.json_text import parse_json

if TYPE_CHECKING:
    from minillm_lib.io.download import Downloader

Hub = Literal["huggingface", "modelscope"]
HUBS: Mapping[Hub, str] = {"huggingface": "https://huggingface.co", "modelscope": "https://www.modelscope.cn"}


@dataclass(frozen=True)
class HubCorpus:
    """Where to find a corpus on the hubs.

    Attributes
    ----------
    repositories
        The repository on each hub that has the corpus.
    files
        For each split, the names under which its file has been published, newest first. The first name that the
        repository holds is used.
    separator
        The text between two documents; None if the file consists of JSON lines.
    """

    repositories: Mapping[Hub, str]
    files: Mapping[str, Sequence[str]]
    separator: str | None = None


_MINIMIND: Mapping[Hub, str] = {
    "huggingface": "jingyaogong/minimind_dataset",
    "modelscope": "gongjy/minimind_dataset",
}
HUB_CORPORA: Mapping[str, HubCorpus] = {
    "tinystories": HubCorpus(
        {"huggingface": "roneneldan/TinyStories", "modelscope": "AI-ModelScope/TinyStories"},
        {
            "train": ("TinyStoriesV2-GPT4-train.txt", "TinyStories-train.txt"),
            "validation": ("TinyStoriesV2-GPT4-valid.txt", "TinyStories-valid.txt"),
        },
        separator="<|endoftext|>",
    ),
    "minimind-pretrain": HubCorpus(_MINIMIND, {"all": ("pretrain_t2t_mini.jsonl", "pretrain_hq.jsonl")}),
    "minimind-sft": HubCorpus(_MINIMIND, {"all": ("sft_t2t_mini.jsonl", "sft_mini_512.jsonl")}),
}


_SHA256 = re.compile("[0-9a-fA-F]{64}")


class NotOnHubError(FetchError):
    """The repository does not hold the file, or its list of files cannot be understood."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: path, address, size in bytes, and SHA-256 (None if the hub does not state it)."""

    path: str
    url: str
    size: int
    sha256: str | None


def list_hub_files(
    downloader: Downloader,
    repository: str,
    *,
    hub: Hub = "huggingface",
    revision: str | None = None,
    base_url: str | None = None,
) -> dict[str, HubFile]:
    """Return the files at the top level of a dataset repository, by name.

    Parameters
    ----------
    repository
        Owner and name, such as ``"roneneldan/TinyStories"``.
    hub
        ``"huggingface"`` or ``"modelscope"``.
    revision
        Branch, tag or commit; the hub's main branch if None.
    base_url
        Another server with the same interface, such as a mirror.

    Raises
    ------
    ValueError
        If the hub is unknown.
    NotOnHubError
        If the hub's answer is not a list of files.
    DownloadError
        If the hub cannot be reached or has no such repository.
    """
    if hub not in HUBS:
        raise ValueError(f"hub is {hub!r}; allowed are {', '.join(map(repr, HUBS))}")
    base = (base_url or HUBS[hub]).rstrip("/")
    revision = quote(revision or ("main" if hub == "huggingface" else "master"), safe="")
    if hub == "huggingface":
        address = f"{base}/api/datasets/{repository}/tree/{revision}"
        prefix = f"{base}/datasets/{repository}/resolve/{revision}/"
    else:
        api = f"{base}/api/v1/datasets/{repository}/repo"
        address = f"{api}/tree?Revision={revision}"
        prefix = f"{api}?Revision={revision}&FilePath="
    answer = parse_json(downloader.get(address, validate=parse_json, refresh=True))
    try:
        rows = answer if hub == "huggingface" else answer["Data"]["Files"]
        files = [_hub_file(row, prefix) for row in rows]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotOnHubError(
            address, f"the answer is not a list of a repository's files ({error!r})"
        ) from error
    return {file.path: file for file in files if file is not None}


def _hub_file(row: Mapping[str, Any], prefix: str) -> HubFile | None:
    """Read an entry of either hub's list of files; None for a folder.

    An entry of Hugging Face is ``{"type", "path", "size", "lfs": {"oid"}}`` (``lfs`` for large files only), one of
    ModelScope ``{"Type", "Path", "Size", "Sha256"}``.
    """
    facts = {name.lower(): value for name, value in row.items()}
    if facts["type"] in ("directory", "tree"):
        return None
    sha256 = facts.get("sha256") or (facts.get("lfs") or {}).get("oid")
    path = str(facts["path"])
    sha256 = sha256.removeprefix("sha256:") if sha256 else None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256!r} is no SHA-256")
    size = facts["size"]
    if type(size) is not int or size < 0:
        raise ValueError(f"{size!r} is no size of a file")
    return HubFile(path, prefix + quote(path), size, sha256)


def fetch_hub_corpus(
    name: str,
    *,
    split: str = "train",
    hub: Hub = "huggingface",
    file: str | None = None,
    revision: str | None = None,
    base_url: str | None = None,
    progress: bool = True,
    **downloader_options: Any,
) -> Path:
    """Download the file of a corpus into the cache, unless it is already there, and return its path.

    An interrupted download resumes where it stopped. A file in the cache is compared with the size and SHA-256 that
    the hub states. If the hub cannot be reached, the cached file is used unchecked, with a warning.

    Parameters
    ----------
    name
        One of :data:`HUB_CORPORA`.
    split
        The published split; corpora that are published as a single file have only ``"all"``.
    hub
        ``"huggingface"`` or ``"modelscope"``.
    file
        The name of another file in the repository, in place of the corpus's own.
    revision
        Branch, tag or commit of the repository.
    base_url
        Another server with the hub's interface, such as a mirror.
    progress
        Whether to show a progress bar.
    downloader_options
        See :class:`~minillm_lib.io.download.Downloader`.

    Raises
    ------
    ValueError
        If the corpus, split or hub is unknown.
    NotOnHubError
        If the repository does not hold the file.
    DownloadError
        If the hub cannot be reached and the file is not in the cache, or if the downloaded file does not have the size
        and SHA-256 that the hub states.
    """
    from minillm_lib.io.download import Downloader  # a local file is read without what this needs

    corpus = _corpus(name)
    wanted = [file] if file is not None else _published(name, split)
    if hub not in HUBS:
        raise ValueError(f"hub is {hub!r}; allowed are {', '.join(map(repr, HUBS))}")
    repository = corpus.repositories[hub]
    with Downloader(**downloader_options) as downloader:
        folder = downloader.cache_dir / "hub" / hub / repository.replace("/", "--") / (revision or "latest")
        try:
            listed = list_hub_files(downloader, repository, hub=hub, revision=revision, base_url=base_url)
        except FetchError as error:
            there = next((folder / path for path in wanted if (folder / path).is_file()), None)
            if there is None:
                raise
            warnings.warn(f"{there} is used unchecked, as the hub cannot be asked: {error}", stacklevel=2)
            return there
        found = next((listed[path] for path in wanted if path in listed), None)
        if found is None:
            names = ", ".join(sorted(listed)) or "nothing"
            message = f"the repository holds no {' or '.join(wanted)}; it holds {names}"
            raise NotOnHubError(f"{base_url or HUBS[hub]}/datasets/{repository}", message)
        return downloader.download_file(
            found.url, folder / found.path, size=found.size, sha256=found.sha256, progress=progress
        )


def load_hub_corpus(
    name: str,
    *,
    split: str = "train",
    path: str | os.PathLike[str] | None = None,
    max_faulty_share: float = 0.01,
    **options: Any,
) -> Iterator[Document]:
    """Return the documents of a corpus, as a stream, from the cache, the hub or a local file.

    Parameters
    ----------
    name
        One of :data:`HUB_CORPORA`.
    split
        The published split; see :func:`fetch_hub_corpus`. Ignored if ``path`` is given.
    path
        A local file, folder or glob in the published format; nothing is downloaded then. The format is JSON lines
        (``{"text": …}`` or ``{"conversations": [{"role": …, "content": …}, …]}``) or, for TinyStories, text with
        ``<|endoftext|>`` between the stories.
    max_faulty_share
        See :func:`~minillm_lib.corpora.files.read_files`.
    options
        See :func:`fetch_hub_corpus`.

    Raises
    ------
    ValueError
        If the corpus, split or hub is unknown.
    NotOnHubError
        If the repository does not hold the file.
    DownloadError
        If the file is not in the cache and cannot be downloaded.
    FileNotFoundError, ReadError
        See :func:`~minillm_lib.corpora.files.read_files`.
    """
    corpus = _corpus(name)
    if path is None:
        path = fetch_hub_corpus(name, split=split, **options)
    return read_files(path, separator=corpus.separator, encoding="utf-8", max_faulty_share=max_faulty_share)


def load_hub_conversations(
    name: str,
    *,
    path: Paths | None = None,
    **options: Any,
) -> Iterator[Conversation]:
    """Return the conversations of a corpus, as a stream, from the cache, the hub or local files.

    Parameters
    ----------
    name
        One of :data:`HUB_CORPORA`.
    path
        Local files, folders or globs of the published format; nothing is downloaded then.
    options
        Those of :func:`~minillm_lib.corpora.conversations.reading.read_conversations` and, without ``path``, those of
        :func:`fetch_hub_corpus`.

    Raises
    ------
    ValueError
        If the corpus, an option or the hub is unknown.
    NotOnHubError
        If the repository does not hold the file.
    DownloadError
        If the file is not in the cache and cannot be downloaded.
    FileNotFoundError, ReadError
        See :func:`~minillm_lib.corpora.conversations.reading.read_conversations`.
    """
    if path is not None:
        return read_conversations(path, **options)
    known = signature(read_conversations).parameters
    reading = {key: value for key, value in options.items() if key in known}
    fetching = {key: value for key, value in options.items() if key not in known}
    return read_conversations(fetch_hub_corpus(name, **{"split": "all", **fetching}), **reading)


def _corpus(name: str) -> HubCorpus:
    if name not in HUB_CORPORA:
        raise ValueError(f"there is no corpus {name!r} on the hubs; available are {', '.join(HUB_CORPORA)}")
    return HUB_CORPORA[name]


def _published(name: str, split: str) -> Sequence[str]:
    files = _corpus(name).files
    if split not in files:
        allowed = ", ".join(map(repr, files))
        raise ValueError(f"{name} is not published with a split {split!r}; allowed are {allowed}")
    return files[split]
