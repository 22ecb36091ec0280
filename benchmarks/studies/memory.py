"""Resident memory while clips come in; a round is a block of requests, and ten of the usual size make 10,000."""

from contextlib import ExitStack

from benchmarks import wires
from benchmarks.cases import make_case
from benchmarks.load import Figures, Target, grpc_count
from benchmarks.ours import only, serving
from benchmarks.rounds import Goal, Study, Variant
from benchmarks.studies.setting import Setting

BLOCK, CONNECTIONS = 1000, 8


def prepare(stack: ExitStack, setting: Setting) -> Study:
    models = stack.enter_context(only(setting.models, "video"))
    ours = stack.enter_context(serving(models, setting.flags, setting.logs / "ours.log"))
    target = Target(ours.grpc, wires.predict(make_case("video")))
    first: list[float] = []

    def block(_: float) -> Figures:
        """The block that warms up is where growth is counted from."""
        grpc_count(target, CONNECTIONS, BLOCK)
        resident = ours.group.resident_bytes() / 2**20
        first.append(resident)
        return {"mebibytes": resident, "grown": resident / first[0]}

    name = f"all processes after each {BLOCK} clips"
    return Study(
        "memory",
        "Resident memory while clips come in over gRPC",
        [Variant(name, block)],
        [Goal(f"over that after the first {BLOCK}", name, "grown", 1.02, at_least=False)],
        ["Shared pages are counted once."],
    )
