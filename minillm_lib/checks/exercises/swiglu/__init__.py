"""The exercises of notebook 10: GELU, the gated layer, its width at equal cost, and the gradient through a gate."""

from minillm_lib.checks.exercises.swiglu.backward import SWIGLU_BACKWARD
from minillm_lib.checks.exercises.swiglu.gelu import GELU
from minillm_lib.checks.exercises.swiglu.layer import SWIGLU
from minillm_lib.checks.exercises.swiglu.width import GATED_WIDTH

EXERCISES = (GELU, SWIGLU, GATED_WIDTH, SWIGLU_BACKWARD)
