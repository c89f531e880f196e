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
    monkeypatch.setattr(module, "_extract", full)
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
    assert str(caught.value).endswith("this is not an official archive of market1501")
    assert list(root.iterdir()) == []


def tar_beside_a_data_set(tmp_path: Path, name: str = "x", **said: object) -> Path:
    """A small Market-1501 with one more member of which a tar says odd things."""
    made = make_market(tmp_path / "made", people=2, each=2)
    archive = tmp_path / "odd.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(made / TOP, TOP)
        member = tarfile.TarInfo(f"{TOP}/{name}")
        member.size = 1
        for key, value in said.items():
            setattr(member, key, value)
        tar.addfile(member, io.BytesIO(b"x"))
    return archive


@pytest.mark.parametrize(
    "said",
    [{"mtime": 10**18}, {"mtime": -(10**18)}, {"pax_headers": {"mtime": "nan"}},
     {"pax_headers": {"mtime": "1e400"}}, {"uid": 10**12}, {"name": "caf\udce9.txt"}],
    ids=str,
)  # fmt: skip
def test_prepare_passes_over_odd_times_and_names(tmp_path: Path, said: dict[str, object]) -> None:
    archive = tar_beside_a_data_set(tmp_path, **said)  # type: ignore[arg-type]
    assert prepare("market1501", archive, tmp_path / "root") == tmp_path / "root" / TOP


@pytest.mark.parametrize(
    "said",
    [{"pax_headers": {"size": "abc"}}, {"pax_headers": {"size": "9" * 30}},
     {"pax_headers": {"path": f"{TOP}/a\0b"}}, {"name": "x" * 300}],
    ids=str,
)  # fmt: skip
def test_prepare_refuses_headers_that_no_file_has(tmp_path: Path, said: dict[str, object]) -> None:
    archive = tar_beside_a_data_set(tmp_path, **said)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"download it again|File name too long"):
        prepare("market1501", archive, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_prepare_refuses_a_zip_whose_names_are_no_utf_8(tmp_path: Path) -> None:
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
    """Python's reader would ask for the name's length at once."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 120 * 10**6
    with gzip.open(archive, "wb", 1) as file:
        file.write(member.tobuf())
        for _ in range(120):
            file.write(bytes(10**6))


@pytest.mark.parametrize("make", [zip_of_zeros, tar_of_zeros, tar_of_a_long_name])
def test_prepare_refuses_a_bomb_before_it_unpacks(
    tmp_path: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpack(archive: Path, folder: Path) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(module, "_extract", unpack)
    make(tmp_path / "bomb")
    assert (tmp_path / "bomb").stat().st_size < 10**6
    with pytest.raises(UserError, match=r"unpacks to more than 10. MB, but photographs hardly"):
        prepare("market1501", tmp_path / "bomb", tmp_path / "root")


def test_prepare_does_not_wait_for_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(UserError, match="does not exist"):
        prepare("market1501", tmp_path / "pipe.zip", tmp_path / "root")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_prepare_survives_any_changed_bytes(tmp_path: Path, kind: str) -> None:
    raw = pack(tmp_path, kind).read_bytes()
    rng = random.Random(0)
    for number in range(60):
        content = bytearray(raw)
        start = max(0, len(raw) - 2000) if number % 2 else 0
        for _ in range(3):
            content[rng.randrange(start, len(raw))] = rng.randrange(256)
        (tmp_path / "changed").write_bytes(content)
        try:
            prepare("market1501", tmp_path / "changed", tmp_path / f"root{number}")
        except UserError:
            assert not (tmp_path / f"root{number}").exists()
