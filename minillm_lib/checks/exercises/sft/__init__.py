"""The exercises of notebook 14: what a conversation's loss is made of, and how conversations share rows."""

from minillm_lib.checks.exercises.sft.labels import CONVERSATION_LABELS
from minillm_lib.checks.exercises.sft.layout import ROW_LAYOUT
from minillm_lib.checks.exercises.sft.packing import FILL_ROWS

EXERCISES = (CONVERSATION_LABELS, ROW_LAYOUT, FILL_ROWS)
