"""TF Serving's rules, flags and files, alike over gRPC and HTTP.

Flags and files are read before there is a worker, so nothing is imported here.
"""
