from pathlib import Path

import pytest

from reid_gen.config.dump import dump_config
from reid_gen.config.load import explicit_keys, load_config, load_settings
from reid_gen.config.pipelines import Groups
from reid_gen.errors import UserError
from reid_gen.generators.stable_diffusion.prompts import read_prompts

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
GOOD = """\
name: tiny
data: {name: market1501, root: data}
encoder: {backbone: resnet18}
sampler:
  batch: 16
  instances: 4
clustering:
  eps: {kind: fixed, value: 0.5}
stages:
  - name: identity
    epochs: 2
"""


@pytest.fixture
def write(tmp_path):
    def write(old="", new=""):
        assert old in GOOD
        file = tmp_path / "tiny.yaml"
        file.write_text(GOOD.replace(old, new, 1))
        return file

    return write


def errors_of(file, *overrides):
    with pytest.raises(UserError) as error:
        load_config(file, overrides)
    return str(error.value).replace(f"{file}", "FILE").splitlines()


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_dump_config_of_shipped_file_is_read_back_equal(file, tmp_path):
    settings = load_config(file)
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_config(settings))
    assert load_config(copy) == settings


@pytest.mark.parametrize("eps", ["", "  eps: null\n"])
def test_load_config_takes_hdbscan_without_eps(write, tmp_path, eps):
    file = write("  eps: {kind: fixed, value: 0.5}\n", f"  algorithm: hdbscan\n{eps}")
    settings = load_config(file)
    assert settings.clustering.eps is None
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_config(settings))
    assert load_config(copy) == settings


def test_load_config_defaults_to_a_fixed_eps(write):
    settings = load_config(write("  eps: {kind: fixed, value: 0.5}\n", "  k1: 30\n"))
    assert (settings.clustering.eps.kind, settings.clustering.eps.value) == ("fixed", 0.6)


def test_dump_config_marks_defaults(write):
    text = dump_config(load_config(write()), explicit_keys(write()))
    lines = {line.split(":")[0].strip(): line for line in text.splitlines()}
    assert lines["instances"].endswith("instances: 4")
    assert lines["temperature"].endswith("# default")


def test_load_config_reads_scientific_notation_as_numbers(write):
    settings = load_config(write("epochs: 2", "epochs: 2\n    learning_rate: 3e-4"))
    assert settings.stages[0].learning_rate == 3e-4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "batch: 16",
            "batch: true",
            "FILE:5: sampler.batch: must be an integer, got true",
        ),
        (
            "batch: 16",
            "batch: 16.5",
            "FILE:5: sampler.batch: must be an integer, got 16.5",
        ),
        (
            "batch: 16\n  instances: 4",
            "batch: 1\n  instances: 1",
            "FILE:5: sampler.batch: must be greater than or equal to 2, got 1",
        ),
        (
            "{backbone: resnet18}",
            "{backbone: resnet18, ghost_batch: 1}",
            "FILE:3: encoder.ghost_batch: must be greater than or equal to 2, got 1",
        ),
        (
            "clustering:",
            "body: {rasteriser: torch}\nclustering:",
            "FILE: body.rasteriser has no effect without a generator that renders bodies; leave it "
            "out",
        ),
        (
            "clustering:",
            "body: {rasteriser: opengl}\nclustering:",
            "FILE:7: body.rasteriser: must be 'numba', 'torch' or 'pytorch3d', got \"opengl\"",
        ),
        (
            "batch: 16",
            "batch: 18",
            "FILE:4: sampler: batch 18 must be a multiple of instances 4",
        ),
        (
            "  batch: 16",
            "  bacth: 16",
            "FILE:5: sampler.bacth: unknown key; allowed here: batch, instances, camera_aware; "
            "did you mean batch?",
        ),
        (
            "  batch: 16",
            "  batch: 16\n  batch: 32",
            "FILE:6: batch: this key is given twice; keep one",
        ),
        (
            "name: market1501",
            "name: market",
            "FILE:2: data.name: must be 'market1501', 'dukemtmcreid', 'msmt17', 'pedestrians' or "
            "'folder', got \"market\"",
        ),
        (
            "encoder: {backbone: resnet18}",
            "encoder: {}",
            "FILE:3: encoder.backbone: this key is missing; add it",
        ),
        (
            "value: 0.5",
            "share: 0.5",
            "FILE:8: clustering.eps.share: this key belongs to another kind than the one given; "
            "remove it or change kind",
        ),
        (
            "kind: fixed",
            "kind: fixd",
            "FILE:8: clustering.eps: kind must be one of 'fixed', 'share', got 'fixd'",
        ),
        (
            "value: 0.5",
            "value: 1.5",
            "FILE:8: clustering.eps.value: must be less than 1, got 1.5",
        ),
        (
            "eps: {kind: fixed, value: 0.5}",
            "eps: null",
            "FILE:7: clustering: algorithm dbscan needs an eps; leave eps out for the default",
        ),
        (
            "eps: {kind: fixed, value: 0.5}",
            "eps: {}",
            "FILE:8: clustering.eps: kind is missing; add it (for example kind: fixed)",
        ),
        (
            "clustering:\n",
            "clustering:\n  algorithm: hdbscan\n",
            "FILE:7: clustering: algorithm hdbscan has no eps; leave eps out, or set it to null",
        ),
        (
            "epochs: 2",
            "epochs: 0",
            "FILE:11: stages.0.epochs: must be greater than or equal to 1, got 0",
        ),
        ("name: tiny", "name: a/b", None),
    ],
)
def test_load_config_reports_an_error_in_one_line(write, old, new, message):
    errors = errors_of(write(old, new))
    assert len(errors) == 1
    if message is None:
        assert errors[0].startswith("FILE:1: name: ")
    else:
        assert errors == [message]


def test_load_config_reports_all_errors_at_once(write):
    file = write("batch: 16", "batch: yes please")
    file.write_text(file.read_text().replace("epochs: 2", "epochs: no"))
    keys = [line.split(": ")[1] for line in errors_of(file)]
    assert keys == ["sampler.batch", "stages.0.epochs"]


def test_load_config_names_a_file_that_is_no_configuration(write, tmp_path):
    assert errors_of(tmp_path / "no.yaml")[0].startswith("FILE: cannot be read as a configuration")
    file = write()
    file.write_text("- a\n")
    assert errors_of(file) == ["FILE:1: must be a mapping of settings, such as 'name: my_run'"]
    file.write_text("name: [a\n")
    assert errors_of(file)[0].startswith("FILE:2: invalid YAML: ")


def test_overrides_take_precedence_and_index_lists(write):
    settings = load_config(
        write(), ["sampler.batch=32", "stages.0.epochs=7", "encoder.weights=null"]
    )
    assert (settings.sampler.batch, settings.stages[0].epochs) == (32, 7)
    assert settings.encoder.weights is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampler.batch", "--set sampler.batch: write it as key.path=value"),
        ("stages.3.epochs=1", "--set stages.3.epochs=1: stages is a list of 1; "),
        ("name.x=1", "--set name.x=1: name is the value 'tiny' and has no keys"),
        ("sampler.batch=[", "--set sampler.batch=[: invalid YAML: "),
        (
            "sampler.batch=abc",
            '--set sampler.batch=abc: sampler.batch: must be an integer, got "abc"',
        ),
        (
            "loss.temprature=1",
            "--set loss.temprature=1: loss.temprature: unknown key; allowed here: temperature, "
            "weights, pairs, proxy_negatives; did you mean temperature?",
        ),
    ],
)
def test_load_config_names_an_invalid_override(write, override, message):
    assert errors_of(write(), override)[0].startswith(message)


PIPELINES = sorted((Path(__file__).parents[2] / "configs" / "pipelines").glob("*.yaml"))


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.stem)
def test_shipped_pipeline_is_valid(file):
    settings = load_settings(file, Groups)
    assert settings.prompts is not None
    assert read_prompts(Path(__file__).parents[2] / settings.prompts)


def test_unknown_pipeline_key_error_suggests_known_keys(tmp_path):
    text = PIPELINES[0].read_text().replace("  guidance:", "  guidence:")
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"model.guidence: unknown key.*did you mean guidance"):
        load_settings(file, Groups)
