"""From topic models to language models: LDA by Gibbs sampling, and a decoder small enough to be taught.

Public names are importable from here. The import is lazy: numba, scikit-learn and torch are loaded when a name
that needs them is touched, so that ``import minillm_lib`` and ``minillm --help`` answer at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME_OF = {
    "bag_of_words": "minillm_lib.corpora.bag_of_words",
    "BagOfWords": "minillm_lib.corpora.bag_of_words",
    "Document": "minillm_lib.corpora.document",
    "Grammar": "minillm_lib.corpora.grammar",
    "load_grammar": "minillm_lib.corpora.grammar",
    "fetch_neurips": "minillm_lib.corpora.neurips",
    "load_neurips": "minillm_lib.corpora.shipped_neurips",
    "GibbsLDA": "minillm_lib.topics.gibbs_lda",
    "Tokenizer": "minillm_lib.tokenizer",
    "ModelConfig": "minillm_lib.model.config",
    "MiniLLM": "minillm_lib.model.decoder",
    "best_device": "minillm_lib.model.devices",
    "perplexity_by_position": "minillm_lib.model.perplexity",
}

if TYPE_CHECKING:
    from minillm_lib.corpora.bag_of_words import BagOfWords, bag_of_words
    from minillm_lib.corpora.document import Document
    from minillm_lib.corpora.grammar import Grammar, load_grammar
    from minillm_lib.corpora.neurips import fetch_neurips
    from minillm_lib.corpora.shipped_neurips import load_neurips
    from minillm_lib.model.config import ModelConfig
    from minillm_lib.model.decoder import MiniLLM
    from minillm_lib.model.devices import best_device
    from minillm_lib.model.perplexity import perplexity_by_position
    from minillm_lib.tokenizer import Tokenizer
    from minillm_lib.topics.gibbs_lda import GibbsLDA

__all__ = [
    "BagOfWords",
    "Document",
    "GibbsLDA",
    "Grammar",
    "MiniLLM",
    "ModelConfig",
    "Tokenizer",
    "bag_of_words",
    "best_device",
    "fetch_neurips",
    "load_grammar",
    "load_neurips",
    "perplexity_by_position",
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
