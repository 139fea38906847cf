"""The language models: the decoder and each of its layers, checkpoints, and the n-gram model it is compared with.

Start with :class:`MiniLLM` in :mod:`~minillm_lib.model.decoder`; every layer it is built from has a file of its own, and
:mod:`~minillm_lib.model.config` has the sizes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
