import json

import pytest

from reid_gen.cli.main import main
from reid_gen.evaluation.feature_centralisation import NFC, TURNED

pytestmark = pytest.mark.slow


def test_evaluate_averages_features_with_neighbours_and_views(gan_run, tmp_path):
    out = tmp_path / "scores.json"
    main(["evaluate", "--checkpoint", str(gan_run), "--nfc", "--turned", "--json", str(out)])
    rankings = json.loads(out.read_text())
    assert [ranking["reranking"] for ranking in rankings] == ["none", NFC, TURNED]
    for ranking in rankings[1:]:
        assert 0 < ranking["mAP"] <= 1
        assert ranking["mAP"] != rankings[0]["mAP"]
