"""`open_session`: a session as a scope."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Unpack, cast

from msgspec import UNSET

from .arguments import new_id, requested_configuration, split_tools
from .connection import DEFAULT_MODEL, check_endpoint, closing_transport, open_endpoint, wrapping_transport
from .endpoint import Endpoint, OpenAI
from .errors import ConfigError
from .limits import check_counts, check_finite_seconds, check_seconds
from .output_guard import GuardFunction, GuardRunner, OutputGuard
from .realtime_session import RealtimeSession
from .session_scope import SessionScope
from .stall_watch import StallWatch
from .state.configuration import SessionKeywords
from .state.machine import Machine
from .tool_runner import ToolRunner
from .transport import MessageTransport
from .wire import client_events as client
from .wire.session_config import SessionConfig, TranscriptionSessionConfig


class SessionOptions(SessionKeywords, total=False):
    """What `open_session` takes, for functions that pass it on, but where to connect."""

    model: str
    config: SessionConfig | TranscriptionSessionConfig | None
    call_id: str | None
    connect_timeout: float
    close_timeout: float
    heartbeat_interval: float
    heartbeat_timeout: float
    write_timeout: float
    max_message_bytes: int
    input_audio_seconds: float
    retained_audio_bytes: int
    malformed_run_limit: int
    stall_timeout: float | None
    output_guard: OutputGuard | GuardFunction | None


class OpenSessionKeywords(SessionOptions, total=False):
    """All that `open_session` takes; except `wrap_transport`, which is for those to use who pass it on."""

    endpoint: Endpoint | None
    transport: MessageTransport | None


def session_query(
    *, model: str, call_id: str | None, config: SessionConfig | TranscriptionSessionConfig | None
) -> dict[str, str]:
    """What the address of a session says of it: the call that it joins, that it only transcribes, or its model."""
    if call_id is not None:
        return {"call_id": call_id}
    if isinstance(config, TranscriptionSessionConfig):
        return {"intent": "transcription"}
    return {"model": model}


@asynccontextmanager
async def open_session(
    *,
    model: str = DEFAULT_MODEL,
    endpoint: Endpoint | None = None,
    config: SessionConfig | TranscriptionSessionConfig | None = None,
    transport: MessageTransport | None = None,
    wrap_transport: Callable[[MessageTransport], MessageTransport] | None = None,
    call_id: str | None = None,
    connect_timeout: float = 10.0,
    close_timeout: float = 1.0,
    heartbeat_interval: float = 20.0,
    heartbeat_timeout: float = 20.0,
    write_timeout: float = 10.0,
    max_message_bytes: int = 32 * 2**20,
    input_audio_seconds: float = 600.0,
    retained_audio_bytes: int = 64 * 2**20,
    malformed_run_limit: int = 16,
    stall_timeout: float | None = None,
    output_guard: OutputGuard | GuardFunction | None = None,
    **keywords: Unpack[SessionKeywords],
) -> AsyncGenerator[RealtimeSession]:
    """Open a session; when the scope ends, every task, socket and channel of it has ended.

    It connects, waits for `session.created`, sends one `session.update` with the whole configuration and waits for
    `session.updated`; then the body runs. On the way out the close is polite, within `close_timeout`, or immediate when
    the scope is cancelled. The body's own exception leaves as itself. When the session fails, channels and commands get
    what arrived before and then the failure; the body has `close_timeout` to act on it and is then cancelled, and the
    failure leaves the scope even if the body caught it or never listened.

    Args:
        model: In the address, not changeable later; on Azure the deployment.
        endpoint: Where to connect; None is `OpenAI()` with the key in `OPENAI_API_KEY`.
        config: The configuration in the wire's own shape, instead of or below the keywords. With a
            `TranscriptionSessionConfig` the session only transcribes, and has no model.
        transport: An open transport to use instead of connecting; it is closed on the way out.
        wrap_transport: Called with the open transport, given or dialled; what it returns is used in its place, to
            record or to disturb what crosses it.
        call_id: Join the call with this id (WebRTC, SIP) beside its media, instead of a session of its own.
        connect_timeout: Seconds from dialling to the acknowledged configuration.
        close_timeout: Seconds for a polite close, and for the body after a failure.
        heartbeat_interval: Seconds without any traffic from the server after which it is asked for a sign of life.
        heartbeat_timeout: Seconds to wait for one.
        write_timeout: Seconds that one write may take.
        max_message_bytes: The longest message that is accepted.
        input_audio_seconds: How much sent audio is kept, to cut the user's turns out of it.
        retained_audio_bytes: How much audio the conversation keeps; the oldest goes first.
        malformed_run_limit: How many malformed frames in a row end the session.
        stall_timeout: Seconds without any news of a response under way after which it ends as failed; None waits.
        output_guard: An async function that sees what each response has written and said so far, every hundred
            characters and at the end, and gives why it has to stop, or None; or an `OutputGuard` with one.
        keywords: `instructions`, `output_modalities`, `max_output_tokens`, `tools`, `tool_choice`,
            `parallel_tool_calls`, `reasoning`, `tracing`, `truncation`, `prompt`, `include` as in the protocol;
            `voice`, `speed`, `output_format` of `audio.output`; `turn_detection`, `transcription`, `noise_reduction`,
            `input_format` of `audio.input`.

    Raises:
        ConfigError: An argument is not valid, or there is no key; nothing was sent.
        ConnectTimeout: There was no session within `connect_timeout`.
        HandshakeRejected: The server answered with another HTTP status.
        SessionRefused: The server sent an error instead of a session, or refused the configuration.
        ConnectError: The connection failed in another way before there was a session.
        ConnectionLost: The connection broke later (`SessionExpired` when the session's time was up).
        ProtocolError: The server sent a run of malformed frames, or a message over the limit.

    Cancellation:
        At any point: nothing of the session is left.

    Wire: `session.created`, `session.update`, `session.updated`.
    """
    check_seconds(
        connect_timeout=connect_timeout,
        close_timeout=close_timeout,
        heartbeat_interval=heartbeat_interval,
        heartbeat_timeout=heartbeat_timeout,
        write_timeout=write_timeout,
    )
    if stall_timeout is not None:
        check_seconds(stall_timeout=stall_timeout)
    check_finite_seconds(input_audio_seconds=input_audio_seconds)
    check_counts(1, max_message_bytes=max_message_bytes, malformed_run_limit=malformed_run_limit)
    check_counts(0, retained_audio_bytes=retained_audio_bytes)
    for name, value in (("model", model), ("call_id", call_id)):
        if not (isinstance(value, str) and value) and not (name == "call_id" and value is None):
            raise ConfigError(f"{name} must be a string that is not empty, not {value!r}")
    first = requested_configuration(config, keywords)
    if isinstance(first, SessionConfig) and first.model not in {UNSET, model}:
        raise ConfigError("the model is an argument of open_session: model=..., not part of the configuration")
    configured_tools = first.tools if isinstance(first, SessionConfig) and first.tools is not UNSET else []
    query = session_query(model=model, call_id=call_id, config=config)
    if transport is None:
        endpoint = OpenAI() if endpoint is None else endpoint
        check_endpoint(endpoint)

    def dial(seconds: float) -> AbstractAsyncContextManager[MessageTransport]:
        if transport is not None:
            opened = closing_transport(transport, close_timeout)
        else:
            opened = open_endpoint(
                cast("Endpoint", endpoint),
                query=query,
                connect_timeout=seconds,
                close_timeout=close_timeout,
                heartbeat_interval=heartbeat_interval,
                heartbeat_timeout=heartbeat_timeout,
                write_timeout=write_timeout,
                max_message_bytes=max_message_bytes,
            )
        return opened if wrap_transport is None else wrapping_transport(opened, wrap_transport)

    machine = Machine(
        new_id=new_id,
        retained_audio_bytes=retained_audio_bytes,
        input_audio_seconds=input_audio_seconds,
        malformed_run_limit=malformed_run_limit,
        knows_all_items=call_id is None,
    )
    scope = SessionScope(
        dial=dial,
        machine=machine,
        first_update=client.SessionUpdate(event_id=new_id("event"), session=first),
        waits_for_created=call_id is None,
        connect_timeout=connect_timeout,
        close_timeout=close_timeout,
    )
    scope.check(scope.first_update)
    runner = ToolRunner(scope)
    runner.propose(str(scope.first_update.event_id), *split_tools(keywords.get("tools", configured_tools)))
    scope.calls = runner
    if output_guard is not None:
        guard = output_guard if isinstance(output_guard, OutputGuard) else OutputGuard(check=output_guard)
        scope.companions.append(GuardRunner(scope, guard).run)
    if stall_timeout is not None:
        scope.companions.append(StallWatch(scope, stall_timeout).run)
    session = runner.session = RealtimeSession(scope, runner)
    async with scope:
        yield session
