"""``docstring-qa``: questions and answers made by rules from the ``docstrings`` corpus, so that no answer is invented.

There are five kinds of question about a public function, method or class: what it does (``purpose``), which parameters
it takes (``parameters``), what one of them means (``parameter``), what it returns (``returns``), and, in the other
direction, which object does something (``which``). Questions are in English or Chinese. The content of an answer is
quoted from the docstring and therefore in English. A Chinese answer puts a short Chinese frame around the quotation,
so that the reply is in the language of the question. ``meta["quotes"]`` lists the quotations.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from itertools import islice
from pathlib import Path
from random import Random
from typing import Literal

from minillm_lib.corpora.conversations import LANGUAGES, Conversation, Language
from minillm_lib.corpora.docstrings.corpus import load_docstrings
from minillm_lib.corpora.document import Document, Split

Kind = Literal["purpose", "parameters", "parameter", "returns", "which"]
SOURCE = "docstring-qa"

MAX_QUOTE = 300
"""Length of the longest quotation in characters; a longer text is shortened to its first sentences."""

OBJECTS_PER_PACKAGE: dict[Split, int] = {"train": 900, "validation": 50, "test": 50}
"""Maximum number of objects per package that are asked about. Without a limit, one question in three would be about
transformers (hundreds of models whose classes differ in little except their names), sympy or torch."""

_MIN_SUMMARY = 15
_MAX_PARAMETERS = 12

QUESTIONS: dict[tuple[Kind, Language], tuple[str, ...]] = {
    ("purpose", "en"): (
        "What does {name} do?",
        "What is {name} for?",
        "Explain {name} in a sentence or two.",
        "What is the purpose of {name}?",
        "Tell me about the {kind} {name}.",
        "I came across {name} in some code. What is it?",
        "When would I need {name}?",
    ),
    ("purpose", "zh"): (
        "{name} 有什么用？",
        "{name} 是做什么的？",
        "请解释一下 {name}。",
        "{kind} {name} 的作用是什么？",
        "我在代码里看到 {name}，它是什么？",
        "用一两句话说说 {name}。",
        "什么时候会用到 {name}？",
    ),
    ("parameters", "en"): (
        "Which parameters does {name} take?",
        "What can I pass to {name}?",
        "List the arguments of {name}.",
        "What are the parameters of {name} called?",
        "How is {name} called? Name its arguments.",
        "Remind me of the arguments of {name}.",
    ),
    ("parameters", "zh"): (
        "{name} 有哪些参数？",
        "{name} 可以传入哪些参数？",
        "列出 {name} 的参数。",
        "调用 {name} 时要给哪些参数？",
        "{kind} {name} 的参数叫什么名字？",
        "提醒我一下 {name} 的参数。",
    ),
    ("parameter", "en"): (
        "What does the parameter {parameter} of {name} mean?",
        "What is {parameter} in {name}?",
        "Explain the argument {parameter} of {name}.",
        "In {name}, what is {parameter} for?",
        "What should I pass as {parameter} to {name}?",
        "Describe {name}'s parameter {parameter}.",
    ),
    ("parameter", "zh"): (
        "{name} 的参数 {parameter} 是什么意思？",
        "{name} 里的 {parameter} 是什么？",
        "解释一下 {name} 的参数 {parameter}。",
        "在 {name} 中，{parameter} 有什么用？",
        "调用 {name} 时，{parameter} 应该传什么？",
        "说明 {name} 的 {parameter} 参数。",
    ),
    ("returns", "en"): (
        "What does {name} return?",
        "What do I get back from {name}?",
        "Describe the return value of {name}.",
        "What is the result of calling {name}?",
        "What comes out of {name}?",
    ),
    ("returns", "zh"): (
        "{name} 返回什么？",
        "{name} 的返回值是什么？",
        "调用 {name} 会得到什么？",
        "说明一下 {name} 的返回值。",
        "{kind} {name} 的结果是什么？",
    ),
    ("which", "en"): (
        "Which {kind} does this: {summary}",
        "In {package}, which {kind} is described so: {summary}",
        "I am looking for a {kind} of {package}. {summary}",
        "Name the {kind} with this purpose. {summary}",
        "Which {kind} should I use for this? {summary}",
    ),
    ("which", "zh"): (
        "哪个{kind}的作用是这样的：{summary}",
        "{package} 里哪个{kind}的说明是：{summary}",
        "我想找 {package} 的一个{kind}：{summary}",
        "说出有这个用途的{kind}：{summary}",
        "做这件事该用哪个{kind}？{summary}",
    ),
}
"""The phrasings of each kind of question; one is drawn for each question."""

ANSWERS: dict[tuple[Kind, Language], str] = {
    ("purpose", "en"): "{quote}",
    ("purpose", "zh"): "{name} 的作用，原文是：{quote}",
    ("parameters", "en"): "The parameters of {name}: {quote}.",
    ("parameters", "zh"): "{name} 的参数有：{quote}。",
    ("parameter", "en"): "{quote}",
    ("parameter", "zh"): "参数 {parameter} 的说明：{quote}",
    ("returns", "en"): "{quote}",
    ("returns", "zh"): "返回值的说明：{quote}",
    ("which", "en"): "{name}.",
    ("which", "zh"): "是 {name}。",
}
"""The frames around the quotations."""

_KINDS = {
    "en": {"function": "function", "class": "class", "method": "method"},
    "zh": {"function": "函数", "class": "类", "method": "方法"},
}


@dataclass(frozen=True, slots=True)
class Field:
    """The parts of a docstring's entry for a parameter or a returned value, word for word; empty if missing."""

    name: str = ""
    type: str = ""
    description: str = ""

    @property
    def quotes(self) -> tuple[str, ...]:
        """The parts that are not empty, in the order name, type, description."""
        return tuple(part for part in (self.name, self.type, self.description) if part)


@dataclass(frozen=True, slots=True)
class ParsedDocstring:
    """The parts of a docstring that can be quoted, with white space reduced to single spaces.

    Attributes
    ----------
    summary
        Its first sentences.
    parameters, returns
        The entries of its sections on parameters and returned values.
    is_complete
        Whether every entry of the sections on parameters could be read.
    """

    summary: str = ""
    parameters: tuple[Field, ...] = ()
    returns: tuple[Field, ...] = ()
    is_complete: bool = True


_PARAMETERS = ("parameters", "args", "arguments", "other parameters", "keyword args", "keyword arguments")
_RETURNS = ("returns", "return")
_GOOGLE_HEADING = re.compile(r"([A-Z][A-Za-z]+(?: [A-Za-z]+)?):")
_SPHINX_FIELD = re.compile(r":(\w+)(?:\s+([^:]*?))?:\s*(.*)")
_SIGNATURE = re.compile(r"[\w.]+\(.*\)(?:\s*->.*)?", re.DOTALL)
_NUMPY_PARAMETER = re.compile(r"(\*{0,2}[A-Za-z_]\w*(?:,\s*\*{0,2}[A-Za-z_]\w*)*)(?:\s*:\s*(.*))?()")
_GOOGLE_PARAMETER = re.compile(r"`{0,2}(\*{0,2}[A-Za-z_]\w*)`{0,2}\s*(?:\((.*?)\))?\s*:(?:\s+(.*)|$)")
_GOOGLE_RETURN = re.compile(r"([`\w.\[\], |]{1,60}):\s+(.*)")
_NOT_TO_BE_USED = re.compile(r"\b(?:deprecated|internal|private)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[A-Z`\"'(\[*].* .*[^,;:]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'`(\[]*[A-Z])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|approx|al|Fig|Eq|No|resp)|\b[A-Z])\.$")


def parse_docstring(text: str) -> ParsedDocstring:
    """Read the summary, the parameters and the returned values of a docstring in numpy's, Google's or Sphinx's style.

    Whatever cannot be read with certainty is left out: code, lists, tables, and text whose first sentence is longer
    than :data:`MAX_QUOTE` characters.
    """
    introduction, sections = _divided(text.split("\n"))
    parameters: dict[str, Field] = {}
    returns: list[Field] = []
    is_complete = True
    for title, is_numpy, body in sections:
        if title in _PARAMETERS:
            found, whole = _parameters(body, is_numpy)
            parameters |= {each.name: each for each in found if each.name not in parameters}
            is_complete = is_complete and whole
        elif title in _RETURNS and not returns:
            returns = _returned(body, is_numpy)
    return ParsedDocstring(_summary(introduction), tuple(parameters.values()), tuple(returns), is_complete)


def _divided(lines: Sequence[str]) -> tuple[list[str], list[tuple[str, bool, list[str]]]]:
    """Divide a docstring into the lines before the first section and the sections.

    Each section is given by its title, whether the title is underlined, and its lines. Each field in Sphinx's style
    becomes a section in Google's style.
    """
    introduction: list[str] = []
    sections: list[tuple[str, bool, list[str]]] = []
    body = introduction
    skip = False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if skip:
            skip = False
        elif line.strip() and re.fullmatch(r"[-=~]{3,}\s*", following) and not line[0].isspace():
            sections.append((line.strip().rstrip(":").lower(), True, body := []))
            skip = True
        elif heading := _GOOGLE_HEADING.fullmatch(line.rstrip()):
            sections.append((heading[1].lower(), False, body := []))
        elif sphinx := _SPHINX_FIELD.fullmatch(line):
            title, entry = _from_sphinx(*sphinx.groups())
            sections.append((title, False, body := [entry]))
        else:
            body.append(line)
    return introduction, sections


def _from_sphinx(tag: str, argument: str | None, text: str) -> tuple[str, str]:
    """Convert ``:param int n: The size.`` to its section and the entry ``n (int): The size.``."""
    if tag in ("param", "parameter", "arg", "argument", "keyword") and argument:
        *kind, name = argument.split()
        return "parameters", f"{name} ({' '.join(kind)}): {text}" if kind else f"{name}: {text}"
    return ("returns" if tag in _RETURNS else tag), text


def _summary(lines: Sequence[str]) -> str:
    paragraphs = [part for part in "\n".join(lines).split("\n\n") if part.strip()]
    if len(paragraphs) > 1 and _SIGNATURE.fullmatch(paragraphs[0].strip()):
        paragraphs.pop(0)
    summary = _quotable(paragraphs[0].split("\n")) if paragraphs else ""
    is_sentence = _SENTENCE.fullmatch(summary) and not _GOOGLE_PARAMETER.fullmatch(summary)
    return summary if is_sentence and len(summary) >= _MIN_SUMMARY else ""


def _items(body: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the entries of a section: a line without indentation, and the indented lines under it."""
    entry: tuple[str, list[str]] | None = None
    for line in cleandoc("\n" + "\n".join(body)).split("\n"):
        if line and not line[0].isspace():
            if entry:
                yield entry
            entry = line.strip(), []
        elif entry:
            entry[1].append(line)
    if entry:
        yield entry


def _parameters(body: Sequence[str], is_numpy: bool) -> tuple[list[Field], bool]:
    """Return the parameters of a section, and whether all its entries could be read."""
    fields: list[Field] = []
    is_complete = True
    for head, lines in _items(body):
        match = (_NUMPY_PARAMETER if is_numpy else _GOOGLE_PARAMETER).fullmatch(head)
        if match is None:
            is_complete = False
            continue
        names, kind, first = match.groups("")
        for name in names.split(","):
            fields.append(Field(name.strip(), _type(kind), _quotable([first, *lines])))
    return fields, is_complete


def _returned(body: Sequence[str], is_numpy: bool) -> list[Field]:
    items = list(_items(body))
    if not is_numpy:
        lines = cleandoc("\n" + "\n".join(body)).split("\n")
        match = _GOOGLE_RETURN.fullmatch(lines[0])
        found = Field("", match[1].strip(), _quotable([match[2], *lines[1:]])) if match else Field()
        found = found if found.description else Field("", "", _quotable(lines))
        return [found] if found.description else []
    fields = []
    for head, lines in items:
        name, colon, kind = head.partition(" : ")
        description = _quotable(lines)
        fields.append(
            Field(name.strip(), _type(kind), description) if colon else Field("", _type(head), description)
        )
    return fields if all(field.quotes for field in fields) else []


def _type(text: str | None) -> str:
    kind = " ".join((text or "").split()).rstrip(",.")
    return kind if len(kind) <= 100 else ""


def _quotable(lines: Sequence[str]) -> str:
    """Return the first paragraph on one line; empty if it is not running text.

    A long paragraph is shortened to its first sentences.
    """
    paragraph = cleandoc("\n".join(lines)).split("\n\n")[0]
    own = paragraph.split("\n")
    text = " ".join(paragraph.split())
    is_list = any(re.match(r"\s*(?:[-*+•]|\d+[.)])\s", line) for line in own[1:]) or text[:2] in ("- ", "* ")
    if is_list or re.search(r">>>|\|\s|={4}|-{4}|\.\. ", text):
        return ""
    if text.endswith(":"):  # it announces something that is not quoted
        text = text[: max(text.rfind(". ") + 1, 0)]
    return _first_sentences(text)


def _first_sentences(text: str) -> str:
    quote = ""
    for sentence in _sentences(text):
        longer = f"{quote} {sentence}".strip()
        if len(longer) > MAX_QUOTE:
            break
        quote = longer
    return quote


def _sentences(text: str) -> Iterator[str]:
    start = ""
    for part in _SENTENCE_END.split(text):
        start = f"{start} {part}".strip()
        if not _ABBREVIATION.search(part):
            yield start
            start = ""
    if start:
        yield start


@dataclass(frozen=True, slots=True)
class _Facts:
    kind: Kind
    quote: str
    quotes: tuple[str, ...]
    parameter: str = ""


def _facts(parsed: ParsedDocstring, signature: str, is_unique: bool) -> dict[Kind, list[_Facts]]:
    """Return what can be asked about an object, by kind of question."""
    facts: dict[Kind, list[_Facts]] = {}
    if parsed.summary:
        facts["purpose"] = [_Facts("purpose", parsed.summary, (parsed.summary,))]
        if is_unique and not _NOT_TO_BE_USED.search(parsed.summary):
            facts["which"] = [_Facts("which", "", ())]
    names = tuple(each.name for each in parsed.parameters)
    agrees = not signature or _names_in(signature) == {name.lstrip("*") for name in names}
    if parsed.is_complete and agrees and 1 <= len(names) <= _MAX_PARAMETERS:
        facts["parameters"] = [_Facts("parameters", ", ".join(names), names)]
    described = [each for each in parsed.parameters if each.description]
    if described:
        facts["parameter"] = [
            _Facts("parameter", _stated(each), each.quotes, each.name) for each in described
        ]
    returned = " ".join(map(_stated, parsed.returns))
    if parsed.returns and len(returned) <= 2 * MAX_QUOTE:
        quotes = tuple(quote for each in parsed.returns for quote in each.quotes)
        facts["returns"] = [_Facts("returns", returned, quotes)]
    return facts


def _names_in(signature: str) -> set[str]:
    """Return the parameters of a signature such as ``(self, n: int=1, *rest)``, except ``self`` and ``cls``."""
    arguments = ast.parse(f"def f{signature}: pass").body[0].args  # type: ignore[attr-defined]
    found = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        arguments.vararg,
        arguments.kwarg,
    ]
    return {each.arg for each in found if each} - {"self", "cls"}


def _stated(value: Field) -> str:
    """Return ``name (type): description``, or as much of it as is known."""
    head = f"{value.name} ({value.type})" if value.name and value.type else value.name or value.type
    return f"{head}: {value.description}" if head and value.description else head or value.description


def docstring_questions(
    documents: Iterable[Document],
    *,
    seed: int = 0,
    language: Language | None = None,
    objects_per_package: int | None = None,
) -> Iterator[Conversation]:
    """Ask about each public function, method and class among the documents of the ``docstrings`` corpus.

    For every object there is one question of each kind that its docstring can answer. The seed and the object's name
    determine the phrasing, the language and, for ``parameter``, which parameter is asked about. An object with nothing
    but a summary gets one question only, either ``purpose`` or ``which``. ``which`` is asked only if no other document
    has the same summary. The order of the objects depends on the seed as well.

    Parameters
    ----------
    documents
        Documents of :func:`~minillm_lib.corpora.docstrings.corpus.load_docstrings`.
    seed
        Seed for the order of the objects and for the choices above.
    language
        ``"en"`` or ``"zh"`` for all questions; drawn for each question if None.
    objects_per_package
        Ask about at most this many objects of each package, the first in the order drawn; all if None.

    Raises
    ------
    ValueError
        If the language is unknown.
    """
    if language not in (*LANGUAGES, None):
        raise ValueError(f"language is {language!r}; allowed are 'en', 'zh' and None")
    # A property's getter and setter share a name: only the first of them is kept.
    by_name = {document.meta["object"]: document for document in reversed(list(documents))}
    parsed = [(document, parse_docstring(document.text)) for document in by_name.values()]
    occurrences = Counter(_words(each.summary) for _, each in parsed)
    n_asked: Counter[str] = Counter()
    for document, each in sorted(parsed, key=lambda pair: _lot(seed, pair[0])):
        package = document.meta["package"]
        if _is_public(document) and n_asked[package] != objects_per_package:
            is_unique = occurrences[_words(each.summary)] == 1
            conversations = list(_conversations(document, each, is_unique, seed, language))
            n_asked[package] += bool(conversations)
            yield from conversations


def load_docstring_qa(
    split: Split = "train",
    n: int | None = None,
    *,
    seed: int = 0,
    language: Language | None = None,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> Iterator[Conversation]:
    """Yield questions about the objects of one split of the ``docstrings`` corpus.

    The splits are those of :func:`~minillm_lib.corpora.docstrings.corpus.load_docstrings`. They divide the objects, so
    that no question of test is answered in train. At most :data:`OBJECTS_PER_PACKAGE` objects of a package are asked
    about.

    ``meta`` holds ``object``, ``package``, ``kind`` (of question), ``language`` and ``quotes``. The same docstrings and
    the same seed give the same conversations in the same order, and a larger ``n`` only adds conversations at the end.
    The text stays under the licence of its package.

    Parameters
    ----------
    n
        Yield at most this many conversations; all if None.
    seed, language
        See :func:`docstring_questions`.
    cache_dir
        Folder of the cached corpus; :func:`~minillm_lib.io.cache.default_cache_dir` if None.

    Raises
    ------
    ValueError
        If ``n`` is negative, or the split or the language is unknown.
    DocstringsError
        If none of the packages of the corpus is installed.
    """
    if n is not None and n < 0:
        raise ValueError(f"n is {n}; it must be at least 0, or None for all")
    documents = load_docstrings(split, cache_dir=cache_dir, progress=progress)
    questions = docstring_questions(
        documents, seed=seed, language=language, objects_per_package=OBJECTS_PER_PACKAGE[split]
    )
    yield from islice(questions, n)


def _is_public(document: Document) -> bool:
    parts = str(document.meta["object"]).split(".")
    return document.meta["kind"] in _KINDS["en"] and not any(part.startswith("_") for part in parts)


def _lot(seed: int, document: Document) -> bytes:
    return hashlib.sha256(f"{seed} {document.meta['object']}".encode()).digest()


def _words(text: str) -> str:
    return re.sub(r"\W+", " ", text).lower().strip()


def _conversations(
    document: Document, parsed: ParsedDocstring, is_unique: bool, seed: int, language: Language | None
) -> Iterator[Conversation]:
    random = Random(_lot(seed, document))
    facts = _facts(parsed, document.meta["signature"], is_unique)
    if facts.keys() == {"purpose", "which"}:
        del facts[random.choice(("purpose", "which"))]
    for kind, choices in facts.items():
        asked, drawn = random.choice(choices), random.choice(LANGUAGES)
        question = random.choice(QUESTIONS[kind, language or drawn])
        yield _conversation(document, parsed.summary, asked, language or drawn, question)


def _conversation(
    document: Document, summary: str, asked: _Facts, language: Language, question: str
) -> Conversation:
    about = document.meta
    words = {
        "name": about["object"],
        "kind": _KINDS[language][about["kind"]],
        "package": "Python" if about["package"] == "python" else about["package"],
        "summary": summary,
        "parameter": asked.parameter.lstrip("*"),
        "quote": asked.quote,
    }
    meta = {
        "object": about["object"],
        "package": about["package"],
        "kind": asked.kind,
        "language": language,
        "quotes": asked.quotes,
    }
    answer = ANSWERS[asked.kind, language].format(**words)
    return Conversation.of(question.format(**words), answer, SOURCE, meta)
