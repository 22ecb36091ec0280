"""One worker beside one a core."""

from contextlib import ExitStack
from functools import partial

from benchmarks import wires
from benchmarks.cases import make_case
from benchmarks.load import Target
from benchmarks.ours import only, serving
from benchmarks.rounds import Goal, Study, Variant
from benchmarks.studies.setting import Setting

CONNECTIONS = 64


def prepare(stack: ExitStack, setting: Setting) -> Study:
    models = stack.enter_context(only(setting.models, "forecaster"))
    case = make_case("forecaster")
    variants, goals = [], []
    counts = (1, max(2, setting.cores))
    for count in counts:
        flags = [*setting.flags, "--workers", str(count), "--tensorflow_intra_op_parallelism", "1"]
        ours = stack.enter_context(serving(models, flags, setting.logs / f"workers-{count}.log"))
        targets = {"gRPC": Target(ours.grpc, wires.predict(case)), "REST": Target(ours.rest, wires.predict_json(case))}
        variants += [
            Variant(f"{protocol}, {count} worker{'s' * (count > 1)}", partial(target.load, CONNECTIONS), ours.group)
            for protocol, target in targets.items()
        ]
    for one, many in zip(variants[:2], variants[2:], strict=True):
        goals.append(Goal(f"{many.name} over one", many.name, "rate", 1.7, over=one.name))
    note = f"{setting.cores} cores, of which the load takes its part."
    return Study("workers", f"One series a request, {CONNECTIONS} connections", variants, goals, [note])
