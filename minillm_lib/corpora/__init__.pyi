from .cleaning.pipeline import (
    CleaningPipeline as CleaningPipeline,
)
from .cleaning.pipeline import (
    clean as clean,
)
from .cleaning.pipeline import (
    clean_corpus as clean_corpus,
)
from .conversations import (
    Conversation as Conversation,
)
from .conversations import (
    ConversationError as ConversationError,
)
from .conversations import (
    Turn as Turn,
)
from .conversations import (
    read_conversations as read_conversations,
)
from .docstrings.corpus import docstrings_manifest as docstrings_manifest
from .docstrings.corpus import load_docstrings as load_docstrings
from .docstrings.questions import (
    docstring_questions as docstring_questions,
)
from .docstrings.questions import (
    load_docstring_qa as load_docstring_qa,
)
from .document import (
    SPLITS as SPLITS,
)
from .document import (
    Document as Document,
)
from .document import (
    Split as Split,
)
from .document import (
    sample as sample,
)
from .document import (
    split_of as split_of,
)
from .faq import (
    FaqQuestion as FaqQuestion,
)
from .faq import (
    faq_questions as faq_questions,
)
from .faq import (
    load_course_faq as load_course_faq,
)
from .faq import (
    reword as reword,
)
from .files import (
    Fault as Fault,
)
from .files import (
    ReadError as ReadError,
)
from .files import (
    ReadReport as ReadReport,
)
from .files import (
    read_files as read_files,
)
from .files import (
    strip_markdown as strip_markdown,
)
from .grammar import Alternative as Alternative
from .grammar import Grammar as Grammar
from .grammar import load_grammar as load_grammar
from .hub import (
    HUB_CORPORA as HUB_CORPORA,
)
from .hub import (
    fetch_hub_corpus as fetch_hub_corpus,
)
from .hub import (
    load_hub_corpus as load_hub_corpus,
)
from .neurips import FetchReport as FetchReport
from .neurips import fetch_neurips as fetch_neurips
from .neurips import fetch_papers as fetch_papers
from .registry import (
    CORPORA as CORPORA,
)
from .registry import (
    Corpus as Corpus,
)
from .registry import (
    CorpusStats as CorpusStats,
)
from .registry import (
    corpus_stats as corpus_stats,
)
from .registry import (
    fetch_corpus as fetch_corpus,
)
from .registry import (
    find_corpus as find_corpus,
)
from .registry import (
    load_corpus as load_corpus,
)
