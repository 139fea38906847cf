__version__: str

from . import (
    analysis as analysis,
    checks as checks,
    corpora as corpora,
    course as course,
    generation as generation,
    interop as interop,
    io as io,
    model as model,
    topics as topics,
    training as training,
    viz as viz,
)
from .analysis.health.report import examine_run as examine_run
from .analysis.scaling_law import fit_scaling_law as fit_scaling_law
from .checks.exercise import Exercise as Exercise
from .checks.grading import grade_notebook as grade_notebook
from .checks.registry import check as check
from .corpora.docstrings.corpus import load_docstrings as load_docstrings
from .corpora.document import Document as Document
from .corpora.files import read_files as read_files
from .corpora.grammar import Grammar as Grammar, load_grammar as load_grammar
from .corpora.neurips import fetch_neurips as fetch_neurips
from .corpora.registry import load_corpus as load_corpus
from .doctor import examine_machine as examine_machine
from .generation.answers import check_answers as check_answers
from .generation.chat_session import ChatSession as ChatSession
from .generation.decoding import Generation as Generation, generate as generate
from .generation.sampling import SamplingConfig as SamplingConfig
from .generation.streaming import stream as stream
from .interop.gguf import export_gguf as export_gguf
from .interop.minimind import load_minimind as load_minimind, save_minimind as save_minimind
from .model.checkpoint import CheckpointError as CheckpointError
from .model.config import ModelConfig as ModelConfig
from .model.decoder import MiniLLM as MiniLLM
from .model.devices import best_device as best_device
from .model.perplexity import perplexity_by_position as perplexity_by_position
from .tokenizer import Tokenizer as Tokenizer
from .topics.document_term import BagOfWords as BagOfWords, bag_of_words as bag_of_words
from .topics.gibbs_lda import GibbsLDA as GibbsLDA
from .topics.neurips_papers import load_neurips as load_neurips
from .topics.summary import summarize_topics as summarize_topics
from .training.config import PretrainConfig as PretrainConfig, SFTConfig as SFTConfig
from .training.divergence import TrainingDivergedError as TrainingDivergedError
from .training.overrides import load_config as load_config
from .training.planning import plan as plan
from .training.run import RunResult as RunResult
from .training.run_folder import RunError as RunError
from .training.stages import pretrain as pretrain, sft as sft
from .training.token_file import TokenFile as TokenFile, pack as pack
from .viz.lda_report import write_lda_report as write_lda_report
from .viz.live_plot import LivePlot as LivePlot
from .viz.training_plots import plot_losses as plot_losses
