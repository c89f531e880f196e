"""Profiles of epochs: a table of where the time goes, and a trace."""

import json
import re

import pytest

from reid_gen.config.dump import dump_config
from reid_gen.training.profile import OTHER
from reid_gen.training.run import profile_run, start_run
from tests.data.real_format import make_market
from tests.training import joint, small

pytestmark = pytest.mark.slow
BASELINE_PARTS = {
    "encoder", "encoder, backward", "contrastive losses", "contrastive losses, backward",
    "copy and augment", "memory bank", "optimiser", "waiting for images", OTHER,
}  # fmt: skip


def profiled(config, *overrides):
    """Train with a profile; returns its folder."""
    experiment, settings = small.experiment(config, *overrides)
    run = settings.runs / settings.name
    profile_run(experiment, run)
    start_run(experiment, run, dump_config(settings))
    return run / "profile"


def milliseconds(table, head):
    """The rows of a table below its head: first number by name."""
    lines = iter(table.splitlines())
    assert any(line.startswith(head) for line in lines)
    rows = {}
    for line in lines:
        match = re.fullmatch(r"(\S.*?)  +([\d.]+).*", line)
        if match is None:
            break
        rows[match[1]] = float(match[2])
    return rows


def test_profile_divides_the_time_of_an_epoch(tmp_path):
    folder = profiled(small.write_config(tmp_path, make_market(tmp_path / "data")))
    assert {file.name for file in folder.iterdir()} == {"epoch_0002.txt", "epoch_0002.trace.json"}
    table = (folder / "epoch_0002.txt").read_text()
    step = milliseconds(table, "step")
    total = step.pop("total")
    assert set(step) >= BASELINE_PARTS
    assert "copy and augment, backward" not in step
    assert sum(step.values()) == pytest.approx(total, rel=0.02)
    assert step["encoder, backward"] > step["memory bank"]
    epoch = milliseconds(table, "epoch")
    seconds = epoch.pop("total")
    assert sum(epoch.values()) == pytest.approx(seconds, abs=0.05)
    assert epoch["extraction"] > 0
    names = {
        event["name"]
        for event in json.loads((folder / "epoch_0002.trace.json").read_text())["traceEvents"]
    }
    assert "reid-gen: encoder" in names


def test_profile_of_a_gan_names_its_networks(tmp_path):
    folder = profiled(joint.write_joint_config(tmp_path))
    tables = sorted(folder.glob("*.txt"))
    step = milliseconds(tables[-2].read_text(), "step")
    for network in ("encoder", "generator", "discriminator"):
        assert {network, f"{network}, backward"} <= set(step)
