"""Training in two processes on the CPU, compared with one process on the same batches."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.data.real_format import make_market
from tests.training.joint import write_joint_config
from tests.training.small import write_config

pytest.importorskip("diffusers")

from tests.training.two_ranks import SHAPES, compare

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TRAINED = ("baseline", "joint", "diffusion")
ROUNDING = 1e-3
"""Largest relative difference of gradients and losses. In float32, sums over a batch depend on
their order, by 2e-6 here, and by 1e-4 where L1 losses have kinks; a wrong mean is a factor off."""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Results of one process and of each of two, and what these two print in a run."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "joint").mkdir()
    write_joint_config(folder / "joint")
    write_config(folder, make_market(folder / "data"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.training.two_ranks", str(port), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE) as two:
        single = compare(folder)
        _, errors = two.communicate(timeout=300)
    assert two.returncode == 0, errors.decode()
    results = [
        torch.load(folder / f"rank{n}.pt") | torch.load(folder / f"two{n}.pt") for n in (0, 1)
    ]
    return single, results, [(folder / f"rank{n}.txt").read_text() for n in (0, 1)]


def relative_difference(actual, expected):
    return float((actual - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", [*TRAINED, "views in one"])
def test_two_processes_agree_on_weights_bank_and_losses(outcome, name):
    first, second = (result[name] for result in outcome[1])
    assert first["digest"] == second["digest"]
    assert first["losses"] == second["losses"]


@pytest.mark.parametrize("name", TRAINED)
def test_two_processes_have_the_gradients_of_one(outcome, name):
    single, (first, _), _ = outcome
    expected = single[name]["gradients"]
    assert set(first[name]["gradients"]) == set(expected)
    for network, gradient in first[name]["gradients"].items():
        assert relative_difference(gradient, expected[network]) < ROUNDING, network


@pytest.mark.parametrize("name", TRAINED)
def test_two_processes_log_the_losses_of_one(outcome, name):
    single, (first, _), _ = outcome
    assert first[name]["losses"] == pytest.approx(single[name]["losses"], rel=ROUNDING)


def test_all_gather_with_grad_gives_the_gradient_of_one_process(outcome):
    single, (first, second), _ = outcome
    torch.testing.assert_close(first["gather"], single["gather"], atol=2e-6, rtol=0)
    assert torch.equal(first["gather"], second["gather"])
    assert single["gather"].abs().max() > 0.1


@pytest.mark.parametrize("buckets", [0, 1, 2])
def test_average_gradients_counts_a_missing_one_as_zero(outcome, buckets):
    for result in outcome[1]:
        *gradients, of_no_process = result["gradients"][buckets]
        for gradient, mean, shape in zip(gradients, (1.5, 0.5, 1.5), SHAPES, strict=True):
            assert torch.equal(gradient, torch.full(shape, mean))
        assert of_no_process is None


def test_average_statistics_leaves_counts_of_batches(outcome):
    for result in outcome[1]:
        assert result["statistics"] == [([2.0] * size, 5) for size in (2, 3)]


def test_together_raises_the_error_of_one_process_in_all(outcome):
    for rank, result in enumerate(outcome[1]):
        own, other = result["errors"][rank], result["errors"][1 - rank]
        assert own == f"UserError: disk of rank {rank} is full"
        assert other == f"OtherProcessError: disk of rank {1 - rank} is full"


def test_on_main_returns_the_result_in_all_processes(outcome):
    assert [result["on main"] for result in outcome[1]] == ["of rank 0"] * 2


def test_runtime_names_the_cause_if_a_process_ended(outcome):
    message = outcome[1][0]["lost"]
    assert message.startswith("UserError: the connection to another process of this run is lost")


def test_train_prints_in_the_first_process_only(outcome):
    first, second = outcome[2]
    assert "training in 2 processes\n" in first
    assert "done: " in first
    assert second == ""
