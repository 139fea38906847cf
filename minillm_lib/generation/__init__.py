"""From a trained model to text: sampling, streaming, chat, and checking the answers.

Start with :func:`generate` in :mod:`~minillm_lib.generation.decoding`. The methods of choosing the next token are in
:mod:`~minillm_lib.generation.sampling`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
