"""Metadata of the package, and the part of it that setuptools has no word for.

A wheel carries the configs and tools in ``mmplugin/.mim/``, where MM packages keep them: that is
the folder ``_base_ = 'mmplugin::...'`` and ``mmengine.hub.get_config`` look in.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
CARRIED = ('configs', 'tools', 'model-index.yml')
MIM = Path('mmplugin', '.mim')


def carried_files():
    """Yield the path, relative to the root, of every file that goes into ``.mim``.

    The shell scripts stay out: they work on a checkout.
    """
    for name in CARRIED:
        source = ROOT / name
        files = sorted(source.rglob('*')) if source.is_dir() else [source]
        for path in files:
            if path.is_file() and path.suffix not in ('.sh', '.pyc'):
                yield path.relative_to(ROOT)


def read_version():
    """Read ``__version__`` from the source: importing mmplugin would activate its mends."""
    text = (ROOT / 'mmplugin' / '__init__.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE).group(1)


class build_py_with_mim(build_py):
    """Copies the carried files for a wheel; links to them for an editable install."""

    def run(self):
        super().run()
        if self.editable_mode:
            self._link(ROOT / MIM)
        else:
            self._copy(Path(self.build_lib) / MIM)

    @staticmethod
    def _link(mim):
        mim.mkdir(exist_ok=True)
        for name in CARRIED:
            link = mim / name
            if link.is_symlink():
                link.unlink()
            link.symlink_to(Path('..', '..', name))

    @staticmethod
    def _copy(mim):
        # what an earlier build left there may be gone from the source
        shutil.rmtree(mim, ignore_errors=True)
        for path in carried_files():
            (mim / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, mim / path)

    def get_output_mapping(self):
        mapping = super().get_output_mapping()
        for path in carried_files():
            mapping[str(Path(self.build_lib) / MIM / path)] = str(path)
        return mapping

    def get_outputs(self, include_bytecode=True):
        outputs = super().get_outputs(include_bytecode)
        if self.editable_mode:  # there they are made from the mapping
            return outputs
        return outputs + [str(Path(self.build_lib) / MIM / path) for path in carried_files()]


setup(
    name='mmplugin',
    version=read_version(),
    description='PoolFormer and other MetaFormer backbones for MMDetection 3.x and '
    'MMSegmentation 1.x, without a compiler',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='computer vision, object detection, semantic segmentation, PoolFormer, MetaFormer',
    classifiers=[
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
    ],
    packages=find_packages(include=['mmplugin', 'mmplugin.*']),
    cmdclass={'build_py': build_py_with_mim},
    python_requires='>=3.10',
    # No mmcv, mmcv-lite, mmengine, mmdet or mmsegmentation here: pip would write them over a
    # compiled mmcv or over a fork, which own the same directories. They are the extra 'mm'.
    install_requires=[
        'torch>=2.7',
        'torchvision>=0.22',
        'numpy>=1.26',
    ],
    extras_require={
        'mm': [
            'mmengine==0.10.7',
            'mmcv-lite==2.1.0',
            'mmdet==3.3.0',
            'mmsegmentation==1.2.2',
            # mmsegmentation imports these two and does not declare them
            'ftfy',
            'regex',
        ],
        'weights': ['timm>=1.0', 'safetensors', 'huggingface_hub'],
        'test': ['pytest', 'pytest-xdist', 'ruff', 'timm>=1.0', 'safetensors'],
    },
)
