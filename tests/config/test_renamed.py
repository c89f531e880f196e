import pytest

from reid_gen.config.load import _dotted_paths, load_settings
from reid_gen.config.pipelines import Groups
from reid_gen.config.renamed import RENAMED
from reid_gen.config.schema import Config
from reid_gen.errors import UserError

PATHS = [*_dotted_paths(Config), *_dotted_paths(Groups)]
OLD_OF = {new: old for old, new in RENAMED.items()}


def test_renamed_has_no_key_that_is_still_allowed():
    leaves = {path.rpartition(".")[2] for path in PATHS}
    assert not set(RENAMED) & leaves
    assert set(RENAMED.values()) <= leaves


@pytest.mark.parametrize("new", OLD_OF)
def test_renamed_key_error_names_the_new_key(new, tmp_path):
    path = next(path for path in PATHS if path.rpartition(".")[2] == new)
    model = Groups if path in set(_dotted_paths(Groups)) - set(_dotted_paths(Config)) else Config
    section = path.rpartition(".")[0]
    lists = ("stages.0", "controls.0")
    tree = f"{OLD_OF[new]}: 1"
    for key in reversed([key for key in section.split(".") if key != "0"]):
        start, end = ("[{", "}]") if f"{key}.0" in lists else ("{", "}")
        tree = f"{key}: {start}{tree}{end}"
    file = tmp_path / "old.yaml"
    kinds = {"angles": "kind: any, ", "generator": "kind: KIND, "}
    for key, kind in kinds.items():
        tree = tree.replace(f"{key}: {{", f"{key}: {{{kind}")
    for kind in ("mesh_gan", "pixel_diffusion", "stored"):
        file.write_text(tree.replace("KIND", kind))
        with pytest.raises(UserError) as error:
            load_settings(file, model)
        if f"this key was renamed; write {new}" in str(error.value):
            return
    pytest.fail(str(error.value))
