"""The answer to a WebRTC offer: a description that fits it and leads nowhere, for there is no media here."""

from __future__ import annotations

from .refusal import HttpRefusedError

_HEAD = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
_TRANSPORT = (
    "c=IN IP4 0.0.0.0",
    "a=ice-ufrag:simulated",
    "a=ice-pwd:simulatedsimulatedsimulated",
    "a=fingerprint:sha-256 " + ":".join(["00"] * 32),
    "a=setup:active",
    "a=rtcp-mux",
)
_ECHOED = ("a=mid:", "a=rtpmap:", "a=fmtp:", "a=sctp-port:")


def sdp_answer(offer: str) -> str:
    """Answer an offer.

    Raises:
        HttpRefusedError: It is none, or has no audio.
    """
    lines = offer.splitlines()
    media = [index for index, line in enumerate(lines) if line.startswith("m=")]
    if lines[:1] != ["v=0"] or not any(lines[index].startswith("m=audio ") for index in media):
        raise HttpRefusedError(400, "Failed to parse SDP offer.", code="invalid_offer")
    answer = [*(line for line in lines[: media[0]] if line.startswith("a=group:")), "a=ice-lite"]
    for start, end in zip(media, [*media[1:], len(lines)], strict=True):
        what, _, rest = lines[start].partition(" ")
        answer += [f"{what} 9 {rest.partition(' ')[2]}", *_TRANSPORT]
        answer += [line for line in lines[start:end] if line.startswith(_ECHOED)]
    return _HEAD + "".join(f"{line}\r\n" for line in answer)
