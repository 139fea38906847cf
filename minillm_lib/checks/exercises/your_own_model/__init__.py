"""The exercises of notebook 18: a split that does not leak, a size, a rate, a run with a break, and one's own model."""

from minillm_lib.checks.exercises.your_own_model.breaking import TRAIN_WITH_A_BREAK
from minillm_lib.checks.exercises.your_own_model.judging import OWN_MODEL
from minillm_lib.checks.exercises.your_own_model.sizing import BEST_RATE, CHOOSE_SIZE
from minillm_lib.checks.exercises.your_own_model.splitting import HELD_OUT_SPLIT

EXERCISES = (HELD_OUT_SPLIT, CHOOSE_SIZE, BEST_RATE, TRAIN_WITH_A_BREAK, OWN_MODEL)
