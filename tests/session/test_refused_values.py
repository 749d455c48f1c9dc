"""What the protocol lets a server say but no server takes is refused here, before anything is sent."""

from typing import Any

import pytest

from trio_realtime import ConfigError, OutputGuard, open_session
from trio_realtime.testing import open_simulated_session

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_output_tokens": "many"}, "max_output_tokens"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"output_modalities": ["smell"]}, "output_modalities"),
    ({"output_modalities": ["audio", "text"]}, "output_modalities"),
    ({"tool_choice": "bogus"}, "tool_choice"),
]


@pytest.mark.parametrize(("keywords", "named"), REFUSED)
async def test_a_value_that_no_server_takes_is_named_and_nothing_is_sent(
    keywords: Any, named: str, autojump_clock: object
) -> None:
    async with open_simulated_session() as session:
        sent = session.statistics().sent_events
        with pytest.raises(ConfigError, match=named):
            await session.update(**keywords)
        with pytest.raises(ConfigError, match=named):
            await session.create_response(**keywords)
        with pytest.raises(ConfigError, match=named):
            async with session.respond("Hello!", **keywords):
                pass
        assert session.statistics().sent_events == sent


async def test_a_plain_function_among_the_tools_is_told_to_become_one() -> None:
    def get_weather(city: str) -> str:
        return city

    with pytest.raises(ConfigError, match="'get_weather' is a plain function; put @tool on it"):
        async with open_session(tools=[get_weather]):  # type: ignore[list-item]  # this is what is refused
            pass


def test_a_guard_that_is_a_plain_function_is_refused() -> None:
    def check(words: str) -> str | None:
        return words

    with pytest.raises(ConfigError, match="make it async"):
        OutputGuard(check=check)  # type: ignore[arg-type]  # this is what is refused
