"""Fitting a config to the machine: no GPU, several processes, mixed precision."""

import os
from datetime import timedelta

from mmplugin.cli.errors import UserError

SYNC_NORMS = ('SyncBN', 'MMSyncBN')


def fit_to_machine(cfg) -> list[str]:
    """Change what cannot run here, and join the process group where mmengine cannot.

    Without an accelerator SyncBN becomes BN, and processes talk over gloo instead of nccl.

    Args:
        cfg: mmengine Config with ``launcher``; changed in place.

    Returns:
        What was changed, one line each, for the log.

    Raises:
        UserError: for a launcher that cannot work on this machine.
    """
    from mmengine.device import get_device

    distributed = cfg.launcher != 'none'
    if distributed:
        check_launcher(cfg.launcher)
    if get_device() != 'cpu':
        return []
    notes = []
    count = replace_sync_norms(cfg.model)
    if cfg.pop('sync_bn', None) or count:
        notes.append('no accelerator: SyncBN becomes BN, with the statistics of each process alone')
    if distributed:
        join_gloo(cfg)
        notes.append('no accelerator: the processes talk over gloo')
    return notes


def check_launcher(launcher: str) -> None:
    """Refuse a launcher whose surroundings are not there.

    Raises:
        UserError: ``pytorch`` outside torchrun, more processes than GPUs, or a launcher that
            mmengine supports on GPUs only.
    """
    import torch

    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise UserError(
            '--launcher pytorch needs torchrun around it: '
            'torchrun --nproc_per_node N tools/train.py CONFIG --launcher pytorch'
        )
    gpus = torch.cuda.device_count()
    if launcher == 'pytorch' and 0 < gpus < int(os.environ.get('LOCAL_WORLD_SIZE', 1)):
        raise UserError(
            f'torchrun started {os.environ["LOCAL_WORLD_SIZE"]} processes on {gpus} GPU(s); '
            f'lower --nproc_per_node to {gpus}, or hide the GPUs with CUDA_VISIBLE_DEVICES=-1'
        )
    if launcher in ('slurm', 'mpi') and gpus == 0:
        raise UserError(
            f'--launcher {launcher} needs GPUs; without them use torchrun and --launcher pytorch'
        )


def replace_sync_norms(node) -> int:
    """Turn every SyncBN of a config tree into BN, in place; return how many there were."""
    if isinstance(node, (list, tuple)):
        return sum(replace_sync_norms(item) for item in node)
    if not isinstance(node, dict):
        return 0
    count = sum(replace_sync_norms(value) for value in node.values())
    kind = node.get('type')
    if isinstance(kind, str) and kind.rpartition('.')[2] in SYNC_NORMS:
        node['type'] = 'BN'
        count += 1
    return count


def join_gloo(cfg) -> None:
    """Start the process group here: mmengine's own start insists on a CUDA device."""
    import torch.distributed as dist

    env_cfg = cfg.setdefault('env_cfg', {})
    dist_cfg = env_cfg.setdefault('dist_cfg', {})
    dist_cfg['backend'] = 'gloo'
    dist.init_process_group('gloo', timeout=timedelta(seconds=dist_cfg.get('timeout', 1800)))
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)


def leave_group() -> None:
    """Leave the process group, if there is one."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def fit_precision(cfg, amp: bool) -> None:
    """Switch mixed precision on when asked, and refuse it where mmengine cannot do it.

    Args:
        cfg: mmengine Config with ``optim_wrapper``; changed in place.
        amp: whether the command line asks for it.

    Raises:
        UserError: without an accelerator, or for an optimizer wrapper other than the plain one.
    """
    wrapper = cfg.setdefault('optim_wrapper', {})
    kind = wrapper.setdefault('type', 'OptimWrapper')
    if not amp and kind != 'AmpOptimWrapper':
        return
    if not can_amp():
        how = 'leave --amp out' if amp else 'set optim_wrapper.type to OptimWrapper in the config'
        raise UserError(
            'mixed precision (AmpOptimWrapper of mmengine) needs a CUDA GPU or another '
            f'accelerator, and PyTorch sees none here; {how}. A CPU takes '
            'optim_wrapper.type=mmplugin.Bf16OptimWrapper'
        )
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(
            f'--amp works with optim_wrapper.type=OptimWrapper, but the config has {kind!r}'
        )
    if kind == 'OptimWrapper':
        wrapper['type'] = 'AmpOptimWrapper'
        wrapper['loss_scale'] = 'dynamic'


def can_amp() -> bool:
    """Whether mmengine's AmpOptimWrapper accepts this machine."""
    from mmengine.device import (
        is_cuda_available,
        is_mlu_available,
        is_musa_available,
        is_npu_available,
    )

    checks = (is_cuda_available, is_mlu_available, is_musa_available, is_npu_available)
    return any(check() for check in checks)
