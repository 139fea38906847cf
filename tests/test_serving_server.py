import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import openai
import pytest
from served_model import eventually, running, tiny_model

from minillm_lib.model.decoder import MiniLLM
from minillm_lib.serving.app import Service
from minillm_lib.serving.batch import Batch
from minillm_lib.serving.server import check_reach, computes_in_bf16, listen, serve

HELLO = [{"role": "user", "content": "what is a rose?"}]


@pytest.fixture
def slow_steps(monkeypatch):
    step = Batch.step

    def wait_and_step(self):
        time.sleep(0.03)
        return step(self)

    monkeypatch.setattr(Batch, "step", wait_and_step)


def stream(served, n, **options):
    return served.client().chat.completions.create(
        model="tiny", messages=HELLO, stream=True, temperature=1, seed=1, max_tokens=n, **options
    )


def test_answers_that_have_begun_are_finished_and_new_ones_refused(slow_steps):
    with running() as served:
        chunks = stream(served, 40)
        other = served.client()
        assert other.models.list().data[0].id == "tiny"  # its connection stays open
        next(chunks)
        eventually(lambda: served.engine.n_running == 1)
        served.server.stop_soon()
        eventually(lambda: served.engine.is_stopping)
        with pytest.raises(openai.InternalServerError, match="is stopping") as refused:
            other.chat.completions.create(model="tiny", messages=HELLO)
        assert refused.value.status_code == 503
        assert served.get("/health").status_code == 503
        assert list(chunks)[-1].choices[0].finish_reason in ("length", "stop")
    with pytest.raises(openai.APIConnectionError):
        other.models.list()


def test_an_answer_that_takes_too_long_is_told_that_it_ends(slow_steps):
    with running(grace=0.1) as served:
        chunks = stream(served, 80)
        next(chunks)
        eventually(lambda: served.engine.n_running == 1)
        served.server.stop_soon()
        with pytest.raises(openai.APIError, match="is stopping"):
            list(chunks)


def test_whoever_waits_in_the_queue_is_refused_when_the_server_stops(slow_steps):
    with running(engine_options={"max_batch": 1}) as served:
        chunks = stream(served, 30)
        next(chunks)
        eventually(lambda: served.engine.n_running == 1)
        refused = []

        def ask():
            try:
                served.client().completions.create(model="tiny", prompt="a")
            except openai.InternalServerError as error:
                refused.append(error)

        waiting = threading.Thread(target=ask)
        waiting.start()
        eventually(lambda: served.engine.n_waiting == 1)
        served.server.stop_soon()
        waiting.join()
        assert refused[0].status_code == 503
        assert list(chunks)[-1].choices[0].finish_reason


def test_a_port_in_use_is_an_error_in_words():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} of 127.0.0.1 is in use; .*--port 0"):
            listen("127.0.0.1", port)
    with pytest.raises(ValueError, match="from 0 to 65535"):
        listen("127.0.0.1", 70_000)
    with pytest.raises(ValueError, match=r"--host 'no\.such\.host\.invalid' is not known"):
        listen("no.such.host.invalid", 0)


@pytest.mark.parametrize(("host", "key", "words"), [
    ("0.0.0.0", None, "needs a key"),
    ("192.168.0.1", None, "MINILLM_API_KEY"),
    ("127.0.0.1", "", "printable"),
    ("127.0.0.1", " x", "printable"),
    ("0.0.0.0", "schlüssel", "ASCII"),
])  # fmt: skip
def test_other_machines_are_let_in_only_with_a_key(host, key, words):
    with pytest.raises(ValueError, match=words):
        check_reach(host, key)


def test_this_machine_needs_no_key():
    check_reach("127.0.0.1", None)
    check_reach("localhost", "key")
    check_reach("0.0.0.0", "key")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.pt"
    tiny_model().save(path)
    return path


def test_the_command_refuses_other_machines_without_a_key(minillm, checkpoint):
    result = minillm("serve", "--ckpt", checkpoint, "--host", "0.0.0.0", "--port", 0)
    assert result.returncode == 2
    assert "--api-key" in result.stderr


def test_the_command_says_that_a_port_is_in_use(minillm, checkpoint):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = minillm("serve", "--ckpt", checkpoint, "--port", taken.getsockname()[1])
    assert result.returncode == 2
    assert "is in use" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_from_its_start_to_a_signal(checkpoint, number):
    environment = {**os.environ, "MINILLM_API_KEY": "a key", "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "minillm_lib", "serve", "--port", "0", "--ckpt", str(checkpoint)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        said = ""
        while "Ctrl-C stops it." not in said:
            line = server.stdout.readline()
            assert line, server.stderr.read()
            said += line
        url = re.search(r"http://127\.0\.0\.1:\d+", said)[0]
        assert "Serving small" in said
        assert "a key" not in said
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0).models.list()
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="a key", max_retries=0)
        chunks = client.chat.completions.create(model="small", messages=HELLO, stream=True, max_tokens=50)
        next(chunks)
        server.send_signal(number)
        assert list(chunks)[-1].choices[0].finish_reason
        rest, errors = server.communicate(timeout=60)
        assert server.returncode == 0
        assert "The server has stopped." in rest
        assert "Traceback" not in errors
        assert "not fine-tuned on conversations" in errors


@pytest.mark.parametrize("has_instructions", [True, False])
def test_bfloat16_is_for_float32_weights_and_processors_that_compute_in_it(monkeypatch, has_instructions):
    monkeypatch.setattr("minillm_lib.serving.server.has_bf16_instructions", lambda: has_instructions)
    assert computes_in_bf16(tiny_model()) is has_instructions
    assert not computes_in_bf16(tiny_model().quantized())


def test_weights_in_8_bits_are_not_served_in_bfloat16():
    with pytest.raises(ValueError, match=r"in 8 bits.*allowed: auto, float32"):
        serve(tiny_model().quantized(), Service("tiny"), precision="bf16")


@pytest.fixture
def offered(monkeypatch):
    """Collect what the command would serve."""
    calls = []
    monkeypatch.setattr(
        "minillm_lib.serving.server.serve", lambda model, service, **options: calls.append((model, service))
    )
    return calls


@pytest.mark.parametrize(("file", "name"), [
    ("Qwen3-0.6B", "Qwen3-0.6B"), ("v1.5.run", "v1.5.run"), ("small.pt", "small"), ("small-1.5.pt", "small-1.5"),
])  # fmt: skip
def test_the_name_is_that_of_the_folder_or_of_the_file_without_its_suffix(
    minillm, offered, tmp_path, monkeypatch, file, name
):
    tiny_model().save(tmp_path / file)
    assert minillm("serve", "--ckpt", tmp_path / file).returncode == 0
    monkeypatch.chdir(tmp_path)
    if not file.endswith(".pt"):
        monkeypatch.chdir(file)
        assert minillm("serve", "--ckpt", ".").returncode == 0
    assert {service.name for _, service in offered} == {name}


def test_another_tokenizer_can_be_given(minillm, offered, tmp_path):
    model, tokenizer = tiny_model(), tiny_model().tokenizer
    MiniLLM(model.config).save(tmp_path / "untold.pt")  # it knows none
    tokenizer.save(tmp_path)
    result = minillm("serve", "--ckpt", tmp_path / "untold.pt", "--tokenizer", tmp_path)
    assert result.returncode == 0, result.stderr
    ((served, _),) = offered
    assert served.tokenizer.vocabulary == tokenizer.vocabulary
