"""Runs one command of a page with its configuration scaled down."""

import re
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser
from torch.distributed.run import get_args_parser

from reid_gen.cli.main import main
from reid_gen.cli.train import train
from reid_gen.config.load import load_config
from tests.documents.pages import ROOT, text_of

NETWORK = ("encoder.backbone=resnet10t", "encoder.weights=null", "data.height=80", "data.width=40")
SIZE = ("data.height=64", "data.width=64")
BATCHES = ("sampler.batch=16", "sampler.instances=4", "clustering.k1=6", "clustering.k2=2",
           "clustering.min_samples=2")  # fmt: skip
GAN = ("generator.batch=4", "generator.structure.width=4", "generator.decoder.hidden=8",
       "generator.discriminator.width=4")  # fmt: skip


def stages(count: int) -> tuple[str, ...]:
    """Return settings that reduce each of ``count`` stages to two steps."""
    short = ("epochs=1", "iterations=2", "decay_every=null")
    return tuple(f"stages.{stage}.{setting}" for stage in range(count) for setting in short)


NETWORKS: Mapping[str, tuple[str, ...]] = {
    "configs/baseline_market.yaml": NETWORK,
    "configs/baseline_market_small.yaml": NETWORK,
    "configs/gcl_market.yaml": NETWORK,
    "configs/gcl_market_small.yaml": NETWORK,
}
SCHEDULES: Mapping[str, tuple[str, ...]] = {
    "configs/baseline_market.yaml": (*BATCHES, *stages(1)),
    "configs/baseline_market_small.yaml": (*BATCHES, *stages(1)),
    "configs/baseline_pedestrians.yaml": (*SIZE, "clustering.k1=6", *stages(1)),
    "configs/gcl_pedestrians.yaml": (
        *SIZE, "clustering.k1=6", *GAN, "generator.train_batch=2", *stages(3)
    ),
    "configs/gcl_market_small.yaml": (
        *BATCHES, *GAN, "generator.train_batch=2", "generator.min_score=0", *stages(2)
    ),
    "configs/gcl_market.yaml": (
        *BATCHES, *GAN, "generator.min_score=0", "stages.0.sampler.batch=16",
        "stages.0.sampler.instances=4",
        "stages.0.clustering={eps: {kind: share, share: 0.1}}",
        "stages.2.clustering.eps.share=0.1", *stages(3)
    ),
    "configs/diffusion_pedestrians.yaml": (
        *SIZE, "clustering.k1=6", "generator.batch=4", "generator.widths=[16,32]",
        "generator.steps=2", *stages(2),
    ),
    "configs/genpoccl_pretrain.yaml": (*SIZE, "pose.batch=8", "pose.hidden=16", *stages(1)),
}  # fmt: skip
"""Settings that scale a configuration down; the page's own settings override them."""
_TEMPORARY = tempfile.TemporaryDirectory()
_WRITTEN: dict[tuple[str, ...], Path] = {}
"""Command without its ``--out`` -> a copy of the folder that it wrote."""


def run(words: list[str]) -> None:
    """Run a command; the settings that scale its configuration down precede the page's own."""
    program, *rest = words
    if program == "reid-gen":
        if "--config" in rest:
            position = rest.index("--config") + 2
            config = rest[position - 1]
            small = NETWORKS.get(config, ())
            if rest[0] != "evaluate":
                small += SCHEDULES[config]
            rest[position:position] = [word for setting in small for word in ("--set", setting)]
        if rest[:1] == ["data"] and rest[1] in ("render", "groups"):
            rest += ["--workers", "1"]  # each process would import torch for a few crops
            _write_once(rest)
            return
        if rest[:1] == ["evaluate-views"] and "--queries" not in rest:
            rest += ["--queries", "4"]
        main(rest)
    elif program in ("torchrun", "accelerate"):
        _check_launch(words)
    elif program == "pip":
        (extra,) = re.findall(r"^\.\[([\w-]+)\]$", rest[-1])
        assert re.search(rf"^{extra} = \[", text_of(ROOT / "pyproject.toml"), re.MULTILINE)
    elif rest[0] == "-m":  # benchmarks take hours: only check that they start
        with pytest.raises(SystemExit) as stopped:
            python(rest[1], ["--help"], runpy.run_module)
        assert stopped.value.code == 0
    else:
        assert program == "python"
        python(str(ROOT / rest[0]), rest[1:], runpy.run_path)


def _check_launch(words: list[str]) -> None:
    """Check a command that starts several processes: test_two_ranks.py runs such a training."""
    if words[0] == "torchrun":
        options = get_args_parser().parse_args(words[1:])
    else:
        assert words[1] == "launch"
        options = launch_command_parser().parse_args(words[2:])
    program, rest = options.training_script, options.training_script_args
    if options.module:
        assert (program, rest.pop(0)) == ("reid_gen.cli.main", "train")
    else:
        assert program == "tools/train.py"
    params = train.make_context("train", rest).params
    if params["config"] is not None:
        load_config(params["config"], params["overrides"])


def _write_once(words: list[str]) -> None:
    """Run a command of this process's first page that has it; copy its folder for the others."""
    position = words.index("--out") + 1
    out = Path(words[position])
    key = (*words[:position], *words[position + 1 :])
    if key not in _WRITTEN:
        main(words)
        _WRITTEN[key] = Path(tempfile.mkdtemp(dir=_TEMPORARY.name)) / out.name
        shutil.copytree(out, _WRITTEN[key])
    else:
        assert not out.exists()
        shutil.copytree(_WRITTEN[key], out)


def python(name: str, words: list[str], runner: Callable[..., object]) -> None:
    """Run a script or module as ``__main__`` with these arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *words])
        runner(name, run_name="__main__")
