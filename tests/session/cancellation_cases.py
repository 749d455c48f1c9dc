"""Everything public that is awaited, a case each.

A case sets up what it needs, hands what is swept to `Attempt.make`, which cancels it, and then looks at what has become
of things.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from trio_realtime import (
    Azure,
    Endpoint,
    OpenAI,
    RealtimeSession,
    Relay,
    ToolContext,
    TurnDone,
    open_connection,
    open_session,
    tool,
)
from trio_realtime.endpoint import ConnectRequest
from trio_realtime.errors import ConnectionLost
from trio_realtime.frames import CLOSE, TEXT, encode_close
from trio_realtime.testing import (
    MemoryTransport,
    ScriptedTurn,
    SimulatedConnection,
    Simulator,
    SimulatorServer,
    assert_no_leaks,
    calls,
    check_message_transport,
    memory_transport_pair,
    open_simulated_session,
    read_recording,
    record_session,
    says,
    serve_simulator,
    simulated_transport,
)
from trio_realtime.testing.link import server_frame
from trio_realtime.testing.transports.transport_promises import PROMISES
from trio_realtime.testing.transports.transport_trial import Inbox
from trio_realtime.websocket import open_websocket
from trio_realtime.wire.items import InputText, Message

from .cancellation_attempt import Attempt
from .scripted_server import ScriptedServer
from .talking import play

PAST_EVERYTHING = 100.0
"""Seconds after which the simulator has said all it had to say."""

Case = Callable[[Attempt], Awaitable[None]]
CASES: dict[str, Case] = {}
ON_SOCKETS: dict[str, Case] = {}


# --- what is called on a session ------------------------------------------------------------------------------------


@tool(approval=True)
async def pay(amount: int) -> str:
    await trio.lowlevel.checkpoint()
    return f"paid {amount}"


LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
SMELL = {**LOOK, "name": "smell"}


class Stage:
    """A session in which the assistant has said something."""

    def __init__(self, session: RealtimeSession, server: SimulatedConnection) -> None:
        self.session = session
        self.server = server
        self._subscribers = self._listening()

    @property
    def said(self) -> str:
        """The id of what the assistant said."""
        item = self.session.conversation.latest("assistant")
        assert item is not None
        assert item.id is not None
        return item.id

    def _listening(self) -> list[object]:
        return list(self.session._scope.fanout._subscribers)

    async def check(self) -> None:
        """Nothing waits, both sides know the same, and the conversation goes on."""
        assert not self.session._scope._waiters
        assert self._listening() == self._subscribers
        assert self.session._scope.playback is None
        await trio.sleep(PAST_EVERYTHING)
        self._check_agreement()
        with trio.fail_after(PAST_EVERYTHING):
            async with self.session.respond("Are you still there?") as turn:
                assert await turn.text()
        self._check_agreement()
        assert self.session.failure is None

    def _check_agreement(self) -> None:
        here = self.session.conversation.items
        assert [item.id for item in here] == [item["id"] for item in self.server.items]
        assert {item.status for item in here} <= {"completed", "incomplete", None}
        info = cast("Any", self.session.info)
        assert info.instructions == self.server.session["instructions"]
        assert [each.name for each in info.tools] == [each["name"] for each in self.server.session["tools"]]


@asynccontextmanager
async def staged(*script: ScriptedTurn) -> AsyncGenerator[Stage]:
    simulator = Simulator([says("One, two, three.", audio=1.0), *script], transcripts=["hello"])
    async with open_simulated_session(simulator, turn_detection=None, tools=[pay, LOOK]) as session:
        async with session.respond("Hello.") as turn:
            await turn.done()
        yield Stage(session, simulator.connections[0])


async def respond(stage: Stage) -> None:
    await stage.session.create_response()


async def respond_and_call(stage: Stage) -> None:
    await stage.session.create_response()
    await trio.sleep(10)


async def append(stage: Stage) -> None:
    await stage.session.append_audio(b"\1\0" * 4800)


async def append_more_than_is_queued(stage: Stage) -> None:
    for _ in range(3):
        await stage.session.append_audio(b"\1\0" * 400_000)


async def while_something_is_sent(stage: Stage, wait: Callable[[], Awaitable[object]]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.session.send_message, "Go on.")
        await wait()  # which listens before the other task has begun


async def listen(stage: Stage) -> None:
    async with stage.session.updates() as updates, updates:
        await stage.session.send_message("Listen.", respond=False)
        await updates.receive()
        async for _ in updates:
            break
        await updates.aclose()


async def play_and_wait(stage: Stage) -> None:
    async with stage.session.playback() as playback, trio.open_nursery() as nursery:
        nursery.start_soon(play, playback)
        await stage.session.create_response()
        await stage.session.wait_for_playback()
        nursery.cancel_scope.cancel()


async def play_by_hand(stage: Stage) -> None:
    async with stage.session.playback() as playback:
        await stage.session.create_response()
        await playback.receive()
        async for _ in playback:
            break
        await playback.aclose()


async def hear_a_turn(stage: Stage) -> None:
    async with stage.session.respond("And now?") as turn:
        await turn.wait_news()
        async for _ in turn.text_stream():
            break
        await turn.done()
        assert await turn.text()
        assert await turn.audio()


async def leave_a_turn(stage: Stage) -> None:
    async with stage.session.respond("And now?") as turn:
        async for _ in turn:
            break


Act = Callable[[Stage], Awaitable[object]]

ON_A_SESSION: Mapping[str, Act | tuple[Act, Act]] = {
    # What is swept, or what comes before it and what is swept.
    "update": lambda stage: stage.session.update(instructions="Be brief."),
    "add_tool": lambda stage: stage.session.add_tool(cast("Any", SMELL)),
    "remove_tool": lambda stage: stage.session.remove_tool("look"),
    "send_message": lambda stage: stage.session.send_message("Go on."),
    "create_item": lambda stage: stage.session.create_item(Message(role="user", content=[InputText(text="a")])),
    "delete_item": lambda stage: stage.session.delete_item(stage.said),
    "retrieve_item": lambda stage: stage.session.retrieve_item(stage.said),
    "truncate_item": lambda stage: stage.session.truncate_item(stage.said, audio_end_ms=500),
    "append_audio": append,
    "append_audio that waits": append_more_than_is_queued,
    "commit_audio": (append, lambda stage: stage.session.commit_audio()),
    "clear_audio": (append, lambda stage: stage.session.clear_audio()),
    "create_response": lambda stage: stage.session.create_response(),
    "create_response that waits": (respond, lambda stage: stage.session.create_response()),
    "cancel_response": (respond, lambda stage: stage.session.cancel_response()),
    "interrupt": (respond, lambda stage: stage.session.interrupt()),
    "send": lambda stage: stage.session.send({"type": "input_audio_buffer.clear"}),
    "send_tool_output": (respond_and_call, lambda stage: stage.session.send_tool_output("call_look", "a tree")),
    "approve": (respond_and_call, lambda stage: stage.session.approve("call_pay")),
    "wait_item": lambda stage: while_something_is_sent(stage, stage.session.wait_item),
    "wait_completed_item": lambda stage: while_something_is_sent(stage, stage.session.wait_completed_item),
    "wait_for": (respond, lambda stage: stage.session.wait_for(TurnDone)),
    "wait_for_reply": (respond, lambda stage: stage.session.wait_for_reply()),
    "updates": listen,
    "playback": play_and_wait,
    "playback by hand": play_by_hand,
    "respond": hear_a_turn,
    "respond, left early": leave_a_turn,
}

CALL = [calls("look", call_id="call_look"), calls("pay", {"amount": 1}, call_id="call_pay")]


def _on_a_session(before: Act | None, act: Act) -> Case:
    async def case(attempt: Attempt) -> None:
        async with staged(*[CALL] if before is respond_and_call else []) as stage:
            if before is not None:
                await before(stage)
            await attempt.make(lambda: act(stage))
            await stage.check()

    return case


for _name, _acts in ON_A_SESSION.items():
    CASES[_name] = _on_a_session(*_acts) if isinstance(_acts, tuple) else _on_a_session(None, _acts)


# --- what is opened, in memory --------------------------------------------------------------------------------------


def case(into: dict[str, Case]) -> Callable[[Case], Case]:
    def register(function: Case) -> Case:
        into[function.__name__] = function
        return function

    return register


@case(CASES)
async def a_simulated_session(attempt: Attempt) -> None:
    simulator = Simulator()

    async def run() -> None:
        async with open_simulated_session(simulator, instructions="Be brief.") as session:
            await session.send_message("Hello.", respond=False)

    await attempt.make(run)
    await run()


@case(CASES)
async def a_recorded_session(attempt: Attempt) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "talk.jsonl")

        async def run() -> None:
            async with (
                simulated_transport(Simulator()) as transport,
                record_session(path, transport=transport, instructions="Be brief.") as session,
            ):
                await session.send_message("Hello.", respond=False)

        await attempt.make(run)
        await run()
        sent = [message.content for message in read_recording(path).messages if message.direction == "sent"]
        kinds = [event["type"] for event in sent if isinstance(event, dict)]
        assert kinds == ["session.update", "conversation.item.create"]


@case(CASES)
async def a_session_whose_server_never_answers_its_close(attempt: Attempt) -> None:
    server = ScriptedServer()
    server.close_hangs = True

    async def run() -> None:
        async with open_session(transport=server) as session:
            await session.append_audio(b"\0\0")

    await attempt.make(run)
    assert server.cut


@case(CASES)
async def a_connection(attempt: Attempt) -> None:
    async with simulated_transport(Simulator()) as transport:

        async def run() -> None:
            async with open_connection(transport=transport) as connection, connection:
                await connection.receive()
                await connection.send({"type": "session.update", "session": {"type": "realtime"}})
                async for _ in connection:
                    break
                await connection.aclose()

        await attempt.make(run)
        with pytest.raises(trio.ClosedResourceError):
            await transport.send(b"{}")


@case(CASES)
async def a_simulated_transport(attempt: Attempt) -> None:
    simulator = Simulator()

    async def run() -> None:
        async with simulated_transport(simulator) as transport:
            await transport.send(b'{"type": "response.create"}')
            await trio.lowlevel.checkpoint()

    await attempt.make(run)
    await run()


@case(CASES)
async def a_transport_in_memory(attempt: Attempt) -> None:
    near, far = memory_transport_pair(max_messages=1)
    inbox, sent = Inbox(), [b"1", b"2", b"3"]

    async def run() -> None:
        await near.send(b"1")
        await near.send(b"2", b"3")
        await near.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.pump, far)
        await attempt.make(run)
        await near.aclose()
        await inbox.wait_ended()
    inbox.require(sent[: len(inbox.messages)])
    assert len(inbox.messages) != 2, "the messages of one call go together"


@case(CASES)
async def frames_in_memory(attempt: Attempt) -> None:
    near, far = memory_transport_pair(max_messages=1)
    inbox = Inbox()

    async def run() -> None:
        await far.send_frames(server_frame(TEXT, b"1") + server_frame(TEXT, b"2"))
        await far.aclose_with(server_frame(CLOSE, encode_close(4000, "enough")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.pump, near)
        await attempt.make(run)
        await far.aclose()
        await inbox.wait_ended()
    inbox.require([b"1", b"2"][: len(inbox.messages)])
    assert len(inbox.messages) != 1, "the frames of one call go together"


@case(CASES)
async def a_pump_in_memory(attempt: Attempt) -> None:
    near, far = memory_transport_pair()
    inbox = Inbox()
    await far.send(b"1", b"2")
    await far.aclose()
    await attempt.make(lambda: near.pump(inbox))
    inbox.require([b"1", b"2"][: len(inbox.messages)])
    with pytest.raises(ConnectionLost):
        await near.send(b"?")


@case(CASES)
async def the_suite_for_transports(attempt: Attempt) -> None:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[tuple[MemoryTransport, MemoryTransport]]:
        yield memory_transport_pair()

    others = [promise.__name__ for promise in PROMISES if promise.__name__ != "pump_runs_once"]
    await attempt.make(lambda: check_message_transport(opened, except_for=others))


# --- what is asked of an endpoint and of a tool ---------------------------------------------------------------------


async def token() -> str:
    await trio.sleep(1)
    return "token"


@case(CASES)
async def endpoints(attempt: Attempt) -> None:
    made = (
        OpenAI("sk-x"),
        Azure(resource="x", token_provider=token),
        Relay("wss://x.example"),
        Endpoint("wss://x.example/v1/realtime"),
    )

    async def run() -> list[ConnectRequest]:
        requests: list[ConnectRequest] = []
        for endpoint in made:
            requests.append(await endpoint.connect_request(query={"model": "m"}))
            requests.append(await endpoint.rest_request("realtime/client_secrets"))
        return requests

    await attempt.make(run)
    assert len(await run()) == 8


@case(CASES)
async def a_tool(attempt: Attempt) -> None:
    limiter = pay.limiter()
    context = ToolContext(
        call_id="c", name="pay", item_id=None, response_id="r", session=cast("Any", None), report=lambda _: None
    )
    await attempt.make(lambda: pay.run('{"amount": 1}', context, limiter=limiter))
    assert limiter.statistics().borrowed_tokens == 0
    assert (await pay.run('{"amount": 2}', context, limiter=limiter)).output == "paid 2"


# --- what is opened, over sockets -----------------------------------------------------------------------------------


def credentials(server: SimulatorServer[Simulator]) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.api_key}"}


@case(ON_SOCKETS)
async def a_websocket(attempt: Attempt) -> None:
    async with serve_simulator(Simulator()) as server:
        url = f"{server.url}/realtime?model=m"

        async def run() -> None:
            async with open_websocket(url, [*credentials(server).items()]) as transport, trio.open_nursery() as nursery:
                inbox = Inbox()
                nursery.start_soon(inbox.pump, transport)
                await inbox.wait_messages(1)
                await transport.send(b'{"type": "response.create"}')
                await transport.aclose()

        await attempt.make(run)
        await run()


@case(ON_SOCKETS)
async def a_session_over_a_websocket(attempt: Attempt) -> None:
    async with serve_simulator(Simulator()) as server:
        endpoint = Endpoint(f"{server.url}/realtime", headers=credentials(server))

        async def run() -> None:
            async with open_session(endpoint=endpoint) as session:
                await session.send_message("Hello.", respond=False)

        await attempt.make(run)
        await run()


@case(ON_SOCKETS)
async def a_served_simulator(attempt: Attempt) -> None:
    async def run() -> None:
        async with serve_simulator(Simulator()) as server:
            endpoint = Endpoint(f"{server.url}/realtime", headers=credentials(server))
            async with open_connection(endpoint) as connection:
                await connection.receive()

    await attempt.make(run)


# --- how a case is run ----------------------------------------------------------------------------------------------


def run_case(name: str, attempt: Attempt) -> None:
    """Run a case, on virtual time if it waits for no socket, and see that nothing is left of it."""

    async def main() -> None:
        with assert_no_leaks():
            await {**CASES, **ON_SOCKETS}[name](attempt)

    with assert_no_leaks():
        trio.run(main, clock=MockClock(autojump_threshold=0) if name in CASES else None)
