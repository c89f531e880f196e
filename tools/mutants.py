"""Mutation testing: insert plausible bugs one at a time, and report which the tests detect.

    python tools/mutants.py [--only NAME ...]

The bugs are listed in tools/mutants.yaml. Exits with status 1 if a bug is not detected.
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
TIMEOUT = 900
"""Seconds after which tests count as failed, because the bug makes them hang."""
FAILED = 1
"""Exit code of pytest if a test failed."""
PRELOADED = [
    *("pytest", "torch", "torch.utils.tensorboard", "timm", "accelerate", "peft", "numba"),
    *("diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion", "sklearn.cluster"),
    "diffusers.schedulers.scheduling_dpmsolver_multistep",
]
"""Modules imported once for all mutants; none of them imports the project."""
SERVER = get_context("forkserver")


@dataclass(frozen=True)
class Mutant:
    """Bug to insert into the code.

    Attributes:
        name: Short description of the faulty behaviour.
        file: Path of the file, relative to the project.
        old: Text to replace, which occurs exactly once in the file.
        new: Replacement text.
        tests: Test files of which one must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def text(self, root: Path) -> str:
        """Return the content of the file with the bug."""
        text = (root / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            sys.exit(
                f"{self.name}: {self.old!r} occurs {text.count(self.old)} times in {self.file}, "
                f"and must occur once; fix {TABLE.name}"
            )
        return text.replace(self.old, self.new)


def read_table(names: list[str]) -> list[Mutant]:
    """Read the named mutants, or all, and check that each fits the code."""
    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    mutants = [Mutant(**{**row, "tests": tuple(row["tests"].split())}) for row in rows]
    all_names = [mutant.name for mutant in mutants]
    for name in [*names, *all_names]:
        if all_names.count(name) != 1:
            sys.exit(f"{TABLE.name} has {all_names.count(name)} mutants named {name!r}")
    selected = [mutant for mutant in mutants if not names or mutant.name in names]
    for mutant in selected:
        mutant.text(ROOT)
    return selected


def copy_project(target: Path) -> None:
    """Copy all tracked files, and untracked files that git does not ignore."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_tests(root: Path, tests: tuple[str, ...]) -> None:
    """Run tests in a copy of the project without output; exit with pytest's exit code."""
    import pytest

    with Path(os.devnull).open("w") as devnull:
        os.dup2(devnull.fileno(), 1)
        os.dup2(devnull.fileno(), 2)
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ["PYTHONPATH"] = str(root)  # for programs that tests start
    sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))


def outcome(root: Path, mutant: Mutant) -> str:
    """Run the tests; return ``caught``, ``NOT caught``, or ``BROKEN`` if they cannot run."""
    process = SERVER.Process(target=run_tests, args=(root, mutant.tests))
    process.start()
    process.join(TIMEOUT)
    if process.is_alive():
        process.kill()
        return "caught"
    return {FAILED: "caught", 0: "NOT caught"}.get(process.exitcode, "BROKEN")


def main() -> None:
    """Test all mutants and print the result of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="test only these mutants"
    )
    mutants = read_table(parser.parse_args().only)
    SERVER.set_forkserver_preload(PRELOADED)
    caught = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_project(root)
        for mutant in mutants:
            file, start = root / mutant.file, time.perf_counter()
            original = file.read_bytes()
            file.write_text(mutant.text(root), encoding="utf-8")
            result = outcome(root, mutant)
            file.write_bytes(original)
            caught += result == "caught"
            seconds = time.perf_counter() - start
            print(f"{result:<10}  {seconds:4.0f} s  {mutant.name}", flush=True)
    print(f"{caught} of {len(mutants)} caught ({caught / len(mutants):.0%})")
    sys.exit(caught < len(mutants))


if __name__ == "__main__":
    main()
