"""The promises of `MessageTransport`: a function for each, whose name begins with the method, and which states it.

What a promise says of a peer that breaks the connection, or of binary messages, is not tried where the trial has no
means to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from ...errors import ConnectionLost
from ...transport import Closed
from ..cancel_at_step import cancelled_at, seconds_when_cancelled_at
from .transport_trial import (
    Clog,
    Inbox,
    Pair,
    Trial,
    outcome_of,
    require,
    require_closed,
    require_messages,
    require_raised,
    within,
)

# Around the lengths at which a websocket changes how it frames; the last is more than any buffer holds.
_PAYLOADS = [
    b"",
    b"one",
    "\u00e9\u20ac\U0001f600".encode(),
    *[b"x" * length for length in (125, 126, 65535, 65536, 1_000_000)],
    b"z" * 10_000_000,
]

# What a deadline may be exceeded by, on a machine that is busy.
_SLACK = 0.5


# --- send -----------------------------------------------------------------------------------------------------------


async def send_writes_whole_messages_in_order(trial: Trial[Any]) -> None:
    """Text messages arrive whole and in order, empty ones and large ones too."""
    async with trial.opened() as pair:
        far = pair.pump_peer()
        await pair.transport.send(*_PAYLOADS)
        await pair.transport.send()
        for payload in _PAYLOADS[:-1]:
            await pair.transport.send(payload)
        sent = [*_PAYLOADS, *_PAYLOADS[:-1]]
        await far.wait_messages(len(sent))
        far.require(sent)


async def send_keeps_the_messages_of_a_call_together(trial: Trial[Any]) -> None:
    """Several tasks may send; each call's messages stand together."""
    tasks = 100
    async with trial.opened() as pair:
        for task in range(tasks):
            filling = b"." * (20_000 if task % 10 == 0 else 10)
            pair.nursery.start_soon(pair.transport.send, *[b"%d %d " % (task, part) + filling for part in range(3)])
        await wait_all_tasks_blocked(0.01)
        far = pair.pump_peer()
        await far.wait_messages(3 * tasks)
        seen = [tuple(map(int, payload.split()[:2])) for payload, _ in far.messages]
        order = [task for task, part in seen if part == 0]
        require(sorted(order) == list(range(tasks)), f"{len(set(order))} calls of {tasks} arrived")
        together = [(task, part) for task in order for part in range(3)]
        require(seen == together, "the messages of one call stand between those of another")


async def send_is_a_checkpoint(trial: Trial[Any]) -> None:
    """Each call that succeeds is a checkpoint."""
    async with trial.opened() as pair:
        pair.pump_peer()
        for payloads in ([], [b"small"], [b"several", b"small"], [b"large" * 1_000_000]):
            with assert_checkpoints():
                await pair.transport.send(*payloads)


async def send_is_atomic_when_cancelled(trial: Trial[Any]) -> None:
    """A message is written whole or not at all when the sender is cancelled, and the connection stays intact."""
    for payloads in ([b"small"], [b"1" * 1_000_000, b"2", b"3" * 1_000_000]):
        await _at_each_step(partial(_send_and_go_on, trial, payloads))
    async with trial.opened() as pair:
        clog = await Clog.begin(pair.nursery, pair.transport)
        if clog.stuck:
            clog.scope.cancel()
            await wait_all_tasks_blocked(0.01)
            over = clog.over.is_set()
            far = pair.pump_peer()
            await clog.over.wait()  # which it is by now, but for a send that cannot be cancelled
            await _require_intact(pair, far)
            require(over, "a send that waits for the peer cannot be cancelled")
            numbers = range(clog.sent + (len(far.messages) > clog.sent + 1))
            far.require([*map(Clog.message, numbers), b"after"])


async def _send_and_go_on(trial: Trial[Any], payloads: list[bytes], step: int) -> bool:
    async with trial.opened() as pair:
        far = pair.pump_peer()
        cancelled = await cancelled_at(step, partial(pair.transport.send, *payloads))
        await _require_intact(pair, far)
        written = [payload for payload, _ in far.messages[:-1]]
        whole = written == payloads[: len(written)]
        require(whole, f"cancelled at checkpoint {step}, it wrote something else than whole messages in order")
        require(cancelled or written == payloads, "what was not cancelled was not written")
    return cancelled


async def _require_intact(pair: Pair[Any], far: Inbox) -> None:
    """Check that a connection still goes both ways."""
    near = pair.pump_transport()
    await pair.transport.send(b"after")
    await far.wait_message(b"after")
    require(far.messages[-1:] == [(b"after", False)], f"what was sent afterwards did not come last: {far.ended!r}")
    await pair.peer.send(b"back")
    await near.wait_messages(1)
    require(near.messages == [(b"back", False)], f"afterwards nothing could be received: {near.ended!r}")


async def send_raises_closed_after_aclose(trial: Trial[Any]) -> None:
    """It raises ClosedResourceError once `aclose` was called on this side, also in a task that waits."""
    async with trial.opened() as pair:
        await pair.transport.aclose()
        for _ in range(2):
            await _require_send_raises(pair, trio.ClosedResourceError)
    async with trial.opened() as pair:
        clog = await Clog.begin(pair.nursery, pair.transport)
        if clog.stuck:
            await pair.transport.aclose()
            await clog.over.wait()
            require_raised(clog.error, trio.ClosedResourceError, "a send that waited")


async def send_raises_lost_after_the_peer_closed(trial: Trial[Any]) -> None:
    """It raises ConnectionLost once the peer has closed, each time."""
    async with trial.opened() as pair:
        near = pair.pump_transport()
        pair.nursery.start_soon(pair.peer.aclose)
        await near.wait_ended()
        for _ in range(2):
            await _require_send_raises(pair, ConnectionLost)


async def send_raises_lost_when_the_connection_broke(trial: Trial[Any]) -> None:
    """It raises ConnectionLost when the connection broke, soon and then each time."""
    if trial.drop is None:
        return
    async with trial.opened() as pair:
        near = pair.pump_transport()
        await trial.drop(pair.peer)
        await near.wait_ended()
        for _ in range(2):
            await _require_send_raises(pair, ConnectionLost)
    async with trial.opened() as pair:  # nobody reads, so only writing can find out
        await trial.drop(pair.peer)
        clog = await Clog.begin(pair.nursery, pair.transport)
        require_raised(clog.error, ConnectionLost, "sending on")
        await _require_send_raises(pair, ConnectionLost)


async def _require_send_raises(pair: Pair[Any], kind: type[Exception]) -> None:
    require_raised(await outcome_of(partial(pair.transport.send, b"late")), kind, "a send")


async def send_nowait_takes_a_message_or_leaves_it(trial: Trial[Any]) -> None:
    """What it takes arrives whole and before all that is sent later, and of what it does not take nothing does."""
    async with trial.opened() as pair:
        taken: list[bytes] = []
        for number in range(100):  # more than fits, unless any amount does
            message = Clog.message(number)
            if pair.transport.send_nowait(message):
                taken.append(message)
        far = pair.pump_peer()
        await pair.transport.send(b"after")
        await far.wait_message(b"after")
        far.require([*taken, b"after"])
        await pair.transport.aclose()
        require(not pair.transport.send_nowait(b"late"), "a message was taken after `aclose`")
    async with trial.opened() as pair:
        near = pair.pump_transport()
        pair.nursery.start_soon(pair.peer.aclose)
        await near.wait_ended()
        require(not pair.transport.send_nowait(b"late"), "a message was taken after the peer had closed")


# --- pump -----------------------------------------------------------------------------------------------------------


async def pump_delivers_whole_messages_in_order(trial: Trial[Any]) -> None:
    """Each message is handed over whole and in the order of the wire, empty ones and large ones too."""
    async with trial.opened() as pair:
        near = pair.pump_transport()
        await pair.peer.send(*_PAYLOADS)
        for payload in _PAYLOADS[:-1]:
            await pair.peer.send(payload)
        sent = [*_PAYLOADS, *_PAYLOADS[:-1]]
        await near.wait_messages(len(sent))
        near.require(sent)


async def pump_tells_binary_from_text(trial: Trial[Any]) -> None:
    """A binary message is handed over with the flag, a text message without."""
    if trial.send_binary is None:
        return
    async with trial.opened() as pair:
        near = pair.pump_transport()
        await pair.peer.send(b"text")
        for payload in (b"\0\xff", b"", b"text"):
            await trial.send_binary(pair.peer, payload)
        await pair.peer.send(b"text")
        await near.wait_messages(5)
        binary = [(b"\0\xff", True), (b"", True), (b"text", True)]
        require_messages(near.messages, [(b"text", False), *binary, (b"text", False)])


async def pump_returns_how_the_peer_closed(trial: Trial[Any]) -> None:
    """When the peer closes, what it sent before is handed over, and then its code and reason are returned."""
    async with trial.opened() as pair:

        async def send_and_close() -> None:
            await pair.peer.send(b"1", b"2")
            await pair.peer.send(b"3")
            await pair.peer.aclose(4001, "that was all")

        pair.nursery.start_soon(send_and_close)
        await wait_all_tasks_blocked(0.01)  # the close may be there before the first message is read
        near = Inbox()
        with assert_checkpoints():
            await near.pump(pair.transport)
        near.require([b"1", b"2", b"3"])
        require_closed(await near.wait_ended(), 4001, "that was all")


async def pump_runs_once(trial: Trial[Any]) -> None:
    """A second call raises BusyResourceError while the first runs, and ClosedResourceError after it."""
    async with trial.opened() as pair:
        near = pair.pump_transport()
        await wait_all_tasks_blocked(0.01)
        await _require_pump_raises(pair, trio.BusyResourceError)
        await pair.peer.send(b"still read")
        await near.wait_messages(1)
        near.require([b"still read"])
        pair.nursery.start_soon(pair.peer.aclose)
        await near.wait_ended()
        for _ in range(2):
            await _require_pump_raises(pair, trio.ClosedResourceError)


async def pump_raises_lost_when_the_connection_broke(trial: Trial[Any]) -> None:
    """It raises ConnectionLost when the connection broke, and after that nothing can be read."""
    if trial.drop is None:
        return
    async with trial.opened() as pair:
        near = pair.pump_transport()
        await pair.peer.send(b"1", b"2")
        await near.wait_messages(2)
        await trial.drop(pair.peer)
        require_raised(await near.wait_ended(), ConnectionLost, "the pump")
        near.require([b"1", b"2"])
        for _ in range(2):
            await _require_pump_raises(pair, (ConnectionLost, trio.ClosedResourceError))


async def pump_raises_closed_after_aclose(trial: Trial[Any]) -> None:
    """It raises ClosedResourceError when `aclose` is called on this side, and when it was."""
    async with trial.opened() as pair:
        near = pair.pump_transport()
        pair.pump_peer()
        await wait_all_tasks_blocked(0.01)
        await pair.transport.aclose()
        require_raised(await near.wait_ended(), trio.ClosedResourceError, "the pump")
        await _require_pump_raises(pair, trio.ClosedResourceError)
    async with trial.opened() as pair:
        pair.pump_peer()
        await pair.transport.aclose()
        await _require_pump_raises(pair, trio.ClosedResourceError)


async def pump_tears_nothing_when_cancelled(trial: Trial[Any]) -> None:
    """Whenever it is cancelled, what it handed over was whole and in order, and reading cannot be resumed."""
    await _at_each_step(partial(_pump_and_stop, trial))


async def _pump_and_stop(trial: Trial[Any], step: int) -> bool:
    payloads = [b"1", b"2" * 100_000, b"3"]
    async with trial.opened() as pair:

        async def send_and_close() -> None:
            await pair.peer.send(*payloads)
            await pair.peer.aclose()

        pair.nursery.start_soon(send_and_close)
        await wait_all_tasks_blocked(0.01)
        near = Inbox()
        cancelled = await cancelled_at(step, partial(near.pump, pair.transport))
        got = [payload for payload, _ in near.messages]
        require(got == payloads[: len(got)], f"cancelled at checkpoint {step}, it had torn a message")
        if not cancelled:
            require_closed(await near.wait_ended(), 1000, "")
            near.require(payloads)
        elif step:
            await _require_pump_raises(pair, trio.ClosedResourceError)
    return cancelled


async def pump_ends_with_what_deliver_raises(trial: Trial[Any]) -> None:
    """What the receiver raises ends the pump, and leaves it as itself."""

    def refuse(payload: bytes | bytearray | memoryview, binary: bool = False) -> None:
        raise LookupError

    async with trial.opened() as pair:
        pair.nursery.start_soon(pair.peer.send, b"1", b"2")
        require_raised(await outcome_of(partial(pair.transport.pump, refuse)), LookupError, "the pump")
        await _require_pump_raises(pair, trio.ClosedResourceError)


async def _require_pump_raises(pair: Pair[Any], kind: type[Exception] | tuple[type[Exception], ...]) -> None:
    require_raised(await outcome_of(partial(pair.transport.pump, Inbox())), kind, "another pump")


# --- aclose ---------------------------------------------------------------------------------------------------------


async def aclose_tells_the_peer(trial: Trial[Any]) -> None:
    """The peer gets what was sent before, and then the code and the reason; the call is a checkpoint."""
    for pumped in (False, True):
        async with trial.opened() as pair:
            far = pair.pump_peer()
            if pumped:
                pair.pump_transport()
            await pair.transport.send(b"last words")
            with assert_checkpoints():
                await pair.transport.aclose(4002, "enough")
            require_closed(await far.wait_ended(), 4002, "enough")
            far.require([b"last words"])


async def aclose_may_be_called_again(trial: Trial[Any]) -> None:
    """A second call waits for the first; later ones change nothing."""
    async with trial.opened() as pair:
        returned: list[str] = []

        async def close(name: str) -> None:
            await pair.transport.aclose()
            returned.append(name)

        # The peer does not read, so the first has to wait, if the transport is one that waits for an answer.
        async with trio.open_nursery() as closing:
            for name in ("first", "second"):
                closing.start_soon(close, name)
                await wait_all_tasks_blocked(0.01)
            require(returned != ["second"], "a second call returned before the first")
        with assert_checkpoints():
            await pair.transport.aclose()


async def aclose_is_in_time_whatever_the_peer_does(trial: Trial[Any]) -> None:
    """It ends within the close deadline and raises nothing, whatever the peer does."""
    peers: dict[str, Callable[[Pair[Any]], Awaitable[object]]] = {
        "silent": _wait,
        "silent while a send waits": _clog,
        "closed": _close_peer,
        "closed and that is not read": _close_peer_after_a_message,
        "closing too": _begin_to_close_peer,
        "sending on and on": _flood,
    }
    drop = trial.drop
    if drop is not None:
        peers["gone"] = lambda pair: drop(pair.peer)
    for state, bring_about in peers.items():
        for pumped in (False, True):
            async with trial.opened() as pair:
                if pumped:
                    pair.pump_transport()
                await bring_about(pair)
                with within(trial.close_timeout + _SLACK, f"closing while the peer is {state}"):
                    await pair.transport.aclose()


async def _wait(pair: Pair[Any]) -> None:
    del pair
    await wait_all_tasks_blocked(0.01)


async def _clog(pair: Pair[Any]) -> None:
    await Clog.begin(pair.nursery, pair.transport)


async def _close_peer(pair: Pair[Any]) -> None:
    pair.pump_peer()
    pair.nursery.start_soon(pair.peer.aclose)
    await wait_all_tasks_blocked(0.01)


async def _close_peer_after_a_message(pair: Pair[Any]) -> None:
    await pair.peer.send(b"never read")
    pair.nursery.start_soon(pair.peer.aclose)
    await wait_all_tasks_blocked(0.01)


async def _begin_to_close_peer(pair: Pair[Any]) -> None:
    pair.pump_peer()
    pair.nursery.start_soon(pair.peer.aclose)
    await trio.lowlevel.checkpoint()


async def _flood(pair: Pair[Any]) -> None:
    pair.pump_peer()
    pair.nursery.start_soon(Clog().run, pair.peer)
    await trio.lowlevel.checkpoint()


async def aclose_is_at_once_when_cancelled(trial: Trial[Any]) -> None:
    """Cancelled, at whatever checkpoint, it closes at once, and then raises Cancelled."""
    for pumped in (False, True):
        await _at_each_step(partial(_close_and_look, trial, pumped))


async def _close_and_look(trial: Trial[Any], pumped: bool, step: int) -> bool:
    async with trial.opened() as pair:
        near = pair.pump_transport() if pumped else None
        await wait_all_tasks_blocked(0.01)
        took = await seconds_when_cancelled_at(step, pair.transport.aclose)
        if took is not None:
            in_time = took <= 0.75 * trial.close_timeout
            require(in_time, f"cancelled at checkpoint {step}, it went on for {took:.3g} s")
        await _require_send_raises(pair, trio.ClosedResourceError)
        if near is None:
            await _require_pump_raises(pair, trio.ClosedResourceError)
        else:
            require_raised(await near.wait_ended(), trio.ClosedResourceError, "the pump")
        ended = await pair.pump_peer().wait_ended()
        require(isinstance(ended, Closed | ConnectionLost), f"cancelled at checkpoint {step}, the peer saw {ended!r}")
    return took is not None


async def _at_each_step(attempt: Callable[[int], Awaitable[bool]]) -> None:
    """Try something with a cancellation at its k-th checkpoint, for every k, until it has no more."""
    step = 0
    while await attempt(step):
        step += 1


PROMISES: tuple[Callable[[Trial[Any]], Awaitable[None]], ...] = (
    send_writes_whole_messages_in_order,
    pump_delivers_whole_messages_in_order,
    send_keeps_the_messages_of_a_call_together,
    send_is_a_checkpoint,
    send_is_atomic_when_cancelled,
    send_raises_closed_after_aclose,
    send_raises_lost_after_the_peer_closed,
    send_raises_lost_when_the_connection_broke,
    send_nowait_takes_a_message_or_leaves_it,
    pump_tells_binary_from_text,
    pump_returns_how_the_peer_closed,
    pump_runs_once,
    pump_raises_lost_when_the_connection_broke,
    pump_raises_closed_after_aclose,
    pump_tears_nothing_when_cancelled,
    pump_ends_with_what_deliver_raises,
    aclose_tells_the_peer,
    aclose_may_be_called_again,
    aclose_is_in_time_whatever_the_peer_does,
    aclose_is_at_once_when_cancelled,
)
"""All of them; the first two first, because the others send and pump too."""
