"""Structured concurrency for the OpenAI Realtime API: sessions as Trio scopes, updates as channels."""

import logging

from .arguments import new_id as new_id
from .channels import ChannelStatistics as ChannelStatistics, UpdateChannel as UpdateChannel
from .connection import RealtimeConnection as RealtimeConnection, open_connection as open_connection
from .content import image as image, text as text
from .endpoint import Azure as Azure, Endpoint as Endpoint, OpenAI as OpenAI, Relay as Relay
from .errors import (
    ConfigError as ConfigError,
    ConnectError as ConnectError,
    ConnectionLost as ConnectionLost,
    ConnectTimeout as ConnectTimeout,
    HandshakeRejected as HandshakeRejected,
    InternalError as InternalError,
    ProtocolError as ProtocolError,
    RealtimeError as RealtimeError,
    ResponseCancelled as ResponseCancelled,
    ResponseError as ResponseError,
    ResponseFailed as ResponseFailed,
    ResponseIncomplete as ResponseIncomplete,
    ServerError as ServerError,
    SessionExpired as SessionExpired,
    SessionRefused as SessionRefused,
    SubscriberOverflow as SubscriberOverflow,
    ToolError as ToolError,
)
from .output_guard import OutputGuard as OutputGuard
from .playback import Playback as Playback
from .realtime_session import (
    RealtimeSession as RealtimeSession,
    SessionStatistics as SessionStatistics,
)
from .session import open_session as open_session
from .state.configuration import SessionKeywords as SessionKeywords
from .state.conversation import Conversation as Conversation
from .state.item import ConversationItem as ConversationItem, ItemPart as ItemPart
from .state.playback import PlaybackChunk as PlaybackChunk, PlaybackStatistics as PlaybackStatistics
from .state.updates import (
    ApprovalRequested as ApprovalRequested,
    Delta as Delta,
    ErrorReported as ErrorReported,
    GuardTripped as GuardTripped,
    Interrupted as Interrupted,
    ItemAppended as ItemAppended,
    ItemCompleted as ItemCompleted,
    ItemDeleted as ItemDeleted,
    ItemRetrieved as ItemRetrieved,
    ItemTruncated as ItemTruncated,
    ItemUpdated as ItemUpdated,
    Lagged as Lagged,
    RateLimitsUpdated as RateLimitsUpdated,
    RawEvent as RawEvent,
    ResponseDone as ResponseDone,
    ResponseStarted as ResponseStarted,
    SessionUpdated as SessionUpdated,
    SpeechStarted as SpeechStarted,
    SpeechStopped as SpeechStopped,
    ToolCallCancelled as ToolCallCancelled,
    ToolCallFinished as ToolCallFinished,
    ToolCallStarted as ToolCallStarted,
    ToolProgress as ToolProgress,
    TranscriptionCompleted as TranscriptionCompleted,
    TranscriptionFailed as TranscriptionFailed,
    TurnDone as TurnDone,
    Update as Update,
)
from .tools import Tool as Tool, ToolContext as ToolContext, tool as tool
from .turn import Turn as Turn, TurnStream as TurnStream
from .wire.server_events import ProtocolIssue as ProtocolIssue
from .wire.session_config import (
    AudioConfig as AudioConfig,
    AudioInputConfig as AudioInputConfig,
    AudioOutputConfig as AudioOutputConfig,
    FunctionTool as FunctionTool,
    McpTool as McpTool,
    SemanticVad as SemanticVad,
    ServerVad as ServerVad,
    SessionConfig as SessionConfig,
    Transcription as Transcription,
    TranscriptionAudioConfig as TranscriptionAudioConfig,
    TranscriptionSessionConfig as TranscriptionSessionConfig,
)

# A library that is not told where to log stays silent; what it logs is raised as well.
logging.getLogger(__name__).addHandler(logging.NullHandler())
