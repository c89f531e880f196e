"""Ranges of the numbers in configuration files; none contains NaN."""

from collections.abc import Iterator
from typing import Any

import pytest

from reid_gen.config.load import load_config
from reid_gen.config.pipelines import Groups
from reid_gen.config.schema import Config
from reid_gen.config.section import Section
from reid_gen.errors import UserError

MINIMUM, MAXIMUM = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}


def numbers(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every number in a JSON schema with its path."""
    if isinstance(node, list):
        node = dict(enumerate(node))
    if isinstance(node, dict):
        if node.get("type") in ("integer", "number"):
            yield path, node
        for key, value in node.items():
            yield from numbers(value, f"{path}.{key}")


NUMBERS = {
    path: number
    for model in (Config, Groups)
    for path, number in numbers(model.model_json_schema(), model.__name__)
}


def sections(base: type[Section] = Section) -> Iterator[type[Section]]:
    for section in base.__subclasses__():
        yield section
        yield from sections(section)


@pytest.mark.parametrize("path", NUMBERS)
def test_number_in_settings_has_minimum_and_maximum(path):
    number = NUMBERS[path]
    assert "enum" in number or (MINIMUM & set(number) and MAXIMUM & set(number))


def test_section_refuses_nan_and_infinity():
    assert len(list(sections())) > 20
    assert not [
        section for section in sections() if section.model_config["allow_inf_nan"] is not False
    ]


CONFIG = """\
name: x
data: {name: market1501, root: data}
encoder: {backbone: resnet18}
loss: {temperature: 0.05}
clustering: {eps: {kind: fixed, value: 0.5}}
stages: [{name: a, epochs: 1}]
"""


@pytest.mark.parametrize(
    "override",
    [
        *("seed=-1", f"seed={2**63}", "seed=1e30", "seed=nan", "data.height=100000000"),
        *("data.width=0", "data.workers=0", "data.workers=1000000", "sampler.batch=0"),
        *("sampler.batch=10000000000", "evaluation.batch=-5", "augment.pad=1000000000"),
        *("loss.temperature=nan", "loss.temperature=inf", "loss.temperature=1e400"),
        *("loss.temperature=0", "loss.weights.prototype=nan", "loss.weights.prototype=-1"),
        *("augment.flip=nan", "augment.erase=1.1", "clustering.eps.value=nan"),
        *("clustering.k1=1", "clustering.k1=1000000000000", "clustering.k2=0"),
        *("stages.0.learning_rate=inf", "stages.0.epochs=1000000000000"),
        *("memory.instance_momentum=nan", "encoder.embedding=100000000", "seed=" + "9" * 400),
    ],
)
def test_load_config_refuses_numbers_out_of_range(override, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    load_config(file)
    with pytest.raises(UserError, match=r": must be |: seed: must be |a number must be finite"):
        load_config(file, [override])
