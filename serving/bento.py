"""`python -m serving.bento`: models into BentoML's store, requirements with their pins, then `bentoml build`.

bentofile.yaml says what goes in, but for the models: those are added here. Run it in the project's directory.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import bentoml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from serving.repository.storage import models_in, versions_in

_PROJECT = Requirement("seqserve[serving]")


def import_models(base: Path) -> Sequence[str]:
    """Copies the latest version of every model into the store; returns the tags, NAME:VERSION-FINGERPRINT.

    The fingerprint is of the content: what other directories brought into the store, which is the machine's, stays.
    """
    tags = []
    for name, folder in sorted(models_in(base).items()):
        versions = versions_in(folder)
        if not versions:
            continue
        version = max(versions)
        tag = f"{name}:{version}-{_fingerprint(versions[version])}"
        tags.append(tag)
        if any(str(stored.tag) == tag for stored in bentoml.models.list()):
            continue
        with bentoml.models.create(tag, labels={"project": "seqserve", "version": str(version)}) as stored:
            shutil.copytree(versions[version], stored.path, dirs_exist_ok=True)
    return tags


def bentofile(template: str, tags: Sequence[str]) -> str:
    """The text of a bentofile with exactly these models."""
    return "\n".join([template.rstrip(), "models:", *(f'  - "{tag}"' for tag in tags), ""])


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()[:12]


def requirements(constraints: str, *, gpu: bool = False) -> Sequence[str]:
    """The pins of what the server needs here, out of those of the whole project.

    constraints: the text of a constraints file.
    gpu: with the CUDA libraries that TensorFlow's package names.
    """
    needed = _closure()
    pins = [Requirement(line) for line in _lines(constraints)]
    chosen = [pin for pin in pins if canonicalize_name(pin.name) in needed]
    for pin in chosen:
        if gpu and pin.name == "tensorflow":
            pin.extras = {"and-cuda"}
    return [str(pin) for pin in chosen]


def _closure() -> set[str]:
    """The names of everything that the serving extra brings in, from what is installed."""
    found: set[tuple[str, str]] = set()
    waiting = [(_PROJECT.name, extra) for extra in ("", *_PROJECT.extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        try:
            declared = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            continue  # only for another platform
        for requirement in map(Requirement, declared):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                dependency = canonicalize_name(requirement.name)
                waiting += [(dependency, "")] + [(dependency, wanted) for wanted in requirement.extras]
    return {name for name, _ in found}


def _lines(constraints: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in constraints.splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m serving.bento", description="Build a Bento.")
    parser.add_argument("--models", type=Path, default=Path("models"), help="directory of models")
    parser.add_argument("--gpu", action="store_true", help="with CUDA, for machines with an NVIDIA driver")
    options = parser.parse_args()
    tags = import_models(options.models)
    if not tags:
        sys.exit(f"expected models in {options.models}, found none")
    print(f"Packing {', '.join(tags)}", flush=True)
    kind = "-gpu" if options.gpu else ""
    pinned = Path("build", f"requirements{kind}.txt")
    pinned.parent.mkdir(exist_ok=True)
    lines = requirements(Path("constraints.txt").read_text(), gpu=options.gpu)
    pinned.write_text("".join(f"{line}\n" for line in lines))
    file = Path("build", f"bentofile{kind}.yaml")
    file.write_text(bentofile(Path("bentofile.gpu.yaml" if options.gpu else "bentofile.yaml").read_text(), tags))
    command = [sys.executable, "-m", "bentoml", "build", "--bentofile", str(file), "."]
    sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
