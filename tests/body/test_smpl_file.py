import pickle
import re
import sys
import types

import numpy as np
import pytest
from scipy import sparse

from reid_gen.body.model import load_body
from reid_gen.body.smpl_file import read_smpl
from reid_gen.errors import UserError
from tests.body.shapes import random_body


def smpl_content(vertices=6_890):
    body = random_body(vertices)
    parents = body.parents.copy()
    parents[0] = 2**32 - 1
    return {
        "v_template": body.template.astype(np.float64),
        "shapedirs": np.repeat(body.shape_directions, 2, axis=-1),
        "posedirs": body.pose_directions,
        "J_regressor": sparse.csc_matrix(body.joint_regressor),
        "weights": body.skinning,
        "kintree_table": np.stack([parents, np.arange(24)]).astype(np.uint32),
        "f": body.faces.astype(np.uint32),
        "bs_type": "lrotmin",
    }


def write(path, content, protocol=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def test_read_smpl_reads_a_pickle_in_smplx_layout(tmp_path):
    write(tmp_path / "models" / "smpl" / "SMPL_NEUTRAL.pkl", smpl_content())
    for path in ("models", "models/smpl", "models/smpl/SMPL_NEUTRAL.pkl"):
        body = read_smpl(tmp_path / path)
        assert body.template.shape == (6_890, 3)
        assert body.shape_directions.shape == (6_890, 3, 10)
        assert body.parents[0] == -1
    assert load_body(tmp_path / "models").faces.shape == (40, 3)


def test_read_smpl_reads_an_npz(tmp_path):
    content = smpl_content(100)
    content["J_regressor"] = content["J_regressor"].toarray()
    np.savez(tmp_path / "body.npz", **content)
    np.testing.assert_array_equal(read_smpl(tmp_path / "body.npz").faces, content["f"])


def test_read_smpl_reads_chumpy_arrays_without_chumpy(tmp_path, monkeypatch):
    module = types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x):
            self.__dict__["x"] = x

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch
    content = smpl_content(100)
    expected = content["v_template"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
        patch.setitem(sys.modules, "chumpy.ch", module)
        path = write(tmp_path / "old.pkl", content | {"v_template": Ch(expected)})
    np.testing.assert_allclose(read_smpl(path).template, expected, rtol=1e-6)


class Malicious:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_read_smpl_does_not_execute_calls_in_a_pickle(tmp_path):
    path = write(tmp_path / "malicious.pkl", smpl_content(100) | {"f": Malicious()})
    with pytest.raises(UserError, match=r"calls .*exec, which arrays do not need; it was not"):
        read_smpl(path)


def error_of(path):
    with pytest.raises(UserError) as error:
        read_smpl(path)
    return str(error.value)


WAY_OUT = "register at smpl.is.tue.mpg.de (non-commercial licence) and give the file"


def test_read_smpl_says_where_to_get_a_missing_file(tmp_path):
    message = error_of(tmp_path)
    assert message.startswith(f"no SMPL model at {tmp_path}; {WAY_OUT}")
    assert "models/smpl/SMPL_NEUTRAL.pkl" in message


@pytest.mark.parametrize(("joints", "name"), [(52, "SMPL+H"), (55, "SMPL-X"), (17, "no SMPL")])
def test_read_smpl_names_other_models_by_their_joints(tmp_path, joints, name):
    content = smpl_content(100)
    content["J_regressor"] = np.zeros((joints, 100))
    path = write(tmp_path / "other.pkl", content)
    assert f"{path} has {joints} joints and is {name}; SMPL has 24; {WAY_OUT}" in error_of(path)


def test_read_smpl_names_missing_arrays(tmp_path):
    content = smpl_content(100)
    del content["posedirs"], content["f"]
    path = write(tmp_path / "part.pkl", content)
    assert f"{path} is no SMPL model: posedirs, f missing" in error_of(path)


def test_read_smpl_names_arrays_of_another_version(tmp_path):
    path = write(tmp_path / "old.pkl", smpl_content(100) | {"posedirs": np.zeros((100, 3, 69))})
    assert re.search(
        r"is no SMPL model of a known version: pose_directions: expected \(100, 3, 207\)",
        error_of(path),
    )


@pytest.mark.parametrize("name", ["text.pkl", "text.npz"])
def test_read_smpl_names_a_damaged_file(tmp_path, name):
    (tmp_path / name).write_text("hello")
    assert f"{tmp_path / name} is no SMPL model" in error_of(tmp_path / name)


def test_read_smpl_names_a_pickle_without_a_dictionary(tmp_path):
    assert "it holds list" in error_of(write(tmp_path / "list.pkl", [1, 2]))
