"""The exercises of notebook 15: temper and cut a distribution, keep keys and values, accept what a draft proposes."""

from minillm_lib.checks.exercises.inference.cache import CACHED_ATTENTION
from minillm_lib.checks.exercises.inference.nucleus import NUCLEUS
from minillm_lib.checks.exercises.inference.penalty import PENALISED
from minillm_lib.checks.exercises.inference.speculation import SPECULATIVE_RULE
from minillm_lib.checks.exercises.inference.temperature import TEMPERED

EXERCISES = (TEMPERED, NUCLEUS, PENALISED, CACHED_ATTENTION, SPECULATIVE_RULE)
