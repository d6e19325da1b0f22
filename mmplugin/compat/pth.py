"""Switch mmplugin on from interpreter start, for tools that import mmcv before their config.

Python runs the ``import`` lines of ``.pth`` files in its site-packages when it starts. Ours is
one line that imports mmplugin, which is light, and says nothing once mmplugin is gone.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

# Python takes these files in the order of their names; a lower-case letter comes after the
# "__editable__*.pth" that puts an editable mmplugin on the path.
FILE_NAME = 'mmplugin-compat.pth'
LINE = 'import sys; exec("try:\\n    import mmplugin\\nexcept ImportError:\\n    pass")\n'


def path() -> Path:
    """Where the line of this environment is or would be."""
    return Path(sysconfig.get_path('purelib')) / FILE_NAME


def is_installed() -> bool:
    """Whether the line is in place."""
    return path().is_file()


def install() -> Path:
    """Put the line in place, and see whether a new interpreter obeys it.

    Returns:
        The path of the file.

    Raises:
        PermissionError: site-packages cannot be written to.
        RuntimeError: a new interpreter does not import mmplugin; the line is taken away again.
    """
    file = path()
    _change(file, lambda: file.write_text(LINE))
    if not _takes_effect():
        file.unlink()
        raise RuntimeError(
            f'{file}: has no effect, because {sys.executable} finds mmplugin only from the '
            'current folder; install it first (pip install .)'
        )
    return file


def uninstall() -> bool:
    """Take the line away.

    Returns:
        Whether it was there.

    Raises:
        PermissionError: site-packages cannot be written to.
    """
    file = path()
    if not file.is_file():
        return False
    _change(file, file.unlink)
    return True


def _change(file: Path, action) -> None:
    try:
        action()
    except OSError as error:
        raise PermissionError(
            f'{file}: cannot be changed ({error.strerror}); use a virtual environment of your own, '
            'or the tools of mmplugin, which need no such file'
        ) from None


def _takes_effect() -> bool:
    code = "import sys; sys.exit('mmplugin' not in sys.modules)"
    found = subprocess.run([sys.executable, '-E', '-c', code], cwd=os.sep, check=False)
    return found.returncode == 0
