"""Seed each training sample by its position in the training.

Augmentations draw random numbers from global generators. The states of these generators depend on
every sample that the process has loaded. Without a seed per sample, a sample would be augmented
differently after a resume or with another number of workers. With a seed per sample, the
augmentation depends only on the run's seed and the sample's position.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from torch.utils.data import DataLoader, Dataset, Sampler


class SeededIndex(int):
    """Holds an index into a data set, and the ``seed`` for loading the sample at this index."""

    seed: int


class SeededSampler(Sampler[int]):
    """Adds a seed to each index of another sampler.

    The seed depends on the run's seed and on the sample's position among the samples of all
    processes. Different processes therefore draw different random numbers.

    Args:
        sampler: the sampler that yields the indices of this process. Its attributes can also be
            read from the ``SeededSampler``.
        seed: seed of the run, the same in every process.
        position: function that returns how many samples this process has already drawn. It is
            called when an iteration starts.
    """

    def __init__(self, sampler: Sampler[int], seed: int, position: Callable[[], int]) -> None:
        self.sampler = sampler
        self.run_seed = seed
        self.position = position

    def __iter__(self) -> Iterator[SeededIndex]:
        rank, processes = get_dist_info()
        for position, index in enumerate(self.sampler, self.position()):
            seeded = SeededIndex(index)
            seeded.seed = mixed_seed(self.run_seed, position * processes + rank)
            yield seeded

    def __len__(self) -> int:
        length: int = getattr(self.sampler, "__len__")()  # noqa: B009  optional in PyTorch
        return length

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sampler, name)


class SeededBatches:
    """Loads batches of a data set, and seeds the global generators before each sample.

    An object of this class is called with the ``SeededIndex`` objects of a batch, and returns the
    list of the batch's samples.

    Args:
        dataset: a map-style data set.
    """

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __call__(self, indices: Sequence[SeededIndex]) -> list[Any]:
        samples = []
        for index in indices:
            seed_generators(index.seed)
            samples.append(self.dataset[int(index)])
        return samples


def seed_samples(loader: DataLoader[Any], seed: int, position: Callable[[], int]) -> None:
    """Change a data loader in place so that it seeds the random generators before each sample.

    Call this function before the loader's first iteration.

    Args:
        loader: loader with a batch sampler.
        seed: seed of the run, the same in every process.
        position: function that returns how many samples this process has already drawn.
    """
    batches, dataset = loader.batch_sampler, loader.dataset
    batches.sampler = SeededSampler(batches.sampler, seed, position)  # type: ignore[union-attr]
    # If a data set has __getitems__, PyTorch's loader calls it with the indices of a batch.
    dataset.__getitems__ = SeededBatches(dataset)  # type: ignore[attr-defined]


def seed_generators(seed: int) -> None:
    """Seed the global generators of Python, numpy and PyTorch (CPU) with a 32-bit number."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def mixed_seed(*numbers: int) -> int:
    """Return a 32-bit seed that depends on all of the non-negative ``numbers``."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
