"""A piece of a frame that may be shown: without audio, without keys."""

import re

LONGEST_EXCERPT = 200
KEY = re.compile(r"\b(?:sk|ek|rk|pk|Bearer)[-_ ][\w.~+/=-]{6,}")
"""What looks like a key."""
# Where the URL of an MCP server holds a credential: before the @ of its host, and in its query.
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/?#]+(?=@)|(?<=\?)[^#]+")
_DATA = re.compile(r"[A-Za-z0-9+/_=-]{40,}")


def excerpt(payload: bytes | bytearray | memoryview | str) -> str:
    """The beginning of a frame, at most 200 characters of it, with long runs of base64 and keys replaced.

    Args:
        payload: A frame, whole or not, valid UTF-8 or not.
    """
    text = payload if isinstance(payload, str) else bytes(payload[: 64 * 1024]).decode("utf-8", "backslashreplace")
    text = without_data(without_keys(text[: 64 * 1024]))
    return text if len(text) <= LONGEST_EXCERPT else text[:LONGEST_EXCERPT] + "..."


def without_keys(text: str) -> str:
    """`text`, with what looks like a key replaced."""
    return KEY.sub("<redacted>", text)


def without_credentials(url: str) -> str:
    """`url`, without the user before its host and without its query."""
    return _URL_CREDENTIALS.sub("<redacted>", without_keys(url))


def without_data(text: str) -> str:
    """`text`, with long runs of base64 replaced by their length."""
    return _DATA.sub(lambda run: f"<{len(run[0])} characters>", text)
