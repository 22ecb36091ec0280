"""Other servers with the same model and the same compiled function, each from a small file of its own here."""
