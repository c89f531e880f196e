"""User errors are reported before torch is imported, which takes seconds."""

import subprocess
import sys

import pytest

from tests.cli.every import COMMANDS

ERRORS = [
    *("train", "train --config no.yaml", "train --config wrong.yaml", "train --resume no"),
    *("train --config right.yaml", "train --config right.yaml --set seed=-1", "train --resume ."),
    *("evaluate", "evaluate --config no.yaml", "evaluate --config wrong.yaml"),
    *("evaluate --config right.yaml", "evaluate --checkpoint no", "evaluate --checkpoint ."),
    *("evaluate --config right.yaml --sheet old.png", "evaluate --config right.yaml --temporal"),
    *("extract no --out f.npz", "extract a.jpg --model no --out f.npz"),
    *("extract a.jpg --model . --out f.npz", "extract a.jpg --out f.txt"),
    *("extract a.jpg --out old.npz", "extract a.jpg --out f.npz --batch 0"),
    *("search --query no --gallery a.jpg", "search --query a.jpg --gallery a.jpg --model no"),
    *("search --query a.jpg --gallery a.jpg --sheet old.png", "search --query a.jpg --gallery no"),
    *("search --query a.jpg --gallery a.jpg --model .",),
    *("export no --out e.onnx", "export . --out e.onnx", "export ZOO --out e.txt"),
    *("export ZOO --out e.onnx --int8 no", "export ZOO --out old.onnx"),
    *("data prepare market1501 --archive no.zip --root d", "data prepare x --archive . --root d"),
    *("data check market1501 --root no", "data check x --root .", "data check market1501 --root ."),
    *("data check market1501 --root . --json old.npz",),
    *("data sheet market1501 --root no --out s.png", "data sheet x --root . --out s.png"),
    *("data sheet market1501 --root . --out old.png", "data sheet x --root . --out s.gif"),
    *("data render pedestrians --preset tiny --out full", "data render x --preset tiny --out p"),
    *("data render pedestrians --preset x --out p", "data render pedestrians --out p --seed -1"),
    *("data groups --share pose --out full", "data groups --share pose --out g --members 1"),
    *("data groups --share pose --out g --sheet old.png",),
    *("cluster no.npz --out l.npz", "cluster old.npz --out l.npz", "cluster old.npz --out l.txt"),
    *("cluster old.npz --out l.npz --eps 2", "cluster old.npz --out old.npz"),
    *("rank no.npz old.npz", "rank old.npz no.npz", "rank old.npz old.npz --top 0"),
    *("rank old.npz old.npz", "rank old.npz old.npz --out old.csv"),
    *("meshes market1501 --root no --out b", "meshes x --root . --out b"),
    *("meshes market1501 --root . --out b", "meshes market1501 --root . --out b --weights no.pt"),
    *("meshes market1501 --root . --out b --shard 3/2", "meshes x --root . --out b --body ."),
    *("meshes market1501 --root . --out b --sheet old.png",),
    *("generate --out g", "generate no --out g", "generate . --out g", "generate . --out full"),
    *("generate wrong.yaml --out g", "generate pipeline.yaml --out g", "generate --check --out g"),
    *("generate . --out g --share 0.5", "generate . --out g --sheet old.png"),
    *("extract a.jpg --out f.npz --shard 3/2", "extract a.jpg --out f.npz --actors 2"),
    *("extract a.jpg --out f.npz --engine x", "meshes market1501 --root . --out b --actors 2"),
    *("generate . --out g --actors 2", "generate --check --out g --shard 1/2"),
    *("merge no --out f.npz", "merge . --out f.npz", "merge full --out old.npz", "merge"),
    *("tune no.yaml a.jpg --prompt x --out l", "tune wrong.yaml a.jpg --prompt x --out l"),
    *("tune pipeline.yaml no --prompt x --out l", "tune pipeline.yaml a.jpg --out l"),
    *("tune pipeline.yaml a.jpg --prompt x --out full",),
    *("tune pipeline.yaml a.jpg --identity no --out l",),
    *("report no", "report .", "report . --out old.npz"),
    *("serve no --gallery a.jpg", "serve ZOO --gallery no", "serve ZOO --gallery a.jpg --views no"),
    *("serve ZOO --gallery a.jpg --port 0", "serve . --gallery a.jpg"),
    *("views no a.jpg --out t.gif", "views . a.jpg --out t.gif", "views . no --out t.gif"),
    *("views . a.jpg --out old.png", "views . a.jpg --out t.txt"),
    *("views . a.jpg --out t.png --degrees nan", "views . a.jpg --out t.png --bodies no.npz"),
    *("evaluate-views no", "evaluate-views .", "evaluate-views . --sheet old.png"),
    *(
        "evaluate-views . --degrees x",
        "evaluate-views . --queries 0",
        "evaluate-views . --judge no",
    ),
    *("zoo list --json old.npz", "zoo show x", "zoo verify --json old.npz"),
    *("zoo evaluate no --dataset market1501 --root .", "zoo evaluate ZOO --dataset x --root ."),
    *("zoo evaluate ZOO --dataset market1501 --root no",),
    *("zoo evaluate ZOO --dataset market1501 --root . --json old.npz",),
    *("zoo import no.pth --out m", "zoo import a.jpg --out full", "zoo import . --out m --width 0"),
    *("config show no.yaml", "config show wrong.yaml"),
]
PROGRAM = """
import sys
from reid_gen.cli.main import main
for line in sys.stdin.read().splitlines():
    try:
        main(line.replace("ZOO", "resnet10t.rendered").split())
        print("no error:", line)
    except SystemExit as exit:
        if exit.code not in (1, 2):
            print("exit", exit.code, line)
    if "torch" in sys.modules:
        sys.exit(f"torch: {line}")
"""


@pytest.fixture
def workdir(tmp_path):
    """Folder with configurations and existing outputs, but without a run."""
    for name in ("old.png", "old.npz", "old.onnx", "old.csv", "a.jpg", "prompts.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other").write_text("x")
    (tmp_path / "wrong.yaml").write_text("name: x\nsead: 1\n")
    (tmp_path / "right.yaml").write_text(
        "name: x\ndata: {name: market1501, root: nowhere}\nencoder: {backbone: resnet18}\n"
        "stages: [{name: a, epochs: 1}]\n"
    )
    (tmp_path / "pipeline.yaml").write_text(
        "data: {name: market1501, root: nowhere}\nbodies: nobodies\nprompts: prompts.txt\n"
        "model: {base: sd, controls: [{weights: c, condition: openpose}]}\n"
    )
    return tmp_path


def test_commands_report_user_errors_before_importing_torch(workdir):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="\n".join(ERRORS), cwd=workdir, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (result.stdout, result.returncode) == ("", 0), result.stderr
    assert "Traceback" not in result.stderr


def test_errors_cover_every_command():
    assert {words for words in COMMANDS if any(line.startswith(words) for line in ERRORS)} == set(
        COMMANDS
    )
