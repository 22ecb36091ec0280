"""Names functions by what they do, so that what was compiled for one in another process is found again.

TensorFlow numbers the functions that it makes in the order in which a process comes to make them, and XLA's cache on
disk goes by their names.
"""

import hashlib

from tensorflow.core.framework import function_pb2


def name_of(function: function_pb2.FunctionDef, library: function_pb2.FunctionDefLibrary) -> str:
    """A name for a function that tells what it does, by its own nodes and those of all that it may call."""
    digest = hashlib.blake2b(digest_size=12)
    for part in (function, *sorted(library.function, key=lambda each: each.signature.name)):
        data = part.SerializeToString(deterministic=True)
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return f"compiled_{digest.hexdigest()}"
