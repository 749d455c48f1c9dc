"""What is measured: names, and which function of which client does what.

Run as `python -m benchmarks.subjects CLIENT FUNCTION URL [JSON]`, in a process of its own; prints one JSON object.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import import_module, metadata
from typing import Any

from .meter import Meter


@dataclass(frozen=True)
class Subject:
    """One way to use a client.

    Attributes:
        name: As the tables say it.
        client: The module in `benchmarks.clients`.
        distribution: What has to be installed.
        does: Kinds of work, each with the function of the module that does it, unless that has the same name.
        arguments: What the functions are given besides.
    """

    name: str
    client: str
    distribution: str
    does: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def functions(self) -> dict[str, str]:
        """For each kind of work the function that does it."""
        pairs = (work.partition("=") for work in self.does.split())
        return {kind: function or kind for kind, _, function in pairs}

    @property
    def installed(self) -> str | None:
        """Its version, if it is here."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return None


SUBJECTS = (
    Subject(
        "trio-realtime",
        "ours",
        "trio-realtime",
        "receive=session_1 read=session_1 uplink sessions down=sessions lag=sessions mixed interrupted "
        "growth idle hour opening steps",
    ),
    Subject("trio-realtime, batch_ms=60", "ours", "trio-realtime", "uplink sessions", {"batch_ms": 60}),
    Subject("trio-realtime, four subscribers", "ours", "trio-realtime", "receive=session_4 read=session_4"),
    Subject("trio-realtime, raw events", "ours", "trio-realtime", "receive=raw_events read=raw_events"),
    Subject("trio-realtime, playback", "ours", "trio-realtime", "receive=playback"),
    Subject("trio-realtime, open_connection", "ours", "trio-realtime", "receive=connection read=connection"),
    Subject(
        "bare trio-websocket + msgspec, 64 KiB", "bare", "trio-websocket", "receive=receive_64k read=receive_64k uplink"
    ),
    Subject("bare trio-websocket + msgspec, 4 KiB", "bare", "trio-websocket", "receive=receive_4k read=receive_4k"),
    Subject("floor: picows + msgspec", "floor", "picows", "receive read=receive"),
    Subject("plain Trio, no websocket", "plain_trio", "trio", "sessions down=sessions idle"),
    Subject(
        "openai-agents",
        "openai_agents",
        "openai-agents",
        "receive read=receive uplink sessions down=sessions lag=sessions mixed interrupted",
    ),
    Subject(
        "openai-python, recv",
        "openai_python",
        "openai",
        "receive=recv read=recv uplink sessions down=sessions lag=sessions mixed",
    ),
    Subject("openai-python, iteration", "openai_python", "openai", "receive=iteration read=iteration"),
    Subject("pydantic-ai", "pydantic_ai", "pydantic-ai-slim", "receive uplink"),
    Subject("LiveKit's plugin", "livekit", "livekit-plugins-openai", "receive"),
)


def main() -> None:
    client, function, url, *rest = sys.argv[1:]
    module = import_module(f"benchmarks.clients.{client}")
    meter = Meter()
    arguments = json.loads(rest[0]) if rest else {}
    if "chunk_ms" in arguments:
        arguments["chunk"] = bytes(range(256)) * (48 * arguments["chunk_ms"] // 256) + bytes(
            48 * arguments.pop("chunk_ms") % 256
        )
    gc.collect()
    gc.freeze()
    work: Callable[..., Any] = getattr(module, function)
    module.run(_named(work, arguments), url, meter)
    measured = asdict(meter)
    del measured["running"]
    print(json.dumps(measured))


def _named(work: Callable[..., Any], arguments: dict[str, Any]) -> Callable[..., Any]:
    async def bound(url: str, meter: Meter) -> None:
        await work(url, meter, **arguments)

    return bound


if __name__ == "__main__":
    main()
