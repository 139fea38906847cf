import pytest

from minillm_lib.generation.turns import takes_turns
from minillm_lib.io.repository import REPOSITORY
from minillm_lib.model.decoder import MiniLLM


@pytest.mark.parametrize(("name", "expected"), [("chat", True), ("base", False)])
def test_only_the_model_that_was_fine_tuned_takes_turns(name, expected):
    assert takes_turns(MiniLLM.load_from_checkpoint(REPOSITORY / "results" / "26m" / name)) is expected
