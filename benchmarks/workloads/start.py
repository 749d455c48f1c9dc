"""How long it takes to begin: to import, and from `open_session` to the first command that was answered."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from benchmarks.harness import Row, run, table
from benchmarks.load import serving
from benchmarks.subjects import SUBJECTS

_IMPORTS = {
    "import trio, trio_websocket, msgspec": "trio, trio_websocket, msgspec",
    "import trio_realtime": "trio_realtime",
    "import agents.realtime": "agents.realtime",
    "import openai.resources.realtime": "openai.resources.realtime",
    "import pydantic_ai.realtime.openai": "pydantic_ai.realtime.openai",
}
_MEASURE = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"


def measure(rounds: int, only: str | None) -> list[Row]:
    """See `harness.measure`."""
    imports: dict[str, list[float]] = {}
    opening: dict[str, list[float]] = {}
    with serving() as url:
        for _ in range(-1, rounds * 3):  # the first is not counted: it may compile
            for name, modules in _IMPORTS.items():
                seconds = _import(modules)
                if seconds is not None and _ >= 0:
                    imports.setdefault(name, []).append(seconds * 1000)
        for _ in range(rounds):
            for subject in SUBJECTS:
                if "opening" in subject.functions and subject.installed:
                    meter = run(subject, "opening", f"{url}?model=idle", {"times": 20})
                    opening.setdefault(subject.name, []).append(meter.wall_s / 20 * 1000)
    return [
        *table("start", "import", "CPU ms", imports),
        *table("start", "open_session to its first answer", "ms", opening),
    ]


def _import(modules: str) -> float | None:
    # Compiled modules are kept, whatever the environment says, as they are where a program is installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", _MEASURE.format(modules)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
    return json.loads(done.stdout) if done.returncode == 0 else None
