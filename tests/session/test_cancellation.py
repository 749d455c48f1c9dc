"""Guarantee 4: cancelling a caller leaves its event entirely sent or entirely unsent, and the connection intact."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from trio_realtime import ItemAppended, TurnDone
from trio_realtime.realtime_session import RealtimeSession
from trio_realtime.testing.cancel_at_step import cancelled_at

from .every_command import COMMANDS, Command, prepare
from .scripted_server import ScriptedServer, message, opened


def waiting(session: RealtimeSession) -> int:
    return len(session._scope._waiters)  # pyright: ignore[reportPrivateUsage]  nothing public shows them


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_that_is_cancelled_at_any_checkpoint_is_sent_and_leaves_nothing_behind(name: str) -> None:
    step, cancelled = 0, True
    while cancelled:
        cancelled = await run_to(step, COMMANDS[name], ScriptedServer())
        step += 1
    assert step > 2


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_that_is_cancelled_while_it_waits_is_sent_and_leaves_nothing_behind(
    name: str, *, reads: bool, step: int
) -> None:
    assert await run_to(step, COMMANDS[name], ScriptedServer(), reads=reads, answered=False)


async def run_to(
    step: int, command: Command, server: ScriptedServer, *, reads: bool = True, answered: bool = True
) -> bool:
    """Cancel a command at a step and see what is left of it."""
    async with opened(server) as (session, _):
        await prepare(session, server, command)
        sent = len(server.received)
        if not answered:
            server.hold(command.event_type)
        server.reads = reads
        cancelled = await cancelled_at(step, lambda: command.run(session))
        assert waiting(session) == 0
        server.read_on()
        await trio.testing.wait_all_tasks_blocked()
        assert server.types()[sent:] == [command.event_type]
        server.answer_all()
        await session.clear_audio()
        assert waiting(session) == 0
    return cancelled


async def test_an_append_that_is_cancelled_at_any_checkpoint_is_sent_whole() -> None:
    step, cancelled = 0, True
    while cancelled:
        async with opened() as (session, server):
            cancelled = await cancelled_at(step, lambda: session.append_audio(b"\1\0" * 100))
            await session.clear_audio()
            assert server.types()[1:] == ["input_audio_buffer.append", "input_audio_buffer.clear"]
            assert session.statistics().sent_audio_bytes == 200
        step += 1
    assert step > 1


async def test_a_raw_event_that_is_cancelled_at_any_checkpoint_is_sent() -> None:
    step, cancelled = 0, True
    while cancelled:
        async with opened() as (session, server):
            cancelled = await cancelled_at(step, lambda: session.send({"type": "session.frobnicate"}))
            await session.clear_audio()
            assert server.types()[1:] == ["session.frobnicate", "input_audio_buffer.clear"]
        step += 1
    assert step > 1


async def test_a_response_that_is_cancelled_while_it_waits_for_its_turn_is_never_asked_for() -> None:
    async with opened() as (session, server):
        first = await session.create_response()
        with session.updates(TurnDone) as turns, trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.create_response)
                await trio.testing.wait_all_tasks_blocked()
                assert waiting(session) == 1
                scope.cancel()
        assert waiting(session) == 0
        server.push("response.done", response={"id": first.id, "status": "completed"})
        await trio.testing.wait_all_tasks_blocked()
        assert server.types().count("response.create") == 1
        second = await session.create_response()
        assert second.id == "resp_2"
        assert server.types().count("response.create") == 2
    del turns


async def test_a_message_sent_in_a_cancelled_scope_asks_for_its_response() -> None:
    async with opened() as (session, server):
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.send_message("hello")
        await trio.testing.wait_all_tasks_blocked()
        assert server.types()[1:] == ["conversation.item.create", "response.create"]
        assert [item.text for item in session.conversation] == ["hello"]


async def test_an_answer_that_nobody_waits_for_any_more_settles_nobody_else() -> None:
    async with opened() as (session, server):
        server.ignore("session.update")
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.update(instructions="first")
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            results: list[object] = []

            async def update() -> None:
                results.append(getattr(await session.update(instructions="second"), "instructions", None))

            nursery.start_soon(update)
            await trio.testing.wait_all_tasks_blocked()
            for words in ("first", "second"):
                server.push("session.updated", session={"type": "realtime", "instructions": words})
        assert results == ["second"]


async def test_cancelling_a_wait_at_any_checkpoint_loses_no_update() -> None:
    step, cancelled = 0, True
    while cancelled:
        async with opened() as (session, server):
            with session.updates(ItemAppended) as updates:
                server.push("conversation.item.added", item=message("item_a"))
                got: list[str] = []

                async def receive() -> None:
                    got.append((await updates.receive()).item.id)  # noqa: B023  as above

                cancelled = await cancelled_at(step, receive)
                while not got:
                    await receive()
                assert got == ["item_a"]
        step += 1
    assert step > 1
