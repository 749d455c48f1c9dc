"""The official client, over HTTP on loopback, takes the simulated server for the real one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from trio_realtime import HandshakeRejected, OpenAI, open_session
from trio_realtime.testing import Simulator, SimulatorServer, says, serve_simulator

openai = pytest.importorskip("openai")

OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"


class Client:
    """The official client, each call in a thread."""

    def __init__(self, server: SimulatorServer[Simulator], api_key: str | None = None) -> None:
        self.official = openai.OpenAI(
            api_key=api_key or server.api_key,
            base_url=server.http_url,
            organization="org-1",
            project="proj_1",
            max_retries=0,
            timeout=10,
        )

    async def run(self, function: Callable[[Any], Any]) -> Any:
        """Call something of `client.realtime`."""
        return await trio.to_thread.run_sync(function, self.official.realtime)


@asynccontextmanager
async def served(simulator: Simulator) -> AsyncGenerator[tuple[SimulatorServer[Simulator], Client]]:
    with trio.fail_after(30):
        async with serve_simulator(simulator) as server:
            client = Client(server)
            with client.official:
                yield server, client


async def test_an_ephemeral_key_opens_a_session_of_ours() -> None:
    session = {"type": "realtime", "model": "gpt-realtime", "instructions": "Rhyme.", "tools": []}
    expires_after = {"anchor": "created_at", "seconds": 60}
    async with served(Simulator([says("Well.")], pace=0)) as (server, client):
        secret = await client.run(
            lambda realtime: realtime.client_secrets.create(session=session, expires_after=expires_after)
        )
        type(secret).model_validate(secret.model_dump(), strict=True)
        assert (secret.session.model, secret.session.instructions) == ("gpt-realtime", "Rhyme.")
        assert secret.session.expires_at == 0
        async with (
            open_session(endpoint=OpenAI(secret.value, base_url=server.url)) as opened,
            opened.respond("How are you?") as response,
        ):
            assert await response.text() == "Well."
        assert server.simulator.connections[0].session["instructions"] == "Rhyme."


async def test_the_other_kinds_of_ephemeral_key() -> None:
    async with served(Simulator()) as (_, client):
        secret = await client.run(
            lambda realtime: realtime.client_secrets.create(
                session={"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
            )
        )
        type(secret).model_validate(secret.model_dump(), strict=True)
        assert secret.session.type == "transcription"
        secret = await client.run(
            lambda realtime: realtime.translations.client_secrets.create(
                session={"model": "gpt-realtime-translate", "audio": {"output": {"language": "fr"}}}
            )
        )
        type(secret).model_validate(secret.model_dump(), strict=True)
        assert secret.session.audio.output.language == "fr"


@pytest.mark.parametrize("session", [None, {"type": "realtime", "instructions": "Grüß Gott."}])
async def test_a_call_is_made_and_our_session_joins_it(session: Any) -> None:
    options = {} if session is None else {"session": session}
    async with served(Simulator([says("Hello.")], pace=0)) as (server, client):
        answer = await client.run(lambda realtime: realtime.calls.create(sdp=OFFER, **options))
        assert answer.text.startswith("v=0\r\n")
        call_id = answer.response.headers["location"].rpartition("/")[2]
        (call,) = server.switchboard.calls
        assert (call.id, call.offer) == (call_id, OFFER)
        endpoint = OpenAI(server.api_key, base_url=server.url)
        async with open_session(endpoint=endpoint, call_id=call_id) as opened, opened.respond("Hi.") as response:
            assert await response.text() == "Hello."
        if session is not None:
            assert server.simulator.connections[0].session["instructions"] == session["instructions"]
        await client.run(lambda realtime: realtime.calls.hangup(call_id))
        assert call.state == "over"
        with pytest.raises(HandshakeRejected) as rejected:
            async with open_session(endpoint=endpoint, call_id=call_id):
                pass
        assert rejected.value.status == 404


async def test_a_call_that_rings_is_accepted_transferred_and_rejected() -> None:
    async with served(Simulator()) as (server, client):
        first, second = server.switchboard.ring(), server.switchboard.ring()
        await client.run(lambda realtime: realtime.calls.accept(first.id, type="realtime", instructions="Hm."))
        await client.run(lambda realtime: realtime.calls.refer(first.id, target_uri="sip:a@b"))
        await client.run(lambda realtime: realtime.calls.reject(second.id, status_code=486))
        assert server.simulator.connections[0].session["instructions"] == "Hm."
        assert (first.state, first.referred_to) == ("active", "sip:a@b")
        assert (second.state, second.rejected_with) == ("over", 486)


@pytest.mark.parametrize(
    ("error", "code", "param", "function"),
    [
        (
            "BadRequestError",
            "invalid_value",
            "expires_after.seconds",
            lambda realtime: realtime.client_secrets.create(expires_after={"anchor": "created_at", "seconds": 1}),
        ),
        ("NotFoundError", "call_id_not_found", None, lambda realtime: realtime.calls.hangup("rtc_unknown")),
        ("BadRequestError", "invalid_offer", None, lambda realtime: realtime.calls.create(sdp="?")),
    ],
)
async def test_an_error_is_read_as_openais(
    error: str, code: str, param: str | None, function: Callable[[Any], Any]
) -> None:
    async with served(Simulator()) as (_, client):
        with pytest.raises(getattr(openai, error)) as raised:
            await client.run(function)
        assert (raised.value.type, raised.value.code, raised.value.param) == ("invalid_request_error", code, param)
        assert raised.value.request_id.startswith("req_")


async def test_a_wrong_key_and_a_key_without_rights() -> None:
    async with served(Simulator()) as (server, client):
        secret = await client.run(lambda realtime: realtime.client_secrets.create())
        for key, error in (("sk-wrong", openai.AuthenticationError), (secret.value, openai.PermissionDeniedError)):
            other = Client(server, key)
            with other.official, pytest.raises(error):
                await other.run(lambda realtime: realtime.client_secrets.create())
