"""One clip of 16 frames a request, 588 KiB of bytes, beside the compiled model alone."""

from contextlib import ExitStack
from functools import partial

from benchmarks import wires
from benchmarks.alone import Alone, Together
from benchmarks.cases import make_case
from benchmarks.load import Target
from benchmarks.ours import newest, only, serving
from benchmarks.rounds import Goal, Study, Variant
from benchmarks.studies.setting import Setting


def prepare(stack: ExitStack, setting: Setting) -> Study:
    version = newest(setting.models / "video")
    alone = stack.enter_context(Alone("video", version))
    together = stack.enter_context(Together("video", version, setting.cores))
    models = stack.enter_context(only(setting.models, "video"))
    ours = stack.enter_context(serving(models, setting.flags, setting.logs / "ours.log"))
    case = make_case("video")
    predict, infer = Target(ours.grpc, wires.predict(case)), Target(ours.rest, wires.infer_binary(case))
    expected = alone.answer()
    for target in (predict, infer):
        target.check(expected)
    many = 4 * setting.cores
    variants = [
        Variant("the model alone, one process", partial(alone.measure, 1)),
        Variant(f"the model alone, {setting.cores} processes", partial(together.measure, 1)),
        Variant(f"the model alone, {setting.cores} processes, batches of 8", partial(together.measure, 8)),
        Variant("ours gRPC, 1 connection", partial(predict.load, 1), ours.group),
        Variant(f"ours gRPC, {many} connections", partial(predict.load, many), ours.group),
        Variant("ours REST, binary, 1 connection", partial(infer.load, 1), ours.group),
        Variant(f"ours REST, binary, {many} connections", partial(infer.load, many), ours.group),
    ]
    goals = [
        Goal("gRPC, one connection over one process", variants[3].name, "rate", 0.95, over=variants[0].name),
        Goal("gRPC, all cores over all cores", variants[4].name, "rate", 0.95, over=variants[1].name),
        Goal("REST, one connection over one process", variants[5].name, "rate", 0.95, over=variants[0].name),
        Goal("REST, all cores over all cores", variants[6].name, "rate", 0.95, over=variants[1].name),
    ]
    return Study("video", "One clip of 16 x 112 x 112 x 3 bytes a request", variants, goals)
