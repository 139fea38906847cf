"""What a run takes on a GPU that is not here: an estimate from public data sheets and a stated utilization.

The estimate is arithmetic: floating-point operations over the speed of the tensor cores times the model-FLOPs
utilization (MFU, Chowdhery et al. 2022, arXiv:2204.02311, appendix B). On the machine itself,
:func:`~minillm_lib.training.planning.plan` measures instead.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from minillm_lib.model.config import ModelConfig
from minillm_lib.model.loss import GPU_CHUNK_TOKENS
from minillm_lib.training.config import PretrainConfig, RunConfig, SFTConfig
from minillm_lib.training.planning import Cost, Plan, evaluated_tokens, text_sizes
from minillm_lib.training.stages import model_to_fine_tune, sized_model

ASSUMED_MFU = 0.3
"""Utilization without a measurement. Models of some ten million parameters reach 0.2 to 0.45 on a gaming GPU, and less
on a data-centre GPU, which they do not fill."""
_GIB = 2**30
_LIBRARIES = 1.0 * _GIB  # the CUDA context and cuBLAS
_BYTES_PER_PARAMETER = 16  # float32 weights, gradients and two moments
_CHECKPOINT_BYTES_PER_PARAMETER = 12


@dataclass(frozen=True)
class Gpu:
    """A GPU as its maker describes it.

    Attributes
    ----------
    memory_bytes
        Memory.
    flops
        Floating-point operations per second of dense bf16 matrix products that are summed in float32; of fp16 ones
        where there is no bf16.
    precision
        The type that ``train.precision: auto`` takes there.
    """

    name: str
    memory_bytes: float
    flops: float
    precision: str = "bf16"


# Memory in GB, and dense tensor-core TFLOP/s with float32 sums (half of what is given "with sparsity").
_DATA_SHEETS = {
    "T4": (16, 65, "fp16"),
    "V100": (32, 125, "fp16"),
    "RTX 2080 Ti": (11, 54, "fp16"),
    "RTX 3060": (12, 26, "bf16"),
    "RTX 3080": (10, 60, "bf16"),
    "RTX 3090": (24, 71, "bf16"),
    "RTX 4060 Ti": (16, 44, "bf16"),
    "RTX 4070": (12, 58, "bf16"),
    "RTX 4080": (16, 97, "bf16"),
    "RTX 4090": (24, 165, "bf16"),
    "RTX 5090": (32, 210, "bf16"),
    "RTX A6000": (48, 155, "bf16"),
    "RTX 6000 Ada": (48, 364, "bf16"),
    "L4": (24, 121, "bf16"),
    "A10": (24, 125, "bf16"),
    "L40S": (48, 362, "bf16"),
    "A100": (40, 312, "bf16"),
    "A100 80GB": (80, 312, "bf16"),
    "H100 PCIe": (80, 756, "bf16"),
    "H100": (80, 989, "bf16"),
    "H200": (141, 989, "bf16"),
}
GPUS = {
    name: Gpu(name, memory * 1e9, teraflops * 1e12, precision)
    for name, (memory, teraflops, precision) in _DATA_SHEETS.items()
}
"""The GPUs that are known by name."""


def find_gpu(name: str) -> Gpu:
    """Return the GPU of a name, in which case, spaces and the maker do not matter.

    Raises
    ------
    ValueError
        If it is not known; the message lists those that are.

    >>> find_gpu("NVIDIA GeForce rtx3090").name
    'RTX 3090'
    """
    by_plain_name = {_plain(each): gpu for each, gpu in GPUS.items()}
    plain = _plain(name)
    if plain not in by_plain_name:
        close = difflib.get_close_matches(plain, by_plain_name, n=1)
        hint = f"did you mean {by_plain_name[close[0]].name}? " if close else ""
        raise ValueError(f"--gpu {name!r} is not known: {hint}The known GPUs are {', '.join(GPUS)}")
    return by_plain_name[plain]


def _plain(name: str) -> str:
    return re.sub(r"nvidia|geforce|tesla|[^a-z0-9]", "", name.lower())


def plan_on_gpu(
    config: RunConfig,
    gpu: Gpu,
    *,
    mfu: float = ASSUMED_MFU,
    pretraining: PretrainConfig | None = None,
    verify: bool = True,
) -> Plan:
    """Estimate what a run takes on a GPU; nothing is computed, and no text is prepared.

    Parameters
    ----------
    mfu
        The share of the GPU's peak speed that the run reaches, from 0 to 1.
    pretraining
        The run that makes the model of a fine-tuning run, if that does not exist yet.
    verify
        Whether damage to the checkpoint that is fine-tuned is looked for.

    Raises
    ------
    ValueError
        If ``mfu`` is out of range, or the shape of the model to fine-tune is not known.
    """
    if not 0 < mfu <= 1:
        raise ValueError(f"--mfu is {mfu}; allowed is a share above 0, up to 1")
    per_epoch = None
    if isinstance(config, SFTConfig):
        if pretraining is not None:
            model = sized_model(pretraining)
        else:
            model = model_to_fine_tune(config, verify=verify).config
        seq_len = config.train.fine_tuning_seq_len(model)
        per_evaluation = evaluated_tokens(config, seq_len, None)
    else:
        assert isinstance(config, PretrainConfig)
        model, seq_len, per_epoch, per_evaluation = text_sizes(config)
    reached = gpu.flops * mfu
    step = model.flops_per_token(seq_len) * config.train.batch_size * seq_len / reached
    cost = Cost(
        step_seconds=step,
        evaluated_tokens_per_second=reached / model.flops_per_token(seq_len, training=False),
        memory_bytes=round(training_bytes(model, config, seq_len)),
        checkpoint_bytes=_CHECKPOINT_BYTES_PER_PARAMETER * model.n_parameters,
        matmul_flops=gpu.flops,
    )
    wanted = config.train.precision
    precision = gpu.precision if wanted == "auto" else wanted
    return Plan(config, model, seq_len, per_epoch, per_evaluation, gpu.name, precision, cost)


def training_bytes(model: ModelConfig, config: RunConfig, seq_len: int) -> float:
    """Estimate the memory of a run on a GPU: libraries, weights and their state, and what the backward pass needs.

    Per token and block, that is about twenty bytes for each number of the residual stream, the queries, keys and values
    before and after rotation, and four rows of the feed-forward layer, in two bytes each.
    """
    tokens = config.train.rows_at_a_time(seq_len, on_gpu=True) * seq_len
    heads = model.n_heads + 2 * model.n_kv_heads
    per_block = 20 * model.hidden_size + 4 * heads * model.head_dim + 8 * model.intermediate_size
    n_kept = 1 if config.train.activation_checkpointing else model.n_layers
    between = 4 * model.hidden_size * model.n_layers
    logits = 12 * min(tokens, GPU_CHUNK_TOKENS) * model.vocab_size
    state = _BYTES_PER_PARAMETER * model.n_parameters
    return _LIBRARIES + state + tokens * (n_kept * per_block + between) + logits
