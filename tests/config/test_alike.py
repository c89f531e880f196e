"""Shipped configurations that must differ in the stated settings only."""

from pathlib import Path

from reid_gen.config.load import load_config

CONFIGS = Path(__file__).parents[2] / "configs"


def test_diffusion_market_differs_from_gcl_market_in_generator():
    gcl, diffusion = (
        load_config(CONFIGS / f"{name}.yaml").model_dump()
        for name in ("gcl_market", "diffusion_market")
    )
    assert {key for key in gcl if gcl[key] != diffusion[key]} == {"name", "generator"}
    assert gcl.keys() == diffusion.keys()
