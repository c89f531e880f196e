import numpy as np
import pytest
from PIL import Image as Pillow

from reid_gen.data.images import save_image
from reid_gen.errors import UserError
from reid_gen.report.sheets import (
    BLUE,
    FRAME,
    GREEN,
    HEIGHT,
    RED,
    WIDTH,
    people_sheet,
    ranked_sheet,
)
from reid_gen.types import Image, LabelledSplit

CELL = (HEIGHT + 2 * FRAME, WIDTH + 2 * FRAME)


def make_split(folder, rows):
    """Create a split from rows of (pid, camid), whose crops store their number as red value."""
    folder.mkdir()
    images = []
    for number, (_, camid) in enumerate(rows):
        path = folder / f"{number}.png"
        Pillow.new("RGB", (8, 16), (number, 0, 0)).save(path)
        images.append(Image(path.name, path, camid))
    return LabelledSplit(tuple(images), np.array([pid for pid, _ in rows]))


def crop_numbers(sheet):
    """Read the number of the crop in each cell of a sheet."""
    return sheet[CELL[0] // 2 :: CELL[0], CELL[1] // 2 :: CELL[1], 0].tolist()


def frame_colours(sheet):
    return [[tuple(cell) for cell in row] for row in sheet[:: CELL[0], :: CELL[1]].tolist()]


def test_people_sheet_sorts_a_row_per_person_by_camera(tmp_path):
    crops = make_split(tmp_path / "a", [(2, 1), (1, 0), (2, 0), (0, 0), (1, 1)])
    sheet = people_sheet(crops, people=5, columns=5)
    assert crop_numbers(sheet) == [[1, 4], [2, 0]]


def test_ranked_sheet_follows_the_protocol_and_frames_matches(tmp_path):
    query = make_split(tmp_path / "q", [(1, 0)])
    gallery = make_split(tmp_path / "g", [(1, 0), (2, 0), (1, 1), (0, 1)])
    similarity = np.array([[0.9, 0.3, 0.8, 0.1]], np.float32)
    sheet = ranked_sheet(query, gallery, np.ones((1, 1), np.float32), similarity.T, columns=3)
    assert crop_numbers(sheet) == [[0, 2, 1, 3]]
    assert frame_colours(sheet) == [[BLUE, GREEN, RED, RED]]


def test_people_sheet_names_images_that_do_not_decode(tmp_path):
    crops = make_split(tmp_path / "a", [(1, 0)])
    crops.images[0].path.write_text("no image")
    with pytest.raises(UserError, match=r"1 image\(s\) do not decode: 0\.png"):
        people_sheet(crops)


def test_save_image_writes_png_and_jpeg_only(tmp_path):
    pixels = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UserError, match=r"sheet\.gif: images are written as \.png or"):
        save_image(pixels, tmp_path / "sheet.gif")
    for name, kind in (("sheet.png", "PNG"), ("sheet.jpg", "JPEG")):
        save_image(pixels, tmp_path / name)
        assert Pillow.open(tmp_path / name).format == kind
