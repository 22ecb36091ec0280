"""Checks that option objects make of their fields when they are made."""

from collections.abc import Iterable
from typing import Any


def expect_positive(options: Any, names: Iterable[str]) -> None:
    """Raise ValueError unless each of these fields is above 0."""
    for name in names:
        _expect(options, name, getattr(options, name) > 0, "must be positive")


def expect_not_negative(options: Any, names: Iterable[str]) -> None:
    """Raise ValueError unless each of these fields is 0 or more."""
    for name in names:
        _expect(options, name, getattr(options, name) >= 0, "must be 0 or more")


def expect_share(options: Any, names: Iterable[str], *, below_all: bool = False) -> None:
    """Raise ValueError unless each of these fields is from 0 to 1; with `below_all`, less than 1."""
    for name in names:
        given = getattr(options, name)
        if below_all:
            _expect(options, name, 0 <= given < 1, "must be at least 0 and below 1")
        else:
            _expect(options, name, 0 <= given <= 1, "must be a share, from 0 to 1")


def _expect(options: Any, name: str, holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{name} {what}. Received: {getattr(options, name)}")
