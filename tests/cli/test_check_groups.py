"""`reid-gen generate --check` on damaged and foreign groups: one message each."""

import json
import shutil

import pytest

from reid_gen.cli.main import main
from reid_gen.data.positive_groups import load_groups
from tests.cli.conftest import failure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def generated(gan_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "groups"
    main(["generate", str(gan_run), "--out", str(folder), "--members", "3"])
    return folder


@pytest.fixture
def out(generated, tmp_path):
    shutil.copytree(generated, tmp_path / "groups")
    return tmp_path / "groups"


@pytest.fixture
def fails(out, capsys):
    return lambda *words: failure(capsys, "generate", *words, "--out", out, "--check")


def replace_in(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_check_passes_unchanged_groups_with_and_without_source(gan_run, out, capsys):
    main(["generate", "--out", str(out), "--check"])
    words = ["--maker", "turned", "--members", "3", "--seed", "1"]
    main(["generate", str(gan_run), "--out", str(out), "--check", *words])
    assert "27 images in 9 groups" in capsys.readouterr().out


def test_check_names_another_source_and_other_options(gan_run, fails, tmp_path):
    message = fails(gan_run, "--maker", "anchored", "--members", "99", "--seed", "5")
    assert (
        "with maker turned instead of anchored, members 3 instead of 99, seed 1 instead of 5;"
        in message
    )
    assert "leave out the options that need not be checked" in message
    (tmp_path / "sd.yaml").write_text("")
    assert "holds groups with made_by tiny " in fails(tmp_path / "sd.yaml")
    assert f"{tmp_path / 'nowhere'} does not exist" in fails(tmp_path / "nowhere")
    assert "holds groups with share None instead of 0.5" in fails("--share", "0.5")


def test_check_names_damaged_and_missing_files(out, fails):
    files = sorted(out.rglob("*.jpg"))
    files[0].write_bytes(b"x")
    files[1].unlink()
    message = fails()
    assert "2 of 27 images are damaged" in message
    assert f"{files[0].relative_to(out)} differs from its checksum" in message
    assert f"{files[1].relative_to(out)} is missing" in message


def test_check_counts_missing_and_additional_manifest_lines(out, fails):
    manifest = out / "part-00000" / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    first = json.loads(lines[0])
    manifest.write_text("".join(lines[1:]))
    message = fails()
    assert f"{out} lists 26 images, and its groups.json says 3 in each of 9 groups" in message
    assert f"{first['file']} has no manifest line, group '{first['group']}' has 2;" in message
    assert "remove their part-* folders and run the command" in message
    for line in lines[:3]:
        (out / json.loads(line)["file"]).unlink()
    manifest.write_text("".join(lines[3:]))
    assert "9 groups: there are 8 groups;" in fails()
    manifest.write_text("".join([*lines, lines[0]]))
    assert f"group '{first['group']}' has 4" in fails()


def test_check_names_a_header_without_members(out, fails):
    replace_in(out / "groups.json", '"members": 3,', "")
    message = f"{out / 'groups.json'} does not say how many members a group has, so they cannot be"
    assert message in fails()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (', "source"', ', "sauce"', "line 1: sauce Unexpected"),
        ('"seed": 1', '"seed": null', "line 1: seed Input should be a valid integer"),
        ('{"file"', '"file"', "line 1: Invalid JSON"),
    ],
)
def test_check_names_unreadable_manifest_lines(out, fails, old, new, reason):
    manifest = out / "part-00000" / "manifest.jsonl"
    replace_in(manifest, old, new)
    message = fails()
    assert f"{manifest} cannot be read ({reason}" in message
    assert f"remove {manifest.parent} and run the command that generated it again" in message
    assert len(message.splitlines()) == 1


def test_check_names_truncated_and_missing_manifests(gan_run, out, fails):
    manifest = out / "part-00000" / "manifest.jsonl"
    content = manifest.read_bytes()
    manifest.write_bytes(content[:-20])
    assert f"{manifest} cannot be read (line 27: Invalid JSON: EOF" in fails()
    manifest.unlink()
    assert f"{manifest} cannot be read (No such file or directory)" in fails()
    shutil.rmtree(manifest.parent)
    assert "lacks 1 of 1 parts" in fails()
    main(["generate", str(gan_run), "--out", str(out), "--members", "3"])
    assert manifest.read_bytes() == content


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"format": 3}', '{"format": 3, "kind": "", "parts": "1"}']
)
def test_check_names_an_unreadable_header(gan_run, out, fails, capsys, text):
    header = out / "groups.json"
    header.write_text(text)
    message = fails()
    assert f"{header} is damaged (" in message
    assert f"restore it from a copy, or remove {out} and generate the groups again" in message
    assert message == failure(capsys, "generate", gan_run, "--out", out)


def test_check_reads_the_previous_format_and_refuses_others(gan_run, out, fails):
    header = out / "groups.json"
    content = json.loads(header.read_text())
    content["format"] = 1
    header.write_text(json.dumps(content))
    message = f"{header} has format 1, this version reads 2 and 3; generate them again"
    assert message in fails()
    content["format"] = 2
    del content["contents_sha256"]
    header.write_text(json.dumps(content))
    for manifest in out.rglob("manifest.jsonl"):
        manifest.write_text(manifest.read_text().replace('"pose": null, ', ""))
    main(["generate", "--out", str(out), "--check"])
    shutil.rmtree(out / "part-00000")
    main(["generate", str(gan_run), "--out", str(out), "--members", "3"])
    assert len(load_groups(out).members) == 27
