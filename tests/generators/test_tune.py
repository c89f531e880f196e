"""What fitting a public diffusion model descends: its networks know the answer here."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("peft")

from diffusers import DDPMScheduler

from reid_gen.generators.stable_diffusion import finetune as tune
from reid_gen.generators.stable_diffusion.finetune import Base, Tuning, _descend, tune_identity
from reid_gen.types import Image
from tests.data.real_format import draw_person

LATENT, SCALE = 3.0, 0.5
"""What the autoencoder says of every pixel, and by how much the base scales it."""


class Knowing(nn.Module):
    """Says what was mixed into the latents, times a gain that learns."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule = schedule
        self.gain = nn.Parameter(torch.ones(()))
        self.times, self.words = [], []

    def forward(self, noisy, time, encoder_hidden_states):
        self.times += time.tolist()
        self.words += encoder_hidden_states.flatten().tolist()
        kept = self.schedule.alphas_cumprod[time].view(-1, 1, 1, 1)
        clean = torch.full_like(noisy, LATENT * SCALE)
        noise = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
        said = noise
        if self.schedule.config.prediction_type == "v_prediction":
            said = kept.sqrt() * noise - (1 - kept).sqrt() * clean
        return SimpleNamespace(sample=self.gain * said)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_tuning_descends_the_error_of_what_the_base_predicts(kind):
    schedule = DDPMScheduler(prediction_type=kind)
    unet = Knowing(schedule)

    def autoencode(crops):
        latents = torch.full((len(crops), 4, 2, 2), LATENT)
        return SimpleNamespace(latent_dist=SimpleNamespace(sample=lambda: latents))

    settings = SimpleNamespace(scaling_factor=SCALE)
    vae = SimpleNamespace(encode=autoencode, config=settings, dtype=torch.float32)
    pipeline = SimpleNamespace(vae=vae, unet=unet, scheduler=schedule)
    done, asked = [], []

    def tokens(rows):
        asked.append(rows.tolist())
        return rows.float().view(-1, 1, 1)

    torch.manual_seed(0)
    tuning = Tuning(steps=30, batch=2, learning_rate=0.01)
    _descend(
        Base(pipeline, 16, 16), torch.zeros(5, 3, 16, 16), tokens, [unet.gain], tuning, done.append
    )
    # A network that is right stays as it is but for weight decay.
    assert unet.gain.item() == pytest.approx(1, abs=0.02)
    assert done == [1] * 30
    assert min(unet.times) < 150
    assert max(unet.times) > 850
    assert unet.words == [float(row) for rows in asked for row in rows]
    assert set(np.concatenate(asked)) == set(range(5))
    assert all(len(set(rows)) == 2 for rows in asked)


def test_tune_identity_reads_features_of_crops_in_order(tmp_path, monkeypatch):
    images = [Image(f"{n}", tmp_path / f"{n}.png") for n in range(18)]
    for n, image in enumerate(images):
        draw_person(image.path, n, 0, 0)
    seen, taken = [], []

    def encode(crops):
        assert crops.min() >= 0
        assert crops.max() <= 1
        seen.append(crops)
        return crops.mean((2, 3))

    def descend(base, crops, tokens, learnt, tuning, advance):
        torch.testing.assert_close((crops + 1) / 2, torch.cat(seen))
        rows = torch.tensor([17, 2])
        taken.append((tokens(rows), torch.cat(seen).mean((2, 3))[rows]))

    prompts = []
    monkeypatch.setattr(tune, "_descend", descend)
    monkeypatch.setattr(tune, "save_identity", lambda prompt, folder: prompts.append(prompt))
    unet = SimpleNamespace(config=SimpleNamespace(cross_attention_dim=5))
    vae = SimpleNamespace(dtype=torch.float32)
    base = Base(SimpleNamespace(unet=unet, vae=vae, device=torch.device("cpu")), 16, 8)
    tune_identity(base, images, encode, 3, Tuning(), tmp_path, lambda steps: None)
    ((tokens, features),) = taken
    torch.testing.assert_close(tokens, prompts[0](features))
    assert tokens.shape[2] == 5
