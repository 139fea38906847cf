from .cleaning.pipeline import (
    CleaningPipeline as CleaningPipeline,
    clean as clean,
    clean_corpus as clean_corpus,
)
from .conversations import (
    Conversation as Conversation,
    ConversationError as ConversationError,
    ConversationReport as ConversationReport,
    Turn as Turn,
    read_conversations as read_conversations,
)
from .dialogues import load_course_dialogues as load_course_dialogues
from .docstrings.corpus import docstrings_manifest as docstrings_manifest, load_docstrings as load_docstrings
from .docstrings.questions import (
    docstring_questions as docstring_questions,
    load_docstring_qa as load_docstring_qa,
)
from .document import (
    SPLITS as SPLITS,
    Document as Document,
    Split as Split,
    sample as sample,
    split_of as split_of,
)
from .faq import (
    FaqQuestion as FaqQuestion,
    faq_questions as faq_questions,
    load_course_faq as load_course_faq,
    reword as reword,
    written_dialogues as written_dialogues,
)
from .files import read_files as read_files
from .grammar import Alternative as Alternative, Grammar as Grammar, load_grammar as load_grammar
from .held_out_questions import (
    FreeDialogue as FreeDialogue,
    FreeTurn as FreeTurn,
    free_dialogues as free_dialogues,
    free_out_of_scope as free_out_of_scope,
    free_questions as free_questions,
)
from .hub import (
    HUB_CORPORA as HUB_CORPORA,
    fetch_hub_corpus as fetch_hub_corpus,
    load_hub_conversations as load_hub_conversations,
    load_hub_corpus as load_hub_corpus,
)
from .neurips import FetchReport as FetchReport, fetch_neurips as fetch_neurips, fetch_papers as fetch_papers
from .out_of_scope import (
    all_declines as all_declines,
    decline_in as decline_in,
    load_out_of_scope as load_out_of_scope,
)
from .reading.markdown import strip_markdown as strip_markdown
from .reading.report import (
    Fault as Fault,
    PassedOver as PassedOver,
    ReadError as ReadError,
    ReadReport as ReadReport,
)
from .reading.units import DocumentUnit as DocumentUnit
from .registry import (
    CORPORA as CORPORA,
    Corpus as Corpus,
    CorpusStats as CorpusStats,
    corpus_stats as corpus_stats,
    fetch_corpus as fetch_corpus,
    find_corpus as find_corpus,
    load_corpus as load_corpus,
)
