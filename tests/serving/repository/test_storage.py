"""What a directory may hold without hurting the models beside it."""

import os

import pytest

from serving.errors import FailedPrecondition, Unavailable
from serving.repository.storage import LocalStore, fingerprint, models_in, versions_in
from serving.repository.stores import open_store


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


def test_copies_in_the_making_are_no_models(tmp_path):
    for name in ("m", "m.tmp", ".m"):
        version(tmp_path, name, "1")
    (tmp_path / "notes").write_text("x")
    assert list(models_in(tmp_path)) == ["m"]


def test_no_directory_is_not_an_empty_one(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(OSError, match=folder.name):
            versions_in(folder)
        with pytest.raises(OSError, match=folder.name):
            models_in(folder)


def test_a_local_store_serves_versions_from_where_they_lie(tmp_path):
    path = version(tmp_path, "m", "3")
    for base in (str(tmp_path / "m"), f"file://{tmp_path / 'm'}"):
        store = open_store(base, None)
        assert store.versions() == {3: fingerprint(path)}
        assert store.fetch(3) == path
        store.drop(3)
        assert path.is_dir()


def test_what_cannot_be_fetched_says_whether_it_may_come_back(tmp_path):
    version(tmp_path, "m", "3")
    with pytest.raises(FailedPrecondition, match="version 4 has gone"):
        LocalStore(tmp_path / "m").fetch(4)
    with pytest.raises(Unavailable, match="cannot be read: No such file"):
        LocalStore(tmp_path / "other").fetch(3)


def test_a_url_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="received: 'gopher://models/m'"):
        open_store("gopher://models/m", None)
