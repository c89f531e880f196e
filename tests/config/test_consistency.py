"""Settings that contradict each other, or that would silently train nothing, are refused."""

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
def faults(tmp_path):
    def faults(text):
        file = tmp_path / "tiny.yaml"
        file.write_text(text)
        with pytest.raises(UserError) as error:
            load_config(file)
        return str(error.value)

    return faults


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
            id="generator learns from one image",
        ),
        pytest.param(
            config_text(JOINT, generator=gan(", batch: 16, train_batch: 100"), loss=VIEWS),
            "generator.train_batch 100 must be at most generator.batch 16, the images of a step "
            "that get views",
            id="generator learns from more than get views",
        ),
        pytest.param(
            config_text(JOINT, generator=gan()),
            "stage joint draws views, but the weight of every view term is 0; set "
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
            "stage frozen draws views, but the weight of every view term is 0; set "
            "loss.weights.view_prototype above 0, or train the generator in a stage of its own",
            id="a frozen generator mixes nobody",
        ),
        pytest.param(
            config_text(IDENTITY, loss="loss: {weights: {prototype: 0}}\n"),
            "stage identity: the encoder would learn nothing, because the weight of every term "
            "that applies is 0; set loss.weights.prototype above 0",
            id="encoder without a term",
        ),
        pytest.param(
            config_text("{name: one, epochs: 1, loss: {weights: {prototype: 0}}}"),
            "stage one: the encoder would learn nothing, because the weight of every term that "
            "applies is 0; set loss.weights.prototype above 0",
            id="a stage's own loss",
        ),
        pytest.param(
            config_text(
                GENERATOR,
                generator=gan(
                    ", weights: {image: 0, cycle: 0, feature: 0, adversarial: 0}",
                ),
            ),
            "the generator would learn nothing: set one of generator.weights image, cycle, "
            "feature, adversarial above 0",
            id="GAN without a term",
        ),
        pytest.param(
            config_text(GENERATOR, generator=gan(", weights: {fake: 0, real: 0}")),
            "the discriminator would learn nothing: set generator.weights.fake and real above 0, "
            "or adversarial to 0",
            id="discriminator without a term",
        ),
        pytest.param(
            config_text(
                GENERATOR, generator="pixel_diffusion, bodies: bodies, weights: {noise: 0}"
            ),
            "the generator would learn nothing: set generator.weights.noise above 0",
            id="diffusion without its term",
        ),
        pytest.param(
            config_text(FROZEN, GENERATOR, generator=gan(), loss=VIEWS),
            "stage frozen would contrast views of a generator that no stage before has trained; "
            "train it first, or set start_from to a run that did",
            id="views of an untrained generator",
        ),
        pytest.param(
            config_text(
                "{name: both, trains: [identity, generator], views: true, epochs: 1}",
                generator=gan(),
                loss=VIEWS,
            ),
            "stage both: views: true is for a generator that does not learn in the stage, and "
            "trains names it; remove views",
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
            id="a generator has no use for labels",
        ),
    ],
)
def test_settings_that_train_nothing_are_refused(faults, text, message):
    assert message in faults(text)


def test_contradictions_are_listed_all_at_once(faults):
    text = config_text(FROZEN, JOINT, generator=gan(", batch: 2, train_batch: 3"))
    lines = faults(text).splitlines()
    assert [line.strip().split(" ")[0] for line in lines][1:] == ["stage", "stage", "stage"]
    assert "generator.train_batch 3 must be at most" in lines[0]


def test_start_from_counts_as_a_trained_generator(tmp_path):
    file = tmp_path / "tiny.yaml"
    file.write_text(config_text(FROZEN, generator=gan(), loss=VIEWS, more="start_from: runs/a\n"))
    assert load_config(file).stages[0].views
