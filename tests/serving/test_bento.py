"""A Bento gets exactly the models of the directory that it was made from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.bento import bentofile
from serving.repository.storage import version_of_tag

IMPORT = """
import json, sys
from pathlib import Path
import bentoml
from serving.bento import import_models
tags = [import_models(Path(base)) for base in sys.argv[1:]]
inside = {tag: Path(bentoml.models.get(tag).path, "saved_model.pb").read_text() for many in tags for tag in many}
labels = [bentoml.models.get(tag).info.labels for many in tags for tag in many]
print(json.dumps([tags, inside, labels]))
"""


def model(base: Path, name: str, version: int, content: str) -> None:
    folder = base / name / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text(content)


def test_models_of_one_directory_never_take_the_place_of_anothers(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    model(one, "sum", 1, "an older one")
    model(one, "sum", 3, "mine")
    model(other, "sum", 3, "theirs")
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(one), str(other), str(one)],
        env={**os.environ, "BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    ((mine,), (theirs,), (again,)), inside, labels = json.loads(done.stdout)
    assert mine == again != theirs
    assert inside == {mine: "mine", theirs: "theirs"}
    assert version_of_tag(mine.partition(":")[2]) == 3
    assert labels[0] == {"project": "seqserve", "version": "3"}


def test_a_bentofile_names_the_models_that_were_imported():
    assert bentofile("service: a\n", ["sum:3-ab", "x:1-cd"]) == ('service: a\nmodels:\n  - "sum:3-ab"\n  - "x:1-cd"\n')


@pytest.mark.parametrize(("tag", "version"), [("3-5f2c07d1a9e4", 3), ("12", 12), ("m7kq2zx5wsa", 1), ("1e-5", 1)])
def test_a_tag_says_which_version_it_is(tag, version):
    assert version_of_tag(tag) == version
