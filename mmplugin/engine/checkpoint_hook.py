"""mmengine's CheckpointHook, in the order that leaves a whole checkpoint at every moment."""

from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook as StockHook

from mmplugin.files import PARTIAL, write_whole
from mmplugin.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(StockHook):
    """Saves as mmengine's hook does, with the same arguments, and deletes only afterwards.

    mmengine deletes what ``max_keep_ckpts`` and ``save_best`` make superfluous, then writes the
    new file, then writes ``last_checkpoint`` in place.
    """

    def before_train(self, runner) -> None:
        super().before_train(runner)
        if is_main_process() and isinstance(self.file_backend, LocalBackend):
            # what an earlier run was writing when it was killed
            for leftover in Path(self.out_dir).glob(f'*.pth{PARTIAL}'):
                leftover.unlink()

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        outdated = self._enter(runner, step)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            write_whole(Path(runner.work_dir, 'last_checkpoint'), str(self.last_ckpt))
            for path in outdated:
                self._remove(path)

    def _enter(self, runner, step: int) -> list[str]:
        """Note a step among those to keep, and return the paths that are too many with it."""
        if self.max_keep_ckpts <= 0 or list(self.keep_ckpt_ids)[-1:] == [step]:
            return []
        steps = [*self.keep_ckpt_ids, step]
        kept = steps[-self.max_keep_ckpts :]
        self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
        runner.message_hub.update_info('keep_ckpt_ids', kept)
        return [
            self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
            for old in steps[: len(steps) - len(kept)]
            if old not in kept
        ]

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        if not self.save_best:
            return
        # mmengine deletes the best so far if it knows its path, so that it is not told
        before = self._best()
        self._set_best(dict.fromkeys(before))
        super()._save_best_checkpoint(runner, metrics)
        after = self._best()
        self._set_best({key: after[key] or before.get(key) for key in after})
        for key, path in before.items():
            if path and after[key] and after[key] != path and is_main_process():
                self._remove(path)
                runner.logger.info(f'The previous best checkpoint {path} is removed')

    def _best(self) -> dict[str, str | None]:
        """Paths of the best checkpoints, by metric."""
        if len(self.key_indicators) == 1:
            return {'': self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    def _set_best(self, paths: dict[str, str | None]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['']
        else:
            self.best_ckpt_path_dict = paths

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)
