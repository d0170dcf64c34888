"""The resumable samplers beside MMDetection's and MMEngine's, which they stand in for."""

from itertools import islice

import numpy as np
import pytest
from mmdet.datasets.samplers import AspectRatioBatchSampler, MultiSourceSampler
from mmengine.dataset import BaseDataset, ConcatDataset, InfiniteSampler
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from nbseg.datasets.samplers import AspectRatioSampler, ResumableMultiSourceSampler

BATCH = 4


class Images(BaseDataset):
    """Images without pixels, upright ones and others; it remembers which were loaded."""

    def __init__(self, count, seed):
        sides = np.random.default_rng(seed).integers(10, 20, (count, 2)).tolist()
        self.sides = [{"width": width, "height": height} for width, height in sides]
        self.loaded = []
        super().__init__()

    def load_data_list(self):
        return self.sides

    def __getitem__(self, index):
        self.loaded.append(index)
        return index


@pytest.fixture
def dataset():
    return ConcatDataset([Images(13, 0), Images(29, 1)])


def samplers(dataset):
    """Each beside the batches that its peer gives."""
    infinite = InfiniteSampler(dataset, seed=5)
    ours = AspectRatioSampler(dataset, BATCH, seed=5)
    yield ours, iter(AspectRatioBatchSampler(infinite, BATCH))
    options = {"dataset": dataset, "batch_size": BATCH, "source_ratio": [2, 1], "seed": 5}
    peer = iter(MultiSourceSampler(**options))
    yield ResumableMultiSourceSampler(**options), iter(lambda: list(islice(peer, BATCH)), None)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("finished", [0, 30])
def test_a_training_goes_on_with_the_batch_that_follows(dataset, which, finished):
    ours, peer = list(samplers(dataset))[which]
    loader = DataLoader(dataset, batch_size=BATCH, sampler=ours)
    loop = _InfiniteDataloaderIterator(loader)
    assert loop._resolve_sampler() is ours
    loop.skip_iter(finished)
    assert not any(images.loaded for images in dataset.datasets)
    expected = list(islice(peer, finished, finished + 20))
    found = [next(loop).tolist() for _ in range(20)]
    places = [dataset._get_ori_dataset_idx(index) for batch in expected for index in batch]
    assert [index for batch in found for index in batch] == [index for _, index in places]
    loaded = sum(len(images.loaded) for images in dataset.datasets)
    assert loaded == 20 * BATCH
