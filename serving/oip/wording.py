"""Errors in the words that Triton's clients look for."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from serving.errors import NotFound, UnknownServable

_P = ParamSpec("_P")
_T = TypeVar("_T")


def in_tritons_words(method: Callable[_P, Awaitable[_T]]) -> Callable[_P, Awaitable[_T]]:
    """The method, whose NotFound for a model or version begins as Triton's does."""

    @wraps(method)
    async def worded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return await method(*args, **kwargs)
        except UnknownServable as error:
            raise NotFound(f"Request for unknown model: {error.message}") from None

    return worded
