"""Groups that public diffusion models draw: real loading code, tiny random weights."""

import pytest
from PIL import Image

from reid_gen.cli.main import main
from reid_gen.data.groups import load_groups
from tests.cli.conftest import failure
from tests.generators.tiny_pipelines import make_pipelines, save_image_prompt

pytest.importorskip("transformers")

CONFIG = """\
data: {{name: pedestrians, root: {people}, height: 64, width: 32}}
bodies: {people}/bodies
prompts: {prompts}
model:
  base: {weights}/sd
  controls:
    - {{weights: {weights}/openpose, condition: openpose}}
  height: 32
  width: 16
  steps: 2
  precision: fp32
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return make_pipelines(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def write(gan_run, weights, tmp_path):
    """Writes a settings file, with some of its text changed."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a man in a red coat\na woman in a blue dress\n")

    def write(*changes, name="groups.yaml"):
        text = CONFIG.format(people=gan_run.parents[1] / "people", prompts=prompts, weights=weights)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / name
        file.write_text(text)
        return file

    return write


def generate(file, out, *words):
    main(["generate", str(file), "--out", str(out), "--members", "2", *words])
    return load_groups(out)


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_groups_share_a_body_and_a_prompt_and_differ_in_their_seed(write, tmp_path):
    groups = generate(write(), tmp_path / "one", "--sheet", str(tmp_path / "sheet.png"))
    assert groups.about["kind"] == "same_pose"
    assert len(groups.members) == 9 * 2
    first, second = groups.members[:2]
    assert first.group == second.group == f"{first.source} {first.prompt}"
    assert first.prompt.startswith("a ")
    assert len({m.prompt for m in groups.members}) == 2
    assert first.identity is None
    assert 0 <= first.structure <= 1
    assert first.sha256 != second.sha256
    with Image.open(groups.folder / first.file) as picture:
        assert picture.size == (32, 64)
    generate(write(), tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")


@pytest.mark.parametrize(
    ("base", "control", "weights_of"),
    [("sd", "adapter", "adapter"), ("sdxl", "controlnet", "openpose_xl"),
     ("sdxl", "adapter", "adapter_xl")],
)  # fmt: skip
def test_every_family_and_control_draws(write, tmp_path, base, control, weights_of):
    file = write(
        ("/sd\n", f"/{base}\n  family: {base}\n  control: {control}\n"),
        ("/openpose,", f"/{weights_of},"),
    )
    assert len(generate(file, tmp_path / "out").members) == 18


def test_two_controls_of_which_one_stops_early(write, tmp_path, weights):
    second = f"    - {{weights: {weights}/depth, condition: depth, scale: 0.5, until: 0.5}}\n"
    file = write(("  height: 32\n", f"{second}  height: 32\n"))
    one = generate(file, tmp_path / "both")
    other = generate(write(name="plain.yaml"), tmp_path / "plain")
    assert one.members[0].sha256 != other.members[0].sha256


def test_the_source_image_can_stand_beside_the_words(write, tmp_path, weights, gan_run):
    if not (weights / "ip").exists():
        save_image_prompt(weights / "ip" / "models")
    prompt = f"  image_prompt: {{weights: {weights}/ip, file: ip.bin}}\n  height"
    same = ("prompts:", f"positives: same_identity\nrun: {gan_run}\nprompts:")
    angles = ("bodies:", "angles: {kind: any}\nbodies:")
    groups = generate(write(("  height", prompt), same, angles), tmp_path / "groups")
    assert groups.about["kind"] == "same_identity"
    assert all(member.identity is not None for member in groups.members)
    assert len({member.degrees for member in groups.members}) == 18


def test_a_tracklet_is_learnt_as_a_low_rank_adaptation(write, tmp_path, gan_run):
    crops = sorted((gan_run.parents[1] / "people" / "query").glob("*.jpg"))[:3]
    words = ["--prompt", "sks man", "--steps", "3", "--rank", "4", "--out", str(tmp_path / "lora")]
    main(["tune", str(write()), *map(str, crops), *words])
    assert (tmp_path / "lora" / "pytorch_lora_weights.safetensors").exists()
    adapted = generate(
        write(("  height", f"  lora: {tmp_path / 'lora'}\n  height")), tmp_path / "adapted"
    )
    plain = generate(write(name="plain.yaml"), tmp_path / "plain")
    assert adapted.members[0].sha256 != plain.members[0].sha256


def test_a_feature_can_stand_for_the_words(write, tmp_path, gan_run):
    crops = gan_run.parents[1] / "people" / "query"
    out = tmp_path / "identity"
    words = ["--identity", str(gan_run), "--steps", "2", "--out", str(out)]
    main(["tune", str(write()), str(crops), *words])
    text = write().read_text()
    line = next(line for line in text.splitlines() if line.startswith("prompts:"))
    file = write(
        (line, f"identity: {out}\nrun: {gan_run}\npositives: same_identity"), name="known.yaml"
    )
    groups = generate(file, tmp_path / "groups")
    assert {member.prompt for member in groups.members} == {""}


def test_faults_are_named(write, tmp_path, capsys, weights):
    def fails(*changes, members=2):
        file = write(*changes, name="bad.yaml")
        return failure(capsys, "generate", file, "--out", tmp_path / "x", "--members", members)

    message = fails(("/sd\n", "/nowhere\n"))
    assert f"no folder of weights at {weights}/nowhere; check the path, or give a hub id" in message
    message = fails(("/sd\n", "/openpose\n"))
    assert "cannot be loaded as StableDiffusionControlNetPipeline" in message
    message = fails(("height: 32", "height: 36"))
    assert "multiple of 8" in message
    assert "a group needs at least 2" in fails(members=1)
    assert "give either prompts or identity" in fails(("prompts:", "identity: x\nprompts:"))
    message = fails(("prompts:", "positives: same_identity\nprompts:"))
    assert "same_identity needs something that knows the person" in message
    assert "unknown key; allowed here:" in fails(("  steps", "  stpes"))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a man\n\na woman\n")
    assert f"{prompts}:2: this line is empty; write a prompt or remove it" in fails()
    prompts.write_text("a man\na man\n")
    assert f"{prompts}:2: 'a man' is there twice; remove one" in fails()
    prompts.write_text("")
    assert "has no prompt; write one per line" in fails()
    assert not (tmp_path / "x").exists()


def test_tune_says_what_it_needs(write, tmp_path, capsys, gan_run):
    crops = gan_run.parents[1] / "people" / "query"
    message = failure(capsys, "tune", write(), crops, "--out", tmp_path / "x")
    assert "give either --prompt or --identity" in message
    file = write(("/sd\n", "/sdxl\n  family: sdxl\n"), ("/openpose,", "/openpose_xl,"))
    message = failure(capsys, "tune", file, crops, "--prompt", "x", "--out", tmp_path / "x")
    assert "only models of family sd are tuned" in message
