from .hugging_face import HuggingFaceTokenizer as HuggingFaceTokenizer
from .interface import Tokenizer as Tokenizer
from .loading import load_tokenizer as load_tokenizer
from .messages import CHAT_TEMPLATE as CHAT_TEMPLATE, ROLES as ROLES
from .sentence_piece import (
    MODEL_FILE as MODEL_FILE,
    SPECIAL_TOKENS as SPECIAL_TOKENS,
    SentencePieceTokenizer as SentencePieceTokenizer,
)
from .training import MODEL_TYPES as MODEL_TYPES
