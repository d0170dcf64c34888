"""Infinite samplers that a killed training goes on with at once.

MMEngine's loop goes on where it stopped by the ``skip`` of the data loader's sampler. Of another
one it loads every image that was seen before, augments it and throws it away.
"""

from collections.abc import Iterator, Sized
from itertools import islice
from typing import Any

from mmdet.datasets.samplers import MultiSourceSampler
from mmengine.dataset import InfiniteSampler

from nbseg.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ResumableMultiSourceSampler(MultiSourceSampler):
    """MMDetection's ``MultiSourceSampler`` with MMEngine's ``skip``; arguments are the same."""

    skipped = 0

    def skip(self, num_samples: int) -> None:
        """Begin after so many of this process's indices; to be called before iterating."""
        self.skipped = num_samples

    def __iter__(self) -> Iterator[int]:
        """Yield indices, source after source in each batch."""
        return islice(super().__iter__(), self.skipped, None)


@DATA_SAMPLERS.register_module()
class AspectRatioSampler(InfiniteSampler):
    """MMEngine's ``InfiniteSampler``, put in order so that a batch has images of one orientation.

    The batches are those of MMDetection's ``AspectRatioBatchSampler``, made without a batch
    sampler, of which nothing could be skipped.

    Args:
        dataset: whose ``get_data_info`` knows ``width`` and ``height``.
        batch_size: of a process.
        **kwargs: ``shuffle`` and ``seed``.
    """

    def __init__(self, dataset: Sized, batch_size: int, **kwargs: Any) -> None:
        self.batch_size = batch_size
        super().__init__(dataset, **kwargs)

    def _indices_of_rank(self) -> Iterator[int]:
        buckets: tuple[list[int], list[int]] = [], []
        for index in super()._indices_of_rank():
            info = self.dataset.get_data_info(index)
            bucket = buckets[info["width"] < info["height"]]
            bucket.append(index)
            if len(bucket) == self.batch_size:
                yield from bucket
                bucket.clear()
