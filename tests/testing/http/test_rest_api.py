"""The simulated server's HTTP API without a network: ephemeral keys, calls, and how it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from trio_realtime.testing import Call, Simulator, Switchboard
from trio_realtime.testing.http.handshake import examine_upgrade
from trio_realtime.testing.http.http_server import HttpRequest, HttpResponse
from trio_realtime.testing.http.keys import Keys
from trio_realtime.testing.http.refusal import HttpRefusedError
from trio_realtime.testing.http.rest_api import RestApi
from trio_realtime.testing.simulation.session_settings import DEFAULT_INSTRUCTIONS

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=mid:0\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:1\r\na=sctp-port:5000\r\n"
)
KEY = "sk-simulated"


class Client:
    """Sends requests to an API, at a time of its own."""

    def __init__(self) -> None:
        self.simulator = Simulator()
        self.switchboard = Switchboard(self.simulator)
        self.api = RestApi(self.switchboard, Keys(KEY))
        self.now = 1000.0

    def request(
        self,
        path: str,
        body: bytes = b"",
        content_type: str | None = None,
        *,
        method: str = "POST",
        key: str | None = KEY,
        prefix: str = "/v1",
    ) -> HttpResponse:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        if content_type is not None:
            headers["content-type"] = content_type
        request = HttpRequest(method, f"{prefix}/realtime/{path}", headers, body)
        return self.api.answer(request, now=self.now, unix_time=1_800_000_000.5)

    def post(self, path: str, body: Any, **options: Any) -> HttpResponse:
        return self.request(path, json.dumps(body).encode(), "application/json; charset=utf-8", **options)

    def secret(self, path: str = "client_secrets", **body: Any) -> dict[str, Any]:
        response = self.post(path, body)
        assert response.status == 200, response
        answer: dict[str, Any] = json.loads(response.body)
        return answer

    def call(self, body: bytes = OFFER.encode(), content_type: str = "application/sdp", **options: Any) -> Call:
        response = self.request("calls", body, content_type, **options)
        assert response.status == 201, response
        return self.switchboard.calls[-1]

    def session(self) -> dict[str, Any]:
        """Look at the configuration of the last session."""
        return self.simulator.connections[-1].session


def error_of(response: HttpResponse) -> dict[str, Any]:
    """Check that a response is an error as OpenAI's, and return what it says."""
    assert ("content-type", "application/json") in response.headers
    body = json.loads(response.body)
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    return error


def form(**fields: str) -> tuple[bytes, str]:
    """Make a multipart form as browsers and the official client do."""
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: text/plain\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return f"{parts}--x--\r\n".encode(), 'multipart/form-data; boundary="x"'


# --- ephemeral keys ---------------------------------------------------------------------------------------------------


def test_an_ephemeral_key_comes_with_the_session_that_it_opens() -> None:
    answer = Client().secret(
        expires_after={"anchor": "created_at", "seconds": 7200},
        session={"type": "realtime", "model": "gpt-realtime", "audio": {"output": {"voice": "cedar"}}},
    )
    assert set(answer) == {"value", "expires_at", "session"}
    assert answer["value"].startswith("ek_")
    assert answer["expires_at"] == 1_800_007_200
    session = answer["session"]
    assert (session["type"], session["object"], session["expires_at"]) == ("realtime", "realtime.session", 0)
    assert (session["model"], session["audio"]["output"]["voice"]) == ("gpt-realtime", "cedar")
    assert session["instructions"] == DEFAULT_INSTRUCTIONS
    assert session["id"].startswith("sess_")


def test_it_lives_ten_minutes_unless_asked_otherwise_and_needs_no_session() -> None:
    answer = Client().secret()
    assert answer["expires_at"] == 1_800_000_600
    assert answer["session"]["model"] == "gpt-realtime-2.1"


def test_ephemeral_keys_of_other_kinds() -> None:
    client = Client()
    session = {"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
    transcription = client.secret(session=session)["session"]
    assert (transcription["object"], transcription["expires_at"]) == ("realtime.transcription_session", 0)
    assert transcription["audio"]["input"]["transcription"]["model"] == "whisper-1"
    session = {"model": "gpt-realtime-translate", "audio": {"output": {"language": "fr"}}}
    translation = client.secret("translations/client_secrets", session=session)["session"]
    assert (translation["type"], translation["expires_at"]) == ("translation", 0)
    assert translation["audio"]["output"]["language"] == "fr"


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("client_secrets", {"expires_after": {"seconds": 9}}, "invalid_value", "expires_after.seconds"),
        ("client_secrets", {"expires_after": {"seconds": 7201}}, "invalid_value", "expires_after.seconds"),
        ("client_secrets", {"expires_after": {"seconds": "60"}}, "invalid_type", "expires_after.seconds"),
        ("client_secrets", {"expires_after": {"anchor": "now"}}, "invalid_value", "expires_after.anchor"),
        ("client_secrets", {"session": {}}, "missing_required_parameter", "session.type"),
        ("client_secrets", {"session": {"type": "translation"}}, "invalid_value", "session.type"),
        ("client_secrets", {"session": {"type": "realtime", "voice": "v"}}, "unknown_parameter", "session.voice"),
        ("client_secrets", {"ttl": 1}, "unknown_parameter", "ttl"),
        ("translations/client_secrets", {}, "missing_required_parameter", "session"),
        ("translations/client_secrets", {"session": {}}, "missing_required_parameter", "session.model"),
    ],
)
def test_what_is_wrong_in_a_request_is_named(path: str, body: Any, code: str, param: str) -> None:
    response = Client().post(path, body)
    error = error_of(response)
    assert (response.status, error["code"], error["param"]) == (400, code, param)


def upgrade(client: Client, key: str, target: str) -> dict[str, Any]:
    """Ask for a websocket with a key, and return what its session begins with."""
    headers = {"authorization": f"Bearer {key}"}
    request = HttpRequest("GET", f"/v1/realtime{target}", headers)
    return examine_upgrade(request, client.api.keys, client.switchboard, now=client.now).configuration


def test_it_opens_sessions_until_it_expires_and_configures_them() -> None:
    client = Client()
    session = {"type": "realtime", "model": "gpt-realtime", "instructions": "Hm."}
    key = client.secret(expires_after={"seconds": 10}, session=session)["value"]
    for _ in range(2):
        assert upgrade(client, key, "?model=gpt-realtime-2.1") == {"type": "realtime", "instructions": "Hm."}
    client.now += 9.9
    upgrade(client, key, "?model=m")
    client.now += 0.2
    with pytest.raises(HttpRefusedError) as refused:
        upgrade(client, key, "?model=m")
    assert refused.value.status == 401
    assert key not in refused.value.body.decode()


@pytest.mark.parametrize(
    ("path", "session", "target"),
    [
        ("client_secrets", {"type": "realtime"}, "?intent=transcription"),
        ("client_secrets", {"type": "realtime"}, "/translations?model=m"),
        ("client_secrets", {"type": "transcription"}, "?model=m"),
        ("translations/client_secrets", {"model": "m"}, "?model=m"),
    ],
)
def test_it_opens_no_session_of_another_type(path: str, session: Any, target: str) -> None:
    client = Client()
    key = client.secret(path, session=session)["value"]
    with pytest.raises(HttpRefusedError) as refused:
        upgrade(client, key, target)
    assert refused.value.status == 400
    own = "/translations?model=m" if "model" in session else "?intent=transcription"
    if session != {"type": "realtime"}:
        upgrade(client, key, own)


def test_it_may_join_a_call_whose_session_it_does_not_change() -> None:
    client = Client()
    key = client.secret(session={"type": "realtime", "instructions": "Hm."})["value"]
    assert upgrade(client, key, f"?call_id={client.call().id}") == {}


# --- calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_an_offer_begins_a_call_and_is_answered(prefix: str) -> None:
    client = Client()
    response = client.request("calls", OFFER.encode(), "application/sdp", prefix=prefix)
    (call,) = client.switchboard.calls
    assert response.status == 201
    assert dict(response.headers)["location"] == f"{prefix}/realtime/calls/{call.id}"
    assert (call.state, call.offer) == ("active", OFFER)
    lines = response.body.decode().split("\r\n")
    assert lines[0] == "v=0"
    assert [line for line in lines if line.startswith(("m=", "a=mid:", "a=group:"))] == [
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 0",
        "a=mid:0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=mid:1",
    ]


def test_a_call_is_configured_by_its_form() -> None:
    client = Client()
    session = {"type": "realtime", "model": "gpt-realtime", "instructions": "Grüß Gott."}
    call = client.call(*form(sdp=OFFER, session=json.dumps(session)))
    assert call.offer == OFFER
    assert (client.session()["model"], client.session()["instructions"]) == ("gpt-realtime", "Grüß Gott.")
    client.call(*form(sdp=OFFER))
    assert client.session()["model"] == "gpt-realtime-2.1"


def test_a_call_is_configured_by_its_ephemeral_key() -> None:
    client = Client()
    key = client.secret(session={"type": "realtime", "model": "gpt-realtime", "instructions": "Hm."})["value"]
    client.call(key=key)
    assert (client.session()["model"], client.session()["instructions"]) == ("gpt-realtime", "Hm.")


def test_a_call_has_the_model_of_its_address() -> None:
    client = Client()
    response = client.request("calls?model=gpt-realtime-mini", OFFER.encode(), "application/sdp")
    assert response.status == 201
    assert client.session()["model"] == "gpt-realtime-mini"


@pytest.mark.parametrize(
    ("body", "content_type", "code", "param"),
    [
        (b"", "application/sdp", "invalid_offer", None),
        (b"v=0\r\nm=video 9 RTP/AVP 96\r\n", "application/sdp", "invalid_offer", None),
        (b"{}", "application/json", "unsupported_content_type", None),
        (OFFER.encode(), None, "unsupported_content_type", None),
        (b"no form", "multipart/form-data; boundary=x", None, None),
        (b"no form", "multipart/form-data", None, None),
        (b"--x\r\n\r\nnameless\r\n--x--\r\n", "multipart/form-data; boundary=x", None, None),
        (*form(session='{"type": "realtime"}'), "missing_required_parameter", "sdp"),
        (*form(sdp=OFFER, tools="[]"), "unknown_parameter", "tools"),
        (*form(sdp=OFFER, session="[]"), None, None),
        (*form(sdp=OFFER, session="{}"), "missing_required_parameter", "session.type"),
        (*form(sdp=OFFER, session='{"type": "transcription"}'), "invalid_value", "session.type"),
        (*form(sdp=OFFER, session='{"type": "realtime", "x": 1}'), "unknown_parameter", "session.x"),
    ],
)
def test_what_is_no_call_begins_none(body: bytes, content_type: str, code: str | None, param: str | None) -> None:
    client = Client()
    response = client.request("calls", body, content_type)
    error = error_of(response)
    assert (response.status, error["code"], error["param"]) == (400, code, param)
    assert client.switchboard.calls == []
    assert client.simulator.connections == []


@pytest.mark.parametrize(
    ("path", "session"),
    [
        ("client_secrets", {"type": "transcription"}),
        ("translations/client_secrets", {"model": "m"}),
    ],
)
def test_an_ephemeral_key_of_another_kind_begins_no_call(path: str, session: Any) -> None:
    client = Client()
    key = client.secret(path, session=session)["value"]
    response = client.request("calls", OFFER.encode(), "application/sdp", key=key)
    assert (response.status, error_of(response)["param"]) == (400, "session.type")


def test_a_call_that_rings_is_accepted_transferred_and_ended() -> None:
    client = Client()
    call = client.switchboard.ring()
    accept = {"type": "realtime", "instructions": "Say hello.", "audio": {"input": {"turn_detection": None}}}
    assert client.post(f"calls/{call.id}/accept", accept) == HttpResponse(200)
    assert client.session()["instructions"] == "Say hello."
    assert client.post(f"calls/{call.id}/refer", {"target_uri": "tel:+14155550123"}) == HttpResponse(200)
    assert call.referred_to == "tel:+14155550123"
    assert client.request(f"calls/{call.id}/hangup") == HttpResponse(200)
    assert call.state == "over"


@pytest.mark.parametrize(("body", "status"), [(b"", 603), (b"{}", 603), (b'{"status_code": 486}', 486)])
def test_a_call_that_rings_is_rejected(body: bytes, status: int) -> None:
    client = Client()
    call = client.switchboard.ring()
    assert client.request(f"calls/{call.id}/reject", body, "application/json" if body else None).status == 200
    assert (call.state, call.rejected_with) == ("over", status)


@pytest.mark.parametrize(
    ("action", "body", "code", "param"),
    [
        ("accept", {}, "missing_required_parameter", "type"),
        ("accept", {"type": "transcription"}, "invalid_value", "type"),
        ("accept", {"type": "realtime", "x": 1}, "unknown_parameter", "x"),
        ("reject", {"status_code": 200}, "invalid_value", "status_code"),
        ("refer", {}, "missing_required_parameter", "target_uri"),
        *(
            (
                "accept",
                {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", name: value}}}},
                "unknown_parameter",
                f"audio.input.turn_detection.{name}",
            )
            for name, value in {"threshold": 0.5, "prefix_padding_ms": 1, "silence_duration_ms": 1}.items()
        ),
    ],
)
def test_what_a_call_does_not_take_leaves_it_as_it_was(action: str, body: Any, code: str, param: str) -> None:
    client = Client()
    call = client.switchboard.ring()
    response = client.post(f"calls/{call.id}/{action}", body)
    error = error_of(response)
    assert (response.status, error["code"], error["param"]) == (400, code, param)
    assert (call.state, call.referred_to, call.rejected_with) == ("ringing", None, None)


@pytest.mark.parametrize("action", ["accept", "reject"])
def test_a_call_is_answered_once(action: str) -> None:
    client = Client()
    call = client.call()
    assert client.post(f"calls/{call.id}/{action}", {"type": "realtime"}).status == 400
    assert call.state == "active"


@pytest.mark.parametrize("action", ["accept", "reject", "refer", "hangup"])
def test_a_call_that_is_over_or_was_never_there_is_not_found(action: str) -> None:
    client = Client()
    call = client.call()
    call.end()
    for call_id in (call.id, "rtc_unknown"):
        response = client.post(f"calls/{call_id}/{action}", {})
        assert (response.status, error_of(response)["code"]) == (404, "call_id_not_found")
        with pytest.raises(HttpRefusedError) as refused:
            upgrade(client, KEY, f"?call_id={call_id}")
        assert refused.value.status == 404


# --- every request ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["client_secrets", "translations/client_secrets", "calls", "calls/rtc_1/hangup"])
def test_no_request_is_answered_without_a_key(path: str) -> None:
    client = Client()
    for key, code in ((None, None), ("sk-wrong", "invalid_api_key")):
        response = client.post(path, {}, key=key)
        assert (response.status, error_of(response)["code"]) == (401, code)
        assert b"sk-wrong" not in response.body


@pytest.mark.parametrize("path", ["client_secrets", "translations/client_secrets", "calls/rtc_1/hangup"])
def test_an_ephemeral_key_makes_no_keys_and_controls_no_calls(path: str) -> None:
    client = Client()
    response = client.post(path, {}, key=client.secret()["value"])
    assert response.status == 403
    error_of(response)


@pytest.mark.parametrize(
    ("method", "prefix", "path", "status"),
    [
        ("GET", "/v1", "client_secrets", 405),
        ("DELETE", "/openai/v1", "calls/rtc_1/hangup", 405),
        ("POST", "/v2", "client_secrets", 404),
        ("POST", "/v1", "sessions", 404),  # of the beta
        ("POST", "/v1", "calls/rtc_1/transfer", 404),
        ("POST", "/v1", "calls//hangup", 404),
        ("GET", "/v1", "", 404),
    ],
)
def test_other_addresses_and_methods_are_named(method: str, prefix: str, path: str, status: int) -> None:
    response = Client().request(path, method=method, prefix=prefix)
    assert response.status == status
    assert f"{prefix}/realtime/{path}" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"{", "application/json", None),
        (b"[]", "application/json", None),
        (b'{"a": NaN}', "application/json", None),
        (b"a=b", "application/x-www-form-urlencoded", "unsupported_content_type"),
        (b"{}", None, "unsupported_content_type"),
    ],
)
def test_a_body_that_is_no_json_is_refused(body: bytes, content_type: str | None, code: str | None) -> None:
    response = Client().request("client_secrets", body, content_type)
    assert (response.status, error_of(response)["code"]) == (400, code)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 700)
    | st.sampled_from(["realtime", "created_at", "tel:+1", "audio", OFFER]),
    lambda inner: st.dictionaries(
        st.sampled_from(["session", "type", "model", "audio", "output", "expires_after", "seconds", "status_code"])
        | st.text(max_size=3),
        inner,
        max_size=4,
    ),
)
PATHS = ["client_secrets", "translations/client_secrets", "calls", "calls?model=m", "calls/%F0rtc_1/accept"]


@given(
    path=st.sampled_from(
        [*PATHS, *(f"calls/rtc_Sim0000000000000001/{action}" for action in ("accept", "reject", "refer"))]
    ),
    body=JSON.map(json.dumps).map(str.encode) | st.binary(max_size=60) | st.just(form(sdp=OFFER, session="{}")[0]),
    content_type=st.sampled_from(["application/json", "application/sdp", "multipart/form-data; boundary=x"])
    | st.text(st.characters(codec="latin-1"), max_size=30).map("multipart/form-data; boundary=x".__add__),
)
def test_whatever_is_asked_for_there_is_an_answer(path: str, body: bytes, content_type: str) -> None:
    client = Client()
    client.switchboard.ring()
    response = client.request(path, body, content_type)
    assert response.status in {200, 201} or 400 <= response.status < 405
    if response.status >= 400:
        error_of(response)
