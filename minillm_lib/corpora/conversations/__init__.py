"""Conversations for fine-tuning: what one is, and reading them as people have them.

Start with :func:`read_conversations` in :mod:`~minillm_lib.corpora.conversations.reading`. What a record holds is found
in :mod:`~minillm_lib.corpora.conversations.records`, how a message is written as text is decided in
:mod:`~minillm_lib.corpora.conversations.messages`, and what becomes of unusual turns in
:mod:`~minillm_lib.corpora.conversations.turns`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
