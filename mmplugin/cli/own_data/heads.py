"""The number of classes in every head of a model."""

from collections.abc import Iterator

from mmplugin.cli.errors import UserError

HEADS = {
    'mmdet': ('bbox_head', 'mask_head', 'point_head', 'mask_iou_head'),
    'mmseg': ('decode_head', 'auxiliary_head'),
}


def set_num_classes(model: dict, scope: str, count: int) -> None:
    """Set ``num_classes`` in every head that predicts classes, in place.

    Args:
        model: config of a detector or segmentor; heads in ``roi_head`` and in lists are found.
        scope: 'mmdet' or 'mmseg'.
        count: classes without background.

    Raises:
        UserError: when the model has no such head.
    """
    heads = list(heads_of(model, HEADS[scope]))
    if not heads:
        raise UserError(
            f"the config's model {model.get('type')} has none of the heads whose num_classes can "
            f'be set: {", ".join(HEADS[scope])}'
        )
    for head in heads:
        head['num_classes'] = count
        if scope == 'mmseg' and 'out_channels' in head:
            head['out_channels'] = count


def heads_of(model: dict, names: tuple[str, ...]) -> Iterator[dict]:
    for part in (model, model.get('roi_head') or {}):
        for name in names:
            heads = part.get(name)
            if heads:
                yield from heads if isinstance(heads, (list, tuple)) else [heads]
