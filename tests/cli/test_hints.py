"""Every error of the library is one line that says what to do."""

from __future__ import annotations

import pytest

from trio_realtime import errors
from trio_realtime.cli.hints import explained


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (errors.HandshakeRejected("no", status=401), "OPENAI_API_KEY"),
        (errors.HandshakeRejected("no", status=404), "--model"),
        (errors.HandshakeRejected("no", status=429), "wait"),
        (errors.HandshakeRejected("no", status=503), "later"),
        (errors.SessionRefused("no such voice"), "--voice"),
        (errors.ConnectTimeout("too late"), "network"),
        (errors.ConnectError("nobody there"), "network"),
        (errors.ConnectionLost("gone"), "again"),
        (errors.SessionExpired("an hour is over"), "again"),
        (errors.ServerError("no money", code="insufficient_quota"), "account"),
        (errors.ServerError("oh"), "again"),
        (errors.ResponseFailed("oh"), "again"),
        (errors.ProtocolError("garbage"), "report"),
        (errors.InternalError("bug"), "report"),
    ],
)
def test_an_error_comes_with_what_to_try(error: errors.RealtimeError, hint: str) -> None:
    words, _, hinted = explained(error).partition(" (")
    assert words == str(error)
    assert hint in hinted


def test_what_was_refused_here_says_itself_what_to_do() -> None:
    assert explained(errors.ConfigError("pass a voice")) == "pass a voice"


def test_an_error_is_one_line() -> None:
    assert "\n" not in explained(errors.ServerError("first\n second\r\n"))
    assert explained(errors.ConfigError()) == "ConfigError"
