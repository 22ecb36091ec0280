"""What callers made up, quoted in messages: never more of it than anybody would read."""

from collections.abc import Iterable

_MOST_SHOWN = 10
_SHOWN_CHARACTERS = 60


def shown(text: str) -> str:
    """What a caller made up, short enough to quote."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def listed(names: Iterable[str]) -> str:
    """Names as TF Serving lists them, {a,b}; not more of them than anybody would read."""
    ordered = sorted(names)
    more = [f"and {len(ordered) - _MOST_SHOWN} more"] if len(ordered) > _MOST_SHOWN else []
    return f"{{{','.join([*map(shown, ordered[:_MOST_SHOWN]), *more])}}}"
