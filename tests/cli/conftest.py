"""Holds demos in memory, on virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from trio_realtime import RealtimeSession, ServerVad, Tool, Transcription
from trio_realtime.cli.demo import Screen, Unwatched, hold_demo
from trio_realtime.cli.recording import open_recording
from trio_realtime.cli.report import DemoReport
from trio_realtime.cli.weather import TOOLS
from trio_realtime.testing import Simulator, load_voice, open_simulated_session

HoldDemo = Callable[..., Awaitable[DemoReport]]


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return tmp_path / "received.wav"


@pytest.fixture
def hold(wav: Path) -> HoldDemo:
    """Hold a demo with a simulator; `beside` is given the open session first."""

    async def hold(
        simulator: Simulator,
        *,
        speech: bytes | None = None,
        interruption: bytes = b"",
        tools: list[Tool[..., Any]] = TOOLS,
        message: str = "Hello!",
        screen: Screen | None = None,
        beside: Callable[[RealtimeSession], Awaitable[None]] | None = None,
    ) -> DemoReport:
        async with open_simulated_session(
            simulator,
            turn_detection=ServerVad(),
            transcription=Transcription(model="gpt-4o-transcribe"),
            tools=tools,
        ) as session:
            if beside is not None:
                await beside(session)
            with open_recording(wav) as recording:
                return await hold_demo(
                    session,
                    server="memory",
                    message=message,
                    speech=load_voice("question") if speech is None else speech,
                    interruption=interruption,
                    recording=recording,
                    screen=screen or Unwatched(),
                )

    return hold
