"""The states of one model, told for all workers."""

import pytest

from serving.control import merged
from serving.errors import Code
from serving.repository import State, VersionStatus

FAILED = VersionStatus(2, State.END, Code.FAILED_PRECONDITION, "cannot load this SavedModel")


def status(version, state):
    return VersionStatus(version, state)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (status(2, State.AVAILABLE), status(2, State.AVAILABLE), status(2, State.AVAILABLE)),
        (status(2, State.AVAILABLE), status(2, State.LOADING), status(2, State.LOADING)),
        (status(2, State.AVAILABLE), status(2, State.UNLOADING), status(2, State.UNLOADING)),
        (status(2, State.AVAILABLE), None, status(2, State.LOADING)),
        (status(2, State.AVAILABLE), FAILED, FAILED),
        (status(2, State.END), FAILED, FAILED),
        (FAILED, None, FAILED),
    ],
)
def test_a_version_is_available_only_where_all_have_it(one, other, told):
    workers = [[one], [other] if other else []]
    assert merged(workers) == merged(workers[::-1]) == [told]


def test_versions_come_newest_first():
    workers = [[status(3, State.AVAILABLE), status(1, State.END)], [status(3, State.AVAILABLE)]]
    assert [s.version for s in merged(workers)] == [3, 1]
