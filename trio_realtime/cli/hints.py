"""What to do about an error, in a few words for somebody at a terminal."""

from ..errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    HandshakeRejected,
    InternalError,
    ProtocolError,
    RealtimeError,
    ResponseError,
    ServerError,
    SessionRefused,
)

_STATUS_HINTS = {
    401: "check the key in OPENAI_API_KEY",
    403: "check what the key in OPENAI_API_KEY may do",
    404: "check --model",
    429: "too many requests, or no credit left: wait, or check the account",
}


def explained(error: RealtimeError) -> str:
    """The error in one line, with a hint."""
    words = " ".join(str(error).split()) or type(error).__name__
    hint = hint_for(error)
    return f"{words} ({hint})" if hint else words


def hint_for(error: RealtimeError) -> str:
    """What to try; `""` where the error says it itself."""
    match error:
        case ConfigError():
            return ""
        case HandshakeRejected(status=status):
            return _STATUS_HINTS.get(status, "try again later")
        case SessionRefused():
            return "check --model and --voice"
        case ConnectError():
            return "check the network, and whether a proxy is in the way"
        case ConnectionLost() | ResponseError():
            return "try again"
        case ServerError() if error.code == "insufficient_quota":
            return "no credit left: check the account"
        case InternalError() | ProtocolError():
            return "please report it"
        case _:
            return "try again"
