"""Models in object stores: moto's S3 server, and fsspec's own store in memory where failures are made."""

import time
from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import pytest

from serving.errors import FailedPrecondition, Unavailable
from serving.repository.remote import Patience, RemoteStore
from serving.repository.stores import open_store
from serving.servables.servable import LoadOptions, load_servable

from ...object_store import s3_server, upload
from ..savedmodels import Affine, save

QUICK = Patience(listing=5.0, fetching=10.0, attempts=3, pause=0.01)


@pytest.fixture(scope="module")
def s3():
    """A client of an S3 server with one bucket, which the environment leads to."""
    with s3_server() as client:
        yield client


@pytest.fixture
def memory():
    """A store in memory; files are written as m/<version>/<name>."""
    fs = fsspec.filesystem("memory")
    fs.pipe({"/m/1/saved_model.pb": b"graph", "/m/1/variables/variables.index": b"index", "/m/notes.txt": b""})
    yield fs
    fs.rm("/m", recursive=True)


def contents(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def store(tmp_path):
    return RemoteStore("memory://m", tmp_path / "cache", QUICK)


def test_a_model_in_a_bucket_is_fetched_and_answers(s3, tmp_path, caplog):
    for version in (1, 2):
        upload(s3, save(Affine(float(version)), tmp_path / str(version)), f"zoo/affine/{version}")
    s3.put_object(Bucket="models", Key="zoo/affine/2/", Body=b"")  # a folder's mark, as consoles make it
    remote = open_store("s3://models/zoo/affine", tmp_path / "cache")
    assert remote.versions().keys() == {1, 2}
    with caplog.at_level("INFO", "serving"):
        path = remote.fetch(2)
    assert "fetching s3://models/zoo/affine/2: " in caplog.text
    assert contents(path) == contents(tmp_path / "2")
    servable = load_servable("affine", 2, path, LoadOptions(threads=1, compile=False))
    assert servable._functions["serving_default"].program({"x": np.ones((1, 3), "f")})["y"] == [8.0]
    servable._release()


def test_objects_of_several_parts_are_fetched_by_their_size(s3, tmp_path):
    upload_id = s3.create_multipart_upload(Bucket="models", Key="parts/1/saved_model.pb")["UploadId"]
    parts = []
    for number, body in enumerate((b"x" * (5 << 20), b"end"), 1):
        part = s3.upload_part(
            Bucket="models", Key="parts/1/saved_model.pb", UploadId=upload_id, PartNumber=number, Body=body
        )
        parts.append({"ETag": part["ETag"], "PartNumber": number})
    s3.complete_multipart_upload(
        Bucket="models", Key="parts/1/saved_model.pb", UploadId=upload_id, MultipartUpload={"Parts": parts}
    )
    path = RemoteStore("s3://models/parts", tmp_path, QUICK).fetch(1)
    assert (path / "saved_model.pb").stat().st_size == (5 << 20) + 3


@pytest.mark.usefixtures("s3")
def test_an_empty_base_path_is_no_model_yet(tmp_path):
    with pytest.raises(Unavailable, match="nothing lies"):
        RemoteStore("s3://models/none", tmp_path, QUICK).versions()
    with pytest.raises(Unavailable, match=r"nothing lies|cannot be read"):
        RemoteStore("s3://no-such-bucket/none", tmp_path, QUICK).versions()


def test_a_server_that_has_gone_is_unavailable_within_the_time_allowed(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    began = time.monotonic()
    with pytest.raises(Unavailable):
        RemoteStore("s3://models/m", tmp_path, Patience(listing=3.0)).versions()
    assert time.monotonic() - began < 10


def test_only_folders_with_a_graph_are_versions(memory, tmp_path):
    memory.pipe({"/m/2/variables/variables.index": b"half", "/m/x/saved_model.pb": b"", "/m/3/saved_model.pbtxt": b""})
    assert store(tmp_path).versions().keys() == {1, 3}


def test_a_change_of_content_changes_the_fingerprint(memory, tmp_path):
    remote = store(tmp_path)
    before = remote.versions()
    assert remote.versions() == before
    memory.pipe("/m/1/saved_model.pb", b"other")
    assert remote.versions() != before


def test_what_is_whole_is_not_fetched_again(memory, tmp_path, monkeypatch):
    path = store(tmp_path).fetch(1)
    fetched = []
    monkeypatch.setattr(type(memory), "get_file", lambda *arguments, **options: fetched.append(arguments))
    assert store(tmp_path).fetch(1) == path
    assert fetched == []


@pytest.mark.usefixtures("memory")
def test_a_copy_that_was_damaged_is_fetched_again(tmp_path):
    path = store(tmp_path).fetch(1)
    (path / "variables" / "variables.index").write_bytes(b"")
    again = store(tmp_path).fetch(1)
    assert contents(again) == {"saved_model.pb": b"graph", "variables/variables.index": b"index"}


def _truncating(times):
    """A download that leaves out the end, so many times."""
    original = type(fsspec.filesystem("memory")).get_file
    left = [times]

    def get_file(self, remote, local, **options):
        original(self, remote, local, **options)
        if left[0]:
            left[0] -= 1
            with open(local, "r+b") as file:
                file.truncate(1)

    return get_file


def test_a_truncated_file_is_fetched_until_it_is_whole(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(type(memory), "get_file", _truncating(2))
    assert contents(store(tmp_path).fetch(1))["saved_model.pb"] == b"graph"


def test_one_that_never_is_whole_leaves_nothing_behind(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(type(memory), "get_file", _truncating(100))
    with pytest.raises(Unavailable, match=r"must have \d bytes; received: 1"):
        store(tmp_path).fetch(1)
    assert contents(tmp_path / "cache") == {} or all(name.endswith(".lock") for name in contents(tmp_path / "cache"))


def test_a_version_that_changes_meanwhile_is_not_taken(memory, tmp_path, monkeypatch):
    original = type(memory).get_file

    def get_file(self, remote, local, **options):
        original(self, remote, local, **options)
        memory.pipe("/m/1/variables/variables.data-00000-of-00001", b"still coming")

    monkeypatch.setattr(type(memory), "get_file", get_file)
    with pytest.raises(Unavailable, match="changed while it was fetched"):
        store(tmp_path).fetch(1)
    monkeypatch.setattr(type(memory), "get_file", original)
    assert len(contents(store(tmp_path).fetch(1))) == 3


@pytest.mark.parametrize("stated", ["5d41402abc4b2a76b9719d911017c592", "0" * 32])
def test_a_checksum_is_compared_and_one_that_downloads_contradict_twice_is_none(memory, tmp_path, monkeypatch, stated):
    original = type(memory).find

    def find(self, path, **options):
        return {name: {**info, "ETag": f'"{stated}"'} for name, info in original(self, path, **options).items()}

    memory.pipe({"/m/1/saved_model.pb": b"hello", "/m/1/variables/variables.index": b"hello"})
    monkeypatch.setattr(type(memory), "find", find)
    assert contents(store(tmp_path).fetch(1))["saved_model.pb"] == b"hello"


def test_googles_checksum_must_agree(memory, tmp_path, monkeypatch):
    original = type(memory).find

    def find(self, path, **options):
        return {
            n: {**info, "md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="} for n, info in original(self, path, **options).items()
        }

    monkeypatch.setattr(type(memory), "find", find)
    with pytest.raises(Unavailable, match="must have the MD5 sum 0000"):
        store(tmp_path).fetch(1)


def test_a_store_that_hangs_is_left_alone(memory, tmp_path, monkeypatch):
    monkeypatch.setattr(type(memory), "find", lambda *arguments, **options: time.sleep(2))
    with pytest.raises(Unavailable, match="has not answered"):
        RemoteStore("memory://m", tmp_path, Patience(listing=0.1)).versions()


def test_names_that_lead_out_are_refused(memory, tmp_path, monkeypatch):
    original = type(memory).find

    def find(self, path, **options):
        found = original(self, path, **options)
        return found | {"/m/1/../../evil": next(iter(found.values()))}

    monkeypatch.setattr(type(memory), "find", find)
    with pytest.raises(FailedPrecondition, match="leads out"):
        store(tmp_path).fetch(1)
    assert not (tmp_path / "evil").exists()


def test_several_processes_fetch_once(memory, tmp_path, monkeypatch):
    fetched = []
    original = type(memory).get_file

    def get_file(self, remote, local, **options):
        fetched.append(remote)
        time.sleep(0.05)
        original(self, remote, local, **options)

    monkeypatch.setattr(type(memory), "get_file", get_file)
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: store(tmp_path).fetch(1), range(4)))
    assert len(paths) == 1
    assert len(fetched) == 2


def test_old_copies_go_when_nobody_serves_them(memory, tmp_path):
    one, other = store(tmp_path), store(tmp_path)
    old = one.fetch(1)
    assert other.fetch(1) == old
    memory.pipe("/m/2/saved_model.pb", b"new")
    new = one.fetch(2)
    one.drop(1)
    assert old.is_dir()  # the other one serves it
    other.drop(1)
    assert not old.exists()
    one.drop(2)
    assert new.is_dir()  # for the next start


def test_a_missing_driver_and_an_unknown_scheme_say_so(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="URL of a known kind"):
        open_store("gopher://models/m", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "gcsfs" else object())
    with pytest.raises(ValueError, match=r"gs:// needs the package gcsfs: install seqserve\[remote\]"):
        open_store("gs://models/m", tmp_path)
