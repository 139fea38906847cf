"""Prepare a notebook of the course as a page: anchors, alternative texts, hints, static widgets, a Chinese opening."""

from __future__ import annotations

import ast
import base64
import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

Cell = dict[str, Any]
Notebook = dict[str, Any]

HEADING = re.compile(r"^(#{2,3}) (?:(\d+) · |Exercise(?: (\d+))? · )?(.+)$", re.MULTILINE)
EXERCISE = re.compile(r"^### Exercise(?: (\d+))? · .*?\((\d+) points?\)$", re.MULTILINE)
CHECK = re.compile(r"^check\.(\w+)\(", re.MULTILINE)
WHAT_TO_SEE = re.compile(r"\*\*What to see\.\*\*\s+(.+?)(?:\n\n|\Z)", re.DOTALL)
SUMMARY = re.compile(r"^> \*\*中文提要\*\*\s*(.+?)(?:\n\n|\Z)", re.DOTALL | re.MULTILINE)
LIBRARY = re.compile(r"\*\*In the library:\*\*(.+?)(?:\*\*Next:|\n\n|\Z)", re.DOTALL)
# A formula in a line of text: whole for Jupyter, while Markdown begins a list where its second line begins with "+".
_FORMULA = re.compile(r"(?<![\\$])\$(?![\s$])[^$`]+(?<!\s)\$(?!\$)")
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
_LONGEST_ALT = 300

WORDS = {
    "en": {
        "hint": "Hint {n} of {total}",
        "download": "Download this notebook",
        "colab": "Open in Colab",
        "exercises": "{n} exercises ({links}), {points} points",
        "exercise": "[1 exercise](#{label}), {points} points",
        "still": "In the notebook, this can be moved; here it stands as it was when the page was made.",
        "figure": "Figure of the section “{section}”",
        "untranslated": "",
        "docstrings": "",
        "readme": "About this repository (README)",
        "also here": "Also importable from here",
        "modules": "What each file of the package is for; those with public names lead to them.",
    },
    "zh": {
        "hint": "提示 {n}（共 {total} 条）",
        "download": "下载本 notebook",
        "colab": "在 Colab 中打开",
        "exercises": "{n} 道练习（{links}），共 {points} 分",
        "exercise": "[1 道练习](#{label})，共 {points} 分",
        "still": "在 notebook 里可以拖动操作；这里显示的是生成本页时的状态。",
        "figure": "“{section}”一节的图",
        "untranslated": "本页正文暂无中文版，下面是英文原文。",
        "docstrings": "各名称的说明取自代码中的文档字符串，只有英文。",
        "readme": "关于本仓库（README）",
        "also here": "这里也可导入",
        "modules": "软件包的每个文件各有什么用；有公开名称的可以点开。",
    },
}


@dataclass(frozen=True)
class Section:
    """A heading of a notebook with what its code uses and defines, up to the next heading.

    Attributes
    ----------
    label
        Anchor of the heading, unique in the book: ``nb-09-4`` for section 4 of notebook 09.
    number
        Number of the section that it belongs to, "" before the first.
    exercise
        Number of the exercise ("" for the only one); None if it is no exercise.
    title
        The heading without its number.
    used
        What its code uses of what the notebook has imported, in full: ``minillm_lib.topics.GibbsLDA``.
    defined
        The functions and classes that it defines.
    checks
        Exercises that are checked there.
    """

    label: str
    number: str
    exercise: str | None
    title: str
    used: frozenset[str]
    defined: frozenset[str]
    checks: tuple[str, ...]


def number_of(name: str) -> str:
    """Return the two digits that a notebook's name begins with."""
    return name[:2]


def text_of(cell: Cell) -> str:
    """Return a cell's source as one string."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _labels(notebook: str, headings: Iterable[re.Match[str]]) -> Iterator[tuple[re.Match[str], str, str]]:
    """Yield each heading with its label and the number of its section."""
    section, used = "", set[str]()
    for heading in headings:
        level, number, exercise, title = heading.groups()
        if number:
            section = number
        if heading[0].startswith("### Exercise"):
            label = f"nb-{number_of(notebook)}-exercise" + (f"-{exercise}" if exercise else "")
        elif level == "##" and number:
            label = f"nb-{number_of(notebook)}-{number}"
        else:
            words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
            label = f"nb-{number_of(notebook)}-{words}"
        while label in used:
            label += "-again"
        used.add(label)
        yield heading, label, section


def sections(notebook: Notebook, name: str) -> list[Section]:
    """Return the sections of a notebook in order."""
    found: list[tuple[re.Match[str], list[str]]] = []
    imported: dict[str, str] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            found += [(heading, []) for heading in HEADING.finditer(text_of(cell))]
        elif found:
            found[-1][1].append(text_of(cell))
        else:  # before the first heading
            names_in([ast.parse(text_of(cell))], imported)
    labelled = _labels(name, [heading for heading, _ in found])
    names = [names_in([ast.parse(cell) for cell in code], imported) for _, code in found]
    return [
        Section(
            label=label,
            number=number,
            exercise=(heading[3] or "") if heading[0].startswith("### Exercise") else None,
            title=re.sub(r" \(\d+ points?\)$", "", heading[4]),
            used=used,
            defined=defined,
            checks=tuple(CHECK.findall("\n".join(code))),
        )
        for (heading, label, number), (_, code), (used, defined) in zip(labelled, found, names, strict=True)
    ]


def names_in(cells: Iterable[ast.Module], imported: dict[str, str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return what cells use of what has been imported, in full, and the functions and classes that they define.

    Parameters
    ----------
    cells
        The cells in order.
    imported
        From each name that former cells have imported to its full path; it is brought up to date. A name that is
        given to something else counts as imported no longer.
    """
    used, defined = set[str](), set[str]()
    for cell in cells:
        for node in ast.walk(cell):
            if isinstance(node, ast.ImportFrom) and not node.level:
                imported |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
            elif isinstance(node, ast.Import):
                for each in node.names:
                    top = each.name.partition(".")[
                        0
                    ]  # "import a.b" gives a name to a, "import a.b as c" to a.b
                    imported[each.asname or top] = each.name if each.asname else top
        for node in ast.walk(cell):
            rest, root = "", node
            while isinstance(root, ast.Attribute):
                rest, root = f".{root.attr}{rest}", root.value
            if isinstance(root, ast.Name) and isinstance(root.ctx, ast.Load) and root.id in imported:
                used.add(imported[root.id] + rest)
        for node in ast.walk(cell):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
                imported.pop(node.name, None)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                imported.pop(node.id, None)
    return frozenset(used), frozenset(defined)


def library_paths(notebook: Notebook) -> list[str]:
    """Return the modules and rooms that a notebook's end names under "In the library"."""
    texts = [text_of(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    found = [path for text in texts for passage in LIBRARY.findall(text) for path in _paths(passage)]
    return list(dict.fromkeys(found))


def _paths(passage: str) -> list[str]:
    """Return the paths in backticks; a bare file name belongs to the room before it."""
    room, found = "", []
    for path in re.findall(r"`([a-z_/]+(?:\.py|/))`", passage):
        if path.startswith("minillm_lib/"):
            room = path if path.endswith("/") else room
            found.append(path)
        elif room:
            found.append(room + path)
    return [
        path for path in found if not any(other != path and other.startswith(path) for other in found)
    ] or found


def summary_in_chinese(notebook: Notebook) -> str:
    """Return the passage 中文提要 of a notebook's first cell, without the quotation marks."""
    match = SUMMARY.search(text_of(notebook["cells"][0]))
    return re.sub(r"\n> ?", "", match[1]).strip() if match else ""


def plain(markdown: str) -> str:
    """Return Markdown as one line of plain text, as an alternative text needs it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"\\tag\{\d+\}|\$\$?", "", text).replace(r"\mid", "|").replace("{,}", ",")
    text = re.sub(r"\\[,;! ]", " ", text)
    text = re.sub(r"\\(?=[A-Za-z])", "", text)
    text = re.sub(r"\*\*|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)", "", text)
    return " ".join(text.split())


def shortened(text: str, longest: int = _LONGEST_ALT) -> str:
    """Cut a text after the last whole sentence that fits, or else after a word."""
    if len(text) <= longest:
        return text
    end = max(text.rfind(mark, 0, longest) for mark in (". ", "! ", "? ", ": "))
    return text[: end + 1] if end > longest // 3 else text[:longest].rsplit(" ", 1)[0] + " …"


def alternative_texts(notebook: Notebook, language: str = "en") -> dict[int, str]:
    """Return what to see in the figures of each code cell that has some, taken from the text after it or before it."""
    cells, found = notebook["cells"], {}
    title, before = "", ""
    for index, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            text = text_of(cell)
            headings = re.findall(r"^#+ (?:\d+ · )?(.+)$", text, re.MULTILINE)
            title = headings[-1] if headings else title
            paragraphs = [
                part for part in text.split("\n\n") if part and not part.startswith(("#", ">", "$$"))
            ]
            before = paragraphs[-1] if paragraphs else ""
        elif any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            after = next((text_of(c) for c in cells[index + 1 :] if c["cell_type"] == "markdown"), "")
            said = WHAT_TO_SEE.match(after) or WHAT_TO_SEE.search(after)
            told = plain(said[1] if said else WHAT_TO_SEE.sub(r"\1", before))
            found[index] = shortened(told or WORDS[language]["figure"].format(section=plain(title)))
    return found


def _widget(reference: str, state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a widget shows as plain outputs: pictures and HTML; a control as its value."""
    model = state[reference.removeprefix("IPY_MODEL_")]
    values, kind = model["state"], model["model_name"]
    if kind == "ImageModel":
        buffers = {tuple(buffer["path"]): buffer["data"] for buffer in model.get("buffers", [])}
        data = buffers.get(("value",), "")
        layout = state.get(str(values.get("layout")).removeprefix("IPY_MODEL_"), {}).get("state", {})
        width = layout.get("max_width")  # a picture may have twice the pixels that it is shown with
        shown_as = {"image/png": {"width": width}} if width else {}
        return [_output("image/png", data) | {"metadata": shown_as}] if base64.b64decode(data) else []
    if kind in ("HTMLModel", "LabelModel"):
        return [_output("text/html", values["value"])] if values["value"] else []
    if "children" in values:
        return [output for child in values["children"] for output in _widget(child, state)]
    if kind == "ButtonModel" or kind == "TextModel":
        return []
    if "_options_labels" in values:
        shown: Any = values["_options_labels"][values["index"]]
    else:
        shown = values.get("value")
    name, value = (html.escape(str(each)) for each in (values.get("description", ""), shown))
    return [_output("text/html", f"<span class='control'>{name}: <b>{value}</b></span>")]


def _output(kind: str, data: str) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": {kind: data, "text/plain": ""}}


def _without_widgets(cells: Sequence[Cell], metadata: dict[str, Any], words: Mapping[str, str]) -> None:
    """Replace the widgets of all outputs by what they show."""
    state = metadata.pop("widgets", {}).get(_WIDGET_STATE, {}).get("state", {})
    for cell in cells:
        outputs: list[dict[str, Any]] = []
        moved = False
        for output in cell.get("outputs", []):
            view = output.get("data", {}).get(_WIDGET_VIEW)
            if view is None:
                outputs.append(output)
                continue
            outputs += _merged(_widget(view["model_id"], state))
            moved = True
        if moved:
            outputs.append(_output("text/html", f"<p class='still'>{words['still']}</p>"))
            cell["outputs"] = outputs


def _linking_to_pages(cells: Sequence[Cell]) -> None:
    """Let the links of outputs to other notebooks lead to their pages."""
    for cell in cells:
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/html")
            if text is not None:
                whole = text if isinstance(text, str) else "".join(text)
                output["data"]["text/html"] = re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', whole)


def _merged(outputs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join neighbouring pieces of HTML into one output."""
    merged: list[dict[str, Any]] = []
    for output in outputs:
        text = output["data"].get("text/html")
        if text and merged and "text/html" in merged[-1]["data"]:
            merged[-1]["data"]["text/html"] += "\n" + text
        else:
            merged.append(output)
    return merged


def _hints(name: str, hints: Sequence[str], words: Mapping[str, str]) -> Cell:
    """Return a cell with the hints of an exercise, each folded."""
    folded = [
        f":::{{dropdown}} {words['hint'].format(n=n, total=len(hints))}\n:class-container: hint\n\n{hint}\n:::"
        for n, hint in enumerate(hints, 1)
    ]
    return {"cell_type": "markdown", "id": f"hints-{name}", "metadata": {}, "source": "\n\n".join(folded)}


def _facts(name: str, notebook: Notebook, repository: str, words: Mapping[str, str]) -> str:
    """Return the line under the title: download, Colab if there is a repository, and links to the exercises."""
    exercises = [m for cell in notebook["cells"] for m in EXERCISE.findall(text_of(cell))]
    points = sum(int(points) for _, points in exercises)
    parts = [f"{{download}}`{words['download']} <{name}.ipynb>`"]
    if repository:
        path = repository.removeprefix("https://github.com/").strip("/")
        address = f"https://colab.research.google.com/github/{path}/blob/main/course/{name}.ipynb"
        parts.append(f"[{words['colab']}]({address})")
    if exercises:
        kind = "exercise" if len(exercises) == 1 else "exercises"
        label = f"nb-{number_of(name)}-exercise"
        anchors = {number: f"{label}-{number}" if number else label for number, _ in exercises}
        links = " ".join(f"[{number}](#{anchor})" for number, anchor in anchors.items())
        said = words[kind].format(
            n=len(exercises), points=points, links=links, label=anchors[exercises[0][0]]
        )
        parts.append(said.replace("1 points", "1 point") if points == 1 else said)
    return "```{container} facts\n" + " · ".join(parts) + "\n```"


def prepared(
    notebook: Notebook,
    name: str,
    hints: Mapping[str, Sequence[str]],
    *,
    language: str = "en",
    title: str = "",
    repository: str = "",
) -> Notebook:
    """Return a notebook as the book shows it; nothing that the learner reads is changed or left out.

    Parameters
    ----------
    notebook
        The notebook of ``course/``, in nbformat 4.
    name
        Its name without the ending, such as ``09_attention_gqa``.
    hints
        The hints of each exercise.
    language
        ``en`` or ``zh``: the language of what is added.
    title
        Title in that language, in place of the notebook's own.
    repository
        Address of a repository on GitHub that the notebooks can be opened from; empty if there is none.
    """
    page = deepcopy(notebook)
    words, cells = WORDS[language], page["cells"]
    _without_widgets(cells, page["metadata"], words)
    _linking_to_pages(cells)
    for index, text in alternative_texts(page, language).items():
        cells[index]["metadata"].setdefault("mystnb", {})["image"] = {"alt": text}
    headings = [h for c in cells if c["cell_type"] == "markdown" for h in HEADING.finditer(text_of(c))]
    labels = iter([label for _, label, _ in _labels(name, headings)])
    shown: list[Cell] = []
    for cell in cells:
        shown.append(cell)
        if cell["cell_type"] == "markdown":
            text = _FORMULA.sub(lambda formula: formula[0].replace("\n", " "), text_of(cell))
            cell["source"] = HEADING.sub(lambda heading: f"({next(labels)})=\n{heading[0]}", text)
        elif "check" in cell["metadata"].get("tags", []):
            for exercise in CHECK.findall(text_of(cell)):
                if hints.get(exercise):
                    shown.append(_hints(exercise, hints[exercise], words))
    page["cells"] = shown
    first = shown[0]
    heading, _, rest = text_of(first).partition("\n")
    number = re.match(r"# \d+ · ", heading)
    if title and number:
        heading = number[0] + title
    opening = [heading, _facts(name, notebook, repository, words)]
    if language == "zh":
        rest = SUMMARY.sub("", rest)
        opening += [summary_in_chinese(notebook), f":::{{note}}\n{words['untranslated']}\n:::"]
    first["source"] = "\n\n".join([*opening, rest.strip()])
    return page
