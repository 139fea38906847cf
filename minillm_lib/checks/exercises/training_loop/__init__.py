"""The exercises of notebook 12: a step of AdamW, a schedule, and gradients in parts."""

from minillm_lib.checks.exercises.training_loop.accumulation import ACCUMULATED_GRADIENT
from minillm_lib.checks.exercises.training_loop.adamw import ADAMW_STEP
from minillm_lib.checks.exercises.training_loop.schedule import COSINE_FACTOR

EXERCISES = (ADAMW_STEP, COSINE_FACTOR, ACCUMULATED_GRADIENT)
