import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from training.fitting import FitOptions

from .parsing import parse

DOCS = Path(__file__).parents[2] / "docs"
RUN = "python -m training "


def commands(page: str) -> list[str]:
    """Every command of a page, in blocks and in the text; lines that end in a backslash go on in the next."""
    text = re.sub(r"\\\n\s*", "", (DOCS / page).read_text(encoding="utf-8"))
    fenced = re.compile(r"^```.*?\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in fenced.findall(text) for line in block.splitlines()]
    lines += [line for line in fenced.sub("", text).splitlines() if line.startswith("    ")]
    lines += re.findall(r"`([^`\n]+)`", fenced.sub("", text))
    return [line.partition(RUN)[2] for line in lines if RUN in line]


COMMANDS = [(page, line) for page in ("training.md", "data.md", "accuracy.md") for line in commands(page)]


def test_commands_are_found_in_blocks_and_in_the_text() -> None:
    found = {page: [line for where, line in COMMANDS if where == page] for page, _ in COMMANDS}
    assert "forecaster --data sales.csv" in found["training.md"]
    assert any(line.startswith("data labelled_clips/") for line in found["data.md"])
    for part in ("--robust --save docs", "evaluate forecaster", "video --over"):
        assert any(part in line for line in found["accuracy.md"]), part


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_documented_commands_and_their_options_exist(page: str, line: str) -> None:  # noqa: ARG001
    words, _, rest = line.partition(" -- ")
    parse(shlex.split(words, comments=True))
    if rest:  # what a search gives to the family's command
        parse([shlex.split(words)[1], *shlex.split(rest, comments=True)])


def test_every_shared_option_is_documented() -> None:
    said = set(re.findall(r"--[a-z][a-z-]*", (DOCS / "training.md").read_text(encoding="utf-8")))
    names = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(FitOptions)}
    names -= {"--fixed", "--export"}  # internal; of which --no-export is the option
    assert sorted(names - said) == []
