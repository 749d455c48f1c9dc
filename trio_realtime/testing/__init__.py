"""For testing programs that use this library: a Realtime server without a network, and what it is made of.

```python
simulator = Simulator([says("Hello!"), calls("get_weather", {"city": "Paris"})])
async with simulated_transport(simulator) as transport: ...  # in memory, on Trio's clock
async with serve_simulator(simulator) as server: ...  # on loopback; server.url, server.api_key

simulator = Simulator(faults=[drops(after_events=20, connection=1)])  # what goes wrong; see `faults`
```
"""

from .faults import (
    ERROR_TYPES as ERROR_TYPES,
    FAULTS as FAULTS,
    Fault as Fault,
    binary as binary,
    breaks_handshake as breaks_handshake,
    closes as closes,
    drops as drops,
    duplicate as duplicate,
    error_event as error_event,
    expires as expires,
    fragmented as fragmented,
    half_open as half_open,
    latency as latency,
    malformed as malformed,
    omitted as omitted,
    oversized as oversized,
    refuses as refuses,
    reordered as reordered,
    silent_handshake as silent_handshake,
    slow_handshake as slow_handshake,
    stops_reading as stops_reading,
    unknown_event as unknown_event,
)
from .memory_transport import MemoryTransport as MemoryTransport, memory_transport_pair as memory_transport_pair
from .script import (
    Calls as Calls,
    Fails as Fails,
    Incomplete as Incomplete,
    ModelContext as ModelContext,
    Output as Output,
    Says as Says,
    ScriptedTurn as ScriptedTurn,
    calls as calls,
    converses as converses,
    fails as fails,
    incomplete as incomplete,
    says as says,
)
from .simulated_connection import SimulatedConnection as SimulatedConnection
from .simulated_transport import simulated_transport as simulated_transport
from .simulator import Simulator as Simulator
from .simulator_server import SimulatorServer as SimulatorServer, serve_simulator as serve_simulator
from .sound import INTERRUPTION as INTERRUPTION, QUESTION as QUESTION, load_voice as load_voice
