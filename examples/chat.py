"""Say something, and read the answer while it is spoken: `python examples/chat.py "How are you?"`.

The key is read from OPENAI_API_KEY, and the address of a compatible server, if it is not OpenAI's, from
OPENAI_BASE_URL.
"""

import os
import sys

import trio

from trio_realtime import Delta, ItemUpdated, OpenAI, ResponseDone, open_session


async def main() -> None:
    """Hold one exchange."""
    message = " ".join(sys.argv[1:]) or "How are you?"
    endpoint = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    async with open_session(endpoint=endpoint, instructions="You are a great, upbeat friend.") as session:
        with session.updates() as updates:  # a Trio receive channel of everything that happens from here on
            await session.send_message(message)  # a user message asks for a response
            async for update in updates:
                match update:
                    case ItemUpdated(delta=Delta(transcript=str(words))):
                        print(words, end="", flush=True)
                    case ItemUpdated(delta=Delta(audio=bytes())):
                        pass  # mono PCM16 at 24,000 Hz, for a loudspeaker
                    case ResponseDone(response=response):
                        print(f"\n({response.status}, {session.usage.total_tokens} tokens)")
                        break
                    case _:
                        pass


if __name__ == "__main__":
    trio.run(main)
