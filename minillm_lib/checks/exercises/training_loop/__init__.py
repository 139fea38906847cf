"""The exercises of notebook 12: AdamW, Muon, a schedule, gradients in parts, a step, loss scaling, and bugs."""

from minillm_lib.checks.exercises.training_loop.accumulation import ACCUMULATED_GRADIENT
from minillm_lib.checks.exercises.training_loop.adamw import ADAMW_STEP
from minillm_lib.checks.exercises.training_loop.bugs import WHICH_BUG
from minillm_lib.checks.exercises.training_loop.orthogonal import NEWTON_SCHULZ
from minillm_lib.checks.exercises.training_loop.scaling import UNSCALED_GRADIENTS
from minillm_lib.checks.exercises.training_loop.schedule import COSINE_FACTOR
from minillm_lib.checks.exercises.training_loop.step import TRAINING_STEP

EXERCISES = (
    ADAMW_STEP,
    NEWTON_SCHULZ,
    COSINE_FACTOR,
    ACCUMULATED_GRADIENT,
    TRAINING_STEP,
    UNSCALED_GRADIENTS,
    WHICH_BUG,
)
