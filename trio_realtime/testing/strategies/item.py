"""Strategies of the items of a conversation."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from hypothesis import strategies as st

from ...errors import ConfigError
from ...wire.items import Item, Message
from .valid_values import CREATABLE_KINDS, ITEM_KINDS, PART_KINDS, creatable_messages, messages, valid


def items(
    kinds: Collection[type[Any]] | None = None,
    *,
    roles: Collection[str] = ("system", "user", "assistant"),
    creatable: bool = False,
) -> st.SearchStrategy[Item]:
    """Items of a conversation.

    Args:
        kinds: Structs of `trio_realtime.wire.items`, such as `Message` and `FunctionCall`. None: all kinds that stand
            in a conversation.
        roles: Of the messages among them.
        creatable: Only what a client may put into `conversation.item.create`: no items that only a server makes, no
            audio of the assistant, and nothing missing in the content of messages.

    Raises:
        ConfigError: There is no such kind or role, or no client may create such an item.

    Example:
        ```python
        @given(items([Message], roles=["user"]))
        def test_what_the_user_says_is_shown(item): ...
        ```
    """
    known = CREATABLE_KINDS if creatable else ITEM_KINDS
    chosen = known if kinds is None else tuple(kinds)
    for kind in chosen:
        if kind not in known:
            by_whom = "that a client may create" if creatable else "of a conversation"
            raise ConfigError(f"{kind.__name__} is no item {by_whom}")
    for role in roles:
        if role not in PART_KINDS:
            raise ConfigError(f"a role is one of {', '.join(PART_KINDS)}, not {role!r}")
    of_role = creatable_messages if creatable else messages
    made: list[st.SearchStrategy[Item]] = []
    for kind in chosen:
        made.extend(map(of_role, roles) if kind is Message else [valid(kind)])  # type: ignore[arg-type]  # a strategy of one kind is one of items
    return st.one_of(made)
