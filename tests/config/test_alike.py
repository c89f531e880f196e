"""Configurations that are said to differ in one thing alone."""

from pathlib import Path

from reid_gen.config.load import load_config

CONFIGS = Path(__file__).parents[2] / "configs"


def test_diffusion_on_market_differs_from_gcl_in_its_generator_and_name_alone():
    one, other = (
        load_config(CONFIGS / f"{name}.yaml").model_dump()
        for name in ("gcl_market", "diffusion_market")
    )
    assert {key for key in one if one[key] != other[key]} == {"name", "generator"}
    assert one.keys() == other.keys()
