"""What became of each tensor when a file was loaded, counted by part of the backbone."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger

from mmplugin.files import write_whole

PARTS = ('stem', 'stage 1', 'stage 2', 'stage 3', 'stage 4', 'output norms')
OTHER = 'outside the backbone'
FILE_NAME = 'weights_report.json'


def part_of(key: str) -> str:
    """The part a key of ours belongs to: one of ``PARTS``, or ``OTHER``."""
    first, _, rest = key.partition('.')
    if first == 'stages':
        return f'stage {int(rest.partition(".")[0]) + 1}'
    return {'stem': 'stem', 'norms': 'output norms'}.get(first, OTHER)


@dataclass(frozen=True)
class Report:
    """What a load did.

    Attributes:
        backbone: its class.
        checkpoint: path or URL.
        layout: name of the file's layout.
        summary: all of it in one line.
        own: keys of the backbone.
        outcomes: outcome -> keys of ours it befell: ``loaded`` (with those ``resized``),
            ``expected_missing`` in the file, ``ignored`` of the file, ``resized``; and with
            ``strict_load=False`` also ``missing``, ``unexpected`` and ``misshaped``.
    """

    backbone: str
    checkpoint: str
    layout: str
    summary: str
    own: tuple[str, ...]
    outcomes: Mapping[str, tuple[str, ...]]

    def counts(self) -> dict[str, dict[str, int]]:
        """Part -> {``tensors`` of the backbone, then each outcome: how many}."""
        table = {part: dict.fromkeys(('tensors', *self.outcomes), 0) for part in (*PARTS, OTHER)}
        for key in self.own:
            table[part_of(key)]['tensors'] += 1
        for outcome, keys in self.outcomes.items():
            for key in keys:
                table[part_of(key)][outcome] += 1
        return table

    def lines(self) -> list[str]:
        """One line a part; the first three outcomes always, the others where there are any."""
        return [
            f'  {part}: {row["loaded"]} of {row["tensors"]} loaded, '
            + ', '.join(
                f'{count} {outcome.replace("_", " ")}'
                for outcome, count in row.items()
                if outcome in ('expected_missing', 'ignored')
                or (count and outcome not in ('tensors', 'loaded'))
            )
            for part, row in self.counts().items()
            if part in PARTS or any(row.values())
        ]

    def as_dict(self) -> dict:
        """Plain values for a JSON file; of exceptions the keys too."""
        return {
            'backbone': self.backbone,
            'checkpoint': self.checkpoint,
            'layout': self.layout,
            'parts': self.counts(),
            'keys': {
                outcome: sorted(keys)
                for outcome, keys in self.outcomes.items()
                if outcome != 'loaded' and keys
            },
        }


def run_of(handlers: Iterable[logging.Handler]) -> Path | None:
    """The folder ``work_dir/TIME`` of the run that a logger writes for, None outside runs.

    mmengine's runner logs to ``work_dir/TIME/TIME.log``, and says nowhere else where it works.
    """
    for handler in handlers:
        if isinstance(handler, logging.FileHandler):
            log = Path(handler.baseFilename)
            if log.stem.startswith(log.parent.name):
                return log.parent
    return None


def keep(report: Report) -> Path | None:
    """Write the report to ``work_dir/weights_report.json``, beside others of the same run.

    Returns:
        The file, or None outside a run and in all but the main process.
    """
    run = run_of(MMLogger.get_current_instance().handlers)
    if run is None or not is_main_process():
        return None
    path = run.parent / FILE_NAME
    content = {'run': run.name, 'backbones': []}
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding='utf-8'))
        except ValueError:  # not ours; a run replaces what it finds
            found = {}
        if isinstance(found, dict) and found.get('run') == run.name:
            content = found
    content['backbones'].append(report.as_dict())
    write_whole(path, json.dumps(content, indent=2) + '\n')
    return path
