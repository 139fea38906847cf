"""Repairing text, and removing what should not be trained on: damage, boilerplate, repetition, duplicates.

Start with :mod:`~minillm_lib.corpora.cleaning.pipeline`, which runs named steps over a stream of documents and counts
what each of them changes and removes. :mod:`~minillm_lib.corpora.cleaning.repair` repairs single texts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
