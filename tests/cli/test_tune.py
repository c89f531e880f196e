"""Fine-tuning a public diffusion model: real code, tiny random weights."""

import pytest
from safetensors.torch import load_file

from reid_gen.cli.main import main
from tests.cli.conftest import failure
from tests.cli.test_pipelines import SAME_PERSON, XL, generate

pytestmark = pytest.mark.slow

ADAPTER = (("  controls", "  control: adapter\n  controls"), ("/openpose,", "/adapter,"))


@pytest.fixture
def crops(gan_run):
    return gan_run.parents[1] / "people" / "query"


def with_lora(folder):
    return ("  height", f"  lora: {folder}\n  height")


@pytest.mark.parametrize("changes", [(), ADAPTER], ids=["controlnet", "adapter"])
def test_tune_prompt_fine_tunes_a_lora_on_a_tracklet(write, tmp_path, crops, changes):
    lora = tmp_path / "lora"
    tracklet = sorted(str(file) for file in crops.glob("*.jpg"))[:3]
    words = ["--prompt", "sks man", "--steps", "3", "--rank", "4", "--out", str(lora)]
    file = write(*changes, SAME_PERSON, with_lora(lora))  # model.lora may not exist yet
    main(["tune", str(file), *tracklet, *words])
    layers = load_file(lora / "pytorch_lora_weights.safetensors")
    assert {min(layer.shape) for layer in layers.values()} == {4}
    adapted = generate(file, tmp_path / "adapted")
    plain = generate(write(*changes, name="plain.yaml"), tmp_path / "plain")
    assert adapted.members[0].sha256 != plain.members[0].sha256


def test_tune_rank_is_32_by_default(write, tmp_path, crops):
    words = ["--prompt", "x", "--steps", "1", "--out", str(tmp_path / "lora")]
    main(["tune", str(write()), str(crops), *words])
    layers = load_file(tmp_path / "lora" / "pytorch_lora_weights.safetensors")
    assert {min(layer.shape) for layer in layers.values()} == {32}


@pytest.mark.parametrize("changes", [(), ADAPTER], ids=["controlnet", "adapter"])
def test_tune_identity_replaces_the_prompt_by_a_feature(write, tmp_path, crops, gan_run, changes):
    out = tmp_path / "identity"
    words = ["--identity", str(gan_run), "--steps", "2", "--out", str(out)]
    main(["tune", str(write()), str(crops), *words])
    identity = (f"prompts: {tmp_path}/prompts.txt", f"identity: {out}\nrun: {gan_run}")
    file = write(SAME_PERSON, identity, *changes, name="identity.yaml")
    groups = generate(file, tmp_path / "groups")
    assert {member.prompt for member in groups.members} == {""}


def test_tune_needs_either_prompt_or_identity(write, tmp_path, capsys, crops):
    message = failure(capsys, "tune", write(), crops, "--out", tmp_path / "x", code=2)
    assert "give either --prompt or --identity" in message


def test_tune_refuses_rank_with_identity(write, tmp_path, capsys, crops, gan_run):
    words = "--identity", gan_run, "--rank", "4", "--out", tmp_path / "x"
    message = failure(capsys, "tune", write(), crops, *words, code=2)
    assert message.endswith(
        "Error: --rank 4 has no effect with --identity, which trains a full layer; leave it "
        "out, or give --prompt"
    )
    assert not (tmp_path / "x").exists()


def test_tune_refuses_sdxl(write, tmp_path, capsys, crops):
    file = write(XL, ("/openpose,", "/openpose_xl,"))
    message = failure(capsys, "tune", file, crops, "--prompt", "x", "--out", tmp_path / "x")
    assert message == (
        "error: model.family is sdxl, and only family sd can be fine-tuned; for sdxl use "
        "diffusers' training scripts"
    )
