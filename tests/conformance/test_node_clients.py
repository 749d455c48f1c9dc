"""The official clients for Node hold conversations with the simulated server over a socket.

They are there after `npm install --prefix tests/conformance/node`.
"""

import json
import os
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from tests.conformance.peers import MODEL, SPOKEN_QUESTION, TIMEOUT_S, WEATHER
from trio_realtime.testing import ScriptedTurn, Simulator, calls, converses, says, serve_simulator

SCRIPTS = Path(__file__).parent / "node"

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node"),
    pytest.mark.skipif(not (SCRIPTS / "node_modules").is_dir(), reason="the clients for Node are not installed"),
]

ANSWER = SPOKEN_QUESTION[:96_000]
SCRIPT: list[ScriptedTurn] = [
    says("Hello to you."),
    says("Sunny.", audio=ANSWER),
    calls("get_weather", {"city": "Paris"}),
    converses,
    says("Once upon a time...", audio=600.0),
]


async def run_script(name: str, url: str, api_key: str, folder: Path, **environment: str) -> Any:
    """Run a script of ours to its end and return what it saw."""
    recording = folder / "question.pcm"
    recording.write_bytes(SPOKEN_QUESTION)
    command = ["node", str(SCRIPTS / name), url, api_key, MODEL, str(recording)]
    with trio.fail_after(TIMEOUT_S):
        process = await trio.run_process(command, capture_stdout=True, env={**os.environ, **environment})
    return json.loads(process.stdout)


async def test_the_official_client(tmp_path: Path) -> None:
    # It connects to nothing but wss://.
    authority = trustme.CA()
    authorities = str(tmp_path / "authority.pem")
    authority.cert_pem.write_to_path(authorities)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with serve_simulator(Simulator(SCRIPT, pace=0.01), ssl_context=context) as server:
        url = server.url.replace("wss", "https", 1)
        seen = await run_script("openai_client.mjs", url, server.api_key, tmp_path, NODE_EXTRA_CA_CERTS=authorities)
        assert seen == {
            "written": "Hello to you.",
            "heard": len(ANSWER),
            "spoken": "Sunny.",
            "called": {"name": "get_weather", "arguments": {"city": "Paris"}},
            "followed": f"The function says: {WEATHER}",
            "cancelled": {"type": "cancelled", "reason": "client_cancelled"},
        }


async def test_a_session_of_the_agents_sdk(tmp_path: Path) -> None:
    async with serve_simulator(Simulator(SCRIPT, pace=0.01)) as server:
        url = f"{server.url}/realtime?model={MODEL}"
        seen = await run_script("agents_session.mjs", url, server.api_key, tmp_path)
        assert seen == {
            "written": "Hello to you.",
            "heard": len(ANSWER),
            "spoken": "Sunny.",
            "followed": f"The function says: {WEATHER}",
            "asked": ["Paris"],
            "cancelled": {"type": "cancelled", "reason": "client_cancelled"},
        }
        interrupting = {"response.cancel", "conversation.item.truncate"}
        assert interrupting <= {event["type"] for event in server.simulator.connections[0].received}
