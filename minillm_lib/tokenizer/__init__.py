"""Text to token ids and back, for this package's own vocabularies and for those of other people's models.

Start with :class:`Tokenizer` in :mod:`~minillm_lib.tokenizer.interface`. What it makes of a text is decided in
:mod:`~minillm_lib.tokenizer.sentence_piece`, and for other models in :mod:`~minillm_lib.tokenizer.hugging_face`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
