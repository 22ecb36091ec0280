"""What a directory may hold without hurting the models beside it."""

import os

from serving.storage import fingerprint, models_in, versions_in


def version(base, model, name):
    path = base / model / name
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"graph")
    return path


def test_versions_are_whole_numbers_that_the_protocols_can_carry(tmp_path):
    for name in ("1", "20", "9" * 19, str(2**63 - 1), "1.5", "-1", "latest", ".export-1"):
        version(tmp_path, "m", name)
    (tmp_path / "m" / "3").mkdir()  # no graph yet
    assert sorted(versions_in(tmp_path / "m")) == [1, 20, 2**63 - 1]
    assert list(models_in(tmp_path)) == ["m"]


def test_a_link_in_circles_is_part_of_the_look_and_not_its_end(tmp_path):
    path = version(tmp_path, "m", "1")
    before = fingerprint(path)
    os.symlink("loop", path / "loop")
    assert fingerprint(path) > before
    os.symlink("saved_model.pb", tmp_path / "m" / "saved_model.pb")
    assert list(versions_in(tmp_path / "m")) == [1]


def test_what_is_not_there_or_no_folder_has_no_versions(tmp_path):
    (tmp_path / "file").write_text("x")
    assert versions_in(tmp_path / "file") == {}
    assert models_in(tmp_path / "nowhere") == {}
