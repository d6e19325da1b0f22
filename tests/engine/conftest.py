"""Loaders with workers come and go here in one process, as they do in no real run."""

import gc

import pytest


@pytest.fixture(autouse=True)
def quick_end_of_workers(monkeypatch):
    """torch waits 5 seconds for each worker of a collected loader, mmengine's own runs as well."""
    monkeypatch.setattr('torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL', 0.2)
    yield
    gc.collect()
