"""POST /classify_video: what happens in a clip."""

import asyncio
import time
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from serving.api.classes import OUTPUTS, ClassAnswer, class_answer
from serving.api.decoding import Decoder
from serving.engine import Engine, InferRequest
from serving.errors import InvalidInput
from serving.limits import MAX_MESSAGE_BYTES

MODEL = "video"
FIELD = "video"
MAX_BYTES = MAX_MESSAGE_BYTES

_decoder = Decoder()


class VideoUpload(BaseModel):
    """A clip in the multipart field `video`: MP4 or MOV, WebM or MKV, AVI, or GIF, recognised by its content.

    For documentation: classify_video takes the bytes of the file.
    """

    video: Path = Field(
        description="The file, of at most 64 MiB, 2 to 4,000 frames, and 4096 x 2304 pixels; "
        "16 frames evenly spaced over the clip are looked at."
    )


async def classify_video(engine: Engine, clip: bytes | Path, *, timeout: float) -> ClassAnswer:
    """Name the five classes that a clip shows most probably.

    clip: the bytes of a video file, or the path of one on this machine.
    timeout: seconds that the answer may take, decoding included.
    Raises ServingError.
    """
    deadline = time.monotonic() + timeout
    with engine.refusals(MODEL):
        size = clip.stat().st_size if isinstance(clip, Path) else len(clip)
        if size > MAX_BYTES:
            raise InvalidInput(f"expected a file of at most {MAX_BYTES:,} bytes, got {size:,}")
        data = await asyncio.to_thread(clip.read_bytes) if isinstance(clip, Path) else clip
        frames = await _decoder.frames(data, deadline)
    result = await engine.infer(InferRequest(MODEL, {"frames": frames[np.newaxis]}, outputs=OUTPUTS, deadline=deadline))
    return class_answer(result)
