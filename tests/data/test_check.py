from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from reid_gen.cli.data import data
from reid_gen.data import check as module
from reid_gen.data.check import check_dataset
from reid_gen.data.datasets import DATASETS, Counts, DatasetSpec
from tests.data.real_format import make_folder, make_market, make_msmt17


def test_check_dataset_reports_actual_and_official_counts(tmp_path: Path) -> None:
    report = check_dataset("market1501", make_market(tmp_path))
    train, query, gallery = report.splits
    assert train.actual == Counts(48, 8, 3)
    assert query.actual == Counts(16, 8, 3)
    assert gallery.actual == Counts(51, 8, 3)
    assert train.official == Counts(12_936, 751, 6)
    assert gallery.official == Counts(15_913, 750, 6)
    assert not report.agrees


def test_check_dataset_agrees_with_official_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"train": Counts(8, 4, 2), "query": Counts(4, 4, 1), "gallery": Counts(4, 4, 1)}
    table = {"msmt17": DatasetSpec(DATASETS["msmt17"].read, "MSMT17", counts)}
    monkeypatch.setattr(module, "DATASETS", table)
    assert check_dataset("msmt17", make_msmt17(tmp_path)).agrees


def test_check_dataset_agrees_without_official_counts(tmp_path: Path) -> None:
    report = check_dataset("folder", make_folder(tmp_path))
    (train,) = report.splits
    assert (train.actual, train.official) == (Counts(12, 0, 0), None)
    assert report.agrees


def test_check_dataset_lists_damaged_files_by_path(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    cut, empty = root / "day0" / "crop_0_0.png", root / "day1" / "crop_1_1.png"
    cut.write_bytes(cut.read_bytes()[:400])
    empty.write_bytes(b"")
    report = check_dataset("folder", root)
    assert [failure.path for failure in report.unreadable] == [cut, empty]
    assert not report.agrees


def test_data_check_command_warns_about_other_counts(tmp_path: Path) -> None:
    root = make_market(tmp_path)
    result = CliRunner().invoke(data, ["check", "market1501", "--root", str(root)])
    assert result.exit_code == 0
    assert "12,936 / 751 / 6" in result.output
    assert "warning: train, query, gallery: counts differ from the official counts" in result.output
    assert "note: gallery: junk (pid -1) is left out" in result.output


def test_data_check_command_fails_on_unreadable_files(tmp_path: Path) -> None:
    root = make_folder(tmp_path)
    (root / "day0" / "crop_2_0.png").write_bytes(b"no image")
    result = CliRunner().invoke(data, ["check", "folder", "--root", str(root)])
    assert result.exit_code == 1
    assert f"unreadable: {root / 'day0' / 'crop_2_0.png'}: " in result.output
    assert "error: 1 image(s) cannot be decoded" in result.output
