from __future__ import annotations

import gzip
import io
import zipfile

import pytest

from minillm_lib.corpora.files import read_files
from minillm_lib.corpora.reading.report import ReadError, ReadReport

PAGE = """<!DOCTYPE html><html><head>{meta}<title> 标题 &amp; 一 </title><style>p{{}}</style>
<script>var hidden = "script";</script></head><body><nav><a href="/">Home</a></nav><header>the site</header>
<div>今天 <b>天气</b>很好 &lt;ok&gt;&nbsp;&eacute;</div><p>第二
段<br>换行</p><ul><li>甲</li><li>乙</li></ul>
<footer>copyright</footer><aside>see also</aside><div style="display: none">not shown</div>
<!-- comment --></body></html>"""
TEXT = "今天 天气很好 <ok> é\n\n第二 段\n换行\n\n甲\n乙"


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", ["t.html", "t.htm", "t", "t.html.gz"])
@pytest.mark.parametrize(("meta", "encoding"), [
    ("", "utf-8"),
    ('<meta charset="utf-8">', "utf-8"),
    ("<meta charset=gb2312>", "gb18030"),
    ('<meta http-equiv="Content-Type" content="text/html; charset=GBK">', "gbk"),
    ("", "gbk"),
    ('<meta charset="utf-8">', "gbk"),
    ('<meta charset="gb2312">', "utf-8"),
    ('<meta charset="nonsense">', "utf-16"),
])  # fmt: skip
def test_a_web_page_gives_its_visible_text(tmp_path, name, meta, encoding):
    pytest.importorskip("selectolax")
    page = PAGE.format(meta=meta).encode(encoding, "xmlcharrefreplace")
    path = write(tmp_path, name, gzip.compress(page) if name.endswith("gz") else page)
    (document,) = read_files(path, documents="file")
    assert document.text == TEXT
    assert document.meta == {"title": "标题 & 一"}
    assert [document.text for document in read_files(path)] == TEXT.split("\n\n")


def test_the_main_part_is_taken_where_a_page_marks_it(tmp_path):
    pytest.importorskip("selectolax")
    page = f"<body><div>menu</div><main><article><header>By me</header><p>{'word ' * 50}</p></article></main></body>"
    (document,) = read_files(write(tmp_path, "t.html", page), documents="file")
    assert document.text == "By me\n\n" + "word " * 49 + "word"
    assert document.meta == {"title": "t"}
    with pytest.raises(ReadError, match=r"1 \.html, a web page without text"):
        list(read_files(write(tmp_path, "e.html", "<html><body><script>1</script></body></html>")))


@pytest.mark.parametrize("opening", ["<div>", "<SECTION class=a>", "<p><ul><li>"])
def test_a_page_that_is_nested_too_deep_is_refused_before_it_is_parsed(tmp_path, opening):
    pytest.importorskip("selectolax")
    with pytest.raises(
        ReadError, match="its elements are nested 100,000 deep, and at most 5,000 levels are read"
    ):
        list(read_files(write(tmp_path, "t.html", opening * 100_000 + "a word")))
    flat = "<div>one word</div><br><img src=x><p>" * 6000 + "<script>for (i=0;i<table;i++) {}</script>"
    (document,) = read_files(write(tmp_path, "t.html", flat), documents="file")
    assert document.text.count("one word") == 6000


def pdf(*pages, title=None):
    matplotlib = pytest.importorskip("matplotlib")
    figure_of = pytest.importorskip("matplotlib.figure").Figure
    backend = pytest.importorskip("matplotlib.backends.backend_pdf")
    file = io.BytesIO()
    metadata = {"Title": title} if title else None
    with matplotlib.rc_context({"pdf.fonttype": 42}), backend.PdfPages(file, metadata=metadata) as book:
        for page in pages:
            figure = figure_of()
            figure.text(0.1, 0.5, page)
            book.savefig(figure)
    return file.getvalue()


@pytest.mark.parametrize("name", ["t.pdf", "t.pdf.gz", "no-ending"])
def test_a_pdf_gives_its_pages(tmp_path, name):
    pytest.importorskip("pypdfium2")
    content = pdf("First page\nsecond line", "Second page", title="A Title")
    path = write(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
    report = ReadReport()
    assert [document.text for document in read_files(path, report=report)] == [
        "First page\nsecond line",
        "Second page",
    ]
    assert report.notes[0].startswith("each page was taken for a document")
    (document,) = read_files(path, documents="file")
    assert (document.text, document.meta) == ("First page\nsecond line\n\nSecond page", {"title": "A Title"})
    assert len(list(read_files(path, documents="line"))) == 3


def test_a_title_that_a_program_wrote_is_none(tmp_path):
    pytest.importorskip("pypdfium2")
    (document,) = read_files(
        write(tmp_path, "paper.v2.pdf", pdf("Text", title="Microsoft Word - x.doc")), documents="file"
    )
    assert document.meta == {"title": "paper.v2"}


def test_pdfs_that_cannot_be_read_are_named_with_the_reason(tmp_path):
    pytest.importorskip("pypdfium2")
    write(tmp_path, "good.pdf", pdf("Text"))
    write(tmp_path, "scan.pdf", pdf("", ""))
    write(tmp_path, "cut.pdf", pdf("Text")[:300])
    write(tmp_path, "page.pdf", "<html><body>404</body></html>")
    for number in range(20):
        write(tmp_path, f"stub{number}.pdf", "%PDF-1.4\n%stub")
    report = ReadReport()
    with pytest.warns(UserWarning, match="23 files passed over"):
        (document,) = read_files(tmp_path, report=report)
    assert document.text == "Text"
    lines = str(report).split("\n")
    assert any(line.startswith("  21 .pdf, a broken PDF") and line.endswith(" …") for line in lines)
    assert f"  1 .pdf, a PDF without text; it may be a scan: {tmp_path / 'scan.pdf'}" in lines
    assert f"  1 .pdf, not a PDF file, or a broken one: {tmp_path / 'page.pdf'}" in lines


def word(*paragraphs, title="", doctype="", padding=0, footnote=""):
    file = io.BytesIO()
    office = "http://schemas.openxmlformats.org"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml", f'<Types xmlns="{office}/package/2006/content-types"></Types>'
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{office}/package/2006/relationships">'
            f'<Relationship Id="r" Target="word/document.xml" '
            f'Type="{office}/officeDocument/2006/relationships/officeDocument"/></Relationships>',
        )
        body = "".join(f"<w:p><w:r><w:t>{paragraph}</w:t></w:r></w:p>" for paragraph in paragraphs)
        namespace = f"{office}/wordprocessingml/2006/main"
        archive.writestr(
            "word/document.xml",
            f'{doctype}<w:document xmlns:w="{namespace}"><w:body>{body}</w:body></w:document>'
            + " " * padding,
        )
        if footnote:
            archive.writestr(
                "word/_rels/document.xml.rels",
                f'<Relationships xmlns="{office}/package/2006/relationships"><Relationship Id="f" '
                f'Target="footnotes.xml" Type="{office}/officeDocument/2006/relationships/footnotes"/></Relationships>',
            )
            archive.writestr(
                "word/footnotes.xml",
                f'<w:footnotes xmlns:w="{namespace}"><w:footnote w:id="2"><w:p><w:r><w:t>{footnote}</w:t></w:r></w:p>'
                "</w:footnote></w:footnotes>",
            )
        if title:
            archive.writestr(
                "docProps/core.xml",
                f'<c xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></c>',
            )
    return file.getvalue()


@pytest.mark.parametrize("name", ["t.docx", "t.docx.gz", "no-ending"])
def test_a_word_file_gives_its_paragraphs(tmp_path, name):
    pytest.importorskip("mammoth")
    content = word("Dear Sir", "你好 &amp; goodbye", title="A Letter")
    path = write(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
    assert [document.text for document in read_files(path)] == ["Dear Sir", "你好 & goodbye"]
    (document,) = read_files(path, documents="file")
    assert (document.text, document.meta) == ("Dear Sir\n\n你好 & goodbye", {"title": "A Letter"})


def test_a_word_file_gives_its_footnotes_and_breaks_its_lines(tmp_path):
    pytest.importorskip("mammoth")
    body = 'one</w:t><w:br/><w:t>two</w:t><w:footnoteReference w:id="2"/><w:t>'
    path = write(tmp_path, "t.docx", word(body, "three", footnote="a note"))
    (document,) = read_files(path, documents="file")
    assert document.text == "one\ntwo\n\nthree\n\na note"


ENTITIES = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(("content", "reason"), [
    (b"PKstub", "not a Word file, or a broken one"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "encrypted with a password, or of an old format"),
    (lambda: word("text")[:-40], "broken"),
    (lambda: word("&b;", doctype=ENTITIES), "it declares entities, which a Word file does not need"),
    (lambda: word("text", padding=200_000_000), "it unpacks to more than 200 times its size"),
    (lambda: word("text").replace(b"document.xml", b"dokument.xml"), "an archive"),
    (lambda: word("<w:unclosed>"), "broken"),
    (lambda: word(""), None),
])  # fmt: skip
def test_word_files_that_cannot_be_read_are_named_with_the_reason(tmp_path, content, reason):
    pytest.importorskip("mammoth")
    path = write(tmp_path, "t.docx", content if isinstance(content, bytes) else content())
    match = rf"1 \.docx, {reason}" if reason else r"1 file empty"
    with pytest.raises(ReadError, match=match):
        list(read_files(path))
