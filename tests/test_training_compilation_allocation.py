from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from minillm_lib.training import compilation
from minillm_lib.training.compilation import keep_freed_memory

_PAGE_FAULTS_OF_FIVE_STEPS = """
import resource
import sys
import torch
from minillm_lib import MiniLLM
from minillm_lib.training.compilation import keep_freed_memory

torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
model, ids = MiniLLM.from_preset("nano", vocab_size=2000), torch.zeros(16, 257, dtype=torch.int64)
for step in range(8):
    if step == 3:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    model.zero_grad()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how):
    command = [sys.executable, "-c", _PAGE_FAULTS_OF_FIVE_STEPS, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_training_steps_ask_the_system_for_less_memory():
    assert page_faults("keep") < 0.5 * page_faults("leave")


def test_elsewhere_nothing_is_changed(monkeypatch):
    monkeypatch.setattr(compilation.ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
