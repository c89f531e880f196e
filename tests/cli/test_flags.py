"""Options of commands are passed on to the functions that use them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from reid_gen.cli.main import main
from reid_gen.cli.options import BUILT_IN
from reid_gen.data.tables import write_table
from reid_gen.types import Image
from tests.cluster.features import make_features


class Reached(Exception):
    """Raised by a patched function instead of doing its work."""


@pytest.fixture
def stop_at(monkeypatch):
    """Return a function that patches a function to record its arguments and end the command."""

    def stop_at(name):
        calls = []

        def record(*args, **kwargs):
            calls.append((args, kwargs))
            raise Reached

        monkeypatch.setattr(name, record)
        return calls

    return stop_at


def run_until_stopped(*words):
    with pytest.raises(Reached):
        main([str(word) for word in words])


@pytest.fixture
def crop(tmp_path):
    """An empty image file, which is never opened."""
    file = tmp_path / "a.jpg"
    file.write_bytes(b"")
    return file


def test_evaluate_passes_its_flags_to_the_settings(stop_at, tmp_path):
    calls = stop_at("reid_gen.cli.evaluate._build")
    for switches in ((), ("--flip",), ("--rerank",), ("--flip", "--rerank")):
        words = ["--config", "configs/baseline_pedestrians.yaml", "--set", f"data.root={tmp_path}"]
        run_until_stopped("evaluate", *words, *switches)
        ((settings, _), _) = calls[-1]
        actual = settings.evaluation.flip, settings.evaluation.rerank
        assert actual == ("--flip" in switches, "--rerank" in switches)


@pytest.mark.parametrize("flip", [False, True])
def test_extract_passes_its_options(crop, stop_at, monkeypatch, flip):
    calls = stop_at("reid_gen.inference.extract.extract")
    monkeypatch.setattr("reid_gen.inference.reid_model.open_encoder", lambda *_: (None, None))
    words = ["--batch", "7", "--workers", "3", *["--flip"] * flip]
    run_until_stopped("extract", crop, "--model", BUILT_IN, "--out", crop.parent / "f.npz", *words)
    _, kwargs = calls[0]
    assert (kwargs["flip"], kwargs["batch"], kwargs["workers"]) == (flip, 7, 3)
    assert not kwargs["skip_unreadable"]


def test_search_passes_top_and_rerank(crop, monkeypatch):
    calls = []

    def search(query, top, *, rerank, keep_same_image):
        calls.append((len(query), top, rerank))
        raise Reached

    gallery = SimpleNamespace(search=search)
    monkeypatch.setattr("reid_gen.inference.search.Gallery", lambda *_: gallery)
    for flags in ([], ["--rerank"]):
        run_until_stopped(
            "search", "--query", crop, "--gallery", crop, "--model", BUILT_IN, "--top", "3", *flags
        )
    assert calls == [(1, 3, False), (1, 3, True)]


def test_cluster_passes_its_options(tmp_path, stop_at):
    calls = stop_at("reid_gen.cluster.pseudo_labels")
    features, _ = make_features(persons=2, each=4, noise=0.5)
    write_table({"feature": features}, tmp_path / "f.npz")
    words = ["--k1", "9", "--k2", "4", "--min-samples", "3", "--eps", "0.7"]
    run_until_stopped("cluster", tmp_path / "f.npz", "--out", tmp_path / "x.csv", *words)
    _, kwargs = calls[0]
    assert (kwargs["k1"], kwargs["k2"], kwargs["min_samples"]) == (9, 4, 3)
    assert kwargs["eps"].value == 0.7
    assert (kwargs["algorithm"], kwargs["neighbours"]) == ("dbscan", "exact")


def test_rank_numbers_matches_from_one_per_query(tmp_path):
    features, _ = make_features(persons=3, each=4, noise=0.1)
    write_table({"feature": features}, tmp_path / "f.npz")
    out = tmp_path / "ranks.npz"
    main(["rank", *[str(tmp_path / "f.npz")] * 2, "--out", str(out), "--top", "3"])
    table = np.load(out)
    assert table["rank"].tolist() == [1, 2, 3] * 12
    assert (np.diff(table["distance"].reshape(12, 3)) >= 0).all()


def test_tune_passes_its_options(crop, stop_at, monkeypatch):
    pytest.importorskip("peft")
    calls = stop_at("reid_gen.generators.stable_diffusion.finetune.tune_lora")
    monkeypatch.setattr("reid_gen.generators.stable_diffusion.finetune.load_base", lambda *_: None)
    file, out = "configs/pipelines/same_person_market.yaml", crop.parent / "lora"
    words = ["--steps", "7", "--batch", "3", "--rank", "5", "--rate", "0.25", "--seed", "9"]
    run_until_stopped("tune", file, crop, "--out", out, "--prompt", "a man", *words)
    _, images, prompt, tuning, _, _ = calls[0][0]
    assert (len(images), prompt) == (1, "a man")
    actual = tuning.steps, tuning.batch, tuning.learning_rate, tuning.rank, tuning.seed
    assert actual == (7, 3, 0.25, 5, 9)


@pytest.fixture
def stub_run(monkeypatch, tmp_path):
    """Patch everything that opens a run; the second of three images has no confident body."""
    images = tuple(Image(name, tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg"))
    table = SimpleNamespace(confidence_mask=lambda keys, min_score: np.array([True, False, True]))
    splits = SimpleNamespace(train=images, query=None, gallery=None)
    data = SimpleNamespace(name="folder", root=tmp_path)
    settings = SimpleNamespace(bodies=tmp_path / "bodies", min_score=0.3, angles=None)
    weights = SimpleNamespace(weights=None)
    runtime = SimpleNamespace(encoder=lambda encoder: None)
    renderer = SimpleNamespace(painter=None, maps=lambda table: None, runtime=runtime, encoder=None)
    run = SimpleNamespace(
        checkpoint=tmp_path / "last",
        config=SimpleNamespace(data=data, encoder=weights),
        generator=settings,
        renderer=renderer,
    )
    for name, value in {
        "reid_gen.builders.saved_run.open_run": lambda *_: run,
        "reid_gen.data.datasets.load_dataset": lambda name, root: splits,
        "reid_gen.builders.turned_maps.build_angles": lambda angles: "angles",
        "reid_gen.positives.scores.SilhouetteScorer": lambda *_: None,
        "reid_gen.files.content_digest": lambda path: "0",
        "reid_gen.builders.positives.run_name": lambda run: "run",
        # Last, so that no module imported by the names above binds the patched function.
        "reid_gen.body.table.load_table": lambda file: table,
    }.items():
        monkeypatch.setattr(name, value)
    return tmp_path


def test_generate_passes_its_options(stub_run, stop_at):
    calls = stop_at("reid_gen.positives.generate.generate_groups")
    run_until_stopped(
        "generate", BUILT_IN, "--out", stub_run / "groups", "--members", "3", "--seed", "8"
    )
    (_, _, images, _), kwargs = calls[0]
    assert [image.key for image in images] == ["a.jpg", "c.jpg"]
    assert (kwargs["members"], kwargs["seed"]) == (3, 8)


def test_generate_passes_share_to_anchored_views(stub_run, stop_at):
    calls = stop_at("reid_gen.positives.sources.AnchoredViews")
    run_until_stopped(
        "generate", BUILT_IN, "--out", stub_run / "groups", "--maker", "anchored", "--share", "0.6"
    )
    assert calls[0][0][-1] == 0.6


def test_evaluate_turned_uses_the_bodies_of_each_split(monkeypatch):
    from reid_gen.cli.evaluate import _add_views

    settings = SimpleNamespace(bodies=Path("bodies"))
    renderer = SimpleNamespace(features=lambda images, table, degrees: (images, table))
    run = SimpleNamespace(generator=settings, renderer=renderer)
    monkeypatch.setattr("reid_gen.builders.saved_run.open_run", lambda _: run)
    monkeypatch.setattr("reid_gen.body.table.load_table", lambda file: file.name)
    monkeypatch.setattr(
        "reid_gen.evaluation.feature_centralisation.centralise_with_views",
        lambda features, views: (features, views),
    )
    split = {"query": SimpleNamespace(images="Q"), "gallery": SimpleNamespace(images="G")}
    features = _add_views("run", SimpleNamespace(**split), ("q", "g"))
    assert features == [("q", ("Q", "query.npz")), ("g", ("G", "gallery.npz"))]


def test_evaluate_views_passes_the_number_of_queries(stub_run, stop_at, monkeypatch):
    calls = []
    monkeypatch.setattr("reid_gen.data.datasets.labelled_splits", lambda _: ("query", "gallery"))
    monkeypatch.setattr("reid_gen.cli.evaluate_views._reference_encoder", lambda *_: None)
    monkeypatch.setattr(
        "reid_gen.evaluation.view_evaluator.evenly_spaced_queries", lambda *args: calls.append(args)
    )
    stop_at("reid_gen.evaluation.view_evaluator.ViewEvaluator")
    monkeypatch.setattr("reid_gen.cli.evaluate_views._truth", lambda config: None)
    monkeypatch.setattr("reid_gen.cli.evaluate_views._features_name", lambda *_: "")
    run_until_stopped("evaluate-views", BUILT_IN, "--queries", "7")
    assert calls == [("query", 7)]
