"""How fast the server answers, beside the compiled model alone in one process."""
