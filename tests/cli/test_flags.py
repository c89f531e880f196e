"""What is said on the command line arrives where it counts."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from reid_gen.cli.main import main
from reid_gen.cli.options import BUILT_IN
from reid_gen.data.tables import write_table
from reid_gen.types import Image
from tests.cluster.features import people


class Arrived(Exception):
    """Raised where a command would begin its work."""


@pytest.fixture
def stop_at(monkeypatch):
    """Replace a function or class; what it is called with is kept, and the command ends."""

    def stop_at(place):
        calls = []

        def arrive(*values, **named):
            calls.append((values, named))
            raise Arrived

        monkeypatch.setattr(place, arrive)
        return calls

    return stop_at


def say(*words):
    with pytest.raises(Arrived):
        main([str(word) for word in words])


@pytest.fixture
def crop(tmp_path):
    """An image file that nobody opens."""
    file = tmp_path / "a.jpg"
    file.write_bytes(b"")
    return file


def test_evaluate_hands_its_switches_to_the_evaluator(stop_at, tmp_path):
    calls = stop_at("reid_gen.cli.evaluate._build")
    for switches in ((), ("--flip",), ("--rerank",), ("--flip", "--rerank")):
        words = ["--config", "configs/baseline_pedestrians.yaml", "--set", f"data.root={tmp_path}"]
        say("evaluate", *words, *switches)
        ((settings, _), _) = calls[-1]
        found = settings.evaluation.flip, settings.evaluation.rerank
        assert found == ("--flip" in switches, "--rerank" in switches)


@pytest.mark.parametrize("flip", [False, True])
def test_extract_hands_its_options_on(crop, stop_at, monkeypatch, flip):
    calls = stop_at("reid_gen.inference.extract.extract")
    monkeypatch.setattr("reid_gen.inference.reid_model.open_encoder", lambda *_: (None, None))
    words = ["--batch", "7", "--workers", "3", *["--flip"] * flip]
    say("extract", crop, "--model", BUILT_IN, "--out", crop.parent / "f.npz", *words)
    _, named = calls[0]
    assert (named["flip"], named["batch"], named["workers"]) == (flip, 7, 3)
    assert not named["skip_unreadable"]


def test_search_hands_on_top_and_rerank(crop, monkeypatch):
    asked = []

    def search(query, top, *, reranked, keep_same_image):
        asked.append((len(query), top, reranked))
        raise Arrived

    gallery = SimpleNamespace(search=search)
    monkeypatch.setattr("reid_gen.inference.search.Gallery", lambda *_: gallery)
    for more in ([], ["--rerank"]):
        say("search", "--query", crop, "--gallery", crop, "--model", BUILT_IN, "--top", "3", *more)
    assert asked == [(1, 3, False), (1, 3, True)]


def test_cluster_hands_its_options_on(tmp_path, stop_at):
    calls = stop_at("reid_gen.cluster.pseudo_labels")
    features, _ = people(persons=2, each=4, noise=0.5)
    write_table({"feature": features}, tmp_path / "f.npz")
    words = ["--k1", "9", "--k2", "4", "--min-samples", "3", "--eps", "0.7"]
    say("cluster", tmp_path / "f.npz", "--out", tmp_path / "x.csv", *words)
    _, named = calls[0]
    assert (named["k1"], named["k2"], named["min_samples"]) == (9, 4, 3)
    assert named["eps"].value == 0.7
    assert (named["rule"], named["neighbours"]) == ("dbscan", "exact")


def test_rank_counts_from_one_for_every_query(tmp_path):
    features, _ = people(persons=3, each=4, noise=0.1)
    write_table({"feature": features}, tmp_path / "f.npz")
    out = tmp_path / "ranks.npz"
    main(["rank", *[str(tmp_path / "f.npz")] * 2, "--out", str(out), "--top", "3"])
    table = np.load(out)
    assert table["rank"].tolist() == [1, 2, 3] * 12
    assert (np.diff(table["distance"].reshape(12, 3)) >= 0).all()


def test_tune_hands_its_options_on(crop, stop_at, monkeypatch):
    pytest.importorskip("peft")
    calls = stop_at("reid_gen.generators.stable_diffusion.finetune.tune_lora")
    monkeypatch.setattr("reid_gen.generators.stable_diffusion.finetune.load_base", lambda *_: None)
    file, out = "configs/pipelines/same_person_market.yaml", crop.parent / "lora"
    words = ["--steps", "7", "--batch", "3", "--rank", "5", "--rate", "0.25", "--seed", "9"]
    say("tune", file, crop, "--out", out, "--prompt", "a man", *words)
    _, images, prompt, tuning, _, _ = calls[0][0]
    assert (len(images), prompt) == (1, "a man")
    found = tuning.steps, tuning.batch, tuning.learning_rate, tuning.rank, tuning.seed
    assert found == (7, 3, 0.25, 5, 9)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """A run whose generator and bodies nobody looks at; the second image has no body to trust."""
    images = tuple(Image(name, tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg"))
    table = SimpleNamespace(trusts=lambda keys, least: np.array([True, False, True]))
    splits = SimpleNamespace(train=images, query=None, gallery=None)
    data = SimpleNamespace(name="folder", root=tmp_path)
    settings = SimpleNamespace(bodies=tmp_path / "bodies", min_score=0.3, angles=None)
    weights = SimpleNamespace(weights=None)
    runtime = SimpleNamespace(encoder=lambda encoder: None)
    renderer = SimpleNamespace(painter=None, maps=lambda table: None, runtime=runtime, encoder=None)
    run = tmp_path / "last", SimpleNamespace(data=data, encoder=weights), settings, renderer
    for place, value in {
        "reid_gen.cli.views.open_run": lambda *_: run,
        "reid_gen.body.table.load_table": lambda file: table,
        "reid_gen.data.datasets.load_dataset": lambda name, root: splits,
        "reid_gen.builders.generator.build_angles": lambda angles: "angles",
        "reid_gen.positives.scores.SilhouetteScorer": lambda *_: None,
        "reid_gen.files.content_digest": lambda path: "0",
        "reid_gen.cli.generate._name": lambda run: "run",
    }.items():
        monkeypatch.setattr(place, value)
    return tmp_path


def test_generate_hands_its_options_on(drawn, stop_at):
    calls = stop_at("reid_gen.positives.generate.generate_groups")
    say("generate", BUILT_IN, "--out", drawn / "groups", "--members", "3", "--seed", "8")
    (_, _, images, _), named = calls[0]
    assert [image.key for image in images] == ["a.jpg", "c.jpg"]
    assert (named["members"], named["seed"]) == (3, 8)


def test_generate_hands_the_share_to_the_anchored_maker(drawn, stop_at):
    calls = stop_at("reid_gen.positives.sources.Anchored")
    say("generate", BUILT_IN, "--out", drawn / "groups", "--maker", "anchored", "--share", "0.6")
    assert calls[0][0][-1] == 0.6


def test_evaluate_turned_takes_the_bodies_of_each_split(monkeypatch):
    from reid_gen.cli.evaluate import _with_views

    settings = SimpleNamespace(bodies=Path("bodies"))
    renderer = SimpleNamespace(features=lambda images, table, degrees: (images, table))
    run = None, None, settings, renderer
    monkeypatch.setattr("reid_gen.cli.views.open_run", lambda _: run)
    monkeypatch.setattr("reid_gen.body.table.load_table", lambda file: file.name)
    monkeypatch.setattr(
        "reid_gen.evaluation.feature_centralisation.by_views", lambda own, views: (own, views)
    )
    split = {"query": SimpleNamespace(images="Q"), "gallery": SimpleNamespace(images="G")}
    found = _with_views("run", SimpleNamespace(**split), ("q", "g"))
    assert found == [("q", ("Q", "query.npz")), ("g", ("G", "gallery.npz"))]


def test_evaluate_views_turns_as_many_queries_as_said(drawn, stop_at, monkeypatch):
    seen = []
    monkeypatch.setattr("reid_gen.data.datasets.labelled_splits", lambda _: ("query", "gallery"))
    monkeypatch.setattr("reid_gen.cli.evaluate_views._judge", lambda *_: None)
    monkeypatch.setattr(
        "reid_gen.evaluation.view_evaluator.some_queries", lambda *v: seen.append(v)
    )
    stop_at("reid_gen.evaluation.view_evaluator.ViewEvaluator")
    monkeypatch.setattr("reid_gen.cli.evaluate_views._truth", lambda config: None)
    monkeypatch.setattr("reid_gen.cli.evaluate_views._name", lambda *_: "")
    say("evaluate-views", BUILT_IN, "--queries", "7")
    assert seen == [("query", 7)]
