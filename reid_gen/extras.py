"""Optional packages: which extra of ours brings them."""

from __future__ import annotations

from importlib.util import find_spec

from reid_gen.errors import UserError

EXTRA = {
    "gradio": "serve",
    "imageio_ffmpeg": "video",
    "matplotlib": "report",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "peft": "stable-diffusion",
    "pyarrow": "parquet",
    "transformers": "stable-diffusion",
}
"""Package -> extra, as in pyproject.toml."""


def need(what: str, *packages: str, instead: str = "") -> None:
    """Stop before any work if an optional package is not installed.

    Args:
        what: What it is for, as the message begins.
        packages: Keys of ``EXTRA``.
        instead: Another way out.

    Raises:
        UserError: Naming the first one that is missing, and how to get it.
    """
    for package in packages:
        if find_spec(package) is None:
            raise UserError(
                f"{what} needs {package.replace('_', '-')}, which is not installed; in the source "
                f"folder: pip install -e '.[{EXTRA[package]}]'"
                f"{instead and f'; or {instead}'}"
            )
