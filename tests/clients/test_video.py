from fractions import Fraction

import av
import numpy as np
import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from seqserve_client import (
    BadAnswer,
    Client,
    DeadlineExceeded,
    InvalidInput,
    MissingDependency,
    Overloaded,
    Retry,
    Unavailable,
    _video,
)

without_pyav = pytest.mark.usefixtures("_without_pyav")


@pytest.fixture
def _without_pyav(monkeypatch):
    """As if PyAV were not installed."""
    monkeypatch.setattr(_video, "can_decode", lambda: False)


def test_sees_sixteen_frames_from_first_to_last():
    assert _video.sample_indices(16).tolist() == list(range(16))
    assert _video.sample_indices(31).tolist() == list(range(0, 31, 2))
    assert _video.sample_indices(1).tolist() == [0] * 16
    assert _video.sample_indices(3).tolist() == [0] * 4 + [1] * 8 + [2] * 4


@pytest.mark.parametrize("form", ["path", "string", "bytes", "frames"])
def test_takes_clips_in_every_form(client, server, blue_clip, blue_frames, tmp_path, form):
    path = tmp_path / "clip.mp4"
    path.write_bytes(blue_clip)
    video = {"path": path, "string": str(path), "bytes": blue_clip, "frames": blue_frames}[form]
    answer = client.classify_video(video)
    assert answer.best == "blue"
    assert answer.probabilities.shape == (3,)
    assert server.peers.uploads == []


@pytest.mark.parametrize(
    ("container_format", "codec"), [("mp4", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4"), ("gif", "gif")]
)
def test_decodes_every_kind_of_file_to_the_frames_of_its_clip(encode_clip, blue_frames, container_format, codec):
    frames = _video.frames_of_file(encode_clip(blue_frames, container_format, codec))
    assert (frames.shape, frames.dtype) == ((16, 112, 112, 3), np.uint8)
    expected = _video.frames_of_array(blue_frames)
    assert np.abs(frames.astype(int) - expected.astype(int)).mean() < 30
    assert (np.diff(frames[..., 2].mean(axis=(1, 2))) >= -2).all()


def test_frames_of_the_right_size_are_sent_as_they_are():
    frames = np.random.default_rng(1).integers(0, 256, (16, 112, 112, 3), dtype=np.uint8)
    np.testing.assert_array_equal(_video.frames_of_array(frames), frames)


@without_pyav
def test_without_pyav_the_file_itself_is_sent(client, server, blue_clip, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(blue_clip)
    answer = client.classify_video(path)
    assert (answer.best, answer.probabilities) == ("blue", None)
    assert (answer.model, answer.version) == ("video", "1")
    ((name, content, _),) = server.peers.uploads
    assert (name, content) == ("clip.mp4", blue_clip)
    assert server.peers.requests == []


@without_pyav
def test_without_pyav_only_the_latest_video_model_takes_files(client, blue_clip, blue_frames):
    with pytest.raises(MissingDependency, match=r"seqserve-client\[video\]"):
        client.classify_video(blue_clip, version=2)
    with pytest.raises(MissingDependency, match="not 112x112 need PyAV"):
        client.classify_video(blue_frames)


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (b"", "expected 1 to 67108864 bytes. Received: 0"),
        (b"no video at all" * 100, "expected an mp4, webm, avi or gif file .* Received: 1500 bytes"),
        (np.zeros((4, 8, 8, 3), np.float32), r"expected uint8 \[n, height, width, 3\]. Received: float32"),
        (np.zeros((4, 8, 8), np.uint8), r"Received: uint8 \[4, 8, 8\]"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"Received: uint8 \[0, 8, 8, 3\]"),
        (7, "expected a path, bytes or an array of frames. Received: int"),
    ],
)
def test_refuses_what_is_no_clip(client, server, video, message):
    with pytest.raises(InvalidInput, match=message):
        client.classify_video(video)
    assert server.peers.requests == server.peers.uploads == []


def test_refuses_a_clip_that_breaks_off_and_one_in_disguise(client, encode_clip, blue_frames, blue_clip):
    with pytest.raises(InvalidInput, match="decodes to its end"):
        client.classify_video(blue_clip[: len(blue_clip) // 2])
    with pytest.raises(InvalidInput, match="expected an mp4, webm, avi or gif file"):
        client.classify_video(picture())
    with pytest.raises(InvalidInput, match="at least 2 frames, got 1"):
        client.classify_video(encode_clip(blue_frames[:1]))


def picture() -> bytes:
    frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 16, 16, "rgb24", Fraction(1, 25)
    return b"".join(bytes(packet) for packet in encoder.encode(frame))


def test_a_file_that_is_not_there_is_an_error_of_the_file_system(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        client.classify_video(tmp_path / "none.mp4")


@without_pyav
def test_uploads_are_tried_again_while_the_server_is_away(client, server, blue_clip):
    server.peers.http_failures = [JSONResponse({"error": "starting"}, 503)] * 2
    assert client.classify_video(blue_clip).best == "blue"
    assert len(server.peers.uploads) == 3


@without_pyav
def test_uploads_end_with_the_servers_words(client, server, blue_clip):
    answers = [
        (JSONResponse({"error": "expected a video file. Received: text"}, 400), InvalidInput, "Received: text"),
        (JSONResponse({"detail": "full"}, 429, {"Retry-After": "2.5"}), Overloaded, "full"),
        (PlainTextResponse("not JSON"), BadAnswer, "status 200, not JSON"),
        (JSONResponse({"classes": []}), BadAnswer, "expected model, version and classes"),
    ]
    for response, kind, words in answers:
        server.peers.http_failures = [response]
        with pytest.raises(kind, match=words) as raised:
            client.classify_video(blue_clip)
        if kind is Overloaded:
            assert raised.value.retry_after == 2.5


@without_pyav
def test_uploads_keep_their_deadline(client, server, blue_clip):
    server.peers.delay = 1
    with pytest.raises(DeadlineExceeded):
        client.classify_video(blue_clip, deadline=0.2)


@without_pyav
def test_nobody_there_is_unavailable(free_port, blue_clip):
    retry = Retry(tries=2, first=0.01)
    with Client(http_url=f"http://127.0.0.1:{free_port}", retry=retry) as client, pytest.raises(Unavailable):
        client.classify_video(blue_clip)
