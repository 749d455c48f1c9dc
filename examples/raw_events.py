"""Talk to the server without a session, event by event: `python examples/raw_events.py "How are you?"`.

Prints each event of the server as it comes. `open_connection` encodes and decodes; it remembers, answers and waits for
nothing.

The key is read from OPENAI_API_KEY, and the address of a compatible server, if it is not OpenAI's, from
OPENAI_BASE_URL.
"""

import os
import sys

import trio

from trio_realtime import OpenAI, open_connection
from trio_realtime.wire.client_events import ConversationItemCreate
from trio_realtime.wire.items import InputText, Message
from trio_realtime.wire.server_events import Error, ResponseDone


async def main() -> None:
    """Ask for one response, and print every event until it is done."""
    message = " ".join(sys.argv[1:]) or "How are you?"
    endpoint = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    async with open_connection(endpoint) as connection:
        # An event is a struct, or a mapping in the wire's own shape.
        await connection.send(ConversationItemCreate(item=Message(role="user", content=[InputText(text=message)])))
        await connection.send({"type": "response.create", "response": {"output_modalities": ["text"]}})
        async for event in connection:
            print(event)  # audio and long strings are shown by their length
            if isinstance(event, ResponseDone | Error):
                break


if __name__ == "__main__":
    trio.run(main)
