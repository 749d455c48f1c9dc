"""Say something, and read the answer while it is spoken: `python examples/chat.py "How are you?"`.

The key is read from OPENAI_API_KEY, and the address of a compatible server, if it is not OpenAI's, from
OPENAI_BASE_URL.
"""

import os
import sys

import trio

from trio_realtime import OpenAI, open_session


async def main() -> None:
    """Hold one exchange."""
    message = " ".join(sys.argv[1:]) or "How are you?"
    endpoint = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    async with open_session(endpoint=endpoint, instructions="You are a great, upbeat friend.") as session:
        async with session.respond(message) as turn:  # leaving early cancels it; what fails is raised
            async for words in turn.text_stream():
                print(words, end="", flush=True)
        audio = await turn.audio()  # mono PCM16 at 24,000 Hz, for a loudspeaker
        print(f"\n({len(audio)} bytes of audio, {turn.usage.total_tokens} tokens)")


if __name__ == "__main__":
    trio.run(main)
