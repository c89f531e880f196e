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

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    config = write_config(folder, make_market(folder / "data"))
    main(["train", "--config", str(config), "--set", "stages.0.epochs=1"])
    return folder / "runs" / "tiny"


def section_titles(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_report_has_all_sections_and_no_external_links(run, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "report.html"
    main(["report", str(run), "--out", str(out)])
    assert "wrote" in capsys.readouterr().out
    page = out.read_text()
    assert section_titles(page) == [
        "Training curves", "Clusters", "t-SNE of features", "Worst queries", "Best queries",
        "Rank-1 by camera pair", "Settings", "Environment",
    ]  # fmt: skip
    assert page.count("<svg") == 3
    assert page.count("data:image/jpeg;base64,") == 4
    assert page.count("coloured by") == 2
    external = [
        url
        for url in re.findall(r'(?:src|href)="([^"]+)"', page)
        if not url.startswith(("data:", "#"))
    ]
    assert not external
    assert "labels_used" in page
    assert "seed: 3" in page
    assert "exists; give --force" in failure(capsys, "report", run, "--out", out)


def test_report_is_written_to_the_run_and_not_overwritten(run, capsys):
    pytest.importorskip("matplotlib")
    report = run / "report.html"
    main(["report", str(run)])
    assert f"MiB: {report}" in capsys.readouterr().out
    page = report.read_text()
    message = failure(capsys, "report", run / "last")
    assert message == f"error: {report} exists; give --force to overwrite it, or another name"
    main(["report", str(run), "--force"])
    assert section_titles(report.read_text()) == section_titles(page)
    report.unlink()


def test_report_shows_generated_views(gan_run, tmp_path):  # noqa: F811
    pytest.importorskip("matplotlib")
    main(["report", str(gan_run), "--out", str(tmp_path / "report.html")])
    page = (tmp_path / "report.html").read_text()
    assert "Generated views" in section_titles(page)
    assert "One row per image: the image, then its generated views." in page


def test_report_of_an_unlabelled_folder_has_no_rankings(tmp_path):
    pytest.importorskip("matplotlib")
    config = write_config(tmp_path, make_folder(tmp_path / "crops", people=6, shots=6))
    overrides = ["data.name=folder", "sampler.camera_aware=false", "stages.0.epochs=1"]
    set_options = [word for override in overrides for word in ("--set", override)]
    main(["train", "--config", str(config), *set_options])
    run = tmp_path / "runs" / "tiny"
    main(["report", str(run)])
    page = (run / "report.html").read_text()
    assert section_titles(page) == [
        "Training curves", "Clusters", "t-SNE of features", "Settings", "Environment",
    ]  # fmt: skip
    assert page.count("coloured by") == 1  # cameras are unknown


@pytest.mark.parametrize(
    ("clusters", "sizes"), [(1, [1]), (8, [8]), (9, [8, 1]), (17, [8, 8]), (30, [8, 8])]
)
def test_clusters_are_shown_at_most_once(clusters, sizes, monkeypatch):
    sheets = []
    monkeypatch.setattr(
        page_module,
        "clusters_sheet",
        lambda train, labels, clusters: (
            sheets.append(list(clusters)) or np.zeros((1, 1, 3), np.uint8)
        ),
    )
    labels = np.repeat(np.arange(clusters), np.arange(clusters, 0, -1))
    assert len(list(page_module._clusters((), labels))) == len(sizes)
    assert [len(sheet) for sheet in sheets] == sizes
    shown_labels = [label for sheet in sheets for label in sheet]
    assert len(set(shown_labels)) == len(shown_labels)
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
def test_query_lists_share_no_query(queries, expected):
    precision = np.append(np.linspace(0, 1, queries), np.nan)  # NaN: no match in the gallery
    rows = {title: list(indices) for title, indices in page_module._query_lists(precision).items()}
    assert {title: len(indices) for title, indices in rows.items()} == expected
    assert not set(rows.get("Worst queries", [])) & set(rows.get("Best queries", []))
    assert rows.get("Best queries", [queries - 1])[0] == queries - 1


def test_score_queries_average_equals_evaluate_ranking():
    features, pids = make_features(persons=12, each=6)
    camids = np.tile(np.arange(6) % 3, 12)
    query = features[::3]
    labels = (pids[::3], pids, camids[::3], camids)
    scores = score_queries([(0, -(query @ features.T))], *labels)
    expected = evaluate_ranking(query, features, *labels)
    assert scores.precision.mean() == pytest.approx(expected.mean_ap)
    assert (scores.first == 1).mean() == pytest.approx(expected.cmc[1])
    assert scores.inverse_penalty.mean() == pytest.approx(expected.minp)
    precision_per_query = [
        evaluate_ranking(query[n : n + 1], features, *(part[n : n + 1] if len(part) == len(query)
                         else part for part in labels)).mean_ap
        for n in range(len(query))
    ]  # fmt: skip
    np.testing.assert_allclose(scores.precision, precision_per_query)
