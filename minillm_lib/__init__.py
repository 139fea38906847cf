"""From topic models to language models: LDA by Gibbs sampling, and a decoder small enough to be taught.

The everyday names are importable from here, the others from the room they live in: ``minillm_lib.corpora``, ``topics``,
``model``, ``generation``, ``training``, ``analysis``, ``interop``, ``viz``, ``checks`` and ``course``. Imports are
lazy: numba, scikit-learn and torch are loaded when a name that needs them is first used, so that ``import minillm_lib``
and ``minillm --help`` answer at once.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
