"""One loaded version: its signatures, their batches and the shapes they are compiled for.

Only `servable` and `function` need TensorFlow, so nothing is imported here.
"""
