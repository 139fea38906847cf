"""Exchanging models with other programs: GGUF for llama.cpp, and the checkpoints of MiniMind.

The checkpoints themselves have the Hugging Face layout: see :mod:`minillm_lib.model.checkpoint`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
