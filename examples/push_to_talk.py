"""Say something while a button is held, and hear the answer when it is released: manual turns, without detection.

The button is here a WAV file (mono, 16 bits, 24,000 Hz), and the answer goes to another one:

    python examples/push_to_talk.py question.wav answer.wav

The key is read from OPENAI_API_KEY, and the address of a compatible server, if it is not OpenAI's, from
OPENAI_BASE_URL.
"""

import os
import sys

import trio

from trio_realtime import OpenAI, Playback, RealtimeSession, open_session
from trio_realtime.audio import PCM16, read_wav, write_wav

CHUNK_MS = 100


async def main() -> None:
    """Send one question, and write down the answer to it."""
    if len(sys.argv) != 3:
        sys.exit("usage: python examples/push_to_talk.py question.wav answer.wav")
    question, rate_hz = read_wav(sys.argv[1])
    if rate_hz != PCM16.rate_hz:
        sys.exit(f"the file has {rate_hz} Hz instead of {PCM16.rate_hz} Hz; see trio_realtime.audio.resample")
    endpoint = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    heard = bytearray()
    async with (
        open_session(endpoint=endpoint, turn_detection=None) as session,
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback, heard)
        await hold_button(session, question)
        # Released: with manual turns, asking for a response commits first what was appended.
        async with session.respond() as turn:
            async for words in turn.text_stream():
                print(words, end="", flush=True)
        print()
        await session.wait_for_playback()  # generating is over long before speaking is
        nursery.cancel_scope.cancel()
    write_wav(sys.argv[2], bytes(heard))
    print(f"{PCM16.bytes_to_ms(len(heard)) / 1000:.1f} s of audio")


async def hold_button(session: RealtimeSession, pcm: bytes) -> None:
    """Send what the microphone hears while the button is held; nothing is answered yet."""
    await session.interrupt()  # who presses the button wants to be listened to
    await session.clear_audio()
    size = PCM16.ms_to_bytes(CHUNK_MS)
    for start in range(0, len(pcm), size):
        await session.append_audio(pcm[start : start + size])


async def play(playback: Playback, loudspeaker: bytearray) -> None:
    """Play the answer; a real loudspeaker takes its time, and a chunk counts as heard when the next is asked for."""
    async for chunk in playback:
        loudspeaker += chunk.audio


if __name__ == "__main__":
    trio.run(main)
