"""Tests of reading untrusted weight files: no code runs, and other files are refused."""

import argparse
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from reid_gen.errors import UserError
from reid_gen.tensors import load_strictly, read_weights


def state():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).state_dict()


def torchreid():
    """Build a checkpoint like torchreid's save_checkpoint, whose rank1 is a NumPy scalar."""
    network = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [20, 40])
    cmc = np.array([0.9, 0.95], np.float32)
    return {
        "state_dict": state(), "epoch": 60, "rank1": cmc[0],
        "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
    }  # fmt: skip


def cluster_contrast():
    """Build a checkpoint like Cluster Contrast and SpCL: DataParallel names, a NumPy mean."""
    prefixed = {f"module.{name}": value for name, value in state().items()}
    return {"state_dict": prefixed, "epoch": 50, "best_mAP": np.mean([0.7, 0.8])}


def fast_reid():
    """Build a checkpoint like fast-reid's Checkpointer, with a scheduler and NumPy values."""
    return {"model": state(), "scheduler": {"last_epoch": 3}, "iteration": np.int64(7), "cmc":
            np.array([0.5, 0.6])}  # fmt: skip


def dino():
    return {"teacher": state(), "args": argparse.Namespace(arch="resnet50", lr=0.1)}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("make", [torchreid, cluster_contrast, fast_reid, dino])
def test_read_weights_reads_what_toolboxes_write(make, zipped, tmp_path):
    path = tmp_path / "model.pth.tar"
    torch.save(make(), path, _use_new_zipfile_serialization=zipped)
    weights = read_weights(path)
    assert weights.keys() == state().keys()
    assert all(torch.equal(weights[name], value) for name, value in state().items())


def test_read_weights_reads_scalars_of_numpy_1(tmp_path):
    content = io.BytesIO()
    torch.save(torchreid(), content)
    old = tmp_path / "old.pth"
    with zipfile.ZipFile(content) as source, zipfile.ZipFile(old, "w") as target:
        for member in source.namelist():
            target.writestr(member, source.read(member).replace(b"numpy._core", b"numpy.core"))
    assert read_weights(old).keys() == state().keys()


class Evil:
    def __init__(self, folder):
        self.mark = str(folder / "it_ran")

    def __reduce__(self):
        return (open, (self.mark, "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_read_weights_never_runs_code(zipped, tmp_path):
    path = tmp_path / "evil.pth"
    content = {"state_dict": state(), "args": Evil(tmp_path)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"holds Python objects \((io|_io)\.open\)"):
        read_weights(path)
    path.write_bytes(pickle.dumps(content["args"]))
    with pytest.raises(UserError, match="evil"):
        read_weights(path)
    assert not (tmp_path / "it_ran").exists()


class Network(nn.Module):
    """Module that is pickled by the name of its class, not as a state dict."""


def zipped(compression=zipfile.ZIP_STORED, **members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, value in members.items():
            archive.writestr(name.replace("_of_", "/").replace("_dot_", "."), value)
    return content.getvalue()


def saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


KINDS = {
    "page": (b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page; download the file itself"),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "is a Git LFS pointer; get the file that it stands for: git lfs pull",
    ),
    "module": (saved(Network()), "holds Python objects (tests.test_tensors.Network)"),
    "empty": (b"", "is empty; download or copy it again"),
    "gzip": (b"\x1f\x8b" + bytes(40), "is compressed with gzip; unpack it"),
    "script": (zipped(x_of_constants_dot_pkl=b""), "is a TorchScript program"),
    "exported": (zipped(x_of_archive_format=b"pt2"), "is a program of torch.export"),
    "arrays": (zipped(pose_dot_npy=b""), "is an archive of NumPy arrays"),
    "bomb": (
        zipped(zipfile.ZIP_DEFLATED, x_of_data_of_0=bytes(10**6)),
        "is a compressed zip archive, which torch does not write",
    ),
    "garbage": (b"hello", "is not a readable weight file"),
    "truncated": (saved(state())[:700], "is not a readable weight file"),
    "list": (saved([1, 2]), "does not map names to tensors"),
    "nothing": (saved({}), "does not map names to tensors"),
    "texts": (saved({"state_dict": {"a": "b"}}), "does not map names to tensors"),
}


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".PT", ".bin", ".ckpt", ".safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_read_weights_names_the_kind_of_other_files(kind, suffix, tmp_path):
    content, message = KINDS[kind]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_weights(path)
    text = str(error.value)
    if suffix != ".safetensors" or kind in ("page", "pointer", "empty", "gzip"):
        assert message in text
    assert text.startswith(str(path))
    assert "weights_only" not in text
    assert "\n" not in text


def test_read_weights_does_not_wait_for_a_fifo(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(UserError, match="is a folder or a device, not a regular file"):
        read_weights(tmp_path / "pipe.pth")


def test_read_weights_lists_known_file_extensions(tmp_path):
    (tmp_path / "model.pkl").write_bytes(saved(state()))
    with pytest.raises(UserError, match=r"the extension of a weight file; give one of \.bin, "):
        read_weights(tmp_path / "model.pkl")


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("0.weight", lambda value: value * torch.nan, "1 not finite (NaN or infinite): 0.weight"),
        ("0.bias", lambda value: value / 0, "1 not finite (NaN or infinite): 0.bias"),
        ("0.weight", lambda value: value.double() + 1e300, "1 not finite (NaN or infinite): 0."),
        ("0.weight", lambda value: value + 1j, "1 wrong type: 0.weight torch.complex64 instead"),
        ("0.weight", lambda value: value.int(), "1 wrong type: 0.weight torch.int32 instead of"),
        (
            "0.weight",
            lambda value: value.to_sparse(),
            "wrong type: 0.weight (not a plain tensor)",
        ),
        ("0.weight", lambda value: value.to("meta"), "wrong type: 0.weight (not a plain tensor)"),
        ("0.weight", lambda value: torch.zeros(1).expand(10**12), "1 wrong shape: 0.weight (1000"),
        ("1.running_var", lambda value: -value, "1 negative variance: 1.running_var"),
        ("1.running_mean", lambda value: value + torch.inf, "not finite (NaN or infinite): 1.run"),
    ],
)
def test_load_strictly_refuses_tensors_that_do_not_fit(name, change, expected, tmp_path):
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    torch.save(state() | {name: change(state()[name])}, tmp_path / "x.pth")
    with pytest.raises(UserError) as error:
        load_strictly(module, read_weights(tmp_path / "x.pth"), "x.pth", way_out="try again")
    assert str(error.value).startswith("x.pth does not fit this architecture: ")
    assert expected in str(error.value)
    assert str(error.value).endswith("; try again")
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_load_strictly_accepts_half_and_double_precision(tmp_path):
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        converted = {name: value.to(dtype) for name, value in state().items()}
        save_file(converted, tmp_path / "x.safetensors")
        load_strictly(module, read_weights(tmp_path / "x.safetensors"), "x")
        torch.testing.assert_close(module[0].weight.data, state()["0.weight"], atol=0.01, rtol=0)
