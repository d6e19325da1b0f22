"""Building the runner of a config."""

from mmplugin.cli.checkpoint import guard_loading


def build_runner(cfg, notes: list[str], exact: bool):
    """Build the runner, log what was changed for it, and guard its checkpoint loading.

    Args:
        cfg: mmengine Config; ``runner_type`` picks another class than Runner.
        notes: lines for the log.
        exact: whether a loaded checkpoint must be the model's own to the last tensor.
    """
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    for note in notes:
        runner.logger.warning(note)
    guard_loading(runner, exact)
    return runner
