"""What is shown of the wire holds no audio and no credentials."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.wire.unions import CLIENT_EVENTS, SERVER_EVENTS, TRANSLATION_CLIENT_EVENTS, TRANSLATION_SERVER_EVENTS
from trio_realtime.testing.strategies import structs
from trio_realtime.wire.client_events import InputAudioBufferAppend, SessionUpdate
from trio_realtime.wire.codec import Codec
from trio_realtime.wire.excerpt import KEY, excerpt
from trio_realtime.wire.items import InputAudio, InputText, Message, OutputAudio, UnknownItem
from trio_realtime.wire.responses import Usage
from trio_realtime.wire.server_events import ConversationItemRetrieved, PartAudio, ResponseOutputAudioDelta
from trio_realtime.wire.session_config import FunctionTool, McpTool, SessionConfig
from trio_realtime.wire.struct import shown
from trio_realtime.wire.translation import SessionInputAudioBufferAppend, SessionOutputAudioDelta

SECRET = "Bearer-abcdef-0123456789"
AUDIO = bytes(range(200, 256)) * 4


@pytest.mark.parametrize(
    "event",
    [
        InputAudioBufferAppend(audio=AUDIO),
        SessionInputAudioBufferAppend(audio=AUDIO),
        ResponseOutputAudioDelta(item_id="item_1", delta=AUDIO),
        SessionOutputAudioDelta(delta=AUDIO),
        InputAudio(audio=AUDIO),
        OutputAudio(audio=AUDIO),
        PartAudio(audio=AUDIO),
        ConversationItemRetrieved(item=Message(role="user", content=[InputAudio(audio=AUDIO)])),
    ],
)
def test_audio_is_shown_by_its_length(event: Any) -> None:
    for text in (repr(event), str(event), f"{[event]}"):
        assert "<224 bytes>" in text
        assert "\\xc8" not in text
        assert base64.b64encode(AUDIO)[:8].decode() not in text


@pytest.mark.parametrize("length", [3, 30, 3000])
def test_audio_inside_what_is_unknown_is_shown_by_its_length(length: int) -> None:
    encoded = base64.b64encode(AUDIO * 20).decode()[:length]
    item = UnknownItem(raw={"type": "new", "content": [{"audio": encoded}]})
    assert repr(item) == f"UnknownItem(raw={{'type': 'new', 'content': [{{'audio': <{length} characters>}}]}})"


def test_credentials_of_mcp_servers_are_not_shown() -> None:
    tool = McpTool(
        server_label="files", server_url="https://a.example", authorization=SECRET, headers={"X-Api-Key": SECRET}
    )
    event = SessionUpdate(session=SessionConfig(tools=[tool]))
    assert SECRET not in repr(event)
    assert repr(tool) == (
        "McpTool(server_label='files', server_url='https://a.example', authorization=<redacted>, headers=<redacted>)"
    )
    assert SECRET not in repr(UnknownItem(raw={"tools": [{"authorization": SECRET, "headers": {"a": SECRET}}]}))
    assert SECRET.encode() in Codec().encode(event)


def test_credentials_in_the_url_of_an_mcp_server_are_not_shown() -> None:
    tool = McpTool(server_label="files", server_url=f"https://me:{SECRET}@a.example/mcp?token={SECRET}#top")
    assert repr(tool) == ("McpTool(server_label='files', server_url='https://<redacted>@a.example/mcp?<redacted>#top')")
    assert SECRET not in repr(UnknownItem(raw={"tools": [{"server_url": f"https://a.example?key={SECRET}"}]}))


def test_a_repr_shows_what_differs_from_the_defaults() -> None:
    assert repr(Usage(total_tokens=3)) == "Usage(total_tokens=3)"
    assert repr(InputText(text="a" * 200)) == f"InputText(text='{'a' * 200}')"
    assert repr(InputText(text="a" * 201)) == "InputText(text=<201 characters>)"
    assert repr(FunctionTool(name="f", parameters={"type": "object"})) == (
        "FunctionTool(name='f', parameters={'type': 'object'})"
    )
    assert repr(McpTool(server_label="a", headers=None, authorization="")) == (
        "McpTool(server_label='a', authorization='', headers=None)"
    )


@pytest.mark.parametrize("value", [bytearray(4), memoryview(bytes(4)), memoryview(bytes(4)).cast("h"), bytes(4)])
def test_any_buffer_is_shown_by_its_length(value: Any) -> None:
    assert shown("x", value) == "<4 bytes>"
    assert shown("x", (value, 1)) == "[<4 bytes>, 1]"


ALL = CLIENT_EVENTS + SERVER_EVENTS + TRANSLATION_CLIENT_EVENTS + TRANSLATION_SERVER_EVENTS


@settings(max_examples=200)
@given(data=st.data())
def test_every_event_has_a_repr_without_bytes(data: st.DataObject) -> None:
    struct = data.draw(st.sampled_from(ALL))
    text = repr(data.draw(structs(struct, unknown=True)))
    assert text.startswith(struct.__name__ + "(")
    assert "=b'" not in text
    assert '=b"' not in text


# --- excerpts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["sk-proj-abcdefgh0123", "ek_68af296e8e40", "Bearer abcdefgh.ijkl", "sk-abcdef", "rk_live_0123456789"]
)
@pytest.mark.parametrize("around", ["%s", '{"authorization":"%s"}', "key=%s&x", "(%s)", "Authorization: %s\r\n"])
def test_an_excerpt_holds_no_key(key: str, around: str) -> None:
    text = excerpt((around % key).encode())
    assert text == around % "<redacted>"
    assert excerpt(around % key) == text


def holds_no_key(audio: bytes) -> bool:
    """Whether no part of it looks like a key in base64: such a part is replaced as one."""
    return KEY.search(base64.urlsafe_b64encode(audio).decode()) is None


audio = st.binary(min_size=60, max_size=300).filter(holds_no_key)


@given(audio=audio, prefix=st.text(max_size=10).filter(str.isspace) | st.just("x:"))
def test_an_excerpt_holds_no_base64(audio: bytes, prefix: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(audio).decode()
        text = excerpt(f'{prefix}"{encoded}"')
        assert text == f'{prefix}"<{len(encoded)} characters>"'


def test_base64_in_which_something_looks_like_a_key_is_not_shown_either() -> None:
    encoded = "A" * 238 + "_" + "-rk-AAAAAAAA"
    assert excerpt(f'"{encoded}"') == '"<240 characters><redacted>"'


@given(payload=st.binary(max_size=400), repeat=st.integers(1, 1000))
def test_an_excerpt_is_short_and_can_be_encoded(payload: bytes, repeat: int) -> None:
    for form in (payload * repeat, bytearray(payload * repeat), memoryview(payload * repeat)):
        text = excerpt(form)
        text.encode()
        assert len(text) <= 203


@given(text=st.text(st.characters(codec="ascii", categories=["P", "Z"]), max_size=30))
def test_what_is_harmless_is_shown_as_it_is(text: str) -> None:
    assert excerpt(text) == excerpt(text.encode()) == text


def test_audio_in_a_broken_frame_is_not_shown() -> None:
    encoded = base64.b64encode(AUDIO).decode()
    issue: Any = Codec().decode(f'{{"type":"response.output_audio.delta","delta":"{encoded}'.encode())
    assert encoded[:20] not in repr(issue)
    assert f"<{len(encoded)} characters>" in issue.excerpt
    key = json.dumps({"type": "error", "error": f"Incorrect API key provided: {SECRET}"}).encode()
    assert SECRET not in repr(Codec().decode(key))
