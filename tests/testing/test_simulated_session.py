"""A session with a simulated server in one step: the keywords of `open_session`, virtual time, nothing left."""

from __future__ import annotations

import inspect
from typing import get_type_hints

import pytest
import trio
from trio.testing import MockClock

from tests.session.scripted_server import leaving_raises
from trio_realtime import ConfigError, ConnectionLost, SessionRefused, open_session
from trio_realtime.session import SessionOptions
from trio_realtime.state.configuration import SessionKeywords
from trio_realtime.testing import (
    ModelContext,
    Says,
    Simulator,
    assert_no_leaks,
    open_simulated_session,
    says,
)
from trio_realtime.transport import MessageTransport
from trio_realtime.wire.session_config import TranscriptionSessionConfig, TranscriptionSessionInfo


async def test_a_script_is_what_the_model_says(autojump_clock: MockClock) -> None:
    with assert_no_leaks():
        async with (
            open_simulated_session([says("Paris.")], instructions="Be brief.") as session,
            session.respond("Where?") as turn,
        ):
            assert await turn.text() == "Paris."
    assert session.info is not None
    assert getattr(session.info, "instructions", None) == "Be brief."


async def test_a_minute_of_speech_takes_a_minute_of_virtual_time(autojump_clock: MockClock) -> None:
    simulator = Simulator([says("A long story.", audio=60.0)], pace=1)
    async with open_simulated_session(simulator) as session, session.respond("Tell me a story.") as turn:
        await turn.done()
    assert trio.current_time() == pytest.approx(60)


async def test_a_server_that_was_given_can_be_looked_at_afterwards() -> None:
    simulator = Simulator()
    async with open_simulated_session(simulator, voice="marin", model="gpt-x") as session:
        await session.send_message("hello", respond=False)
    connection = simulator.connections[0]
    assert [event["type"] for event in connection.received] == ["session.update", "conversation.item.create"]
    assert [item.text for item in session.conversation] == ["hello"]
    assert getattr(session.info, "model", None) == "gpt-x"


async def test_a_transport_of_ones_own_stands_in_between() -> None:
    seen: list[MessageTransport] = []

    def wrap(transport: MessageTransport) -> MessageTransport:
        seen.append(transport)
        return transport

    async with open_simulated_session(wrap_transport=wrap):
        assert len(seen) == 1


async def test_the_query_follows_the_arguments_unless_it_is_given() -> None:
    async with open_simulated_session(config=TranscriptionSessionConfig()) as session:
        assert isinstance(session.info, TranscriptionSessionInfo)
    async with open_simulated_session(call_id="rtc_1", instructions="Be brief."):
        pass
    with pytest.raises(ConfigError, match="call_id"):
        async with open_simulated_session(query={"modell": "x"}):
            raise AssertionError("it cannot have opened")
    with pytest.raises(SessionRefused):
        async with open_simulated_session(query={"intent": "transcription"}, instructions="Talk."):
            raise AssertionError("it cannot have opened")


def test_the_keywords_are_those_of_open_session() -> None:
    signature = inspect.signature(open_session)
    keywords = {name for name, each in signature.parameters.items() if each.kind is each.KEYWORD_ONLY}
    own = SessionOptions.__annotations__.keys() - SessionKeywords.__annotations__.keys()
    assert own == keywords - {"transport", "endpoint", "wrap_transport"}
    hints, options = get_type_hints(open_session), get_type_hints(SessionOptions)
    assert {name: hints[name] for name in own} == {name: options[name] for name in own}


async def test_what_the_body_raises_leaves_as_itself_and_nothing_is_left(autojump_clock: MockClock) -> None:
    with assert_no_leaks(), pytest.raises(LookupError):
        async with open_simulated_session():
            raise LookupError
    with assert_no_leaks(), trio.move_on_after(5) as scope:
        async with open_simulated_session():
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_the_failure_of_the_session_leaves_the_scope(autojump_clock: MockClock) -> None:
    with assert_no_leaks(), pytest.raises(ConnectionLost, match="maximum duration"):
        async with open_simulated_session(Simulator(max_duration=60)):
            await trio.sleep_forever()


async def test_what_a_scripts_function_raises_leaves_as_itself(autojump_clock: MockClock) -> None:
    def model(context: ModelContext) -> Says:
        assert context.heard == "Bye.", "the app says good-bye"
        return says("Bye.")

    with assert_no_leaks(), leaving_raises(AssertionError, match="the app says good-bye"):
        async with open_simulated_session([model]) as session:
            await session.send_message("Hi.")
            await trio.sleep_forever()
