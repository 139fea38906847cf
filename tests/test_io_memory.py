"""How much memory there is, also within a container."""

from __future__ import annotations

import psutil

from minillm_lib.io.memory import available_memory


def group(folder, limit, usage, statistics=""):
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(statistics)
    return folder


def test_a_container_has_what_its_limit_leaves_and_what_it_keeps_of_files(tmp_path):
    statistics = "anon 5000\ninactive_file 2000\nslab 9\n"
    assert available_memory(group(tmp_path / "one", 10_000, 7_000, statistics)) == 5_000
    assert available_memory(group(tmp_path / "full", 10_000, 12_000)) == 0


def test_without_a_limit_it_is_that_of_the_machine(tmp_path):
    total = psutil.virtual_memory().total
    for folder in (group(tmp_path / "two", "max", 7_000), tmp_path / "none"):
        assert 0 < available_memory(folder) <= total


def test_version_1_of_control_groups_is_read_too(tmp_path):
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text("10000")
    (folder / "memory.usage_in_bytes").write_text("9000")
    (folder / "memory.stat").write_text("total_inactive_file 500\n")
    assert available_memory(tmp_path) == 1_500
