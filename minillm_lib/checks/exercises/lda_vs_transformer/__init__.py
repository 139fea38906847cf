"""The exercises of notebook 17: shared information, a probe, an intervention, a topic filter."""

from minillm_lib.checks.exercises.lda_vs_transformer.information import NORMALISED_INFORMATION
from minillm_lib.checks.exercises.lda_vs_transformer.intervention import PAIRED_EFFECT
from minillm_lib.checks.exercises.lda_vs_transformer.probe import LINEAR_PROBE
from minillm_lib.checks.exercises.lda_vs_transformer.topic_filter import TOPIC_FILTER

EXERCISES = (NORMALISED_INFORMATION, LINEAR_PROBE, PAIRED_EFFECT, TOPIC_FILTER)
