"""The README's code runs as it stands, but for the address of the server."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

README = Path(__file__).parents[2] / "clients" / "python" / "README.md"


@pytest.fixture
def beside_the_files(tmp_path, monkeypatch, blue_clip):
    """In a folder with the files that the README speaks of."""
    (tmp_path / "clip.mp4").write_bytes(blue_clip)
    days = pd.date_range("2018-01-01", periods=2000, name="date")
    pd.DataFrame({"rail": np.arange(2000.0)}, index=days).to_csv(tmp_path / "rail.csv")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("beside_the_files")
def test_the_code_runs(server, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 7
    address = f'grpc_target="{server.grpc_target}", http_url="{server.http_url}"'
    code = "\n".join(blocks).replace('"localhost"', address)
    names: dict = {"__name__": "readme"}
    exec(compile(code, str(README), "exec"), names)
    names["client"].close()
    printed = capsys.readouterr().out
    assert "2019-06-01" in printed
    assert "blue" in printed
