"""Contradictory settings, and settings that would silently train nothing."""

import pytest

from reid_gen.config.load import load_config
from reid_gen.errors import UserError

BASE = """\
name: tiny
data: {name: market1501, root: data}
encoder: {backbone: resnet18}
"""
IDENTITY = "{name: identity, epochs: 1}"
GENERATOR = "{name: generator, trains: [generator], epochs: 1}"
JOINT = "{name: joint, trains: [identity, generator], epochs: 1}"
FROZEN = "{name: frozen, views: true, epochs: 1}"
VIEWS = "loss: {weights: {view_prototype: 1.0}}\n"


def config_text(*stages, generator="", loss="", more=""):
    section = f"generator: {{kind: {generator}}}\n" if generator else ""
    return f"{BASE}{section}{loss}{more}stages: [{', '.join(stages)}]\n"


def gan(settings=""):
    return f"mesh_gan, bodies: bodies{settings}"


@pytest.fixture
def error_of(tmp_path):
    def error_of(text):
        file = tmp_path / "tiny.yaml"
        file.write_text(text)
        with pytest.raises(UserError) as error:
            load_config(file)
        return str(error.value)

    return error_of


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            config_text(IDENTITY, generator=gan()),
            "no stage uses the generator section; add views: true or trains: [generator] to a "
            "stage, or remove the section (generator: null)",
            id="generator without a stage",
        ),
        pytest.param(
            config_text(JOINT, generator=gan(", batch: 1"), loss=VIEWS),
            "generator.batch: must be greater than or equal to 2, got 1",
            id="one view in a batch",
        ),
        pytest.param(
            config_text(JOINT, generator=gan(", train_batch: 1"), loss=VIEWS),
            "generator.train_batch: must be greater than or equal to 2, got 1",
            id="generator trained on one image",
        ),
        pytest.param(
            config_text(JOINT, generator=gan(", batch: 16, train_batch: 100"), loss=VIEWS),
            "generator.train_batch 100 must be at most generator.batch 16, the images of a step "
            "that get views",
            id="generator trained on more images than get views",
        ),
        pytest.param(
            config_text(JOINT, generator=gan()),
            "stage joint generates views, but the weight of every view term is 0; set "
            "loss.weights.view_prototype above 0, or train the generator in a stage of its own",
            id="views without a weight",
        ),
        pytest.param(
            config_text(
                GENERATOR,
                FROZEN,
                generator=gan(", mixup_alpha: 0.6"),
                loss="loss: {weights: {mixup: 1.0}}\n",
            ),
            "stage frozen generates views, but the weight of every view term is 0; set "
            "loss.weights.view_prototype above 0, or train the generator in a stage of its own",
            id="mixup with a frozen generator",
        ),
        pytest.param(
            config_text(IDENTITY, loss="loss: {weights: {prototype: 0}}\n"),
            "stage identity: the encoder would not be trained, because the weight of every "
            "applicable term is 0; set loss.weights.prototype above 0",
            id="encoder without a term",
        ),
        pytest.param(
            config_text("{name: one, epochs: 1, loss: {weights: {prototype: 0}}}"),
            "stage one: the encoder would not be trained, because the weight of every applicable "
            "term is 0; set loss.weights.prototype above 0",
            id="loss of a stage without a term",
        ),
        pytest.param(
            config_text(
                GENERATOR,
                generator=gan(
                    ", weights: {image: 0, cycle: 0, feature: 0, adversarial: 0}",
                ),
            ),
            "the generator would not be trained: set one of generator.weights image, cycle, "
            "feature, adversarial above 0",
            id="GAN without a term",
        ),
        pytest.param(
            config_text(GENERATOR, generator=gan(", weights: {fake: 0, real: 0}")),
            "the discriminator would not be trained: set generator.weights.fake and real above 0, "
            "or adversarial to 0",
            id="discriminator without a term",
        ),
        pytest.param(
            config_text(
                GENERATOR, generator="pixel_diffusion, bodies: bodies, weights: {noise: 0}"
            ),
            "the generator would not be trained: set generator.weights.noise above 0",
            id="diffusion without its term",
        ),
        pytest.param(
            config_text(FROZEN, GENERATOR, generator=gan(), loss=VIEWS),
            "stage frozen would contrast views of a generator that no earlier stage trains; train "
            "it first, or set start_from to a run that did",
            id="views of an untrained generator",
        ),
        pytest.param(
            config_text(
                "{name: both, trains: [identity, generator], views: true, epochs: 1}",
                generator=gan(),
                loss=VIEWS,
            ),
            "stage both: views: true is for a generator that is frozen in the stage, but trains "
            "lists it; remove views",
            id="views and training at once",
        ),
        pytest.param(
            config_text(IDENTITY, more="source: {name: market1501, root: data}\n"),
            "no stage uses the source section; give a stage labels: source, or remove the section "
            "(source: null)",
            id="source without a stage",
        ),
        pytest.param(
            config_text(
                "{name: generator, trains: [generator], labels: source, epochs: 1}",
                generator=gan(),
                more="source: {name: market1501, root: data}\n",
            ),
            "stage generator: labels: source needs trains: [identity]",
            id="labels for a generator",
        ),
    ],
)
def test_config_refuses_settings_that_train_nothing(error_of, text, message):
    assert message in error_of(text)


def test_contradictions_are_reported_all_at_once(error_of):
    text = config_text(FROZEN, JOINT, generator=gan(", batch: 2, train_batch: 3"))
    lines = error_of(text).splitlines()
    assert [line.strip().split(" ")[0] for line in lines][1:] == ["stage", "stage", "stage"]
    assert "generator.train_batch 3 must be at most" in lines[0]


def test_config_takes_start_from_as_a_trained_generator(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(config_text(FROZEN, generator=gan(), loss=VIEWS, more="start_from: runs/a\n"))
    assert load_config(file).stages[0].views
