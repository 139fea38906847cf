"""The course as a learner meets it: JupyterLab in a browser, with no network."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_STARTUP_SECONDS = 90
_RUN_MILLISECONDS = 600_000
# What JupyterLab itself says without a network, or while it starts, and no notebook can help.
_NOT_OURS = re.compile(
    r"favicon|Failed to load resource|jupyterlab_[a-z]+_extension|service ?worker|WebSocket", re.IGNORECASE
)

_SETTINGS = {
    "notebook-extension/tracker.jupyterlab-settings": {
        "windowingMode": "none",  # all cells are in the page, seen or not
        "autoStartDefaultKernel": True,
    },
    "apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false"},
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab over a copy of the course."""
    folder = tmp_path_factory.mktemp("lab")
    for name in ("course", "results"):
        shutil.copytree(ROOT / name, folder / name)
    for name, values in _SETTINGS.items():
        path = folder / "settings/@jupyterlab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    log = (folder / "log").open("w+", encoding="utf-8")
    server = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--ip=127.0.0.1",
                "--port=0",
            ),
            *("--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"),
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        },
    )
    try:
        yield _address(server, folder / "log")
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


def _address(server, log):
    for _ in range(_STARTUP_SECONDS * 2):
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(encoding="utf-8"))
        if found:
            return found[0]
        assert server.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.5)
    raise AssertionError("JupyterLab did not start: " + log.read_text(encoding="utf-8"))


class OpenNotebook:
    """A notebook in JupyterLab; nothing outside the server can be reached."""

    def __init__(self, browser, address, name):
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        context.route("**/*", lambda route: self._allow(route, address))
        self.outside, self.errors = [], []
        self.page = context.new_page()
        self.page.on("console", self._note)
        self.page.goto(f"{address}/lab/tree/course/{name}?reset")
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=_RUN_MILLISECONDS)
        self.page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)

    def _allow(self, route, address):
        if route.request.url.startswith((address, "data:", "blob:", address.replace("http", "ws"))):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def _note(self, message):
        if message.type == "error" and not _NOT_OURS.search(message.text + message.location.get("url", "")):
            self.errors.append(message.text)

    def run_all(self):
        """Run every cell, and wait until the kernel is idle with no cell waiting."""
        self.page.click("text=Run >> nth=0")
        self.page.click('[data-command="runmenu:run-all"]')
        self.page.wait_for_timeout(3000)
        self.page.wait_for_function(
            """() => ![...document.querySelectorAll('.jp-InputPrompt')].some(e => e.textContent.includes('[*]'))
                     && document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'""",
            timeout=_RUN_MILLISECONDS,
        )

    def n_failed_cells(self):
        return self.page.locator('.jp-RenderedText[data-mime-type="application/vnd.jupyter.error"]').count()


def notebooks_with_sliders():
    """Those whose code makes a slider."""
    names = []
    for path in sorted((ROOT / "course").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        if any("Slider(" in "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"):
            names.append(path.name)
    return names


def test_the_notebooks_that_promise_widgets_have_sliders():
    assert {name[:2] for name in notebooks_with_sliders()} >= {"02", "08", "09", "15"}


@pytest.mark.parametrize("name", ["08_rope.ipynb", "09_attention_gqa.ipynb"])
def test_a_notebook_runs_and_a_slider_changes_its_figure(browser, lab, name):
    notebook = OpenNotebook(browser, lab, name)
    notebook.run_all()
    assert notebook.n_failed_cells() == 0
    slider = notebook.page.locator(".jupyter-widgets .noUi-handle").first
    slider.scroll_into_view_if_needed()
    before = shown(notebook.page)
    slider.focus()
    for _ in range(5):
        notebook.page.keyboard.press("ArrowRight")
    notebook.page.wait_for_function("before => (" + SHOWN + ")() !== before", arg=before, timeout=30_000)
    assert notebook.outside == []
    assert notebook.errors == []


SHOWN = """() => [...document.querySelectorAll('.jupyter-widgets img, .jupyter-widgets .widget-html-content')]
    .map(e => e.src || e.innerHTML).join('|')"""


def shown(page):
    """What the widgets of a notebook show."""
    return page.evaluate(SHOWN)


def test_pyldavis_shows_its_circles_with_no_network(browser, lab):
    notebook = OpenNotebook(browser, lab, "03_lda_neurips.ipynb")
    notebook.run_all()
    assert notebook.n_failed_cells() == 0
    frame = notebook.page.locator("iframe").first
    frame.scroll_into_view_if_needed()
    circles = notebook.page.frame_locator("iframe").first.locator("circle.dot")
    circles.first.wait_for(timeout=30_000)
    assert circles.count() == 10
    assert notebook.outside == []
    assert notebook.errors == []


def test_the_chat_streams_its_answer_and_the_distribution_follows_the_sliders(browser, lab):
    notebook = OpenNotebook(browser, lab, "15_inference.ipynb")
    notebook.run_all()
    page = notebook.page
    assert notebook.n_failed_cells() == 0

    picture = page.locator(".jupyter-widgets img").first
    picture.scroll_into_view_if_needed()
    for name in ("temperature", "top-k"):
        before = picture.get_attribute("src")
        slider = page.locator(".widget-hslider", has_text=name).first.locator(".noUi-handle")
        slider.focus()
        page.keyboard.press("ArrowLeft" if name == "temperature" else "Home")
        page.wait_for_function(
            "before => document.querySelector('.jupyter-widgets img').src !== before",
            arg=before,
            timeout=30_000,
        )

    page.evaluate(COLLECT_REPLIES)
    page.locator(".jupyter-widgets input[type=text]").first.fill("Why are queries not cached?")
    page.keyboard.press("Tab")  # the widget tells the kernel when it loses the focus
    button = page.get_by_role("button", name="Send", exact=True)
    button.click()
    page.wait_for_function("() => window.replies.length > 5", timeout=60_000)
    page.wait_for_function("button => !button.disabled", arg=button.element_handle(), timeout=60_000)
    replies = page.evaluate("window.replies")
    assert all(reply.startswith("Why are queries not cached?") for reply in replies)
    grown = sorted(set(replies), key=len)
    assert len(grown) > 5
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(grown))
    assert notebook.outside == []
    assert notebook.errors == []


# The conversation is one widget, with a block per message and per notice: the latest question and the reply below it.
COLLECT_REPLIES = """() => {
    const log = [...document.querySelectorAll('.jupyter-widgets .widget-html-content')].pop();
    window.replies = [];
    new MutationObserver(() => {
        const blocks = [...log.querySelectorAll(':scope > div > div')];
        const question = blocks.findLastIndex(block => block.querySelector('b'));
        window.replies.push(blocks.slice(question, question + 2).map(block => block.innerText).join('\\n'));
    }).observe(log, {childList: true, subtree: true, characterData: true});
}"""
