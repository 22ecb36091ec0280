import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _stderr(code: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "CUDA_"))}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True, timeout=120)
    return ended.stderr


def test_tensorflow_says_nothing() -> None:
    code = "from serving import quiet\nwith quiet.tensorflow():\n    import tensorflow as tf\ntf.zeros(1)"
    assert _stderr(code) == ""


def test_other_words_get_through() -> None:
    code = (
        "import os\nfrom serving import quiet\nwith quiet.tensorflow():\n"
        "    os.write(2, b'I0000 00:00 port.cc:153] chatter\\n')\n    os.write(2, b'disk full\\n')"
    )
    assert _stderr(code) == "disk full\n"
