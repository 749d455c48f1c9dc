"""Content parts from what a program has at hand."""

from __future__ import annotations

import array
import base64
from typing import Any

import pytest

from trio_realtime import ConfigError
from trio_realtime.content import audio, image, text
from trio_realtime.wire.items import InputAudio, InputImage, InputText

PNG = b"\x89PNG\r\n\x1a\n and so on"
JPEG = b"\xff\xd8\xff and so on"


def test_text() -> None:
    assert text("hello") == InputText(text="hello")


@pytest.mark.parametrize(
    "recording", [b"\1\0\2\0", bytearray(b"\1\0\2\0"), memoryview(b"xx\1\0\2\0")[2:], array.array("h", [1, 2])]
)
def test_audio_is_just_its_own_bytes(recording: Any) -> None:
    assert audio(recording, transcript="hm") == InputAudio(audio=b"\1\0\2\0", transcript="hm")
    assert type(audio(recording).audio) is bytes


@pytest.mark.parametrize("recording", ["text", 5, None, bytearray(b"odd"), array.array("d", [0.5])])
def test_what_is_no_audio_is_refused(recording: Any) -> None:
    with pytest.raises(ConfigError):
        audio(recording)


@pytest.mark.parametrize(("picture", "kind"), [(PNG, "image/png"), (JPEG, "image/jpeg")])
def test_an_image_becomes_a_data_uri(picture: bytes, kind: str) -> None:
    part = image(picture, detail="low")
    assert part.detail == "low"
    assert part.image_url is not None
    head, _, data = part.image_url.partition(";base64,")
    assert head == f"data:{kind}"
    assert base64.b64decode(data) == picture


def test_a_data_uri_is_taken_as_it_is() -> None:
    assert image("data:image/png;base64,AAAA") == InputImage(image_url="data:image/png;base64,AAAA")


@pytest.mark.parametrize("picture", [b"GIF89a", b"", "https://x.example/a.png", 5, None, memoryview(PNG)])
def test_what_is_no_image_is_refused(picture: Any) -> None:
    with pytest.raises(ConfigError):
        image(picture)


def test_no_part_shows_what_it_holds() -> None:
    assert "and so on" not in repr([audio(b"and so on!"), image(PNG)])
    assert base64.b64encode(PNG).decode() not in repr(image(PNG * 20))
