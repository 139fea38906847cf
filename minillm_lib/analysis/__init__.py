"""Analysis of finished or running runs: whether one is healthy, what it learned, and what a larger one would reach.

Start with :func:`examine_run` in :mod:`~minillm_lib.analysis.health`. Training does not depend on anything here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
