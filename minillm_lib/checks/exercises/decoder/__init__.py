"""The exercises of notebook 11: block and decoder, the first weights, the loss, and a count."""

from minillm_lib.checks.exercises.decoder.block import BLOCK_FORWARD
from minillm_lib.checks.exercises.decoder.forward import DECODER_FORWARD
from minillm_lib.checks.exercises.decoder.initialisation import INITIAL_DEVIATION
from minillm_lib.checks.exercises.decoder.loss import NEXT_TOKEN_LOSS
from minillm_lib.checks.exercises.decoder.size import COUNT_PARAMETERS

EXERCISES = (
    BLOCK_FORWARD,
    INITIAL_DEVIATION,
    DECODER_FORWARD,
    NEXT_TOKEN_LOSS,
    COUNT_PARAMETERS,
)
