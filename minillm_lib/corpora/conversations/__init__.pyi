from .conversation import (
    LANGUAGES as LANGUAGES,
    Conversation as Conversation,
    ConversationError as ConversationError,
    Language as Language,
    Turn as Turn,
)
from .messages import Message as Message
from .reading import read_conversations as read_conversations
from .records import FORMATS as FORMATS, Format as Format
from .report import ConversationReport as ConversationReport
