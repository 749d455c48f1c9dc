"""Endpoints: addresses, headers, credentials, and that nothing shows the credentials."""

import pickle
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st

from trio_realtime.endpoint import Azure, ConnectRequest, Endpoint, OpenAI, Relay
from trio_realtime.errors import ConfigError, ConnectError

KEY = "sk-proj-Q7w8e9r0T1y2u3i4o5p6"
MODEL = {"model": "gpt-realtime-2.1"}


@pytest.fixture(autouse=True)
def _no_keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("AZURE_OPENAI_API_KEY", raising=False)


async def request(endpoint: Endpoint, **arguments: Any) -> tuple[str, dict[str, str]]:
    made = await endpoint.connect_request(**({"query": MODEL} | arguments))
    return made.url, dict(made.headers)


def texts_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


# --- addresses ---------------------------------------------------------------------------------------------------


async def test_openai_connects_to_its_service_with_a_bearer_key() -> None:
    assert await request(OpenAI(KEY)) == (
        "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1",
        {"Authorization": f"Bearer {KEY}"},
    )


async def test_openai_sends_organization_project_and_safety_identifier() -> None:
    _, headers = await request(OpenAI(KEY, organization="org-1", project="proj_1", safety_identifier="user-1"))
    assert headers == {
        "Authorization": f"Bearer {KEY}",
        "OpenAI-Organization": "org-1",
        "OpenAI-Project": "proj_1",
        "OpenAI-Safety-Identifier": "user-1",
    }


@pytest.mark.parametrize("ending", ["", "/", "/realtime", "/realtime/"])
@pytest.mark.parametrize("scheme", ["https", "wss", "HTTPS"])
async def test_a_base_url_may_be_given_in_any_of_its_forms(scheme: str, ending: str) -> None:
    url, _ = await request(OpenAI(KEY, base_url=f"{scheme}://llm.example:8443/api/v1{ending}"))
    assert url == "wss://llm.example:8443/api/v1/realtime?model=gpt-realtime-2.1"


async def test_an_ephemeral_key_is_a_key() -> None:
    _, headers = await request(OpenAI("ek_68af296e8e408191a1120ab6383263c2"))
    assert headers == {"Authorization": "Bearer ek_68af296e8e408191a1120ab6383263c2"}


@pytest.mark.parametrize("base", [{"resource": "speech-1"}, {"url": "https://speech-1.openai.azure.com"}])
@pytest.mark.parametrize("ending", ["", "/", "/openai", "/openai/v1/", "/openai/v1/realtime"])
async def test_azure_connects_in_its_ga_form(base: dict[str, Any], ending: str) -> None:
    if "url" in base:
        base = {"url": base["url"] + ending}
    url, headers = await request(Azure(**base, deployment="my realtime", api_key=KEY))
    assert url == "wss://speech-1.openai.azure.com/openai/v1/realtime?model=my+realtime"
    assert headers == {"api-key": KEY}


async def test_azure_takes_the_model_for_the_deployment_when_none_is_named() -> None:
    url, _ = await request(Azure(resource="speech", api_key=KEY))
    assert url == "wss://speech.openai.azure.com/openai/v1/realtime?model=gpt-realtime-2.1"


@pytest.mark.parametrize("query", [{"intent": "transcription"}, {"call_id": "rtc_1"}])
async def test_a_query_without_a_model_stays_without_one(query: dict[str, str]) -> None:
    for endpoint in (OpenAI(KEY), Azure(resource="speech", deployment="d", api_key=KEY), Relay("wss://relay.example")):
        url, _ = await request(endpoint, query=query)
        assert parse_qs(urlsplit(url).query) == {name: [value] for name, value in query.items()}


async def test_a_relay_needs_no_key_and_has_its_own_headers() -> None:
    url, headers = await request(Relay("wss://relay.example/talk", headers={"X-Token": "abc"}))
    assert (url, headers) == ("wss://relay.example/talk?model=gpt-realtime-2.1", {"X-Token": "abc"})


async def test_an_address_without_a_path_gets_one() -> None:
    assert (await request(Endpoint("wss://relay.example")))[0] == "wss://relay.example/?model=gpt-realtime-2.1"


async def test_what_the_address_already_asks_for_wins() -> None:
    url, _ = await request(Endpoint("wss://relay.example/talk?room=%ff&model=mine&room=b&empty="))
    assert url == "wss://relay.example/talk?room=%ff&model=mine&room=b&empty="


@given(query=st.dictionaries(st.sampled_from(["model", "call_id", "intent"]), st.text(min_size=1), min_size=1))
def test_query_values_arrive_as_they_were_given(query: dict[str, str]) -> None:
    url, _ = trio.run(partial(request, OpenAI(KEY), query=query), clock=trio.testing.MockClock(autojump_threshold=0))
    assert url.isascii()
    assert parse_qs(urlsplit(url).query, strict_parsing=True) == {name: [value] for name, value in query.items()}


async def test_a_path_below_realtime_goes_before_the_query() -> None:
    url, _ = await request(Endpoint("wss://host.example/v1/realtime/?a=b"), path="realtime/translations")
    assert url == "wss://host.example/v1/realtime/translations?a=b&model=gpt-realtime-2.1"


@pytest.mark.parametrize("path", ["", "live", "realtimes", "realtime/", "realtime/../x", "realtime/.", "realtime/a?b"])
async def test_a_path_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="path"):
        await request(OpenAI(KEY), path=path)


async def test_half_a_character_in_the_query_is_refused() -> None:
    with pytest.raises(ConfigError, match="surrogate"):
        await request(OpenAI(KEY), query={"model": "\ud800"})


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        (OpenAI(KEY), "https://api.openai.com/v1/realtime/client_secrets"),
        (
            Azure(resource="speech", api_key=KEY),
            "https://speech.openai.azure.com/openai/v1/realtime/client_secrets",
        ),
        (Endpoint("ws://localhost:80/v1/realtime"), "http://localhost:80/v1/realtime/client_secrets"),
    ],
)
async def test_rest_requests_go_to_the_same_place_over_http(endpoint: Endpoint, address: str) -> None:
    made = await endpoint.rest_request("realtime/client_secrets")
    assert made.url == address
    assert made.headers == (await endpoint.connect_request(query=MODEL)).headers


async def test_rest_requests_may_have_a_query() -> None:
    made = await OpenAI(KEY).rest_request("realtime/calls", query={"webrtcfilter": "on"})
    assert made.url == "https://api.openai.com/v1/realtime/calls?webrtcfilter=on"


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.1.2.3", "[::1]:9", "[0:0:0:0:0:0:0:1]"]
)
@pytest.mark.parametrize("scheme", ["ws", "http"])
async def test_an_unencrypted_connection_may_go_to_this_host(scheme: str, host: str) -> None:
    url, _ = await request(Endpoint(f"{scheme}://{host}/x"))
    assert url.startswith("ws://")


@pytest.mark.parametrize(
    "host", ["relay.example", "10.0.0.1", "0.0.0.0", "[::]", "localhost.example", "127.0.0.1.example", "[fe80::1]"]
)
@pytest.mark.parametrize("make", [Endpoint, Relay, lambda url, **more: OpenAI(KEY, base_url=url, **more)])
async def test_an_unencrypted_connection_elsewhere_needs_to_be_allowed_by_name(
    make: Callable[..., Endpoint], host: str
) -> None:
    with pytest.raises(ConfigError, match="allow_insecure"):
        make(f"ws://{host}/v1")
    with pytest.raises(ConfigError, match="allow_insecure"):
        make(f"http://{host}/v1")
    assert (await request(make(f"ws://{host}/v1", allow_insecure=True)))[0].startswith(f"ws://{host}/v1")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relay.example",
        "//relay.example",
        "ftp://relay.example",
        "wss://",
        "wss:///path",
        "wss://:443/",
        "wss://relay.example:port/",
        "wss://relay.example:99999/",
        "wss://[::1/",
        "wss://relay.example/a b",
        "wss://relay.example/\r\nX: y",
        "wss://relay.example/\x00",
        "wss://relay.example/\x7f",
        "wss://rélay.example/",
        "wss://user:secret@relay.example/",
        "ftp://user:secret@relay.example/",
        "wss://user:secret@relay.example:port/",
        "ws://user:secret@relay.example/",
        "wss://relay.example/#part",
        None,
        b"wss://relay.example",
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        Relay,
        lambda url: OpenAI(KEY, base_url=url),
        lambda url: Azure(url="" if url is None else url, api_key=KEY),
    ],
)
def test_what_is_no_address_is_refused(make: Callable[[Any], Endpoint], url: Any) -> None:
    with pytest.raises(ConfigError, match="address") as caught:
        make(url)
    assert "secret" not in texts_of(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "a\x00", "é", 1, None])
def test_a_header_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="header's name"):
        Endpoint("wss://relay.example", headers={name: "value"})


@pytest.mark.parametrize("value", ["", " a", "a ", "a\r\nX-Evil: b", "a\nb", "a\rb", "a\x00b", "é", 1, None, b"a"])
def test_a_header_value_that_could_break_out_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="X-Mine"):
        Endpoint("wss://relay.example", headers={"X-Mine": value})
    if value is not None:
        with pytest.raises(ConfigError, match="OpenAI-Project"):
            OpenAI(KEY, project=value)


@pytest.mark.parametrize("name", ["Host", "connection", "UPGRADE", "Sec-WebSocket-Key", "Content-Length"])
def test_headers_of_the_handshake_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="handshake"):
        Endpoint("wss://relay.example", headers={name: "x"})


def test_a_header_in_two_spellings_is_refused() -> None:
    with pytest.raises(ConfigError, match="twice"):
        Endpoint("wss://relay.example", headers={"authorization": "a", "Authorization": "b"})


@pytest.mark.parametrize("headers", [[("a", "b")], "a: b"])
def test_headers_that_are_no_mapping_are_refused(headers: Any) -> None:
    with pytest.raises(ConfigError, match="mapping"):
        Endpoint("wss://relay.example", headers=headers)


BAD_KEYS = ["", " ", f" {KEY}", f"{KEY}\n", f"{KEY}\r\nX: y", f"{KEY} {KEY}", f"{KEY}\x00", f"{KEY}é", 17, KEY.encode()]


@pytest.mark.parametrize("key", BAD_KEYS)
@pytest.mark.parametrize("make", [OpenAI, lambda key: Azure(resource="speech", api_key=key)])
def test_what_is_no_key_is_refused_without_being_shown(make: Callable[[Any], Endpoint], key: Any) -> None:
    with pytest.raises(ConfigError, match="api_key") as caught:
        make(key)
    assert KEY not in texts_of(caught.value)


@pytest.mark.parametrize(
    ("make", "variable"),
    [(OpenAI, "OPENAI_API_KEY"), (lambda: Azure(resource="speech"), "AZURE_OPENAI_API_KEY")],
)
async def test_a_missing_key_names_the_variable_that_would_give_it(
    make: Callable[[], Endpoint], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=rf"\b{variable}\b.*api_key="):
        make()
    monkeypatch.setenv(variable, "")
    with pytest.raises(ConfigError, match=rf"\b{variable}\b"):
        make()
    monkeypatch.setenv(variable, KEY + "\n")
    with pytest.raises(ConfigError, match=rf"\b{variable}\b.*whitespace") as caught:
        make()
    assert KEY not in texts_of(caught.value)
    monkeypatch.setenv(variable, KEY)
    _, headers = await request(make())
    assert KEY in next(iter(headers.values()))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"api_key": KEY}, "neither"),
        ({"api_key": KEY, "resource": "a", "url": "https://a.example"}, "both"),
        ({"api_key": KEY, "resource": "a", "token_provider": lambda: "t"}, "both"),
        ({"api_key": KEY, "resource": "a.openai.azure.com"}, "resource must be"),
        ({"api_key": KEY, "resource": ""}, "resource must be"),
        ({"api_key": KEY, "resource": 1}, "resource must be"),
        ({"api_key": KEY, "resource": "evil.example/"}, "resource must be"),
        ({"api_key": KEY, "resource": "a", "deployment": ""}, "deployment"),
        ({"api_key": KEY, "resource": "a", "deployment": 1}, "deployment"),
        ({"resource": "a", "token_provider": "token"}, "token_provider must be a function"),
        ({"api_key": KEY, "url": "https://a.openai.azure.com/openai/realtime?api-version=2024-10-01"}, "api-version"),
    ],
)
def test_azure_refuses_arguments_that_make_no_sense(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Azure(**arguments)
    assert KEY not in texts_of(caught.value)


# --- token providers ---------------------------------------------------------------------------------------------


def _plain() -> str:
    return "token-1"


async def _asynchronous() -> str:
    await trio.lowlevel.checkpoint()
    return "token-1"


class _Callable:
    async def __call__(self) -> str:
        return "token-1"


@pytest.mark.parametrize("provider", [_plain, _asynchronous, partial(_asynchronous), _Callable(), _Callable().__call__])
async def test_a_token_provider_may_be_plain_or_async(provider: Callable[[], Any]) -> None:
    _, headers = await request(Azure(resource="speech", token_provider=provider))
    assert headers == {"Authorization": "Bearer token-1"}


async def test_each_connection_asks_for_a_fresh_token() -> None:
    tokens = iter(["first", "second"])
    endpoint = Azure(resource="speech", token_provider=lambda: next(tokens))
    assert [(await request(endpoint))[1]["Authorization"] for _ in range(2)] == ["Bearer first", "Bearer second"]


async def test_a_token_provider_hides_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    _, headers = await request(Azure(resource="speech", token_provider=_plain))
    assert headers == {"Authorization": "Bearer token-1"}


async def test_a_token_provider_that_blocks_delays_no_other_task() -> None:
    import threading

    release = threading.Event()

    def blocks() -> str:
        assert release.wait(timeout=10)
        return "token-1"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(request, Azure(resource="speech", token_provider=blocks)))
        await trio.testing.wait_all_tasks_blocked()
        release.set()  # reached at all only if the loop went on while `blocks` waited


async def test_a_token_provider_that_blocks_can_be_cancelled() -> None:
    import threading

    release = threading.Event()
    with trio.CancelScope() as scope:

        def blocks() -> str:
            trio.from_thread.run_sync(scope.cancel)
            release.wait(timeout=10)
            return "token-1"

        await request(Azure(resource="speech", token_provider=blocks))
    release.set()
    assert scope.cancelled_caught


async def test_a_token_provider_that_fails_is_a_connect_error_that_does_not_quote_it() -> None:
    failure = OSError("POST with secret-token refused")

    def fails() -> str:
        raise failure

    with pytest.raises(ConnectError) as caught:
        await request(Azure(resource="speech", token_provider=fails))
    assert caught.value.__cause__ is failure
    assert "OSError" in str(caught.value)
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize("token", [*BAD_KEYS, None])
async def test_what_a_token_provider_gives_is_checked(token: Any) -> None:
    with pytest.raises(ConfigError, match="token provider") as caught:
        await request(Azure(resource="speech", token_provider=lambda: token))
    assert KEY not in texts_of(caught.value)


# --- redaction, immutability, checkpoints ------------------------------------------------------------------------

HOLDERS: Mapping[str, Endpoint] = {
    "openai": OpenAI(KEY, project="p"),
    "azure": Azure(resource="speech", api_key=KEY),
    "endpoint": Endpoint(f"wss://host.example/x?token={KEY}", headers={"Authorization": KEY}),
    "relay": Relay(f"wss://host.example/{KEY}?{KEY}", headers={"X-Key": KEY}),
}


@pytest.mark.parametrize("endpoint", HOLDERS.values(), ids=HOLDERS.keys())
async def test_no_credentials_are_shown(endpoint: Endpoint) -> None:
    made = await endpoint.connect_request(query=MODEL)
    for holder in (endpoint, made):
        for text in (repr(holder), str(holder), f"{holder}", repr([holder])):
            assert KEY not in text
            assert type(holder).__name__ in text
    assert any(KEY in value for _, value in made.headers)


@pytest.mark.parametrize("endpoint", HOLDERS.values(), ids=HOLDERS.keys())
async def test_credentials_are_not_pickled(endpoint: Endpoint) -> None:
    made: ConnectRequest = await endpoint.connect_request(query=MODEL)
    for holder in (endpoint, made):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="pickled"):
                pickle.dumps(holder, protocol)


@pytest.mark.parametrize("endpoint", HOLDERS.values(), ids=HOLDERS.keys())
async def test_endpoints_are_immutable(endpoint: Endpoint) -> None:
    before = await request(endpoint)
    for name in ("_headers", "_url", "_deployment", "headers", "anything"):
        with pytest.raises(AttributeError):
            setattr(endpoint, name, ())
        with pytest.raises(AttributeError):
            delattr(endpoint, name)
    with pytest.raises(AttributeError):
        (await endpoint.connect_request(query=MODEL)).url = "x"  # type: ignore[misc]
    assert await request(endpoint) == before


async def test_headers_given_are_copied() -> None:
    headers = {"X-Mine": "a"}
    endpoint = Relay("wss://relay.example", headers=headers)
    headers["X-Mine"] = "b"
    assert (await request(endpoint))[1] == {"X-Mine": "a"}


@pytest.mark.parametrize("endpoint", [OpenAI(KEY), Azure(resource="speech", token_provider=_plain)])
async def test_making_a_request_checkpoints(endpoint: Endpoint) -> None:
    with trio.testing.assert_checkpoints():
        await endpoint.connect_request(query=MODEL)
    with trio.testing.assert_checkpoints():
        await endpoint.rest_request("realtime/client_secrets")
