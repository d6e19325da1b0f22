"""A training checkpoint made fit to be given away."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmplugin.files import draft_of, move_into_place
from mmplugin.weights.scheme import load_any
from mmplugin.weights.sources import locate
from mmplugin.weights.unwrapping import holds_weights
from mmplugin.weights.writing import check_target, sha256_of

# of meta, what a run wrote for itself: messages of its hooks hold paths of the machine
PRIVATE = ('hook_msgs',)


def publish(checkpoint: str, out: str | Path, force: bool = False) -> Path:
    """Strip a checkpoint of all but weights and metadata, and put its hash into its name.

    Optimizer, schedules, message hub, random state and messages of hooks go; ``state_dict`` and the
    rest of ``meta`` (config, classes, versions, epoch) stay.

    Args:
        checkpoint: path, URL or name of an MM checkpoint.
        out: ``.pth`` file; the first eight digits of its SHA-256 are put before the suffix, as
            OpenMMLab does.
        force: overwrite. Default False.

    Returns:
        The file written, e.g. ``retinanet-0a1b2c3d.pth``.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: it is no MM checkpoint (``convert`` takes bare weights), its ``meta`` holds
            objects that readers refuse, or ``out`` does not end in ``.pth`` or is there.
    """
    out = Path(out)
    if out.suffix != '.pth':
        raise ValueError(f'{out}: name a file that ends in .pth')
    check_target(out, force=True)
    content = load_any(str(locate(checkpoint)))
    if not isinstance(content, Mapping) or not holds_weights(content.get('state_dict')):
        raise ValueError(
            f'{checkpoint}: is no checkpoint of an MM framework (it has no state_dict); for other '
            'files there is convert'
        )
    published: dict[str, Any] = {'state_dict': content['state_dict']}
    if isinstance(meta := content.get('meta'), Mapping):
        published['meta'] = {key: value for key, value in meta.items() if key not in PRIVATE}
    # a temporary name first: the final one is known when the bytes are
    with draft_of(out) as draft:
        torch.save(published, draft)
        check_readable(draft, checkpoint)
        final = out.with_name(f'{out.stem}-{sha256_of(draft)[:8]}.pth')
        check_target(final, force)
        move_into_place(draft, final)
    return final


def check_readable(file: Path, source: str) -> None:
    """Refuse to publish what nobody can read who has not allowed the classes allowed here.

    Raises:
        ValueError: such classes are left in the file.
    """
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        load_any(str(file))
    except ValueError as error:
        what = str(error).removeprefix(f'{file}: ').partition(';')[0]
        raise ValueError(
            f'{source}: what would be published is {what}; take it out of the meta first'
        ) from None
    finally:
        torch.serialization.add_safe_globals(allowed)
