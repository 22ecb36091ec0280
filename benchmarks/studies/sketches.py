"""Real drawings of mixed lengths, beside the same server when it pads every drawing to the longest."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import wires
from benchmarks.cases import Case
from benchmarks.load import TOLERANCE, Target, rest_load
from benchmarks.ours import Ours, newest, only, serving
from benchmarks.rounds import Goal, Study, Variant
from benchmarks.studies.setting import Setting

DRAWINGS, CONNECTIONS = 256, 64


def prepare(stack: ExitStack, setting: Setting) -> Study:
    if setting.drawings is None:
        raise SystemExit("expected --drawings PATH, a folder of <class>.npz with the drawings of Quick, Draw!")
    models = stack.enter_context(only(setting.models, "sketchrnn"))
    padding = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-models-")))
    longest = _with_one_bucket(setting.models, padding)
    cases = [Case("sketchrnn", {"strokes": strokes}) for strokes in _drawings(setting.drawings, longest)]
    ours = stack.enter_context(serving(models, setting.flags, setting.logs / "ours.log"))
    padded = stack.enter_context(serving(padding, setting.flags, setting.logs / "padded.log"))
    mine, theirs = _targets(ours, cases), _targets(padded, cases)
    _compare(mine, theirs)
    lengths = [case.inputs["strokes"].shape[1] for case in cases]
    points = f"{min(lengths)} to {max(lengths)} points (median {np.median(lengths):.0f})"
    return Study(
        "sketches",
        f"One drawing of {points} a request, {CONNECTIONS} connections",
        [
            Variant("ours, REST", partial(rest_load, mine, CONNECTIONS), ours.group),
            Variant(f"all padded to {longest}, REST", partial(rest_load, theirs, CONNECTIONS), padded.group),
        ],
        [Goal("over padding to the longest", "ours, REST", "rate", 2.0, over=f"all padded to {longest}, REST")],
        [f"Both answered all {DRAWINGS} drawings alike before they were timed."],
    )


def _with_one_bucket(models: Path, folder: Path) -> int:
    """Copies the model into `folder` with its longest bucket alone, which it gives."""
    version = newest(models / "sketchrnn")
    copy = folder / "sketchrnn" / version.name
    shutil.copytree(version, copy)
    rules_file = copy / "assets.extra" / "inputs.json"
    rules = json.loads(rules_file.read_text(encoding="utf-8"))
    longest: int = rules["strokes"]["buckets"][-1]
    rules["strokes"]["buckets"] = [longest]
    rules_file.write_text(json.dumps(rules), encoding="utf-8")
    return longest


def _drawings(folder: Path, longest: int) -> list[np.ndarray]:
    """float32 [1, points, 3] each, of all classes in turn; longer ones are cut."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise SystemExit(f"expected files <class>.npz in {folder}, got none")
    found = []
    for number in range(DRAWINGS):
        turn, which = divmod(number, len(files))
        with np.load(files[which], allow_pickle=True, encoding="latin1") as file:
            found.append(np.asarray(file["valid"][turn], np.float32)[np.newaxis, :longest])
    return found


def _targets(server: Ours, cases: Sequence[Case]) -> list[Target]:
    return [Target(server.rest, wires.predict_json(case)) for case in cases]


def _compare(mine: Sequence[Target], theirs: Sequence[Target]) -> None:
    for one, other in zip(mine, theirs, strict=True):
        expected = other.wire.read(other.ask(), {})
        answer = one.wire.read(one.ask(), {})
        if not np.allclose(answer, expected, rtol=TOLERANCE, atol=TOLERANCE):
            raise ValueError(f"expected the answer of the padding server, {expected}. Received: {answer}")
