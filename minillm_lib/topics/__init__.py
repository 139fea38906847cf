"""Topic models: from texts to counts of terms, and from counts to topics by collapsed Gibbs sampling.

Start with :class:`GibbsLDA` in :mod:`~minillm_lib.topics.gibbs_lda`. :func:`bag_of_words` makes the matrix that it is
fitted to, and :mod:`~minillm_lib.topics.summary` describes the result.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
