"""The downloader against servers that do everything wrong: see the table in faults.download_faults."""

from __future__ import annotations

import pytest
from faults.download_faults import FAULTS, play


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_no_fault_of_a_server_is_taken_for_content(fault, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    play(fault, tmp_path)
