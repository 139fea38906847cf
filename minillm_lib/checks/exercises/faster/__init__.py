"""The exercises of notebook 16: what bounds a pass, weights in 8 bits, accept what a draft proposes."""

from minillm_lib.checks.exercises.faster.acceptance import SPECULATIVE_RULE
from minillm_lib.checks.exercises.faster.bound import LEAST_PASS_TIME
from minillm_lib.checks.exercises.faster.rounding import QUANTISED
from minillm_lib.checks.exercises.faster.speculation import SPECULATIVE_STEP

EXERCISES = (LEAST_PASS_TIME, QUANTISED, SPECULATIVE_RULE, SPECULATIVE_STEP)
