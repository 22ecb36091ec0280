"""How graphs refer to tensors and nodes: "node:0", "node:output:0" inside functions, "^node" for order alone."""


def node_of(reference: str) -> str:
    """The name of the node that a tensor comes from, or that is waited for."""
    return reference.partition(":")[0].removeprefix("^")
