"""A corpus that every learner already has on disk: the docstrings of Python and of the course's packages.

Start with :mod:`~minillm_lib.corpora.docstrings.corpus`. Nothing is downloaded and no package is imported, since the
source files are parsed. :mod:`~minillm_lib.corpora.docstrings.questions` turns docstrings into questions and answers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
