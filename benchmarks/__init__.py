"""How fast the server answers, beside the compiled model alone and beside other servers with the same model."""
