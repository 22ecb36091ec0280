from pathlib import Path

from serving.peers.claims import Claims


def test_one_worker_at_a_time_has_a_piece_of_work(tmp_path: Path) -> None:
    ours, theirs = Claims(tmp_path), Claims(tmp_path)
    with ours.one("compile") as mine:
        assert mine
        with theirs.one("compile") as also_mine:
            assert not also_mine
        with theirs.one("something else") as mine:
            assert mine
    with theirs.one("compile") as mine:
        assert mine
