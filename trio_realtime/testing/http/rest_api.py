"""The simulated server's HTTP API: ephemeral keys and calls. No clock, input or output: a request gives its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from email.parser import BytesParser
from email.policy import HTTP
from urllib.parse import parse_qs, unquote

from ...wire.codec import Kind
from ..server import Json
from ..simulation.client_event_shapes import SESSION
from ..simulation.identifiers import IdCounter
from ..simulation.json_shape import integer, record, string
from ..simulation.refusal import RefusedError
from ..simulation.session_connection import parse_event
from .calls import Call, Switchboard
from .client_secrets import create_client_secret
from .handshake import PREFIXES
from .http_server import HttpRequest, HttpResponse, error_response, json_response
from .keys import ClientSecret, Keys
from .refusal import HttpRefusedError, no_such_call
from .sdp import sdp_answer

_PATH = re.compile(rf"(?P<prefix>{'|'.join(PREFIXES)})/realtime/(?P<rest>.*)")
_CALL_PATH = re.compile(r"calls/(?P<call_id>[^/]+)/(?P<action>accept|reject|refer|hangup)")
_REJECT = record({"status_code": integer(400, 699)})
_REFER = record({"target_uri": string()}, required=["target_uri"])
_DECLINE = 603

# What the official JavaScript client leaves out when it accepts a call, because the real server refuses it.
_NOT_FOR_CALLS = ("threshold", "prefix_padding_ms", "silence_duration_ms")


class RestApi:
    """Answers HTTP requests to one server.

    Attributes:
        switchboard: The server, and the calls to it.
        keys: The keys that it takes.
    """

    def __init__(self, switchboard: Switchboard, keys: Keys) -> None:
        self.switchboard = switchboard
        self.keys = keys
        self._ids = IdCounter(0)

    def answer(self, request: HttpRequest, *, now: float, unix_time: float) -> HttpResponse:
        """Do what a request asks for, and say what it is answered.

        Args:
            request: All of it.
            now: The time on the server's clock, in seconds.
            unix_time: The same moment, for what states it.
        """
        try:
            return self._route(request, now, unix_time)
        except HttpRefusedError as refusal:
            return error_response(refusal)
        except RefusedError as refusal:
            return error_response(HttpRefusedError(400, refusal.message, code=refusal.code, param=refusal.param))

    def _route(self, request: HttpRequest, now: float, unix_time: float) -> HttpResponse:
        path = request.url.path
        below = _PATH.fullmatch(path)
        rest = below["rest"] if below is not None else ""
        on_call = _CALL_PATH.fullmatch(rest)
        if on_call is None and rest not in {"client_secrets", "translations/client_secrets", "calls"}:
            raise HttpRefusedError(404, f"Invalid URL ({request.method} {path})")
        if request.method != "POST":
            raise HttpRefusedError(
                405,
                f"Not allowed to {request.method} on {path} (HINT: Perhaps you meant to use a different HTTP method?)",
                code="method_not_supported",
            )
        secret = self.keys.check(request.headers, now=now)
        if rest == "calls":
            return self._create_call(request, path, secret, now, unix_time)
        if secret is not None:
            raise HttpRefusedError(403, "You have insufficient permissions for this operation.")
        if on_call is None:
            kind: Kind = "realtime" if rest == "client_secrets" else "translation"
            return self._create_secret(request, kind, now, unix_time)
        call = self.switchboard.find(unquote(on_call["call_id"]))
        if call is None or call.state == "over":
            raise no_such_call()
        actions: dict[str, Callable[[], None]] = {
            "accept": lambda: self._accept(call, _json_body(request), now, unix_time),
            "reject": lambda: _reject(call, _json_body(request)),
            "refer": lambda: _refer(call, _json_body(request)),
            "hangup": call.end,
        }
        actions[on_call["action"]]()
        return HttpResponse(200)

    # --- ephemeral keys ----------------------------------------------------------------------------------------

    def _create_secret(self, request: HttpRequest, kind: Kind, now: float, unix_time: float) -> HttpResponse:
        secret, answer = create_client_secret(_json_body(request), kind, ids=self._ids, now=now, unix_time=unix_time)
        self.keys.add(secret)
        return json_response(200, json.dumps(answer).encode())

    # --- calls -------------------------------------------------------------------------------------------------

    def _create_call(
        self, request: HttpRequest, path: str, secret: ClientSecret | None, now: float, unix_time: float
    ) -> HttpResponse:
        offer, configuration = _offer(request)
        if secret is not None:
            if secret.kind != "realtime" or secret.configuration["type"] != "realtime":
                raise HttpRefusedError(
                    400, "This client secret is for a session of another type.", param="session.type"
                )
            configuration = secret.configuration | configuration
        model = parse_qs(request.url.query).get("model", [])
        configuration = {"type": "realtime"} | ({"model": model[0]} if model else {}) | configuration
        answer = sdp_answer(offer)
        call = self.switchboard.dial(offer, configuration, now=now, unix_time=unix_time)
        headers = (("content-type", "text/plain; charset=utf-8"), ("location", f"{path}/{call.id}"))
        return HttpResponse(201, answer.encode(), headers)

    def _accept(self, call: Call, configuration: Json, now: float, unix_time: float) -> None:
        _check_ringing(call)
        _check_call_session(configuration, "")
        turn_detection: Json = configuration.get("audio", {}).get("input", {}).get("turn_detection") or {}
        for name in _NOT_FOR_CALLS:
            if name in turn_detection:
                param = f"audio.input.turn_detection.{name}"
                raise RefusedError(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
        self.switchboard.accept(call, configuration, now=now, unix_time=unix_time)


def _check_ringing(call: Call) -> None:
    if call.state != "ringing":
        raise HttpRefusedError(400, "The call has been accepted already.")


def _check_call_session(configuration: Json, path: str) -> None:
    SESSION(configuration, path)
    if configuration["type"] != "realtime":
        param = f"{path}.type".lstrip(".")
        raise RefusedError(f"Invalid value: '{configuration['type']}'. Supported values are: 'realtime'.", param=param)


def _reject(call: Call, request: Json) -> None:
    _check_ringing(call)
    _REJECT(request, "")
    call.rejected_with = request.get("status_code", _DECLINE)
    call.end()


def _refer(call: Call, request: Json) -> None:
    _REFER(request, "")
    call.referred_to = request["target_uri"]


def _json_body(request: HttpRequest) -> Json:
    content_type = request.headers.get("content-type", "")
    if not request.body:
        return {}
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise _wrong_content_type(content_type, "'application/json'")
    return _json_object(request.body)


def _json_object(text: str | bytes) -> Json:
    try:
        return parse_event(text, binary=False)
    except RefusedError:
        raise HttpRefusedError(
            400, "We could not parse the JSON body of your request. The API expects a JSON payload."
        ) from None


def _wrong_content_type(given: str, expected: str) -> HttpRefusedError:
    message = f"Unsupported content type: '{given}'. This API method only accepts {expected} requests."
    return HttpRefusedError(400, message, code="unsupported_content_type")


def _offer(request: HttpRequest) -> tuple[str, Json]:
    """Read the SDP of a call, and the configuration of its session as far as it has one."""
    content_type = request.headers.get("content-type", "")
    match content_type.partition(";")[0].strip().lower():
        case "application/sdp":
            return request.body.decode(errors="replace"), {}
        case "multipart/form-data":
            fields = _form_fields(content_type, request.body)
        case _:
            raise _wrong_content_type(content_type, "'multipart/form-data' and 'application/sdp'")
    record({"sdp": string(), "session": string()}, required=["sdp"])(fields, "")
    if "session" not in fields:
        return fields["sdp"], {}
    configuration = _json_object(fields["session"])
    _check_call_session(configuration, "session")
    return fields["sdp"], configuration


def _form_fields(content_type: str, body: bytes) -> dict[str, str]:
    head = f"content-type: {content_type}\r\n\r\n".encode("latin-1")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    no_form = HttpRefusedError(400, "We could not parse the multipart form of your request.")
    if message.defects or not message.is_multipart():
        raise no_form
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not (isinstance(name, str) and isinstance(content, bytes)):
            raise no_form
        fields[name] = content.decode(errors="replace")
    return fields
