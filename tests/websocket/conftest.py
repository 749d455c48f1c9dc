from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
import trustme
from trio.testing import MockClock

from trio_realtime.testing import assert_no_leaks


@pytest.fixture(autouse=True)
def _no_descriptor_and_no_thread_is_left() -> Iterator[None]:
    with assert_no_leaks():
        yield


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def idle_clock() -> MockClock:
    """Virtual time over sockets: it passes when nothing has moved for a while, and what is there is read first.

    Not for a socket that is full: how soon its other end is read again is told by a timer of the system's.
    """
    return MockClock(autojump_threshold=0.05)
