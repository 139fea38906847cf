from __future__ import annotations

import gzip
import hashlib
import json

import pytest
from local_server import LocalServer, Reply, ranged

from minillm_lib.corpora.hub import (
    NotOnHubError,
    fetch_hub_corpus,
    load_hub_conversations,
    load_hub_corpus,
)
from minillm_lib.io.fetch_errors import DownloadError

STORIES = b"Once upon a time.\n<|endoftext|>\nThe end.\n\nReally.\n<|endoftext|>\n"
CHATS = "".join(
    json.dumps(
        {"conversations": [{"role": "user", "content": f"问{i}"}, {"role": "assistant", "content": f"答{i}"}]}
    )
    + "\n"
    for i in range(2000)
).encode()
TEXTS = "".join(json.dumps({"text": f"第{i}篇"}) + "\n" for i in range(5)).encode()

QUICK = {"delay": 0, "backoff": 0.001, "timeout": 1.0, "retries": 2, "progress": False}


def hugging_face(files, repository, *, digest=None):
    """What Hugging Face answers about a dataset: its list of files, and each file."""
    rows = [{"type": "directory", "path": "data", "size": 0, "oid": "0" * 40}]
    for path, body in files.items():
        lfs = {"oid": digest or hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
        rows.append({"type": "file", "path": path, "size": len(body), "oid": "1" * 40, "lfs": lfs})
    rows.append({"type": "file", "path": "README.md", "size": 10, "oid": "2" * 40})
    answers = {f"/api/datasets/{repository}/tree/main": Reply(json.dumps(rows).encode())}
    return answers | {
        f"/datasets/{repository}/resolve/main/{path}": ranged(body) for path, body in files.items()
    }


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    options = QUICK | {"cache_dir": tmp_path / "cache"}
    return lambda server: options | {"base_url": server.url}


def test_stories_come_from_hugging_face_one_by_one(hub):
    files = {"TinyStoriesV2-GPT4-train.txt": STORIES, "TinyStories-train.txt": b"an older edition"}
    with LocalServer(hugging_face(files, "roneneldan/TinyStories")) as server:
        stories = list(load_hub_corpus("tinystories", **hub(server)))
    assert [story.text for story in stories] == ["Once upon a time.", "The end.\n\nReally."]
    assert stories[1].source.endswith("TinyStoriesV2-GPT4-train.txt:2")


def test_conversations_come_from_modelscope(hub):
    repository = "/api/v1/datasets/gongjy/minimind_dataset/repo"
    row = {"Type": "blob", "Path": "sft_mini_512.jsonl", "Size": len(CHATS)}
    row["Sha256"] = hashlib.sha256(CHATS).hexdigest()
    listed = {"Code": 200, "Data": {"Files": [row, {"Type": "tree", "Path": "dpo", "Size": 0}]}}
    answers = {
        f"{repository}/tree?Revision=master": Reply(json.dumps(listed).encode()),
        f"{repository}?Revision=master&FilePath=sft_mini_512.jsonl": ranged(CHATS),
    }
    with LocalServer(answers) as server:
        chats = list(load_hub_corpus("minimind-sft", split="all", hub="modelscope", **hub(server)))
    assert len(chats) == 2000
    assert chats[7].text == "问7\n\n答7"
    assert chats[7].meta["conversations"][1] == {"role": "assistant", "content": "答7"}


def test_conversations_are_fetched_to_be_learned_from(hub, tmp_path):
    files = {"sft_t2t_mini.jsonl": CHATS}
    with LocalServer(hugging_face(files, "jingyaogong/minimind_dataset")) as server:
        options = hub(server)
        chats = list(load_hub_conversations("minimind-sft", format="conversations", **options))
    assert len(chats) == 2000
    assert chats[7].turns == (("user", "问7"), ("assistant", "答7"))
    path = next(tmp_path.rglob("sft_t2t_mini.jsonl"))
    assert list(load_hub_conversations("minimind-sft", path=path)) == chats
    with pytest.raises(TypeError, match="max_faulty"):
        load_hub_conversations("minimind-sft", path=path, max_faulty=1)


def test_an_interrupted_download_goes_on_where_it_stopped(hub):
    repository = "jingyaogong/minimind_dataset"
    answers = hugging_face({"sft_t2t_mini.jsonl": CHATS}, repository)
    file = f"/datasets/{repository}/resolve/main/sft_t2t_mini.jsonl"
    answers[file] = [ranged(CHATS, sent=50_000), ranged(CHATS)]
    with LocalServer(answers) as server:
        path = fetch_hub_corpus("minimind-sft", split="all", **hub(server))
        assert path.read_bytes() == CHATS
        assert [headers.get("Range") for asked, headers in server.asked if asked == file] == [
            None,
            "bytes=50000-",
        ]
        asked = len(server.asked)
        assert fetch_hub_corpus("minimind-sft", split="all", **hub(server)) == path
        assert len(server.asked) == asked + 1, "only the list is asked for again"


def test_a_file_with_another_hash_is_refused(hub, tmp_path):
    files = {"pretrain_hq.jsonl": TEXTS}
    answers = hugging_face(files, "jingyaogong/minimind_dataset", digest="a" * 64)
    with LocalServer(answers) as server, pytest.raises(DownloadError, match="SHA-256"):
        fetch_hub_corpus("minimind-pretrain", split="all", **hub(server))
    assert not list(tmp_path.rglob("pretrain_hq.jsonl"))


def test_what_is_in_the_cache_serves_without_a_network(hub):
    with LocalServer(hugging_face({"pretrain_hq.jsonl": TEXTS}, "jingyaogong/minimind_dataset")) as server:
        options = hub(server)
        online = list(load_hub_corpus("minimind-pretrain", split="all", **options))
    with pytest.warns(UserWarning, match=r"pretrain_hq\.jsonl is used unchecked, as the hub cannot be asked"):
        assert list(load_hub_corpus("minimind-pretrain", split="all", **options)) == online
    assert [document.text for document in online] == [f"第{i}篇" for i in range(5)]
    with pytest.raises(DownloadError, match="after 3 attempts"):
        load_hub_corpus("minimind-sft", split="all", **options)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_local_file_of_the_published_shape_is_read_without_asking_anybody(tmp_path, compressed):
    path = tmp_path / ("mine.jsonl.gz" if compressed else "mine.jsonl")
    path.write_bytes(gzip.compress(TEXTS) if compressed else TEXTS)
    documents = list(load_hub_corpus("minimind-pretrain", path=path, base_url="http://127.0.0.1:1"))
    assert documents[4].text == "第4篇"
    assert documents[4].source == f"{path}:5"


def test_what_is_wrong_is_named(hub):
    with LocalServer(hugging_face({"other.jsonl": TEXTS}, "jingyaogong/minimind_dataset")) as server:
        with pytest.raises(NotOnHubError, match=r"holds no pretrain_t2t_mini\.jsonl or .* README\.md, other"):
            fetch_hub_corpus("minimind-pretrain", split="all", **hub(server))
        with pytest.raises(DownloadError, match="404"):
            fetch_hub_corpus("tinystories", **hub(server))
    answers = {"/api/datasets/roneneldan/TinyStories/tree/main": Reply(b'{"error": 1}')}
    with (
        LocalServer(answers) as server,
        pytest.raises(NotOnHubError, match="not a list of a repository's files"),
    ):
        fetch_hub_corpus("tinystories", **hub(server))
    for file in (
        {"size": -1},
        {"size": 1e400},
        {"size": "many"},
        {"size": None},
        {"size": 5, "lfs": {"oid": "../../x"}},
        {"size": 5, "lfs": "x"},
    ):
        rows = json.dumps([{"type": "file", "path": "TinyStories-train.txt", **file}]).encode()
        answers = {"/api/datasets/roneneldan/TinyStories/tree/main": Reply(rows)}
        with LocalServer(answers) as server, pytest.raises(NotOnHubError, match="not a list of a repository"):
            fetch_hub_corpus("tinystories", **hub(server))
    with pytest.raises(ValueError, match="split 'test'; allowed are 'train', 'validation'"):
        fetch_hub_corpus("tinystories", split="test")
    with pytest.raises(ValueError, match="there is no corpus 'c4' on the hubs; available are tinystories"):
        fetch_hub_corpus("c4")
    with pytest.raises(ValueError, match="hub is 'github'; allowed are 'huggingface', 'modelscope'"):
        fetch_hub_corpus("tinystories", hub="github")
