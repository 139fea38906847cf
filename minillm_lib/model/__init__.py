"""The language models: the decoder and each of its layers, checkpoints, and the n-gram model it is compared with.

Start with :class:`MiniLLM` in :mod:`~minillm_lib.model.decoder`. Each of its layers has its own file, and
:mod:`~minillm_lib.model.config` defines the sizes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
