"""Talk over the assistant, and see what it thinks you have heard.

The microphone comes from a pipe, the loudspeaker is one (mono, 16 bits, 24,000 Hz); what happens is printed to stderr:

    arecord -t raw -f S16_LE -r 24000 -c 1 | python examples/barge_in.py | aplay -t raw -f S16_LE -r 24000 -c 1

The key is read from OPENAI_API_KEY, and the address of a compatible server, if it is not OpenAI's, from
OPENAI_BASE_URL.
"""

import os
import sys

import trio

from trio_realtime import Interrupted, ItemDeleted, ItemTruncated, OpenAI, Playback, RealtimeSession, open_session
from trio_realtime.audio import PCM16

FRAME_MS = 20


async def main() -> None:
    """Let the assistant speak until the microphone ends, or Ctrl-C."""
    endpoint = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    async with (
        open_session(endpoint=endpoint, turn_detection="server_vad") as session,
        session.playback() as playback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(play, playback)
        nursery.start_soon(show, session)
        await session.send_message("Tell me a long story.")
        await listen(session)
        nursery.cancel_scope.cancel()


async def listen(session: RealtimeSession) -> None:
    """Send what comes from the microphone, as it comes."""
    odd = b""
    # In a thread, because a pipe blocks; the thread is abandoned when the program ends first.
    while pcm := await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), 4_800, abandon_on_cancel=True):
        pcm = odd + pcm
        whole = len(pcm) // 2 * 2  # a pipe may break off in the middle of a sample
        await session.append_audio(pcm[:whole])
        odd = pcm[whole:]


async def play(playback: Playback) -> None:
    """Play frame by frame, in real time, and tell the session what was heard."""
    generation = played = 0
    due = trio.current_time()
    async for chunk in playback:
        if chunk.generation != generation:
            generation, played = chunk.generation, 0  # an interruption begins the count anew
        due = max(due, trio.current_time())
        for start in range(0, len(chunk.audio), PCM16.ms_to_bytes(FRAME_MS)):
            frame = chunk.audio[start : start + PCM16.ms_to_bytes(FRAME_MS)]
            await trio.to_thread.run_sync(os.write, sys.stdout.fileno(), frame)  # a pipe blocks
            due += len(frame) / PCM16.bytes_per_second
            await trio.sleep_until(due)
            if playback.generation != generation:
                break  # the user speaks: the rest of the chunk is not wanted any more
            played += len(frame)
            playback.played(bytes=played, generation=generation)


async def show(session: RealtimeSession) -> None:
    """Print what an interruption comes to; the library does all the rest."""
    with session.updates(Interrupted, ItemTruncated, ItemDeleted) as updates:
        async for update in updates:
            match update:
                case Interrupted(heard_ms=heard_ms):
                    print(f"interrupted: {heard_ms} ms were heard", file=sys.stderr, flush=True)
                case ItemTruncated(audio_end_ms=audio_end_ms):
                    print(f"the server keeps {audio_end_ms} ms", file=sys.stderr, flush=True)
                case ItemDeleted():
                    print("nothing was heard, so the server forgets it", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        trio.run(main)
    except* KeyboardInterrupt:
        pass
