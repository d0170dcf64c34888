"""Samples with seeds of their own: equal for any number of workers and processes, and resumed."""

import random

import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader

from nbseg.datasets import seeded_samples
from nbseg.datasets.seeded_samples import mixed_seed, seed_samples

BATCH = 2


class Draws:
    """A data set whose samples are an index and what three generators draw."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index, random.random(), np.random.random(), torch.rand(()).item()


def loader(workers=0, skipped=0, rank=0, processes=1, seed=3):
    dataset = Draws()
    sampler = InfiniteSampler(dataset, seed=7)
    sampler.rank, sampler.world_size = rank, processes
    sampler.skip(skipped)
    made = DataLoader(
        dataset, BATCH, sampler=sampler, num_workers=workers, collate_fn=lambda samples: samples
    )
    seed_samples(made, seed, lambda: skipped)
    return made


def drawn(batches, count=6):
    return [sample for batch, _ in zip(batches, range(count), strict=False) for sample in batch]


def test_each_sample_has_the_draws_of_its_position():
    found = drawn(loader())
    for position, (_, *draws) in enumerate(found):
        seed = np.random.SeedSequence([3, position]).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(seed))
        assert draws == [
            random.Random(int(seed)).random(),
            np.random.RandomState(seed).random_sample(),
            torch.rand((), generator=generator).item(),
        ]
    assert len({draws for _, *draws in map(tuple, found) for draws in draws}) == 3 * len(found)
    assert [index for index, *_ in found] == [
        index for index, _ in zip(InfiniteSampler(Draws(), seed=7), found, strict=False)
    ]


def test_another_seed_draws_otherwise():
    assert not {draw for _, *draws in drawn(loader()) for draw in draws} & {
        draw for _, *draws in drawn(loader(seed=4)) for draw in draws
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(workers):
    assert drawn(loader(workers)) == drawn(loader())


@pytest.mark.parametrize("finished", [1, 4])
def test_a_resumed_loader_continues(finished):
    expected = drawn(loader(), finished + 3)[BATCH * finished :]
    assert drawn(loader(skipped=BATCH * finished), 3) == expected


def test_processes_share_the_samples_of_one(monkeypatch):
    together = drawn(loader(), 6)
    for rank in (0, 1):
        monkeypatch.setattr(seeded_samples, "get_dist_info", lambda rank=rank: (rank, 2))
        assert drawn(loader(rank=rank, processes=2), 3) == together[rank::2]


def test_seeds_depend_on_every_number():
    numbers = [(0, 0), (0, 1), (1, 0), (0, 0, 1), (2**32, 5), (5, 2**32)]
    assert len({mixed_seed(*each) for each in numbers}) == len(numbers)
    assert all(0 <= mixed_seed(*each) < 2**32 for each in numbers)
