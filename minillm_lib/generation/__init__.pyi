from .answers import (
    AnswerReport as AnswerReport,
)
from .answers import (
    CheckedAnswer as CheckedAnswer,
)
from .answers import (
    check_answers as check_answers,
)
from .answers import (
    held_out_phrasings as held_out_phrasings,
)
from .chat_session import (
    ChatSession as ChatSession,
)
from .chat_session import (
    Message as Message,
)
from .chat_session import (
    chat as chat,
)
from .chat_session import (
    chat_in_terminal as chat_in_terminal,
)
from .decoding import FinishReason as FinishReason
from .decoding import Generation as Generation
from .decoding import generate as generate
from .sampling import (
    SamplingConfig as SamplingConfig,
)
from .sampling import (
    apply_temperature as apply_temperature,
)
from .sampling import (
    choose_tokens as choose_tokens,
)
from .sampling import (
    filter_logits as filter_logits,
)
from .sampling import (
    keep_min_p as keep_min_p,
)
from .sampling import (
    keep_top_k as keep_top_k,
)
from .sampling import (
    keep_top_p as keep_top_p,
)
from .sampling import (
    penalise_repetition as penalise_repetition,
)
from .streaming import TextStream as TextStream
from .streaming import print_stream as print_stream
from .streaming import stream as stream
