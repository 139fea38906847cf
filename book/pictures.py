"""Take the pictures of the README: an exercise in JupyterLab, and the chat page.

::

    python book/pictures.py [--only lab chat]

They are written to ``book/pictures/``, which takes a minute or two. It needs Chromium, as the tests of the reports do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import Browser, Page, open_browser  # noqa: E402

NOTEBOOK = "09_attention_gqa"
ATTEMPT = '''\
def causal_attention(query, key, value):
    """Equation (4) with a causal mask: three times (…, seq, head_dim) in, the same shape out."""
    seq, head_dim = query.shape[-2:]
    scores = query @ key.mT / head_dim**0.5  # (…, seq, seq)
    visible = torch.ones(seq, seq, dtype=torch.bool).tril()
    return scores.softmax(dim=-1).masked_fill(~visible, 0.0) @ value
'''
QUESTIONS = {"en": "How does LDA differ from a Transformer?", "zh": "讲讲 LDA 与 Transformer 的差异？"}
LOCALES = {"en": "en-GB", "zh": "zh-CN"}


@contextlib.contextmanager
def serving(command: list[str], path: str, environment: dict[str, str]) -> Iterator[str]:
    """Start a server on a free port, and yield its address as soon as it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port)],
        cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}{path}"
    try:
        for _ in range(120):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(address, timeout=10).close()
                break
            time.sleep(1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


def keep(page: Page, name: str) -> None:
    """Photograph a page in 256 colours, which halves the file."""
    path = HERE / "pictures" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    page.screenshot(path=path)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def attempted(folder: Path) -> None:
    """Write the notebook with a usual mistake in its first exercise, run up to its check."""
    notebook = nbformat.read(ROOT / "course" / f"{NOTEBOOK}.ipynb", as_version=4)
    cells = notebook.cells
    place = next(i for i, cell in enumerate(cells) if "def causal_attention" in cell.source)
    cells[place].source = ATTEMPT.rstrip()
    client = NotebookClient(notebook, resources={"metadata": {"path": str(ROOT / "course")}})
    os.environ["MINILLM_PROGRESS"] = "off"
    with client.setup_kernel():
        for index, cell in enumerate(cells[: place + 2]):
            client.execute_cell(cell, index)
    path = folder / f"{NOTEBOOK}.ipynb"
    nbformat.write(notebook, path)
    subprocess.run(
        [sys.executable, "-m", "jupyter", "trust", str(path)], check=True, stdout=subprocess.DEVNULL
    )


def lab(browser: Browser) -> None:
    """Photograph an exercise with its check, and the opening with the Chinese summary."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        attempted(folder)
        settings = folder / ".settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false"}))
        command = [
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            "--IdentityProvider.token=",
        ]
        command += [f"--ServerApp.root_dir={folder}"]
        environment = {"JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings")}
        with serving(command, f"/lab/tree/{NOTEBOOK}.ipynb", environment) as address:
            context = browser.new_context(viewport={"width": 1100, "height": 740})
            page = context.new_page()
            page.goto(address)
            page.wait_for_selector(".jp-Notebook .jp-MarkdownOutput", timeout=120_000)
            page.wait_for_selector("mjx-container", timeout=60_000)
            page.wait_for_timeout(4000)
            page.locator("#jp-main-content-panel .jp-SideBar.jp-mod-left li[data-id=filebrowser]").click()
            page.wait_for_timeout(1500)
            keep(page, "lab.zh-CN")
            exercise = page.locator(".jp-Notebook h3", has_text="Exercise 1").first
            page.mouse.move(600, 500)
            for _ in range(60):
                if exercise.count():
                    break
                page.mouse.wheel(0, 500)
                page.wait_for_timeout(300)
            exercise.evaluate("heading => heading.scrollIntoView({block: 'start'})")
            page.wait_for_timeout(3000)
            keep(page, "lab")
            context.close()


def chat(browser: Browser) -> None:
    """Photograph an answer in each language, looking inside: the tokens by their probabilities."""
    with serving(["minillm_lib", "serve", "--ckpt", "results/26m/chat"], "/", {}) as address:
        for language, question in QUESTIONS.items():
            context = browser.new_context(viewport={"width": 1100, "height": 520}, locale=LOCALES[language])
            page = context.new_page()
            page.goto(address)
            page.click("#inside")
            page.fill("#message", question)
            page.click("#send")
            page.wait_for_timeout(1500)
            page.wait_for_selector("#stop", state="hidden", timeout=120_000)
            page.wait_for_timeout(1500)
            keep(page, "chat" if language == "en" else "chat.zh-CN")
            context.close()


def main() -> None:
    """Take them all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=("lab", "chat"), default=("lab", "chat"))
    chosen = parser.parse_args().only
    with open_browser() as browser:
        for take in (lab, chat):
            if take.__name__ in chosen:
                take(browser)


if __name__ == "__main__":
    main()
