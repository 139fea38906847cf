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
    "load_docstrings": "minillm_lib.corpora.docstrings",
    "Document": "minillm_lib.corpora.document",
    "read_files": "minillm_lib.corpora.files",
    "Grammar": "minillm_lib.corpora.grammar",
    "load_grammar": "minillm_lib.corpora.grammar",
    "fetch_neurips": "minillm_lib.corpora.neurips",
    "load_corpus": "minillm_lib.corpora.registry",
    "load_neurips": "minillm_lib.corpora.shipped_neurips",
    "GibbsLDA": "minillm_lib.topics.gibbs_lda",
    "Tokenizer": "minillm_lib.tokenizer",
    "ModelConfig": "minillm_lib.model.config",
    "MiniLLM": "minillm_lib.model.decoder",
    "best_device": "minillm_lib.model.devices",
    "perplexity_by_position": "minillm_lib.model.perplexity",
    "ChatSession": "minillm_lib.generation.chat",
    "generate": "minillm_lib.generation.generate",
    "SamplingConfig": "minillm_lib.generation.sampling",
    "stream": "minillm_lib.generation.streaming",
    "PretrainConfig": "minillm_lib.training.config",
    "SFTConfig": "minillm_lib.training.config",
    "RunResult": "minillm_lib.training.run_result",
    "pretrain": "minillm_lib.training.runs",
    "sft": "minillm_lib.training.runs",
    "examine_run": "minillm_lib.training.health",
    "fit_scaling_law": "minillm_lib.training.scaling_law",
    "plan": "minillm_lib.training.plan",
    "check_answers": "minillm_lib.training.answers",
    "pack": "minillm_lib.training.token_file",
    "TokenFile": "minillm_lib.training.token_file",
    "export_gguf": "minillm_lib.interop.gguf",
    "load_minimind": "minillm_lib.interop.minimind",
    "save_minimind": "minillm_lib.interop.minimind",
    "LivePlot": "minillm_lib.viz.live_plot",
    "plot_losses": "minillm_lib.viz.training_plots",
    "check": "minillm_lib.checks.registry",
    "grade_notebook": "minillm_lib.checks.grading",
}

if TYPE_CHECKING:
    from minillm_lib.checks.grading import grade_notebook
    from minillm_lib.checks.registry import check
    from minillm_lib.corpora.bag_of_words import BagOfWords, bag_of_words
    from minillm_lib.corpora.docstrings import load_docstrings
    from minillm_lib.corpora.document import Document
    from minillm_lib.corpora.files import read_files
    from minillm_lib.corpora.grammar import Grammar, load_grammar
    from minillm_lib.corpora.neurips import fetch_neurips
    from minillm_lib.corpora.registry import load_corpus
    from minillm_lib.corpora.shipped_neurips import load_neurips
    from minillm_lib.generation.chat import ChatSession
    from minillm_lib.generation.generate import generate
    from minillm_lib.generation.sampling import SamplingConfig
    from minillm_lib.generation.streaming import stream
    from minillm_lib.interop.gguf import export_gguf
    from minillm_lib.interop.minimind import load_minimind, save_minimind
    from minillm_lib.model.config import ModelConfig
    from minillm_lib.model.decoder import MiniLLM
    from minillm_lib.model.devices import best_device
    from minillm_lib.model.perplexity import perplexity_by_position
    from minillm_lib.tokenizer import Tokenizer
    from minillm_lib.topics.gibbs_lda import GibbsLDA
    from minillm_lib.training.answers import check_answers
    from minillm_lib.training.config import PretrainConfig, SFTConfig
    from minillm_lib.training.health import examine_run
    from minillm_lib.training.plan import plan
    from minillm_lib.training.run_result import RunResult
    from minillm_lib.training.runs import pretrain, sft
    from minillm_lib.training.scaling_law import fit_scaling_law
    from minillm_lib.training.token_file import TokenFile, pack
    from minillm_lib.viz.live_plot import LivePlot
    from minillm_lib.viz.training_plots import plot_losses

__all__ = [
    "BagOfWords",
    "ChatSession",
    "Document",
    "GibbsLDA",
    "Grammar",
    "LivePlot",
    "MiniLLM",
    "ModelConfig",
    "PretrainConfig",
    "RunResult",
    "SFTConfig",
    "SamplingConfig",
    "TokenFile",
    "Tokenizer",
    "bag_of_words",
    "best_device",
    "check",
    "check_answers",
    "examine_run",
    "export_gguf",
    "fetch_neurips",
    "fit_scaling_law",
    "generate",
    "grade_notebook",
    "load_corpus",
    "load_docstrings",
    "load_grammar",
    "load_minimind",
    "load_neurips",
    "pack",
    "perplexity_by_position",
    "plan",
    "plot_losses",
    "pretrain",
    "read_files",
    "save_minimind",
    "sft",
    "stream",
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
