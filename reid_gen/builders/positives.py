"""From a run or a pipeline file to what generates positives of its training images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reid_gen.positives.generate import Positives
    from reid_gen.positives.sources import PositiveSource

# Modules that import torch are imported once the settings are known to be valid.


@dataclass(frozen=True)
class PositivesSpec:
    """Which positives are generated.

    Attributes:
        source: Run folder, or pipeline file of a public diffusion model.
        maker: Kind of positives of a run: ``turned``, ``anchored`` or ``mosaic``.
        share: Share of the view's own bottleneck features, for ``anchored``.
        steps: Sampling steps of a run's diffusion model; None for the run's setting.
    """

    source: Path
    maker: str
    share: float
    steps: int | None


def is_pipeline(source: Path) -> bool:
    """Whether a path is a pipeline file, and no run."""
    return source.suffix in (".yaml", ".yml")


def build_positives(spec: PositivesSpec) -> Positives:
    """Build what generates positives.

    Raises:
        UserError: If settings are invalid, or packages, weights, bodies or images are missing.
    """
    if is_pipeline(spec.source):
        return _pipeline_positives(spec.source)
    if spec.maker == "mosaic":
        return _mosaic_positives(spec.source)
    return _view_positives(spec)


def free_gpu() -> None:
    """Return the GPU memory of networks that were dropped, so that actors of Ray can use it."""
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()


def run_name(run: Path) -> str:
    """Name a run by its folder and the digest of its encoder."""
    from reid_gen.models.checkpoint import find_checkpoint, read_card

    return f"{run.name} {read_card(find_checkpoint(run))['sha256'][:16]}"


def _pipeline_positives(file: Path) -> Positives:
    """Build a public diffusion model, on the images with a confident body."""
    from reid_gen.builders.stable_diffusion import build_groups, groups_provenance
    from reid_gen.config.load import load_settings
    from reid_gen.config.pipelines import Groups
    from reid_gen.positives.generate import Positives

    settings = load_settings(file, Groups)
    return Positives(*build_groups(settings), {"made_by": file.name, **groups_provenance(settings)})


def _view_positives(spec: PositivesSpec) -> Positives:
    """Open a run's generator, on the training images with a confident body."""
    from itertools import compress

    from reid_gen.body.table import load_table
    from reid_gen.builders.saved_run import open_run
    from reid_gen.builders.turned_maps import build_angles
    from reid_gen.data.datasets import load_dataset, training_images
    from reid_gen.files import content_digest
    from reid_gen.models.checkpoint import WEIGHTS_SUFFIX
    from reid_gen.positives.generate import Positives
    from reid_gen.positives.scores import Scorer, SilhouetteScorer
    from reid_gen.positives.sources import AnchoredViews, TurnedViews
    from reid_gen.training.step import GENERATOR

    saved = open_run(spec.source, {"generator.steps": spec.steps})
    data, settings, renderer = saved.config.data, saved.generator, saved.renderer
    images = training_images(load_dataset(data.name, data.root))
    table_file = settings.bodies / "train.npz"
    table = load_table(table_file)
    is_confident = table.confidence_mask([image.key for image in images], settings.min_score)
    sources = list(compress(images, is_confident))
    skipped = (
        f"{len(images) - len(sources)} of {len(images)} images are skipped: they have no body with "
        f"a score of {settings.min_score:g} or more"
    )
    angles = build_angles(settings.angles)
    positives: PositiveSource = TurnedViews(renderer, table, angles)
    if spec.maker == "anchored":
        positives = AnchoredViews(renderer, table, angles, spec.share)
    silhouettes = SilhouetteScorer(renderer.maps(table))
    contents = {
        "bodies": table_file,
        "generator": saved.checkpoint / f"{GENERATOR}{WEIGHTS_SUFFIX}",
    }
    digests = {name: content_digest(path) for name, path in contents.items()}
    provenance: dict[str, Any] = {"made_by": run_name(spec.source), "contents_sha256": digests}
    provenance |= {} if spec.steps is None else {"steps": spec.steps}
    scorer = Scorer(renderer.runtime.encoder(renderer.encoder), silhouettes)
    return Positives(positives, scorer, sources, provenance, skipped)


def _mosaic_positives(run: Path) -> Positives:
    """Build the source of mosaics; the run gives training images and the encoder of the scorer."""
    from reid_gen.config.load import load_config
    from reid_gen.data.datasets import load_dataset, training_images
    from reid_gen.models.weight_files import checkpoint_folder
    from reid_gen.training.run_folder import CONFIG

    checkpoint = checkpoint_folder(run)
    config = load_config(checkpoint.parent / CONFIG, ())
    images = training_images(load_dataset(config.data.name, config.data.root))

    from reid_gen.models.checkpoint import load_encoder
    from reid_gen.positives.generate import Positives
    from reid_gen.positives.scores import Scorer
    from reid_gen.positives.sources import Mosaics
    from reid_gen.runtime.devices import Runtime

    encoder, _ = load_encoder(checkpoint)
    scorer = Scorer(Runtime(config.encoder.precision).encoder(encoder), None)
    positives = Mosaics(config.data.height, config.data.width)
    return Positives(positives, scorer, list(images), {"made_by": run_name(run)})
