"""The exercises of notebook 17: a linear probe, and a topic model that reads in order."""

from minillm_lib.checks.exercises.lda_vs_transformer.probe import LINEAR_PROBE
from minillm_lib.checks.exercises.lda_vs_transformer.topic_filter import TOPIC_FILTER

EXERCISES = (LINEAR_PROBE, TOPIC_FILTER)
