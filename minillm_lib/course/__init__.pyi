from .decoder import PIECES as PIECES, Decoder as Decoder, assembled as assembled
from .sample import (
    opening_questions as opening_questions,
    write_questions as write_questions,
    write_sample as write_sample,
)
from .setup import Pieces as Pieces, setup as setup
from .timing import milliseconds as milliseconds
