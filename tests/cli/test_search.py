"""``reid-gen search`` ignores the query's own image in the gallery."""

import json
import shutil

import numpy as np
import pytest

from reid_gen.cli.main import main
from reid_gen.evaluation.evaluator import Evaluator
from reid_gen.runtime.progress import Silent
from reid_gen.types import Image, LabelledSplit

pytestmark = pytest.mark.slow


@pytest.fixture
def crops(tmp_path, gan_run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = sorted((gan_run.parents[1] / "people" / "query").glob("*.jpg"))
    (tmp_path / "crops").mkdir()
    for number, file in enumerate(files):
        shutil.copy(file, f"crops/{number}.jpg")
    shutil.copy(files[0], "query.jpg")
    return len(files)


@pytest.mark.parametrize("query", ["query.jpg", "crops/0.jpg"])
def test_search_ignores_the_query_image_in_the_gallery(query, crops, capsys):
    words = ["search", "--query", query, "--gallery", "crops", "--top", "99", "--force"]
    main([*words, "--json", "-"])
    output = capsys.readouterr()
    (ranked,) = json.loads(output.out)
    paths = [match["path"] for match in ranked["matches"]]
    assert len(paths) == crops - 1
    assert "crops/0.jpg" not in paths
    assert "note: the gallery contains a query's own image 1 times" in output.err
    main([*words, "--keep-same-image", "--json", "-"])
    (ranked,) = json.loads(capsys.readouterr().out)
    assert len(ranked["matches"]) == crops
    assert ranked["matches"][0] == {"path": "crops/0.jpg", "distance": 0.0}


@pytest.mark.parametrize("keep", [False, True])
def test_evaluator_ignores_the_same_file_without_cameras(keep, tmp_path):
    names = [f"{n}.jpg" for n in range(60)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    images = tuple(Image(name, tmp_path / name) for name in names)
    split = LabelledSplit(images, np.repeat(np.arange(10), 6))
    features = np.random.default_rng(0).normal(size=(60, 512)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    evaluator = Evaluator(split, split, None, 1, False, True, Silent(), keep)
    for result in evaluator.score(features, features):
        assert (result.cmc[1] == 1) == keep
        assert result.same_images == 60 * (not keep)
