"""A conformance suite: whether a transport keeps the promises of `MessageTransport`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager

import trio

from ...errors import ConfigError
from ...exception_groups import leaves
from ...transport import MessageTransport
from .transport_promises import PROMISES
from .transport_trial import PeerT, Trial

_PATIENCE = 10.0


async def check_message_transport(
    open_pair: Callable[[], AbstractAsyncContextManager[tuple[MessageTransport, PeerT]]],
    *,
    drop: Callable[[PeerT], Awaitable[object]] | None = None,
    send_binary: Callable[[PeerT, bytes], Awaitable[object]] | None = None,
    close_timeout: float = 1.0,
    except_for: Collection[str] = (),
) -> None:
    """Hold a transport of your own against everything that `MessageTransport` promises.

    Each promise is tried on pairs of its own, also with a peer that reads nothing, closes, or goes away, and each call
    is cancelled at each of its checkpoints. The peer has only to work when it is used well: it is pumped, sends and
    closes, and is never cancelled on purpose. Where both ends are your own, check each with the other as its peer. In
    memory and on a clock that jumps it takes a second or two; on sockets as many as the close deadline times forty.

    Args:
        open_pair: Gives a context manager that connects the transport on trial and a peer, open, not pumped, and that
            clears up both, whatever has become of them.
        drop: Breaks the connection from the peer's side, without a close frame. None does not try what happens then.
        send_binary: Sends a binary message from the peer. None does not try how it arrives.
        close_timeout: Seconds that the transport takes to close politely.
        except_for: Promises that the transport does not make, by the names that the errors begin with.

    Raises:
        AssertionError: A promise is broken. It says which, of which method, and how.
        ConfigError: There is no promise of a name in `except_for`.
    """
    names = [promise.__name__ for promise in PROMISES]
    for name in except_for:
        if name not in names:
            raise ConfigError(f"there is no promise {name!r}; there are: {', '.join(names)}")
    trial = Trial(open_pair, drop, send_binary, close_timeout)
    for promise in PROMISES:
        if promise.__name__ not in except_for:
            await _check(promise, trial)


async def _check(promise: Callable[[Trial[PeerT]], Awaitable[None]], trial: Trial[PeerT]) -> None:
    failures: list[Exception] = []
    try:
        with trio.fail_after(_PATIENCE + 20 * trial.close_timeout):
            await promise(trial)
    except* Exception as group:  # noqa: BLE001  what a transport raises that it should not is a broken promise
        failures += [error for error in leaves(group) if isinstance(error, Exception)]
    if failures:
        # Where a check has failed, what its tasks raised as well only followed from that.
        failure = next((each for each in failures if isinstance(each, AssertionError)), failures[0])
        words = (promise.__doc__ or "").strip().rstrip(".")
        if isinstance(failure, trio.TooSlowError):
            detail = "it hangs"
        else:
            detail = str(failure) if isinstance(failure, AssertionError) else f"{failure!r} was raised"
        method = promise.__name__.partition("_")[0]
        raise AssertionError(f"{promise.__name__}: `{method}` breaks its promise: {words}. Here {detail}.") from failure
