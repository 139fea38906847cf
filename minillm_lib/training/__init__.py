"""Pretraining and fine-tuning, from a configuration to a folder with checkpoints and metrics.

Start with :mod:`~minillm_lib.training.stages`, which has :func:`pretrain` and :func:`sft`, then read
:mod:`~minillm_lib.training.trainer`, the loop. What a run did is a :class:`RunResult`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
