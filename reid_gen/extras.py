"""Optional packages: which extra of ours brings them."""

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
    "smplx": "bodies",
    "tensorboard": "tensorboard",
    "torchmetrics": "views",
    "transformers": "stable-diffusion",
}
"""Package -> extra, as in pyproject.toml."""


def installed(package: str) -> bool:
    """Whether an optional package is installed."""
    return find_spec(package) is not None


def install_hint(package: str) -> str:
    """Command that installs the extra of an optional package."""
    return f"in the source folder: pip install -e '.[{EXTRA[package]}]'"


def need(what: str, *packages: str, instead: str = "") -> None:
    """Refuse to start work that needs a package that is not installed.

    Args:
        what: Work that needs the packages, the subject of the message.
        packages: Keys of ``EXTRA``.
        instead: Another way out.

    Raises:
        UserError: Naming the first missing package and how to install it.
    """
    for package in packages:
        if not installed(package):
            raise UserError(
                f"{what} needs {package.replace('_', '-')}, which is not installed; "
                f"{install_hint(package)}{instead and f'; or {instead}'}"
            )
