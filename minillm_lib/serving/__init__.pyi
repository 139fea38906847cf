from .app import Service as Service, make_app as make_app
from .batch import Batch as Batch
from .engine import Engine as Engine, QueueFullError as QueueFullError, StoppingError as StoppingError
from .inspection import attention_maps as attention_maps, inspect_tokens as inspect_tokens
from .served_text import ServedText as ServedText, TokenScore as TokenScore, Update as Update
from .server import Server as Server, listen as listen, serve as serve
