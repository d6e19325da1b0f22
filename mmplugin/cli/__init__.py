"""What the command-line tools share: reading a config, checking it against the machine and the
data, and telling the user in one line what is wrong."""

from mmplugin.cli.errors import UserError, run

__all__ = ['UserError', 'run']
