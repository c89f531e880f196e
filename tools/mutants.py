"""Plausible bugs, put into a copy of the project one at a time: which do the tests notice?

    python tools/mutants.py [--only NAME ...]

The table is tools/mutants.yaml. Exit code 1 if a bug goes unnoticed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "tools" / "mutants.yaml"
PATIENCE = 900
"""Seconds after which tests hang because of the bug."""
FAILED = 1
"""Exit code of pytest when tests ran and one failed."""
HEAVY = [
    *("pytest", "torch", "torch.utils.tensorboard", "timm", "accelerate", "peft", "numba"),
    *("diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion", "sklearn.cluster"),
    "diffusers.schedulers.scheduling_dpmsolver_multistep",
]
"""Imported once for all mutants; none of these imports the project."""
SERVER = get_context("forkserver")


@dataclass(frozen=True)
class Mutant:
    """One bug.

    Attributes:
        name: What goes wrong.
        file: Where, relative to the project.
        old: Text that stands there exactly once.
        new: What stands there instead.
        tests: What must notice it.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def text(self, root: Path) -> str:
        """The file with the bug in it."""
        text = (root / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            sys.exit(
                f"{self.name}: {self.old!r} occurs {text.count(self.old)} times in {self.file}, "
                f"and must occur once; fix {TABLE.name}"
            )
        return text.replace(self.old, self.new)


def read_table(names: list[str]) -> list[Mutant]:
    """The mutants of these names, or all; each is checked against the code."""
    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    mutants = [Mutant(**{**row, "tests": tuple(row["tests"].split())}) for row in rows]
    every = [mutant.name for mutant in mutants]
    for name in [*names, *every]:
        if every.count(name) != 1:
            sys.exit(f"{TABLE.name} has {every.count(name)} mutants named {name!r}")
    chosen = [mutant for mutant in mutants if not names or mutant.name in names]
    for mutant in chosen:
        mutant.text(ROOT)
    return chosen


def copy_project(target: Path) -> None:
    """Copy all files that git knows or could know."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_tests(root: Path, tests: tuple[str, ...]) -> None:
    """Run tests in a copy of the project, silently; ends the process with pytest's exit code."""
    import pytest

    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = str(root)  # for programs that tests start
    sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))


def outcome(root: Path, mutant: Mutant) -> str:
    """``caught`` by a test that fails, ``NOT caught``, or ``BROKEN`` if the tests cannot run."""
    process = SERVER.Process(target=run_tests, args=(root, mutant.tests))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        return "caught"
    return {FAILED: "caught", 0: "NOT caught"}.get(process.exitcode, "BROKEN")


def main() -> None:
    """Try the mutants and say what became of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="These mutants.")
    mutants = read_table(parser.parse_args().only)
    SERVER.set_forkserver_preload(HEAVY)
    caught = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_project(root)
        for mutant in mutants:
            file, start = root / mutant.file, time.perf_counter()
            plain = file.read_bytes()
            file.write_text(mutant.text(root), encoding="utf-8")
            found = outcome(root, mutant)
            file.write_bytes(plain)
            caught += found == "caught"
            seconds = time.perf_counter() - start
            print(f"{found:<10}  {seconds:4.0f} s  {mutant.name}", flush=True)
    print(f"{caught} of {len(mutants)} caught ({caught / len(mutants):.0%})")
    sys.exit(caught < len(mutants))


if __name__ == "__main__":
    main()
