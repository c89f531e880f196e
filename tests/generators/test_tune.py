"""The loss of fine-tuning, with a network that knows the right prediction."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("peft")

from diffusers import DDPMScheduler

from reid_gen.generators.stable_diffusion import finetune
from reid_gen.generators.stable_diffusion.finetune import Base, Tuning, tune_identity
from reid_gen.types import Image
from tests.data.real_format import draw_person

LATENT, SCALE = 3.0, 0.5
"""Value of every latent, and the scaling factor of the base model."""


class OracleUNet(nn.Module):
    """Predicts the exact noise or velocity of the latents, times a trainable gain."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule = schedule
        self.gain = nn.Parameter(torch.ones(()))
        self.timesteps, self.embeds = [], []

    def forward(self, z_t, t, encoder_hidden_states):
        self.timesteps += t.tolist()
        self.embeds += encoder_hidden_states.flatten().tolist()
        alpha_bar = self.schedule.alphas_cumprod[t].view(-1, 1, 1, 1)
        z0 = torch.full_like(z_t, LATENT * SCALE)
        noise = (z_t - alpha_bar.sqrt() * z0) / (1 - alpha_bar).sqrt()
        prediction = noise
        if self.schedule.config.prediction_type == "v_prediction":
            prediction = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * z0
        return SimpleNamespace(sample=self.gain * prediction)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_finetune_minimises_the_error_of_the_prediction_type(prediction_type):
    schedule = DDPMScheduler(prediction_type=prediction_type)
    unet = OracleUNet(schedule)

    def autoencode(crops):
        latents = torch.full((len(crops), 4, 2, 2), LATENT)
        return SimpleNamespace(latent_dist=SimpleNamespace(sample=lambda: latents))

    settings = SimpleNamespace(scaling_factor=SCALE)
    vae = SimpleNamespace(encode=autoencode, config=settings, dtype=torch.float32)
    pipeline = SimpleNamespace(vae=vae, unet=unet, scheduler=schedule)
    progress, requested = [], []

    def embed(rows):
        requested.append(rows.tolist())
        return rows.float().view(-1, 1, 1)

    torch.manual_seed(0)
    tuning = Tuning(steps=30, batch=2, learning_rate=0.01)
    base, crops = Base(pipeline, 16, 16), torch.zeros(5, 3, 16, 16)
    finetune._train(base, crops, embed, [unet.gain], tuning, progress.append)
    assert unet.gain.item() == pytest.approx(1, abs=0.02)  # weight decay alone changes it
    assert progress == [1] * 30
    assert min(unet.timesteps) < 150
    assert max(unet.timesteps) > 850
    assert unet.embeds == [float(row) for rows in requested for row in rows]
    assert set(np.concatenate(requested)) == set(range(5))
    assert all(len(set(rows)) == 2 for rows in requested)


def test_tune_identity_reads_features_of_crops_in_order(tmp_path, monkeypatch):
    images = [Image(f"{n}", tmp_path / f"{n}.png") for n in range(18)]
    for n, image in enumerate(images):
        draw_person(image.path, n, 0, 0)
    encoded, calls = [], []

    def encode(crops):
        assert crops.min() >= 0
        assert crops.max() <= 1
        encoded.append(crops)
        return crops.mean((2, 3))

    def train(base, crops, embed, trainable, tuning, advance):
        torch.testing.assert_close((crops + 1) / 2, torch.cat(encoded))
        rows = torch.tensor([17, 2])
        calls.append((embed(rows), torch.cat(encoded).mean((2, 3))[rows]))

    prompts = []
    monkeypatch.setattr(finetune, "_train", train)
    monkeypatch.setattr(
        finetune, "save_identity_prompt", lambda prompt, folder: prompts.append(prompt)
    )
    unet = SimpleNamespace(config=SimpleNamespace(cross_attention_dim=5))
    vae = SimpleNamespace(dtype=torch.float32)
    base = Base(SimpleNamespace(unet=unet, vae=vae, device=torch.device("cpu")), 16, 8)
    tune_identity(
        base, images, encode, 3, tuning=Tuning(), folder=tmp_path, advance=lambda steps: None
    )
    ((embeds, features),) = calls
    torch.testing.assert_close(embeds, prompts[0](features))
    assert embeds.shape[2] == 5
