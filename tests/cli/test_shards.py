"""``--shard i/n`` and ``merge``: together they write what the command alone writes."""

import json

import numpy as np
import pytest

from reid_gen.body.estimate import splits
from reid_gen.cli.main import main
from reid_gen.positives import generate
from tests.cli.conftest import failure

pytestmark = pytest.mark.slow


@pytest.fixture
def people(gan_run, tmp_path, monkeypatch):
    """Change to a folder with a run and its data set; compute in blocks of few images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "people").symlink_to(gan_run.parents[1] / "people")
    (tmp_path / "run").symlink_to(gan_run)
    monkeypatch.setattr(splits, "PART_SIZE", 4)
    monkeypatch.setattr(generate, "PART", 2)
    return tmp_path


def content(path):
    """Return the bytes of a file, or of every file in a folder."""
    if path.is_file():
        return path.read_bytes()
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


EXTRACT = "extract people/query people/bounding_box_test/0005* --model run --batch 2 --out"
COMMANDS = {
    "a.npz": EXTRACT,
    "a.parquet": f"{EXTRACT}",
    "bodies": "meshes pedestrians --root people --out",
    "groups": "generate run --members 2 --seed 5 --out",
}


@pytest.mark.parametrize("out", COMMANDS)
def test_merge_writes_the_bytes_of_the_command_without_shards(out, people, capsys):
    words = COMMANDS[out].split()
    (people / "whole").mkdir()
    main([*words, f"whole/{out}"])
    for shard in ("3/3", "1/3", "2/3"):
        main([*words, out, "--shard", shard])
        assert not (people / out).exists()
    folder = f"{out}.shard-2-of-3"
    assert (
        f"wrote shard 2/3: {folder}; once all 3 are there: reid-gen merge {out}.shard-*-of-3 "
        f"--out {out}"
    ) in capsys.readouterr().out
    main(["merge", *map(str, people.glob(f"{out}.shard-*")), "--out", out])
    assert content(people / out) == content(people / "whole" / out)


def test_shard_resumes_and_leaves_complete_blocks(people):
    words = [*EXTRACT.split(), "f.npz", "--shard", "1/2"]
    main(words)
    first, second = sorted((people / "f.npz.shard-1-of-2").glob("*.parquet"))[:2]
    second.unlink()
    before = first.stat().st_mtime_ns
    main(words)
    assert second.is_file()
    assert first.stat().st_mtime_ns == before


def test_shard_of_another_command_is_not_continued(people, capsys):
    words = [*EXTRACT.split(), "f.npz", "--shard", "1/2"]
    main(words)
    assert failure(capsys, *words, "--flip").splitlines()[-1] == (
        "error: f.npz.shard-1-of-2 holds blocks of a command with other settings.flip; remove it, "
        "or give another --out"
    )


@pytest.fixture
def broken(people):
    """Return the folder of crops, of which two do not decode, and their paths."""
    folder = people / "crops"
    folder.mkdir()
    for file in (people / "people" / "query").glob("*.jpg"):
        (folder / file.name).write_bytes(file.read_bytes())
    files = sorted(folder.iterdir())
    for file in (files[0], files[-1]):
        file.write_bytes(b"no image")
    return files[0], files[-1]


def test_shard_names_its_unreadable_images(broken, people, capsys):
    words = ["extract", "crops", "--model", "run", "--batch", "2", "--out", "f.npz"]
    words += ["--shard", "3/3"]
    message = failure(capsys, *words)
    assert f"1 image(s) do not decode: {broken[1].name}; replace or remove them" in message
    valid = (people / "people" / "query" / broken[1].name).read_bytes()
    broken[1].write_bytes(valid)
    main(words)


def test_merge_skips_unreadable_images_as_without_shards(broken, people, capsys):
    words = ["extract", "crops", "--model", "run", "--batch", "2", "--skip-unreadable", "--out"]
    main([*words, "whole.npz", "--json", "whole.json"])
    for shard in ("1/2", "2/2"):
        main([*words, "f.npz", "--shard", shard])
    capsys.readouterr()
    shards = ["f.npz.shard-1-of-2", "f.npz.shard-2-of-2"]
    main(["merge", *shards, "--out", "f.npz", "--json", "merged.json"])
    skipped = [f"skipped, cannot be decoded: crops/{file.name}" for file in broken]
    assert capsys.readouterr().err.splitlines() == skipped
    assert content(people / "f.npz") == content(people / "whole.npz")
    whole, merged = (json.loads((people / f"{n}.json").read_text()) for n in ("whole", "merged"))
    assert merged == {**{key: whole[key] for key in whole if key != "model"}, "file": "f.npz"}


def test_merge_refuses_features_of_unreadable_images_only(people, capsys):
    (people / "a.jpg").write_bytes(b"no image")
    words = ["extract", "a.jpg", "--model", "run", "--skip-unreadable", "--out", "f.npz"]
    main([*words, "--shard", "1/1"])
    message = failure(capsys, "merge", "f.npz.shard-1-of-1", "--out", "f.npz")
    assert "1 image(s) do not decode: a.jpg; replace or remove them" in message
    assert not (people / "f.npz").exists()


def test_merge_checks_its_output(people, capsys):
    main([*EXTRACT.split(), "f.npz", "--shard", "1/1"])
    message = failure(capsys, "merge", "f.npz.shard-1-of-1", "--out", "f.txt")
    assert message.endswith("f.txt must end in .npz or .parquet")
    (people / "f.npz").write_bytes(b"old")
    words = ["merge", "f.npz.shard-1-of-1", "--out", "f.npz"]
    assert failure(capsys, *words) == (
        "error: f.npz exists; give --force to overwrite it, or another name"
    )
    main([*words, "--force"])
    assert len(np.load("f.npz")["key"]) > 4


def test_merge_needs_every_shard(people, capsys):
    main([*EXTRACT.split(), "f.npz", "--shard", "2/2"])
    assert failure(capsys, "merge", "f.npz.shard-2-of-2", "--out", "f.npz") == (
        "error: shards are missing: 1/2; run the command with --shard for each of them, then merge "
        "all"
    )


def test_shard_refuses_options_without_effect(people, capsys):
    def usage_error(*words):
        return failure(capsys, *words, code=2).splitlines()[-1]

    advice = "leave it out, and run the command with --sheet once the shards are merged"
    words = COMMANDS["bodies"].split()
    message = usage_error(*words, "b", "--shard", "1/2", "--sheet", "a.png")
    assert message == f"Error: --sheet a.png has no effect with --shard; {advice}"
    message = usage_error("generate", "--check", "--out", "people", "--shard", "1/2")
    assert message == "Error: --check reads groups; leave out --engine and --shard"
    for words in COMMANDS.values():
        message = usage_error(*words.split(), "x.npz", "--actors", "2")
        assert message == "Error: --actors 2 has no effect without --engine ray"


@pytest.mark.parametrize("value", ["0/2", "3/2", "half"])
@pytest.mark.parametrize("out", ["a.npz", "bodies", "groups"])
def test_shard_out_of_range_is_wrong_usage(out, value, people, capsys):
    message = failure(capsys, *COMMANDS[out].split(), out, "--shard", value, code=2)
    assert f"{value}: give i/n with i from 1 to n, such as 2/4" in message
    assert not list(people.glob(f"{out}*"))
