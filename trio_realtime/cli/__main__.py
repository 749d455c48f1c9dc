"""`python -m trio_realtime.cli` is the command `trio-realtime`."""

from . import main

main()
