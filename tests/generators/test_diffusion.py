import numpy as np
import pytest
import torch
from torch import nn

from reid_gen.generators.pixel_diffusion.clsp import anchor_prediction
from reid_gen.generators.pixel_diffusion.conditioning import Conditioning, expand_to_views
from reid_gen.generators.pixel_diffusion.pipeline import PersonPipeline
from reid_gen.generators.pixel_diffusion.sampler import Guidance, make_schedule, sample
from reid_gen.models.encoder import EncoderOutput
from tests.generators.scenes import make_batch, make_diffusion, make_encoder, make_images

IMAGES = make_images(4)
HALVES = slice(4), slice(4, None)


def make_condition(count=4):
    torch.manual_seed(1)
    return Conditioning(torch.rand(count, 3, 16, 8), torch.rand(count, 5, 4), torch.rand(count, 6))


class RecordingNetwork(nn.Module):
    """Predicts zeros and records its inputs."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x_t, t, condition):
        self.calls.append((x_t, t, condition))
        return torch.zeros_like(x_t)


class NoHook:
    def remove(self):
        pass


def test_diffusion_loss_is_the_v_error_with_clipped_snr(monkeypatch):
    encoder = make_encoder().eval()
    diffusion = make_diffusion(encoder, IMAGES)
    diffusion.condition_dropout = 0.0
    diffusion.painter.unet = network = RecordingNetwork()
    monkeypatch.setattr(diffusion.painter.average, "update_parameters", lambda network: None)
    batch = make_batch(IMAGES)
    encoded = encoder.encode(batch.images)
    torch.manual_seed(7)
    loss = diffusion.generator_terms(batch.sources, None, encoded)["noise"]
    torch.manual_seed(7)
    t = torch.randint(0, 1000, (4,))
    noise = torch.randn(batch.images.shape)
    x_t, timesteps, _ = network.calls[0]
    assert torch.equal(timesteps, t)
    total = 0.0
    for n in range(4):
        alpha_bar = float(make_schedule().alphas_cumprod[t[n]])
        x0, epsilon = 2 * batch.images[n].double() - 1, noise[n].double()
        x = np.sqrt(alpha_bar) * x0 + np.sqrt(1 - alpha_bar) * epsilon
        torch.testing.assert_close(x_t[n].double(), x, atol=1e-5, rtol=1e-4)
        v = np.sqrt(alpha_bar) * epsilon - np.sqrt(1 - alpha_bar) * x0
        v_hat = (np.sqrt(alpha_bar) * x - 0) / np.sqrt(1 - alpha_bar)  # for x0_hat = 0
        snr = alpha_bar / (1 - alpha_bar)
        total += (1 + min(snr, 5)) / (1 + snr) * float(((v - v_hat) ** 2).mean())
    assert loss.item() == pytest.approx(total / 4, rel=1e-4)


def test_schedule_ends_in_pure_noise():
    assert float(make_schedule().alphas_cumprod[-1]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "person", "calls"), [(1, 1, 1), (1, 2, 2), (1.5, 1.5, 2), (1.5, 2, 3)]
)
def test_guidance_equals_its_formula_with_few_network_calls(body, person, calls):
    condition = make_condition()
    conditions = []

    def predict(x_t, t, condition):
        conditions.append(condition)
        mean = condition.maps.mean((1, 2, 3)) + 10 * condition.parts.mean((1, 2))
        return x_t + (mean + condition.feature.mean(1)).view(-1, 1, 1, 1)

    x_t, t = torch.rand(4, 3, 16, 8), torch.zeros(4)
    guided = Guidance(body, person)(predict, x_t, t, condition)
    assert len(conditions) == calls
    e_bp, e_b, e_0 = (
        predict(x_t, t, dropped)
        for dropped in (condition, condition.drop(False, True), condition.drop(True, True))
    )
    torch.testing.assert_close(guided, e_0 + body * (e_b - e_0) + person * (e_bp - e_b))


def test_conditioning_drops_body_and_person_independently():
    dropped = make_condition().drop(
        torch.tensor([True, False, False, True]), torch.tensor([False, True, False, True])
    )
    assert (dropped.maps == 0).flatten(1).all(1).tolist() == [True, False, False, True]
    assert (dropped.parts == 0).flatten(1).all(1).tolist() == [False, True, False, True]
    assert (dropped.feature == 0).all(1).tolist() == [False, True, False, True]


def test_sample_reaches_x0_of_an_oracle_in_few_steps():
    expected = torch.rand(4, 3, 16, 8)

    def predict(x_t, t, condition):
        return 2 * expected - 1

    torch.manual_seed(0)
    images = sample(predict, make_schedule(), make_condition(), Guidance(), steps=8)
    torch.testing.assert_close(images, expected, atol=0.02, rtol=0)


def test_ema_warms_up_and_then_follows_slowly():
    torch.manual_seed(0)
    encoder = make_encoder().eval()
    diffusion = make_diffusion(encoder, IMAGES)
    painter = diffusion.painter
    start = next(painter.unet.parameters()).detach().clone()
    with torch.no_grad():
        for parameter in painter.unet.parameters():
            parameter.add_(1.0)
    batch = make_batch(IMAGES)

    def ema_after_a_step():
        diffusion.generator_terms(batch.sources, None, encoder.encode(batch.images))
        return next(painter.average.parameters()).detach().clone()

    first = ema_after_a_step()
    torch.testing.assert_close(first, start + 1)  # the first update copies the network
    with torch.no_grad():
        for parameter in painter.unet.parameters():
            parameter.add_(1.0)
    second = ema_after_a_step()
    torch.testing.assert_close(second, first + 9 / 11)  # decay (1 + 1) / (10 + 1)
    state = painter.average.state_dict()
    painter.average.load_state_dict({**state, "n_averaged": torch.tensor(1000)})
    third = ema_after_a_step()
    torch.testing.assert_close(third, second + 0.1 * (first + 1 - second))
    assert not any(parameter.requires_grad for parameter in painter.average.parameters())


def test_render_uses_the_ema_network_alone():
    encoder = make_encoder().eval()
    painter = make_diffusion(encoder, IMAGES).painter
    batch = make_batch(IMAGES)
    encoded, maps = encoder.encode(batch.images), batch.sources.conditions["turned"].unsqueeze(1)

    def render():
        torch.manual_seed(1)
        return painter.render(encoded, maps)

    before = render()
    for parameter in painter.unet.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(render(), before)
    for parameter in painter.average.parameters():
        torch.nn.init.zeros_(parameter)
    assert not torch.equal(render(), before)


def test_diffusion_loss_reaches_the_trained_network_alone():
    encoder = make_encoder().eval()
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    diffusion = make_diffusion(encoder, IMAGES)
    batch = make_batch(IMAGES)
    encoded = encoder.encode(batch.images)
    diffusion.generator_terms(batch.sources, None, encoded)["noise"].backward()
    gradients = [p.grad for p in diffusion.painter.unet.parameters() if p.grad is not None]
    assert sum(float(g.abs().sum()) for g in gradients) > 0
    assert all(p.grad is None for p in diffusion.painter.average.parameters())


def test_render_depends_on_person_and_body():
    torch.manual_seed(0)
    encoder = make_encoder().eval()
    painter = make_diffusion(encoder, IMAGES).painter
    for module in painter.average.modules():  # an untrained network ignores its conditioning
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=0.05)
    maps = torch.rand(2, 1, 3, 64, 32)
    encoded = encoder.encode(torch.rand(2, 3, 64, 32))

    def render(encoded, maps):
        torch.manual_seed(3)
        return painter.render(encoded, maps)

    images = render(encoded, maps)
    assert images.shape == (2, 1, 3, 64, 32)
    swapped = EncoderOutput(encoded.feature.flip(0), encoded.parts.flip(0))
    assert not torch.allclose(images, render(swapped, maps), atol=1e-4)
    assert not torch.allclose(images, render(encoded, maps.flip(0)), atol=1e-4)


@pytest.mark.parametrize("painted", [False, True])
def test_saved_pipeline_samples_the_same_images(tmp_path, painted):
    torch.manual_seed(0)
    encoder = make_encoder().eval()
    diffusion = make_diffusion(encoder, IMAGES, Guidance(1, 2), painted)
    diffusion.save(tmp_path)
    assert {path.name for path in (tmp_path / "pipeline").iterdir()} == {
        "model_index.json", "scheduler", "unet",
    }  # fmt: skip
    pipeline = PersonPipeline.from_pretrained(str(tmp_path / "pipeline"))
    encoded = encoder.encode(torch.rand(2, 3, 64, 32))
    maps = torch.rand(2, 1, 4 if painted else 3, 64, 32)
    torch.manual_seed(3)
    expected = diffusion.painter.render(encoded, maps)[:, 0]
    torch.manual_seed(3)
    actual = pipeline(expand_to_views(encoded, maps), Guidance(1, 2), steps=2)
    torch.testing.assert_close(actual, expected)


def test_unet_adds_its_output_to_painted_colours():
    torch.manual_seed(0)
    encoder = make_encoder().eval()
    unet = make_diffusion(encoder, IMAGES, painted=True).painter.unet
    for parameter in unet.parameters():
        torch.nn.init.zeros_(parameter)
    maps = 2 * torch.rand(2, 4, 64, 32) - 1
    parts, feature = torch.zeros(2, encoder.channels, 4), torch.zeros(2, encoder.feature_size)
    condition = Conditioning(maps, parts, feature)
    x_t, t = torch.randn(2, 3, 64, 32), torch.zeros(2)
    x0_hat = unet(x_t, t, condition)
    for n, y, x in ((0, 3, 5), (1, 40, 20)):
        expected = maps[n, :3, y, x] if maps[n, 3, y, x] > 0 else torch.zeros(3)
        torch.testing.assert_close(x0_hat[n, :, y, x], expected)
    assert (x0_hat == 0).all(1).any()
    assert (unet(x_t, t, condition.drop(True, False)) == 0).all()


def test_anchor_prediction_blends_the_bottlenecks_alone():
    """CLSP's step, with encoder, bottleneck and decoder called separately."""
    torch.manual_seed(0)
    encoder, bottleneck, decoder = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    network = nn.ModuleList([encoder, bottleneck, decoder])

    def predict(x_t, t, condition):
        skip = network[0](x_t) + condition.maps + t.view(-1, 1, 1, 1)
        return network[2](network[1](skip) + skip)

    schedule, anchor = make_schedule(), torch.rand(4, 3, 16, 8)
    anchor_condition, condition = make_condition(), make_condition()
    t, x_t = torch.full((4,), 400), torch.rand(4, 3, 16, 8)

    def anchored(share):
        return anchor_prediction(predict, network[1], schedule, anchor, anchor_condition, share)

    torch.manual_seed(5)
    actual = anchored(0.3)(x_t, t, condition)
    torch.manual_seed(5)
    anchor_t = schedule.add_noise(2 * anchor - 1, torch.randn(anchor.shape), t)
    skip, anchor_skip = (
        encoder(x) + y.maps + t.view(-1, 1, 1, 1)
        for x, y in ((x_t, condition), (anchor_t, anchor_condition))
    )
    h = 0.3 * bottleneck(skip) + 0.7 * bottleneck(anchor_skip)
    torch.testing.assert_close(actual, decoder(h + skip))
    torch.testing.assert_close(anchored(1.0)(x_t, t, condition), predict(x_t, t, condition))
    assert not network[1]._forward_hooks


def test_render_anchored_drops_the_person_of_the_view(monkeypatch):
    """CLSP: identity features condition the anchor; the view gets them by the bottleneck."""
    encoder = make_encoder().eval()
    painter = make_diffusion(encoder, IMAGES).painter
    painter.average = network = RecordingNetwork()
    network.module = painter.unet
    batch = make_batch(IMAGES)
    conditions = batch.sources.conditions
    maps = torch.stack([conditions["turned"], conditions["unturned"]], dim=1)
    anchor_maps, encoded = torch.rand_like(maps[:, 0]), encoder.encode(batch.images)
    monkeypatch.setattr(painter.unet.unet.mid_block, "register_forward_hook", lambda _: NoHook())
    views = painter.render_anchored(batch.images, encoded, anchor_maps, maps, 0.1)
    assert views.shape == (4, 2, 3, 64, 32)
    for call, (_, _, c) in enumerate(network.calls):
        view, anchor = ((c.maps[n], c.parts[n], c.feature[n]) for n in HALVES)
        assert torch.equal(view[0], maps[:, call // painter.steps])
        assert view[1].abs().sum() == view[2].abs().sum() == 0
        assert torch.equal(anchor[0], anchor_maps)
        torch.testing.assert_close(anchor[1:], (encoded.parts, encoded.feature))
