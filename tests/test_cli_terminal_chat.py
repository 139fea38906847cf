"""A conversation in a terminal: messages, commands, interruptions, and what goes where."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
import torch
from rich.cells import cell_len
from rich.console import Console
from scripted_model import ScriptedModel

from minillm_lib.cli.terminal_chat import COMMANDS, TerminalChat, print_text
from minillm_lib.generation.chat_session import ChatSession
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["a rose is a rose is a rose, one in 12 ÷ 3 = 4"] * 9, vocab_size=310)


def script(tokenizer, *replies):
    """The tokens of some replies, each with its end of turn."""
    return [token for reply in replies for token in [*tokenizer.encode(reply), tokenizer.end_of_turn_id]]


def turn(role, content):
    return {"role": role, "content": content}


class Talk(TerminalChat):
    """A conversation whose notices can be read."""

    def __init__(self, tokenizer, replies, **options):
        self.shown = io.StringIO()
        session = ChatSession(ScriptedModel(tokenizer, replies, **options.pop("config", {})), **options)
        super().__init__(session, Console(file=self.shown, width=400))

    @property
    def notices(self):
        return self.shown.getvalue().splitlines()


def typing(*messages):
    """Somebody at the keyboard: types messages, or presses a key that raises an exception, and at last Ctrl-D."""
    keys = iter(messages)

    def read():
        key = next(keys, EOFError())
        if isinstance(key, BaseException):
            raise key
        return key

    return read


def asked(talk):
    return [message["content"] for message in talk.session.messages if message["role"] == "user"]


def test_answers_go_to_standard_output_and_everything_else_does_not(tokenizer, capsys):
    talk = Talk(tokenizer, script(tokenizer, "a rose", "is a rose"))
    talk.talk(typing("what?", "   ", "/history", "/nonsense", "and?"))
    assert capsys.readouterr().out == "a rose\nis a rose\n"
    assert talk.notices[:2] == ["user: what?", "assistant: a rose"]
    assert talk.n_refused == 1


def test_ctrl_c_stops_the_answer_and_not_the_conversation(tokenizer, capsys):
    replies = [*tokenizer.encode("a rose"), KeyboardInterrupt(), *script(tokenizer, "is a rose")]
    talk = Talk(tokenizer, replies)
    talk.talk(typing("what?", "and?"))
    assert talk.notices == ["(stopped)"]
    assert talk.session.messages == [
        turn("user", "what?"),
        turn("assistant", "a rose"),
        turn("user", "and?"),
        turn("assistant", "is a rose"),
    ]
    assert capsys.readouterr().out.splitlines()[-1] == "is a rose"


def test_ctrl_c_at_the_prompt_first_hints_and_then_ends(tokenizer):
    talk = Talk(tokenizer, script(tokenizer, "a rose"))
    talk.talk(typing(KeyboardInterrupt(), "what?", KeyboardInterrupt(), KeyboardInterrupt(), "never asked"))
    assert asked(talk) == ["what?"]
    assert len(talk.notices) == 2
    assert "/quit" in talk.notices[0]


@pytest.mark.parametrize("command", ["/quit", "/exit"])
def test_quit_ends_the_conversation(tokenizer, command):
    talk = Talk(tokenizer, [])
    talk.talk(typing(command, "never asked"))
    talk = Talk(tokenizer, [])
    talk.read_lines([f"{command}\n", "never asked\n"])
    assert asked(talk) == []


@pytest.mark.parametrize(
    "line",
    [
        "什么是主题模型？\n".encode("gbk"),
        b"caf\xe9?\n",
        b"a\0?\0\n",
        b"\0\n",
        b"/reset \xff\n",
        b"half \xe4\xbd",
    ],
)
def test_a_line_that_is_no_text_is_refused_and_the_others_are_answered(tokenizer, capsys, line):
    talk = Talk(tokenizer, script(tokenizer, "a rose", "is a rose"))
    given = b"\xef\xbb\xbfwhat?\n" + line.removesuffix(b"\n") + b"\nand?\r\n"
    talk.read_lines(io.TextIOWrapper(io.BytesIO(given), "utf-8", errors="surrogateescape"))
    assert asked(talk) == ["what?", "and?"]
    assert capsys.readouterr().out == "a rose\nis a rose\n"
    (notice,) = talk.notices
    assert notice.startswith("(line 2 is not utf-8: ")
    assert talk.n_refused == 1


def test_utf_16_is_refused_line_by_line(tokenizer):
    talk = Talk(tokenizer, [])
    given = io.BytesIO("what?\n什么？\nand?\n".encode("utf-16"))
    talk.read_lines(io.TextIOWrapper(given, "utf-8", errors="surrogateescape"))
    assert talk.n_refused == len(talk.notices) >= 3
    assert asked(talk) == []


def test_an_unknown_command_is_refused_with_the_known_ones(tokenizer):
    talk = Talk(tokenizer, [])
    talk.take("/etc/passwd is a file")
    (notice,) = talk.notices
    assert notice.startswith("(there is no command /etc/passwd; ")
    assert all(f"/{name}" in notice for name in COMMANDS)
    assert "//" in notice
    assert talk.session.messages == []


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("//help", "/help"),
        ('"""/help"""', "/help"),
        ('"""\none\n\ntwo\n"""', "one\n\ntwo"),
        ("one\ntwo", "one\ntwo"),
        ('"""open', "open"),
        ("a // b", "a // b"),
    ],
)
def test_what_is_a_message_and_how_it_is_read(tokenizer, typed, message):
    talk = Talk(tokenizer, script(tokenizer, "a rose"))
    talk.take(typed)
    assert asked(talk) == [message]


@pytest.mark.parametrize("nothing", ["", "  \n", '""""""', '"""'])
def test_nothing_is_no_message(tokenizer, nothing):
    talk = Talk(tokenizer, [])
    talk.take(nothing)
    assert talk.session.messages == []
    assert talk.notices == []


def test_reset_forgets_all_but_the_system_message(tokenizer):
    talk = Talk(tokenizer, script(tokenizer, "a rose"), system="one")
    talk.read_lines(["what?", "/reset"])
    assert talk.session.messages == [turn("system", "one")]


def test_the_system_message_is_shown_set_and_removed(tokenizer):
    talk = Talk(tokenizer, [])
    for line, system in [("/system", None), ("/system be a  rose", "be a  rose"), ("/system -", None)]:
        talk.take(line)
        assert talk.session.system == system
    assert "be a  rose" in talk.notices[1]
    assert len(talk.notices) == 3


def test_the_temperature_is_shown_and_set_and_a_wrong_one_refused(tokenizer):
    talk = Talk(tokenizer, [])
    talk.take("/temperature 0.7")
    for wrong in ("-1", "warm", "nan"):
        talk.take(f"/temperature {wrong}")
    talk.take("/temperature")
    assert talk.session.sampling.temperature == 0.7
    assert talk.notices[0] == talk.notices[-1] == "The temperature is 0.7."
    assert "'warm'" in talk.notices[2]
    assert talk.n_refused == 3


def test_retry_answers_the_latest_message_in_place_of_the_first_answer(tokenizer, capsys):
    talk = Talk(tokenizer, script(tokenizer, "a rose", "is", "a rose is"))
    talk.read_lines(["/retry", "what?", "/retry", "/temperature 1", "/retry"])
    assert talk.session.messages == [turn("user", "what?"), turn("assistant", "a rose is")]
    assert talk.notices[0] == "(there is no message to answer again)"
    assert sum("stays the same" in notice for notice in talk.notices) == 1
    assert capsys.readouterr().out == "a rose\nis\na rose is\n"


def test_help_explains_every_command(tokenizer):
    talk = Talk(tokenizer, [])
    talk.take("/help")
    for name, command in COMMANDS.items():
        assert any(line.startswith(f"/{name}") and command.what in line for line in talk.notices)


def test_notices_about_the_context_come_after_the_answer(tokenizer, capsys):
    talk = Talk(tokenizer, [300] * 64, config={"max_seq_len": 32}, max_new_tokens=None)
    talk.take("what?")
    talk.take("?" * 40)
    assert talk.notices[0] == "(the reply stops because the context of 32 tokens is full)"
    assert "but the model's context is 32" in talk.notices[1]
    assert "context" not in capsys.readouterr().out
    assert talk.n_refused == 1


def test_a_doubtful_answer_is_followed_by_a_doubt(tokenizer, capsys):
    talk = Talk(tokenizer, script(tokenizer, "a rose"), not_sure_below=1.0)
    talk.session.model.embed_tokens.weight.data *= 0.05  # nearly all tokens are nearly as likely
    talk.take("what?")
    assert talk.notices[0].startswith("(not sure")
    assert capsys.readouterr().out == "a rose\n"


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_wrapped_lines_and_no_control_characters(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "20")
    print_text(["What a topic mo", "del is: a mixture\x1b[2J of words."])
    assert screen.getvalue() == "What a topic model\nis: a mixture\\x1b[2J\nof words.\n"


def test_a_pipe_gets_the_text_as_it_is(capsys):
    text = "word " * 40
    print_text([text[:30], text[30:]])
    assert capsys.readouterr().out == f"{text}\n"


@pytest.fixture(scope="module")
def talkative(tmp_path_factory):
    """A checkpoint of a model that says the same word again and again, until it has to stop."""
    tokenizer = Tokenizer.train(["a river, a harbour, a boat " * 20], vocab_size=305)
    shape = {"vocab_size": tokenizer.vocab_size, "max_seq_len": 30_000, "tied_embeddings": False}
    model = MiniLLM.from_preset("nano", **shape)
    word = max(tokenizer.encode("a river, a boat"), key=lambda token: len(tokenizer.decode([token])))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name or "embed" in name else 0.0)
        model.lm_head.weight[word] = 1.0
    model.stage = "pretrain"
    path = tmp_path_factory.mktemp("models") / "nano"
    model.save(path, tokenizer)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")
def test_a_conversation_in_a_real_terminal(talkative, tmp_path):
    """A base model says what it is; Ctrl-C stops its endless answer; the second Ctrl-C at the prompt ends it all."""
    import pexpect

    chat = [
        "-m",
        "minillm_lib",
        "chat",
        "--ckpt",
        str(talkative),
        "--max-new-tokens",
        "25000",
        "--device",
        "cpu",
    ]
    own = {
        "XDG_STATE_HOME": str(tmp_path),
        "HOME": str(tmp_path),
        "PROMPT_TOOLKIT_NO_CPR": "1",
        "NO_COLOR": "1",
    }
    child = pexpect.spawn(
        sys.executable,
        chat,
        env={**os.environ, **own, "TERM": "xterm"},
        encoding="utf-8",
        codec_errors="replace",
        dimensions=(24, 80),
        timeout=60,
    )
    shown_prompt = r">\S* ?\S*\x1b\[\?25h"
    child.expect("not fine-tuned")
    child.expect("/help lists the commands")
    child.expect(shown_prompt)
    child.send("a boat?\r")
    child.expect(r"[^\x1b\r\n]{70,}\r\n")  # a line of the answer
    child.sendintr()
    child.expect(r"\(stopped\)")
    assert max(map(cell_len, child.before.split("\r\n"))) <= 80
    child.expect(shown_prompt)
    child.sendintr()
    child.expect("Ctrl-C once more")
    child.expect(shown_prompt)
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "a boat?" in (tmp_path / "minillm" / "chat_history").read_text(encoding="utf-8")


def test_messages_of_a_pipe_are_answered_line_by_line(talkative, tmp_path):
    def piped(lines, *options):
        return subprocess.run(
            [sys.executable, "-m", "minillm_lib", "chat", "--ckpt", talkative, "--device", "cpu", *options],
            input=lines,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
            check=False,
        )

    result = piped(
        "a boat?\n\n\udcce\udcd2\n/reset\na boat?\n/nonsense\n", "--max-new-tokens", "7", "--exact"
    )
    model = MiniLLM.load_from_checkpoint(talkative, dtype=torch.float32)
    answer = model.chat("a boat?", max_new_tokens=7, fast=False)
    assert result.stdout == f"{answer}\n{answer}\n"
    assert result.returncode == 2
    assert "there is no command /nonsense" in result.stderr
    assert "line 3 is not utf-8" in result.stderr
    assert "not fine-tuned" in result.stderr
    assert "\x1b" not in result.stderr
    assert list(tmp_path.iterdir()) == []
