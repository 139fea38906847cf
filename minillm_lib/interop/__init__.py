"""Exchange models with other programs: GGUF files for llama.cpp, and checkpoints of MiniMind.

This package's own checkpoints have the Hugging Face layout: see :mod:`minillm_lib.model.checkpoint`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
