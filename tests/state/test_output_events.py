"""What the server says of the assistant's words by themselves, without what came before."""

from typing import Any

import pytest

from trio_realtime.state.effects import Effects

from .talks import added, assistant_item, new_machine, said


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        ({"type": "response.output_text.done", "text": "Hello"}, "output_text", ("Hello", None)),
        ({"type": "response.output_audio_transcript.done", "transcript": "Hi"}, "output_audio", ("", "Hi")),
    ],
)
def test_the_end_of_a_part_whose_deltas_never_came_is_all_there_is(
    event: dict[str, Any], kind: str, words: tuple[str, str | None]
) -> None:
    machine = new_machine()
    machine.receive(said(added(assistant_item("i1"))))
    said_last = said({"item_id": "i1", "response_id": "r1", "content_index": 0, **event})
    assert machine.receive(said_last) == Effects(event=said_last)
    [part] = machine.conversation["i1"].content
    assert (part.type, (part.text, part.transcript)) == (kind, words)
