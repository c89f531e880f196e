"""Every name that a setting or an option may take where more than one module needs the list.

Settings are annotated with these types, options take ``get_args`` of them, and the tables that give
each name its meaning have exactly these keys, which tests/test_choices.py checks.
"""

from __future__ import annotations

from typing import Literal

PublicDatasetName = Literal["market1501", "dukemtmcreid", "msmt17"]
"""Data sets that other papers report."""
LabelledDatasetName = Literal["market1501", "dukemtmcreid", "msmt17", "pedestrians"]
"""Data sets with true pids."""
DatasetName = Literal["market1501", "dukemtmcreid", "msmt17", "pedestrians", "folder"]
PoolingName = Literal["avg", "max", "gem", "token"]
OptimizerName = Literal["adam", "sgd"]
Precision = Literal["bf16", "fp32"]
RuntimeName = Literal["onnx", "torch"]
"""Runtime of a trained encoder."""
EngineName = Literal["local", "ray"]
"""Where the blocks of a job are computed: in the process of the command, or by actors of Ray."""
ClusteringName = Literal["dbscan", "hdbscan", "agglomerative"]
KnnName = Literal["exact", "flat", "ivf", "hnsw"]
"""Search of nearest neighbours; all but ``exact`` are faiss indexes."""
MapName = Literal["grey", "depth", "normals", "parts", "silhouette", "painted"]
"""Kinds of body maps."""
RasteriserName = Literal["numba", "torch", "pytorch3d"]
TurnAxis = Literal["body", "picture"]
"""Axis that bodies turn about: upright through the body, or vertical in the image."""
Stripes = Literal["body", "interleaved"]
Padding = Literal["reflect", "zeros"]
DiffusionFamily = Literal["sd", "sdxl"]
ControlKind = Literal["controlnet", "adapter"]
"""Network that conditions a diffusion model on body maps: ControlNet or T2I-Adapter."""
GroupShare = Literal["pose", "looks"]
"""What the images of a rendered group have in common."""
