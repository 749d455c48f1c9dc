"""Listening to a session: its updates as channels, and waiting for one of them."""

from typing import Any, TypeVar, cast, get_args, overload

import trio

from .channels import UpdateChannel
from .errors import ConfigError
from .limits import check_counts
from .session_part import SessionPart
from .state.item import ConversationItem
from .state.updates import ItemAppended, ItemCompleted, RawEvent, Update
from .update_buffer import DEFAULT_BUFFER_BYTES, Overflow
from .wire import server_events as server

_T = TypeVar("_T")


class SessionUpdates(SessionPart):
    """How a program hears what happens."""

    @overload
    def updates(
        self,
        *,
        overflow: Overflow = "raise",
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        name: str | None = None,
    ) -> UpdateChannel[Update]: ...

    @overload
    def updates(
        self,
        *types: type[_T],
        overflow: Overflow = "raise",
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        name: str | None = None,
    ) -> UpdateChannel[_T]: ...

    def updates(
        self,
        *types: type[Any],
        overflow: Overflow = "raise",
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        name: str | None = None,
    ) -> UpdateChannel[Any]:
        """Subscribe: `with session.updates(...) as updates:` gives a Trio receive channel of what happens from then on.

        A subscriber that falls behind delays nobody. What it has not received is bounded in bytes; at the bound only
        deltas are affected, whatever is not a delta is kept.

        Args:
            types: Classes of updates to receive; none means all but `RawEvent`, which repeats everything.
            overflow: At the bound: `"raise"` `SubscriberOverflow` after what fitted; `"coalesce"` adjacent deltas of
                one content part into one, and raise if that does not help; `"drop_oldest"` deltas, and say so with
                `Lagged`.
            max_buffer_bytes: The bound; by default 64 MiB, which is 22 minutes of PCM16.
            name: For `SubscriberOverflow` and `statistics()`.

        Raises:
            ConfigError: An argument is not valid.
            trio.ClosedResourceError: On entering, when the session has ended.
            RealtimeError: On entering, when the session has failed with this.
        """
        if overflow not in get_args(Overflow):
            raise ConfigError(f"overflow must be 'raise', 'coalesce' or 'drop_oldest', not {overflow!r}")
        check_counts(1, max_buffer_bytes=max_buffer_bytes)
        for kind in types:
            if kind not in get_args(Update):
                raise ConfigError(
                    f"updates takes classes of updates, such as ItemUpdated, not {kind!r}; "
                    "events of the server come from events() and wait_for()"
                )
        return self._scope.fanout.subscribe(types, name=name, max_buffer_bytes=max_buffer_bytes, overflow=overflow)

    def events(
        self,
        *,
        overflow: Overflow = "raise",
        max_buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        name: str | None = None,
    ) -> UpdateChannel[RawEvent]:
        """Subscribe to the events of both directions as they cross the wire: `updates(RawEvent)`."""
        return self.updates(RawEvent, overflow=overflow, max_buffer_bytes=max_buffer_bytes, name=name)

    async def wait_item(self) -> ConversationItem:
        """Wait for the next item that comes into the conversation.

        Raises:
            trio.ClosedResourceError: The session ended first.
            RealtimeError: It failed first.
        """
        return (await self.wait_for(ItemAppended)).item

    async def wait_completed_item(self) -> ConversationItem:
        """Wait for the next item that becomes final; raises as `wait_item`."""
        return (await self.wait_for(ItemCompleted)).item

    async def wait_for(self, kind: type[_T]) -> _T:
        """Wait for the next update of a class, or for the next event of the server of a class.

        Args:
            kind: A class of updates, or of `trio_realtime.wire.server_events`.

        Raises:
            ConfigError: It is neither.
            trio.ClosedResourceError: The session ended first.
            RealtimeError: It failed first.

        Cancellation:
            Loses nothing; what came meanwhile is in the conversation and in other channels.
        """
        self._scope.check_open()
        is_event = isinstance(kind, type) and issubclass(kind, server.ServerEventStruct | server.UnknownEvent)  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        if not is_event and kind not in get_args(Update):
            raise ConfigError(f"wait_for takes a class of updates or of events of the server, not {kind!r}")
        with self.updates(
            cast("type[Any]", RawEvent if is_event else kind), name=f"wait_for {kind.__name__}"
        ) as updates:
            async for update in updates:
                if not is_event:
                    return cast("_T", update)
                if isinstance(update.event, kind):
                    return update.event
            raise trio.ClosedResourceError(f"the session ended before there was a {kind.__name__}")
