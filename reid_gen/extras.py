"""Optional packages, and the extras of this project that install them."""

from __future__ import annotations

from importlib.util import find_spec

from reid_gen.errors import UserError

EXTRA = {
    "diffusers": "diffusion",
    "gradio": "serve",
    "imageio_ffmpeg": "video",
    "matplotlib": "report",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "peft": "stable-diffusion",
    "pyarrow": "parquet",
    "ray": "ray",
    "smplx": "bodies",
    "tensorboard": "tensorboard",
    "torchmetrics": "views",
    "transformers": "stable-diffusion",
}
"""Package -> extra in pyproject.toml that installs it."""


def installed(package: str) -> bool:
    """Tell whether an optional package is installed."""
    return find_spec(package) is not None


def install_hint(package: str) -> str:
    """Return the command that installs the extra of an optional package."""
    return f"in the source folder: pip install -e '.[{EXTRA[package]}]'"


def need(what: str, *packages: str, instead: str = "") -> None:
    """Check that optional packages are installed before work that needs them.

    Args:
        what: Name of the work, the subject of the message.
        packages: Required packages, keys of ``EXTRA``.
        instead: Alternative to installing the package, for the message.

    Raises:
        UserError: If a package is missing; the message tells how to install it.
    """
    for package in packages:
        if not installed(package):
            raise UserError(
                f"{what} needs {package.replace('_', '-')}, which is not installed; "
                f"{install_hint(package)}{instead and f'; or {instead}'}"
            )
