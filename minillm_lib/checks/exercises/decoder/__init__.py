"""The exercises of notebook 11: the block's forward pass, the loss of next tokens, and the number of parameters."""

from minillm_lib.checks.exercises.decoder.block import BLOCK_FORWARD
from minillm_lib.checks.exercises.decoder.loss import NEXT_TOKEN_LOSS
from minillm_lib.checks.exercises.decoder.size import COUNT_PARAMETERS

EXERCISES = (BLOCK_FORWARD, NEXT_TOKEN_LOSS, COUNT_PARAMETERS)
