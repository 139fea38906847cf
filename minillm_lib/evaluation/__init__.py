"""How much a model knows: multiple-choice questions, bits per byte of texts, and tasks of lm-evaluation-harness.

Start with :func:`evaluate` in :mod:`~minillm_lib.evaluation.running`; it fills an
:class:`~minillm_lib.evaluation.results.Evaluation`. The questions about the course are in
:mod:`~minillm_lib.evaluation.quiz`. What connects a model with EleutherAI's harness is in
:mod:`~minillm_lib.evaluation.harness_model`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
