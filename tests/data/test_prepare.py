import io
import tarfile
import zipfile

import pytest

from reid_gen.data.check import check_dataset
from reid_gen.data.datasets import load_dataset
from reid_gen.data.prepare import prepare
from reid_gen.errors import UserError
from tests.data.real_format import make_market


def zip_market(tmp_path, top="Market-1501-v15.09.15"):
    source = make_market(tmp_path / "source", people=1, shots=2) / "Market-1501-v15.09.15"
    target = tmp_path / "market.zip"
    with zipfile.ZipFile(target, "w") as file:
        for path in sorted(source.rglob("*")):
            file.write(path, f"{top}/{path.relative_to(source)}")
    return target


def error_message(tmp_path, archive, name="market1501"):
    root = tmp_path / "root"
    with pytest.raises(UserError) as error:
        prepare(name, archive, root)
    assert not root.exists() or not list(root.iterdir()), "something was left behind"
    return str(error.value)


def test_prepare_extracts_an_archive_that_can_be_read(tmp_path):
    target = prepare("market1501", zip_market(tmp_path), tmp_path / "root")
    assert target == tmp_path / "root" / "Market-1501-v15.09.15"
    assert len(load_dataset("market1501", tmp_path / "root").train) == 2
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["Market-1501-v15.09.15"]


def test_prepare_keeps_an_existing_target(tmp_path):
    archive = zip_market(tmp_path)
    target = prepare("market1501", archive, tmp_path / "root")
    with pytest.raises(UserError, match="exists; remove it, or give another --root"):
        prepare("market1501", archive, tmp_path / "root")
    assert target.is_dir()


def test_prepare_leaves_nothing_of_a_damaged_archive(tmp_path):
    archive = zip_market(tmp_path)
    content = bytearray(archive.read_bytes())
    content[200:240] = b"x" * 40
    archive.write_bytes(content)
    assert "download it again" in error_message(tmp_path, archive)


def test_prepare_leaves_nothing_of_a_file_without_archive(tmp_path):
    archive = tmp_path / "market.zip"
    archive.write_bytes(b"<html>not found</html>")
    assert error_message(tmp_path, archive).startswith(f"{archive} is not a readable archive")


def test_prepare_leaves_nothing_of_another_archive(tmp_path):
    assert error_message(tmp_path, zip_market(tmp_path, top="Other")).startswith(
        "no Market-1501 under "
    )


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt"])
def test_prepare_rejects_members_outside_of_the_root(tmp_path, name):
    archive = tmp_path / "market.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, "x")
    assert "members that lead out of its folder" in error_message(tmp_path, archive)


def test_prepare_rejects_symbolic_links_in_a_tar(tmp_path):
    archive = tmp_path / "market.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        link = tarfile.TarInfo("Market-1501-v15.09.15/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        file.addfile(link)
        file.addfile(tarfile.TarInfo("Market-1501-v15.09.15/a"), io.BytesIO())
    assert "members that lead out of its folder" in error_message(tmp_path, archive)


def test_prepare_names_a_missing_archive_or_unknown_name(tmp_path):
    assert error_message(tmp_path, tmp_path / "no.zip") == (
        f"the archive {tmp_path / 'no.zip'} does not exist; check --archive"
    )
    assert error_message(tmp_path, tmp_path / "no.zip", "folder") == (
        "'folder' has no archive to unpack; known: market1501, dukemtmcreid, msmt17"
    )


def test_check_dataset_counts_splits_and_lists_unreadable(tmp_path):
    folder = make_market(tmp_path, people=2, shots=3) / "Market-1501-v15.09.15"
    damaged = next((folder / "query").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:300])
    report = check_dataset("market1501", tmp_path)
    counts = {split.name: (split.actual.images, split.actual.pids) for split in report.splits}
    assert counts == {"train": (6, 2), "query": (4, 2), "gallery": (9, 2)}
    assert not any(split.agrees for split in report.splits)
    assert [failure.path for failure in report.unreadable] == [damaged]
