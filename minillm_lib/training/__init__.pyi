from .config import (
    ConfigError as ConfigError,
)
from .config import (
    PretrainConfig as PretrainConfig,
)
from .config import (
    SFTConfig as SFTConfig,
)
from .config import (
    TrainConfig as TrainConfig,
)
from .config import (
    load_config as load_config,
)
from .data import (
    DataError as DataError,
)
from .data import (
    prepare_conversations as prepare_conversations,
)
from .data import (
    prepare_pretraining_data as prepare_pretraining_data,
)
from .divergence import TrainingDivergedError as TrainingDivergedError
from .optimizer import (
    Muon as Muon,
)
from .optimizer import (
    learning_rate_factor as learning_rate_factor,
)
from .optimizer import (
    make_optimizers as make_optimizers,
)
from .planning import Plan as Plan
from .planning import plan as plan
from .precision import Precision as Precision
from .rows import Batch as Batch
from .rows import TokenWindows as TokenWindows
from .run import RunResult as RunResult
from .run_folder import RunError as RunError
from .run_folder import RunFolder as RunFolder
from .sft_rows import (
    IGNORE_INDEX as IGNORE_INDEX,
)
from .sft_rows import (
    EncodedConversation as EncodedConversation,
)
from .sft_rows import (
    encode_conversation as encode_conversation,
)
from .sft_rows import (
    encode_conversations as encode_conversations,
)
from .sft_rows import (
    explain_mask as explain_mask,
)
from .sft_rows import (
    pack_conversations as pack_conversations,
)
from .sft_rows import (
    pad_conversations as pad_conversations,
)
from .stages import pretrain as pretrain
from .stages import sft as sft
from .token_file import TokenFile as TokenFile
from .token_file import TokenFileError as TokenFileError
from .token_file import pack as pack
from .trainer import Trainer as Trainer
