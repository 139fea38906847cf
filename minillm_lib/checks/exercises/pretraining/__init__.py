"""The exercises of notebook 13: how much a run reads, what it costs, its curve's law, and the size for a budget."""

from minillm_lib.checks.exercises.pretraining.allocation import COMPUTE_OPTIMAL
from minillm_lib.checks.exercises.pretraining.cost import TRAINING_FLOPS
from minillm_lib.checks.exercises.pretraining.exponent import POWER_LAW_EXPONENT
from minillm_lib.checks.exercises.pretraining.floor import FIT_POWER_LAW
from minillm_lib.checks.exercises.pretraining.length import RUN_LENGTH
from minillm_lib.checks.exercises.pretraining.memory import RUN_COST

EXERCISES = (RUN_LENGTH, TRAINING_FLOPS, RUN_COST, POWER_LAW_EXPONENT, FIT_POWER_LAW, COMPUTE_OPTIMAL)
