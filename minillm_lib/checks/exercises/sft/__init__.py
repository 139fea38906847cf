"""The exercises of notebook 14: a conversation's loss, packed rows, replay, likelihood of answers, LoRA."""

from minillm_lib.checks.exercises.sft.labels import CONVERSATION_LABELS
from minillm_lib.checks.exercises.sft.layout import ROW_LAYOUT
from minillm_lib.checks.exercises.sft.likelihood import ANSWER_LOG_PROBABILITY
from minillm_lib.checks.exercises.sft.lora import LORA_LINEAR
from minillm_lib.checks.exercises.sft.packing import FILL_ROWS
from minillm_lib.checks.exercises.sft.replay import REPLAY_LOSS

EXERCISES = (
    CONVERSATION_LABELS,
    ROW_LAYOUT,
    FILL_ROWS,
    ANSWER_LOG_PROBABILITY,
    REPLAY_LOSS,
    LORA_LINEAR,
)
