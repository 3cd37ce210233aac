"""The terminal around a command: any encoding, a pipe that closes, signals that end it, errors and warnings as text."""

from __future__ import annotations

import _thread
import codecs
import contextlib
import io
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Collection, Iterator
from types import FrameType
from typing import Any

from rich.console import Console, ConsoleOptions

# Symbols in what the commands print, for terminals that do not have them.
_SPELLED = {"×": "x", "≠": "!=", "±": "+-", "…": "...", "–": "-", "−": "-", "Δ": "D", "³": "^3", "ⁿ": "^n"}
_ERRORS = "inner_distance_gpu"  # the name of `_spell` among Python's ways to deal with what an encoding does not have
# The last three are what batch systems send before they kill: at a limit of CPU time, or as a note that was asked for.
_ENDS = ("SIGTERM", "SIGHUP", "SIGBREAK", "SIGXCPU", "SIGUSR1", "SIGUSR2")
_ENDING = [getattr(signal, name) for name in _ENDS if hasattr(signal, name)]
_MOMENT = 0.05  # s until a signal is sent again
_VALUE = r"""'(?P<quoted>[^']*)'|[(\[](?P<several>[^)\]]*)[)\]]|(?P<plain>[^\s,;:()]*)"""


class Terminal(Console):
    """Prints text as it is, without markup and emoji codes: names of files may look like either."""

    def __init__(self, stderr: bool = False, narrowest: int = 0) -> None:
        self._narrowest = narrowest
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)

    @property
    def options(self) -> ConsoleOptions:
        """Wide enough for numbers in tables: the lines of a narrow terminal go on below, rich would leave words out."""
        options = super().options
        return options.update(width=max(options.max_width, self._narrowest))

    def print(self, *objects: Any, **keywords: Any) -> None:
        """Where it cannot be written, as on a full disk, the work goes on all the same."""
        try:
            super().print(*objects, **keywords)
        except OSError as error:
            self.on_broken_pipe()
            if not self.stderr:
                errors.print(f"Warning: what is printed is lost from here on: {error.strerror or error}")

    def on_broken_pipe(self) -> None:
        """Nobody reads on, as behind `| head`: the work goes on, what it prints goes nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


console = Terminal(narrowest=80)
errors = Terminal(stderr=True)


@contextlib.contextmanager
def surroundings() -> Iterator[None]:
    """Around a whole command: no text that cannot be printed, warnings in a line, clean ends."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)
    with warnings.catch_warnings(), _ended_by_signals():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if category.__module__.partition(".")[0] == __name__.partition(".")[0]:
                errors.print(f"Warning: {message}")
            else:
                shown(message, category, *where, **more)

        warnings.showwarning = show
        yield


def _spell(error: UnicodeError) -> tuple[bytes, int]:
    """ASCII for what an encoding does not have; bytes of a file's name that are no text as they are."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    spelled = b""
    for letter in error.object[error.start : error.end]:
        if "\udc80" <= letter <= "\udcff":
            spelled += bytes([ord(letter) - 0xDC00])
        else:
            spelled += _SPELLED.get(letter, letter).encode("ascii", "backslashreplace")
    return spelled, error.end


codecs.register_error(_ERRORS, _spell)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and the like end the block with SystemExit, so that it tidies up; exit code 128 and the signal's number.

    A signal that is ignored, as under nohup, or that something else handles stays with that. An import waits for its
    end: code there may catch what is raised and go on. What is raised in a destructor or a callback Python ignores, so
    the signal is sent again; where a class is made it becomes another exception, and the exit code is its own all the
    same.
    """
    seen: list[int] = []
    outside = _imports(sys._getframe())

    def end(number: int, frame: FrameType | None) -> None:
        if _imports(frame) > outside:
            _send_again(number)
            return
        for other in handled:
            signal.signal(other, signal.SIG_IGN)  # a second one does not end the tidying
        seen.append(number)
        raise SystemExit(128 + number)

    def listen() -> None:
        for number in handled:
            signal.signal(number, end)

    def ignored(unraisable: Any) -> None:
        if not (seen and isinstance(unraisable.exc_value, SystemExit)):
            before(unraisable)
            return
        listen()
        _send_again(seen[-1])

    main = threading.current_thread() is threading.main_thread()  # no other may set handlers
    handled = [number for number in _ENDING if main and signal.getsignal(number) is signal.SIG_DFL]
    before, sys.unraisablehook = sys.unraisablehook, ignored
    listen()
    try:
        yield
    except BaseException as error:
        if seen and not (isinstance(error, SystemExit) and not error.code):  # that is the end of work that was done
            raise SystemExit(128 + seen[-1]) from error
        raise
    finally:
        sys.unraisablehook = before
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def _imports(frame: FrameType | None) -> int:
    """How many imports are under way in a frame and its callers, counted in frames."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename.startswith("<frozen importlib")
        frame = frame.f_back
    return count


def _send_again(number: int) -> None:
    """In a moment, to the main thread. For handlers: it takes no lock that what they interrupt may hold."""

    def send() -> None:
        time.sleep(_MOMENT)
        if signal.getsignal(number) is signal.SIG_DFL:  # the command has ended meanwhile
            return
        if sys.platform == "win32":
            signal.raise_signal(number)
        else:
            signal.pthread_kill(main, number)  # also where it waits

    main = threading.main_thread().ident or 0
    _thread.start_new_thread(send, ())


def print_error(error: BaseException, options: Collection[str]) -> None:
    """What went wrong, in the words of the command line: keywords of Python become the `options` of that name."""
    errors.print("Error: ", style="bold red", end="")
    errors.print(_in_options(_sentence(error), options))


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error) or type(error).__name__


def _in_options(message: str, options: Collection[str]) -> str:
    """`blocks=(4, 4, 4)` as `--blocks 4,4,4`; what the user typed stays."""
    keyword = re.compile(rf"(?<![^\s(])(?P<name>{'|'.join(map(re.escape, options))})=(?:{_VALUE})")
    typed = sorted((word for word in sys.argv[1:] if "=" in word), key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, typed))})", message) if typed else [message]
    parts[::2] = [keyword.sub(_as_option, part) for part in parts[::2]]
    return "".join(parts)


def _as_option(match: re.Match[str]) -> str:
    quoted, several, plain = match.group("quoted", "several", "plain")
    value = quoted if quoted is not None else several.replace(" ", "").strip(",") if several is not None else plain
    option = "--" + match["name"].replace("_", "-")
    return option if value in ("", "True") else f"{option} {'none' if value == 'None' else value}"
