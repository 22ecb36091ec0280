"""64 series in one request, beside the compiled model with nothing around it."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from benchmarks import wires
from benchmarks.alone import Alone, Together
from benchmarks.cases import make_case
from benchmarks.load import Figures, Target
from benchmarks.ours import newest, only, serving
from benchmarks.rounds import Goal, Study, Variant
from benchmarks.studies.setting import Setting

ROWS = 64


def prepare(stack: ExitStack, setting: Setting) -> Study:
    version = newest(setting.models / "forecaster")
    case = make_case("forecaster", ROWS)
    alone = stack.enter_context(Alone("forecaster", version))
    together = stack.enter_context(Together("forecaster", version, setting.cores))
    models = stack.enter_context(only(setting.models, "forecaster"))
    ours = stack.enter_context(serving(models, setting.flags, setting.logs / "ours.log"))
    target = Target(ours.grpc, wires.predict(case))
    target.check(alone.answer(ROWS))
    many = 2 * setting.cores
    variants = [
        Variant("the model alone, one process", partial(alone.measure, ROWS)),
        Variant(f"the model alone, {setting.cores} processes", partial(together.measure, ROWS)),
        Variant("ours gRPC, 1 connection", rows_a_second(partial(target.load, 1), ROWS), ours.group),
        Variant(f"ours gRPC, {many} connections", rows_a_second(partial(target.load, many), ROWS), ours.group),
    ]
    goals = [
        Goal("one connection over one process", variants[2].name, "rate", 0.95, over=variants[0].name),
        Goal("all cores over all cores", variants[3].name, "rate", 0.95, over=variants[1].name),
    ]
    return Study("batch", f"{ROWS} series in one request; answers are of a series", variants, goals)


def rows_a_second(load: Callable[[float], Figures], rows: int) -> Callable[[float], Figures]:
    """The same load with its rate in rows."""

    def run(seconds: float) -> Figures:
        figures = load(seconds)
        return {**figures, "rate": figures["rate"] * rows}

    return run
