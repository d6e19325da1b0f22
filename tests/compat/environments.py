"""Throw-away virtual environments that see the packages of the running one."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Environment:
    """A virtual environment of its own, without a copy of any package.

    Args:
        folder: where to make it.
        packages: folders put on its path by a ``.pth`` file.
    """

    def __init__(self, folder: Path, packages: list[Path]):
        subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(folder)], check=True)
        self.python = folder / 'bin' / 'python'
        (self.site,) = folder.glob('lib/python*/site-packages')
        # how setuptools brings distutils to Python 3.12; mmengine's collect_env imports it
        hook = site_packages() / 'distutils-precedence.pth'
        has_hook = site_packages() in packages and hook.is_file()
        lines = [*map(str, packages), *([hook.read_text()] if has_hook else [])]
        (self.site / 'a-packages.pth').write_text('\n'.join(lines))

    def run(self, *args, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess:
        """Run its Python on ``args``, away from the checkout unless ``cwd`` says otherwise."""
        return run_python(*args, python=self.python, cwd=cwd or self.site, **environ)


def run_python(
    *args, python: str | Path = sys.executable, cwd: Path | None = None, **environ: str
) -> subprocess.CompletedProcess:
    """Run a fresh interpreter and return what it wrote, whatever its exit code."""
    kept = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    return subprocess.run(
        [str(python), *map(str, args)],
        cwd=cwd or ROOT,
        env={**kept, 'OMP_NUM_THREADS': '1', **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def site_packages() -> Path:
    """Where the running environment keeps its packages."""
    return Path(sysconfig.get_path('purelib'))
