import re

import numpy as np
import pytest

from reid_gen.cli.main import main
from reid_gen.evaluation.query_scores import score_queries
from reid_gen.evaluation.ranking import evaluate_ranking
from reid_gen.report import page as page_module
from tests.cli.conftest import failure, gan_run  # noqa: F401
from tests.cluster.features import make_features
from tests.data.real_format import make_folder, make_market
from tests.training.small import write_config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    config = write_config(folder, make_market(folder / "data"))
    main(["train", "--config", str(config), "--set", "stages.0.epochs=1"])
    return folder / "runs" / "tiny"


def titles(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_the_page_has_every_part_and_needs_nothing_else(run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "report.html"
    main(["report", str(run), "--out", str(out)])
    assert "wrote" in capsys.readouterr().out
    page = out.read_text()
    assert titles(page) == [
        "Curves", "Clusters", "Map of features", "Worst queries", "Best queries",
        "Confusion between cameras", "Settings", "Environment",
    ]  # fmt: skip
    assert page.count("<svg") == 3
    assert page.count("data:image/jpeg;base64,") == 4
    assert page.count("coloured by") == 2
    outside = [
        u for u in re.findall(r'(?:src|href)="([^"]+)"', page) if not u.startswith(("data:", "#"))
    ]
    assert not outside
    assert "labels_used" in page
    assert "seed: 3" in page
    assert "exists; give --force" in failure(capsys, "report", run, "--out", out)


def test_the_page_lies_in_the_run_by_default_and_is_not_overwritten(run, capsys):
    pytest.importorskip("matplotlib")
    made = run / "report.html"
    main(["report", str(run)])
    assert f"MiB: {made}" in capsys.readouterr().out
    page = made.read_text()
    message = failure(capsys, "report", run / "last")
    assert message == f"error: {made} exists; give --force to overwrite it, or another name"
    main(["report", str(run), "--force"])
    assert titles(made.read_text()) == titles(page)
    made.unlink()


def test_a_run_with_a_generator_shows_its_views(gan_run, tmp_path):  # noqa: F811
    pytest.importorskip("matplotlib")
    main(["report", str(gan_run), "--out", str(tmp_path / "report.html")])
    page = (tmp_path / "report.html").read_text()
    assert "Generated views" in titles(page)
    assert "Rows: images; first the image itself, then what the generator draws of it." in page


def test_a_run_on_a_folder_has_no_queries_to_rank(tmp_path):
    pytest.importorskip("matplotlib")
    config = write_config(tmp_path, make_folder(tmp_path / "crops", people=6, shots=6))
    words = ["data.name=folder", "sampler.camera_aware=false", "stages.0.epochs=1"]
    main(["train", "--config", str(config), *(w for word in words for w in ("--set", word))])
    run = tmp_path / "runs" / "tiny"
    main(["report", str(run)])
    found = titles((run / "report.html").read_text())
    assert found == ["Curves", "Clusters", "Map of features", "Settings", "Environment"]
    assert (run / "report.html").read_text().count("coloured by") == 1  # cameras are unknown


@pytest.mark.parametrize(
    ("clusters", "sizes"), [(1, [1]), (8, [8]), (9, [8, 1]), (17, [8, 8]), (30, [8, 8])]
)
def test_clusters_are_drawn_once_each(clusters, sizes, monkeypatch):
    sheets = []
    monkeypatch.setattr(
        page_module,
        "clusters_sheet",
        lambda train, labels, chosen: sheets.append(list(chosen)) or np.zeros((1, 1, 3), np.uint8),
    )
    labels = np.repeat(np.arange(clusters), np.arange(clusters, 0, -1))
    assert len(list(page_module._clusters((), labels))) == len(sizes)
    assert [len(sheet) for sheet in sheets] == sizes
    drawn = [label for sheet in sheets for label in sheet]
    assert len(set(drawn)) == len(drawn)
    assert sheets[0] == list(range(sizes[0]))


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        (5, {"Queries": 5}),
        (8, {"Queries": 8}),
        (11, {"Worst queries": 8, "Best queries": 3}),
        (20, {"Worst queries": 8, "Best queries": 8, "Random queries": 8}),
    ],
)
def test_worst_and_best_queries_never_share_a_query(queries, expected):
    precision = np.append(np.linspace(0, 1, queries), np.nan)  # NaN: nothing to be ranked right
    rows = {title: list(some) for title, some in page_module._query_lists(precision).items()}
    assert {title: len(listed) for title, listed in rows.items()} == expected
    assert not set(rows.get("Worst queries", [])) & set(rows.get("Best queries", []))
    assert rows.get("Best queries", [queries - 1])[0] == queries - 1


def test_scores_of_single_queries_average_to_those_of_all():
    features, pids = make_features(persons=12, each=6)
    camids = np.tile(np.arange(6) % 3, 12)
    query = features[::3]
    labels = (pids[::3], pids, camids[::3], camids)
    found = score_queries([(0, -(query @ features.T))], *labels)
    whole = evaluate_ranking(query, features, *labels)
    assert found.precision.mean() == pytest.approx(whole.mean_ap)
    assert (found.first == 1).mean() == pytest.approx(whole.cmc[1])
    assert found.inverse_penalty.mean() == pytest.approx(whole.minp)
    alone = [
        evaluate_ranking(query[n : n + 1], features, *(part[n : n + 1] if len(part) == len(query)
                         else part for part in labels)).mean_ap
        for n in range(len(query))
    ]  # fmt: skip
    np.testing.assert_allclose(found.precision, alone)
