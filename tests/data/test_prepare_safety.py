from __future__ import annotations

import errno
import gzip
import io
import os
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
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


def pack_market(tmp_path: Path, kind: str = "zip") -> Path:
    """Make an archive of a small Market-1501, in one of ``shutil``'s formats."""
    source = make_market(tmp_path / "source", people=2, shots=2)
    return Path(shutil.make_archive(str(tmp_path / "market"), kind, source, TOP))


def tar_with(tmp_path: Path, member: tarfile.TarInfo) -> Path:
    archive = tmp_path / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(member, io.BytesIO(b"x" * member.size))
    return archive


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_prepare_extracts_every_format_into_a_new_root(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "new" / "root"
    assert prepare("market1501", pack_market(tmp_path, kind), root) == root / TOP
    assert len(load_dataset("market1501", root).train) == 4
    assert [path.name for path in root.iterdir()] == [TOP]


def test_data_prepare_command_prints_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    arguments = [
        "prepare",
        "market1501",
        "--archive",
        str(pack_market(tmp_path)),
        "--root",
        str(root),
    ]
    result = CliRunner().invoke(data, arguments)
    assert (result.exit_code, result.output) == (0, f"unpacked {root / TOP}\n")


def test_prepare_drops_macos_resource_forks(tmp_path: Path) -> None:
    archive = pack_market(tmp_path)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(f"__MACOSX/{TOP}/._readme.txt", b"x")
    prepare("market1501", archive, tmp_path / "root")
    assert [path.name for path in (tmp_path / "root").iterdir()] == [TOP]


def test_prepare_rejects_paths_with_backslashes_outside(tmp_path: Path) -> None:
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("..\\evil.txt", b"x")
    with pytest.raises(UserError, match="lead out of its folder"):
        prepare("market1501", archive, tmp_path / "root")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_prepare_rejects_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("top/link")
    member.type, member.linkname = kind, "../../outside"
    with pytest.raises(UserError, match="lead out of its folder: top/link"):
        prepare("market1501", tar_with(tmp_path, member), tmp_path / "root")


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt"])
def test_prepare_rejects_tar_members_outside_of_the_root(tmp_path: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = 1
    with pytest.raises(UserError, match="lead out of its folder"):
        prepare("market1501", tar_with(tmp_path, member), tmp_path / "root")


def test_prepare_removes_a_new_root_after_a_wrong_checksum(tmp_path: Path) -> None:
    archive = tmp_path / "market.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{TOP}/query/0001_c1s1_000001_01.jpg", b"the pixels")
    archive.write_bytes(archive.read_bytes().replace(b"the pixels", b"the pixelz"))
    with pytest.raises(UserError, match="is damaged"):
        prepare("market1501", archive, tmp_path / "new" / "root")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_prepare_leaves_nothing_of_a_truncated_archive(
    tmp_path: Path, kind: str, share: float
) -> None:
    archive = pack_market(tmp_path, kind)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match="download it again"):
        prepare("market1501", archive, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_prepare_rejects_a_tar_truncated_at_a_member(tmp_path: Path) -> None:
    archive = pack_market(tmp_path, "tar")
    with tarfile.open(archive) as tar:
        last = tar.getmembers()[-1]
    archive.write_bytes(archive.read_bytes()[: last.offset])
    with pytest.raises(UserError, match="download it again"):
        prepare("market1501", archive, tmp_path / "root")


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_prepare_detects_inverted_bytes(tmp_path: Path, kind: str) -> None:
    archive = pack_market(tmp_path, kind)
    content = bytearray(archive.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 20] = bytes(255 - byte for byte in content[middle : middle + 20])
    archive.write_bytes(content)
    with pytest.raises(UserError, match="download it again"):
        prepare("market1501", archive, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_prepare_leaves_nothing_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_with_full_disk(archive: Path, folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = pack_market(tmp_path)
    monkeypatch.setattr(module, "_extract", fail_with_full_disk)
    with pytest.raises(UserError, match="No space left on device; free some space"):
        prepare("market1501", archive, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_prepare_rejects_the_archive_of_another_data_set(
    tmp_path: Path,
) -> None:
    source = make_duke(tmp_path / "source")
    archive = Path(shutil.make_archive(str(tmp_path / "duke"), "zip", source, "DukeMTMC-reID"))
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(UserError) as caught:
        prepare("market1501", archive, root)
    assert str(caught.value).startswith(f"no Market-1501 under {archive}: ")
    assert str(caught.value).endswith("this is not an official archive of market1501")
    assert list(root.iterdir()) == []


def tar_with_extra_member(tmp_path: Path, name: str = "x", **fields: object) -> Path:
    """Make a tar of a small Market-1501 and a member with unusual header fields."""
    source = make_market(tmp_path / "source", people=2, shots=2)
    archive = tmp_path / "odd.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(source / TOP, TOP)
        member = tarfile.TarInfo(f"{TOP}/{name}")
        member.size = 1
        for key, value in fields.items():
            setattr(member, key, value)
        tar.addfile(member, io.BytesIO(b"x"))
    return archive


@pytest.mark.parametrize(
    "fields",
    [{"mtime": 10**18}, {"mtime": -(10**18)}, {"pax_headers": {"mtime": "nan"}},
     {"pax_headers": {"mtime": "1e400"}}, {"uid": 10**12}, {"name": "caf\udce9.txt"}],
    ids=str,
)  # fmt: skip
def test_prepare_accepts_unusual_times_and_names(tmp_path: Path, fields: dict[str, object]) -> None:
    archive = tar_with_extra_member(tmp_path, **fields)  # type: ignore[arg-type]
    assert prepare("market1501", archive, tmp_path / "root") == tmp_path / "root" / TOP


@pytest.mark.parametrize(
    "fields",
    [{"pax_headers": {"size": "abc"}}, {"pax_headers": {"size": "9" * 30}},
     {"pax_headers": {"path": f"{TOP}/a\0b"}}, {"name": "x" * 300}],
    ids=str,
)  # fmt: skip
def test_prepare_rejects_invalid_tar_headers(tmp_path: Path, fields: dict[str, object]) -> None:
    archive = tar_with_extra_member(tmp_path, **fields)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"download it again|File name too long"):
        prepare("market1501", archive, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_prepare_rejects_a_zip_with_invalid_utf_8_names(tmp_path: Path) -> None:
    archive = tmp_path / "market.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{TOP}/caf\xe9", b"x")
    archive.write_bytes(archive.read_bytes().replace("\xe9".encode(), b"\xff\xff"))
    with pytest.raises(UserError, match="is not a readable archive: damaged"):
        prepare("market1501", archive, tmp_path / "root")


def zip_of_zeros(archive: Path) -> None:
    with (
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file,
        file.open(f"{TOP}/zeros", "w", force_zip64=True) as member,
    ):
        for _ in range(120):
            member.write(bytes(10**6))


def tar_of_zeros(archive: Path) -> None:
    member = tarfile.TarInfo(f"{TOP}/zeros")
    member.size = 120 * 10**6
    with gzip.open(archive, "wb", 1) as file:
        file.write(member.tobuf())
        for _ in range(120):
            file.write(bytes(10**6))


def tar_of_a_long_name(archive: Path) -> None:
    """Python's reader would allocate the claimed length of the name at once."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 120 * 10**6
    with gzip.open(archive, "wb", 1) as file:
        file.write(member.tobuf())
        for _ in range(120):
            file.write(bytes(10**6))


@pytest.mark.parametrize("make", [zip_of_zeros, tar_of_zeros, tar_of_a_long_name])
def test_prepare_rejects_a_bomb_before_extraction(
    tmp_path: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(archive: Path, folder: Path) -> None:
        raise AssertionError("it was extracted")

    monkeypatch.setattr(module, "_extract", fail)
    make(tmp_path / "bomb")
    assert (tmp_path / "bomb").stat().st_size < 10**6
    with pytest.raises(UserError, match=r"unpacks to more than 10. MB, but photographs hardly"):
        prepare("market1501", tmp_path / "bomb", tmp_path / "root")


def test_prepare_does_not_block_on_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(UserError, match="does not exist"):
        prepare("market1501", tmp_path / "pipe.zip", tmp_path / "root")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_prepare_raises_only_user_errors_on_changed_bytes(tmp_path: Path, kind: str) -> None:
    raw = pack_market(tmp_path, kind).read_bytes()
    rng = random.Random(0)
    for attempt in range(60):
        content = bytearray(raw)
        start = max(0, len(raw) - 2000) if attempt % 2 else 0
        for _ in range(3):
            content[rng.randrange(start, len(raw))] = rng.randrange(256)
        (tmp_path / "changed").write_bytes(content)
        try:
            prepare("market1501", tmp_path / "changed", tmp_path / f"root{attempt}")
        except UserError:
            assert not (tmp_path / f"root{attempt}").exists()
