"""What a servable takes and gives, in numpy's terms."""

from collections.abc import Mapping
from dataclasses import dataclass

# The signature that is meant where a request names none.
DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor of a signature.

    dtype: numpy's name ("float32", "int64", "bool", …), "bfloat16", or "string" for bytes.
    shape: an int for a fixed axis, None for a free one; None as a whole where even the rank is unknown.
    computed: whether the graph would compute this input itself, were it not fed (a feature that it parses from an
        example, say); the shape only tells what it would compute, and other shapes may be fed.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    computed: bool = False

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape has the axes that are fixed, and as many axes."""
        wanted = self.shape
        return wanted is None or (
            len(shape) == len(wanted)
            and all(axis is None or axis == size for size, axis in zip(shape, wanted, strict=True))
        )

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} of any shape"
        axes = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{self.dtype} [{axes}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """A named function of a servable: its inputs and outputs by name."""

    name: str
    method_name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
