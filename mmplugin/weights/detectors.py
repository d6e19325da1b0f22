"""What became of checkpoints of mmdet 2.x and mmseg 0.x in mmdet 3.x and mmseg 1.x.

RetinaNet, Mask R-CNN and semantic FPN have the same names and shapes in neck and heads on both
sides: mmdet 3.x and mmseg 1.x keep them so that old files load (their migration guides change
configs, not models), and so does the FPN of mmcv. What changed is the file around them: ``CLASSES``
and ``PALETTE`` of the ``meta`` became ``dataset_meta`` (mmdet/apis/det_inferencer.py and
mmseg/apis/mmseg_inferencer.py read both). Older changes are not silent: mmdet 1.x has heads outside
``roi_head`` and classes in another order, and mmdet before 2.5.0 the latter in the RPN
(mmdet/tools/model_converters/upgrade_model_version.py); such files are refused.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmplugin.weights.contents import Contents

# parts of the three networks, and of any of the same make; what else stands in a file is refused
PARTS = (
    r'neck\.(lateral_convs|fpn_convs)\.\d+\.conv\.(weight|bias)',
    # RetinaNet
    r'bbox_head\.(cls_convs|reg_convs)\.\d+\.conv\.(weight|bias)',
    r'bbox_head\.(retina_cls|retina_reg)\.(weight|bias)',
    # Mask R-CNN
    r'rpn_head\.(rpn_conv|rpn_cls|rpn_reg)\.(weight|bias)',
    r'roi_head\.bbox_head\.(fc_cls|fc_reg|shared_fcs\.\d+)\.(weight|bias)',
    r'roi_head\.mask_head\.(convs\.\d+\.conv|upsample|conv_logits)\.(weight|bias)',
    # semantic FPN
    r'decode_head\.scale_heads\.\d+\.\d+\.conv\.(weight|bias)',
    r'decode_head\.scale_heads\.\d+\.\d+\.bn\.(weight|bias|running_mean|running_var)',
    r'decode_head\.scale_heads\.\d+\.\d+\.bn\.num_batches_tracked',
    r'decode_head\.conv_seg\.(weight|bias)',
)
OLD_KEYS = ('CLASSES', 'PALETTE')
# of the old file's meta, what speaks of the weights and not of the machine they were made on
KEPT = ('dataset_meta', 'mmdet_version', 'mmseg_version', 'epoch', 'iter')


def upgraded_rest(contents: Contents) -> dict[str, Tensor]:
    """Neck and heads as mmdet 3.x and mmseg 1.x name them: as they were.

    Raises:
        ValueError: for tensors of no part of these networks, or a file that would load and count
            its classes wrongly.
    """
    rest = contents.outside
    version = contents.meta.get('mmdet_version')
    is_old = isinstance(version, str) and re.match(r'(0|1|2\.[0-4])\.', version)
    if is_old or any(key.startswith(('bbox_head.fc_', 'mask_head.')) for key in rest):
        raise ValueError(
            f'{contents.source}: is of mmdet {version or "1.x"}, which orders classes otherwise; '
            "bring it to 2.5 first, with upgrade_model_version.py of mmdet's tools"
        )
    strange = [key for key in rest if not any(re.fullmatch(part, key) for part in PARTS)]
    if strange:
        raise ValueError(
            f'{contents.source}: {len(strange)} tensors belong to none of RetinaNet, Mask R-CNN '
            f'and semantic FPN, the first is {strange[0]}; --backbone takes the backbone alone'
        )
    return rest


def upgraded_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The ``meta`` of a checkpoint as mmengine's runners and inferencers read it."""
    old = {key.lower(): meta[key] for key in OLD_KEYS if meta.get(key) is not None}
    upgraded = {key: meta[key] for key in KEPT if key in meta}
    if old and 'dataset_meta' not in upgraded:
        upgraded['dataset_meta'] = old
    return upgraded
