"""How audio is encoded in each direction, as the server last said."""

from ..audio import PCM16, Encoding, encoding
from ..wire.responses import Response
from ..wire.session_config import AudioFormat, SessionInfo, TranscriptionSessionInfo


class Formats:
    """The encodings of a session, and of the responses that differ from it.

    Attributes:
        input: Of what the program sends.
        output: Of what the server sends.
    """

    def __init__(self) -> None:
        self.input: Encoding = PCM16
        self.output: Encoding = PCM16
        self._by_response: dict[str, Encoding] = {}

    def take_session(self, info: SessionInfo | TranscriptionSessionInfo) -> None:
        """The server stated its configuration."""
        if info.audio is None:
            return
        if info.audio.input is not None and info.audio.input.format is not None:
            self.input = _encoding_of(info.audio.input.format)
        if info.audio.output is not None and info.audio.output.format is not None:
            self.output = _encoding_of(info.audio.output.format)

    def take_response(self, response: Response) -> None:
        """A response begins, perhaps in an encoding of its own."""
        output = response.audio.output if response.audio is not None else None
        if response.id is not None and output is not None and output.format is not None:
            self._by_response[response.id] = _encoding_of(output.format)

    def forget_response(self, response_id: str | None) -> None:
        """A response is over."""
        self._by_response.pop(response_id or "", None)

    def output_of(self, response_id: str | None) -> Encoding:
        """How the audio of a response is encoded; of the session's responses when it is unknown or None."""
        return self._by_response.get(response_id or "", self.output)


def _encoding_of(wire: AudioFormat) -> Encoding:
    return encoding(str(wire.__struct_config__.tag))
