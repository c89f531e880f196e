"""What a file may say of groups that a public diffusion model draws."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from reid_gen.choices import ControlKind, DatasetName, DiffusionFamily, Precision, RasteriserName
from reid_gen.config.generators import AnyTurn, StepTurns
from reid_gen.config.section import Count, NotNegative, Section, Share, Side

Size = Annotated[Side, Field(multiple_of=8)]


class Control(Section):
    """One picture of the body that the model is shown."""

    weights: str
    """Hub id or folder of a ControlNet, or of a T2I-Adapter."""
    condition: Literal["openpose", "depth", "normal"]
    scale: NotNegative = 1.0
    control_end: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the steps after which a ControlNet no longer counts; T2I-Adapters always do."""


class ImagePrompt(Section):
    """IP-Adapter: the source image beside the words."""

    weights: str
    """Hub id or folder."""
    subfolder: str | None = None
    """null is that of h94/IP-Adapter for the family: ``models`` or ``sdxl_models``. Its
    ``image_encoder`` is read too if the base has none."""
    file: str | None = None
    """null is ``ip-adapter_sd15.safetensors`` or ``ip-adapter_sdxl.safetensors``, by family."""
    scale: NotNegative = 0.6


class StableDiffusion(Section):
    """A public model, what controls it, and how it draws."""

    family: DiffusionFamily = "sd"
    base: str
    """Hub id or folder."""
    control: ControlKind = "controlnet"
    controls: Annotated[tuple[Control, ...], Field(min_length=1, strict=False)]
    image_prompt: ImagePrompt | None = None
    lora: Annotated[Path | None, Field(strict=False)] = None
    """Folder that `reid-gen tune` made."""
    height: Size = 512
    width: Size = 256
    """That it draws at; pictures are then made smaller."""
    steps: Count = 20
    guidance: NotNegative = 5.0
    negative: str = ""
    """What must not be seen."""
    precision: Precision = "bf16"

    @model_validator(mode="after")
    def _fits_together(self) -> StableDiffusion:
        if self.control == "adapter" and self.family == "sd" and self.image_prompt is not None:
            raise ValueError(
                "diffusers has no image_prompt for T2I-Adapters of family sd; take control: "
                "controlnet or family: sdxl"
            )
        if self.control == "adapter" and len(self.controls) > 1:
            raise ValueError("give one T2I-Adapter; several controls need control: controlnet")
        control_end = self.controls[0].control_end
        if self.control == "adapter" and control_end != 1:
            raise ValueError(
                f"control_end: {control_end} has no effect on a T2I-Adapter, which counts in all "
                "steps; leave it out, or take control: controlnet"
            )
        return self


class Images(Section):
    """Which images lend their bodies, and the size of the pictures that are kept."""

    name: DatasetName
    root: Annotated[Path, Field(strict=False)]
    height: Side = 256
    width: Side = 128


class Groups(Section):
    """Groups of pictures that a public diffusion model draws."""

    data: Images
    bodies: Annotated[Path, Field(strict=False)]
    """Folder that `reid-gen meshes` made."""
    body: Annotated[Path | None, Field(strict=False)] = None
    """SMPL model if the bodies are SMPL's; null for the built-in one."""
    rasteriser: RasteriserName = "numba"
    min_score: Share = 0.3
    """Less confident bodies are left out."""
    angles: Annotated[StepTurns | AnyTurn, Field(discriminator="kind")] | None = None
    """How far bodies are turned; null draws them as they are."""
    positives: Literal["same_pose", "same_identity"] = "same_pose"
    """What a group shares: a body and a prompt, or the person of the source image."""
    prompts: Annotated[Path | None, Field(strict=False)] = None
    """Text file, a prompt per line, of which each group gets one at random."""
    run: Annotated[Path | None, Field(strict=False)] = None
    """Run whose encoder scores identity; null scores none."""
    identity: Annotated[Path | None, Field(strict=False)] = None
    """What `reid-gen tune --identity` made: the person's feature stands for the prompt."""
    model: StableDiffusion

    @model_validator(mode="after")
    def _fits_together(self) -> Groups:
        if (self.prompts is None) == (self.identity is None):
            raise ValueError("give either prompts or identity")
        if self.identity is not None and (self.run is None or self.model.family != "sd"):
            raise ValueError("identity needs the run that it was tuned with, and family: sd")
        if self.identity is not None and self.model.negative:
            raise ValueError(
                "model.negative has no effect with identity, which asks without words; leave it out"
            )
        told = {
            "model.image_prompt": self.model.image_prompt,
            "model.lora": self.model.lora,
            "identity": self.identity,
        }
        knows = [name for name, value in told.items() if value is not None]
        if self.positives == "same_identity" and not knows:
            raise ValueError(
                "same_identity needs something that knows the person: model.image_prompt, "
                "model.lora or identity"
            )
        if self.positives == "same_pose" and knows:
            raise ValueError(
                f"same_pose draws different people, and {knows[0]} would make them one; set "
                f"positives: same_identity, or leave {knows[0]} out"
            )
        if self.angles is not None and self.positives == "same_pose":
            raise ValueError("same_pose draws each body as it is; set angles to null")
        return self
