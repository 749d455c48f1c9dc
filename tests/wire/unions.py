"""The events of the protocol, by who sends them and on what connection."""

from typing import get_args

import msgspec

from trio_realtime.wire.client_events import ClientEvent
from trio_realtime.wire.items import UNKNOWN_TAG
from trio_realtime.wire.server_events import KnownServerEvent
from trio_realtime.wire.translation import KnownTranslationServerEvent, TranslationClientEvent

CLIENT_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(ClientEvent)
SERVER_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(KnownServerEvent)
TRANSLATION_CLIENT_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(TranslationClientEvent)
TRANSLATION_SERVER_EVENTS: tuple[type[msgspec.Struct], ...] = get_args(KnownTranslationServerEvent)


def tag_of(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str)
    assert tag != UNKNOWN_TAG
    return tag
