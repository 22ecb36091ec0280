"""What a servable's inputs may be, and how they may be padded: `assets.extra/inputs.json` of its directory.

The exporter states, for each variable axis, the side and the value of padding that leave the answer unchanged, and
the lengths worth compiling for. A servable without the file takes any shape its signature allows, unpadded.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from serving.datatypes import BY_DTYPE, is_finite
from serving.errors import FailedPrecondition, InvalidInput
from serving.signature import TensorSpec


class InputRule(BaseModel):
    """The rules of one input.

    axis, side, value: where and with what the variable axis may be padded; axis None for no variable axis.
    buckets: ascending lengths to pad to; the last is also the greatest length allowed.
    min_length: the least length allowed; min_observed: the least number of values in a row that are not NaN.
    nan_allowed: whether NaN has a meaning (a missing value). Infinity never has one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    axis: int | None = None
    side: Literal["left", "right"] = "right"
    value: float = 0.0
    buckets: tuple[int, ...] = ()
    min_length: int = 0
    nan_allowed: bool = False
    min_observed: int = 0

    @model_validator(mode="after")
    def _coherent(self) -> "InputRule":
        if self.axis is not None and (self.axis < 1 or not self.buckets):
            raise ValueError("a variable axis is 1 or higher and needs buckets")
        if any(a >= b for a, b in zip(self.buckets, self.buckets[1:], strict=False)):
            raise ValueError(f"buckets must ascend; received: {self.buckets}")
        return self

    def check_against(self, spec: TensorSpec) -> None:
        """Raises FailedPrecondition where the signature has no such variable axis."""
        if self.axis is None or spec.shape is None:
            return
        if self.axis >= len(spec.shape) or spec.shape[self.axis] is not None:
            raise FailedPrecondition(
                f"assets.extra/inputs.json: input '{spec.name}' must have a variable axis {self.axis}; received: {spec}"
            )

    def bucket(self, length: int) -> int:
        """The least bucket that holds `length`; it must not be above the last."""
        return next(bucket for bucket in self.buckets if bucket >= length)

    def padded(self, array: np.ndarray, length: int) -> np.ndarray:
        """`array` with its variable axis filled up to `length`."""
        axis = self.axis or 0
        if self.axis is None or array.shape[axis] == length:
            return array
        wide = np.empty((*array.shape[:axis], length, *array.shape[axis + 1 :]), array.dtype)
        self.fill(wide, array)
        return wide

    def fill(self, wide: np.ndarray, array: np.ndarray) -> None:
        """Copies `array` into `wide`, which is as long or longer on the variable axis, and pads the rest of it."""
        self.room(wide, array.shape[self.axis or 0])[...] = array

    def room(self, wide: np.ndarray, length: int) -> np.ndarray:
        """The part of `wide` that is `length` long on the variable axis, where values go; pads the rest of it."""
        axis = self.axis or 0
        if wide.shape[axis] == length:
            return wide
        before = (slice(None),) * axis
        split = wide.shape[axis] - length if self.side == "left" else length
        first, second = wide[(*before, slice(None, split))], wide[(*before, slice(split, None))]
        padding, values = (first, second) if self.side == "left" else (second, first)
        padding[...] = self.value
        return values

    def fitted(self, array: np.ndarray, length: int) -> np.ndarray:
        """`array` cropped or padded to `length` on its variable axis."""
        axis = self.axis or 0
        if array.shape[axis] > length:
            return np.take(array, range(length), axis=axis)
        return self.padded(array, length)

    def check(self, name: str, array: np.ndarray) -> None:
        """Raises InvalidInput where `array` breaks a rule."""
        if self.axis is not None:
            length = array.shape[self.axis]
            low, high = self.min_length, self.buckets[-1]
            if not low <= length <= high:
                raise InvalidInput(
                    f"input '{name}' must have a length of {low} to {high} on axis {self.axis}; received: {length}"
                )
        self.check_values(name, array)

    def check_values(self, name: str, array: np.ndarray) -> None:
        """Raises InvalidInput where values break a rule, whatever their number."""
        if array.dtype.kind != "f":
            return
        whole = is_finite(array)
        if whole and (not self.min_observed or not array.size or array[0].size >= self.min_observed):
            return
        if not self.nan_allowed:
            if not whole:
                raise InvalidInput(f"input '{name}' must be finite; received: NaN or infinity in it")
            return
        if np.isinf(array).any():
            raise InvalidInput(f"input '{name}' must be finite or NaN (missing); received: infinity in it")
        if self.min_observed:
            observed = np.count_nonzero(~np.isnan(array), axis=tuple(range(1, array.ndim)))
            if observed.min(initial=self.min_observed) < self.min_observed:
                raise InvalidInput(
                    f"input '{name}' must have at least {self.min_observed} values that are not NaN in each row; "
                    f"received: {int(observed.min())}"
                )


_RULES = TypeAdapter(dict[str, InputRule])


def read_rules(version: Path) -> Mapping[str, InputRule]:
    """The rules of a version directory; none where it has no such file."""
    file = version / "assets.extra" / "inputs.json"
    if not file.is_file():
        return {}
    try:
        return _RULES.validate_python(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, ValidationError) as error:
        raise FailedPrecondition(f"assets.extra/inputs.json is not what it must be: {error}") from error


def check_input(spec: TensorSpec, array: np.ndarray) -> None:
    """Raises InvalidInput where an array does not fit its signature's dtype or, where that binds, shape."""
    known = BY_DTYPE.get(array.dtype)  # numpy makes its names anew each time
    dtype = known.name if known else "string" if array.dtype.kind in "SU" else array.dtype.name
    if dtype != spec.dtype or not (spec.computed or spec.fits(array.shape)):
        raise InvalidInput(f"input '{spec.name}' must be {spec}; received: {dtype} {list(array.shape)}")
