"""What all that a program asks of a session stands on."""

from .session_scope import SessionScope
from .state.conversation import Conversation
from .tool_runner import ToolRunner


class SessionPart:
    """One part of the face of a session.

    Attributes:
        conversation: The items, live; readable after the scope.
    """

    def __init__(self, scope: SessionScope, functions: ToolRunner) -> None:
        self._scope = scope
        self._functions = functions
        self._machine = scope.machine
        self.conversation: Conversation = scope.machine.conversation
