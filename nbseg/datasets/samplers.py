"""Define infinite samplers that can skip samples, so that a training resumes quickly.

MMEngine's loop resumes by calling the sampler's ``skip``. If the sampler has no ``skip``, the loop
loads, augments and discards every image that was already seen.
"""

from collections.abc import Iterator, Sized
from itertools import islice
from typing import Any

from mmdet.datasets.samplers import MultiSourceSampler
from mmengine.dataset import InfiniteSampler

from nbseg.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ResumableMultiSourceSampler(MultiSourceSampler):
    """Adds a method ``skip`` to MMDetection's ``MultiSourceSampler``.

    The arguments are those of ``MultiSourceSampler``. MMEngine's loop calls ``skip`` to resume.
    """

    skipped = 0

    def skip(self, num_samples: int) -> None:
        """Make the iteration leave out the first ``num_samples`` indices of this process.

        Call this method before iterating.
        """
        self.skipped = num_samples

    def __iter__(self) -> Iterator[int]:
        """Yield the indices one by one, without the skipped indices.

        The indices of a batch are grouped by the data set that they belong to.
        """
        return islice(super().__iter__(), self.skipped, None)


@DATA_SAMPLERS.register_module()
class AspectRatioSampler(InfiniteSampler):
    """Orders the indices of ``InfiniteSampler`` so that a batch has images of one orientation.

    In a batch, either all images have width < height, or all images have width >= height. The
    batches equal those of MMDetection's ``AspectRatioBatchSampler``. MMEngine cannot call ``skip``
    on a batch sampler. Therefore this class is a sampler instead.

    Args:
        dataset: data set whose ``get_data_info`` returns ``width`` and ``height``.
        batch_size: batch size of one process, the same as in the data loader.
        **kwargs: ``shuffle`` and ``seed`` of ``InfiniteSampler``.
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
