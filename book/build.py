"""Build the book: put together what is in the repository, and let Sphinx make a site of it in English and Chinese.

::

    python book/build.py [FOLDER] [--repository https://github.com/OWNER/NAME]
    python book/build.py --messages 09_attention_gqa    # begin or update a translation: book/README.md

FOLDER is ``book/_build`` if it is not given; the site is in its subfolder ``html``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

from book_site.reference import pages  # noqa: E402

LANGUAGES = {"en": "en", "zh": "zh_CN"}
# What the book takes from the repository, as it is and where it is.
TAKEN = (
    "course/*.ipynb",
    "course/*.md",
    "*.md",
    "CITATION.cff",
    "LICENSE",
    "results/26m/README.md",
    "results/26m/samples.md",
    "results/26m/*.png",
    "results/lda/*.png",
    "results/gpu/*.json",
    "results/training/*.png",
)


def sources(language: str) -> dict[str, Path]:
    """Return every file of the book by its place in it; in Chinese, ``X.zh-CN.md`` stands in the place of ``X.md``."""
    found = {}
    for folder, patterns in ((ROOT, TAKEN), (HERE / "pages", ("**/*.*",))):
        for pattern in patterns:
            for path in sorted(folder.glob(pattern)):
                found[path.relative_to(folder).as_posix()] = path
    for name in [name for name in found if name.endswith(".zh-CN.md")]:
        path = found.pop(name)
        if language == "zh":
            found[name.removesuffix(".zh-CN.md") + ".md"] = path
    return found


def write_if_changed(path: Path, content: bytes) -> None:
    """Write a file only if it is another one, so that Sphinx reads again only what has changed."""
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def gather(folder: Path, language: str) -> None:
    """Put the book's files into a folder, and remove what no longer belongs to it."""
    wanted = {name: path.read_bytes() for name, path in sources(language).items()}
    wanted |= {name: text.encode() for name, text in pages(ROOT).items()}
    for name, content in wanted.items():
        write_if_changed(folder / name, content)
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in wanted:
            path.unlink()


def sphinx(builder: str, language: str, folder: Path, target: Path, repository: str) -> int:
    """Run Sphinx for one language, with every warning as an error; return its status."""
    source = folder / "source" / language
    gather(source, language)
    environment = os.environ | {"BOOK_LANGUAGE": LANGUAGES[language], "BOOK_REPOSITORY": repository}
    command = ["-m", "sphinx", "-b", builder, "-c", str(HERE), "-d", str(folder / "doctrees" / language)]
    command += ["--fail-on-warning", "--quiet", str(source), str(target)]
    return subprocess.run([sys.executable, *command], env=environment, check=False).returncode


def update_messages(folder: Path, notebooks: list[str]) -> None:
    """Write or update the message catalogues of notebooks; a message whose English has changed is marked as fuzzy."""
    templates = folder / "messages"
    if sphinx("gettext", "en", folder, templates, ""):
        sys.exit(1)
    chosen = templates / "chosen" / "course"
    shutil.rmtree(chosen.parent, ignore_errors=True)
    chosen.mkdir(parents=True)
    for name in notebooks:
        shutil.copy(templates / "course" / f"{name}.pot", chosen)
    command = ["-m", "sphinx_intl", "update", "-p", str(chosen.parent), "-d", str(HERE / "locale")]
    subprocess.run([sys.executable, *command, "-l", LANGUAGES["zh"], "--no-obsolete"], check=True)


def main() -> int:
    """Build both editions, or the message catalogues."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "_build")
    parser.add_argument("--repository", default="", help="address on GitHub, for links to Colab")
    parser.add_argument("--only", choices=LANGUAGES, help="build only one language")
    parser.add_argument("--messages", nargs="+", metavar="NOTEBOOK", help="only update their catalogues")
    options = parser.parse_args()
    if options.messages:
        update_messages(options.folder, options.messages)
        return 0
    start = time.monotonic()
    site = options.folder / "html"
    chosen = [options.only] if options.only else [*LANGUAGES]

    def build(language: str) -> int:
        target = site if language == "en" else site / language
        return sphinx("html", language, options.folder, target, options.repository)

    with ThreadPoolExecutor() as editions:  # each is a process of its own
        if any(editions.map(build, chosen)):
            return 1
    print(f"{site / 'index.html'}: {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
