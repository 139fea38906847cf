from .cleaning import clean_docstring as clean_docstring
from .corpus import (
    DOCSTRING_PACKAGES as DOCSTRING_PACKAGES,
)
from .corpus import (
    DocstringsError as DocstringsError,
)
from .corpus import (
    docstrings_manifest as docstrings_manifest,
)
from .corpus import (
    load_docstrings as load_docstrings,
)
from .questions import docstring_questions as docstring_questions
from .questions import load_docstring_qa as load_docstring_qa
