"""The options of ``minillm lda`` on words and on the model, and what they become for the library."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from minillm_lib.topics.gibbs_lda import GibbsLDA

WORDS_PANEL, MODEL_PANEL, REPORT_PANEL, FILES_PANEL = (
    "Words",
    "The model",
    "The report",
    "Saving and exporting",
)
FROM_THE_MODEL = {
    "sweeps": "n_sweeps",
    "chains": "n_chains",
    "shown": "shown",
    "alpha": "alpha",
    "beta": "beta",
    "learn_priors": "learn_alpha",
}
"""Options whose default is that of a parameter of ``GibbsLDA``."""

_ALL_REPAIRS = "NAMES_OF_REPAIRS"


def _words(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=WORDS_PANEL, **more)


def _model(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=MODEL_PANEL, **more)


def _report(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=REPORT_PANEL, **more)


def _files(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=FILES_PANEL, **more)


Language = Annotated[
    str,
    _words(
        "Language of the documents: auto, to tell it by the documents, or a code such as en, zh, de or ja.",
        metavar="CODE",
    ),
]
Repairs = Annotated[
    str,
    _words(
        f"What is mended in a text first: all, none, or some of {_ALL_REPAIRS}, with commas between.",
        metavar="NAMES",
    ),
]
StopWords = Annotated[
    str,
    _words(
        "Words to leave out: default (the list of the language), abstracts (also the filler of scientific abstracts), "
        "none, or a file of your own instead of these, with a word per line; default,my-words.txt takes both.",
        metavar="LISTS",
    ),
]
Keep = Annotated[
    str | None,
    _words(
        "Words and phrases that are never left out, however short, common or rare: a file, or words with commas.",
        metavar="FILE|WORDS",
    ),
]
UserDict = Annotated[
    Path | None,
    _words("A file of Chinese words that jieba must know, one per line.", metavar="FILE"),
]
MinDf = Annotated[
    str,
    _words(
        "Leave out terms in fewer documents than this: a number such as 5, or a share such as 0.01 or 1%.",
        metavar="NUMBER|SHARE",
    ),
]
MaxDf = Annotated[
    str,
    _words(
        "Leave out terms in more documents than this: a share such as 0.5 or 50%, or a number.",
        metavar="NUMBER|SHARE",
    ),
]
MaxTerms = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Keep at most this many terms, the most frequent ones.",
        metavar="NUMBER",
        rich_help_panel=WORDS_PANEL,
    ),
]
Phrases = Annotated[bool, _words("Count words that belong together as one term, such as neural network.")]
Lemmas = Annotated[bool, _words("Count the forms of a word as one, such as network and networks.")]
Duplicates = Annotated[
    Literal["drop", "keep"], _words("What is done with a document that repeats an earlier one.")
]

Topics = Annotated[int, _model("Number of topics.", "--topics", "-k", min=1, metavar="NUMBER")]
Compare = Annotated[
    str | None,
    _model(
        "First compare these numbers of topics, such as 5,10,20, by perplexity, coherence and stability.",
        metavar="NUMBERS",
        show_default=False,
    ),
]
Sweeps = Annotated[
    int | None,
    _model("Passes over all tokens; each draws the topic of every token again.", min=1, metavar="NUMBER"),
]
Chains = Annotated[
    int | None,
    _model(
        "Independent chains; how well they find each other's topics is the topics' stability.",
        min=1,
        metavar="NUMBER",
    ),
]
Shown = Annotated[
    Literal["consensus", "central"] | None,
    _model(
        "What is shown of several chains: the most central one, or a consensus, in which each of its topics is "
        "averaged with those of the other chains that match it."
    ),
]
Alpha = Annotated[float | None, _model("Prior weight of each topic in a document.", metavar="WEIGHT")]
Beta = Annotated[float | None, _model("Prior weight of each term in a topic.", metavar="WEIGHT")]
LearnPriors = Annotated[
    bool | None,
    _model("Fit alpha and beta too (Minka's fixed point).", "--learn-priors/--no-learn-priors"),
]
SeedWords = Annotated[
    Path | None,
    _model(
        "Words that pull a topic towards a subject: a file with a topic per line, label: word, word, … "
        "or 3: word, word, …",
        metavar="FILE",
        show_default=False,
    ),
]
Seed = Annotated[int, _model("The same seed gives the same topics.", min=0, max=2**32 - 1, metavar="NUMBER")]
Threads = Annotated[int | None, _model("Number of threads; all cores by default.", min=1, metavar="NUMBER")]
Checkpoint = Annotated[
    Path | None,
    _model(
        "Keep the state of the sampling in this file, and resume from it if it is there.",
        metavar="FILE",
        show_default=False,
    ),
]

Output = Annotated[Path, _report("Where the HTML report goes.", "--output", "-o", metavar="FILE")]
Labels = Annotated[
    Path | None,
    _report(
        "Names for the topics, shown everywhere: a file with a name per line, or lines such as 3: name.",
        metavar="FILE",
        show_default=False,
    ),
]
Save = Annotated[
    Path | None,
    _files(
        "Save the model to this folder, for `minillm topics` and TopicModel.load.",
        metavar="FOLDER",
        show_default=False,
    ),
]
Export = Annotated[
    Path | None,
    _files(
        "Write tables, JSON, Matrix Market, LDA-C and gensim's files to this folder.",
        metavar="FOLDER",
        show_default=False,
    ),
]
ExportFormat = Annotated[Literal["csv", "parquet"], _files("Format of the exported tables.")]
Snippets = Annotated[
    bool, _report("Keep the first characters of each document, to be shown beside its title.")
]


class FilledIn(TyperCommand):
    """A command whose help names what only the library knows: the model's defaults, and the repairs.

    They are looked up when the help is printed, since importing the library takes a second.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Fill in the defaults and names, and write the help."""
        from minillm_lib.corpora.cleaning.repair import REPAIRS

        for option in self.params:
            if option.name in FROM_THE_MODEL:
                option.default = default_of(option.name)
            text = getattr(option, "help", None)
            if text:
                option.help = text.replace(_ALL_REPAIRS, ", ".join(REPAIRS))  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def default_of(option: str) -> Any:
    """Return the default of an option of :data:`FROM_THE_MODEL`."""
    import inspect

    from minillm_lib.topics.gibbs_lda import GibbsLDA

    return inspect.signature(GibbsLDA).parameters[FROM_THE_MODEL[option]].default


def model_of_options(
    topics: int,
    *,
    sweeps: int | None,
    chains: int | None,
    shown: Literal["consensus", "central"] | None,
    alpha: float | None,
    beta: float | None,
    learn_priors: bool | None,
    seed: int,
    threads: int | None,
    checkpoint: Path | None,
) -> GibbsLDA:
    """Return the model that the options describe, checked; where an option is not given, its own default stands.

    Raises
    ------
    ValueError
        For a value out of range.
    """
    from minillm_lib.io.atomic_write import check_folder
    from minillm_lib.topics.gibbs_lda import GibbsLDA
    from minillm_lib.topics.gibbs_sampler import check_prior

    for name, weight in (("--alpha", alpha), ("--beta", beta)):
        if weight is not None:
            check_prior(name, weight)
    if checkpoint is not None:
        if checkpoint.is_dir():
            raise ValueError(f"--checkpoint {checkpoint} is a folder; name a file")
        check_folder(checkpoint.absolute().parent, f"cannot write the checkpoint {checkpoint}")
    given = {
        "n_sweeps": sweeps,
        "n_chains": chains,
        "shown": shown,
        "alpha": alpha,
        "beta": beta,
        "learn_alpha": learn_priors,
        "learn_beta": learn_priors,
    }
    model = GibbsLDA(topics, n_threads=threads, random_state=seed, checkpoint=checkpoint)
    return model.set_params(**{name: value for name, value in given.items() if value is not None})


def cleaning_of_options(
    *,
    language: str,
    repairs: str,
    stop_words: str,
    keep: str | None,
    user_dict: Path | None,
    min_df: str,
    max_df: str,
    max_terms: int | None,
    phrases: bool,
    lemmas: bool,
    duplicates: Literal["drop", "keep"],
) -> dict[str, Any]:
    """Return the options as arguments of :func:`~minillm_lib.topics.document_term.bag_of_words`, checked.

    Raises
    ------
    ValueError, OSError
        For an unknown language or repair, a share out of range, or a file that is missing or empty.
    """
    from minillm_lib.topics.terms import TermRecipe
    from minillm_lib.topics.words.word_files import read_lines, words_or_file

    words: dict[str, Any] = {
        "language": language,
        "lemmatize": lemmas,
        **_stop_words(stop_words),
        "keep": () if keep is None else words_or_file(keep),
        "repairs": _repairs(repairs),
        "user_dict": None if user_dict is None else read_lines(user_dict),
    }
    TermRecipe.make(**words)
    return {
        **words,
        "phrases": phrases,
        "min_df": number_or_share(min_df, "--min-df"),
        "max_df": number_or_share(max_df, "--max-df"),
        "max_terms": max_terms,
        "deduplicate": duplicates == "drop",
    }


_PARAMETER = re.compile(r"\b(min_df|max_df|max_terms|stop_words|user_dict)\b=?|(?<=in )keep\b")


def in_options(text: str) -> str:
    """Return a message about cleaning in which parameters are called by the options that set them.

    >>> in_options("deduplicate=False keeps them; try min_df=1 and max_df=1.0")
    '--duplicates keep keeps them; try --min-df 1 and --max-df 1.0'
    """
    text = text.replace("deduplicate=False", "--duplicates keep").replace(
        "stop_words=None", "--stop-words none"
    )
    return _PARAMETER.sub(lambda match: "--" + match[0].replace("_", "-").replace("=", " "), text)


def number_or_share(text: str, option: str) -> int | float:
    """Return a number of documents as an int, and a share of them (``0.5``, ``50%``) as a float from 0 to 1.

    Raises
    ------
    ValueError
        If the text is neither.
    """
    match = re.fullmatch(r"(\d+)|(\d*\.\d+|\d+\.)|(\d+(?:\.\d+)?)\s*%", text.strip())
    if match and match[1] and int(match[1]) >= 1:
        return int(match[1])
    share = float(match[2]) if match and match[2] else float(match[3]) / 100 if match and match[3] else None
    if share is None or share > 1:
        raise ValueError(
            f"{option} {text!r}: give a number of documents, such as 5, or a share of them, such as 0.1 or 10%"
        )
    return share


def counts_of(text: str, option: str) -> list[int]:
    """Return the whole numbers of a list with commas between, each at least 1.

    Raises
    ------
    ValueError
        If it is not such a list.
    """
    try:
        counts = [int(count) for count in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise ValueError(
            f"{option} {text!r}: give whole numbers with commas between, such as 5,10,20; each at least 1"
        )
    return list(dict.fromkeys(counts))


def _repairs(text: str) -> Sequence[str]:
    from minillm_lib.corpora.cleaning.repair import REPAIRS

    if text in ("all", "none"):
        return tuple(REPAIRS) if text == "all" else ()
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in map(str.lower, REPAIRS):
            raise ValueError(f"--repairs {name!r}: allowed are all, none, or some of {', '.join(REPAIRS)}")
    return tuple(name for name in REPAIRS if name.lower() in names)


def _stop_words(text: str) -> dict[str, Any]:
    """Return the arguments that a list of names and files means: ``stop_words`` and ``more_stop_words``."""
    from minillm_lib.topics.words.word_files import read_words

    parts = [part.strip() for part in text.split(",")]
    lists = [part for part in parts if part in ("default", "abstracts", "none")]
    files = [part for part in parts if part not in lists]
    for file in files:
        if not Path(file).exists():
            raise ValueError(
                f"--stop-words {file!r}: there is no such file; allowed are default, abstracts, none, or files"
            )
    if len(lists) > 1:
        raise ValueError(f"--stop-words {text!r}: {' and '.join(lists)} exclude each other")
    own = frozenset(word for file in files for word in read_words(file))
    if phrases := sorted(word for word in own if " " in word):
        warnings.warn(
            f"stop words are single words, so these have no effect: {', '.join(phrases)}", stacklevel=2
        )
    return {
        "stop_words": None if lists in ([], ["none"]) else lists[0],
        "more_stop_words": own,
    }
