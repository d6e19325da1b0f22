"""A data loader whose every sample is drawn with random numbers of its own.

mmengine seeds each worker once, so that augmentation depends on how many samples the worker has
seen, and no resumed run sees the same. Here the numbers are those of (seed, rank, training step,
place in the batch): the same for any number of workers, in a run that was interrupted and in one
that was not.
"""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import get_rank
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from mmplugin.engine.random_state import seed_cpu, undisturbed

Draw = tuple[int, int, int]
"""Index in the data set, training step, place in the batch."""


class SeededDataset(Dataset):
    """What workers see of a data set: samples by ``Draw``.

    Args:
        dataset: the data set.
        numbers: come before step and place in every seed.
    """

    def __init__(self, dataset: Dataset, numbers: tuple[int, ...]) -> None:
        self.dataset = dataset
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> Any:
        index, step, place = draw
        if get_worker_info() is not None:
            seed_cpu(*self.numbers, step, place)
            return self.dataset[index]
        with undisturbed():  # the model draws from the same generators
            seed_cpu(*self.numbers, step, place)
            return self.dataset[index]


class NumberedBatches:
    """The batches of a sampler as lists of ``Draw``; steps count on over all passes.

    Args:
        batches: batch sampler.
    """

    def __init__(self, batches) -> None:
        self.batches = batches
        self.step = 0
        self.skip = 0
        self._rest: Iterator[list[Draw]] = iter(())

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Draw]]:
        return self._rest  # the same each time: a loader with workers asks twice

    def skipped(self) -> Iterator[None]:
        """Begin a pass, and pass over ``skip`` of its batches or as many as it has."""
        self._rest = self._walk()
        while self.skip and next(self._rest, None) is not None:
            self.skip -= 1
            yield

    def _walk(self) -> Iterator[list[Draw]]:
        for batch in self.batches:
            step = self.step
            self.step += 1
            yield [(index, step, place) for place, index in enumerate(batch)]


class ReplayableLoader(DataLoader):
    """Data loader that can go on in the middle; made by ``replayable``."""

    def go_to(self, step: int, skip: int, hand_over: bool) -> None:
        """Begin the next pass as an earlier run left it; to be called before the first batch.

        Args:
            step: training step of the first batch of that pass.
            skip: batches to pass over without reading them.
            hand_over: give None for each, for a loop that takes and drops them itself.
        """
        self.numbered.step, self.numbered.skip = step, skip
        self.hand_over = hand_over

    def __iter__(self) -> Iterator[Any]:
        # A generator: mmengine asks for the iterator before it has read the checkpoint.
        for _ in self.numbered.skipped():
            if self.hand_over:
                yield None
        if not self.numbered.skip:
            yield from super().__iter__()

    @property
    def _index_sampler(self) -> NumberedBatches:
        return self.numbered

    def _get_iterator(self):
        # Hooks look at `dataset` and change its pipeline, so it stays what it is but for workers.
        seen = DataLoader.__new__(type(self))
        vars(seen).update(vars(self), dataset=SeededDataset(self.dataset, (self.seed, get_rank())))
        return DataLoader._get_iterator(seen)


def replayable(loader: DataLoader, seed: int) -> DataLoader:
    """Turn a loader into a ``ReplayableLoader``, in place, and return it.

    Args:
        loader: not iterated over so far.
        seed: for the samples; ``loader.seed`` changes it.

    Raises:
        ValueError: for a loader without batches of indices, which cannot be replayed.
    """
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        raise ValueError(
            'a data loader without batch sampler, or of an iterable data set, cannot be replayed; '
            'use runner_type="Runner", which resumes without the same data order'
        )
    # its class is exchanged, where a copy would repeat each setting of DataLoader
    loader.__class__ = ReplayableLoader
    loader.numbered = NumberedBatches(loader.batch_sampler)
    loader.seed = seed
    loader.hand_over = False
    # else starting workers would take a number from the model's generator
    loader.generator = torch.Generator().manual_seed(seed)
    return loader


def sampler_of(loader: DataLoader) -> Any:
    """The sampler that has a seed: the loader's own or its batch sampler's; None without one."""
    for sampler in (loader.sampler, getattr(loader.batch_sampler, 'sampler', None)):
        if hasattr(sampler, 'seed'):
            return sampler
    return None
