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


def looks(count=4):
    torch.manual_seed(1)
    return Conditioning(torch.rand(count, 3, 16, 8), torch.rand(count, 5, 4), torch.rand(count, 6))


class Recording(nn.Module):
    """Stands for the network: gives what it is told, and keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, noisy, time, looks):
        self.asked.append((noisy, time, looks))
        return torch.zeros_like(noisy)


class Unhooked:
    def remove(self):
        pass


def test_the_loss_is_the_error_of_v_up_to_a_ratio_of_signal_to_noise(monkeypatch):
    encoder = make_encoder().eval()
    diffusion = make_diffusion(encoder, IMAGES)
    diffusion.condition_dropout = 0.0
    diffusion.painter.unet = network = Recording()
    monkeypatch.setattr(diffusion.painter.average, "update_parameters", lambda network: None)
    batch = make_batch(IMAGES)
    seen = encoder.encode(batch.images)
    torch.manual_seed(7)
    loss = diffusion.generator_terms(batch.sources, None, seen)["noise"]
    torch.manual_seed(7)
    time = torch.randint(0, 1000, (4,))
    noise = torch.randn(batch.images.shape)
    noisy, times, _ = network.asked[0]
    assert torch.equal(times, time)
    total = 0.0
    for n in range(4):
        kept = float(make_schedule().alphas_cumprod[time[n]])
        clean = 2 * batch.images[n].double() - 1
        wrong = noise[n].double()
        x = np.sqrt(kept) * clean + np.sqrt(1 - kept) * wrong
        torch.testing.assert_close(noisy[n].double(), x, atol=1e-5, rtol=1e-4)
        v = np.sqrt(kept) * wrong - np.sqrt(1 - kept) * clean
        said = (np.sqrt(kept) * x - 0) / np.sqrt(1 - kept)  # v, were the picture what was said: 0
        ratio = kept / (1 - kept)
        cut = (1 + min(ratio, 5)) / (1 + ratio)
        total += cut * float(((v - said) ** 2).mean())
    assert loss.item() == pytest.approx(total / 4, rel=1e-4)


def test_the_schedule_ends_in_pure_noise():
    assert float(make_schedule().alphas_cumprod[-1]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "person", "calls"), [(1, 1, 1), (1, 2, 2), (1.5, 1.5, 2), (1.5, 2, 3)]
)
def test_guidance_equals_its_formula_with_as_few_passes_as_it_needs(body, person, calls):
    whole = looks()
    made = []

    def predict(noisy, time, asked):
        made.append(asked)
        shown = asked.maps.mean((1, 2, 3)) + 10 * asked.parts.mean((1, 2)) + asked.feature.mean(1)
        return noisy + shown.view(-1, 1, 1, 1)

    noisy, time = torch.rand(4, 3, 16, 8), torch.zeros(4)
    found = Guidance(body, person)(predict, noisy, time, whole)
    assert len(made) == calls
    both, alone, nothing = (
        predict(noisy, time, asked)
        for asked in (whole, whole.drop(False, True), whole.drop(True, True))
    )
    wanted = nothing + body * (alone - nothing) + person * (both - alone)
    torch.testing.assert_close(found, wanted)


def test_body_and_person_are_hidden_apart_from_each_other():
    hidden = looks().drop(
        torch.tensor([True, False, False, True]), torch.tensor([False, True, False, True])
    )
    assert (hidden.maps == 0).flatten(1).all(1).tolist() == [True, False, False, True]
    assert (hidden.parts == 0).flatten(1).all(1).tolist() == [False, True, False, True]
    assert (hidden.feature == 0).all(1).tolist() == [False, True, False, True]


def test_a_network_that_knows_the_picture_draws_it_in_a_few_steps():
    schedule = make_schedule()
    wanted = torch.rand(4, 3, 16, 8)

    def knows(noisy, time, asked):
        return 2 * wanted - 1

    torch.manual_seed(0)
    drawn = sample(knows, schedule, looks(), Guidance(), steps=8)
    torch.testing.assert_close(drawn, wanted, atol=0.02, rtol=0)


def test_views_are_drawn_by_the_average_which_follows_the_network_slowly():
    torch.manual_seed(0)
    encoder = make_encoder().eval()
    diffusion = make_diffusion(encoder, IMAGES)
    painter = diffusion.painter
    start = next(painter.unet.parameters()).detach().clone()
    with torch.no_grad():
        for parameter in painter.unet.parameters():
            parameter.add_(1.0)
    batch = make_batch(IMAGES)

    def average_after_a_step():
        diffusion.generator_terms(batch.sources, None, encoder.encode(batch.images))
        return next(painter.average.parameters()).detach().clone()

    first = average_after_a_step()
    torch.testing.assert_close(first, start + 1)  # the first update takes the network as it is
    with torch.no_grad():
        for parameter in painter.unet.parameters():
            parameter.add_(1.0)
    second = average_after_a_step()
    torch.testing.assert_close(
        second, first + 9 / 11
    )  # short at first: it keeps (1 + 1) / (10 + 1)
    painter.average.n_averaged.fill_(1000)
    third = average_after_a_step()
    torch.testing.assert_close(third, second + 0.1 * (first + 1 - second))
    assert not any(parameter.requires_grad for parameter in painter.average.parameters())


def test_turned_draws_with_the_average_alone():
    encoder = make_encoder().eval()
    painter = make_diffusion(encoder, IMAGES).painter
    batch = make_batch(IMAGES)
    seen, maps = encoder.encode(batch.images), batch.sources.conditions["turned"].unsqueeze(1)

    def drawn():
        torch.manual_seed(1)
        return painter.render(seen, maps)

    before = drawn()
    for parameter in painter.unet.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(drawn(), before)
    for parameter in painter.average.parameters():
        torch.nn.init.zeros_(parameter)
    assert not torch.equal(drawn(), before)


def test_the_term_moves_the_network_and_nothing_else():
    encoder = make_encoder().eval()
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    diffusion = make_diffusion(encoder, IMAGES)
    batch = make_batch(IMAGES)
    seen = encoder.encode(batch.images)
    diffusion.generator_terms(batch.sources, None, seen)["noise"].backward()
    gradients = [p.grad for p in diffusion.painter.unet.parameters() if p.grad is not None]
    assert sum(float(g.abs().sum()) for g in gradients) > 0
    assert all(p.grad is None for p in diffusion.painter.average.parameters())


def test_another_person_and_another_body_change_what_is_drawn():
    torch.manual_seed(0)
    encoder = make_encoder().eval()
    painter = make_diffusion(encoder, IMAGES).painter
    for module in painter.average.modules():  # fresh networks ignore what they are given
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=0.05)
    maps = torch.rand(2, 1, 3, 64, 32)
    seen = encoder.encode(torch.rand(2, 3, 64, 32))

    def drawn(who, where):
        torch.manual_seed(3)
        return painter.render(who, where)

    plain = drawn(seen, maps)
    assert plain.shape == (2, 1, 3, 64, 32)
    others = EncoderOutput(seen.feature.flip(0), seen.parts.flip(0))
    assert not torch.allclose(plain, drawn(others, maps), atol=1e-4)
    assert not torch.allclose(plain, drawn(seen, maps.flip(0)), atol=1e-4)


@pytest.mark.parametrize("painted", [False, True])
def test_diffusers_reads_what_is_saved_and_draws_the_same(tmp_path, painted):
    torch.manual_seed(0)
    encoder = make_encoder().eval()
    diffusion = make_diffusion(encoder, IMAGES, Guidance(1, 2), painted)
    diffusion.save(tmp_path)
    assert {path.name for path in (tmp_path / "pipeline").iterdir()} == {
        "model_index.json", "scheduler", "unet",
    }  # fmt: skip
    pipeline = PersonPipeline.from_pretrained(str(tmp_path / "pipeline"))
    seen = encoder.encode(torch.rand(2, 3, 64, 32))
    maps = torch.rand(2, 1, 4 if painted else 3, 64, 32)
    torch.manual_seed(3)
    own = diffusion.painter.render(seen, maps)[:, 0]
    torch.manual_seed(3)
    theirs = pipeline(expand_to_views(seen, maps), Guidance(1, 2), steps=2)
    torch.testing.assert_close(own, theirs)


def test_a_network_on_painted_bodies_adds_to_their_colours():
    torch.manual_seed(0)
    encoder = make_encoder().eval()
    unet = make_diffusion(encoder, IMAGES, painted=True).painter.unet
    for parameter in unet.parameters():
        torch.nn.init.zeros_(parameter)
    maps = 2 * torch.rand(2, 4, 64, 32) - 1
    said = Conditioning(
        maps, torch.zeros(2, encoder.channels, 4), torch.zeros(2, encoder.feature_size)
    )
    found = unet(torch.randn(2, 3, 64, 32), torch.zeros(2), said)
    for pixel in ((0, 3, 5), (1, 40, 20)):
        n, y, x = pixel
        wanted = maps[n, :3, y, x] if maps[n, 3, y, x] > 0 else torch.zeros(3)
        torch.testing.assert_close(found[n, :, y, x], wanted)
    assert (found == 0).all(1).any()
    assert (unet(torch.randn(2, 3, 64, 32), torch.zeros(2), said.drop(True, False)) == 0).all()


def test_anchored_pictures_take_the_bottleneck_of_the_image_as_the_definition_says():
    """CLSP's step, with encoder, bottleneck and decoder called apart."""
    torch.manual_seed(0)
    encoder_half, middle, decoder_half = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    network = nn.ModuleList([encoder_half, middle, decoder_half])

    def predict(noisy, time, asked):
        skip = network[0](noisy) + asked.maps + time.view(-1, 1, 1, 1)
        return network[2](network[1](skip) + skip)

    schedule, image, own, asked = make_schedule(), torch.rand(4, 3, 16, 8), looks(), looks()
    time, noisy = torch.full((4,), 400), torch.rand(4, 3, 16, 8)
    torch.manual_seed(5)
    found = anchor_prediction(predict, network[1], schedule, image, own, 0.3)(noisy, time, asked)
    torch.manual_seed(5)
    beside = schedule.add_noise(2 * image - 1, torch.randn(image.shape), time)
    skip, other = (
        encoder_half(x) + told.maps + time.view(-1, 1, 1, 1)
        for x, told in ((noisy, asked), (beside, own))
    )
    torch.testing.assert_close(found, decoder_half(0.3 * middle(skip) + 0.7 * middle(other) + skip))
    whole = anchor_prediction(predict, network[1], schedule, image, own, 1.0)(noisy, time, asked)
    torch.testing.assert_close(whole, predict(noisy, time, asked))
    assert not network[1]._forward_hooks


def test_anchored_pictures_are_asked_for_without_the_person(monkeypatch):
    """CLSP: only the bottleneck says who is drawn, and the anchor alone is told."""
    encoder = make_encoder().eval()
    painter = make_diffusion(encoder, IMAGES).painter
    painter.average = network = Recording()
    network.module = painter.unet
    batch = make_batch(IMAGES)
    maps = torch.stack(
        [batch.sources.conditions["turned"], batch.sources.conditions["unturned"]], dim=1
    )
    here, seen = torch.rand_like(maps[:, 0]), encoder.encode(batch.images)
    monkeypatch.setattr(painter.unet.unet.mid_block, "register_forward_hook", lambda _: Unhooked())
    drawn = painter.render_anchored(batch.images, seen, here, maps, 0.1)
    assert drawn.shape == (4, 2, 3, 64, 32)
    for call, (_, _, asked) in enumerate(network.asked):
        own, anchor = ((asked.maps[n], asked.parts[n], asked.feature[n]) for n in HALVES)
        assert torch.equal(own[0], maps[:, call // painter.steps])
        assert own[1].abs().sum() == own[2].abs().sum() == 0
        assert torch.equal(anchor[0], here)
        torch.testing.assert_close(anchor[1:], (seen.parts, seen.feature))
