"""What tests of the playback play: sound, a queue of it, and the cuts that are expected."""

from typing import Any

import pytest
from hypothesis import strategies as st

from trio_realtime.audio import PCM16, PCMA, PCMU, Encoding
from trio_realtime.state.item import ConversationItem
from trio_realtime.state.playback import PlaybackChunk, PlaybackLedger
from trio_realtime.wire.client_events import ConversationItemDelete, ConversationItemTruncate
from trio_realtime.wire.items import Message

ENCODINGS = [PCM16, PCMU, PCMA]
encodings = st.sampled_from(ENCODINGS)
each_encoding = pytest.mark.parametrize("encoding", ENCODINGS, ids=[encoding.name for encoding in ENCODINGS])


def sound(encoding: Encoding, ms: int) -> bytes:
    """`ms` milliseconds, no two bytes near each other alike."""
    return bytes(n % 251 for n in range(encoding.ms_to_bytes(ms)))


def cut_at(item_id: str, audio_end_ms: int, content_index: int = 0) -> ConversationItemTruncate:
    return ConversationItemTruncate(item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms)


def deleted(item_id: str) -> ConversationItemDelete:
    return ConversationItemDelete(item_id=item_id)


def ledger_with(*items: tuple[str, int], encoding: Encoding = PCM16, done: bool = True) -> PlaybackLedger:
    """A ledger in which items of so many milliseconds wait, each in two deltas and each of a response of its own."""
    ledger = PlaybackLedger()
    for item_id, ms in items:
        audio = sound(encoding, ms)
        for piece in (audio[: len(audio) // 4 * 2], audio[len(audio) // 4 * 2 :]):
            ledger.received(item_id, 0, f"of {item_id}", encoding, piece)
        if done:
            ledger.part_done(item_id, 0)
    return ledger


def take_all(ledger: PlaybackLedger) -> list[PlaybackChunk]:
    return list(iter(ledger.take, None))


def conversation_item(
    *parts: bytes, encoding: Encoding = PCM16, role: str = "assistant", completed: bool = False
) -> Any:
    item = ConversationItem("item", Message(role=role, content=[]), encoding)
    for index, audio in enumerate(parts):
        item.part(index, "output_audio").append_audio(audio)
    item.completed = completed
    return item
