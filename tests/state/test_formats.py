"""How audio is encoded, as the server last said."""

import pytest

from trio_realtime.audio import PCM16, PCMA, PCMU, Encoding
from trio_realtime.state.formats import Formats
from trio_realtime.wire.responses import Response, ResponseAudio, ResponseAudioOutput
from trio_realtime.wire.session_config import (
    AudioFormat,
    AudioInfo,
    AudioInputInfo,
    AudioOutputInfo,
    AudioPCM,
    AudioPCMA,
    AudioPCMU,
    SessionInfo,
    TranscriptionSessionInfo,
)

FORMATS = [(AudioPCM(), PCM16), (AudioPCMU(), PCMU), (AudioPCMA(), PCMA)]


def test_both_directions_are_pcm16_until_the_server_says_otherwise() -> None:
    formats = Formats()
    assert (formats.input, formats.output) == (PCM16, PCM16)


@pytest.mark.parametrize(("wire", "encoding"), FORMATS, ids=[encoding.name for _, encoding in FORMATS])
def test_the_session_says_how_each_direction_is_encoded(wire: AudioFormat, encoding: Encoding) -> None:
    formats = Formats()
    formats.take_session(SessionInfo(audio=AudioInfo(input=AudioInputInfo(format=wire))))
    assert (formats.input, formats.output) == (encoding, PCM16)
    formats.take_session(SessionInfo(audio=AudioInfo(output=AudioOutputInfo(format=wire))))
    assert (formats.input, formats.output) == (encoding, encoding)


@pytest.mark.parametrize(
    "info",
    [
        SessionInfo(),
        TranscriptionSessionInfo(),
        SessionInfo(audio=AudioInfo()),
        SessionInfo(audio=AudioInfo(input=AudioInputInfo(), output=AudioOutputInfo())),
    ],
)
def test_what_the_session_does_not_say_stays(info: SessionInfo | TranscriptionSessionInfo) -> None:
    formats = Formats()
    law = AudioPCMU()
    formats.take_session(
        SessionInfo(audio=AudioInfo(input=AudioInputInfo(format=law), output=AudioOutputInfo(format=law)))
    )
    formats.take_session(info)
    assert (formats.input, formats.output) == (PCMU, PCMU)


def test_a_response_may_have_an_encoding_of_its_own_until_it_is_over() -> None:
    formats = Formats()
    audio = ResponseAudio(output=ResponseAudioOutput(format=AudioPCMA()))
    formats.take_response(Response(id="resp_1", audio=audio))
    formats.take_response(Response(id="resp_2", audio=ResponseAudio(output=ResponseAudioOutput())))
    formats.take_response(Response(id="resp_3", audio=ResponseAudio()))
    formats.take_response(Response(audio=audio))
    assert formats.output_of("resp_1") is PCMA
    assert [formats.output_of(each) for each in ("resp_2", "resp_3", None, "resp_9")] == [PCM16] * 4
    formats.forget_response("resp_1")
    formats.forget_response(None)
    assert formats.output_of("resp_1") is PCM16
