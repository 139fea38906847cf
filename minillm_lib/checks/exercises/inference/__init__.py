"""The exercises of notebook 15: reshape and cut a distribution, draw from it, keep keys and values, write a text."""

from minillm_lib.checks.exercises.inference.cache import CACHED_ATTENTION
from minillm_lib.checks.exercises.inference.draw import DRAWN
from minillm_lib.checks.exercises.inference.loop import GENERATE
from minillm_lib.checks.exercises.inference.nucleus import NUCLEUS
from minillm_lib.checks.exercises.inference.padding import LEFT_PADDED
from minillm_lib.checks.exercises.inference.penalty import PENALISED
from minillm_lib.checks.exercises.inference.temperature import TEMPERED

EXERCISES = (DRAWN, TEMPERED, NUCLEUS, PENALISED, CACHED_ATTENTION, GENERATE, LEFT_PADDED)
