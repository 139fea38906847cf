from .attention import (
    GroupedQueryAttention as GroupedQueryAttention,
)
from .attention import (
    attend as attend,
)
from .attention import (
    causal_mask as causal_mask,
)
from .checkpoint import (
    CheckpointError as CheckpointError,
)
from .checkpoint import (
    load_checkpoint as load_checkpoint,
)
from .checkpoint import (
    save_checkpoint as save_checkpoint,
)
from .config import PRESETS as PRESETS
from .config import ModelConfig as ModelConfig
from .config import RopeScaling as RopeScaling
from .decoder import DecoderBlock as DecoderBlock
from .decoder import MiniLLM as MiniLLM
from .devices import best_device as best_device
from .devices import matmul_flops as matmul_flops
from .feed_forward import GELUFeedForward as GELUFeedForward
from .feed_forward import SwiGLU as SwiGLU
from .hugging_face import from_hugging_face as from_hugging_face
from .hugging_face import to_hugging_face as to_hugging_face
from .kv_cache import KVCache as KVCache
from .loss import linear_cross_entropy as linear_cross_entropy
from .ngram import NGramModel as NGramModel
from .perplexity import PositionBucket as PositionBucket
from .perplexity import perplexity_by_position as perplexity_by_position
from .rms_norm import RMSNorm as RMSNorm
from .rope import (
    RotaryEmbedding as RotaryEmbedding,
)
from .rope import (
    inverse_frequencies as inverse_frequencies,
)
from .rope import (
    rotate as rotate,
)
