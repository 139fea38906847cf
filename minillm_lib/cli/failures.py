"""How the command ends where something goes wrong: in one line of words, and with an exit status.

The status is 2 for what the user or the machine can mend, 1 for a mistake of the program, 130 after Ctrl-C, 143 after
SIGTERM, and 141, as for any program, where the reader of a pipe is gone.
"""

from __future__ import annotations

import json
import os
import platform
import select
import shlex
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

from minillm_lib.io.cache import default_cache_dir
from minillm_lib.io.optional import MissingPackageError
from minillm_lib.io.terminal import printable
from minillm_lib.io.write_errors import WriteError

USERS, UNFORESEEN, INTERRUPTED, BROKEN_PIPE = 2, 1, 130, 141

_LONGEST = 500
_FORESEEN = (ValueError, OSError, MissingPackageError, MemoryError)
_NOT_IN_WORDS = (UnicodeDecodeError, json.JSONDecodeError)  # errors of libraries, which name no file
_SIGNS_OF_LITTLE_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def status_of(error: BaseException) -> int:
    """Say on standard error what went wrong, and return the exit status.

    Where ``MINILLM_DEBUG`` is set, the error is raised instead, with its traceback.
    """
    if isinstance(error, KeyboardInterrupt):
        _print("\ninterrupted")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError) and _nobody_reads():
        return BROKEN_PIPE
    if os.environ.get("MINILLM_DEBUG"):
        raise error
    words = _words_for_the_user(error)
    if words is not None:
        _print(f"error: {printable(words)}")
        return USERS
    _print(f"error: {_words_for_a_mistake(error)}")
    return UNFORESEEN


def flushed(status: int) -> int:
    """Return an exit status, once what was printed has arrived; standard output may be a file on a full disk."""
    try:
        sys.stdout.flush()
    except OSError as error:
        lost = OSError(error.errno, error.strerror, "standard output")
        status = BROKEN_PIPE if isinstance(error, BrokenPipeError) else status_of(lost)
        _send_output_nowhere()  # or Python tries again at the end, and complains
    return status


def _words_for_the_user(error: BaseException) -> str | None:
    """Return what the user can do something about, in words; None if the program is at fault."""
    if _is_about_memory(error):
        asked_for = f" ({_in_one_line(error)})" if str(error) else ""
        return (
            f"the memory of this machine is not enough{asked_for}; use fewer documents, terms or topics, a smaller "
            "model, or, in training, a smaller train.micro_batch_size"
        )
    if not isinstance(error, _FORESEEN) or isinstance(error, _NOT_IN_WORDS):
        return None
    if isinstance(error, UnicodeEncodeError):
        return (
            f"a text holds {error.object[error.start]!r}, half a character, which {error.encoding} cannot write: it "
            "comes from bytes that are no text"
        )
    if isinstance(error, OSError):
        return _words_of_the_system(error)
    from pydantic import ValidationError

    from minillm_lib.training.overrides import in_one_line

    return in_one_line(error) if isinstance(error, ValidationError) else str(error)


def _words_of_the_system(error: OSError) -> str:
    if error.strerror is None or type(error).__str__ is WriteError.__str__:
        return str(error)
    what = error.strerror[:1].lower() + error.strerror[1:]
    named = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' → '.join(named) or 'standard output, or a file that the system does not name'}: {what}"


def _is_about_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS_OF_LITTLE_MEMORY)


def _words_for_a_mistake(error: BaseException) -> str:
    """Say what happened, that the program is at fault, and what to report, in one line."""
    from minillm_lib import __version__

    kind, message = type(error).__name__, _in_one_line(error)
    if isinstance(error, RecursionError):
        message = f"something is nested too deeply: {message}"
    command = _command()
    try:
        told = f"the file {_keep_traceback(error, __version__, command)}, which holds the traceback"
    except Exception as failure:  # a second error must not hide the first one
        reason = f"{type(failure).__name__}: {_in_one_line(failure)}"
        told = (
            "the traceback, which MINILLM_DEBUG=1 before the command prints, as no file could be written for it "
            f"({reason})"
        )
    return printable(
        f"{kind}{': ' * bool(message)}{message}. This is a mistake of the program, not yours. Please report it with "
        f"the version ({__version__}), the command ({command}) and {told}"
    )


def _command() -> str:
    return _cut(" ".join(["minillm", *map(shlex.quote, sys.argv[1:])]))


def _keep_traceback(error: BaseException, version: str, command: str) -> Path:
    """Write the traceback to a new file that only this user can read, and return its path."""
    lines = [
        f"minillm_lib {version}, Python {platform.python_version()}, {platform.platform()}\n",
        f"{command}\n\n",
        *traceback.TracebackException.from_exception(error).format(),
    ]
    content = "".join(lines).encode("utf-8", "backslashreplace")
    failure: Exception | None = None
    for folder in _folders_for_tracebacks():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(".txt", "minillm-error-", folder)
        except OSError as refused:
            failure = refused
            continue
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
        except OSError as refused:
            failure = refused
            os.unlink(name)
            continue
        return Path(name)
    raise failure or FileNotFoundError("there is no temporary folder")


def _folders_for_tracebacks() -> list[Path]:
    """Return the temporary folder and the cache; the folder where the user works is the last resort."""
    try:
        folders = [Path(tempfile.gettempdir()), default_cache_dir()]
    except FileNotFoundError:  # no temporary folder can be written to
        folders = [default_cache_dir()]
    here = Path.cwd().resolve()
    return [folder for folder in folders if folder.resolve() != here]


def _nobody_reads() -> bool:
    """Return whether standard output is a pipe whose reader is gone; from then on, it goes nowhere."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(1, 0)
        if not any(event & select.POLLERR for _, event in poll.poll(0)):
            return False
    _send_output_nowhere()
    return True


def _send_output_nowhere() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _in_one_line(error: BaseException) -> str:
    try:
        return _cut(" ".join(str(error).split()))
    except Exception:  # an error whose own text cannot be made
        return "its message cannot be shown"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _print(text: str) -> None:
    with suppress(OSError):  # standard error is gone or full; the exit status says the rest
        print(text, file=sys.stderr, flush=True)
