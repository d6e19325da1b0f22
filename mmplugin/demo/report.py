"""The result of a demonstration run as one json file."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mmplugin.demo.parts import PARTS
from mmplugin.files import write_whole

PACKAGES = (
    'mmplugin', 'torch', 'torchvision', 'mmengine', 'mmcv', 'mmcv-lite', 'mmdet',
    'mmsegmentation', 'numpy', 'pycocotools',
)  # fmt: skip


def newest_metrics(test_dir: Path) -> dict[str, float]:
    """Metrics of the latest ``tools/test.py`` run in a work dir.

    Raises:
        FileNotFoundError: When there is none.
    """
    # <time>/<time>.json, so that the names sort by time
    files = sorted(path for path in test_dir.glob('*/*.json') if path.stem == path.parent.name)
    if not files:
        raise FileNotFoundError(f'no metrics (<time>/<time>.json) in {test_dir}')
    return json.loads(files[-1].read_text(encoding='utf-8'))


def machine() -> dict:
    """Cores this process may use, and what they are."""
    return {
        'cores': len(os.sched_getaffinity(0))
        if hasattr(os, 'sched_getaffinity')
        else os.cpu_count(),
        'processor': processor_name(),
        'system': platform.platform(),
        'python': platform.python_version(),
    }


def processor_name() -> str:
    """The processor by its market name where Linux tells it, else its architecture."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def versions() -> dict[str, str]:
    """Version of each of ``PACKAGES`` that is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_report(path: Path, parts: dict[str, dict], judged: bool) -> None:
    """Write the json: results of each part, the verdict, machine and versions.

    Results of other parts that the file has from an earlier run stay in it.

    Args:
        path: File to write.
        parts: Per part its metrics, seconds and what it missed.
        judged: False for a smoke run; ``passed`` is then null.
    """
    parts = {**earlier_parts(path), **parts}
    passed = not any(part['missed'] for part in parts.values()) if judged else None
    content = {'passed': passed, **parts, 'machine': machine(), 'versions': versions()}
    write_whole(path, json.dumps(content, indent=2) + '\n')


def earlier_parts(path: Path) -> dict[str, dict]:
    """Per part what a report holds; empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return {part.name: content[part.name] for part in PARTS if part.name in content}


def describe(parts: dict[str, dict], judged: bool) -> str:
    """The report for the screen: a verdict a part, where it is ``judged``, and where to look."""
    lines = []
    for name, part in parts.items():
        spent = part['train_seconds'] + part['test_seconds']
        verdict = 'missed: ' + '; '.join(part['missed']) if part['missed'] else 'bar reached'
        aim = part['seconds_aimed_at']
        side = 'over' if spent > aim else 'within'
        judgement = f'{verdict}; {spent:.0f} s, {side} the {aim} s meant for two cores'
        smoke = f'smoke run, no verdict; {spent:.0f} s'
        lines.append(f'{name}: {judgement if judged else smoke}')
        lines += [f'  {key:<12} {part[key]}' for key in ('predictions', 'curves', 'checkpoint')]
    return '\n'.join(lines)
