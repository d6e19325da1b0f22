"""What the demonstration trains, and what it has to reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One task of the demonstration.

    Attributes:
        name: Also the folder of its results.
        title: For people.
        config: Path of the config, from the checkout.
        bar: Lowest accepted value per metric, by the metric's name in the log.
        seconds: Time the part should take on two CPU cores, training and evaluation together.
        smoke: Config overrides that make the run a matter of seconds.
    """

    name: str
    title: str
    config: str
    bar: dict[str, float]
    seconds: int
    smoke: tuple[str, ...]

    def misses(self, metrics: dict[str, float]) -> list[str]:
        """The metrics below the bar, each as 'name value < bar'; NaN and absent ones too."""
        return [
            f'{name} {metrics.get(name, float("nan")):g} < {least:g}'
            for name, least in self.bar.items()
            if not metrics.get(name, float('nan')) >= least
        ]


def _mask_rcnn(name: str, title: str, config: str) -> Part:
    """Mask R-CNN by the demo's recipe, whatever the backbone."""
    return Part(
        name=name,
        title=f'Mask R-CNN, {title}',
        config=f'configs/demo/{config}.py',
        bar={'coco/bbox_mAP': 0.55, 'coco/segm_mAP': 0.55},
        seconds=300,
        smoke=('train_cfg.max_epochs=1', 'default_hooks.logger.interval=1'),
    )


PARTS = (
    _mask_rcnn('instance', 'PoolFormer-S12', 'mask-rcnn_poolformer-s12_fpn_demo'),
    Part(
        name='semantic',
        title='Semantic FPN, PoolFormer-S12',
        config='configs/demo/fpn_poolformer-s12_demo.py',
        bar={'mIoU': 60.0},
        seconds=180,
        smoke=('train_cfg.max_iters=2', 'default_hooks.logger.interval=1'),
    ),
    _mask_rcnn('container', 'small Container-Light', 'mask-rcnn_container-small_fpn_demo'),
)
DEFAULT = ('instance', 'semantic')
"""The parts of a demonstration that names none."""
