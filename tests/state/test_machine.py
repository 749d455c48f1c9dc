"""The machine by itself: commands, acknowledgements, errors, the end. The behaviours are in `behaviours/`."""

from typing import Any

import msgspec
import pytest

from tests.state.talks import (
    added,
    assistant_item,
    audio_delta,
    item_done,
    new_machine,
    published,
    receive,
    sent,
    session_updated,
    settled,
    user_item,
)
from trio_realtime.audio import PCMU
from trio_realtime.errors import ConfigError, ConnectError, ConnectionLost, ProtocolError, SessionExpired
from trio_realtime.state import updates
from trio_realtime.state.effects import Effects
from trio_realtime.state.machine import Machine
from trio_realtime.wire import client_events as client, server_events as server
from trio_realtime.wire.items import FunctionCallOutput, InputText, Message
from trio_realtime.wire.session_config import (
    AudioConfig,
    AudioInputConfig,
    ServerVad,
    SessionConfig,
    TranscriptionAudioConfig,
    TranscriptionSessionConfig,
)


def create(item_id: str, event_id: str = "event_1", **more: Any) -> client.ConversationItemCreate:
    item = Message(id=item_id, role="user", content=[InputText(text="Hi")])
    return client.ConversationItemCreate(event_id=event_id, item=item, **more)


def error(**details: Any) -> dict[str, Any]:
    return {"type": "error", "event_id": "event_of_the_server", "error": {"type": "invalid_request_error", **details}}


def ids(machine: Machine) -> list[str]:
    return [item.id for item in machine.conversation]


# --- commands ----------------------------------------------------------------------------------------------------

COMMANDS: list[client.ClientEvent] = [
    client.SessionUpdate(session=SessionConfig(instructions="x")),
    client.InputAudioBufferCommit(),
    client.InputAudioBufferClear(),
    client.ConversationItemCreate(item=FunctionCallOutput(id="item_9", call_id="c", output="1")),
    client.ConversationItemRetrieve(item_id="item_1"),
    client.ConversationItemTruncate(item_id="item_1", audio_end_ms=0),
    client.ConversationItemDelete(item_id="item_1"),
    client.ResponseCreate(),
    client.ResponseCancel(),
    client.OutputAudioBufferClear(),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_command_without_an_id_is_refused_and_changes_nothing(command: client.ClientEvent) -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None), added(assistant_item("item_1")))
    machine.command(client.InputAudioBufferAppend(audio=bytes(9600)))
    with pytest.raises(ConfigError, match=type(command).__name__):
        machine.command(command)
    assert len(machine._requests) == 0
    assert not machine.responses.busy
    assert machine._input.uncommitted_bytes == 9600


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_command_goes_out_as_it_is(command: client.ClientEvent) -> None:
    machine = new_machine()
    receive(machine, added(assistant_item("item_1")), created("resp_1"))
    if isinstance(command, client.ResponseCreate):
        receive(machine, done("resp_1"))
    command = msgspec.structs.replace(command, event_id="event_1")
    [out] = sent(machine.command(command))
    assert type(out) is type(command)
    assert out.event_id == "event_1"


def created(response_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": response_id, "conversation_id": "conv_1", **more}}


def done(response_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "response.done", "response": {"id": response_id, "conversation_id": "conv_1", **more}}


@pytest.mark.parametrize(
    "command",
    [
        client.ConversationItemRetrieve(event_id="event_1", item_id="item_7"),
        client.ConversationItemDelete(event_id="event_1", item_id="item_7"),
        client.ConversationItemTruncate(event_id="event_1", item_id="item_7", audio_end_ms=0),
        client.ConversationItemTruncate(event_id="event_1", item_id="item_1", audio_end_ms=0),
        client.ConversationItemTruncate(event_id="event_1", item_id="item_2", audio_end_ms=101),
        client.ConversationItemTruncate(event_id="event_1", item_id="item_2", content_index=1, audio_end_ms=1),
        create("item_9", previous_item_id="item_7"),
        create("item_1"),
        client.ConversationItemCreate(event_id="event_1", item=Message(role="user")),
    ],
)
def test_what_does_not_fit_the_conversation_is_refused_and_changes_nothing(command: client.ClientEvent) -> None:
    machine = new_machine()
    receive(machine, added(user_item("item_1")), added(assistant_item("item_2")), audio_delta("item_2", bytes(4800)))
    with pytest.raises(ConfigError):
        machine.command(command)
    assert len(machine._requests) == 0


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (client.ConversationItemDelete(item_id="item_7"), "there is no item 'item_7' in the conversation"),
        (
            client.ConversationItemTruncate(item_id="item_1", audio_end_ms=0),
            "item 'item_1' is not a message of the assistant; only those can be truncated",
        ),
        (
            client.ConversationItemTruncate(item_id="item_2", content_index=1, audio_end_ms=101),
            "item 'item_2' has 100 ms of audio in part 1; it cannot be truncated at 101 ms",
        ),
        (create("item_1"), "there is an item with the id 'item_1' already"),
        (
            client.ConversationItemCreate(item=Message(role="user")),
            "the item has no id; give it one, so that its acknowledgement can be recognised",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_refusal_says_what_does_not_fit(command: client.ClientEvent, words: str) -> None:
    machine = new_machine(retained_audio_bytes=9600)
    receive(machine, added(user_item("item_1")), added(assistant_item("item_2")))
    receive(machine, *[audio_delta("item_2", bytes(4800), content_index=index) for index in (1, 2, 2)])
    assert machine.conversation["item_2"].content[1].audio_evicted_bytes == 4800
    with pytest.raises(ConfigError) as caught:
        machine.command(msgspec.structs.replace(command, event_id="event_1"))
    assert str(caught.value) == words
    within = client.ConversationItemTruncate(event_id="event_1", item_id="item_2", content_index=1, audio_end_ms=100)
    assert sent(machine.command(within)) == [within], "what was given up counts"


def test_an_item_that_was_asked_for_counts_as_there() -> None:
    machine = new_machine()
    machine.command(create("item_1"))
    machine.command(create("item_2", "event_2", previous_item_id="item_1"))
    machine.command(client.ConversationItemTruncate(event_id="event_3", item_id="item_1", audio_end_ms=10))
    machine.command(client.ConversationItemDelete(event_id="event_4", item_id="item_2"))
    with pytest.raises(ConfigError, match="already"):
        machine.command(create("item_2", "event_5"))


def test_a_machine_knows_all_items_unless_it_is_told_otherwise() -> None:
    machine = Machine(new_id=str, retained_audio_bytes=0, input_audio_seconds=1, malformed_run_limit=10)
    with pytest.raises(ConfigError, match="no item 'item_7'"):
        machine.command(client.ConversationItemDelete(event_id="event_1", item_id="item_7"))


def test_an_item_whose_audio_was_committed_counts_as_there() -> None:
    machine = new_machine()
    receive(machine, {"type": "input_audio_buffer.committed", "item_id": "item_1"})
    machine.command(client.ConversationItemDelete(event_id="event_1", item_id="item_1"))


def test_where_the_conversation_began_earlier_items_cannot_be_checked() -> None:
    machine = new_machine(knows_all_items=False)
    machine.command(client.ConversationItemDelete(event_id="event_1", item_id="item_7"))
    machine.command(client.ConversationItemTruncate(event_id="event_2", item_id="item_7", audio_end_ms=10))
    receive(machine, item_done(assistant_item("item_2", "completed")))
    machine.command(client.ConversationItemTruncate(event_id="event_3", item_id="item_2", audio_end_ms=10))
    assert ids(machine) == ["item_2"]


# --- acknowledgements --------------------------------------------------------------------------------------------


def test_each_command_has_its_answer_with_the_servers_version() -> None:
    machine = new_machine()
    receive(machine, added(assistant_item("item_1")))
    machine.command(client.SessionUpdate(event_id="update", session=SessionConfig(instructions="x")))
    machine.command(client.InputAudioBufferCommit(event_id="commit"))
    machine.command(client.InputAudioBufferClear(event_id="clear"))
    machine.command(create("item_2", "create"))
    machine.command(client.ConversationItemRetrieve(event_id="retrieve", item_id="item_1"))
    machine.command(client.ConversationItemTruncate(event_id="truncate", item_id="item_1", audio_end_ms=0))
    machine.command(client.ConversationItemDelete(event_id="delete", item_id="item_1"))
    item = machine.conversation["item_1"]
    effects = receive(
        machine,
        {"type": "session.updated", "session": {"type": "realtime", "instructions": "x"}},
        {"type": "input_audio_buffer.committed", "item_id": "item_3"},
        {"type": "input_audio_buffer.cleared"},
        added(user_item("item_2")),
        {"type": "conversation.item.retrieved", "item": assistant_item("item_1", "completed")},
        {"type": "conversation.item.truncated", "item_id": "item_1", "content_index": 0, "audio_end_ms": 0},
        {"type": "conversation.item.deleted", "item_id": "item_1"},
    )
    answers = {each.event_id: each.result for some in effects for each in some.settle}
    assert list(answers) == ["update", "commit", "clear", "create", "retrieve", "truncate", "delete"]
    assert answers["update"] is machine.info
    assert answers["commit"] == "item_3"
    assert answers["clear"] is None
    assert answers["create"] is machine.conversation["item_2"]
    assert answers["retrieve"] == Message(id="item_1", role="assistant", status="completed")
    assert answers["truncate"] is answers["delete"] is item
    assert machine.config == SessionConfig(instructions="x")
    assert len(machine._requests) == 0


def test_a_turn_that_the_server_commits_answers_no_commit_of_the_program() -> None:
    machine = new_machine()
    machine.command(client.InputAudioBufferAppend(audio=bytes(48000)))
    assert machine.sent_audio_bytes == 48000
    receive(
        machine,
        {"type": "input_audio_buffer.speech_started", "item_id": "item_1", "audio_start_ms": 0},
        {"type": "input_audio_buffer.speech_stopped", "item_id": "item_1", "audio_end_ms": 500},
    )
    machine.command(client.InputAudioBufferCommit(event_id="commit"))
    assert settled(receive(machine, {"type": "input_audio_buffer.committed", "item_id": "item_1"})) == []
    assert settled(receive(machine, {"type": "input_audio_buffer.committed", "item_id": "item_2"})) == ["commit"]


@pytest.mark.parametrize("command", COMMANDS[:7], ids=lambda command: type(command).__name__)
def test_a_command_that_is_refused_has_its_error(command: client.ClientEvent) -> None:
    machine = new_machine()
    receive(machine, added(assistant_item("item_1")))
    machine.command(msgspec.structs.replace(command, event_id="event_1"))
    [effects] = receive(machine, error(event_id="event_1", code="invalid_value", message="no", param="x"))
    [answer] = effects.settle
    assert (answer.event_id, answer.result) == ("event_1", None)
    assert answer.error is not None
    assert (answer.error.code, answer.error.message, answer.error.param) == ("invalid_value", "no", "x")
    assert effects.publish == ()
    assert machine.config == SessionConfig()
    assert not machine._changes


def test_only_a_cancel_is_settled_by_there_being_nothing_to_cancel() -> None:
    machine = new_machine()
    receive(machine, added(assistant_item("item_1")))
    machine.command(client.ConversationItemDelete(event_id="event_1", item_id="item_1"))
    [effects] = receive(machine, error(event_id="event_1", code="response_cancel_not_active"))
    assert effects.settle[0].error is not None


def test_a_change_that_is_refused_is_not_taken_with_the_next() -> None:
    machine = new_machine()
    machine.command(client.SessionUpdate(event_id="one", session=SessionConfig(instructions="bad")))
    machine.command(client.SessionUpdate(event_id="two", session=SessionConfig(max_output_tokens=7)))
    effects = receive(
        machine, error(code="invalid_value", param="session.instructions"), {"type": "session.updated", "session": None}
    )
    assert settled(effects) == ["one", "two"]
    assert machine.config == SessionConfig(max_output_tokens=7)
    assert machine.info is None
    assert published(effects, updates.SessionUpdated) == []


def test_a_transcription_session_has_a_configuration_of_its_own() -> None:
    machine = new_machine()
    heard = TranscriptionSessionConfig(audio=TranscriptionAudioConfig(input=AudioInputConfig(turn_detection=None)))
    for number, change in enumerate([heard, TranscriptionSessionConfig(include=["x"])]):
        machine.command(client.SessionUpdate(event_id=f"event_{number}", session=change))
        receive(machine, {"type": "session.updated", "session": {"type": "transcription"}})
    assert machine.config == TranscriptionSessionConfig(audio=heard.audio, include=["x"])
    machine.command(client.SessionUpdate(event_id="event_9", session=SessionConfig(instructions="x")))
    receive(machine, {"type": "session.updated", "session": {"type": "transcription"}})
    assert machine.config == TranscriptionSessionConfig(audio=heard.audio, include=["x"])


def test_an_update_that_nobody_asked_for_changes_what_is_known_of_the_session_alone() -> None:
    machine = new_machine()
    effects = receive(machine, session_updated(turn_detection={"type": "semantic_vad"}))
    assert settled(effects) == []
    assert [update.info for update in published(effects, updates.SessionUpdated)] == [machine.info]
    assert machine.config == SessionConfig()


def test_a_session_that_is_created_in_mid_session_is_what_the_server_says_now() -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection=None), added(user_item("item_1")))
    effects = receive(
        machine,
        {
            "type": "session.created",
            "session": {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}},
        },
    )
    assert len(published(effects, updates.SessionUpdated)) == 1
    assert machine.input_encoding is PCMU
    assert ids(machine) == ["item_1"]


@pytest.mark.parametrize("event", ["session.created", "session.updated"])
def test_a_session_event_without_a_session_leaves_what_is_known(event: str) -> None:
    machine = new_machine()
    receive(machine, session_updated(turn_detection={"type": "server_vad"}))
    effects = receive(machine, {"type": event})
    assert machine.turn_detection_type == "server_vad"
    assert len(published(effects, updates.SessionUpdated)) == 1


def test_where_the_server_says_nothing_of_its_input_turn_detection_is_what_was_asked_for() -> None:
    machine = new_machine()
    asked = SessionConfig(audio=AudioConfig(input=AudioInputConfig(turn_detection=ServerVad())))
    receive(machine, {"type": "session.created", "session": {"type": "realtime"}})
    before = machine.turn_detection_type
    assert before is None
    machine.command(client.SessionUpdate(event_id="event_1", session=asked))
    receive(machine, {"type": "session.updated", "session": {"type": "realtime"}})
    assert machine.turn_detection_type == "server_vad"
    machine.command(client.InputAudioBufferAppend(audio=bytes(9600)))
    out = sent(machine.command(client.ResponseCreate(event_id="event_2")))
    assert [type(event) for event in out] == [client.ResponseCreate]


def test_an_encoding_of_its_own_goes_with_each_direction() -> None:
    machine = new_machine()
    audio = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcma"}}}
    receive(machine, {"type": "session.updated", "session": {"type": "realtime", "audio": audio}})
    receive(machine, added(user_item("item_1")), added(assistant_item("item_2")))
    assert machine.input_encoding.name == machine.conversation["item_1"].encoding.name == "audio/pcmu"
    assert machine.output_encoding.name == machine.conversation["item_2"].encoding.name == "audio/pcma"


# --- events ------------------------------------------------------------------------------------------------------


def test_an_event_that_means_nothing_to_the_machine_goes_through() -> None:
    machine = new_machine()
    event = server.UnknownEvent(type="new.event", raw={"type": "new.event"})
    assert machine.receive(event) == Effects(event=event)
    started = server.OutputAudioBufferStarted(response_id="resp_1")
    assert machine.receive(started) == Effects(event=started)


@pytest.mark.parametrize(
    "between", [server.UnknownEvent(type="new.event", raw={}), server.InputAudioBufferCleared()], ids=str
)
def test_malformed_frames_end_the_session_only_in_a_row(between: server.ServerEvent) -> None:
    machine = new_machine()
    issue = server.ProtocolIssue(reason="no JSON")
    for _ in range(2):
        assert [machine.receive(issue).failure for _ in range(9)] == [None] * 9
        assert machine.receive(between).failure is None
    assert machine.malformed_frames == 18
    failures = [machine.receive(issue).failure for _ in range(10)]
    assert failures[:9] == [None] * 9
    assert isinstance(failures[9], ProtocolError)
    assert str(failures[9]) == "10 malformed frames in a row; the last one: no JSON"


def test_rate_limits_are_told() -> None:
    machine = new_machine()
    effects = receive(
        machine, {"type": "rate_limits.updated", "rate_limits": [{"name": "tokens"}]}, {"type": "rate_limits.updated"}
    )
    told = published(effects, updates.RateLimitsUpdated)
    assert [update.rate_limits for update in told] == [(server.RateLimit(name="tokens"),), ()]


def test_an_item_without_an_id_and_its_retrieval_change_nothing() -> None:
    machine = new_machine()
    effects = receive(
        machine,
        added(user_item(None)),
        {"type": "conversation.item.retrieved", "item": user_item("item_7")},
        {"type": "response.output_item.added", "item": assistant_item("item_8", "in_progress") | {"id": None}},
    )
    assert ids(machine) == []
    assert [type(update).__name__ for each in effects for update in each.publish] == ["ItemRetrieved"]
    assert all(each.event is not None for each in effects)


def test_an_approval_that_the_server_asks_for_is_told_once() -> None:
    machine = new_machine()
    asked = {"type": "mcp_approval_request", "id": "item_1", "server_label": "s", "name": "f", "arguments": "{}"}
    effects = receive(machine, added(asked), item_done(asked), item_done(asked))
    [told] = published(effects, updates.ApprovalRequested)
    assert (told.request_id, told.name, told.arguments) == ("item_1", "f", "{}")


def test_a_retrieved_item_has_the_servers_audio() -> None:
    machine = new_machine()
    receive(machine, added(assistant_item("item_1")), audio_delta("item_1", b"ab"))
    content = [{"type": "output_audio", "audio": "YWJjZA==", "transcript": "Hello"}]
    effects = receive(
        machine,
        {"type": "conversation.item.retrieved", "item": assistant_item("item_1", "completed") | {"content": content}},
    )
    item = machine.conversation["item_1"]
    assert (item.audio, item.transcript, item.status) == (b"abcd", "Hello", "completed")
    assert [update.item for update in published(effects, updates.ItemUpdated)] == [item]
    assert machine.conversation.retained_audio_bytes == 4


def test_the_silence_that_a_timeout_commits_is_the_audio_of_its_item() -> None:
    machine = new_machine()
    machine.command(client.InputAudioBufferAppend(audio=bytes(range(240)) * 200))
    timeout = {"type": "input_audio_buffer.timeout_triggered", "audio_start_ms": 100, "audio_end_ms": 300}
    receive(
        machine,
        timeout | {"item_id": "item_1"},
        {"type": "input_audio_buffer.committed", "item_id": "item_1"},
        added(user_item("item_1")),
        added(user_item("item_2")),
        timeout | {"item_id": "item_2"},
    )
    for item_id in ("item_1", "item_2"):
        assert machine.conversation[item_id].audio == (bytes(range(240)) * 200)[4800:14400]


# --- the end -----------------------------------------------------------------------------------------------------


def ended(machine: Machine, **more: Any) -> Effects:
    arguments: dict[str, Any] = {"code": None, "reason": "", "cause": None, "unix_time": 1000.0, **more}
    return machine.connection_ended(**arguments)


@pytest.mark.parametrize("expires_at", [0, None, 2000])
def test_a_connection_that_ends_long_before_its_time_is_lost(expires_at: int | None) -> None:
    machine = new_machine()
    receive(machine, {"type": "session.created", "session": {"type": "realtime", "expires_at": expires_at}})
    failure = ended(machine, code=1001, reason="going away").failure
    assert type(failure) is ConnectionLost
    assert (failure.code, failure.reason) == (1001, "going away")


def test_a_connection_that_ends_before_there_was_a_session_is_lost() -> None:
    failure = ended(new_machine()).failure
    assert type(failure) is ConnectionLost


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (None, "", "the server closed the connection: no code"),
        (1001, "", "the server closed the connection: code 1001"),
        (None, "bye", "the server closed the connection: no code, bye"),
        (1001, "going away", "the server closed the connection: code 1001, going away"),
        (1001, "session_expired", "the session has expired: session_expired"),
        (1001, "maximum duration of 60 minutes", "the session has expired: maximum duration of 60 minutes"),
    ],
)
def test_the_end_is_told_in_the_servers_words(code: int | None, reason: str, words: str) -> None:
    failure = ended(new_machine(), code=code, reason=reason).failure
    assert isinstance(failure, ConnectionLost | SessionExpired)
    assert (str(failure), failure.code, failure.reason) == (words, code, reason)


@pytest.mark.parametrize("message", ["Your session hit the maximum duration.", ""])
def test_an_expiry_is_told_in_the_words_of_the_error_that_announced_it(message: str) -> None:
    machine = new_machine()
    receive(machine, error(code="session_expired", message=message))
    assert str(ended(machine).failure) == f"the session has expired: {message or 'its time is up'}"
    assert str(ended(machine, reason="bye").failure) == f"the session has expired: {message or 'bye'}"


@pytest.mark.parametrize("unix_time", [1995.0, 2000.0, 9000.0])
def test_a_connection_that_ends_at_its_time_has_expired(unix_time: float) -> None:
    machine = new_machine()
    receive(machine, {"type": "session.created", "session": {"type": "realtime", "expires_at": 2000}})
    assert type(ended(machine, unix_time=1994.9).failure) is ConnectionLost
    failure = ended(machine, unix_time=unix_time).failure
    assert type(failure) is SessionExpired
    assert str(failure) == "the session has expired: its time is up"


def test_the_cause_of_a_loss_is_kept_and_a_named_failure_stays_itself() -> None:
    lost = ConnectionLost("reset", code=1006, reason="")
    lost.__cause__ = reset = OSError("reset")
    assert ended(new_machine(), cause=lost).failure is lost
    assert lost.__cause__ is reset
    protocol = ProtocolError("over the limit")
    assert ended(new_machine(), cause=protocol, reason="session_expired").failure is protocol
    broken = OSError("broken")
    failure = ended(new_machine(), cause=broken).failure
    assert type(failure) is ConnectionLost
    assert failure.__cause__ is broken
    expired = ended(new_machine(), cause=lost, reason="session_expired").failure
    assert type(expired) is SessionExpired
    assert expired.__cause__ is lost
    refused = ConnectError("no")
    assert ended(new_machine(), cause=refused).failure is refused
