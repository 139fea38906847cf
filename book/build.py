"""Build the book: put together what is in the repository, and let Sphinx make a site of it in English and Chinese.

::

    python book/build.py [FOLDER] [--repository https://github.com/OWNER/NAME]
    python book/build.py --messages 09_attention_gqa    # begin or update a translation: book/README.md

FOLDER is ``book/_build`` if it is not given; the site is in its subfolder ``html``. ``outside-links.txt`` lists the
addresses outside it; they are not opened, as building needs no network.
"""

from __future__ import annotations

import argparse
import html
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
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
    "book/pictures/*.png",
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


def gather(folder: Path, language: str) -> None:
    """Put the book's files into a folder, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    wanted = {name: path.read_bytes() for name, path in sources(language).items()}
    wanted |= {name: text.encode() for name, text in pages(ROOT, language).items()}
    for name, content in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def sphinx(builder: str, language: str, folder: Path, target: Path, repository: str) -> int:
    """Run Sphinx for one language, with every warning as an error; return its status.

    Everything is read again: a page depends on more than its source, such as the hints and the titles of other pages.
    """
    source = folder / "source" / language
    gather(source, language)
    environment = os.environ | {"BOOK_LANGUAGE": LANGUAGES[language], "BOOK_REPOSITORY": repository}
    environment.setdefault("NUMEXPR_NUM_THREADS", "1")  # otherwise it prints how many it chose
    command = ["-m", "sphinx", "-b", builder, "-c", str(HERE), "-d", str(folder / "doctrees" / language)]
    command += ["--fresh-env", "--fail-on-warning", "--quiet", str(source), str(target)]
    return subprocess.run([sys.executable, *command], env=environment, check=False).returncode


def outside_links(site: Path) -> dict[str, list[str]]:
    """Return every address outside the site that a reader can click, with the pages that link to it."""
    found = defaultdict(set)
    for path in site.rglob("*.html"):
        name = path.relative_to(site).as_posix()
        if "_modules/" not in name:
            for address in re.findall(r'<a [^>]*href="(https?://[^"]+)"', path.read_text(encoding="utf-8")):
                found[html.unescape(address)].add(name)
    return {address: sorted(found[address]) for address in sorted(found)}


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
    if not options.only and (site / ".buildinfo").exists():  # by Sphinx: no page of a former book stays
        shutil.rmtree(site)

    def build(language: str) -> int:
        target = site if language == "en" else site / language
        return sphinx("html", language, options.folder, target, options.repository)

    with ThreadPoolExecutor() as editions:  # each is a process of its own
        if any(editions.map(build, chosen)):
            return 1
    links = outside_links(site)
    listed = "".join(f"{address}\t{' '.join(names)}\n" for address, names in links.items())
    (options.folder / "outside-links.txt").write_text(listed, encoding="utf-8")
    print(f"{site / 'index.html'}: {time.monotonic() - start:.0f} s; {len(links)} outside links, not opened")
    return 0


if __name__ == "__main__":
    sys.exit(main())
