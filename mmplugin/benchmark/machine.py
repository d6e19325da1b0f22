"""The machine and the packages a measurement was made with."""

import importlib.metadata
import os
import platform
from pathlib import Path

import torch

PACKAGES = ('torch', 'timm', 'mmcv', 'mmdet', 'mmsegmentation', 'mmplugin')


def environment(device: str) -> dict:
    """What a record needs, so that its figures can be made again."""
    machine = dict(
        device=torch.cuda.get_device_name() if device == 'cuda' else processor(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        system=platform.platform(),
        python=platform.python_version(),
    )
    for package in PACKAGES:
        try:
            machine[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return machine


def processor() -> str:
    """Name of the CPU."""
    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    named = (line.partition(': ')[2] for line in lines if line.startswith('model name'))
    return next(named, platform.processor() or platform.machine())
