import os

if "PYTEST_XDIST_WORKER" in os.environ:  # the other cores have workers of their own
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
