"""One series of 56 days a request, at 64 connections and at one: ours, the model alone, and the peers."""

from contextlib import ExitStack
from functools import partial

from benchmarks import wires
from benchmarks.alone import Alone
from benchmarks.cases import make_case
from benchmarks.load import Target
from benchmarks.ours import newest, only, serving
from benchmarks.peers.servers import PEERS, Missing
from benchmarks.processes import Group, NotStarted
from benchmarks.rounds import Goal, Study, Variant
from benchmarks.studies.setting import Setting

GRPC, REST, BINARY = "ours gRPC, Predict", "ours REST, :predict", "ours REST, binary"
CONNECTIONS = (64, 1)


def prepare(stack: ExitStack, setting: Setting) -> Study:
    version = newest(setting.models / "forecaster")
    case = make_case("forecaster")
    alone = stack.enter_context(Alone("forecaster", version))
    expected = alone.answer()
    ours = stack.enter_context(
        serving(stack.enter_context(only(setting.models, "forecaster")), setting.flags, setting.logs / "ours.log")
    )
    loaded: list[tuple[str, Target, Group | None]] = [
        (GRPC, Target(ours.grpc, wires.predict(case)), ours.group),
        ("ours gRPC, ModelInfer", Target(ours.grpc, wires.infer(case)), ours.group),
        (REST, Target(ours.rest, wires.predict_json(case)), ours.group),
        (BINARY, Target(ours.rest, wires.infer_binary(case)), ours.group),
    ]
    notes = []
    for name, start in PEERS.items():
        try:
            peer = stack.enter_context(start(version, case, setting.cores, setting.logs))
        except (Missing, NotStarted) as reason:
            notes.append(f"{name} is left out: {reason}")
            print(notes[-1], flush=True)
            continue
        loaded += [(wire, target, peer.group) for wire, target in peer.targets.items()]
    for _, target, _ in loaded:
        target.check(expected)
    variants = [Variant("the model alone, one process", partial(alone.measure, 1))]
    variants += [
        Variant(_at(name, connections), partial(target.load, connections), group)
        for connections in CONNECTIONS
        for name, target, group in loaded
    ]
    title = "One series of 56 days a request"
    return Study("single", title, variants, _goals(), notes)


def _at(name: str, connections: int) -> str:
    return f"{name}, {connections} connection{'s' * (connections > 1)}"


def _goals() -> list[Goal]:
    def ratio(what: str, mine: str, other: str, connections: int, figure: str, limit: float) -> Goal:
        text = f"{what}, {connections} connection{'s' * (connections > 1)}"
        faster = figure == "rate"
        return Goal(text, _at(mine, connections), figure, limit, over=_at(other, connections), at_least=faster)

    return [
        ratio("gRPC, answers/s over Triton's", GRPC, "Triton gRPC", 64, "rate", 1.3),
        ratio("gRPC, p99 over Triton's", GRPC, "Triton gRPC", 64, "p99", 1.0),
        ratio("gRPC, p50 over Triton's", GRPC, "Triton gRPC", 1, "p50", 0.9),
        ratio("REST, JSON: answers/s over Triton's", REST, "Triton REST, JSON", 64, "rate", 1.8),
        ratio("REST, JSON: p99 over Triton's", REST, "Triton REST, JSON", 64, "p99", 1.0),
        ratio("REST, JSON: p50 over Triton's", REST, "Triton REST, JSON", 1, "p50", 0.9),
        ratio("REST, binary: answers/s over Triton's", BINARY, "Triton REST, binary", 64, "rate", 1.8),
        ratio("REST, binary: p99 over Triton's", BINARY, "Triton REST, binary", 64, "p99", 1.0),
        ratio("REST, binary: p50 over Triton's", BINARY, "Triton REST, binary", 1, "p50", 0.9),
        ratio("REST, answers/s over BentoML's", REST, "BentoML REST", 64, "rate", 8.0),
        ratio("REST, answers/s over LitServe's", REST, "LitServe REST", 64, "rate", 4.0),
    ]
