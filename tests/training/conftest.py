import os

if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:  # the workers share the cores out
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
