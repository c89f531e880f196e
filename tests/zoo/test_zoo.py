import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from reid_gen.cli.main import main
from reid_gen.inference.reid_model import ReidModel
from reid_gen.models import weight_files as weights_module
from reid_gen.zoo import verify as verify_module
from reid_gen.zoo.cards import Card, find_card, load_cards, load_reported
from reid_gen.zoo.page import zoo_page
from reid_gen.zoo.verify import verify_weights
from tests.cli.conftest import failure
from tests.data.real_format import make_market

ROOT = Path(__file__).parents[2]
OURS = "resnet10t.rendered"


def test_zoo_page_equals_the_committed_file():
    page = (ROOT / "MODEL_ZOO.md").read_text(encoding="utf-8")
    assert page == zoo_page(load_cards(), load_reported()), "run python tools/write_zoo.py"


def test_every_built_in_encoder_has_a_card_and_loads():
    cards = [card for card in load_cards() if card.weights.source == "package"]
    packed = {card.name for card in cards}
    assert packed == {path.name for path in weights_module.ASSETS.iterdir() if path.is_dir()}
    assert [verify_weights(card) for card in cards] == [None] * len(cards)


def test_built_in_weights_are_smaller_than_15_mb():
    files = [
        file for kind in ("*.safetensors", "*.npz") for file in (ROOT / "reid_gen").rglob(kind)
    ]
    assert {file.name for file in files} >= {"encoder.safetensors", "regressor.safetensors"}
    assert sum(file.stat().st_size for file in files) < 15e6


def test_card_refuses_unknown_and_missing_keys():
    card = find_card(OURS, load_cards()).model_dump(by_alias=True)
    with pytest.raises(ValidationError):
        Card.model_validate({**card, "stars": 5})
    with pytest.raises(ValidationError):
        Card.model_validate({name: value for name, value in card.items() if name != "trained_on"})


def test_cards_name_existing_configurations_and_documents():
    for card in load_cards():
        for name in (card.config, card.more):
            assert name is None or (ROOT / name).is_file()


def test_verify_weights_names_differences_from_the_card(monkeypatch, capsys):
    card = find_card(OURS, load_cards())
    larger = card.weights.model_copy(update={"bytes": 5})
    assert "bytes instead of 5" in verify_weights(card.model_copy(update={"weights": larger}))
    changed = card.weights.model_copy(update={"sha256": "0" * 64})
    assert "its SHA-256 is " in verify_weights(card.model_copy(update={"weights": changed}))
    assert "at 128 x 64" in verify_weights(card.model_copy(update={"height": 256}))
    assert "its mean is" in verify_weights(card.model_copy(update={"mean": (0.5, 0.5, 0.5)}))
    assert verify_weights(card.model_copy(update={"name": "a.b"})) == "its weights are missing"
    monkeypatch.setattr(verify_module, "built_in", lambda name: None)
    message = failure(capsys, "zoo", "verify")
    assert f"{OURS} differ from their cards; reinstall reid-gen" in message


def test_verify_passes_on_an_intact_installation(capsys):
    main(["zoo", "verify"])
    lines = capsys.readouterr().out.splitlines()
    absent = [card.name for card in load_cards() if card.weights.source == "none"]
    assert lines.count(f"{OURS}: matches its card") == 1
    assert absent
    for name in absent:
        assert f"{name}: no weights to verify: not distributed" in lines


def test_verify_names_missing_weights(monkeypatch, tmp_path, capsys):
    for assets in (tmp_path, tmp_path / "nowhere"):
        monkeypatch.setattr(weights_module, "ASSETS", assets)
        assert f"{OURS} differ from their cards" in failure(capsys, "zoo", "verify")
        (tmp_path / OURS).mkdir(exist_ok=True)
    message = failure(capsys, "zoo", "verify", "--json", "-")
    assert f"{OURS} differ from their cards" in message


def test_zoo_list_and_show_print_cards(capsys):
    main(["zoo", "list"])
    table = capsys.readouterr().out
    assert "52.6 / 75.2" in table
    assert "in the package" in table
    main(["zoo", "list", "--json", "-"])
    assert {card["name"] for card in json.loads(capsys.readouterr().out)} >= {OURS}
    main(["zoo", "show", "mobilenetv2.baseline_market_small"])
    assert "measured: dataset market1501, ranking cosine, mAP 52.58" in capsys.readouterr().out
    main(["zoo", "show", OURS, "--json", "-"])
    assert json.loads(capsys.readouterr().out)["backbone"] == "resnet10t"
    message = failure(capsys, "zoo", "show", "resnet99")
    assert "the model zoo has no 'resnet99'; it has mobilenetv2" in message


def test_built_in_encoder_evaluates_extracts_and_is_a_model(tmp_path, capsys):
    root = make_market(tmp_path / "data")
    output = tmp_path / "result.json"
    words = ["zoo", "evaluate", OURS, "--dataset", "market1501", "--root", str(root)]
    main([*words, "--rerank", "--json", str(output)])
    assert "zhong" in capsys.readouterr().out
    assert [result["reranking"] for result in json.loads(output.read_text())] == ["none", "zhong"]
    assert "exists; give --force" in failure(capsys, *words, "--json", output)
    images = next(root.rglob("query"))
    main(["extract", str(images), "--model", OURS, "--out", str(tmp_path / "features.npz")])
    features = np.load(tmp_path / "features.npz")["feature"]
    assert features.shape[1] == 512
    crop = np.zeros((90, 40, 3), np.uint8)
    assert ReidModel(OURS)([crop]).shape == (1, 512)


def test_extract_refuses_unknown_zoo_names(tmp_path, capsys):
    message = failure(capsys, "extract", ROOT, "--model", "resnet99", "--out", tmp_path / "x.npz")
    assert "or a name that `reid-gen zoo list` shows" in message
