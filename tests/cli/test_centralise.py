import json

from reid_gen.cli.main import main
from reid_gen.evaluation.feature_centralisation import NFC, TURNED


def test_features_are_centred_by_neighbours_and_by_views_of_the_runs_generator(gan_run, tmp_path):
    out = tmp_path / "scores.json"
    main(["evaluate", "--checkpoint", str(gan_run), "--nfc", "--turned", "--json", str(out)])
    plain, *others = json.loads(out.read_text())
    assert [plain["reranking"], *(one["reranking"] for one in others)] == ["none", NFC, TURNED]
    for one in others:
        assert 0 < one["mAP"] <= 1
        assert one["mAP"] != plain["mAP"]
