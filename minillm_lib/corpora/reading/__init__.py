"""How each kind of file is read, and how it is found out: kinds, encodings, tables, JSON, web pages, office files.

Start with :mod:`~minillm_lib.corpora.files`, whose :func:`~minillm_lib.corpora.files.read_files` puts these parts
together; :mod:`~minillm_lib.corpora.reading.report` says what became of the input.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
