"""The two tools of the demo. What they tell is made up; that it takes them a while is real."""

from typing import Any, Literal

import trio
from msgspec import Struct

from ..tools import Tool, tool

WEATHER_SECONDS = 1.2
DAYLIGHT_SECONDS = 0.4


class Weather(Struct, frozen=True):
    """A forecast."""

    sky: str
    celsius: int


class Daylight(Struct, frozen=True):
    """When the sun is up, in local time."""

    sunrise: str
    sunset: str


@tool
async def get_weather(city: str, day: Literal["today", "tomorrow"] = "tomorrow") -> Weather:
    """Forecast the weather in a city.

    Args:
        city: Name of the city.
        day: Which day.
    """
    del city
    await trio.sleep(WEATHER_SECONDS)
    return Weather("light rain", 17 if day == "tomorrow" else 19)


@tool
async def get_daylight(city: str, day: Literal["today", "tomorrow"] = "tomorrow") -> Daylight:
    """Tell when the sun rises and sets in a city.

    Args:
        city: Name of the city.
        day: Which day.
    """
    del city, day
    await trio.sleep(DAYLIGHT_SECONDS)
    return Daylight("6:12", "21:48")


TOOLS: list[Tool[..., Any]] = [get_weather, get_daylight]
