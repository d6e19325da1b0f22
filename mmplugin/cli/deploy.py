"""Testing the inference form of a backbone."""

from mmplugin.cli.compiling import network_of
from mmplugin.cli.errors import UserError


def deploy_once_loaded(runner) -> None:
    """Let a runner rewrite its backbone for inference when it has loaded the checkpoint.

    Args:
        runner: mmengine Runner for testing; its ``load_or_resume`` is replaced.

    Raises:
        UserError: for a backbone without ``deploy()``.
    """
    model = network_of(runner)
    name = type(model.backbone).__name__
    if not hasattr(model.backbone, 'deploy'):
        raise UserError(f'--deploy: {name} has no inference form; test it without --deploy')
    stock = runner.load_or_resume

    def load_or_resume():
        stock()
        model.backbone.eval().deploy()
        runner.logger.info(f'--deploy: testing the inference form of {name}')

    runner.load_or_resume = load_or_resume
