import asyncio
import functools
import io
import re
import threading
import time

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from serving.api import decoding
from serving.api.decoding import Decoder, decode
from serving.api.video import MAX_BYTES, classify_video
from serving.errors import DeadlineExceeded, InvalidInput, Overloaded


def soon() -> float:
    return time.monotonic() + 20


async def test_a_clip_is_classified(engine, clip, container):
    answer = await classify_video(engine, clip(container), timeout=20)
    assert (answer.model, answer.version) == ("video", 1)
    assert [entry.label for entry in answer.classes] == ["cat", "dog", "owl", "fox", "bee"]
    assert engine.requests[0].outputs == ("top_classes", "top_scores")


async def test_a_path_is_read(engine, clip, tmp_path):
    file = tmp_path / "clip.txt"
    file.write_bytes(clip())
    answer = await classify_video(engine, file, timeout=20)
    assert answer.model == "video"


def test_sixteen_frames_evenly_spaced(clip, container):
    frames = decode(clip(container, frames=20), soon())
    assert frames.shape == (16, 112, 112, 3)
    assert frames.dtype == np.uint8
    expected = 12 * np.rint(np.linspace(0, 19, 16))
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), expected, atol=16)  # a GIF has few greys


def test_a_short_clip_repeats_frames(clip):
    frames = decode(clip("avi-mjpeg", frames=3), soon())
    assert [int(np.rint(frame.mean() / 12)) for frame in frames] == [0] * 4 + [1] * 8 + [2] * 4


def test_frames_are_those_of_a_plain_decoder(shared_data):
    file = sorted(shared_data.glob("video/fight/test/*/*.mp4"))[0]
    with av.open(file) as source:
        every = [
            frame.reformat(112, 112, "rgb24", interpolation="BILINEAR").to_ndarray() for frame in source.decode(video=0)
        ]
    expected = [every[index] for index in np.rint(np.linspace(0, len(every) - 1, 16)).astype(int)]
    assert np.array_equal(decode(file.read_bytes(), soon()), expected)


async def test_the_deadline_goes_along(engine, clip):
    before = time.monotonic()
    await classify_video(engine, clip(), timeout=19)
    assert before + 19 <= engine.requests[0].deadline <= time.monotonic() + 19


async def test_time_that_runs_out_while_decoding_is_told(engine, clip):
    with pytest.raises(DeadlineExceeded, match="while its clip was decoded"):
        await classify_video(engine, clip(), timeout=0)
    assert engine.requests == []


def test_a_clip_that_takes_too_long_is_refused(clip, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_SECONDS", 0.0)
    with pytest.raises(InvalidInput, match="expected a clip that decodes within 0 s"):
        decode(clip(), soon())


def test_decoding_ends_when_it_is_told_to(clip):
    stop = threading.Event()
    stop.set()
    with pytest.raises(InvalidInput):
        decode(clip(), soon(), stop)


async def test_few_clips_wait_and_more_are_refused(clip):
    decoder, data = Decoder(threads=1, waiting=1), clip(frames=200)
    answers = await asyncio.gather(*(decoder.frames(data, soon()) for _ in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [np.ndarray, np.ndarray, Overloaded, Overloaded]
    assert (await decoder.frames(data, soon())).shape == (16, 112, 112, 3)


async def test_a_caller_who_leaves_makes_room(clip):
    decoder = Decoder(threads=1, waiting=0)
    task = asyncio.create_task(decoder.frames(clip(frames=2000, width=16, height=16), soon()))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await decoder.frames(clip(), soon())).shape == (16, 112, 112, 3)


def png() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as file:
        stream = file.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        file.mux(stream.encode(av.VideoFrame(16, 16, "rgb24")))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a video file: MP4 or MOV, WebM or MKV, AVI, or GIF. Received: an empty file"),
        (b"Dear server,\nthis is no video.", "Received: 30 bytes of text"),
        (b"#EXTM3U\nhttp://127.0.0.1/a.ts\n", "that begin like a playlist"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "that begin like a playlist"),
        (b"<?xml version='1.0'?><MPD></MPD>", "bytes of text"),
        (png(), "bytes that begin like a PNG image"),
        (b"RIFF\x04\0\0\0WAVE", "12 bytes of RIFF that are not AVI"),
        (b"\x01\x02\x03\x04\xff\xff\xff\xff", "8 bytes that begin with 01 02 03 04 ff ff ff ff"),
        (b"\0\0\0\x14ftypisom\0\0\0\0isom", "expected a whole MP4 file. Received: 20 bytes without an index (moov)"),
        (b"\x1a\x45\xdf\xa3", "expected a whole WebM or MKV file. Received: 4 bytes without an EBML header"),
        (b"\x1a\x45\xdf\xa3\x80", "Received: 5 bytes without a segment"),
        (b"GIF89a", "expected a whole GIF file. Received: 6 bytes without the end mark"),
        (b"GIF89a" + b"\xff" * 60 + b";", "expected a whole GIF file that decodes to its end"),
        (b"RIFF\x04\0\0\0AVI ", "expected a whole AVI file that decodes to its end"),
    ],
)
def test_what_is_no_video_is_refused_with_what_it_is(data, message):
    with pytest.raises(InvalidInput) as refused:
        decode(data, soon())
    assert message in refused.value.message


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(clip, container, part):
    data = clip(container)
    with pytest.raises(InvalidInput, match="expected a"):
        decode(data[: int(part * len(data))], soon())


def test_audio_alone_is_refused(clip):
    with pytest.raises(InvalidInput, match="Received: a file with audio but no video"):
        decode(clip(video=False, audio=True), soon())


def test_audio_beside_the_picture_does_not_matter(clip):
    assert np.array_equal(decode(clip(audio=True), soon()), decode(clip(), soon()))


def test_a_still_is_refused(clip):
    with pytest.raises(InvalidInput, match="expected a clip of at least 2 frames, got 1"):
        decode(clip("gif", frames=1), soon())


def test_too_many_frames_are_refused(clip, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_FRAMES", 19)
    with pytest.raises(InvalidInput, match="expected a clip of at most 19 frames, got more"):
        decode(clip(frames=20), soon())


@pytest.mark.parametrize(("sides", "refusal"), [(b"\0\x20\0\x20", "at most"), (b"\xff\xff\xff\xff", "at most")])
def test_huge_pictures_are_refused_by_their_header(clip, sides, refusal):
    data = bytearray(clip("gif"))
    data[6:10] = sides
    began = time.monotonic()
    with pytest.raises(InvalidInput, match=refusal):
        decode(bytes(data), soon())
    assert time.monotonic() - began < 2


def test_pictures_above_the_limit_are_refused(clip, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(InvalidInput, match="expected frames of at most 3,071 pixels, got 64 x 48"):
        decode(clip(), soon())


def test_a_codec_that_is_not_listed_is_refused(clip, monkeypatch):
    monkeypatch.setattr(decoding, "CODECS", {"gif"})
    with pytest.raises(InvalidInput, match=r"expected a common video codec \(gif\), got h264"):
        decode(clip(), soon())


@pytest.mark.parametrize(("table", "count_at"), [(b"stsz", 12), (b"elst", 8)])
def test_tables_that_claim_the_absurd_are_refused_unread(clip, table, count_at):
    data = bytearray(clip("mp4-h264"))
    at = data.index(table) + count_at
    data[at : at + 4] = (2**31 - 1).to_bytes(4)
    with pytest.raises(InvalidInput, match=r"whose tables \(.*\) tell of 2,147,483,647 entries"):
        decode(bytes(data), soon())


async def test_a_file_over_the_limit_is_refused_unread(engine, tmp_path):
    message = f"expected a file of at most {MAX_BYTES:,} bytes, got {MAX_BYTES + 1:,}"
    with pytest.raises(InvalidInput, match=message):
        await classify_video(engine, bytes(MAX_BYTES + 1), timeout=20)
    sparse = tmp_path / "sparse.mp4"
    with sparse.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InvalidInput, match=message):
        await classify_video(engine, sparse, timeout=20)


@given(
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=20),
    which=st.sampled_from(["mp4-h264", "mp4-fragmented", "webm-vp9", "avi-mpeg4", "gif"]),
)
@example(places=[(0.0, b"\0\0\0\0")], which="mp4-h264")
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damage_is_survived_and_leaks_nothing(whole, places, which):
    data = bytearray(whole(which))
    for place, junk in places:
        at = int(place * len(data))
        data[at : at + len(junk)] = junk
    refusal = None
    try:
        frames = decode(bytes(data), soon())
    except InvalidInput as error:
        refusal = error.message
    if refusal is None:
        assert frames.shape == (16, 112, 112, 3)
    else:
        assert refusal.startswith("expected ")
        assert not {"/", "\n", "Errno", "Traceback"} & set(re.split(r"(/|\n|\W)", refusal))


@pytest.fixture(scope="module")
def whole(clip):
    """Encode each clip once."""
    return functools.cache(clip)
