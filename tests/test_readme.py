"""The READMEs promise what the repository has, in both languages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import minillm_lib

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_readme(readme):
    text = readme.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)`", text)) <= targets
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / link).exists(), f"{readme.name} links to {link}"
    for folder in re.findall(r"^\| `([^`]+)/` \|", text, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_both_readmes_show_the_same_commands_code_and_figures():
    texts = [readme.read_text(encoding="utf-8") for readme in READMES]
    for pattern in (r"\d+\.\d %", r"^(?:make|minillm) [a-z]+", r"^(?:lda|bag|papers)\b[^#\n]*\S"):
        found = [re.findall(pattern, text, re.MULTILINE) for text in texts]
        assert found[0], pattern
        assert found[0] == found[1], pattern


def test_the_example_runs():
    text = READMES[0].read_text(encoding="utf-8")
    block, decoder = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    offline, fetching = block.split("papers = ")
    names: dict[str, object] = {}
    exec(offline.replace("n_chains=4", "n_sweeps=20"), names)
    assert names["lda"].topic_word_.shape == (10, names["bag"].counts.shape[1])
    called = {
        node.func.id
        for node in ast.walk(ast.parse(fetching))
        if isinstance(node, ast.Call) and hasattr(node.func, "id")
    }
    assert {"fetch_neurips", "bag_of_words"} <= called
    assert {"fetch_neurips", "bag_of_words"} <= set(minillm_lib.__all__)
    for method in re.findall(r"\b(?:model|MiniLLM)\.(\w+)\(", decoder):
        assert callable(getattr(minillm_lib.MiniLLM, method)), method
