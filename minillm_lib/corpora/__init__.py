"""Where text comes from: corpora that are built here, fetched, or the user's own, as a stream of :class:`Document`.

Start with :mod:`~minillm_lib.corpora.registry`: :func:`load_corpus` opens every corpus by its name. Your own files are
read by :func:`read_files`; cleaning is in :mod:`~minillm_lib.corpora.cleaning`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
