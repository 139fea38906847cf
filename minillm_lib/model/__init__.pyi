from .attention import (
    GroupedQueryAttention as GroupedQueryAttention,
    attend as attend,
    causal_mask as causal_mask,
)
from .checkpoint import (
    CheckpointError as CheckpointError,
    load_checkpoint as load_checkpoint,
    save_checkpoint as save_checkpoint,
)
from .config import PRESETS as PRESETS, ModelConfig as ModelConfig, RopeScaling as RopeScaling
from .decoder import DecoderBlock as DecoderBlock, MiniLLM as MiniLLM
from .devices import best_device as best_device, matmul_flops as matmul_flops
from .feed_forward import GELUFeedForward as GELUFeedForward, SwiGLU as SwiGLU
from .hugging_face import from_hugging_face as from_hugging_face, to_hugging_face as to_hugging_face
from .kv_cache import KVCache as KVCache
from .loss import linear_cross_entropy as linear_cross_entropy
from .ngram import NGramModel as NGramModel
from .perplexity import PositionBucket as PositionBucket, perplexity_by_position as perplexity_by_position
from .quantization import (
    QuantizedEmbedding as QuantizedEmbedding,
    QuantizedLinear as QuantizedLinear,
    is_quantized as is_quantized,
    quantize_rows as quantize_rows,
)
from .rms_norm import RMSNorm as RMSNorm
from .rope import (
    RotaryEmbedding as RotaryEmbedding,
    dynamic_frequencies as dynamic_frequencies,
    inverse_frequencies as inverse_frequencies,
    rotate as rotate,
    to_halves as to_halves,
    to_interleaved as to_interleaved,
)
