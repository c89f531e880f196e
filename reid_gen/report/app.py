"""A local page: search a gallery, find its people, turn somebody around."""

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

Pictures = list[tuple[Uint8Array, str]]
"""Each with what stands on it: a few characters, longer ones are cut off."""
SHOWN = 8
"""Images of a person."""
MOST = 30
"""People."""
MOST_UPLOADED = 20 * 2**20
"""Bytes of an uploaded picture."""
UPLOADS = "GRADIO_TEMP_DIR"
"""Environment variable that tells gradio where uploads lie."""


def matches(gallery: Gallery, query: str | None, top: int) -> tuple[Pictures, str]:
    """The best of a gallery for a picture, with ranks and distances, and a line for each file."""
    if query is None:
        return [], ""
    (ranked,) = gallery.search([Image(query, Path(query))], top)
    found = [
        (image, f"{rank}: {distance:.2f}")
        for rank, (image, distance) in enumerate(ranked.matches, 1)
    ]
    same = "".join(f"\nleft out, because it is the query itself: {one.key}" for one in ranked.same)
    return _drawn(found), _lines(found) + same


def people(gallery: Gallery, eps: float) -> tuple[Pictures, str]:
    """Some images of the largest clusters of a gallery, numbered, and a line for each file."""
    labels = pseudo_labels(gallery.features, eps=FixedEps(eps)).labels
    sizes = np.bincount(labels[labels >= 0])
    found = [
        (gallery.images[row], str(person))
        for person, label in enumerate(np.argsort(-sizes, kind="stable")[:MOST], 1)
        for row in np.flatnonzero(labels == label)[:SHOWN]
    ]
    return _drawn(found), f"{len(sizes)} clusters\n{_lines(found)}"


def _drawn(found: Sequence[tuple[Image, str]]) -> Pictures:
    return [(decode(image.path), text) for image, text in found]


def _lines(found: Sequence[tuple[Image, str]]) -> str:
    return "\n".join(f"{text}  {image.key}" for image, text in found)


def turns(renderer: ViewRenderer, recovery: BodyEstimator, query: str | None) -> Pictures:
    """A person from all sides, as the generator of a run draws them."""
    if query is None:
        return []
    image = [Image(query, Path(query))]
    ((_, views),) = renderer.views(image, estimate_bodies(image, recovery), VIEW_ANGLES)
    pixels = to_pixels(views[0])
    return [
        (picture, f"{degrees:.0f} degrees")
        for picture, degrees in zip(pixels, VIEW_ANGLES, strict=True)
    ]


def build_app(gallery: Gallery, turn: Callable[[str | None], Pictures] | None) -> Any:
    """The page, as gradio's Blocks.

    Args:
        gallery: What is searched.
        turn: From a picture's file to its views; None leaves them out.
    """
    import gradio as gr

    with gr.Blocks(title="reid-gen", analytics_enabled=False) as app:
        gr.Markdown(f"# reid-gen\n{len(gallery.images):,} images")
        with gr.Tab("Search"), gr.Row():
            with gr.Column(scale=1):
                query = gr.Image(type="filepath", label="Who", sources=["upload", "clipboard"])
                top = gr.Slider(1, 50, value=10, step=1, label="Matches")
                go = gr.Button("Search")
            with gr.Column(scale=4):
                found = [_gallery("Best matches", 5), _files()]
            go.click(lambda who, count: matches(gallery, who, int(count)), [query, top], found)
        with gr.Tab("People"), gr.Row():
            with gr.Column(scale=1):
                eps = gr.Slider(0.1, 0.9, value=0.5, step=0.05, label="eps")
                group = gr.Button("Find people")
            with gr.Column(scale=4):
                clusters = [_gallery("Clusters", SHOWN), _files()]
            group.click(lambda radius: people(gallery, float(radius)), eps, clusters)
        if turn is not None:
            with gr.Tab("Turn"), gr.Row():
                with gr.Column(scale=1):
                    who = gr.Image(type="filepath", label="Who", sources=["upload", "clipboard"])
                    draw = gr.Button("Turn around")
                with gr.Column(scale=4):
                    views = _gallery("Views", len(VIEW_ANGLES) // 2)
                draw.click(turn, who, views)
    return app


def _gallery(label: str, columns: int) -> Any:
    import gradio as gr

    return gr.Gallery(
        label=label,
        show_label=False,  # it would cover the first picture
        columns=columns,
        object_fit="contain",
        height="auto",
    )


def _files() -> Any:
    import gradio as gr

    return gr.Textbox(label="Files", lines=5, max_lines=10, interactive=False)


@contextmanager
def private_uploads() -> Iterator[Path]:
    """Keep uploaded and shown pictures in a folder that only this user can read, then remove it.

    The page must be built and served inside, because gradio reads the folder's name when it makes
    a component.
    """
    before = os.environ.get(UPLOADS)
    with tempfile.TemporaryDirectory(prefix="reid-gen-") as folder:
        os.environ[UPLOADS] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ[UPLOADS]
            else:
                os.environ[UPLOADS] = before


def allowed_hosts(host: str, more: Sequence[str] = ()) -> list[str]:
    """Names under which a browser may open the page.

    Any other Host header is refused, so that a page of a stranger whose name is made to point at
    this computer (DNS rebinding) cannot read the gallery.

    Args:
        host: Address that the page listens at; 0.0.0.0 and :: listen at all of the computer's.
        more: Further names, such as that of a reverse proxy.

    Raises:
        UserError: If a name is a pattern, which would let strangers in.
    """
    for name in more:
        if "*" in name:
            raise UserError(f"--allow-host {name} is a pattern; name each host in full")
    names = {"localhost", "127.0.0.1", "::1", host, *more}
    if host in ("0.0.0.0", "::"):
        own = socket.gethostname()
        names |= {own, socket.getfqdn()}
        with suppress(OSError):
            names |= {str(address[4][0]) for address in socket.getaddrinfo(own, None)}
    return sorted(f"[{name}]" if ":" in name else name for name in names)


def launch(
    app: Any, host: str, port: int, hosts: Sequence[str] = (), *, blocking: bool = True
) -> str:
    """Serve the page; returns its address.

    Args:
        app: Of :func:`build_app`.
        host: Address to listen at.
        port: TCP port to listen at.
        hosts: Further host names under which the page may be opened.
        blocking: Wait until it is stopped.

    Raises:
        UserError: If the port is taken.
    """
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts(host, hosts))
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
            max_file_size=MOST_UPLOADED,
            app_kwargs={"middleware": [guard]},
        )
    except OSError as error:
        raise UserError(f"cannot listen at {host}:{port} ({error}); give another --port") from error
    if blocking:
        app.block_thread()
    return str(address)
