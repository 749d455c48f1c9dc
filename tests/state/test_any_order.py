"""The machine as a whole: any events in any order never raise, and what has to hold holds after each of them.

Few ids, so that they collide: an item of one response is deleted, added again, stated by another.
"""

from collections import Counter
from typing import Any

import msgspec
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.state.talks import new_machine
from trio_realtime.errors import ConfigError
from trio_realtime.state import updates
from trio_realtime.state.effects import Effects
from trio_realtime.state.response_events import PRIVATE_KEY
from trio_realtime.state.responses import State
from trio_realtime.state.tool_calls import ToolPolicy
from trio_realtime.wire import client_events as client, server_events as server
from trio_realtime.wire.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    Message,
    OutputAudio,
    OutputText,
    Part,
    UnknownItem,
    UnknownPart,
)
from trio_realtime.wire.responses import Response, ResponseParams, Usage
from trio_realtime.wire.session_config import (
    AudioFormat,
    AudioInfo,
    AudioInputInfo,
    AudioOutputInfo,
    AudioPCM,
    AudioPCMU,
    ServerVad,
    SessionConfig,
    SessionInfo,
    TranscriptionSessionInfo,
)

item_ids = st.sampled_from(["a", "b", "c"])
response_ids = st.sampled_from(["r", "s", None])
indices = st.sampled_from([0, 0, 1, -1, 5])
words = st.sampled_from(["", "x", "yz"])
maybe_words = st.none() | words
sounds = st.sampled_from([b"", b"ab", bytes(30), bytes(70)])
places = st.sampled_from([None, "root", "a", "b", "gone"])
statuses = st.sampled_from([None, "in_progress", "completed", "incomplete"])
times = st.sampled_from([0, 1, 5, 10**9, -1])

parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(InputText, text=maybe_words),
    st.builds(InputAudio, transcript=maybe_words, audio=st.none() | sounds),
    st.builds(OutputText, text=maybe_words),
    st.builds(OutputAudio, transcript=maybe_words, audio=st.none() | sounds),
    st.builds(UnknownPart, raw=st.just({"type": "new"})),
)
items: st.SearchStrategy[Item] = st.one_of(
    st.builds(
        Message,
        id=item_ids | st.none(),
        role=st.sampled_from(["user", "assistant", "system"]),
        content=st.lists(parts, max_size=2),
        status=statuses,
    ),
    st.builds(
        FunctionCall,
        id=item_ids,
        name=st.just("f"),
        call_id=st.sampled_from(["k", "l"]),
        arguments=words,
        status=statuses,
    ),
    st.builds(FunctionCallOutput, id=item_ids, call_id=st.sampled_from(["k", "l"]), output=words),
    st.builds(UnknownItem, id=item_ids, raw=st.just({"type": "new"})),
)
tokens = st.sampled_from([None, "e1", "e2", "e3"])
responses = st.none() | st.builds(
    # What names no response echoes nothing either.
    lambda token, **fields: Response(metadata={PRIVATE_KEY: token} if token and fields["id"] else None, **fields),
    token=tokens,
    id=response_ids,
    conversation_id=st.sampled_from([None, "conv"]),
    status=st.sampled_from([None, "completed", "cancelled", "failed"]),
    output=st.none() | st.lists(items, max_size=2),
    usage=st.none() | st.builds(Usage, total_tokens=st.none() | st.integers(0, 9)),
)
formats: st.SearchStrategy[AudioFormat | None] = st.sampled_from([None, AudioPCM(), AudioPCMU()])
sessions = st.one_of(
    st.none(),
    st.just(TranscriptionSessionInfo()),
    st.builds(
        SessionInfo,
        audio=st.none()
        | st.builds(
            AudioInfo,
            input=st.none()
            | st.builds(AudioInputInfo, format=formats, turn_detection=st.sampled_from([None, ServerVad()])),
            output=st.none() | st.builds(AudioOutputInfo, format=formats),
        ),
    ),
)
errors = st.builds(
    server.ErrorDetails,
    code=st.sampled_from(
        [
            None,
            "invalid_value",
            "input_audio_buffer_commit_empty",
            "response_cancel_not_active",
            "conversation_already_has_active_response",
        ]
    ),
    param=st.sampled_from([None, "session.voice", "item.id", "item_id", "response.voice"]),
    event_id=st.sampled_from([None, *[f"e{number}" for number in range(1, 12)]]),
)
of_response: dict[str, Any] = {"response_id": response_ids, "item_id": item_ids}
any_part = st.one_of(
    st.none(), st.builds(server.PartText, text=maybe_words), st.builds(server.PartAudio, transcript=maybe_words)
)
Events = st.SearchStrategy[Any]
stated_items: Events = st.one_of(
    *[
        st.builds(kind, item=items, previous_item_id=places)
        for kind in (server.ConversationItemAdded, server.ConversationItemDone, server.ConversationItemCreated)
    ],
    st.builds(server.ResponseOutputItemAdded, response_id=response_ids, item=items),
    st.builds(server.ResponseOutputItemDone, response_id=response_ids, item=items),
    st.builds(server.ConversationItemRetrieved, item=items),
)
deltas: Events = st.one_of(
    st.builds(server.ResponseOutputTextDelta, content_index=indices, delta=words, **of_response),
    st.builds(server.ResponseOutputAudioDelta, content_index=indices, delta=sounds, **of_response),
    st.builds(server.ResponseOutputAudioTranscriptDelta, content_index=indices, delta=words, **of_response),
    st.builds(server.ResponseFunctionCallArgumentsDelta, delta=words, **of_response),
)
ends_of_deltas: Events = st.one_of(
    st.builds(server.ResponseContentPartAdded, content_index=indices, part=any_part, **of_response),
    st.builds(server.ResponseContentPartDone, content_index=indices, part=any_part, **of_response),
    st.builds(server.ResponseOutputTextDone, content_index=indices, text=maybe_words, **of_response),
    st.builds(server.ResponseOutputAudioDone, content_index=indices, **of_response),
    st.builds(server.ResponseOutputAudioTranscriptDone, content_index=indices, transcript=maybe_words, **of_response),
    st.builds(server.ResponseFunctionCallArgumentsDone, arguments=maybe_words, **of_response),
)
cuts: Events = st.one_of(
    st.builds(server.ConversationItemDeleted, item_id=item_ids | st.just("")),
    st.builds(server.ConversationItemTruncated, item_id=item_ids, content_index=indices, audio_end_ms=times),
)
heard: Events = st.one_of(
    st.builds(
        server.ConversationItemInputAudioTranscriptionDelta,
        item_id=item_ids,
        content_index=st.none() | indices,
        delta=maybe_words,
    ),
    st.builds(
        server.ConversationItemInputAudioTranscriptionCompleted,
        item_id=item_ids,
        content_index=st.none() | indices,
        transcript=words,
    ),
    st.builds(server.ConversationItemInputAudioTranscriptionFailed, item_id=item_ids),
)
spoken: Events = st.one_of(
    st.builds(server.InputAudioBufferCommitted, item_id=item_ids | st.none(), previous_item_id=places),
    st.builds(server.InputAudioBufferCleared),
    st.builds(server.InputAudioBufferSpeechStarted, item_id=item_ids | st.none(), audio_start_ms=times),
    st.builds(server.InputAudioBufferSpeechStopped, item_id=item_ids | st.none(), audio_end_ms=times),
    st.builds(server.InputAudioBufferTimeoutTriggered, item_id=item_ids, audio_start_ms=times, audio_end_ms=times),
)
all_else: Events = st.one_of(
    st.builds(server.SessionCreated, session=sessions),
    st.builds(server.SessionUpdated, session=sessions),
    st.builds(server.Error, error=errors),
    st.builds(server.RateLimitsUpdated),
    st.just(server.UnknownEvent(type="new", raw={})),
    st.builds(server.ProtocolIssue, reason=st.just("bad"), event=st.builds(server.ResponseDone, response=responses)),
)
commands = st.one_of(
    st.builds(client.SessionUpdate, session=st.just(SessionConfig(instructions="x"))),
    st.builds(client.InputAudioBufferCommit),
    st.builds(client.InputAudioBufferClear),
    st.builds(client.ConversationItemCreate, item=items, previous_item_id=st.sampled_from(["root", "a"])),
    st.builds(client.ConversationItemRetrieve, item_id=item_ids),
    st.builds(client.ConversationItemTruncate, item_id=item_ids, audio_end_ms=st.just(0)),
    st.builds(client.ConversationItemDelete, item_id=item_ids),
)
responding = st.one_of(
    st.builds(client.ResponseCreate),
    st.builds(client.ResponseCreate, response=st.just(ResponseParams(conversation="none"))),
    st.builds(client.ResponseCancel),
    st.builds(client.ResponseCancel, response_id=st.sampled_from(["r", "s"])),
)
_DELTAS = (
    server.ResponseOutputTextDelta,
    server.ResponseOutputAudioDelta,
    server.ResponseOutputAudioTranscriptDelta,
    server.ResponseFunctionCallArgumentsDelta,
)


class AnyOrder(RuleBasedStateMachine):
    """A machine between a program and a server that both do as they like."""

    BUDGET = 100

    def __init__(self) -> None:
        super().__init__()
        self.machine = new_machine(retained_audio_bytes=self.BUDGET)
        self.machine.responses.tools.calls.tools = {"f": ToolPolicy(runs=False)}
        self.numbers = 0
        self.commands: set[str] = set()
        self.settled: Counter[str] = Counter()
        self.completed: Counter[int] = Counter()
        self.done: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.items: list[Any] = []

    def take(self, effects: Effects) -> None:
        self.settled.update(each.event_id for each in effects.settle)
        for update in effects.publish:
            if isinstance(update, updates.ItemAppended | updates.ItemCompleted):
                self.items.append(update.item)  # keeps its identity from being used again
            if isinstance(update, updates.ItemCompleted):
                self.completed[id(update.item)] += 1
            if isinstance(update, updates.ResponseDone) and update.response.id is not None:
                self.done[update.response.id] += 1
        for event in (*effects.urgent, *effects.send):
            if isinstance(event, client.ResponseCancel) and isinstance(event.response_id, str):
                self.cancelled[event.response_id] += 1

    @rule(event=stated_items)
    def an_item_is_stated(self, event: Any) -> None:
        self.receive(event)

    @rule(event=deltas)
    def an_item_grows(self, event: Any) -> None:
        self.receive(event)

    @rule(event=ends_of_deltas)
    def a_part_ends(self, event: Any) -> None:
        self.receive(event)

    @rule(event=cuts)
    def an_item_is_cut(self, event: Any) -> None:
        self.receive(event)

    @rule(event=heard)
    def the_user_is_understood(self, event: Any) -> None:
        self.receive(event)

    @rule(event=spoken)
    def the_user_speaks(self, event: Any) -> None:
        self.receive(event)

    @rule(event=st.builds(server.ResponseCreated, response=responses))
    def a_response_begins(self, event: Any) -> None:
        self.receive(event)

    @rule(event=st.builds(server.ResponseDone, response=responses))
    def a_response_ends(self, event: Any) -> None:
        self.receive(event)

    @rule(event=all_else)
    def something_else_is_said(self, event: Any) -> None:
        self.receive(event)

    def receive(self, event: Any) -> None:
        item = self.machine.conversation.get(getattr(event, "item_id", None) or "")
        before = None if item is None else (item.text, item.transcript, item.arguments)
        effects = self.machine.receive(event)
        assert effects.event is not None
        assert effects.failure is None
        if isinstance(event, _DELTAS):
            told = [update for update in effects.publish if isinstance(update, updates.ItemUpdated)]
            assert len(effects.publish) == len(told) <= 1
            if not told:
                assert item is None or event.response_id in self.cancelled
                return
            assert item is told[0].item
            assert before is not None
            grown = (item.text, item.transcript, item.arguments)
            added = "" if isinstance(event.delta, bytes) else event.delta
            assert sum(map(len, grown)) == sum(map(len, before)) + len(added)
        self.take(effects)

    @rule(command=responding)
    def the_program_wants_a_response(self, command: Any) -> None:
        self.command(command)

    @rule(command=commands)
    def the_program_wants_something(self, command: Any) -> None:
        self.command(command)

    def command(self, command: Any) -> None:
        self.numbers += 1
        event_id = f"e{self.numbers}"
        command = msgspec.structs.replace(command, event_id=event_id)
        waiting = len(self.machine._requests)
        try:
            effects = self.machine.command(command)
        except ConfigError:
            assert len(self.machine._requests) == waiting, "what was refused has changed nothing"
            return
        self.commands.add(event_id)
        self.take(effects)

    @rule(audio=sounds)
    def append(self, audio: bytes) -> None:
        event = client.InputAudioBufferAppend(audio=audio)
        assert self.machine.command(event).send == (event,)

    @rule(number=st.integers(1, 12))
    def forget(self, number: int) -> None:
        self.take(self.machine.responses.forget(f"e{number}"))

    @invariant()
    def conversation_holds_together(self) -> None:
        conversation = self.machine.conversation
        ids = [item.id for item in conversation]
        assert len(ids) == len(set(ids)) == len(conversation)
        assert all(item.in_conversation for item in conversation)
        held = sum(len(item.audio) for item in (*conversation, *conversation._detached.values()))
        assert conversation.retained_audio_bytes == held <= self.BUDGET

    @invariant()
    def nothing_happens_twice(self) -> None:
        assert max(self.settled.values(), default=0) <= 1
        assert max(self.completed.values(), default=0) <= 1
        assert max(self.done.values(), default=0) <= 1
        assert max(self.cancelled.values(), default=0) <= 1

    @invariant()
    def who_waits_for_a_response_is_known(self) -> None:
        sequencer = self.machine.responses.sequencer
        requested = self.machine._requests.outstanding("create_response")
        assert [each.event_id for each in requested] == ([] if sequencer.sent is None else [sequencer.sent.event_id])
        assert (sequencer.state is State.IDLE) <= (not sequencer.queued)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(stateful_step_count=50)
