"""Bodies of HTTP requests, read within limits and refused in the server's own words."""

import json
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from pydantic import BaseModel, FailFast, ValidationError
from pydantic_core import ErrorDetails
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from serving.errors import InvalidInput
from serving.hang_up import HungUp

Model = TypeVar("Model", bound=BaseModel)


class StopAtFirst(FailFast):
    """Ends the reading of a list at its first mistake, so that a million of them cost no more; may stand in a Union."""

    def __hash__(self) -> int:
        return hash(self.fail_fast)


_NO_VALUE = ("missing", "extra_forbidden")  # where the value says nothing
_FORM_OVERHEAD = 64 * 1024  # boundaries, part headers and small fields beside the file


def read_json(model: type[Model], body: bytes) -> Model:
    """Read a JSON body as a pydantic model.

    Raises InvalidInput with the place of the first mistake, what was expected there, and what came.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidInput(_explain(error, body)) from None


async def read_body(request: Request, limit: int) -> bytes:
    """Read a whole body of at most `limit` bytes; raises InvalidInput for a longer one, HungUp for half a one."""
    return b"".join([chunk async for chunk in _limited(request, limit)])


async def read_upload(request: Request, field: str, limit: int) -> bytes:
    """Read the one file of a multipart/form-data body.

    field: the name of the form field that carries it.
    limit: the most bytes that the file may have.
    Raises InvalidInput where there is no such form or file, or it is longer; HungUp where it never ends.
    """
    wanted = f"a multipart/form-data body with one file in the field {field!r}"
    kind = request.headers.get("content-type", "")
    if kind.split(";")[0].strip().lower() != "multipart/form-data":
        raise InvalidInput(f"expected {wanted}. Received: content type {_short(kind)}")
    if "boundary=" not in kind.lower():
        raise InvalidInput(f"expected {wanted}, and its boundary in the content type. Received: {_short(kind)}")
    parser = MultiPartParser(request.headers, _limited(request, limit + _FORM_OVERHEAD), max_files=1, max_fields=16)
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeDecodeError, LookupError) as error:
        raise InvalidInput(f"expected {wanted}. Received: a broken form ({error})") from None
    try:
        file = form.get(field)
        if not isinstance(file, UploadFile):
            came = f"the fields {sorted(form)}" if file is None else "text in that field; send the file itself"
            raise InvalidInput(f"expected {wanted}. Received: {came}")
        if file.size is not None and file.size > limit:
            raise InvalidInput(f"expected a file of at most {limit:,} bytes, got {file.size:,}")
        return await file.read()
    finally:
        await form.close()


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise InvalidInput(f"expected a body of at most {limit:,} bytes, got {int(declared):,}")
    seen = 0
    try:
        async for chunk in request.stream():
            seen += len(chunk)
            if seen > limit:
                raise InvalidInput(f"expected a body of at most {limit:,} bytes, got more")
            yield chunk
    except ClientDisconnect:
        raise HungUp from None


def _explain(error: ValidationError, body: bytes) -> str:
    count = error.error_count()
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"expected a JSON body ({first['ctx']['error']}). Received: {_short(body)}"
    place = _place(first["loc"])
    text = f"{place}: {_expected(first)}" if place else _expected(first)
    if ", got " not in text and first["type"] not in _NO_VALUE:
        text += f". Received: {_short(first['input'])}"
    return text if count == 1 else f"{text} (and {count - 1:,} more)"


def _expected(error: ErrorDetails) -> str:
    match error["type"]:
        case "missing":
            return "expected this field"
        case "extra_forbidden":
            return "expected no field of this name"
        case "model_type":
            return "expected a JSON object"
        case "too_short":
            return f"expected at least {error['ctx']['min_length']:,}, got {error['ctx']['actual_length']:,}"
        case "too_long":
            return f"expected at most {error['ctx']['max_length']:,}, got more"
    return error["msg"].replace("Input should be", "expected", 1)


def _place(location: tuple[int | str, ...]) -> str:
    """Write ("series", 2, "values", 0) as series[2].values[0]."""
    place = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        else:
            place += f".{part}" if place else _short(part, bare=True)
    return place


def _short(value: Any, *, bare: bool = False) -> str:
    """Show what came on one line: numbers and short texts whole, long texts cut, collections by size."""
    if isinstance(value, list | tuple):
        return f"an array of {len(value):,}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return json.dumps(value, default=str)
    text = value if len(value) <= 60 else f"{value[:60]}…"
    return text if bare and text.isprintable() else json.dumps(text, ensure_ascii=False)
