"""From topic models to language models: LDA by Gibbs sampling, and a decoder small enough to be taught.

Public names are importable from here. The import is lazy: numba, scikit-learn and torch are loaded when a name
that needs them is touched, so that ``import minillm_lib`` and ``minillm --help`` answer at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME_OF = {
    "Document": "minillm_lib.corpora.document",
    "BagOfWords": "minillm_lib.corpora.bag_of_words",
    "bag_of_words": "minillm_lib.corpora.bag_of_words",
    "fetch_neurips": "minillm_lib.corpora.neurips",
    "load_neurips": "minillm_lib.corpora.shipped_neurips",
    "GibbsLDA": "minillm_lib.topics.gibbs_lda",
    "ModelConfig": "minillm_lib.model.config",
}

if TYPE_CHECKING:
    from minillm_lib.corpora.bag_of_words import BagOfWords, bag_of_words
    from minillm_lib.corpora.document import Document
    from minillm_lib.corpora.neurips import fetch_neurips
    from minillm_lib.corpora.shipped_neurips import load_neurips
    from minillm_lib.model.config import ModelConfig
    from minillm_lib.topics.gibbs_lda import GibbsLDA

__all__ = [
    "BagOfWords",
    "Document",
    "GibbsLDA",
    "ModelConfig",
    "bag_of_words",
    "fetch_neurips",
    "load_neurips",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(
            f"module 'minillm_lib' has no attribute {name!r}; it offers {', '.join(sorted(_HOME_OF))}"
        )
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
