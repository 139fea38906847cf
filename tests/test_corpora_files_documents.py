from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm_lib.corpora.files import read_documents, strip_markdown


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_text_file_is_one_document_a_paragraph(tmp_path: Path) -> None:
    path = write(tmp_path, "book.txt", "\n\nFirst\r\nparagraph.\r\n \t\nSecond.\n\n\n\nThird.")
    documents = read_documents(path)
    assert [document.text for document in documents] == ["First\nparagraph.", "Second.", "Third."]
    assert [document.source for document in documents] == [f"{path}:3", f"{path}:6", f"{path}:10"]


def test_a_text_file_without_empty_lines_is_one_document_a_line(tmp_path: Path) -> None:
    documents = read_documents(write(tmp_path, "lines.txt", "one\ntwo\nthree\n\n"))
    assert [(document.text, document.source[-2:]) for document in documents] == [
        ("one", ":1"),
        ("two", ":2"),
        ("three", ":3"),
    ]


def test_a_folder_is_one_document_a_file_in_order_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path, "b.txt", "text b\n\nstill b")
    write(tmp_path, "a/z.md", "# Title\n\ntext z")
    write(tmp_path, "c.jsonl", '{"text": "c1"}\n{"text": "c2"}')
    for name in (".hidden.txt", ".git/x.txt", "picture.png", "empty.txt"):
        write(tmp_path, name, "\x00" if name.endswith("png") else " " if name == "empty.txt" else "hidden")
    documents = read_documents(tmp_path)
    assert [document.text for document in documents] == ["Title\n\ntext z", "text b\n\nstill b", "c1", "c2"]
    assert [document.meta for document in documents] == [{"title": "z"}, {"title": "b"}, {}, {}]


def test_json_lines_keep_their_other_keys(tmp_path: Path) -> None:
    lines = [{"text": "主题模型", "title": "T", "year": 2014}, {"text": "  "}, {"text": "b\n\nb", "id": 7}]
    path = write(
        tmp_path,
        "papers.jsonl",
        "\ufeff" + "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines),
    )
    documents = read_documents(path)
    assert [document.text for document in documents] == ["主题模型", "b\n\nb"]
    assert [dict(document.meta) for document in documents] == [{"title": "T", "year": 2014}, {"id": 7}]
    assert [document.source for document in documents] == [f"{path}:1", f"{path}:5"]


def test_the_text_may_have_another_key(tmp_path: Path) -> None:
    path = write(tmp_path, "papers.jsonl", '{"abstract": "a", "text": 5}')
    (document,) = read_documents(path, text_key="abstract")
    assert (document.text, document.meta) == ("a", {"text": 5})


def test_malformed_lines_are_named_by_file_and_line(tmp_path: Path) -> None:
    lines = [
        '{"text": "good"}',
        '{"text": "cut',
        "[1]",
        '{"body": "x", "year": 1}',
        '{"text": null}',
        "",
        '{"text": "good too"}',
    ]
    path = write(tmp_path, "bad.jsonl", "\n".join(lines))
    with pytest.raises(ValueError, match="malformed lines: 4") as caught:
        read_documents(path)
    message = str(caught.value)
    for number, why in [
        (2, "Unterminated"),
        (3, "list, not an object"),
        (4, r"'body', 'year'"),
        (5, "no text under 'text'"),
    ]:
        assert f"{path}:{number}: " in message
        assert why in message.split(f"{path}:{number}: ")[1].split("\n")[0]
    with pytest.warns(UserWarning, match="malformed lines: 4"):
        documents = read_documents(path, on_malformed="skip")
    assert [document.text for document in documents] == ["good", "good too"]


def test_of_many_malformed_lines_the_first_are_shown(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"malformed lines: 1000(.|\n)*:5: (.|\n)*… and 995 more$"):
        read_documents(write(tmp_path, "bad.jsonl", "{\n" * 1000))


def test_wrong_bytes_are_replaced_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "latin.txt", "na\xefve caf\xe9\nok".encode("latin-1"))
    with pytest.warns(UserWarning, match=r"latin\.txt: 2 bytes are not utf-8"):
        documents = read_documents(path)
    assert [document.text for document in documents] == ["na\ufffdve caf\ufffd", "ok"]
    assert read_documents(path, encoding="latin-1")[0].text == "naïve café"
    chinese = write(tmp_path, "gb.txt", "主题模型".encode("gb18030"))
    assert read_documents(chinese, encoding="gb18030")[0].text == "主题模型"


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
@pytest.mark.parametrize("name", ["empty.txt", "empty.jsonl", "folder/empty.md"])
def test_no_documents_is_an_error_that_says_so(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path, name, content)
    path = path if path.parent == tmp_path else path.parent
    with pytest.raises(ValueError, match=f"no documents in .*{path.name}"):
        read_documents(path)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*nowhere\.txt"):
        read_documents(tmp_path / "nowhere.txt")
    with pytest.raises(ValueError, match=r"'\.pdf'; allowed are \.txt"):
        read_documents(write(tmp_path, "paper.pdf", "%PDF"))
    with pytest.raises(ValueError, match="encoding is 'utf-99'"):
        read_documents(write(tmp_path, "a.txt", "a"), encoding="utf-99")
    with pytest.raises(ValueError, match="on_malformed is 'ignore'"):
        read_documents(tmp_path, on_malformed="ignore")  # type: ignore[arg-type]


def test_markdown_loses_its_markup() -> None:
    marked = (
        "---\ntitle: x\n---\n# A *bold* **title**\n\n> quoted [link](http://a.b/c) and ![image](d.png)\n"
        "- item with `code` and snake_case and 2 * 3 * 4\n1. first\n\n"
        "```python\nimport x\n# no\n```\n<div>kept</div> _so_\n"
    )
    plain = (
        "\n\n\nA bold title\n\nquoted link and image\n"
        "item with code and snake_case and 2 * 3 * 4\nfirst\n\n\n\n\n\nkept so\n"
    )
    assert strip_markdown(marked) == plain


@given(st.text(alphabet="ab #*_`[]()!<>-~\n", max_size=60))
def test_stripping_markdown_keeps_every_line_in_its_place(text: str) -> None:
    assert strip_markdown(text).count("\n") == text.count("\n")


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_any_lines_are_read_back(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    written = write(folder, "lines.txt", "\n".join(lines))
    assert [document.text for document in read_documents(written)] == lines
    records = "\n".join(json.dumps({"text": line}, ensure_ascii=False) for line in lines)
    assert [document.text for document in read_documents(write(folder, "lines.jsonl", records))] == lines
