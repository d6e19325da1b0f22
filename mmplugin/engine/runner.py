"""mmengine's Runner, whose training can be killed at any moment and goes on as if it had not."""

from collections.abc import Callable
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook as StockCheckpointHook
from mmengine.hooks import Hook
from mmengine.registry import HOOKS as ALL_HOOKS
from mmengine.runner import BaseLoop, Runner

from mmplugin.engine.latest import latest_whole
from mmplugin.engine.loader import ReplayableLoader, replayable
from mmplugin.engine.resume_hook import ResumeHook
from mmplugin.files import PARTIAL, move_into_place
from mmplugin.registry import RUNNERS


@RUNNERS.register_module()
class ResumableRunner(Runner):
    """Runner for ``runner_type='mmplugin.ResumableRunner'``; its arguments are those of Runner.

    - A checkpoint is written under another name, flushed to the disk and renamed; older ones are
      deleted only then. It holds the random states of all processes.
    - Each training sample has random numbers of its own, of seed, rank, step and place in the
      batch, so that augmentation does not depend on workers or on interruptions.
    - Resuming passes over the data already used without reading it.

    A resumed run then has the data order and losses of one never stopped, to the bit where the
    operations themselves are deterministic. Not kept: gradients accumulated so far
    (``accumulative_counts``), and random numbers from generators of a transform's own
    (albumentations).

    Raises:
        ValueError: for a training data loader that cannot be replayed (``IterableDataset``).
    """

    def register_default_hooks(self, hooks: dict[str, Hook | dict] | None = None) -> None:
        """As mmengine's, with our CheckpointHook for its own, and ResumeHook."""
        hooks = dict(hooks or {})
        checkpoint = hooks.get('checkpoint', dict(type='CheckpointHook', interval=1))
        if isinstance(checkpoint, dict):
            kind = checkpoint['type']
            kind = ALL_HOOKS.get(kind) if isinstance(kind, str) else kind
            if kind is StockCheckpointHook:
                hooks['checkpoint'] = dict(checkpoint, type='mmplugin.CheckpointHook')
        super().register_default_hooks(hooks)
        self._resume_hook = ResumeHook()
        self.register_hook(self._resume_hook)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """As mmengine's, on a loader that can be replayed."""
        settings = loader = self._train_dataloader
        if isinstance(loader, dict):
            loader = self.build_dataloader(
                settings,
                seed=self.seed,
                diff_rank_seed=self._randomness_cfg.get('diff_rank_seed', False),
            )
        if not isinstance(loader, ReplayableLoader):
            replayable(loader, self.seed)
        self._train_dataloader = loader
        try:
            return super().build_train_loop(loop)
        finally:
            self._train_dataloader = settings  # mmengine reads the batch size there

    def load_or_resume(self) -> None:
        """As mmengine's; the latest checkpoint is the latest that is whole."""
        if self._resume and self._load_from is None and not self._has_loaded:
            self._load_from, broken = latest_whole(self.work_dir)
            for path in broken:
                self.logger.warning(f'{path} is missing or not whole, and is passed over')
            # without one the run begins
            self._resume = self._load_from is not None
        super().load_or_resume()

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = 'default',
    ) -> None:
        """As mmengine's, and the loader goes where the checkpoint was made."""
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
        self._resume_hook.replay(self)

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """As mmengine's; on a local disk the file gets its name when it is whole.

        Every process has to call it.
        """
        self._resume_hook.gather()
        is_local = file_client_args is None and isinstance(
            get_file_backend(out_dir, backend_args=backend_args), LocalBackend
        )
        super().save_checkpoint(
            out_dir,
            filename + PARTIAL if is_local else filename,
            file_client_args,
            save_optimizer,
            save_param_scheduler,
            meta,
            by_epoch,
            backend_args,
        )
        if is_local and is_main_process():
            move_into_place(Path(out_dir, filename + PARTIAL), Path(out_dir, filename))
