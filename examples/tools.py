"""Let the model call functions: `python examples/tools.py "The weather in Paris, and a table for two at eight?"`.

The key is read from OPENAI_API_KEY, and the address of a compatible server, if it is not OpenAI's, from
OPENAI_BASE_URL.
"""

import os
import sys
from typing import Annotated

import trio
from msgspec import Meta, Struct

from trio_realtime import OpenAI, RealtimeSession, ToolCallFinished, ToolCallStarted, open_session, tool


class Weather(Struct):
    """What `get_weather` gives; the model reads it as JSON."""

    city: str
    celsius: int


@tool
async def get_weather(city: str) -> Weather:
    """Current weather in a city.

    Args:
        city: Name of the city.
    """
    await trio.sleep(0.2)  # ask somebody who knows
    return Weather(city, 21)


@tool(timeout=10)
def book_table(people: Annotated[int, Meta(ge=1, le=12)], time: str) -> str:
    """Book a table. It is no async function, so it runs in a thread.

    Args:
        people: How many people will come.
        time: When, as HH:MM.
    """
    return f"a table for {people} at {time}"


async def main() -> None:
    """Ask one question."""
    question = " ".join(sys.argv[1:]) or "How is the weather in Paris? And book a table for two at eight."
    endpoint = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"))
    async with (
        trio.open_nursery() as nursery,
        open_session(endpoint=endpoint, tools=[get_weather, book_table], output_modalities=["text"]) as session,
    ):
        await nursery.start(show_calls, session)  # ends by itself after the session
        # The turn is the whole of it: the response with the calls, and the one that follows when all have ended.
        async with session.respond(question) as turn:
            async for words in turn.text_stream():
                print(words, end="", flush=True)
        print(f"\n({len(turn.responses)} responses, {turn.usage.total_tokens} tokens)")


async def show_calls(session: RealtimeSession, task_status: trio.TaskStatus[None]) -> None:
    """Print what becomes of the calls. The session runs them by itself; this only watches."""
    with session.updates(ToolCallStarted, ToolCallFinished) as updates:
        task_status.started()
        async for update in updates:
            match update:
                case ToolCallStarted(name=name, arguments=arguments):
                    print(f"{name} {arguments}", flush=True)
                case ToolCallFinished(name=name, error=None, result=result, seconds=seconds):
                    print(f"{name} took {seconds:.1f} s: {result}", flush=True)
                case ToolCallFinished(name=name, error=error):
                    print(f"{name} failed: {error}", flush=True)  # the model was told


if __name__ == "__main__":
    trio.run(main)
