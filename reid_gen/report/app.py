"""Local web page: search a gallery, cluster its people, and generate views of a person."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from reid_gen.body.estimate.estimator import BodyEstimator
from reid_gen.cluster.pseudo_labels import FixedEps, pseudo_labels
from reid_gen.data.images import decode
from reid_gen.data.transforms import to_pixels
from reid_gen.errors import UserError
from reid_gen.generators.renderer import ViewRenderer, estimate_bodies
from reid_gen.generators.turned_maps import VIEW_ANGLES
from reid_gen.inference.search import Gallery
from reid_gen.types import Image, Uint8Array

CaptionedImages = list[tuple[Uint8Array, str]]
"""RGB images with short captions; gradio truncates long ones."""
CLUSTER_IMAGES = 8
"""Maximum number of images shown per cluster."""
MAX_CLUSTERS = 30
"""Maximum number of clusters shown."""
MAX_UPLOAD_BYTES = 20 * 2**20
"""Maximum size of an uploaded image in bytes."""
UPLOAD_FOLDER = "GRADIO_TEMP_DIR"
"""Environment variable that sets gradio's folder for uploads."""


def search_matches(
    gallery: Gallery, query_path: str | None, top: int
) -> tuple[CaptionedImages, str]:
    """Rank the gallery images for a query image.

    Args:
        gallery: Gallery to search.
        query_path: Path of the query image; None before the first upload.
        top: Maximum number of matches.

    Returns:
        Matches, captioned with rank and distance, and a text with a line per match that holds the
        caption and the file name.
    """
    if query_path is None:
        return [], ""
    (ranked,) = gallery.search([Image(query_path, Path(query_path))], top)
    captioned = [
        (image, f"{rank}: {distance:.2f}")
        for rank, (image, distance) in enumerate(ranked.matches, 1)
    ]
    excluded = "".join(
        f"\nleft out because it is the query image: {image.key}" for image in ranked.same_images
    )
    return _decode_images(captioned), _list_files(captioned) + excluded


def cluster_people(gallery: Gallery, eps: float) -> tuple[CaptionedImages, str]:
    """Cluster a gallery with DBSCAN.

    Args:
        gallery: Gallery to cluster.
        eps: DBSCAN radius (Jaccard distance, 0..1).

    Returns:
        Images of the largest clusters, captioned with the rank of the cluster by size, and a text
        with the number of clusters and a line per image.
    """
    labels = pseudo_labels(gallery.features, eps=FixedEps(eps)).labels
    sizes = np.bincount(labels[labels >= 0])
    captioned = [
        (gallery.images[row], str(size_rank))
        for size_rank, label in enumerate(np.argsort(-sizes, kind="stable")[:MAX_CLUSTERS], 1)
        for row in np.flatnonzero(labels == label)[:CLUSTER_IMAGES]
    ]
    return _decode_images(captioned), f"{len(sizes)} clusters\n{_list_files(captioned)}"


def _decode_images(captioned: Sequence[tuple[Image, str]]) -> CaptionedImages:
    return [(decode(image.path), caption) for image, caption in captioned]


def _list_files(captioned: Sequence[tuple[Image, str]]) -> str:
    return "\n".join(f"{caption}  {image.key}" for image, caption in captioned)


def rotated_views(
    renderer: ViewRenderer, estimator: BodyEstimator, image_path: str | None
) -> CaptionedImages:
    """Generate views of a person from all sides.

    Args:
        renderer: Renderer that wraps the generator of a run.
        estimator: Body estimator.
        image_path: Path of the source image; None before the first upload.

    Returns:
        A view per angle of ``VIEW_ANGLES``, captioned with the angle.
    """
    if image_path is None:
        return []
    images = [Image(image_path, Path(image_path))]
    ((_, views),) = renderer.views(images, estimate_bodies(images, estimator), VIEW_ANGLES)
    pixels = to_pixels(views[0])
    return [
        (view, f"{degrees:.0f} degrees") for view, degrees in zip(pixels, VIEW_ANGLES, strict=True)
    ]


def build_app(
    gallery: Gallery, generate_views: Callable[[str | None], CaptionedImages] | None
) -> Any:
    """Build the page as gradio Blocks.

    Args:
        gallery: Gallery to search and cluster.
        generate_views: Maps the path of an image to generated views; None omits the Views tab.
    """
    import gradio as gr

    with gr.Blocks(title="reid-gen", analytics_enabled=False) as app:
        gr.Markdown(f"# reid-gen\n{len(gallery.images):,} gallery images")
        with gr.Tab("Search"), gr.Row():
            with gr.Column(scale=1):
                query = _image_input()
                top = gr.Slider(1, 50, value=10, step=1, label="Number of matches")
                search = gr.Button("Search")
            with gr.Column(scale=4):
                matches = [_image_grid("Best matches", 5), _file_list()]
            search.click(
                lambda path, count: search_matches(gallery, path, int(count)), [query, top], matches
            )
        with gr.Tab("People"), gr.Row():
            with gr.Column(scale=1):
                eps = gr.Slider(0.1, 0.9, value=0.5, step=0.05, label="DBSCAN radius (eps)")
                cluster = gr.Button("Find people")
            with gr.Column(scale=4):
                clusters = [_image_grid("Clusters", CLUSTER_IMAGES), _file_list()]
            cluster.click(lambda radius: cluster_people(gallery, float(radius)), eps, clusters)
        if generate_views is not None:
            with gr.Tab("Views"), gr.Row():
                with gr.Column(scale=1):
                    source = _image_input()
                    generate = gr.Button("Generate views")
                with gr.Column(scale=4):
                    views = _image_grid("Views", len(VIEW_ANGLES) // 2)
                generate.click(generate_views, source, views)
    return app


def _image_input() -> Any:
    import gradio as gr

    return gr.Image(type="filepath", label="Image of a person", sources=["upload", "clipboard"])


def _image_grid(label: str, columns: int) -> Any:
    import gradio as gr

    return gr.Gallery(
        label=label,
        show_label=False,  # it would cover the first image
        columns=columns,
        object_fit="contain",
        height="auto",
    )


def _file_list() -> Any:
    import gradio as gr

    return gr.Textbox(label="Files", lines=5, max_lines=10, interactive=False)


@contextmanager
def private_uploads() -> Iterator[Path]:
    """Store uploaded and displayed images in a temporary folder that only this user can read.

    Build and serve the page inside this context, because gradio reads the folder's name when it
    creates a component.

    Yields:
        Path of the folder.
    """
    previous = os.environ.get(UPLOAD_FOLDER)
    with tempfile.TemporaryDirectory(prefix="reid-gen-") as folder:
        os.environ[UPLOAD_FOLDER] = folder
        try:
            yield Path(folder)
        finally:
            if previous is None:
                del os.environ[UPLOAD_FOLDER]
            else:
                os.environ[UPLOAD_FOLDER] = previous


def allowed_hosts(host: str, extra_hosts: Sequence[str] = ()) -> list[str]:
    """Return the host names, sorted, under which a browser may open the page.

    Refusing requests with any other Host header prevents DNS rebinding, in which a foreign website
    lets its host name resolve to this computer to read the gallery.

    Args:
        host: Address to listen on; 0.0.0.0 and :: listen on all addresses of this computer.
        extra_hosts: Additional host names, such as that of a reverse proxy.

    Raises:
        UserError: If a name is a pattern, which could admit any host.
    """
    for name in extra_hosts:
        if "*" in name:
            raise UserError(f"--allow-host {name} is a pattern; name each host in full")
    names = {"localhost", "127.0.0.1", "::1", host, *extra_hosts}
    if host in ("0.0.0.0", "::"):
        hostname = socket.gethostname()
        names |= {hostname, socket.getfqdn()}
        with suppress(OSError):
            names |= {str(address[4][0]) for address in socket.getaddrinfo(hostname, None)}
    return sorted(f"[{name}]" if ":" in name else name for name in names)


def launch(
    app: Any, host: str, port: int, extra_hosts: Sequence[str] = (), *, blocking: bool = True
) -> str:
    """Serve the page and return its URL.

    Args:
        app: Page from :func:`build_app`.
        host: Address to listen on.
        port: TCP port to listen on.
        extra_hosts: Additional host names under which the page may be opened.
        blocking: Whether to wait until the server stops.

    Raises:
        UserError: If the address cannot be listened on, such as a port in use.
    """
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    host_check = Middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts(host, extra_hosts))
    try:
        _, address, _ = app.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            theme=theme,
            show_error=True,
            ssr_mode=False,
            footer_links=[],
            prevent_thread_lock=True,
            max_file_size=MAX_UPLOAD_BYTES,
            app_kwargs={"middleware": [host_check]},
        )
    except OSError as error:
        raise UserError(f"cannot listen at {host}:{port} ({error}); give another --port") from error
    if blocking:
        app.block_thread()
    return str(address)
