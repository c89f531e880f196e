"""Noise schedule, classifier-free guidance and sampling of the diffusion model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from reid_gen.generators.pixel_diffusion.conditioning import Conditioning
from reid_gen.runtime.transfer import move

TRAIN_TIMESTEPS = 1000
"""Timesteps of the training schedule."""


PredictX0 = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""Predicts x0 [B, 3, H, W] from x_t [B, 3, H, W], timesteps t [B] and conditioning."""


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance by body and person.

    Attributes:
        body: Guidance scale of the body map; 1 disables it.
        person: Guidance scale of the identity features; 1 disables it.
    """

    body: float = 1.0
    person: float = 1.0

    def __call__(
        self, predict: PredictX0, x_t: Tensor, t: Tensor, condition: Conditioning
    ) -> Tensor:
        """Predict ``e(0) + w_b (e(b) - e(0)) + w_p (e(b, p) - e(b))`` (PIDM, eq. 7).

        Classifier-free guidance is by Ho and Salimans (2022). Predictions with coefficient 0 are
        skipped.
        """
        e_bp = predict(x_t, t, condition)  # [B, 3, H, W]
        if self.body == self.person == 1:
            return e_bp
        if self.body == self.person:
            e_0 = predict(x_t, t, condition.drop(True, True))
            return e_0 + self.person * (e_bp - e_0)
        e_b = predict(x_t, t, condition.drop(False, True))
        guided = e_b + self.person * (e_bp - e_b)
        if self.body == 1:
            return guided
        e_0 = predict(x_t, t, condition.drop(True, True))
        return guided + (self.body - 1) * (e_b - e_0)


def make_schedule() -> DDPMScheduler:
    """Build the noise schedule of training, with zero terminal SNR (Lin et al., WACV 2024).

    The network predicts x0. To predict the noise or v, it would have to carry noisy patches
    through all layers, which small networks on patches learn late, and samples stay noisy (Li and
    He, 2025, on patches and narrow transformers).
    """
    return DDPMScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS,
        beta_schedule="scaled_linear",
        prediction_type="sample",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


@torch.no_grad()
def sample(
    predict: PredictX0,
    schedule: DDPMScheduler,
    condition: Conditioning,
    guidance: Guidance,
    steps: int,
) -> Tensor:
    """Sample images with DPM-Solver++ (Lu et al., 2022).

    Args:
        predict: The denoising network.
        schedule: Noise schedule that the network was trained on.
        condition: Conditioning of the B images.
        guidance: Classifier-free guidance.
        steps: Solver steps; each calls the network once per prediction that the guidance needs.

    Returns:
        Images, about 0..1, [B, 3, H, W].
    """
    solver = DPMSolverMultistepScheduler.from_config(
        schedule.config, algorithm_type="dpmsolver++", final_sigmas_type="zero"
    )
    solver.set_timesteps(steps)
    count, _, height, width = condition.maps.shape
    device = condition.maps.device
    x_t = move(torch.randn(count, 3, height, width), device)
    for timestep in solver.timesteps:
        t = move(timestep, device).expand(count)  # [B]
        x0_hat = guidance(predict, x_t, t, condition)
        x_t = solver.step(x0_hat.float(), timestep, x_t).prev_sample
    return (x_t + 1) / 2
