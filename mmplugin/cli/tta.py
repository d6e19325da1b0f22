"""Test-time augmentation, by the config or by a default for detectors."""

from copy import deepcopy

from mmplugin.cli.data import datasets_of
from mmplugin.cli.errors import UserError

# as mmdet's own test tool: the picture and its mirror image, boxes merged by NMS
DET_MODEL = dict(
    type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)
)
DET_FLIPS = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
DET_META = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
)


def augment_test(cfg) -> list[str]:
    """Wrap the model and the test pipeline of a config for augmentation, in place.

    Returns:
        What was chosen for lack of a setting, one line each, for the log.

    Raises:
        UserError: for a segmentor without ``tta_model`` or ``tta_pipeline``, or a detector with
            masks, which mmdet cannot merge.
    """
    notes = []
    datasets = [d for _, d in datasets_of(cfg.test_dataloader.dataset, '')]
    missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
    if missing and cfg.default_scope != 'mmdet':
        raise UserError(
            f'--tta: the config has no {" and no ".join(missing)}; it takes them as in '
            'mmseg::_base_/default_runtime.py and mmseg::_base_/datasets/ade20k.py'
        )
    masks = cfg.model.get('mask_head') or cfg.model.get('roi_head', {}).get('mask_head')
    if masks and cfg.get('tta_model', DET_MODEL)['type'].endswith('DetTTAModel'):
        raise UserError(
            '--tta: DetTTAModel of mmdet merges boxes only, and this model predicts masks; test it '
            'without --tta'
        )
    if 'tta_model' in missing:
        notes.append('--tta: no tta_model in the config, using DetTTAModel with NMS at 0.5')
        cfg.tta_model = deepcopy(DET_MODEL)
    if 'tta_pipeline' in missing:
        notes.append('--tta: no tta_pipeline in the config, using the test pipeline and its flip')
        pack = dict(type='PackDetInputs', meta_keys=DET_META)
        flip = dict(type='TestTimeAug', transforms=[deepcopy(DET_FLIPS), [pack]])
        cfg.tta_pipeline = [*datasets[0].pipeline[:-1], flip]
    for dataset in datasets:
        dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    return notes
