"""Groups that public diffusion models draw: real loading code, tiny random weights."""

import pytest
from PIL import Image

from reid_gen.cli.main import main
from reid_gen.data.positive_groups import load_groups

SAME_PERSON = ("prompts:", "positives: same_identity\nprompts:")
XL = ("/sd\n", "/sdxl\n  family: sdxl\n")


def generate(file, out, *words):
    main(["generate", str(file), "--out", str(out), "--members", "2", *words])
    return load_groups(out)


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_groups_share_a_body_and_a_prompt_and_differ_in_their_seed(write, tmp_path):
    groups = generate(write(), tmp_path / "one", "--sheet", str(tmp_path / "sheet.png"))
    assert groups.header["kind"] == "same_pose"
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
    second = f"    - {{weights: {weights}/depth, condition: depth, scale: 0.5, control_end: 0.5}}\n"
    file = write(("  height: 32\n", f"{second}  height: 32\n"))
    one = generate(file, tmp_path / "both")
    other = generate(write(name="plain.yaml"), tmp_path / "plain")
    assert one.members[0].sha256 != other.members[0].sha256


@pytest.mark.parametrize(
    "changes",
    [(), (XL, ("/openpose,", "/openpose_xl,")),
     (XL, ("  controls", "  control: adapter\n  controls"), ("/openpose,", "/adapter_xl,"))],
    ids=["sd", "sdxl", "sdxl adapter"],
)  # fmt: skip
def test_the_source_image_can_stand_beside_the_words(write, tmp_path, weights, gan_run, changes):
    """File and image encoder are the published ones of the family."""
    prompt = ("  height", f"  image_prompt: {{weights: {weights}/ip}}\n  height")
    same = ("prompts:", f"positives: same_identity\nrun: {gan_run}\nprompts:")
    angles = ("bodies:", "angles: {kind: any}\nbodies:")
    groups = generate(write(*changes, prompt, same, angles), tmp_path / "groups")
    assert groups.header["kind"] == "same_identity"
    assert all(member.identity is not None for member in groups.members)
    assert len({member.degrees for member in groups.members}) == 18
    weak = (prompt[0], prompt[1].replace("/ip}", "/ip, scale: 0.0}"))
    other = generate(write(*changes, weak, same, angles, name="weak.yaml"), tmp_path / "weak")
    assert groups.members[0].sha256 != other.members[0].sha256


def test_generate_draws_bodies_by_the_rasteriser_of_the_file(write, tmp_path, torch_calls):
    generate(write(("prompts:", "rasteriser: torch\nprompts:")), tmp_path / "out")
    assert torch_calls
