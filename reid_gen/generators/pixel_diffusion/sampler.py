"""From noise to pictures of people in a few steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from reid_gen.generators.pixel_diffusion.conditioning import Looks

STEPS = 1000
"""Of the schedule that is trained on."""


Predict = Callable[[Tensor, Tensor, Looks], Tensor]
"""From noisy pictures, times [B] and looks to pictures without noise."""


@dataclass(frozen=True)
class Guidance:
    """How much more than by chance a picture shows what it was asked for.

    Attributes:
        body: Weight of the map; 1 is none.
        person: Weight of the looks; 1 is none.
    """

    body: float = 1.0
    person: float = 1.0

    def __call__(self, predict: Predict, noisy: Tensor, time: Tensor, looks: Looks) -> Tensor:
        """``e(0) + w_b (e(b) - e(0)) + w_p (e(b, p) - e(b))`` (Ho and Salimans; PIDM, eq. 7).

        Predictions whose weight is 0 are not made.
        """
        both = predict(noisy, time, looks)
        if self.body == self.person == 1:
            return both
        if self.body == self.person:
            nothing = predict(noisy, time, looks.without(True, True))
            return nothing + self.person * (both - nothing)
        body = predict(noisy, time, looks.without(False, True))
        guided = body + self.person * (both - body)
        if self.body == 1:
            return guided
        nothing = predict(noisy, time, looks.without(True, True))
        return guided + (self.body - 1) * (body - nothing)


def make_schedule() -> DDPMScheduler:
    """Noise up to pure noise (Lin et al., WACV 2024), as training adds it.

    The network says the picture itself: to say its noise, or v, it would have to carry a block of
    noisy pixels through every layer, which small networks on such blocks learn late, and pictures
    come out noisy (Li and He, 2025, on patches and narrow transformers).
    """
    return DDPMScheduler(
        num_train_timesteps=STEPS,
        beta_schedule="scaled_linear",
        prediction_type="sample",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


@torch.no_grad()
def sample(
    predict: Predict, schedule: DDPMScheduler, looks: Looks, guidance: Guidance, steps: int
) -> Tensor:
    """Draw pictures by DPM-Solver++ (Lu et al., 2022).

    Args:
        predict: The network.
        schedule: That it was trained on.
        looks: Of B pictures.
        guidance: Classifier-free guidance.
        steps: Calls of the network, per prediction that the guidance needs.

    Returns:
        Pictures about 0..1, [B, 3, H, W].
    """
    solver = DPMSolverMultistepScheduler.from_config(
        schedule.config, algorithm_type="dpmsolver++", final_sigmas_type="zero"
    )
    solver.set_timesteps(steps)
    count, _, height, width = looks.maps.shape
    device = looks.maps.device
    noisy = torch.randn(count, 3, height, width).to(device)
    for time in solver.timesteps:
        times = time.to(device).expand(count)
        clean = guidance(predict, noisy, times, looks)
        noisy = solver.step(clean.float(), time, noisy).prev_sample
    return (noisy + 1) / 2
