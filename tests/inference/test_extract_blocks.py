from pathlib import Path

import pytest

from reid_gen.inference.extract_blocks import extract_job
from reid_gen.types import Image

MODEL = Path("resnet10t.rendered")


def job_of(images, model=MODEL, precision="fp32", batch=4, flip=False):
    return extract_job(images, model, precision, batch=batch, workers=1, flip=flip)


def images_of(count, folder="a"):
    return tuple(Image(f"{n}.jpg", Path(f"{folder}/{n}.jpg")) for n in range(count))


@pytest.mark.parametrize(
    ("count", "batch", "size"),
    [(3, 4, 4), (640, 4, 8), (100_000, 128, 1_536), (400_000, 128, 4_096), (400_000, 5_000, 5_000)],
)
def test_extract_job_has_blocks_of_whole_batches(count, batch, size):
    images = images_of(1) * count
    blocks = job_of(images, batch=batch).blocks
    assert {len(block) for block in blocks[:-1]} <= {size}
    assert [row for block in blocks for row in block] == list(range(count))


def test_extract_job_header_depends_on_all_that_decides_the_rows():
    images = images_of(3)
    header = job_of(images).header
    others = [
        job_of(images_of(3, "b")),
        job_of(images[::-1]),
        job_of(images, precision="bf16"),
        job_of(images, batch=2),
        job_of(images, flip=True),
    ]
    assert job_of(images_of(3)).header == header
    assert all(other.header != header for other in others)


def test_extract_job_header_has_the_checksum_of_the_model(tmp_path):
    file = tmp_path / "a.onnx"
    file.write_bytes(b"one")
    first = job_of(images_of(1), model=file).header["model_sha256"]
    file.write_bytes(b"two")
    second = job_of(images_of(1), model=file).header["model_sha256"]
    assert len({first, second, job_of(images_of(1)).header["model_sha256"]}) == 3
