"""What a loaded version says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.errors import InvalidInput, NotFound
from serving.quoting import listed, shown
from serving.servables.policy import BatchPolicy
from serving.signature import Signature


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """A loaded version's signatures by name, and how requests for each are batched and padded.

    refusals: why further signatures cannot be served. definitions: every SignatureDef of the graph, serialised.
    """

    name: str
    version: int
    signatures: Mapping[str, Signature]
    policies: Mapping[str, BatchPolicy] = field(default_factory=dict)
    refusals: Mapping[str, str] = field(default_factory=dict)
    definitions: Mapping[str, bytes] = field(default_factory=dict)

    def signature(self, name: str) -> Signature:
        """The signature of that name; raises NotFound, or InvalidInput for one that cannot be served."""
        if name in self.signatures:
            return self.signatures[name]
        if name in self.refusals:
            raise InvalidInput(self.refusals[name])
        raise NotFound(f"model {self.name} has the signatures {listed(self.signatures)}; received: '{shown(name)}'")
