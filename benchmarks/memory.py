"""How much memory this process has, as the system counts it (Linux)."""

import os
import resource
from pathlib import Path


def resident_bytes() -> int:
    """What is resident now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_resident_bytes() -> int:
    """The most that ever was."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
