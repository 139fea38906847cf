"""Figures and HTML reports of topics, corpora and training runs.

Start with :mod:`~minillm_lib.viz.training_plots` and :mod:`~minillm_lib.viz.topic_plots`. The reports combine their
figures on one self-contained page.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
