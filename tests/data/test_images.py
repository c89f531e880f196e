"""Decoding of image files of every format, mode, orientation and damage."""

import contextlib
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, ImageCms, ImageOps
from PIL import Image as Pillow

from reid_gen.data.images import (
    FORMATS,
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    UnreadableImage,
    decode,
    image_size,
    upright_rgb,
)

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
EIGHT_BIT = ("L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
DEEP_GREY = ("I;16", "I;16L", "I;16B")
LOSSLESS = ("PNG", "BMP", "TIFF", "GIF", "PPM")


def ramp_in(mode):
    """Grey ramp from black to white in one of Pillow's modes."""
    if mode in DEEP_GREY:
        kind = {"I;16B": ">u2"}.get(mode, "<u2")
        return Pillow.frombytes(mode, (16, 16), (RAMP.astype(kind) * 257).astype(kind).tobytes())
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(ramp_in("RGB"), *profiles, outputMode="LAB")
    if mode == "RGBa":
        return ramp_in("RGBA").convert("RGBa")
    if mode in ("La", "PA"):
        return ramp_in("LA").convert(mode)
    grey = Pillow.fromarray(RAMP)
    return grey.convert(mode) if mode in ("L", "LA", "P") else grey.convert("RGB").convert(mode)


def save_or_skip(image, path, kind, **options):
    """Save an image and return its path; skip the test if the format cannot hold the mode."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.save(path, kind, **options)
    except (OSError, KeyError, ValueError) as error:
        pytest.skip(str(error))
    return path


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mode", [*EIGHT_BIT, "LAB"])
def test_decode_reads_every_8_bit_mode(tmp_path, mode, kind):
    if (mode, kind) == ("YCbCr", "TIFF"):
        pytest.skip("Pillow writes less data than the file says, and cannot read it")
    path = save_or_skip(ramp_in(mode), tmp_path / "a", kind)
    exact = kind in LOSSLESS and mode in ("L", "LA", "P", "PA", "RGB", "CMYK")
    difference = np.abs(decode(path).astype(int) - RAMP[..., None])
    assert difference.max() <= (0 if exact else 14)


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "PPM"])
@pytest.mark.parametrize("mode", DEEP_GREY)
def test_decode_scales_16_bit_grey(tmp_path, mode, kind):
    path = save_or_skip(ramp_in(mode), tmp_path / "a", kind)
    assert (decode(path) == RAMP[..., None]).all()


@pytest.mark.parametrize("mode", [*EIGHT_BIT, *DEEP_GREY, "La", "LAB"])
def test_upright_rgb_converts_every_mode(mode):
    pixels = np.asarray(upright_rgb(ramp_in(mode))).astype(int)
    assert np.abs(pixels - RAMP[..., None]).max() <= 3


def test_decode_scales_16_bit_png_by_65535(tmp_path):
    deep = np.array([[0, 4095, 65535]], np.uint16)
    Pillow.fromarray(deep).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png")[0, :, 0].tolist() == [0, 16, 255]


def write_tiff(path, bits, values, photometric=1, sample_format=1):
    """Write a TIFF file of one row: Pillow writes neither 12 bits nor inverted grey."""
    tags = [(256, len(values)), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 200)]
    digits = "".join(f"{value:0{bits}b}" for value in values)
    if bits == 16:
        data = np.array(values, "<u2").tobytes()
    else:
        data = int(digits.ljust(-(-len(digits) // 8) * 8, "0"), 2).to_bytes(-(-len(digits) // 8))
    tags += [(277, 1), (278, 1), (279, len(data)), (339, sample_format)]
    entries = b"".join(
        np.array([tag, 3], "<u2").tobytes() + np.array([1, value], "<u4").tobytes()
        for tag, value in tags
    )
    head = b"II*\0" + np.array([8], "<u4").tobytes() + np.array([len(tags)], "<u2").tobytes()
    path.write_bytes((head + entries + bytes(4)).ljust(200, b"\0") + data)
    return path


def test_decode_scales_12_bit_tiff_by_4095(tmp_path):
    path = write_tiff(tmp_path / "a.tif", 12, [0, 2048, 4095, 0])
    assert decode(path)[0, :, 0].tolist() == [0, 128, 255, 0]


def test_decode_inverts_16_bit_grey_whose_white_is_0(tmp_path):
    path = write_tiff(tmp_path / "a.tif", 16, [0, 257, 65535], photometric=0)
    assert decode(path)[0, :, 0].tolist() == [255, 254, 0]


@pytest.mark.parametrize(("mode", "kind"), [("F", "TIFF"), ("I", "TIFF"), ("F", "PPM")])
def test_decode_rejects_modes_without_a_known_white(tmp_path, mode, kind):
    path = save_or_skip(Pillow.fromarray(RAMP).convert(mode), tmp_path / "a.tif", kind)
    with pytest.raises(UnreadableImage, match=rf"a\.tif .*black and white .* \(mode {mode}\)"):
        decode(path)


def test_decode_rejects_signed_values(tmp_path):
    path = write_tiff(tmp_path / "a.tif", 16, [0, 1, 2, 3], sample_format=2)
    with pytest.raises(UnreadableImage, match="signed numbers"):
        decode(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(10))
def test_decode_applies_every_exif_orientation(tmp_path, orientation, kind):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (4, 2, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = tmp_path / "a.jpg"
    Pillow.fromarray(blocks).save(path, kind, exif=exif)
    with Pillow.open(path) as file:
        expected = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    swaps_sides = orientation in (5, 6, 7, 8)
    assert image_size(path) == expected.shape[:2] == ((32, 64) if swaps_sides else (64, 32))
    assert (decode(path) == expected).all()
    assert decode(path, 64, 32).shape == (64, 32, 3)


def test_decode_rotates_16_bit_and_transparent_images(tmp_path):
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = 3
    for mode in ("I;16", "LA", "P", "CMYK"):
        kind = "TIFF" if mode == "CMYK" else "PNG"
        path = save_or_skip(ramp_in(mode), tmp_path / f"{mode}.png", kind, exif=exif)
        assert (decode(path) == RAMP[::-1, ::-1, None]).all()


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0junk"])
def test_decode_ignores_damaged_exif(tmp_path, exif):
    ramp_in("RGB").save(tmp_path / "a.jpg", quality=95, exif=exif)
    assert decode(tmp_path / "a.jpg").shape == (16, 16, 3)
    assert image_size(tmp_path / "a.jpg") == (16, 16)


HIDDEN = np.array([[[200, 10, 30, 0], [200, 10, 30, 255], [200, 10, 30, 128]]], np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_decode_blends_alpha_with_white(tmp_path, kind):
    Pillow.fromarray(HIDDEN).save(tmp_path / "a.png", kind, lossless=True, exact=True)
    left, middle, right = decode(tmp_path / "a.png")[0].tolist()
    assert (left, middle) == ([255, 255, 255], [200, 10, 30])
    assert right == pytest.approx([227, 132, 142], abs=1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16"])
def test_decode_blends_a_transparent_colour_with_white(tmp_path, mode):
    deep = np.array([[0, 65535]], np.uint16)
    image = Pillow.fromarray(deep)
    if mode != "I;16":
        image = Pillow.fromarray(np.array([[0, 255]], np.uint8)).convert(mode)
    transparent = (0, 0, 0) if mode == "RGB" else 0
    image.save(tmp_path / "a.png", transparency=transparent)
    assert decode(tmp_path / "a.png")[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP", "AVIF"])
def test_decode_rejects_files_with_several_frames(tmp_path, kind):
    more_frames = [Pillow.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    path = save_or_skip(
        ramp_in("RGB"), tmp_path / "a", kind, save_all=True, append_images=more_frames
    )
    with pytest.raises(UnreadableImage, match="several images"):
        decode(path)


def test_decode_reads_the_first_frame_of_an_mpo_file(tmp_path):
    more_frames = [Pillow.new("RGB", (16, 16), "red")]
    ramp_in("RGB").save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=more_frames, quality=95
    )
    assert np.abs(decode(tmp_path / "a.jpg").astype(int) - RAMP[..., None]).max() <= 14


@pytest.mark.parametrize("size", [(13_000, 13_000), (20_000, 20_000), (8001, 8000)])
def test_decode_rejects_too_many_pixels_by_the_header(tmp_path, size):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 %d %d 255\n" % size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=Pillow.DecompressionBombWarning)
        for read in (decode, image_size):
            with pytest.raises(UnreadableImage, match=f"more than {MAX_PIXELS:,} pixels"):
                read(path)


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (2, 3)])
def test_decode_reads_tiny_and_elongated_images(tmp_path, size):
    Pillow.new("RGB", size, (9, 90, 200)).save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png", 128, 64) == [9, 90, 200]).all()
    assert image_size(tmp_path / "a.png") == size[::-1]


def test_decode_rejects_an_image_without_pixels(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a" + bytes(7) + b"," + bytes(8) + b"\0\2\0;")
    for content in (b"", b"P5 0 5 255\n", b"P5 5 0 255\n"):
        (tmp_path / "a.pgm").write_bytes(content)
        with pytest.raises(UnreadableImage, match=r"a\.pgm"):
            decode(tmp_path / "a.pgm")
    with pytest.raises(UnreadableImage, match=r"a\.gif"):
        decode(tmp_path / "a.gif", 8, 4)


@pytest.mark.parametrize("read", [decode, image_size])
def test_decode_opens_only_regular_files(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "null.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe.jpg", "null.jpg", "folder.jpg"):
        with pytest.raises(UnreadableImage, match="not a regular file"):
            read(tmp_path / name)
    with pytest.raises(UnreadableImage, match="No such file"):
        read(tmp_path / "missing.jpg")


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA", "SGI", "PCX"])
def test_decode_opens_only_supported_formats(tmp_path, kind):
    ramp_in("RGB").save(tmp_path / "a.jpg", kind)
    with pytest.raises(UnreadableImage, match="none of JPEG, PNG, BMP"):
        decode(tmp_path / "a.jpg")


def test_decode_equals_pillow_for_rgb_jpeg(tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    Pillow.fromarray(noise).save(tmp_path / "a.jpg")
    with Pillow.open(tmp_path / "a.jpg") as file:
        expected = file.convert("RGB")
    assert (decode(tmp_path / "a.jpg") == np.asarray(expected)).all()
    resized = expected.resize((32, 96), Pillow.Resampling.BICUBIC)
    assert (decode(tmp_path / "a.jpg", 96, 32) == np.asarray(resized)).all()


def test_decode_silences_pillow_s_bomb_warning(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 13000 13000 255\n")
    program = (
        "import sys; from pathlib import Path; from reid_gen.data.images import *\n"
        "try: decode(Path(sys.argv[1]))\nexcept UnreadableImage: pass"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.pgm")]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""


def test_decode_raises_only_unreadable_image_on_damage(tmp_path):
    rng = np.random.default_rng(0)
    for kind in FORMATS:
        path = tmp_path / "intact"
        ramp_in("RGB").save(path, kind)
        content = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(content[: rng.integers(1, len(content) + 1)])
            for position in rng.integers(0, min(len(damaged), 300), 4):
                damaged[position] = rng.integers(0, 256)
            (tmp_path / "damaged").write_bytes(damaged)
            for read in (decode, image_size):
                with contextlib.suppress(UnreadableImage):
                    read(tmp_path / "damaged")


def test_image_suffixes_are_those_of_the_faq():
    faq = (Path(__file__).parents[2] / "docs" / "faq.md").read_text(encoding="utf-8")
    section = faq.split("## Which image files are read?")[1].split("\n\n")[1]
    assert tuple(re.findall(r"`(\.\w+)`", section)) == IMAGE_SUFFIXES
    assert f"{MAX_PIXELS // 1_000_000} million pixels" in section
