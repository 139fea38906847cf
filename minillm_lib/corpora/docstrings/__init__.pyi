from .cleaning import clean_docstring as clean_docstring
from .corpus import (
    DOCSTRING_PACKAGES as DOCSTRING_PACKAGES,
    DocstringsError as DocstringsError,
    docstrings_manifest as docstrings_manifest,
    load_docstrings as load_docstrings,
)
from .questions import docstring_questions as docstring_questions, load_docstring_qa as load_docstring_qa
