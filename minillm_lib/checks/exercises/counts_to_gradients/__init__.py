"""The exercises of notebook 06: softmax, cross-entropy, the bigram's gradient, a step of SGD, and an MLP."""

from minillm_lib.checks.exercises.counts_to_gradients.bigram import BIGRAM_GRADIENT
from minillm_lib.checks.exercises.counts_to_gradients.mlp import MLP_LOGITS
from minillm_lib.checks.exercises.counts_to_gradients.probabilities import CROSS_ENTROPY, STABLE_SOFTMAX
from minillm_lib.checks.exercises.counts_to_gradients.sgd import SGD_STEP

EXERCISES = (STABLE_SOFTMAX, CROSS_ENTROPY, BIGRAM_GRADIENT, SGD_STEP, MLP_LOGITS)
