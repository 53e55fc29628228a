"""An error becomes text, whatever the error does."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from taskforge.failure import MESSAGE_BYTES, RICH_FRAMES, TRACEBACK_BYTES, ErrorText, lineage


class Upstream(ConnectionError):
    pass


def _caught(raising: Callable[[], object]) -> BaseException:
    try:
        raising()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def _raise(error: BaseException) -> None:
    raise error


def _recurse(levels: int) -> int:
    return _other(levels - 1) if levels else 1 // 0


def _other(levels: int) -> int:
    return _recurse(levels - 1) if levels else 1 // 0


def _fits(text: ErrorText) -> bool:
    message, trace = text.message.encode("utf-8"), text.traceback.encode("utf-8")  # strict: must not raise
    return len(message) <= MESSAGE_BYTES and len(trace) <= TRACEBACK_BYTES


def test_an_error_is_its_type_its_message_and_its_traceback() -> None:
    error = _caught(lambda: _raise(Upstream("no answer")))

    text = ErrorText.of(error)

    assert text.type == f"{__name__}.Upstream"
    assert text.message == "no answer"
    assert text.traceback == "".join(traceback.format_exception(error))


def test_the_callers_own_frames_are_left_out() -> None:
    error = _caught(lambda: _raise(Upstream("no answer")))

    lines = ErrorText.of(error, skip_frames=2).traceback.splitlines()

    assert [line.split(", in ")[1] for line in lines if line.startswith("  File")] == ["_raise"]
    assert ErrorText.of(error, skip_frames=99).traceback == f"{__name__}.Upstream: no answer\n"


def test_the_lineage_is_what_retry_rules_match() -> None:
    assert lineage(Upstream()) == (
        f"{__name__}.Upstream",
        "builtins.ConnectionError",
        "builtins.OSError",
        "builtins.Exception",
        "builtins.BaseException",
    )


def test_causes_and_contexts_are_included() -> None:
    def chained() -> None:
        try:
            _raise(KeyError("first"))
        except KeyError as first:
            try:
                raise ValueError("second") from first
            except ValueError:
                raise Upstream("third")  # noqa: B904  # the context is the point

    trace = ErrorText.of(_caught(chained)).traceback

    assert trace.index("KeyError: 'first'") < trace.index("direct cause") < trace.index("ValueError: second")
    assert trace.index("another exception occurred") < trace.index("Upstream: third")


def test_a_group_shows_its_parts() -> None:
    group = ExceptionGroup("both failed", [_caught(lambda: 1 // 0), _caught(lambda: int("x"))])

    text = ErrorText.of(_caught(lambda: _raise(group)))

    assert text.message == "both failed (2 sub-exceptions)"
    assert "ZeroDivisionError" in text.traceback
    assert "invalid literal" in text.traceback


def test_a_long_message_keeps_its_head_and_tail() -> None:
    text = ErrorText.of(ValueError("begin " + "x" * 5_000 + " end"))

    assert _fits(text)
    assert text.message.startswith("begin xxx")
    assert text.message.endswith("xxx end")
    assert "bytes left out" in text.message


@pytest.mark.parametrize("letter", ["x", "é", "☃", "😀", "\ud800"])
@pytest.mark.parametrize("count", [250, 1_000, 1_024, 1_025, 2_049, 100_000])
def test_bounds_are_bytes_of_utf8(letter: str, count: int) -> None:
    text = ErrorText.of(_caught(lambda: _raise(ValueError(letter * count))))

    assert _fits(text)
    assert ("left out" in text.message) == (len(letter.encode("utf-8", "backslashreplace")) * count > MESSAGE_BYTES)


def test_a_message_of_many_megabytes_is_cut() -> None:
    text = ErrorText.of(ValueError("x" * 50_000_000))

    assert _fits(text)
    assert "about 49998976 bytes left out" in text.message


class Exits(Exception):
    def __str__(self) -> str:
        sys.exit(3)


class Raises(Exception):
    def __str__(self) -> str:
        raise KeyError("in str")

    __repr__ = __str__


class Recurses(Exception):
    def __str__(self) -> str:
        return str(self)


class NoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


class Strange(str):
    def encode(self, *args: object) -> bytes:
        raise KeyError("in encode")

    def __len__(self) -> int:
        raise KeyError("in len")


class StrangeText(Exception):
    def __str__(self) -> str:
        return Strange("strange")


class Hidden(Exception):
    @property
    def __cause__(self) -> BaseException:  # type: ignore[override]
        raise KeyError("in cause")

    @property
    def __traceback__(self) -> None:  # type: ignore[override]
        raise KeyError("in traceback")


class Meta(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise KeyError("in module")


class Nameless(Exception, metaclass=Meta):
    pass


@pytest.mark.parametrize("kind", [Exits, Raises, Recurses, NoText, StrangeText, Hidden, Nameless])
def test_an_error_that_cannot_say_what_it_is_is_recorded_still(kind: type[Exception]) -> None:
    text = ErrorText.of(_caught(lambda: _raise(kind())), skip_frames=1)

    assert _fits(text)
    assert text.type in (f"{__name__}.{kind.__qualname__}", "unknown")
    assert text.traceback


def test_what_str_raised_is_said() -> None:
    assert ErrorText.of(Exits()).message == "(its text is not known: __str__ raised builtins.SystemExit)"


def test_a_traceback_that_cannot_be_formatted_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    error = _caught(lambda: _raise(Upstream("no answer")))
    error.__cause__ = _caught(lambda: int("x"))
    monkeypatch.setattr(traceback, "TracebackException", None)

    trace = ErrorText.of(error).traceback

    assert trace.startswith("Traceback (most recent call last, without source):\n  File ")
    assert ", in _raise\n" in trace
    assert f"{__name__}.Upstream: no answer\n\nIt came from:\n\n" in trace
    assert trace.endswith("(listed without source: formatting raised builtins.TypeError)\n")


def test_a_recursion_error_is_kept_short() -> None:
    def endless() -> None:
        endless()

    text = ErrorText.of(_caught(endless))

    assert _fits(text)
    assert text.type == "builtins.RecursionError"
    assert "more times]" in text.traceback


def test_a_deep_traceback_keeps_its_head_and_tail() -> None:
    text = ErrorText.of(_caught(lambda: _recurse(600)))

    assert _fits(text)
    assert "bytes left out" in text.traceback
    assert text.traceback.startswith("Traceback (most recent call last):\n")
    assert "in _caught" in text.traceback
    assert text.traceback.endswith("ZeroDivisionError: integer division or modulo by zero\n")


def _in_a_deep_thread(raising: Callable[[], object]) -> BaseException:
    """Where a traceback of thousands of frames fits on the stack."""
    before, limit = threading.stack_size(64 * 1024 * 1024), sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(_caught, raising).result(timeout=30)
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(before)


def test_a_huge_traceback_is_listed_without_source() -> None:
    text = ErrorText.of(_in_a_deep_thread(lambda: _recurse(10_000)))

    assert _fits(text)
    assert text.traceback.startswith("Traceback (most recent call last, without source):\n")
    assert "frames are left out)" in text.traceback
    assert text.traceback.endswith("builtins.ZeroDivisionError: integer division or modulo by zero\n")


def test_a_very_long_chain_is_listed_from_its_end() -> None:
    error: BaseException = ValueError(0)
    for number in range(1, RICH_FRAMES + 10):
        following = ValueError(number)
        following.__context__ = error
        error = following

    text = ErrorText.of(error)

    assert _fits(text)
    assert f"builtins.ValueError: {RICH_FRAMES + 9}\n" in text.traceback
    assert text.traceback.endswith("(further errors are left out)\n")


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first

    assert _fits(ErrorText.of(first))
