"""Whether what stands behind a backbone expects the channels that it gives."""

from torch import nn

from mmplugin.cli.errors import UserError


def check_widths(settings: dict, model: nn.Module) -> None:
    """Compare ``in_channels`` of the neck, or without one of the decode head, with the backbone.

    Nothing is said of backbones that have no ``out_channels``, and of parts that do not list their
    inputs.

    Args:
        settings: ``model`` of the config.
        model: built from them, or a wrapper of it.

    Raises:
        UserError: where they differ.
    """
    model = getattr(model, 'module', model)
    backbone = getattr(model, 'backbone', None)
    given = getattr(backbone, 'out_channels', None)
    key = 'neck' if settings.get('neck') else 'decode_head'
    part = settings.get(key)
    expected = part.get('in_channels') if isinstance(part, dict) else None
    if not isinstance(given, tuple) or not isinstance(expected, (list, tuple)):
        return
    if key == 'decode_head':
        given = [given[i] for i in part['in_index']]
    if list(expected) != list(given):
        raise UserError(
            f'model.{key}.in_channels is {list(expected)}, but {type(backbone).__name__} with '
            f'out_indices={backbone.out_indices} gives it maps of {list(given)} channels; set '
            f'model.{key}.in_channels={list(given)}'
        )
