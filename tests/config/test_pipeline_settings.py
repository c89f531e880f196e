"""What a file may not say of groups that a public diffusion model draws."""

import pytest

from reid_gen.config.load import load_settings
from reid_gen.config.pipelines import Groups
from reid_gen.errors import UserError

TEXT = """\
data: {name: market1501, root: data}
bodies: bodies
prompts: prompts.txt
model:
  base: sd
  controls:
    - {weights: openpose, condition: openpose}
"""
TWO = "[{weights: a, condition: depth}, {weights: b, condition: normal}]"
ADAPTER = {"model.control": "adapter"}
IDENTITY = {"prompts": "null", "identity": "known", "run": "run", "positives": "same_identity"}
IMAGE_PROMPT = {"model.image_prompt": "{weights: ip}", "positives": "same_identity"}


def read(tmp_path, changes):
    file = tmp_path / "groups.yaml"
    file.write_text(TEXT)
    return load_settings(file, Groups, [f"{key}={value}" for key, value in changes.items()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ADAPTER | IMAGE_PROMPT,
            "diffusers has no image_prompt for T2I-Adapters of family sd; take control: "
            "controlnet or family: sdxl",
        ),
        (
            ADAPTER | {"model.controls": TWO},
            "give one T2I-Adapter; several controls need control: controlnet",
        ),
        (
            ADAPTER | {"model.controls.0.control_end": "0.5"},
            "control_end: 0.5 has no effect on a T2I-Adapter, which counts in all steps; leave it "
            "out, or take control: controlnet",
        ),
        ({"model.controls.0.control_end": "0.0"}, "must be greater than 0, got 0.0"),
        ({"identity": "known"}, "give either prompts or identity"),
        ({"prompts": "null"}, "give either prompts or identity"),
        (
            IDENTITY | {"run": "null"},
            "identity needs the run that it was tuned with, and family: sd",
        ),
        (
            IDENTITY | {"model.family": "sdxl"},
            "identity needs the run that it was tuned with, and family: sd",
        ),
        (
            IDENTITY | {"model.negative": "text"},
            "model.negative has no effect with identity, which asks without words; leave it out",
        ),
        (
            {"positives": "same_identity"},
            "same_identity needs something that knows the person: model.image_prompt, model.lora "
            "or identity",
        ),
        (
            IDENTITY | {"positives": "same_pose"},
            "same_pose draws different people, and identity would make them one; set positives: "
            "same_identity, or leave identity out",
        ),
        (
            {"model.lora": "lora"},
            "same_pose draws different people, and model.lora would make them one; set positives: "
            "same_identity, or leave model.lora out",
        ),
        (
            {"model.image_prompt": "{weights: ip}"},
            "same_pose draws different people, and model.image_prompt would make them one; set "
            "positives: same_identity, or leave model.image_prompt out",
        ),
        (
            {"angles": "{kind: any}"},
            "same_pose draws each body as it is; set angles to null",
        ),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_each_other(tmp_path, changes, message):
    with pytest.raises(UserError) as fault:
        read(tmp_path, changes)
    assert str(fault.value).endswith(f": {message}")


@pytest.mark.parametrize(
    "changes",
    [IDENTITY, IMAGE_PROMPT, {"model.lora": "lora", "positives": "same_identity"},
     ADAPTER | {"model.controls.0.control_end": "1.0"}, IMAGE_PROMPT | {"model.negative": "text"}],
)  # fmt: skip
def test_settings_that_fit(tmp_path, changes):
    read(tmp_path, changes)
