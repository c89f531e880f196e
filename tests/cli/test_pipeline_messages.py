"""Faults in the settings or the weights of a public diffusion model: one clear message each."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save, save_file

from reid_gen.generators.stable_diffusion.identity_prompt import (
    IdentityPrompt,
    save_identity_prompt,
)
from tests.cli.conftest import failure
from tests.cli.test_pipelines import SAME_PERSON

ADAPTER = ("  controls", "  control: adapter\n  controls")
LAYER = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.fixture
def fails(write, tmp_path, capsys):
    """What `generate` says of changed settings."""

    def fails(*changes, members=2):
        file = write(*changes, name="bad.yaml")
        words = "--out", tmp_path / "x", "--members", members
        message = failure(capsys, "generate", file, *words)
        assert not (tmp_path / "x").exists()
        return message.splitlines()[-1]  # after the bars of what was loaded

    return fails


def model(text):
    return ("  height: 32", f"  {text}\n  height: 32")


def test_a_base_that_is_nowhere(fails, weights):
    assert fails(("/sd\n", "/nowhere\n")) == (
        f"error: no folder of weights at {weights}/nowhere; check the path, or give a hub id"
    )


def test_a_base_that_is_none(fails, weights):
    assert fails(("/sd\n", "/openpose\n")) == (
        f"error: {weights}/openpose cannot be loaded as StableDiffusionControlNetPipeline (Error "
        f"no file named model_index.json found in directory {weights}/openpose.); check the id and "
        "the network, or give a folder that diffusers wrote"
    )


def test_a_base_of_another_family(fails, weights):
    assert fails(("/sd\n", "/sdxl\n")) == (
        f"error: {weights}/sdxl is of family sdxl, and model.family is sd; change one of them"
    )


def test_a_size_that_the_base_cannot_draw_before_its_weights_are_read(fails, weights, tmp_path):
    """Of Stable Diffusion 1.5 nothing is there but its settings."""
    for name, channels in (("unet", [320, 640, 1280, 1280]), ("vae", [128, 256, 512, 512])):
        file = tmp_path / "large" / name / "config.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"block_out_channels": channels, "cross_attention_dim": 768}))
    size = ("height: 32", "height: 520")
    assert fails((f"{weights}/sd\n", f"{tmp_path}/large\n"), size) == (
        f"error: {tmp_path}/large cannot generate 520 x 16 pixels: model.height and model.width "
        "must be multiples of 64"
    )


def test_a_controlnet_of_another_family(fails, weights):
    assert fails(("/openpose,", "/openpose_xl,")) == (
        f"error: {weights}/openpose_xl was trained for another base model than {weights}/sd "
        "(cross_attention_dim is 64); take a ControlNetModel of the base's family"
    )


def test_an_adapter_of_another_family(fails, weights):
    assert fails(ADAPTER, ("/openpose,", "/adapter_xl,")) == (
        f"error: {weights}/adapter_xl was trained for another base model than {weights}/sd "
        "(adapter_type is full_adapter_xl); take a T2IAdapter of the base's family"
    )


def test_a_controlnet_where_an_adapter_is_wanted(fails, weights):
    assert fails(ADAPTER) == (
        f"error: {weights}/openpose is a ControlNetModel, and model.control: adapter takes a "
        "T2IAdapter; change model.control or the weights"
    )


def test_an_image_prompt_that_is_nowhere(fails):
    assert fails(SAME_PERSON, model("image_prompt: {weights: ./nowhere}")) == (
        "error: no folder of weights at ./nowhere; check the path, or give a hub id"
    )


def test_an_image_prompt_without_its_file(fails, weights):
    message = fails(SAME_PERSON, model(f"image_prompt: {{weights: {weights}/ip, file: x.bin}}"))
    assert message == (
        f"error: {weights}/ip/models/x.bin cannot be loaded as an IP-Adapter (Error no file named "
        f"x.bin found in directory {weights}/ip.); check model.image_prompt.weights, subfolder "
        "and file"
    )


def test_an_image_prompt_of_another_family(fails, weights):
    given = f"{{weights: {weights}/ip, subfolder: sdxl_models, file: ip-adapter_sdxl.safetensors}}"
    message = fails(SAME_PERSON, model(f"image_prompt: {given}"))
    assert "ip-adapter_sdxl.safetensors cannot be loaded as an IP-Adapter (" in message
    assert message.endswith("check model.image_prompt.weights, subfolder and file")


def test_an_image_prompt_with_the_encoder_of_another(fails, weights, tmp_path):
    shutil.copytree(weights / "ip" / "models", tmp_path / "ip" / "models")
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(
        hidden_size=48, intermediate_size=37, num_hidden_layers=1, num_attention_heads=4,
        image_size=32, patch_size=8, projection_dim=48,
    )  # fmt: skip
    own = transformers.CLIPVisionModelWithProjection(config)
    own.save_pretrained(tmp_path / "ip" / "models" / "image_encoder")
    assert fails(SAME_PERSON, model(f"image_prompt: {{weights: {tmp_path}/ip}}")) == (
        f"error: {tmp_path}/ip/models/ip-adapter_sd15.safetensors cannot be loaded as an "
        "IP-Adapter (mat1 and mat2 shapes cannot be multiplied (1x48 and 32x128)); check "
        "model.image_prompt.weights, subfolder and file"
    )


def test_a_low_rank_adaptation_that_is_nowhere(fails, tmp_path):
    assert fails(SAME_PERSON, model(f"lora: {tmp_path}/none")) == (
        f"error: {tmp_path}/none does not exist; check model.lora"
    )


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (None, "cannot be loaded as LoRA weights (Error no file named pytorch_lora"),
        ({LAYER: 7}, "cannot be loaded as LoRA weights (Error(s) in loading state_dict "
                     "for UNet2DConditionModel: size mismatch for mid_block"),
        ({"unet.no.to_q": 7}, "cannot be loaded as LoRA weights (Target modules"),
        ({"other": 7}, "adapts no layer of "),
    ],
    ids=["empty", "of another size", "of another network", "of no network"],
)  # fmt: skip
def test_a_low_rank_adaptation_that_does_not_fit(fails, tmp_path, layers, reason):
    lora = tmp_path / "lora"
    lora.mkdir()
    if layers is not None:
        tensors = {}
        for name, width in layers.items():
            tensors[f"{name}.lora_A.weight"] = torch.zeros(2, width)
            tensors[f"{name}.lora_B.weight"] = torch.zeros(width, 2)
        save_file(tensors, lora / "pytorch_lora_weights.safetensors")
    message = fails(SAME_PERSON, model(f"lora: {lora}"))
    assert message.startswith(f"error: {lora} {reason}")
    assert message.endswith("give the folder that reid-gen tune --prompt made for this base")


@pytest.fixture
def fails_with_identity(fails, tmp_path, gan_run):
    known = (f"prompts: {tmp_path}/prompts.txt", f"identity: {tmp_path}\nrun: {gan_run}")
    return lambda: fails(SAME_PERSON, known)


def test_an_identity_that_is_nowhere(fails_with_identity, tmp_path):
    assert fails_with_identity() == (
        f"error: no identity.safetensors in {tmp_path}; train one: reid-gen tune --identity RUN"
    )


def test_an_identity_of_another_encoder(fails_with_identity, tmp_path):
    save_identity_prompt(IdentityPrompt(7, 32), tmp_path)
    assert fails_with_identity() == (
        f"error: {tmp_path}/identity.safetensors was trained for features of length 7, the run's "
        "have 512; train it with this run"
    )


def test_an_identity_of_another_base(fails_with_identity, tmp_path):
    save_identity_prompt(IdentityPrompt(512, 48), tmp_path)
    assert fails_with_identity() == (
        f"error: {tmp_path}/identity.safetensors was trained for a base model with tokens of "
        "width 48, those of model.base have 32; train it with this base model"
    )


def test_an_identity_that_is_no_weight_file(fails_with_identity, tmp_path):
    (tmp_path / "identity.safetensors").write_bytes(b"junk")
    message = fails_with_identity()
    assert message.startswith(f"error: {tmp_path}/identity.safetensors is no readable weight file")


def test_an_identity_of_other_weights(fails_with_identity, tmp_path):
    (tmp_path / "identity.safetensors").write_bytes(save({"other": torch.zeros(2)}))
    assert fails_with_identity() == (
        f"error: {tmp_path}/identity.safetensors was not written by reid-gen tune --identity "
        "('norm.weight'); train it again"
    )


def test_a_misspelt_key(fails):
    assert "unknown key; allowed here:" in fails(("  steps", "  stpes"))


def test_an_empty_line_among_the_prompts(fails, tmp_path, write):
    prompts = tmp_path / "prompts.txt"
    write()
    prompts.write_text("a man\n\na woman\n")
    assert f"{prompts}:2: this line is empty; write a prompt or remove it" in fails()


def test_a_prompt_that_is_there_twice(fails, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a man\na man\n")
    assert f"{prompts}:2: 'a man' is a duplicate; remove it" in fails()


def test_no_prompts(fails, tmp_path):
    (tmp_path / "prompts.txt").write_text("")
    assert "has no prompt; write one per line" in fails()
