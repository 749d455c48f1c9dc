"""Guarantees 5 and 6: subscribers of a session are independent, and see one order."""

from __future__ import annotations

import base64

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trio_realtime import (
    ErrorReported,
    Interrupted,
    ItemAppended,
    ItemCompleted,
    ItemUpdated,
    Lagged,
    RawEvent,
    ResponseDone,
    SessionUpdated,
    SubscriberOverflow,
    Update,
)
from trio_realtime.channels import Fanout
from trio_realtime.testing import open_simulated_session, says
from trio_realtime.wire import client_events as client, server_events

from .scripted_server import ScriptedServer, leaving_raises, message, opened


def push_delta(server: ScriptedServer, size: int = 1000) -> None:
    audio = base64.b64encode(b"\0" * size).decode()
    server.push("response.output_audio.delta", item_id="item_a", content_index=0, delta=audio)


async def test_the_updates_of_an_event_come_before_the_event_itself() -> None:
    async with opened() as (session, server):
        with session.updates(RawEvent, ItemAppended, ItemUpdated, ItemCompleted, ErrorReported) as updates:
            server.push("conversation.item.added", item=message("item_a", "assistant", content=[]))
            server.push("response.output_text.delta", item_id="item_a", content_index=0, delta="hi")
            server.push("conversation.item.done", item=message("item_a", "assistant"))
            server.push_error("no")
            await trio.testing.wait_all_tasks_blocked()
            names = [
                type(update.event if isinstance(update, RawEvent) else update).__name__
                for update in [updates.receive_nowait() for _ in range(updates.statistics().buffered_updates)]
            ]
    assert names == [
        "ItemAppended",
        "ConversationItemAdded",
        "ItemUpdated",
        "ResponseOutputTextDelta",
        "ItemUpdated",
        "ItemCompleted",
        "ConversationItemDone",
        "ErrorReported",
        "Error",
    ]


async def test_raw_events_stand_in_the_order_of_cause_and_effect() -> None:
    async with opened() as (session, server):
        first = await session.create_response()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.create_response)
            await trio.testing.wait_all_tasks_blocked()
            with session.events() as events:
                server.push("response.done", response={"id": first.id, "status": "completed"})
                await trio.testing.wait_all_tasks_blocked()
                raw = [events.receive_nowait() for _ in range(events.statistics().buffered_updates)]
    assert [(each.source, type(each.event)) for each in raw] == [
        ("server", server_events.ResponseDone),
        ("client", client.ResponseCreate),
        ("server", server_events.ResponseCreated),
    ]


async def test_raw_events_have_the_time_of_trios_clock(autojump_clock: MockClock) -> None:
    async with opened() as (session, server):
        with session.events() as events:
            await trio.sleep(2)
            await session.clear_audio()
            await trio.sleep(1)
            server.push("input_audio_buffer.cleared")
            await trio.testing.wait_all_tasks_blocked()
            raw = [events.receive_nowait() for _ in range(3)]
    assert [(each.source, each.time) for each in raw] == [("client", 2), ("server", 2), ("server", 3)]


async def test_no_raw_event_is_made_when_nobody_wants_one(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[type] = []
    publish = Fanout.publish

    def note(self: Fanout, update: object) -> None:
        published.append(type(update))
        publish(self, update)

    monkeypatch.setattr(Fanout, "publish", note)
    async with opened() as (session, _):
        with session.updates():
            await session.clear_audio()
            await session.send({"type": "session.frobnicate"})
    assert SessionUpdated in published
    assert RawEvent not in published


async def test_events_give_both_directions_as_they_crossed() -> None:
    async with opened() as (session, _):
        with session.events() as events:
            await session.clear_audio()
            one, other = await events.receive(), await events.receive()
    assert (one.source, type(one.event)) == ("client", client.InputAudioBufferClear)
    assert (other.source, type(other.event)) == ("server", server_events.InputAudioBufferCleared)


async def test_a_stalled_subscriber_delays_neither_the_socket_nor_the_others() -> None:
    async with opened() as (session, server):
        server.push("conversation.item.added", item=message("item_a", "assistant", content=[]))
        with session.updates(max_buffer_bytes=10_000) as stalled, session.updates(ItemUpdated) as lively:
            for _ in range(200):
                push_delta(server)
                assert (await lively.receive()).delta
            await session.clear_audio()
            assert stalled.statistics().buffered_bytes <= 10_000
            assert stalled.statistics().dropped_deltas > 150
            assert {each.name for each in session.statistics().subscribers} == {"updates#1", "updates#2"}


async def test_a_subscriber_that_chose_to_raise_gets_what_fitted_and_then_the_error() -> None:
    async with opened() as (session, server):
        server.push("conversation.item.added", item=message("item_a", "assistant", content=[]))
        with session.updates(ItemUpdated, max_buffer_bytes=10_000, name="speaker") as updates:
            for _ in range(20):
                push_delta(server)
            await trio.testing.wait_all_tasks_blocked()
            got = 0
            with leaving_raises(SubscriberOverflow, match="speaker"):
                async for _ in updates:
                    got += 1
            assert got == 7
        assert session.failure is None


async def test_a_subscriber_that_chose_to_coalesce_gets_all_of_it() -> None:
    async with opened() as (session, server):
        server.push("conversation.item.added", item=message("item_a", "assistant", content=[]))
        with session.updates(ItemUpdated, ItemCompleted, max_buffer_bytes=20_000, overflow="coalesce") as updates:
            words = [f"{number} " for number in range(1000)]
            for word in words:
                server.push("response.output_text.delta", item_id="item_a", content_index=0, delta=word)
            server.push("conversation.item.done", item=message("item_a", "assistant"))
            await trio.testing.wait_all_tasks_blocked()
            said = []
            async for update in updates:
                if isinstance(update, ItemCompleted):
                    break
                assert isinstance(update, ItemUpdated)
                said.append(update.delta.text if update.delta else "")
    assert "".join(each or "" for each in said) == "".join(words)
    assert len(said) < 200


async def test_a_subscriber_that_chose_to_drop_is_told_how_much_it_missed() -> None:
    async with opened() as (session, server):
        server.push("conversation.item.added", item=message("item_a", "assistant", content=[]))
        with session.updates(ItemUpdated, max_buffer_bytes=10_000, overflow="drop_oldest") as updates:
            for _ in range(50):
                push_delta(server)
            await trio.testing.wait_all_tasks_blocked()
            got: list[object] = [updates.receive_nowait() for _ in range(updates.statistics().buffered_updates)]
    lags = [update.count for update in got if isinstance(update, Lagged)]
    assert isinstance(got[0], Lagged)
    assert sum(lags) + len(got) - len(lags) == 50


@pytest.mark.parametrize("overflow", ["raise", "coalesce", "drop_oldest"])
async def test_final_transcripts_are_never_lost_to_a_flood_of_deltas(overflow: str) -> None:
    async with opened() as (session, server):
        server.push("conversation.item.added", item=message("item_a", "assistant", content=[]))
        with session.updates(max_buffer_bytes=5_000, overflow=overflow) as updates:  # type: ignore[call-overload]
            for number in range(20):
                for _ in range(30):
                    push_delta(server)
                server.push(
                    "conversation.item.input_audio_transcription.completed",
                    item_id=f"item_{number}",
                    content_index=0,
                    transcript=f"{number}",
                )
            await trio.testing.wait_all_tasks_blocked()
            heard = []
            while updates.statistics().buffered_updates:
                update = updates.receive_nowait()
                heard += [update.transcript] if hasattr(update, "transcript") else []
    assert heard == [str(number) for number in range(20)]


async def test_a_subscriber_that_leaves_early_is_missed_by_nobody() -> None:
    async with opened() as (session, server):
        with session.updates() as stays:
            with session.updates() as leaves:
                server.push("rate_limits.updated", rate_limits=[])
                await leaves.receive()
            server.push("rate_limits.updated", rate_limits=[])
            await stays.receive()
            await stays.receive()
        assert session.statistics().subscribers == ()


async def test_waiting_for_updates_and_for_events() -> None:
    async with opened() as (session, server):
        found: list[object] = []

        async def wait(kind: type) -> None:
            found.append(await session.wait_for(kind))

        async with trio.open_nursery() as nursery:
            for kind in (SessionUpdated, server_events.SessionUpdated, server_events.Error, ErrorReported, Interrupted):
                nursery.start_soon(wait, kind)
            await trio.testing.wait_all_tasks_blocked()
            assert len(session.statistics().subscribers) == 5
            server.push("session.updated", session={"type": "realtime"})
            server.push_error("no")
            server.push("input_audio_buffer.speech_started", item_id="item_a", audio_start_ms=0)
        assert {type(each) for each in found} == {
            SessionUpdated,
            server_events.SessionUpdated,
            server_events.Error,
            ErrorReported,
            Interrupted,
        }
        assert session.statistics().subscribers == ()


async def test_waits_give_the_next_item_and_the_next_that_is_complete() -> None:
    async with opened() as (session, server):
        items: list[tuple[str, str]] = []

        async def wait(how: str) -> None:
            waits = {"next": session.wait_item, "complete": session.wait_completed_item}
            items.append((how, (await waits[how]()).id))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "next")
            nursery.start_soon(wait, "complete")
            await trio.testing.wait_all_tasks_blocked()
            server.push("conversation.item.added", item=message("item_a", "assistant", status="in_progress"))
            server.push("conversation.item.added", item=message("item_b"))
            server.push("conversation.item.done", item=message("item_b"))
        assert sorted(items) == [("complete", "item_b"), ("next", "item_a")]


async def test_a_session_that_only_sends_is_served_and_its_conversation_grows(autojump_clock: MockClock) -> None:
    async with open_simulated_session([says("one"), says("two")]) as session:
        for words in ("first", "second"):
            await session.send_message(words)
            await trio.sleep(5)
        assert [item.text or item.transcript for item in session.conversation] == ["first", "one", "second", "two"]


async def test_a_whole_conversation_is_the_same_for_every_subscriber(autojump_clock: MockClock) -> None:
    async with open_simulated_session([says("hello there")]) as session:
        with session.updates() as one, session.updates() as other:
            await session.send_message("hi")
            seen: list[Update] = []
            async for update in one:
                seen.append(update)
                if isinstance(update, ResponseDone):
                    break
            assert [other.receive_nowait() for _ in range(len(seen))] == seen
            audio = b"".join(
                update.delta.audio or b"" for update in seen if isinstance(update, ItemUpdated) and update.delta
            )
            said = session.conversation.latest("assistant")
            assert said is not None
            assert said.audio == audio
            assert said.transcript == "hello there"
