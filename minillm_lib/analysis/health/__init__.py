"""Is my run healthy? :func:`examine_run` compares a run with what it should look like, and says what to look at.

Each check is a function that takes the run's metrics and returns a :class:`Finding`.
"""

from __future__ import annotations

from minillm_lib.analysis.health.finding import Finding, Severity
from minillm_lib.analysis.health.report import RunReport, examine_run

__all__ = ["Finding", "RunReport", "Severity", "examine_run"]
