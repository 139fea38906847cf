"""Compiled functions where numba may keep nothing on disk."""

from __future__ import annotations

import subprocess
import sys

_READ_ONLY = """
import sys, warnings
import numba.core.caching as caching
def refuse(locator): raise OSError("read-only")
caching._CacheLocator.ensure_cache_path = refuse
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _READ_ONLY + code], capture_output=True, text=True, check=False
    )


def test_a_model_is_fitted_in_a_read_only_installation_with_one_warning_that_names_the_variable():
    result = run(
        "from minillm_lib import GibbsLDA\n"
        "lda = GibbsLDA(2, n_sweeps=3, n_chains=1, random_state=0).fit([[3, 0, 1], [0, 2, 2]])\n"
        "print(lda.transform([[1, 0, 0]]).shape)"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "(1, 2)"
    assert result.stderr.count("NUMBA_CACHE_DIR") == 1


def test_every_kernel_can_be_imported_there():
    result = run(
        "from minillm_lib.topics.kernels import dense, folding, register, sparse, tables\n"
        "register.sweep_of(8)\n"
        "from minillm_lib.generation import token_kernel\n"
        "print(type(sparse.sweep._cache).__name__, type(token_kernel.token_step._cache).__name__)"
    )
    assert result.stdout.split() == ["NullCache", "NullCache"], result.stderr


def test_otherwise_what_is_compiled_is_kept():
    from minillm_lib.topics.kernels import sparse

    assert type(sparse.sweep._cache).__name__ == "FunctionCache"


def test_another_error_of_numba_is_not_swallowed(monkeypatch):
    import numba
    import pytest

    from minillm_lib.io.compiled import compiled

    def broken(**options):
        raise RuntimeError("something else")

    monkeypatch.setattr(numba, "njit", broken)
    with pytest.raises(RuntimeError, match="something else"):
        compiled(lambda: 0)
