from __future__ import annotations

import errno
import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from reid_gen.cli.data import data
from reid_gen.data import prepare as module
from reid_gen.data.datasets import load_dataset
from reid_gen.data.prepare import prepare
from reid_gen.errors import UserError
from tests.data.real_format import make_duke, make_market

TOP = "Market-1501-v15.09.15"


def pack(tmp_path: Path, kind: str = "zip") -> Path:
    """An archive of a small Market-1501 (kind as ``shutil`` calls it)."""
    made = make_market(tmp_path / "made", people=2, each=2)
    return Path(shutil.make_archive(str(tmp_path / "market"), kind, made, TOP))


def tar_with(tmp_path: Path, member: tarfile.TarInfo) -> Path:
    archive = tmp_path / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(member, io.BytesIO(b"x" * member.size))
    return archive


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_every_kind_of_archive_is_unpacked_into_a_new_root(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "new" / "root"
    assert prepare("market1501", pack(tmp_path, kind), root) == root / TOP
    assert len(load_dataset("market1501", root).train) == 4
    assert [path.name for path in root.iterdir()] == [TOP]


def test_the_command_says_where_it_unpacked(tmp_path: Path) -> None:
    root = tmp_path / "root"
    words = ["prepare", "market1501", "--archive", str(pack(tmp_path)), "--root", str(root)]
    result = CliRunner().invoke(data, words)
    assert (result.exit_code, result.output) == (0, f"unpacked {root / TOP}\n")


def test_resource_forks_of_a_mac_are_left_out(tmp_path: Path) -> None:
    archive = pack(tmp_path)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(f"__MACOSX/{TOP}/._readme.txt", b"x")
    prepare("market1501", archive, tmp_path / "root")
    assert [path.name for path in (tmp_path / "root").iterdir()] == [TOP]


def test_a_backslash_does_not_hide_a_member_that_escapes(tmp_path: Path) -> None:
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("..\\evil.txt", b"x")
    with pytest.raises(UserError, match="lead out of its folder"):
        prepare("market1501", archive, tmp_path / "root")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("top/link")
    member.type, member.linkname = kind, "../../outside"
    with pytest.raises(UserError, match="lead out of its folder: top/link"):
        prepare("market1501", tar_with(tmp_path, member), tmp_path / "root")


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt"])
def test_a_tar_member_that_would_escape_is_refused(tmp_path: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = 1
    with pytest.raises(UserError, match="lead out of its folder"):
        prepare("market1501", tar_with(tmp_path, member), tmp_path / "root")


def test_a_zip_with_a_wrong_checksum_leaves_not_even_a_new_root(tmp_path: Path) -> None:
    archive = tmp_path / "market.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{TOP}/query/0001_c1s1_000001_01.jpg", b"the pixels")
    archive.write_bytes(archive.read_bytes().replace(b"the pixels", b"the pixelz"))
    with pytest.raises(UserError, match="is damaged"):
        prepare("market1501", archive, tmp_path / "new" / "root")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_a_truncated_archive_leaves_nothing(tmp_path: Path, kind: str, share: float) -> None:
    archive = pack(tmp_path, kind)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="download it again"):
        prepare("market1501", archive, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_tar_that_breaks_off_between_two_members_is_no_shorter_one(tmp_path: Path) -> None:
    archive = pack(tmp_path, "tar")
    with tarfile.open(archive) as tar:
        last = tar.getmembers()[-1]
    archive.write_bytes(archive.read_bytes()[: last.offset])
    with pytest.raises(UserError, match="download it again"):
        prepare("market1501", archive, tmp_path / "root")


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_flipped_bytes_are_noticed(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path, kind)
    content = bytearray(archive.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 20] = bytes(255 - byte for byte in content[middle : middle + 20])
    archive.write_bytes(content)
    with pytest.raises(UserError, match="download it again"):
        prepare("market1501", archive, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(archive: Path, folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = pack(tmp_path)
    monkeypatch.setattr(module, "_unpack", full)
    with pytest.raises(UserError, match="No space left on device; free some space"):
        prepare("market1501", archive, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_the_archive_of_another_data_set_is_named_and_leaves_the_root_empty(
    tmp_path: Path,
) -> None:
    made = make_duke(tmp_path / "made")
    archive = Path(shutil.make_archive(str(tmp_path / "duke"), "zip", made, "DukeMTMC-reID"))
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(UserError) as caught:
        prepare("market1501", archive, root)
    assert str(caught.value).startswith(f"no Market-1501 under {archive}: ")
    assert str(caught.value).endswith("this is no official archive of market1501")
    assert list(root.iterdir()) == []
