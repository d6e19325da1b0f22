"""Say what is installed, whether training and testing can run, and what mends it where not."""

import warnings
from collections.abc import Callable, Iterator

from . import probes
from .probes import ERROR, NOTE, Finding

# A stage is looked at only where the ones before it are without error: it would repeat them.
STAGES = (
    (probes.versions, probes.supported, probes.start_line),
    (probes.torch_starts,),
    (probes.torch_pair, probes.image_reading),
    (probes.gpu, probes.operators),
    (probes.frameworks, probes.mended),
)


def report(write: Callable[[str], None]) -> int:
    """Write one line for each finding, and a last one with the verdict.

    Args:
        write: called with each line.

    Returns:
        0 where training and testing can run, else 1.
    """
    found = []
    for finding in examine():
        found.append(finding)
        write(f'{finding.level:5}  {finding.text}')
        if finding.mend:
            write(f'         mend: {finding.mend}')
    errors = sum(finding.level == ERROR for finding in found)
    notes = sum(finding.level == NOTE for finding in found)
    verdict = 'not ready' if errors else 'ready: training and testing can run'
    write(f'{verdict} ({errors} error{"s" * (errors != 1)}, {notes} note{"s" * (notes != 1)})')
    return int(errors > 0)


def examine() -> Iterator[Finding]:
    """Run the probes, stage by stage; what a probe raises is a finding too."""
    failed = False
    for number, stage in enumerate(STAGES, start=1):
        for probe in stage:
            for finding in _isolated(probe):
                failed = failed or finding.level == ERROR
                yield finding
        if failed:
            rest = [probe.__name__ for later in STAGES[number:] for probe in later]
            if rest:
                yield Finding(NOTE, f'not looked at until that is mended: {", ".join(rest)}')
            return


def _isolated(probe: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield from probe()
    except (Exception, SystemExit) as error:
        name = probe.__name__.replace('_', ' ')
        yield Finding(ERROR, f'{name}: {probes.one_line(error)}')
