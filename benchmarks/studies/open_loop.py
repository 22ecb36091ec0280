"""Requests that come by chance (Poisson) at half of what the server can do, whatever is still unanswered."""

from contextlib import ExitStack
from functools import partial

from benchmarks import wires
from benchmarks.alone import Alone
from benchmarks.cases import make_case
from benchmarks.load import Target
from benchmarks.ours import newest, only, serving
from benchmarks.poisson import poisson_load
from benchmarks.rounds import Goal, Study, Variant
from benchmarks.studies.setting import Setting

CAPACITY_SECONDS = 5.0


def prepare(stack: ExitStack, setting: Setting) -> Study:
    alone = stack.enter_context(Alone("forecaster", newest(setting.models / "forecaster")))
    models = stack.enter_context(only(setting.models, "forecaster"))
    ours = stack.enter_context(serving(models, setting.flags, setting.logs / "ours.log"))
    target = Target(ours.grpc, wires.predict(make_case("forecaster")))
    target.check(alone.answer())
    target.load(64, 2)
    rate = target.load(64, CAPACITY_SECONDS)["rate"] / 2
    variants = [
        Variant("the model alone, batches of 1", partial(alone.measure, 1)),
        Variant("ours gRPC, 1 connection, closed loop", partial(target.load, 1), ours.group),
        Variant(f"ours gRPC, Poisson at {rate:.0f}/s", partial(poisson_load, target, rate), ours.group),
    ]
    closed, poisson = variants[1].name, variants[2].name
    goals = [
        Goal("p99 over the model's time for a batch of one", poisson, "p99", 4, variants[0].name, "p50", False),
        Goal("p99 over the answer's time at one connection", poisson, "p99", 4, closed, "p50", False),
    ]
    return Study("open_loop", "One series a request at half of capacity, open loop", variants, goals)
