"""What the client of a conversation does, step by step: values that a test writes down or hypothesis draws.

A step names items by their number in the conversation and not by their id, and audio by how long it lasts, so that a
program is short to read and means something after any other step.
"""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec import Struct

from ...wire.session_config import (
    AudioConfig,
    AudioFormat,
    AudioInputConfig,
    AudioOutputConfig,
    AudioPCM,
    AudioPCMA,
    AudioPCMU,
    SemanticVad,
    ServerVad,
    SessionConfig,
    Transcription,
    TurnDetection,
)
from ..simulation.script import Calls, Fails, Incomplete, Output, Says, fails
from .any_values import instances


class Step(Struct, frozen=True, repr_omit_defaults=True):
    """One thing that a client does; a quarter of a second passes after it."""


class Writes(Step, frozen=True, repr_omit_defaults=True):
    """`conversation.item.create`: a message.

    Attributes:
        text: What it says.
        role: `"user"`, `"system"` or `"assistant"`.
        after: Number of the item that it stands after, -1 for the front, None for the end.
    """

    text: str = ""
    role: str = "user"
    after: int | None = None


class Speaks(Step, frozen=True, repr_omit_defaults=True):
    """`input_audio_buffer.append`, every 100 ms: the user says something.

    Attributes:
        ms: How long.
        pause_ms: How long the user is silent then; the server's turn detection waits for 500 ms unless it is told
            otherwise.
    """

    ms: int
    pause_ms: int = 700


class IsSilent(Step, frozen=True, repr_omit_defaults=True):
    """`input_audio_buffer.append`, every 100 ms: the user says nothing."""

    ms: int


class Commits(Step, frozen=True, repr_omit_defaults=True):
    """`input_audio_buffer.commit`, refused when there is too little audio."""


class Clears(Step, frozen=True, repr_omit_defaults=True):
    """`input_audio_buffer.clear`."""


class Asks(Step, frozen=True, repr_omit_defaults=True):
    """`response.create`, refused while there is a response already.

    Attributes:
        beside: Whether the response stands beside the conversation, out of band.
        modality: `"audio"`, `"text"`, or None for that of the session.
    """

    beside: bool = False
    modality: str | None = None


class Cancels(Step, frozen=True, repr_omit_defaults=True):
    """`response.cancel`, refused when there is no response."""


class Interrupts(Step, frozen=True, repr_omit_defaults=True):
    """`response.cancel` if a response is under way, and `conversation.item.truncate` of what was said last.

    Attributes:
        heard_percent: How much was heard of what has come of it.
    """

    heard_percent: int = 0


class Returns(Step, frozen=True, repr_omit_defaults=True):
    """`conversation.item.create` of an output for each call that has none."""

    output: str = ""


class Deletes(Step, frozen=True, repr_omit_defaults=True):
    """`conversation.item.delete`, if there is an item; numbers go on from the first when there are fewer items."""

    number: int = 0


class Retrieves(Step, frozen=True, repr_omit_defaults=True):
    """`conversation.item.retrieve`, if there is an item; numbers go on from the first when there are fewer items."""

    number: int = 0


class Configures(Step, frozen=True, repr_omit_defaults=True):
    """`session.update`."""

    config: SessionConfig


class Waits(Step, frozen=True, repr_omit_defaults=True):
    """Nothing, while time passes."""

    ms: int


# --- strategies ------------------------------------------------------------------------------------------------------

words: st.SearchStrategy[str] = st.text("ab é🙂", max_size=12)
_numbers = st.integers(0, 3)
_durations = st.sampled_from([300, 100, 1000])
_pauses = st.sampled_from([700, 0, 1500])
_modalities = st.sampled_from(["audio", "text"])
_formats: st.SearchStrategy[AudioFormat] = st.sampled_from([AudioPCM(), AudioPCMU(), AudioPCMA()])
_detections: list[TurnDetection | None] = [
    None,
    ServerVad(),
    ServerVad(silence_duration_ms=200),
    ServerVad(create_response=False),
    ServerVad(interrupt_response=False),
    ServerVad(idle_timeout_ms=5_000),
    SemanticVad(eagerness="high"),
]
_transcriptions = [Transcription(model="gpt-realtime-whisper"), Transcription(model="gpt-4o-transcribe"), None]
_heard = instances(
    AudioInputConfig,
    {},
    {
        "transcription": st.sampled_from(_transcriptions),
        "turn_detection": st.sampled_from(_detections),
        "format": _formats,
    },
)
_audio = instances(AudioConfig, {"input": _heard}, {"output": instances(AudioOutputConfig, {"format": _formats})})
_configurations: st.SearchStrategy[Step] = instances(
    SessionConfig, {"audio": _audio}, {"output_modalities": _modalities.map(lambda modality: [modality])}
).map(Configures)

_steps: st.SearchStrategy[Step] = st.one_of(
    st.just(Asks()),
    st.builds(Speaks, _durations, _pauses),
    st.builds(Waits, st.sampled_from([100, 1000, 8000])),
    st.builds(Writes, words, st.sampled_from(["user", "system", "assistant"]), st.none() | st.integers(-1, 3)),
    st.builds(Interrupts, st.integers(0, 100) | st.just(0)),
    st.builds(Returns, words),
    st.builds(Asks, beside=st.booleans(), modality=st.none() | _modalities),
    st.builds(Deletes, _numbers),
    st.builds(Retrieves, _numbers),
    st.sampled_from([Commits(), Clears(), Cancels()]),
    st.builds(IsSilent, st.sampled_from([100, 700])),
    _configurations,
)
_begin = st.lists(_configurations, max_size=1)
_go_on = st.lists(_steps, max_size=10)


def programs() -> st.SearchStrategy[tuple[Step, ...]]:
    """What a client does in a conversation: it configures the session or not, and then takes some steps in any order.

    Example:
        ```python
        @given(conversations(programs=programs().map(lambda program: (Speaks(500), *program))))
        def test_a_conversation_that_the_user_opens(history): ...
        ```
    """
    return st.tuples(_begin, _go_on, _go_on).map(lambda parts: tuple(step for part in parts for step in part))


_says = st.builds(Says, words, st.none() | st.sampled_from([0.1, 0.5, 2.0]))
_calls = st.builds(Calls, st.sampled_from(["get_weather", "stop"]), st.sampled_from(["{}", '{"city": "Paris"}']))
_ends: st.SearchStrategy[Output] = st.sampled_from([fails(), Incomplete("max_output_tokens")])


@st.composite
def _turns(draw: st.DrawFn) -> tuple[Output, ...]:
    outputs: list[Output] = draw(st.lists(_says | _calls, min_size=1, max_size=2))
    end = draw(st.sampled_from([False, False, True]))
    return (*outputs, draw(_ends)) if end else tuple(outputs)


def scripts() -> st.SearchStrategy[tuple[tuple[Output, ...], ...]]:
    """What the model does, a turn for each response: it says things, calls functions, fails, is cut short."""
    return st.lists(_turns(), max_size=4).map(tuple)


def transcripts() -> st.SearchStrategy[tuple[str | Fails, ...]]:
    """What the user says, in the order in which it is transcribed; some of it cannot be."""
    return st.lists(
        words | st.just(fails("audio_unintelligible", "The audio could not be transcribed.")), max_size=3
    ).map(tuple)
