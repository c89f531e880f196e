"""Checks across the settings of a pipeline file."""

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


def load(tmp_path, changes):
    file = tmp_path / "groups.yaml"
    file.write_text(TEXT)
    return load_settings(file, Groups, [f"{key}={value}" for key, value in changes.items()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ADAPTER | IMAGE_PROMPT,
            "diffusers supports no image_prompt with a T2I-Adapter of family sd; set control: "
            "controlnet or family: sdxl",
        ),
        (
            ADAPTER | {"model.controls": TWO},
            "a T2I-Adapter must be the only control; several need control: controlnet",
        ),
        (
            ADAPTER | {"model.controls.0.control_end": "0.5"},
            "control_end: 0.5 has no effect on a T2I-Adapter, which conditions all steps; leave it "
            "out, or set control: controlnet",
        ),
        ({"model.controls.0.control_end": "0.0"}, "must be greater than 0, got 0.0"),
        ({"identity": "known"}, "give either prompts or identity"),
        ({"prompts": "null"}, "give either prompts or identity"),
        (
            IDENTITY | {"run": "null"},
            "identity needs run, as given to reid-gen tune --identity, and model.family: sd",
        ),
        (
            IDENTITY | {"model.family": "sdxl"},
            "identity needs run, as given to reid-gen tune --identity, and model.family: sd",
        ),
        (
            IDENTITY | {"model.negative": "text"},
            "model.negative has no effect with identity, which has no text prompt; leave it out",
        ),
        (
            {"positives": "same_identity"},
            "same_identity needs a setting that conditions on the person: model.image_prompt, "
            "model.lora or identity",
        ),
        (
            IDENTITY | {"positives": "same_pose"},
            "same_pose generates different people, but identity conditions on one person; set "
            "positives: same_identity, or leave identity out",
        ),
        (
            {"model.lora": "lora"},
            "same_pose generates different people, but model.lora conditions on one person; set "
            "positives: same_identity, or leave model.lora out",
        ),
        (
            {"model.image_prompt": "{weights: ip}"},
            "same_pose generates different people, but model.image_prompt conditions on one "
            "person; set positives: same_identity, or leave model.image_prompt out",
        ),
        (
            {"angles": "{kind: any}"},
            "same_pose does not rotate bodies; set angles to null",
        ),
    ],
)  # fmt: skip
def test_pipeline_refuses_contradictory_settings(tmp_path, changes, message):
    with pytest.raises(UserError) as error:
        load(tmp_path, changes)
    assert str(error.value).endswith(f": {message}")


@pytest.mark.parametrize(
    "changes",
    [IDENTITY, IMAGE_PROMPT, {"model.lora": "lora", "positives": "same_identity"},
     ADAPTER | {"model.controls.0.control_end": "1.0"}, IMAGE_PROMPT | {"model.negative": "text"}],
)  # fmt: skip
def test_pipeline_accepts_consistent_settings(tmp_path, changes):
    assert load(tmp_path, changes).model.base == "sd"
