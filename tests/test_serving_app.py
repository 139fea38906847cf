"""The server through OpenAI's own client, and through plain HTTP where that client would not send it."""

import json
import math
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import openai
import pytest
import torch
from served_model import CONTEXT, eventually, running, tiny_model

from minillm_lib.generation.chat_session import ChatSession
from minillm_lib.generation.decoding import generate
from minillm_lib.generation.turns import is_fine_tuned
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.model.metadata import ChatDefaults
from minillm_lib.serving import inspection
from minillm_lib.serving.batch import Batch
from minillm_lib.serving.page import policy
from minillm_lib.serving.responses import ChatShape, CompletionShape
from minillm_lib.serving.served_text import TokenScore

HELLO = [{"role": "user", "content": "what is a rose?"}]


@pytest.fixture(scope="module")
def served():
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def client(served):
    return served.client()


def expected(messages=HELLO, **how):
    model = tiny_model()
    ids = model.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    (text,) = generate(model, [ids], fast=False, **{"temperature": 0, "max_new_tokens": None, **how})
    return text, len(ids)


def test_an_answer_is_what_generate_writes(client):
    answer = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=20)
    text, n_prompt = expected(max_new_tokens=20)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content == text.text
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.prompt_tokens == n_prompt
    assert answer.usage.completion_tokens == len(text.ids) == 20
    assert answer.usage.total_tokens == n_prompt + 20


def test_without_a_limit_it_writes_to_the_end_of_the_context(client):
    answer = client.chat.completions.create(model="tiny", messages=HELLO)
    text, _ = expected()
    assert answer.choices[0].message.content == text.text
    assert answer.choices[0].finish_reason == {"context": "length", "stop": "stop"}[text.finish_reason]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_sampling_is_that_of_generate(client, name):
    how = {"temperature": 1.1, "top_p": 0.9, "seed": 5}
    ours = {"top_k": 40, "min_p": 0.001, "repetition_penalty": 1.2}
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, n=3, extra_body=ours, **{name: 12}, **how
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for row, choice in enumerate(answer.choices):
        text, _ = expected(max_new_tokens=12, **ours, **{**how, "seed": 5 + row})
        assert choice.message.content == text.text
    assert len({choice.message.content for choice in answer.choices}) > 1


def test_the_same_seed_gives_the_same_text_in_any_company(served, client):
    alone = client.chat.completions.create(model="tiny", messages=HELLO, temperature=1, seed=3, max_tokens=40)
    together = []

    def ask(seed):
        answer = served.client().chat.completions.create(
            model="tiny", messages=HELLO, temperature=1, seed=seed, max_tokens=20 + seed % 30
        )
        if seed == 3:
            together.append(answer)

    threads = [threading.Thread(target=ask, args=[seed]) for seed in (11, 12, 13, 14, 15)]
    for thread in threads:
        thread.start()
    again = client.chat.completions.create(model="tiny", messages=HELLO, temperature=1, seed=3, max_tokens=40)
    for thread in threads:
        thread.join()
    assert again.choices[0].message.content == alone.choices[0].message.content


def test_a_stream_joined_is_the_answer(client):
    whole = client.chat.completions.create(model="tiny", messages=HELLO, temperature=1, seed=1, max_tokens=30)
    chunks = list(
        client.chat.completions.create(
            model="tiny",
            messages=HELLO,
            temperature=1,
            seed=1,
            max_tokens=30,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert len({chunk.id for chunk in chunks}) == 1
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks[:-1]]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len(pieces) > 5
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:-1]] == [whole.choices[0].finish_reason]


def test_several_answers_are_streamed_side_by_side(client):
    ask = {"model": "tiny", "messages": HELLO, "temperature": 1, "seed": 1, "max_tokens": 15, "n": 2}
    whole = client.chat.completions.create(**ask)
    texts = ["", ""]
    for chunk in client.chat.completions.create(**ask, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("as_list", [False, True])
def test_stop_strings_end_a_text_and_are_not_in_it(client, stream, as_list):
    text, _ = expected(max_new_tokens=40)
    stop = text.text[10:13]
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, stop=[stop, "@@"] if as_list else stop, stream=stream
    )
    if stream:
        chunks = list(answer)
        content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        content, reason = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert content == text.text[: text.text.index(stop)]
    assert reason == "stop"


def test_log_probabilities_of_a_chat(client):
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=6, logprobs=True, top_logprobs=3
    )
    text, n_prompt = expected(max_new_tokens=6)
    model = tiny_model()
    prompt = model.tokenizer.apply_chat_template(HELLO, add_generation_prompt=True)
    with torch.inference_mode():
        log_p = model(torch.tensor([prompt + text.ids]))[0].log_softmax(-1)
    content = answer.choices[0].logprobs.content
    assert [each.token_id for each in content] == text.ids
    for place, each in enumerate(content, start=n_prompt - 1):
        assert each.logprob == pytest.approx(float(log_p[place].max()), abs=1e-3)
        assert each.top_logprobs[0].token == each.token
        assert [other.logprob for other in each.top_logprobs] == pytest.approx(
            log_p[place].topk(3).values.tolist(), abs=1e-3
        )
    known = [byte for each in content for byte in each.bytes]
    assert bytes(known).decode(errors="replace") == text.text


def test_log_probabilities_in_a_stream_are_those_of_the_whole(client):
    ask = {
        "model": "tiny",
        "messages": HELLO,
        "max_tokens": 25,
        "temperature": 1,
        "seed": 2,
        "logprobs": True,
    }
    whole = client.chat.completions.create(**ask).choices[0]
    tokens, text = [], ""
    for chunk in client.chat.completions.create(**ask, stream=True):
        choice = chunk.choices[0]
        text += choice.delta.content or ""
        tokens += choice.logprobs.content if choice.logprobs else []
    assert text == whole.message.content
    assert [each.token for each in tokens] == [each.token for each in whole.logprobs.content]
    assert [each.logprob for each in tokens] == pytest.approx(
        [each.logprob for each in whole.logprobs.content], abs=1e-3
    )


def test_completions_of_strings_and_of_ids(client):
    model = tiny_model()
    ids = model.tokenizer.encode("a rose")
    for prompt, n_prompts in (("a rose", 1), (ids, 1), (["a rose", "what"], 2), ([ids, [9]], 2)):
        answer = client.completions.create(model="tiny", prompt=prompt, temperature=0, n=2)
        assert answer.object == "text_completion"
        assert len(answer.choices) == 2 * n_prompts
        (text,) = generate(model, [ids], temperature=0, max_new_tokens=16, fast=False)
        assert answer.choices[0].text == answer.choices[1].text == text.text
        assert answer.usage.completion_tokens == sum(
            len(generate(model, [p], temperature=0, max_new_tokens=16, fast=False)[0].ids) * 2
            for p in (
                [ids]
                if n_prompts == 1
                else [ids, [9] if prompt[0] == ids else model.tokenizer.encode("what")]
            )
        )


@pytest.mark.parametrize("stream", [False, True])
def test_an_echo_brings_the_prompt_and_its_probabilities(client, stream):
    model, prompt = tiny_model(), "a rose is"
    answer = client.completions.create(
        model="tiny", prompt=prompt, temperature=0, max_tokens=5, echo=True, logprobs=2, stream=stream
    )
    choices = [chunk.choices[0] for chunk in answer] if stream else answer.choices
    text = "".join(choice.text for choice in choices)
    (written,) = generate(
        model, [model.tokenizer.encode(prompt)], temperature=0, max_new_tokens=5, fast=False
    )
    assert text == prompt + written.text
    noted = [choice.logprobs for choice in choices if choice.logprobs]
    tokens = [token for each in noted for token in each.tokens]
    offsets = [offset for each in noted for offset in each.text_offset]
    log_p = [value for each in noted for value in each.token_logprobs]
    assert len(tokens) == len(log_p) == len(model.tokenizer.encode(prompt)) + len(written.ids)
    assert log_p[0] is None
    assert all(math.isfinite(each) and each <= 0 for each in log_p[1:])
    for token, offset in zip(tokens, offsets, strict=True):
        assert token.startswith("bytes:") or text[offset:].startswith(token)


def test_alternatives_have_names_of_their_own():
    """Parts of characters have no text, and a byte may be written as a letter."""
    tokenizer = tiny_model().tokenizer
    parts = tokenizer.encode("潜")
    letter = tokenizer.encode("a")[0]
    byte = tokenizer.vocabulary.index("<0x61>")
    best = [(token, -float(place)) for place, token in enumerate([*parts, letter, byte])]
    shape = CompletionShape("tiny", tokenizer, {})
    named = shape.choice(0, "", [TokenScore(parts[0], 0, -1.0, best)], None, is_chunk=True)["logprobs"]
    assert named["tokens"] == [r"bytes:\xe6"]
    assert named["top_logprobs"] == [
        {r"bytes:\xe6": 0.0, r"bytes:\xbd": -1.0, r"bytes:\x9c": -2.0, "a": -3.0, f"token_id:{byte}": -4.0}
    ]


def test_a_token_of_several_bytes_that_are_no_character_has_them():
    tokenizer = SimpleNamespace(decode=lambda ids: "\ufffd", vocabulary=["<0x20><0xE6><0xBD>"])
    score = TokenScore(0, 0, -1.0, [])
    chat, text = (kind("tiny", tokenizer, {}) for kind in (ChatShape, CompletionShape))
    (entry,) = chat.choice(0, "", [score], None, is_chunk=True)["logprobs"]["content"]
    assert entry["bytes"] == [0x20, 0xE6, 0xBD]
    assert text.choice(0, "", [score], None, is_chunk=True)["logprobs"]["tokens"] == [r"bytes:\x20\xe6\xbd"]


def test_only_the_prompt_is_scored_if_nothing_is_to_be_written(client):
    answer = client.completions.create(
        model="tiny", prompt=["a rose", "what is"], max_tokens=0, echo=True, logprobs=0
    )
    assert [choice.text for choice in answer.choices] == ["a rose", "what is"]
    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    assert answer.usage.completion_tokens == 0
    assert all(choice.logprobs.token_logprobs[0] is None for choice in answer.choices)
    assert all(value < 0 for choice in answer.choices for value in choice.logprobs.token_logprobs[1:])


def test_parts_of_text_and_the_developer_role_are_read(client):
    parts = [{"type": "text", "text": "what is "}, {"type": "text", "text": "a rose?"}]
    asked = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}]
    answer = client.chat.completions.create(model="tiny", messages=asked, max_tokens=5)
    text, _ = expected([{"role": "system", "content": "be brief"}, *HELLO], max_new_tokens=5)
    assert answer.choices[0].message.content == text.text


def test_an_answer_can_be_sent_back_as_the_client_has_it(client):
    first = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=3)
    more = [*HELLO, first.choices[0].message.model_dump(), {"role": "user", "content": "why?"}]
    assert client.chat.completions.create(model="tiny", messages=more, max_tokens=3).usage.prompt_tokens > 10


def test_old_turns_are_forgotten_and_it_is_said(client):
    long = [*HELLO, {"role": "assistant", "content": "a rose " * 20}, {"role": "user", "content": "why?"}]
    answer = client.chat.completions.with_raw_response.create(model="tiny", messages=long, max_tokens=4)
    assert answer.headers["x-minillm-forgotten-messages"] == "2"
    assert answer.parse().minillm == {"forgotten_messages": 2}
    text, _ = expected(long[2:], max_new_tokens=4)
    assert answer.parse().choices[0].message.content == text.text
    (first, *_) = client.chat.completions.create(model="tiny", messages=long, max_tokens=4, stream=True)
    assert first.minillm == {"forgotten_messages": 2}


def test_what_openai_has_and_would_change_nothing_is_accepted(client):
    client.chat.completions.create(
        model="tiny",
        messages=HELLO,
        max_tokens=1,
        frequency_penalty=0,
        presence_penalty=0.0,
        logit_bias={},
        response_format={"type": "text"},
        tools=[],
        tool_choice="none",
        user="me",
        store=False,
        stop=None,
        n=1,
    )


@pytest.mark.parametrize(("change", "param", "words"), [
    ({"temperature": -1}, "temperature", "greater than or equal to 0"),
    ({"temperature": "hot"}, "temperature", "valid number"),
    ({"temperature": 1e-9}, "temperature", "write 0"),
    ({"repetition_penalty": 1e-40}, "repetition_penalty", "greater than or equal to 0.000001"),
    ({"repetition_penalty": 1e30}, "repetition_penalty", "less than or equal to 1000000"),
    ({"top_p": 0}, "top_p", "greater than 0"),
    ({"top_k": 0}, "top_k", "greater than 0"),
    ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
    ({"max_tokens": 2, "max_completion_tokens": 3}, "max_tokens", "two numbers"),
    ({"n": 9}, "n", "less than or equal to 8"),
    ({"seed": -1}, "seed", "greater than or equal to 0"),
    ({"stop": [""]}, "stop[0]", "at least 1 character"),
    ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "needs stream"),
    ({"frequency_penalty": 0.5}, "frequency_penalty", "give 0"),
    ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
    ({"tools": [{"type": "function"}]}, "tools", "not supported"),
    ({"temprature": 1}, "temprature", "there is no parameter"),
    ({"messages": []}, "messages", "at least 1 item"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "missing"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "null"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages", "wizard"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages[0].content",
     "image_url"),
    ({"messages": [{"role": "user", "content": "a rose " * 99}]}, "messages", f"context is {CONTEXT}"),
    ({"messages": [{"role": "user", "content": "x", "name": "me"}]}, "messages[0]", "'name'"),
])  # fmt: skip
def test_what_is_not_possible_is_refused_in_words(client, change, param, words):
    ask = {"model": "tiny", "messages": HELLO, **change}
    with pytest.raises(openai.BadRequestError, match=words.replace("[", r"\[")) as refused:
        client.post("/chat/completions", body=ask, cast_to=object)
    error = refused.value
    assert error.param == param
    assert error.type == "invalid_request_error"
    assert error.code


@pytest.mark.parametrize(("change", "param", "words"), [
    ({"prompt": []}, "prompt", "at least 1 item"),
    ({"prompt": [[]]}, "prompt", "empty"),
    ({"prompt": [[1], [310]]}, "prompt[1]", "prompt 1 has the token 310"),
    ({"prompt": [9] * CONTEXT}, "prompt", f"{CONTEXT} tokens, but the model's context is {CONTEXT}"),
    ({"prompt": "a rose " * 99}, "prompt", f"context is {CONTEXT}"),
    ({"prompt": 5}, "prompt", "be a list"),
    ({"max_tokens": 0}, "max_tokens", "without echo"),
    ({"best_of": 3}, "best_of", "give 1"),
    ({"suffix": "end"}, "suffix", "not supported"),
    ({"logprobs": 6}, "logprobs", "less than or equal to 5"),
])  # fmt: skip
def test_completions_that_are_not_possible_are_refused_in_words(client, change, param, words):
    with pytest.raises(openai.BadRequestError, match=words.replace("[", r"\[")) as refused:
        client.post("/completions", body={"prompt": "a rose", **change}, cast_to=object)
    assert refused.value.param == param


def test_another_model_is_not_found(client):
    with pytest.raises(
        openai.NotFoundError, match=r"no model 'gpt-4' here; this server has 'tiny'"
    ) as refused:
        client.chat.completions.create(model="gpt-4", messages=HELLO)
    assert (refused.value.param, refused.value.code) == ("model", "model_not_found")
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4'"):
        client.models.retrieve("gpt-4")


def test_other_errors_have_openais_shape_too(served):
    for answer, status, code in (
        (served.get("/nothing"), 404, "not_found"),
        (served.get("/v1/chat/completions"), 405, "method_not_allowed"),
        (served.post_text("/v1/chat/completions", "{", "application/json"), 400, "invalid_json"),
        (served.post_text("/v1/chat/completions", "[" * 99_999, "application/json"), 400, "invalid_body"),
        (served.post_text("/v1/chat/completions", "{}", "text/plain"), 415, "unsupported_media_type"),
        (served.post("/v1/chat/completions", [1]), 400, "invalid_value"),
        (served.post("/v1/chat/completions", {"messages": "x" * 2**20}), 413, "body_too_large"),
    ):
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert answer.json()["error"]["code"] == code
    assert served.get("/v1/chat/completions").headers["allow"] == "POST"


def test_an_error_inside_says_no_more_than_that_and_the_server_goes_on(monkeypatch):
    with running() as served:
        client = served.client()
        with monkeypatch.context() as patched:
            patched.setattr(MiniLLM, "hidden_states", lambda *_, **__: 1 / 0)
            with pytest.raises(openai.InternalServerError, match="error inside the server") as refused:
                client.chat.completions.create(model="tiny", messages=HELLO)
            assert refused.value.type == "server_error"
            with pytest.raises(openai.APIError, match="error inside the server"):
                list(client.chat.completions.create(model="tiny", messages=HELLO, stream=True))
        answer = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=5)
        assert answer.choices[0].message.content == expected(max_new_tokens=5)[0].text
        assert served.engine.n_running == 0


@pytest.fixture
def held(monkeypatch):
    """A lock: while it is held, no step of any batch is taken."""
    lock, step = threading.Lock(), Batch.step

    def wait_and_step(self):
        with lock:
            return step(self)

    monkeypatch.setattr(Batch, "step", wait_and_step)
    return lock


ASK = {"messages": HELLO, "max_tokens": 60, "temperature": 1}


def ask_and_wait(served, n, *, stream):
    """Send requests on plain sockets, and return the sockets."""
    host, port = served.url.removeprefix("http://").split(":")
    body = json.dumps({**ASK, "stream": stream}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    sockets = []
    for _ in range(n):
        one = socket.create_connection((host, int(port)))
        one.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        sockets.append(one)
    return sockets


def test_a_full_queue_is_said_and_empties_again(held):
    with running(engine_options={"max_batch": 2, "max_queue": 3}) as served:
        with held:
            sockets = ask_and_wait(served, 1, stream=False)
            eventually(lambda: served.engine.n_running == 1)
            sockets += ask_and_wait(served, 4, stream=False)
            eventually(lambda: served.engine.n_waiting == 4)
            refused = served.post("/v1/chat/completions", ASK)
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["error"]["type"] == "rate_limit_error"
            with pytest.raises(openai.RateLimitError, match="queue is full"):
                served.client().completions.create(model="tiny", prompt="a")
            assert served.get("/health").json() == {"status": "ok", "running": 1, "waiting": 4}
        eventually(lambda: served.engine.n_running == 0 == served.engine.n_waiting)
        assert served.post("/v1/chat/completions", ASK).status_code == 200
        for one in sockets:
            assert b"200 OK" in one.recv(4096)
            one.close()


def test_a_prompt_that_cannot_be_read_ends_no_other_answer(held, monkeypatch):
    read = MiniLLM.hidden_states

    def with_little_memory(self, input_ids, **more):
        if input_ids.shape[1] > 40:
            raise RuntimeError("out of memory")
        return read(self, input_ids, **more)

    monkeypatch.setattr(MiniLLM, "hidden_states", with_little_memory)
    model, prompts = tiny_model(), [[30, 31], [40], [9] * 50, [50, 51, 52]]
    with running() as served, ThreadPoolExecutor() as pool:

        def ask(prompt):
            answer = served.client().completions.create(
                model="tiny", prompt=prompt, temperature=0, max_tokens=30
            )
            return answer.choices[0].text

        with held:
            answers = [pool.submit(ask, prompts[0])]
            eventually(lambda: served.engine.n_running == 1)
            answers += [pool.submit(ask, prompt) for prompt in prompts[1:]]
            eventually(lambda: served.engine.n_waiting == 3)
        with pytest.raises(openai.InternalServerError, match="error inside the server"):
            answers.pop(2).result()
        for prompt, answer in zip([prompts[0], prompts[1], prompts[3]], answers, strict=True):
            (text,) = generate(model, [prompt], temperature=0, max_new_tokens=30, fast=False)
            assert answer.result() == text.text


def test_more_texts_than_there_are_places_are_refused_at_once():
    with running(engine_options={"max_batch": 2, "max_queue": 3}) as served:
        refused = served.post("/v1/completions", {"prompt": ["a", "b", "c"], "n": 2})
        assert refused.status_code == 400
        assert "6 texts" in refused.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_frees_the_place(held, stream):
    with running(engine_options={"max_batch": 2, "max_queue": 3}) as served:
        with held:
            (running_one,) = ask_and_wait(served, 1, stream=stream)
            eventually(lambda: served.engine.n_running == 1)
            waiting_ones = ask_and_wait(served, 4, stream=stream)
            eventually(lambda: served.engine.n_waiting == 4)
            for one in waiting_ones:  # these need no step to be taken
                one.close()
            eventually(lambda: served.engine.n_waiting == 0)
            running_one.close()
        eventually(lambda: served.engine.n_running == 0)
        assert served.post("/v1/chat/completions", ASK).status_code == 200


def test_the_page_may_run_its_own_script_and_load_nothing(served):
    answer = served.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    allowed = answer.headers["content-security-policy"]
    assert allowed == policy(answer.text)
    assert "default-src 'none'" in allowed
    assert "unsafe" not in allowed
    assert "http" not in allowed
    assert allowed.count("sha256-") >= 2


def test_the_page_learns_what_it_is_about():
    with running(examples={"en": ["What is a rose?"]}) as served:
        config = served.get("/config").json()
    assert config["model"] == "tiny"
    assert config["context_length"] == CONTEXT
    assert config["parameters"] == sum(p.numel() for p in tiny_model().parameters())
    assert config["most_inspected"] == CONTEXT
    assert config["examples"] == {"en": ["What is a rose?"]}
    assert config["takes_turns"] == is_fine_tuned(tiny_model())
    assert config["defaults"]["temperature"] == 0


def test_weights_in_8_bits_are_counted_too():
    with running(tiny_model().quantized()) as served:
        assert served.get("/config").json()["parameters"] == tiny_model().config.n_parameters


def test_a_reply_can_be_looked_into(served):
    model = tiny_model()
    prompt = model.tokenizer.apply_chat_template(HELLO, add_generation_prompt=True)
    (text,) = generate(model, [prompt], temperature=0, max_new_tokens=6, fast=False)
    ids = prompt + text.ids
    token = len(prompt) + 2
    answer = served.post("/inspect", {"messages": HELLO, "reply_ids": text.ids, "token": token, "top": 2})
    looked = answer.json()
    assert [each["id"] for each in looked["tokens"]] == ids
    assert [each["in_reply"] for each in looked["tokens"]] == [False] * len(prompt) + [True] * 6
    with torch.inference_mode():
        p = model(torch.tensor([ids]))[0].softmax(-1)
    assert looked["tokens"][0]["probability"] is None
    for place, each in enumerate(looked["tokens"][1:]):
        assert each["probability"] == pytest.approx(float(p[place, each["id"]]), abs=1e-4)
        assert [other["id"] for other in each["alternatives"]] == p[place].topk(2).indices.tolist()
    attention = torch.tensor(looked["attention"])
    assert attention.shape == (model.config.n_layers, model.config.n_heads, token)
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 4), atol=5e-3, rtol=0)
    by_text = served.post("/inspect", {"messages": HELLO, "reply": "a rose"}).json()
    assert by_text["attention"] is None
    assert "".join(each["text"] for each in by_text["tokens"] if each["in_reply"]) == "a rose"


@pytest.mark.parametrize(("change", "param", "words"), [
    ({"token": 999}, "token", "no token 999"),
    ({"token": 0}, "token", "greater than or equal to 1"),
    ({"reply": "a", "reply_ids": [1]}, None, "either"),
    ({"reply_ids": [310]}, "reply_ids", "no token 310"),
    ({"reply": "a rose " * 99}, "messages", "at most 96"),
    ({"wrong": 1}, None, "'wrong'"),
])  # fmt: skip
def test_what_cannot_be_looked_into_is_refused(served, change, param, words):
    answer = served.post("/inspect", {"messages": HELLO, **change})
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"] == param


def test_what_is_too_long_to_be_looked_into_is_not_said_to_be_too_long_for_the_model(monkeypatch):
    monkeypatch.setattr(inspection, "MOST_TOKENS", 20)
    with running() as served:
        answer = served.post("/inspect", {"messages": HELLO, "reply": "a rose " * 9})
        assert served.get("/config").json()["most_inspected"] == 20
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "too_long_to_inspect"
    assert "at most 20" in answer.json()["error"]["message"]


def test_an_answer_says_how_sure_the_model_is(served, monkeypatch):
    model, ask = tiny_model(), {"messages": HELLO, "max_tokens": 30}
    session = ChatSession(model, max_new_tokens=30, fast=False)
    session.send(HELLO[0]["content"])
    for threshold, is_sure in ((None, None), (0.0, True), (1.0, False)):
        monkeypatch.setattr(model, "chat_defaults", ChatDefaults(not_sure_below=threshold))
        whole = served.client().chat.completions.create(model="tiny", **ask)
        *_, last = served.client().chat.completions.create(model="tiny", **ask, stream=True)
        for choice in (whole.choices[0], last.choices[0]):
            assert choice.minillm["confidence"] == pytest.approx(session.confidence, abs=1e-3)
            assert choice.minillm["is_sure"] is is_sure


def test_a_model_that_cannot_carry_a_conversation_is_not_shown_it(client, monkeypatch):
    monkeypatch.setattr(tiny_model(), "chat_defaults", ChatDefaults(fresh=True))
    more = [{"role": "system", "content": "s"}, *HELLO, {"role": "assistant", "content": "a"}, *HELLO]
    answer = client.chat.completions.create(model="tiny", messages=more, max_tokens=4)
    assert answer.minillm == {"forgotten_messages": 2}
    assert answer.choices[0].message.content == expected([more[0], *HELLO], max_new_tokens=4)[0].text
