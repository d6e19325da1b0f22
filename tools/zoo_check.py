"""Train every head with every backbone on the generated data at one small budget, and tabulate.

    python tools/zoo_check.py
    python tools/zoo_check.py --heads detr smca-detr --backbones poolformer-s12 --seeds 0 1

It shows that each pair learns, and how the heads compare at so small a budget; it says nothing
about how they rank on COCO. As in practice the heads start from a trained backbone: each backbone
first trained in Mask R-CNN on the same pictures. A second run keeps what is finished.

OUT then holds a folder for each training, table.md and, for several heads on one backbone,
curves.png.
"""

import argparse
import sys
from pathlib import Path

from mmplugin.cli import UserError, run
from mmplugin.demo import zoo
from mmplugin.demo.stages import ROOT, claim_folder, make_data
from mmplugin.demo.zoo_runs import WARMING, table, train
from mmplugin.visual.comparison import plot_comparison
from mmplugin.visual.curves import training_logs


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    heads, backbones = ([x.name for x in group] for group in (zoo.HEADS, zoo.BACKBONES))
    parser.add_argument(
        '--heads', nargs='+', choices=heads, default=heads, help='Default: all of them'
    )
    parser.add_argument(
        '--backbones', nargs='+', choices=backbones, default=backbones, help='Default: all of them'
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='Default: 0')
    parser.add_argument('--iterations', type=int, default=100, help='of each. Default: 100')
    parser.add_argument('--batch', type=int, default=4, help='pictures a step. Default: 4')
    parser.add_argument(
        '--validations', type=int, default=1, help='during each training. Default: 1, at its end'
    )
    parser.add_argument(
        '--warm-up',
        type=int,
        default=200,
        help="iterations of the backbones' own training. Default: 200",
    )
    parser.add_argument('--out', type=Path, help='Default: work_dirs/zoo')
    parser.add_argument('--data', type=Path, help='generated pictures. Default: data/demo')
    return parser


def check(args: argparse.Namespace) -> None:
    for name in ('iterations', 'batch', 'validations', 'warm_up'):
        if getattr(args, name) < 1:
            raise UserError(f'--{name.replace("_", "-")}: 1 or more, got {getattr(args, name)}')
    out = (args.out or ROOT / 'work_dirs/zoo').resolve()
    data = (args.data or ROOT / 'data/demo').resolve()
    claim_folder(out)
    make_data(data, smoke=False)
    heads = [head for head in zoo.HEADS if head.name in args.heads]
    backbones = [backbone for backbone in zoo.BACKBONES if backbone.name in args.backbones]
    warming = next(head for head in zoo.HEADS if head.name == WARMING)
    budget = zoo.Budget(args.iterations, args.batch, args.validations)
    runs = []
    for backbone in backbones:
        folder = out / f'warm-up_{backbone.name}'
        print(f'\n{folder.name}', flush=True)
        first = train(warming, backbone, zoo.Budget(args.warm_up, 4), 0, folder, data)
        for head in heads:
            for seed in args.seeds:
                folder = out / f'{head.name}_{backbone.name}_seed{seed}'
                print(f'\n{folder.name}', flush=True)
                runs.append(train(head, backbone, budget, seed, folder, data, first.checkpoint))
                text = table(runs, heads, backbones)
                (out / 'table.md').write_text(text + '\n', encoding='utf-8')
    print(f'\n{text}\n\n{out / "table.md"}')
    if len(backbones) == 1 and len({run.metric for run in runs}) == 1:
        logs = {f'{r.head}, seed {r.seed}': training_logs(Path(r.checkpoint).parent) for r in runs}
        plot_comparison(logs, out / 'curves.png', runs[0].metric, backbones[0].name)
        print(out / 'curves.png')


def main(argv: list[str] | None = None) -> int:
    return run(check, build_parser(), argv)


if __name__ == '__main__':
    sys.exit(main())
