"""For testing programs that use this library: a Realtime server without a network, and what it is made of.

```python
async with open_simulated_session([says("Hello!")]) as session: ...  # a session with it, in memory, on Trio's clock

simulator = Simulator([says("Hello!"), calls("get_weather", {"city": "Paris"})])
async with simulated_transport(simulator) as transport: ...  # in memory, on Trio's clock
async with serve_simulator(simulator) as server: ...  # on loopback; server.url, server.http_url, server.api_key

simulator = Simulator(faults=[drops(after_events=20, connection=1)])  # what goes wrong; see `faults`

async with record_session("talk.jsonl", instructions="...") as session: ...  # a real one, once
with replay("talk.jsonl", pace=0) as server: ...  # the same again: give it to simulated_transport or serve_simulator
```

With pytest and pytest-trio there are fixtures for the first: `realtime_session` and `realtime_simulator`, described by
the mark `realtime` (the plugin `pytest_trio_realtime`). `assert_no_leaks` finds what a block of your program leaves
behind, and `check_message_transport` holds a transport of your own against what a session expects of one.
`trio_realtime.testing.strategies` has strategies for hypothesis, from single events to whole conversations.
"""

from .carriers.simulated_transport import simulated_transport as simulated_transport
from .carriers.simulator_server import SimulatorServer as SimulatorServer, serve_simulator as serve_simulator
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
from .http.calls import Call as Call, JoinedCall as JoinedCall, Switchboard as Switchboard
from .leaks import assert_no_leaks as assert_no_leaks
from .recordings.recorder import record_session as record_session
from .recordings.recording import (
    Lost as Lost,
    NotARecording as NotARecording,
    RecordedMessage as RecordedMessage,
    Recording as Recording,
    RecordingError as RecordingError,
    read_recording as read_recording,
)
from .recordings.replay import (
    Replay as Replay,
    ReplayConnection as ReplayConnection,
    ReplayError as ReplayError,
    replay as replay,
)
from .simulated_session import open_simulated_session as open_simulated_session
from .simulation.dialect import Dialect as Dialect
from .simulation.mcp import McpTools as McpTools
from .simulation.script import (
    Calls as Calls,
    CallsMcp as CallsMcp,
    Fails as Fails,
    Hears as Hears,
    Incomplete as Incomplete,
    ModelContext as ModelContext,
    Output as Output,
    Says as Says,
    ScriptedTurn as ScriptedTurn,
    calls as calls,
    calls_mcp as calls_mcp,
    converses as converses,
    fails as fails,
    hears as hears,
    incomplete as incomplete,
    says as says,
)
from .simulation.simulated_connection import SimulatedConnection as SimulatedConnection
from .simulation.simulator import Simulator as Simulator
from .simulation.sound import INTERRUPTION as INTERRUPTION, QUESTION as QUESTION, load_voice as load_voice
from .simulation.translation_connection import TranslationConnection as TranslationConnection
from .transports.check_transport import check_message_transport as check_message_transport
from .transports.memory_transport import (
    MemoryTransport as MemoryTransport,
    memory_transport_pair as memory_transport_pair,
)
