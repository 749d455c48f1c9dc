"""A replay tells a client that does otherwise than was recorded, where and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.session.scripted_server import leaving_raises
from trio_realtime import (
    ConnectionLost,
)
from trio_realtime.testing import (
    Replay,
    ReplayError,
    closes,
    replay,
    simulated_transport,
)
from trio_realtime.transport import Closed

from ..connecting import CARRIERS, connected
from .lines import (
    CLEAR,
    CREATED,
    OPENING,
    UPDATE,
    UPDATED,
    Event,
    arrivals,
    line,
    message,
    news,
    opened,
    received,
    sent,
    write,
)


async def test_another_event_is_told_with_its_line_and_ends_the_connection(path: Path) -> None:
    write(path, *OPENING, sent(CLEAR))
    with pytest.raises(
        ReplayError, match=r"line 4: expected input_audio_buffer\.clear, got input_audio_buffer\.commit"
    ) as caught:
        async with opened(path) as session:
            await session.commit_audio()
    assert caught.value.line == 4
    assert isinstance(caught.value.__context__, ConnectionLost)
    assert caught.value.__context__.code == 1008
    assert "not as recorded: expected input_audio_buffer.clear" in caught.value.__context__.reason


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"instructions": "Be long."}, 'expected session.instructions="Be brief.", got "Be long."'),
        ({"voice": "cedar"}, 'got session.audio={"output": {"voice": "cedar"}}, which was not there'),
        ({"instructions": "sk-abcdefgh"}, "<redacted>"),
    ],
)
async def test_another_value_is_told_by_its_place(path: Path, now: Event, words: str) -> None:
    write(path, *OPENING)
    with pytest.raises(ReplayError) as caught:
        async with opened(path, **now):
            pytest.fail("there is no session")
    assert words in str(caught.value)
    assert "line 2" in str(caught.value)
    assert "abcdefgh" not in str(caught.value)


async def test_lists_are_compared_member_by_member(path: Path) -> None:
    write(path, *OPENING, sent({"type": "conversation.item.create", "item": message("Hello")}), *OPENING)
    with pytest.raises(ReplayError, match=r'expected item\.content\[0\]\.text="Hello", got "Good bye"'):
        async with opened(path) as session:
            await session.send_message("Good bye", respond=False)
    with pytest.raises(ReplayError, match=r"expected 1 of item\.content, got 2"):
        async with opened(path) as session:
            await session.send_message(["Good", "bye"], respond=False)


async def test_what_is_missing_in_an_event_is_told(path: Path) -> None:
    update: Event = {"type": "session.update", "session": {**UPDATE["session"], "include": ["a"]}}
    write(path, received(CREATED), sent(update), received(UPDATED))
    with pytest.raises(ReplayError, match=r'expected session.include=\["a"\], which is missing'):
        async with opened(path):
            pytest.fail("there is no session")


async def test_more_than_was_recorded_is_told(path: Path) -> None:
    write(path, *OPENING)
    with pytest.raises(
        ReplayError, match=r"at its end: nothing more was sent, and input_audio_buffer\.commit came"
    ) as caught:
        async with opened(path) as session:
            await session.commit_audio()
    assert caught.value.line is None


async def test_what_was_not_sent_is_told_on_leaving(path: Path) -> None:
    write(path, *OPENING, sent(CLEAR), received(news("a")))
    with pytest.raises(ReplayError, match=r"line 4: input_audio_buffer\.clear was expected, and was not sent"):
        async with opened(path):
            pass


async def test_audio_that_was_not_sent_is_told_on_leaving(path: Path) -> None:
    append = sent({"type": "input_audio_buffer.append", "audio": {"bytes": 4800}})
    write(path, *OPENING, append, append, received(news("a")))
    with pytest.raises(ReplayError, match="line 6: 9,600 bytes of audio were expected before it, 4,800 were sent"):
        async with opened(path) as session:
            await session.append_audio(bytes(4800))


async def test_a_test_that_waits_in_vain_is_told_what_the_replay_waits_for(
    path: Path, autojump_clock: MockClock
) -> None:
    write(path, *OPENING, sent(CLEAR), received(news("a")))
    with leaving_raises(trio.TooSlowError) as caught:
        async with opened(path) as session:
            with session.events() as events, trio.fail_after(5):
                await arrivals(events, 1)
    assert caught.value.__notes__ == [
        f"The replay was waiting: {path}, line 4: input_audio_buffer.clear was expected, and was not sent"
    ]


async def test_a_cancelled_test_stays_cancelled(path: Path) -> None:
    write(path, *OPENING, sent(CLEAR))
    with trio.move_on_after(0) as scope:
        async with opened(path):
            pytest.fail("there is no session")
    assert scope.cancelled_caught


@pytest.mark.parametrize("payload", [b'{"type": ', b"[1]", b"\xff"])
async def test_text_that_is_no_event_is_not_as_recorded(path: Path, payload: bytes) -> None:
    write(path, sent(CLEAR))
    with (
        leaving_raises(ReplayError, match=r"line 1: expected input_audio_buffer\.clear, got text that is no event"),
        replay(path) as server,
    ):
        await exchange(server, payload)


async def exchange(server: Replay, *payloads: bytes) -> tuple[list[Event], Closed]:
    """Send something without a session; what comes back, and how it ends."""
    answers: list[Event] = []
    async with simulated_transport(server) as transport:
        await transport.send(*payloads)
        return answers, await transport.pump(lambda payload, binary=False: answers.append(json.loads(bytes(payload))))


async def test_text_that_was_recorded_is_expected_as_it_was(path: Path) -> None:
    write(
        path, line("sent", text='{"type": '), received(news("a")), line("received", closed={"code": 1000, "reason": ""})
    )
    with replay(path) as server:
        assert await exchange(server, b'{"type": ') == ([{"type": "a"}], Closed(1000))


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_what_the_server_said_that_is_no_event_is_served_in_its_place(path: Path, carrier: str) -> None:
    many = [news(f"n{number}") for number in range(200)]  # more than the memory between them holds
    strange = [line("received", text='{"type": '), line("received", binary="AAEC"), line("received", text="[1]")]
    end = line("received", lost={"error": "ConnectionLost", "message": "it broke"})
    write(path, sent(CLEAR), *map(received, many), *strange, received(news("z")), strange[0], end)
    expected = [*[(json.dumps(each).encode(), False) for each in many], (b'{"type": ', False), (b"\0\1\2", True)]
    expected += [(b"[1]", False), (b'{"type": "z"}', False), (b'{"type": ', False)]
    with replay(path) as server:
        async with connected(server, carrier) as client:
            await client.send(json.dumps(CLEAR).encode())
            assert isinstance(await client.wait_ended(), ConnectionLost)
        assert client.messages == expected
        assert server.connections[0].receive(b"{}", 0) == []  # it is over


async def test_what_is_no_event_comes_when_it_came(path: Path, autojump_clock: MockClock) -> None:
    bad = [line("received", 2, text="{"), line("received", 3, binary={"bytes": 2}), line("received", 5, text="[")]
    write(path, *bad, line("received", 9, lost={}))
    with replay(path) as server:
        async with connected(server) as client:
            start = trio.current_time()
            assert isinstance(await client.wait_ended(), ConnectionLost)
            assert trio.current_time() == start + 9
    assert [time - start for time in client.times] == [2, 3, 5]
    assert client.messages == [(b"{", False), (b"\0\0", True), (b"[", False)]


async def test_a_fault_may_be_injected_into_a_replay(path: Path) -> None:
    write(path, received(news("a")), received(news("b"), 60))
    with replay(path) as server:
        async with connected(server) as client:
            await client.wait_for("a")
            server.connections[0].inject(closes(4000, "enough"))
            assert await client.wait_ended() == Closed(4000, "enough")


@pytest.mark.parametrize("response", [{"instructions": "Sing."}, {"metadata": {"mine": "1"}}, {"metadata": None}])
def test_another_client_may_name_nothing(path: Path, response: Event) -> None:
    request = {"type": "response.create", "response": response}
    with replay(write(path, sent(request))) as server:
        connection = server.connect({}, now=0, unix_time=0)
        connection.receive(json.dumps({"event_id": "event_now", **request}), 0)
        assert connection.error is None


async def test_another_kind_of_message_than_was_recorded_is_told(path: Path) -> None:
    write(path, sent(CLEAR))
    with replay(path) as server:
        connection = server.connect({}, now=0, unix_time=0)
        connection.receive(b"\0", 0, binary=True)
        assert "got a binary message" in str(connection.error)
        assert connection.receive(b"{}", 0) == []  # it is closed
        connection.error, connection.closed = None, None
        connection.receive(json.dumps(CLEAR).encode(), 0)
