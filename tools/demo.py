"""Generate data, train and evaluate Mask R-CNN and semantic FPN on PoolFormer-S12, show the result.

    bash tools/demo.sh                          # makes the environment first
    python tools/demo.py --parts semantic       # in a ready environment
    python tools/demo.py --parts container      # Mask R-CNN with a small Container-Light

OUT then holds metrics.json, and per part predictions.png, curves.png, the logs and the checkpoint.
A result below the bar is an error. A second run keeps the data, trains anew and replaces the
results of the first.
"""

import argparse
import sys
from pathlib import Path

from mmplugin.cli import UserError, run
from mmplugin.demo.parts import DEFAULT, PARTS
from mmplugin.demo.report import describe, write_report
from mmplugin.demo.stages import ROOT, claim_folder, make_data, run_part


def build_parser() -> argparse.ArgumentParser:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='folder for the results; must be new, empty or from an earlier demo. '
        'Default: work_dirs/demo, or work_dirs/demo-smoke',
    )
    parser.add_argument(
        '--data',
        type=Path,
        help='folder for the generated pictures. Default: data/demo, or data/demo-smoke',
    )
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=names,
        default=DEFAULT,
        help=f'what to run. Default: {" ".join(DEFAULT)}',
    )
    parser.add_argument(
        '--smoke',
        action='store_true',
        help='a few pictures and steps and no verdict, in folders of their own, to see that '
        'everything runs',
    )
    return parser


def demo(args: argparse.Namespace) -> None:
    name = 'demo-smoke' if args.smoke else 'demo'
    out = (args.out or ROOT / 'work_dirs' / name).resolve()
    data = (args.data or ROOT / 'data' / name).resolve()
    claim_folder(out)
    make_data(data, args.smoke)
    parts = [part for part in PARTS if part.name in args.parts]
    results = {part.name: run_part(part, out, data, args.smoke) for part in parts}
    report = out / 'metrics.json'
    write_report(report, results, judged=not args.smoke)
    print(f'\n{describe(results, judged=not args.smoke)}\n\n{report}', flush=True)
    missed = [text for result in results.values() for text in result['missed']]
    if missed and not args.smoke:
        raise UserError(f'the demo missed its bar: {"; ".join(missed)} (all numbers: {report})')


def main(argv: list[str] | None = None) -> int:
    return run(demo, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
