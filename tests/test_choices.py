"""The names in choices.py equal the keys of the tables that define them."""

from typing import get_args

import pytest

from reid_gen import choices
from reid_gen.body.render.map_kinds import MAP_KINDS
from reid_gen.body.render.rasterisers import RASTERISERS
from reid_gen.cluster.algorithms import ALGORITHMS
from reid_gen.cluster.knn.neighbours import METHODS
from reid_gen.data.datasets import DATASETS
from reid_gen.models.encoder import TOKEN_POOLING
from reid_gen.models.pooling import POOLINGS

TABLES = {
    "DatasetName": DATASETS,
    "LabelledDatasetName": [name for name, spec in DATASETS.items() if spec.labelled],
    "PublicDatasetName": [name for name, spec in DATASETS.items() if spec.official],
    "PoolingName": [*POOLINGS, TOKEN_POOLING],
    "ClusteringName": ALGORITHMS,
    "KnnName": METHODS,
    "MapName": MAP_KINDS,
    "RasteriserName": RASTERISERS,
}


@pytest.mark.parametrize("name", TABLES)
def test_choices_equal_the_keys_of_their_table(name):
    assert sorted(get_args(getattr(choices, name))) == sorted(TABLES[name])
