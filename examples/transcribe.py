"""Write down what is said in a WAV file (mono, 16 bits, 24,000 Hz): `python examples/transcribe.py speech.wav`.

The key is read from OPENAI_API_KEY, and the address of a compatible server, if it is not OpenAI's, from
OPENAI_BASE_URL.
"""

import os
import sys

import trio

from trio_realtime import (
    Delta,
    ItemUpdated,
    OpenAI,
    Transcription,
    TranscriptionCompleted,
    TranscriptionFailed,
    TranscriptionSessionConfig,
    open_session,
)
from trio_realtime.audio import PCM16, read_wav
from trio_realtime.wire.session_config import AudioInputConfig, TranscriptionAudioConfig

# Without turn detection the program says where a turn ends; then the whole file is one, and need not be sent slowly.
CONFIG = TranscriptionSessionConfig(
    audio=TranscriptionAudioConfig(
        input=AudioInputConfig(transcription=Transcription(model="gpt-realtime-whisper"), turn_detection=None)
    )
)


async def main() -> None:
    """Send the whole file, and print its words as they are understood."""
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/transcribe.py speech.wav")
    pcm, rate_hz = read_wav(sys.argv[1])
    if rate_hz != PCM16.rate_hz:
        sys.exit(f"the file has {rate_hz} Hz instead of {PCM16.rate_hz} Hz; see trio_realtime.audio.resample")
    endpoint = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    async with open_session(endpoint=endpoint, config=CONFIG) as session:
        with session.updates() as updates:
            await session.append_audio(pcm)
            await session.commit_audio()
            async for update in updates:
                match update:
                    case ItemUpdated(delta=Delta(transcript=str(words))):
                        print(words, end="", flush=True)
                    case TranscriptionCompleted():
                        print()
                        break
                    case TranscriptionFailed(error=error):
                        sys.exit(f"not transcribed: {error.message}")
                    case _:
                        pass


if __name__ == "__main__":
    trio.run(main)
