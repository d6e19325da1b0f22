"""What a checkpoint must hold, beside mmengine's own, for a run to go on as if never stopped."""

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mmplugin.engine.loader import sampler_of
from mmplugin.engine.random_state import capture, restore
from mmplugin.registry import HOOKS

KEY = 'mmplugin_resume'
"""Where a checkpoint holds it: ``random_states`` (one a rank), ``seed``, ``sampler_seed``."""


@HOOKS.register_module()
class ResumeHook(Hook):
    """Random states into the checkpoint and back; the loader to where the run had stopped.

    Validation is kept from using up random numbers, since a resumed run may skip one. It belongs
    to ``ResumableRunner``, which registers it.
    """

    priority = 'LOWEST'  # other hooks draw before it restores

    def __init__(self) -> None:
        self._gathered: list | None = None
        self._kept: dict | None = None  # the state before the validation that is under way
        self._loaded: dict | None = None
        self._resumed = False

    def gather(self) -> None:
        """Collect the random states of all ranks; each has to call it, before rank 0 saves."""
        self._gathered = all_gather_object(self._kept or capture())

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        loader = runner.train_dataloader
        checkpoint[KEY] = {
            'random_states': self._gathered,
            'seed': loader.seed,
            'sampler_seed': getattr(sampler_of(loader), 'seed', None),
        }

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        self._loaded = checkpoint.get(KEY)

    def replay(self, runner) -> None:
        """Bring the loader to where the checkpoint was made; the runner has just resumed."""
        self._resumed = True
        loader, loop = runner.train_dataloader, runner.train_loop
        if self._loaded is None:
            runner.logger.warning(
                'the checkpoint holds no random states, as one of mmengine alone: data order and '
                'augmentation go on from the seed, random numbers of the model begin anew'
            )
        else:
            loader.seed = self._loaded['seed']
            if self._loaded['sampler_seed'] is not None and sampler_of(loader) is not None:
                sampler_of(loader).seed = self._loaded['sampler_seed']
        if isinstance(loop, IterBasedTrainLoop):
            loader.go_to(0, loop.iter, hand_over=True)
        elif isinstance(loop, EpochBasedTrainLoop):
            skip = loop.iter - loop.epoch * len(loader)
            if not 0 <= skip <= len(loader):
                runner.logger.warning(
                    f'the checkpoint was made at iteration {loop.iter} of epoch {loop.epoch}, '
                    f'which has {len(loader)} batches here: other data or batch size, so the '
                    'data order is not that of a run without interruption'
                )
                skip = 0
            loader.go_to(loop.iter - skip, skip, hand_over=False)
        else:
            runner.logger.warning(
                f'{type(loop).__name__} is no loop of mmengine: its data order begins anew'
            )

    def before_train(self, runner) -> None:
        if not self._resumed or self._loaded is None:
            return
        states = self._loaded['random_states']
        if len(states) == get_world_size():
            restore(states[get_rank()])
        else:
            runner.logger.warning(
                f'the checkpoint is of {len(states)} processes, and these are {get_world_size()}: '
                'random numbers of the model begin anew'
            )

    def before_val(self, runner) -> None:
        self._kept = capture()

    def after_val(self, runner) -> None:
        restore(self._kept)
        self._kept = None
