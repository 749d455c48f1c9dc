"""Plays what a model says and what a client does against each other, which makes the history of a conversation.

Theory of operation: hypothesis draws a script and a program, and the sans-IO simulator plays them on time that is only
a number. So a history is one that a server can really produce, and when hypothesis makes it simpler, it makes the
script and the program simpler.
"""

from __future__ import annotations

import json
from array import array
from base64 import b64decode
from collections.abc import Iterable, Sequence
from functools import cache
from typing import cast

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET

from ...wire import client_events as client
from ...wire.client_events import ClientEvent
from ...wire.codec import Codec
from ...wire.items import FunctionCallOutput, InputText, Item, Message, OutputText
from ...wire.responses import ResponseParams
from ...wire.server_events import ConversationItemRetrieved, ServerEvent
from ...wire.session_config import AudioConfig, AudioInputConfig, SessionConfig
from ..server import Json
from ..simulation.script import Fails, ScriptedTurn
from ..simulation.simulator import Simulator
from ..simulation.sound import BYTES_PER_MS, PCM, encode_pcm
from . import program as steps
from .history import History, HistoryEntry
from .program import Step, programs, scripts, transcripts as any_transcripts

_UNIX_TIME = 1_800_000_000.0
_FOREVER_S = 1e9
_STEP_S = 0.25
_CHUNK_MS = 100


@cache
def _sound(*, loud: bool) -> bytes:
    """Two seconds in which no chunk is like another: loud enough for turn detection, or as good as silent."""
    samples = [n * 31 % 12_000 - 6_000 for n in range(48_000)] if loud else [n % 61 for n in range(48_000)]
    return array("h", samples).tobytes()


class _Player:
    """A client that does what it is told, and keeps all that crosses the wire."""

    def __init__(self, script: Sequence[ScriptedTurn], transcripts: Sequence[str | Fails]) -> None:
        simulator = Simulator(script, transcripts=transcripts, pace=1.0, max_duration=_FOREVER_S)
        simulator.connect({"model": "gpt-realtime-2.1"}, now=0.0, unix_time=_UNIX_TIME)
        (self.connection,) = simulator.connections
        self.entries: list[HistoryEntry] = []
        self._codec = Codec()
        self._now = 0.0
        self._sent_ms = 0
        self._formats: dict[str, str] = {}  # of the audio of each response
        self._active: set[str] = set()  # responses of the conversation
        self._audio_ms: dict[str, float] = {}  # what has come of each item that can still be cut, oldest first
        self.wait(0.0)

    # --- time and the wire ---------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass; what is due at different times comes at different times."""
        end = self._now + seconds
        while (due := self.connection.next_deadline()) <= end:
            self._now = max(self._now, due)
            self._take(self.connection.advance(self._now))
        self._now = end

    def send(self, event: ClientEvent) -> None:
        """Send one event, with an id of its own."""
        number = sum(entry.source == "client" for entry in self.entries) + 1
        event = msgspec.structs.replace(event, event_id=f"event_{number}")
        encoded = self._codec.encode(event)
        self.entries.append(HistoryEntry(self._now, "client", event, json.loads(encoded)))
        self._take(self.connection.receive(encoded, self._now))

    def _take(self, raws: Iterable[Json]) -> None:
        for raw in raws:
            event = cast("ServerEvent", self._codec.decode(msgspec.json.encode(raw)))
            self.entries.append(HistoryEntry(self._now, "server", event, raw))
            self._notice(raw)

    def _notice(self, raw: Json) -> None:
        match raw["type"]:
            case "response.created":
                response = raw["response"]
                self._formats[response["id"]] = response["audio"]["output"]["format"]["type"]
                if response["conversation_id"] is not None:
                    self._active.add(response["id"])
            case "response.done":
                self._active.discard(raw["response"]["id"])
            case "response.output_audio.delta":
                rate = BYTES_PER_MS[self._formats[raw["response_id"]]]
                came_ms = len(b64decode(raw["delta"])) / rate
                self._audio_ms[raw["item_id"]] = self._audio_ms.get(raw["item_id"], 0.0) + came_ms
            case _:
                pass

    # --- steps ---------------------------------------------------------------------------------------------------

    def play(self, step: Step) -> None:
        """Do one step."""
        match step:
            case steps.Writes():
                self._write(step)
            case steps.Speaks(ms=ms, pause_ms=pause_ms):
                self._append(ms, loud=True)
                self._append(pause_ms, loud=False)
            case steps.IsSilent(ms=ms):
                self._append(ms, loud=False)
            case steps.Commits():
                self.send(client.InputAudioBufferCommit())
            case steps.Clears():
                self.send(client.InputAudioBufferClear())
            case steps.Asks():
                self._ask(step)
            case steps.Cancels():
                self.send(client.ResponseCancel())
            case steps.Interrupts(heard_percent=percent):
                self._interrupt(percent)
            case steps.Returns(output=output):
                for call_id in self._open_calls():
                    self._create(FunctionCallOutput(call_id=call_id, output=output))
            case steps.Deletes(number=number):
                if (item_id := self._item(number)) is not None:
                    self.send(client.ConversationItemDelete(item_id=item_id))
            case steps.Retrieves(number=number):
                if (item_id := self._item(number)) is not None:
                    self.send(client.ConversationItemRetrieve(item_id=item_id))
            case steps.Configures(config=config):
                self.send(client.SessionUpdate(session=config))
            case steps.Waits(ms=ms):
                self.wait(ms / 1000)
            case _:
                raise TypeError(f"a program is made of steps, not of {step!r}")
        self.wait(_STEP_S)

    def _item(self, number: int) -> str | None:
        items = self.connection.items
        return str(items[number % len(items)]["id"]) if items else None

    def _write(self, step: steps.Writes) -> None:
        part = OutputText(text=step.text) if step.role == "assistant" else InputText(text=step.text)
        after: str | None = None
        if step.after is not None:
            after = "root" if step.after < 0 else self._item(step.after)
        self._create(Message(role=step.role, content=[part]), after)

    def _create(self, item: Message | FunctionCallOutput, after: str | None = None) -> None:
        number = sum(isinstance(entry.event, client.ConversationItemCreate) for entry in self.entries) + 1
        item = msgspec.structs.replace(item, id=f"item_{number}")
        self.send(client.ConversationItemCreate(item=item, previous_item_id=UNSET if after is None else after))

    def _append(self, ms: int, *, loud: bool) -> None:
        while ms > 0:
            chunk_ms = min(ms, _CHUNK_MS)
            start = self._sent_ms % 1_900 * BYTES_PER_MS[PCM]
            pcm = _sound(loud=loud)[start : start + chunk_ms * BYTES_PER_MS[PCM]]
            format_type: str = self.connection.session["audio"]["input"]["format"]["type"]
            self.send(client.InputAudioBufferAppend(audio=encode_pcm(pcm, format_type)))
            self._sent_ms += chunk_ms
            ms -= chunk_ms
            self.wait(chunk_ms / 1000)

    def _ask(self, step: steps.Asks) -> None:
        params = ResponseParams(
            conversation="none" if step.beside else UNSET,
            output_modalities=UNSET if step.modality is None else [step.modality],
        )
        self.send(client.ResponseCreate(response=UNSET if params == ResponseParams() else params))

    def _interrupt(self, heard_percent: int) -> None:
        if self._active:
            self.send(client.ResponseCancel())
        held = {item["id"] for item in self.connection.items}
        item_id = next((item_id for item_id in reversed(self._audio_ms) if item_id in held), None)
        if item_id is not None:
            end_ms = int(self._audio_ms[item_id]) * heard_percent // 100
            self._audio_ms[item_id] = end_ms
            self.send(client.ConversationItemTruncate(item_id=item_id, audio_end_ms=end_ms))

    def _open_calls(self) -> list[str]:
        items = self.connection.items
        answered = {item["call_id"] for item in items if item["type"] == "function_call_output"}
        calls = [item for item in items if item["type"] == "function_call" and item["status"] == "completed"]
        return [call["call_id"] for call in calls if call["call_id"] not in answered]

    # --- the end -------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Let everything that is under way end."""
        detection: Json | None = self.connection.session["audio"]["input"]["turn_detection"]
        if (
            detection is not None and detection.get("idle_timeout_ms") is not None
        ):  # the server would ask for ever whether somebody is there
            off = AudioConfig(input=AudioInputConfig(turn_detection=None))
            self.send(client.SessionUpdate(session=SessionConfig(audio=off)))
        while (due := self.connection.next_deadline()) < _FOREVER_S:
            self.wait(due - self._now)

    def items(self) -> Iterable[Item]:
        """The items of the conversation, with audio."""
        for item in self.connection.items:
            asked = msgspec.json.encode(client.ConversationItemRetrieve(item_id=item["id"]))
            (answer,) = self.connection.receive(asked, self._now)
            yield cast("ConversationItemRetrieved", self._codec.decode(msgspec.json.encode(answer))).item


def play_conversation(
    program: Sequence[Step],
    *,
    script: Sequence[ScriptedTurn] = (),
    transcripts: Sequence[str | Fails] = (),
) -> History:
    """Play what a client does against the simulated server, until nothing is under way any more; it takes no time.

    Args:
        program: What the client does.
        script: What the model says, as for `Simulator`.
        transcripts: What the user says, as for `Simulator`.

    Example:
        ```python
        history = play_conversation([Writes("Hi"), Asks(), Interrupts(50)], script=[says("Hello there!")])
        assert [item.role for item in history.items] == ["user", "assistant"]
        ```
    """
    player = _Player(script, transcripts)
    for step in program:
        player.play(step)
    player.finish()
    return History(tuple(program), tuple(script), tuple(transcripts), tuple(player.entries), tuple(player.items()))


def conversations(
    *,
    programs: st.SearchStrategy[Sequence[Step]] = programs(),  # noqa: B008  a strategy is a value
    scripts: st.SearchStrategy[Sequence[ScriptedTurn]] = scripts(),  # noqa: B008  a strategy does not change
    transcripts: st.SearchStrategy[Sequence[str | Fails]] = any_transcripts(),  # noqa: B008  as above
) -> st.SearchStrategy[History]:
    """Histories of whole conversations, valid by construction, with everything that a session may bring.

    Messages, speech under turn detection and without, transcription, answers in audio and text, function calls and
    their outputs, interruptions by speech and by the client, responses beside the conversation, items that are deleted,
    and requests that come at the wrong time, which the server refuses as the real one does.

    Args:
        programs: What the client does.
        scripts: What the model says.
        transcripts: What the user says.

    Example:
        ```python
        @given(conversations())
        def test_my_state_agrees_with_the_server(history):
            state = MyState()
            for event in history.server_events:
                state.receive(event)
            assert state.items == history.items
        ```
    """
    return st.builds(play_conversation, programs, script=scripts, transcripts=transcripts)
