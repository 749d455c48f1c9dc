"""Talk, and read what the server understands and answers, until the input ends or Ctrl-C.

From a WAV file (mono, 16 bits, 24,000 Hz), or from anything that writes such samples to a pipe:

    python examples/microphone.py speech.wav
    arecord -t raw -f S16_LE -r 24000 -c 1 | python examples/microphone.py

The key is read from OPENAI_API_KEY, and the address of a compatible server, if it is not OpenAI's, from
OPENAI_BASE_URL.
"""

import os
import sys

import trio

from trio_realtime import (
    Conversation,
    Delta,
    Interrupted,
    ItemCompleted,
    ItemUpdated,
    OpenAI,
    RealtimeSession,
    TranscriptionCompleted,
    open_session,
)
from trio_realtime.audio import PCM16, read_wav

CHUNK_MS = 20
SILENCE_AFTER_MS = 1_500  # the server hears by the silence that a turn is over


async def main() -> None:
    """Send the microphone's audio, and print what both sides say, at the same time."""
    recording = read_recording(sys.argv[1]) if len(sys.argv) > 1 else None
    endpoint = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    async with (
        trio.open_nursery() as nursery,
        open_session(endpoint=endpoint, turn_detection="server_vad", transcription="gpt-realtime-whisper") as session,
    ):
        nursery.start_soon(show, session)  # ends by itself after the session, when it has shown everything
        if recording is None:
            await send_pipe(session)
        else:
            await send_in_real_time(session, recording)
        await send_in_real_time(session, PCM16.silence(SILENCE_AFTER_MS))
        while not answered(session.conversation):
            await session.wait_completed_item()


def read_recording(path: str) -> bytes:
    """The audio of a WAV file."""
    pcm, rate_hz = read_wav(path)
    if rate_hz != PCM16.rate_hz:
        sys.exit(f"{path} has {rate_hz} Hz instead of {PCM16.rate_hz} Hz; see trio_realtime.audio.resample")
    return pcm


async def send_pipe(session: RealtimeSession) -> None:
    """Send what comes from standard input, as it comes."""
    odd = b""
    # In a thread, because a pipe blocks; the thread is abandoned when the program ends first.
    while pcm := await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), 4_800, abandon_on_cancel=True):
        pcm = odd + pcm
        whole = len(pcm) // 2 * 2  # a pipe may break off in the middle of a sample
        await session.append_audio(pcm[:whole])
        odd = pcm[whole:]


async def send_in_real_time(session: RealtimeSession, pcm: bytes) -> None:
    """Send audio no faster than it would be spoken."""
    size = PCM16.ms_to_bytes(CHUNK_MS)
    due = trio.current_time()
    for start in range(0, len(pcm), size):
        await trio.sleep_until(due)
        await session.append_audio(pcm[start : start + size])
        due += CHUNK_MS / 1000


async def show(session: RealtimeSession) -> None:
    """Print what both sides said: whole lines, because what is understood may come in the middle of the answer."""
    with session.updates() as updates:
        async for update in updates:
            match update:
                case TranscriptionCompleted(transcript=words):
                    print("user:", words, flush=True)
                case ItemUpdated(delta=Delta(audio=bytes())):
                    pass  # mono PCM16 at 24,000 Hz, for a loudspeaker
                case Interrupted():
                    pass  # the user speaks: stop the loudspeaker
                case ItemCompleted(item=item) if item.role == "assistant":
                    print("assistant:", item.transcript, flush=True)
                case _:
                    pass


def answered(conversation: Conversation) -> bool:
    """Whether the last word is the assistant's, or nothing was said at all."""
    last = conversation.items[-1] if len(conversation) else None
    return last is None or (last.role == "assistant" and last.status == "completed")


if __name__ == "__main__":
    try:
        trio.run(main)
    except* KeyboardInterrupt:
        pass
