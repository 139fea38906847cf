from .checkpoints import CheckpointFolder as CheckpointFolder
from .config import (
    ConfigError as ConfigError,
    OptimizerConfig as OptimizerConfig,
    PretrainConfig as PretrainConfig,
    ScheduleConfig as ScheduleConfig,
    SFTConfig as SFTConfig,
    TrainConfig as TrainConfig,
)
from .data import (
    DataError as DataError,
    prepare_conversations as prepare_conversations,
    prepare_pretraining_data as prepare_pretraining_data,
)
from .divergence import TrainingDivergedError as TrainingDivergedError
from .fitting import fit as fit
from .gpus import find_gpu as find_gpu, plan_on_gpu as plan_on_gpu
from .optimizer import (
    Muon as Muon,
    learning_rate_factor as learning_rate_factor,
    make_optimizers as make_optimizers,
)
from .overrides import describe_keys as describe_keys, load_config as load_config
from .planning import Plan as Plan, plan as plan
from .precision import Precision as Precision
from .ready_ids import pack_ready_ids as pack_ready_ids
from .rows import (
    IGNORE_INDEX as IGNORE_INDEX,
    Batch as Batch,
    TokenWindows as TokenWindows,
    batch_loss as batch_loss,
    rows_of_step as rows_of_step,
)
from .run import RunResult as RunResult
from .run_folder import RunError as RunError, RunFolder as RunFolder
from .sft_rows import (
    EncodedConversation as EncodedConversation,
    encode_conversation as encode_conversation,
    encode_conversations as encode_conversations,
    explain_mask as explain_mask,
    pack_conversations as pack_conversations,
    pad_conversations as pad_conversations,
)
from .stages import pretrain as pretrain, sft as sft
from .token_file import TokenFile as TokenFile, TokenFileError as TokenFileError, pack as pack
from .trainer import Trainer as Trainer
