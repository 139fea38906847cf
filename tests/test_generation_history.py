import pytest
from served_model import tiny_model

from minillm_lib.generation.history import fit_history


def turns(*lengths, system=None):
    first = [] if system is None else [{"role": "system", "content": system}]
    asked = [{"role": role, "content": "a" * length} for length in lengths for role in ("user", "assistant")]
    return [*first, *asked[:-1]]


@pytest.mark.parametrize("system", [None, "be brief"])
def test_the_oldest_turns_go_and_no_more_than_needed(system):
    tokenizer, messages = tiny_model().tokenizer, turns(5, 9, 3, 8, 2, system=system)

    def n_tokens(kept):
        return len(tokenizer.apply_chat_template(kept, add_generation_prompt=True))

    n_system = system is not None
    for most in range(1, n_tokens(messages) + 3):
        kept, ids = fit_history(tokenizer, messages, most)
        assert len(ids) == n_tokens(kept)
        assert kept[:n_system] == messages[:n_system]
        assert kept[n_system]["role"] == "user"
        assert kept[-1] == messages[-1]
        n_forgotten = len(messages) - len(kept)
        assert kept[n_system:] == messages[n_system + n_forgotten :]
        if n_forgotten:  # one turn more would be too much
            one_more = [*messages[:n_system], *messages[n_system + n_forgotten - 2 :]]
            assert n_tokens(one_more) > most
        if len(kept) > n_system + 1:  # all but the last turn may have to go
            assert len(ids) <= most


def test_a_conversation_that_fits_stays():
    messages = turns(3, 3)
    assert fit_history(tiny_model().tokenizer, messages, 99)[0] == messages
