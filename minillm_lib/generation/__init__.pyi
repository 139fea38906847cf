from .answers import (
    AnswerReport as AnswerReport,
    CheckedAnswer as CheckedAnswer,
    check_answers as check_answers,
    held_out_phrasings as held_out_phrasings,
)
from .chat_session import (
    ChatSession as ChatSession,
    Message as Message,
    chat as chat,
)
from .decoding import FinishReason as FinishReason, Generation as Generation, generate as generate
from .fast_path import FastDecoder as FastDecoder, why_not_fast as why_not_fast
from .honesty import (
    CheckedReply as CheckedReply,
    Reference as Reference,
    check_honesty as check_honesty,
    references as references,
)
from .sampling import (
    SamplingConfig as SamplingConfig,
    apply_temperature as apply_temperature,
    choose_tokens as choose_tokens,
    filter_logits as filter_logits,
    keep_min_p as keep_min_p,
    keep_top_k as keep_top_k,
    keep_top_p as keep_top_p,
    penalise_repetition as penalise_repetition,
)
from .streaming import TextStream as TextStream, print_stream as print_stream, stream as stream
from .weight_table import FastPathError as FastPathError
