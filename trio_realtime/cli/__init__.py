"""The `trio-realtime` command. It needs the extra `cli`; without it the command says what to install."""

import sys

_EXTRA = {"rich", "typer"}


def main() -> None:
    """Run the command with the arguments of this process, and exit."""
    try:
        from .app import app  # noqa: PLC0415  the extra may be missing, and `import trio_realtime.cli` costs nothing
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.exit(f"trio-realtime needs {missing}: python -m pip install 'trio-realtime[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    app()
