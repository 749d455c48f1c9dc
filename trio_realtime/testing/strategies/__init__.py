"""Hypothesis strategies of the protocol, for testing what speaks it: from single events to whole conversations.

```python
from hypothesis import given
from trio_realtime.testing.strategies import conversations


@given(conversations())
def test_my_state_agrees_with_the_server(history): ...
```

They need the extra `testing`: `python -m pip install 'trio-realtime[testing]'`.
"""

try:
    import hypothesis as _  # noqa: F401  only to say what to install
except ImportError as _error:
    raise ImportError(
        "trio_realtime.testing.strategies needs hypothesis: python -m pip install 'trio-realtime[testing]'"
    ) from _error

from .any_values import structs as structs
from .events import client_events as client_events, server_events as server_events
from .fault_schedule import fault_schedules as fault_schedules
from .frames import WireFrames as WireFrames, wire_frames as wire_frames
from .history import History as History, HistoryEntry as HistoryEntry
from .interleaving import interleavings as interleavings
from .item import items as items
from .playing import conversations as conversations, play_conversation as play_conversation
from .program import (
    Asks as Asks,
    Cancels as Cancels,
    Clears as Clears,
    Commits as Commits,
    Configures as Configures,
    Deletes as Deletes,
    Interrupts as Interrupts,
    IsSilent as IsSilent,
    Retrieves as Retrieves,
    Returns as Returns,
    Speaks as Speaks,
    Step as Step,
    Waits as Waits,
    Writes as Writes,
    programs as programs,
    scripts as scripts,
)
from .session import session_configs as session_configs
