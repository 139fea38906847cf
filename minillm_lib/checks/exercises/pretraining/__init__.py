"""The exercises of notebook 13: how much a run reads, what it costs, and the exponent of its curve."""

from minillm_lib.checks.exercises.pretraining.cost import TRAINING_FLOPS
from minillm_lib.checks.exercises.pretraining.exponent import POWER_LAW_EXPONENT
from minillm_lib.checks.exercises.pretraining.length import RUN_LENGTH

EXERCISES = (RUN_LENGTH, TRAINING_FLOPS, POWER_LAW_EXPONENT)
