"""Effects: several become one, and what they show of themselves."""

from trio_realtime.errors import ProtocolError
from trio_realtime.state import updates
from trio_realtime.state.effects import Effects, combined
from trio_realtime.state.requests import Settled
from trio_realtime.state.tool_calls import ToolCall
from trio_realtime.wire import client_events as client


def test_combined_effects_are_those_of_all_in_order() -> None:
    one = Effects(publish=(updates.Interrupted(),), event="first")
    two = Effects(send=(client.InputAudioBufferClear(),), publish=(updates.Lagged(count=1),), event="second")
    both = combined(one, Effects(), two)
    assert both.publish == (*one.publish, *two.publish)
    assert (both.send, both.event, both.failure) == (two.send, "first", None)
    assert combined(one) is one
    assert combined() == Effects()


def test_nothing_is_lost_of_effects_that_are_combined() -> None:
    def full(name: str) -> Effects:
        return Effects(
            publish=(updates.SpeechStarted(item_id=name, audio_start_ms=0),),
            event=name,
            urgent=(client.ResponseCancel(event_id=name),),
            send=(client.InputAudioBufferClear(event_id=name),),
            cancel=(name,),
            start=(ToolCall(call_id=name, name="f", arguments="{}", item_id=None, response_id="r"),),
            settle=(Settled(event_id=name),),
            failure=ProtocolError(name),
        )

    one, two = full("one"), full("two")
    both = combined(one, two)
    for field in ("publish", "urgent", "send", "cancel", "start", "settle"):
        assert getattr(both, field) == (*getattr(one, field), *getattr(two, field))
    for field in ("event", "failure"):
        assert getattr(both, field) is getattr(combined(Effects(cancel=("c",)), one), field) is getattr(one, field)


def test_the_repr_of_a_delta_shows_its_words_but_no_audio() -> None:
    assert repr(updates.Delta(audio=b"SECRET")) == "Delta(audio=<6 bytes>)"
    assert repr(updates.Delta(text="a")) == "Delta(text='a')"
    assert repr(updates.Delta(transcript="b")) == "Delta(transcript='b')"
    assert repr(updates.Delta(arguments="c")) == "Delta(arguments='c')"
