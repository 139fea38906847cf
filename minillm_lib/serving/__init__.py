"""A model behind HTTP: the interface of OpenAI, answers that are written together, and a page to chat with.

Start with :func:`serve` in :mod:`~minillm_lib.serving.server`. The thread that owns the model is in
:mod:`~minillm_lib.serving.engine`, the texts that it decodes together in :mod:`~minillm_lib.serving.batch`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
