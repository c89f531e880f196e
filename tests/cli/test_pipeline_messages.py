"""Errors in a pipeline file or in the weights that it names: one message each."""

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
def error_of(write, tmp_path, capsys):
    """Return a function that gives the error of `generate` on a changed pipeline file."""

    def error_of(*changes, members=2):
        file = write(*changes, name="bad.yaml")
        words = "--out", tmp_path / "x", "--members", members
        message = failure(capsys, "generate", file, *words)
        assert not (tmp_path / "x").exists()
        return message.splitlines()[-1]  # after progress bars of loading

    return error_of


def model(text):
    return ("  height: 32", f"  {text}\n  height: 32")


def test_base_that_does_not_exist(error_of, weights):
    assert error_of(("/sd\n", "/nowhere\n")) == (
        f"error: no folder of weights at {weights}/nowhere; check the path, or give a hub id"
    )


def test_base_that_is_not_a_pipeline(error_of, weights):
    assert error_of(("/sd\n", "/openpose\n")) == (
        f"error: {weights}/openpose cannot be loaded as StableDiffusionControlNetPipeline (Error "
        f"no file named model_index.json found in directory {weights}/openpose.); check the id and "
        "the network, or give a folder that diffusers wrote"
    )


def test_base_of_another_family(error_of, weights):
    assert error_of(("/sd\n", "/sdxl\n")) == (
        f"error: {weights}/sdxl is of family sdxl, and model.family is sd; change one of them"
    )


def test_size_is_checked_before_weights_are_loaded(error_of, weights, tmp_path):
    """The folder holds configuration files of Stable Diffusion 1.5 but no weights."""
    for name, channels in (("unet", [320, 640, 1280, 1280]), ("vae", [128, 256, 512, 512])):
        file = tmp_path / "large" / name / "config.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"block_out_channels": channels, "cross_attention_dim": 768}))
    size = ("height: 32", "height: 520")
    assert error_of((f"{weights}/sd\n", f"{tmp_path}/large\n"), size) == (
        f"error: {tmp_path}/large cannot generate 520 x 16 pixels: model.height and model.width "
        "must be multiples of 64"
    )


def test_controlnet_of_another_family(error_of, weights):
    assert error_of(("/openpose,", "/openpose_xl,")) == (
        f"error: {weights}/openpose_xl was trained for another base model than {weights}/sd "
        "(cross_attention_dim is 64); take a ControlNetModel of the base's family"
    )


def test_adapter_of_another_family(error_of, weights):
    assert error_of(ADAPTER, ("/openpose,", "/adapter_xl,")) == (
        f"error: {weights}/adapter_xl was trained for another base model than {weights}/sd "
        "(adapter_type is full_adapter_xl); take a T2IAdapter of the base's family"
    )


def test_controlnet_instead_of_an_adapter(error_of, weights):
    assert error_of(ADAPTER) == (
        f"error: {weights}/openpose is a ControlNetModel, and model.control: adapter takes a "
        "T2IAdapter; change model.control or the weights"
    )


def test_image_prompt_that_does_not_exist(error_of):
    assert error_of(SAME_PERSON, model("image_prompt: {weights: ./nowhere}")) == (
        "error: no folder of weights at ./nowhere; check the path, or give a hub id"
    )


def test_image_prompt_without_its_file(error_of, weights):
    message = error_of(SAME_PERSON, model(f"image_prompt: {{weights: {weights}/ip, file: x.bin}}"))
    assert message == (
        f"error: {weights}/ip/models/x.bin cannot be loaded as an IP-Adapter (Error no file named "
        f"x.bin found in directory {weights}/ip.); check model.image_prompt.weights, subfolder "
        "and file"
    )


def test_image_prompt_of_another_family(error_of, weights):
    prompt = f"{{weights: {weights}/ip, subfolder: sdxl_models, file: ip-adapter_sdxl.safetensors}}"
    message = error_of(SAME_PERSON, model(f"image_prompt: {prompt}"))
    assert "ip-adapter_sdxl.safetensors cannot be loaded as an IP-Adapter (" in message
    assert message.endswith("check model.image_prompt.weights, subfolder and file")


def test_image_prompt_with_another_image_encoder(error_of, weights, tmp_path):
    shutil.copytree(weights / "ip" / "models", tmp_path / "ip" / "models")
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(
        hidden_size=48, intermediate_size=37, num_hidden_layers=1, num_attention_heads=4,
        image_size=32, patch_size=8, projection_dim=48,
    )  # fmt: skip
    encoder = transformers.CLIPVisionModelWithProjection(config)
    encoder.save_pretrained(tmp_path / "ip" / "models" / "image_encoder")
    assert error_of(SAME_PERSON, model(f"image_prompt: {{weights: {tmp_path}/ip}}")) == (
        f"error: {tmp_path}/ip/models/ip-adapter_sd15.safetensors cannot be loaded as an "
        "IP-Adapter (mat1 and mat2 shapes cannot be multiplied (1x48 and 32x128)); check "
        "model.image_prompt.weights, subfolder and file"
    )


def test_lora_that_does_not_exist(error_of, tmp_path):
    assert error_of(SAME_PERSON, model(f"lora: {tmp_path}/none")) == (
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
def test_lora_of_another_network(error_of, tmp_path, layers, reason):
    lora = tmp_path / "lora"
    lora.mkdir()
    if layers is not None:
        tensors = {}
        for name, width in layers.items():
            tensors[f"{name}.lora_A.weight"] = torch.zeros(2, width)
            tensors[f"{name}.lora_B.weight"] = torch.zeros(width, 2)
        save_file(tensors, lora / "pytorch_lora_weights.safetensors")
    message = error_of(SAME_PERSON, model(f"lora: {lora}"))
    assert message.startswith(f"error: {lora} {reason}")
    assert message.endswith("give the folder that reid-gen tune --prompt made for this base")


@pytest.fixture
def identity_error(error_of, tmp_path, gan_run):
    identity = (f"prompts: {tmp_path}/prompts.txt", f"identity: {tmp_path}\nrun: {gan_run}")
    return lambda: error_of(SAME_PERSON, identity)


def test_identity_that_does_not_exist(identity_error, tmp_path):
    assert identity_error() == (
        f"error: no identity.safetensors in {tmp_path}; train one: reid-gen tune --identity RUN"
    )


def test_identity_of_another_encoder(identity_error, tmp_path):
    save_identity_prompt(IdentityPrompt(7, 32), tmp_path)
    assert identity_error() == (
        f"error: {tmp_path}/identity.safetensors was trained for features of length 7, the run's "
        "have 512; train it with this run"
    )


def test_identity_of_another_base(identity_error, tmp_path):
    save_identity_prompt(IdentityPrompt(512, 48), tmp_path)
    assert identity_error() == (
        f"error: {tmp_path}/identity.safetensors was trained for a base model with tokens of "
        "width 48, those of model.base have 32; train it with this base model"
    )


def test_identity_that_is_not_a_weight_file(identity_error, tmp_path):
    (tmp_path / "identity.safetensors").write_bytes(b"junk")
    message = identity_error()
    assert message.startswith(
        f"error: {tmp_path}/identity.safetensors is not a readable weight file"
    )


def test_identity_with_other_weights(identity_error, tmp_path):
    (tmp_path / "identity.safetensors").write_bytes(save({"other": torch.zeros(2)}))
    assert identity_error() == (
        f"error: {tmp_path}/identity.safetensors was not written by reid-gen tune --identity "
        "('norm.weight'); train it again"
    )


def test_pipeline_with_an_unknown_key(error_of):
    assert "unknown key; allowed here:" in error_of(("  steps", "  stpes"))


def test_prompts_with_an_empty_line(error_of, tmp_path, write):
    prompts = tmp_path / "prompts.txt"
    write()
    prompts.write_text("a man\n\na woman\n")
    assert f"{prompts}:2: this line is empty; write a prompt or remove it" in error_of()


def test_prompts_with_a_duplicate(error_of, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a man\na man\n")
    assert f"{prompts}:2: 'a man' is a duplicate; remove it" in error_of()


def test_prompts_that_are_empty(error_of, tmp_path):
    (tmp_path / "prompts.txt").write_text("")
    assert "has no prompt; write one per line" in error_of()
