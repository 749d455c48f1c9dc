"""For testing programs that use this library: a Realtime server without a network, and what it is made of.

```python
simulator = Simulator([says("Hello!"), calls("get_weather", {"city": "Paris"})])
async with simulated_transport(simulator) as transport: ...  # in memory, on Trio's clock
async with serve_simulator(simulator) as server: ...  # on loopback; server.url, server.api_key
```

Strategies for hypothesis, from single events to whole conversations, are in `trio_realtime.testing.strategies`.
"""

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
