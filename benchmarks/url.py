"""The parts of the load server's URL, for clients that put them together themselves."""

from urllib.parse import parse_qs, urlsplit


def base(url: str, scheme: str) -> str:
    """`ws://h:p/v1/realtime?model=m` as `scheme://h:p/v1`."""
    parts = urlsplit(url)
    return f"{scheme}://{parts.netloc}{parts.path.removesuffix('/realtime')}"


def model(url: str) -> str:
    """The model in the query, which says what is played."""
    return parse_qs(urlsplit(url).query)["model"][0]
