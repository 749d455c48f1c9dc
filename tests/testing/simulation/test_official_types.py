"""What the simulated server sends is what the official SDK's types describe, and they describe nothing else."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from .every_event import every_scenario

openai_realtime = pytest.importorskip("openai.types.realtime")
pydantic = pytest.importorskip("pydantic")


def test_every_event_is_one_of_the_official_types(drive: Any) -> None:
    adapter = pydantic.TypeAdapter(openai_realtime.RealtimeServerEvent)
    members = get_args(get_args(openai_realtime.RealtimeServerEvent)[0])
    seen = set()
    for client in every_scenario(drive):
        for event in client.events:
            parsed = adapter.validate_python(event, strict=True)
            assert parsed.type == event["type"]
            seen.add(parsed.type)
    assert seen == {get_args(member.model_fields["type"].annotation)[0] for member in members}
