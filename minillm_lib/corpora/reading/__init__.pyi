from .encoding import Encodings as Encodings
from .guessing import Guess as Guess, guess_encoding as guess_encoding
from .html import page_text as page_text
from .markdown import strip_markdown as strip_markdown
from .pdf import pdf_pages as pdf_pages
from .records import Record as Record, read_records as read_records
from .report import (
    Fault as Fault,
    PassedOver as PassedOver,
    ReadError as ReadError,
    ReadReport as ReadReport,
    Unusable as Unusable,
)
from .units import DocumentUnit as DocumentUnit, UnitGuess as UnitGuess, guess_unit as guess_unit
from .word import word_text as word_text
