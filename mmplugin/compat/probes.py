"""What the doctor looks at: each probe yields findings about one thing."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import NamedTuple

from . import finder, mends, pth

OK, NOTE, ERROR = 'ok', 'note', 'error'

# the name shown, and the distributions that provide it: upstream's first, then the onedl forks'
PROVIDERS = {
    'torch': ('torch',),
    'torchvision': ('torchvision',),
    'mmengine': ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite', 'mmcv-full', 'onedl-mmcv'),
    'mmdet': ('mmdet', 'onedl-mmdetection'),
    'mmseg': ('mmsegmentation', 'onedl-mmsegmentation'),
    'timm': ('timm',),
    'numpy': ('numpy',),
    'cv2': (
        'opencv-python',
        'opencv-python-headless',
        'opencv-contrib-python',
        'opencv-contrib-python-headless',
    ),
    'pycocotools': ('pycocotools',),
    'setuptools': ('setuptools',),
}
PINS = {
    'mmengine': 'mmengine==0.10.7',
    'mmcv': 'mmcv-lite==2.1.0',
    'mmdet': 'mmdet==3.3.0',
    'mmseg': 'mmsegmentation==1.2.2 ftfy regex',
    'cv2': 'opencv-python-headless',
    'timm': 'timm',
    'pycocotools': 'pycocotools',
    'PIL': 'pillow',
}
TORCH_AGAIN = 'pip install --force-reinstall torch torchvision (both from the same package index)'
OLDEST_PYTHON = (3, 10)
OLDEST_TORCH = (2, 7)  # the one setup.py asks for


class Finding(NamedTuple):
    """One line of the doctor."""

    level: str
    """``ok``, ``note`` (worth knowing, nothing is broken) or ``error``."""
    text: str
    mend: str = ''
    """The command or step that mends it."""


def installed(name: str) -> dict[str, str]:
    """Distributions that provide the package ``name``, and their versions."""
    found = {}
    for distribution in PROVIDERS[name]:
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


def versions() -> Iterator[Finding]:
    """What is installed, by the metadata alone."""
    yield Finding(OK, f'python {sys.version.split()[0]} ({sys.executable})')
    for name in PROVIDERS:
        found = [f'{package} {version}' for package, version in installed(name).items()]
        if found:
            yield Finding(OK, ', '.join(found))
        elif find_spec(name):
            yield Finding(NOTE, f'{name}: there, but not installed as a package: version unknown')
        else:
            yield from _missing(name)
    if find_spec('mmdet') is None and find_spec('mmseg') is None:
        yield Finding(
            ERROR,
            'neither mmdet nor mmseg: nothing to train',
            f'pip install {PINS["mmdet"]} {PINS["mmseg"]}',
        )


def _missing(name: str) -> Iterator[Finding]:
    command = f'pip install {PINS.get(name, name)}'
    if name in ('mmdet', 'mmseg'):
        work = 'detection' if name == 'mmdet' else 'segmentation'
        yield Finding(NOTE, f'{name} is missing: no {work}', command)
    elif name == 'timm':
        yield Finding(NOTE, 'timm is missing: its backbones and weights cannot be used', command)
    elif name == 'pycocotools' and find_spec('mmdet') is None:
        return
    elif name == 'setuptools':
        yield Finding(NOTE, 'setuptools is missing', command)
    else:
        yield Finding(ERROR, f'{name} is missing', command)


def supported() -> Iterator[Finding]:
    """Versions too old, and packages that write over each other."""
    if sys.version_info < OLDEST_PYTHON:
        yield Finding(ERROR, 'this Python is too old', 'use Python 3.10 to 3.13')
    torch = installed('torch').get('torch', '')
    number = tuple(int(part) for part in torch.split('+')[0].split('.')[:2] if part.isdigit())
    if number and number < OLDEST_TORCH:
        yield Finding(ERROR, f'torch {torch} is too old', 'pip install "torch>=2.7" torchvision')
    families = {'upstream': [], 'onedl': []}
    for name in ('mmengine', 'mmcv', 'mmdet', 'mmseg'):
        for package in installed(name):
            families['onedl' if package.startswith('onedl-') else 'upstream'].append(package)
    if all(families.values()):
        both = f'{", ".join(families["upstream"])} and {", ".join(families["onedl"])}'
        yield Finding(
            ERROR,
            f'upstream and onedl packages are mixed, and write over each other: {both}',
            'pip uninstall all of them, then install one family',
        )
    elif len(installed('mmcv')) > 1:
        names = ' '.join(installed('mmcv'))
        yield Finding(
            ERROR,
            f'{names} write over each other',
            f'pip uninstall {names}, then install the one you want',
        )
    if len(installed('cv2')) > 1:
        names = ' and '.join(installed('cv2'))
        yield Finding(NOTE, f'{names} write over each other; one is enough')
    for name in ('ftfy', 'regex'):
        if find_spec('mmseg') and find_spec(name) is None:
            yield Finding(ERROR, f'{name} is missing; mmseg imports it', f'pip install {name}')


def torch_starts() -> Iterator[Finding]:
    """Whether importing torch ends Python, as a library for another processor does."""
    if 'torch' in sys.modules:
        return
    trial = subprocess.run([sys.executable, '-c', 'import torch'], capture_output=True, check=False)
    if trial.returncode not in (0, 1):  # 1 is an exception, which the next probe meets again
        last = trial.stderr.decode(errors='replace').strip().splitlines()[-1:]
        how = ': '.join([f'exit code {trial.returncode}', *last])
        yield Finding(ERROR, f'importing torch ends Python ({how})', TORCH_AGAIN)


def torch_pair() -> Iterator[Finding]:
    """Whether torch and torchvision belong together: nms is really called."""
    try:
        torch = import_module('torch')
    except Exception as error:
        yield Finding(ERROR, f'torch cannot be imported: {one_line(error)}', TORCH_AGAIN)
        return
    try:
        kept = import_module('torchvision').ops.nms(*two_boxes(torch))
    except Exception as error:
        what = f'torch and torchvision do not belong together: {one_line(error)}'
        yield Finding(ERROR, what, TORCH_AGAIN)
        return
    if kept.tolist() == [1]:
        yield Finding(OK, 'torch and torchvision belong together (nms runs)')
    else:
        yield Finding(ERROR, f'torchvision.ops.nms is wrong: it kept {kept.tolist()} of [1]')


def two_boxes(torch) -> tuple:
    """Arguments of nms that make it keep the second box alone."""
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
    return boxes, torch.tensor([0.5, 0.9]), 0.5


def gpu() -> Iterator[Finding]:
    """What torch can compute on."""
    cuda = import_module('torch').cuda
    if cuda.is_available():
        names = [cuda.get_device_name(i) for i in range(cuda.device_count())]
        yield Finding(OK, f'GPU: {", ".join(names)}')
    else:
        yield Finding(NOTE, 'no GPU that torch can use: everything runs on the CPU')


def image_reading() -> Iterator[Finding]:
    """Whether OpenCV can be loaded; it wants system libraries."""
    try:
        import_module('cv2')
    except Exception as error:
        yield Finding(
            ERROR,
            f'cv2 cannot be imported: {one_line(error)}',
            'pip uninstall opencv-python; pip install --force-reinstall opencv-python-headless',
        )


def operators() -> Iterator[Finding]:
    """Which flavour of mmcv serves the operators: nms is really called."""
    flavour = finder.flavour()
    _, kept = import_module('mmcv.ops').nms(*two_boxes(import_module('torch')))
    if kept.tolist() != [1]:
        yield Finding(ERROR, f'mmcv.ops.nms is wrong: it kept {kept.tolist()} of [1]')
    elif flavour == 'compiled':
        yield Finding(OK, 'mmcv ops: compiled')
    else:
        yield Finding(NOTE, 'mmcv ops: served by mmplugin without a compiler (torchvision-backed)')


def frameworks() -> Iterator[Finding]:
    """Whether everything mmdet and mmseg register can be imported, and mmengine can start."""
    for name in ('mmdet', 'mmseg'):
        if find_spec(name) is None:
            continue
        try:
            import_module(f'{name}.utils').register_all_modules(init_default_scope=False)
        except Exception as error:
            yield Finding(
                ERROR,
                f'{name} cannot be imported: {one_line(error)}',
                f'pip install --force-reinstall --no-deps {PINS["mmcv"]} {PINS[name].split()[0]}',
            )
        else:
            yield Finding(OK, f'{name} can be imported, with all it registers')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            import_module('distutils.errors')
    except ImportError:
        yield Finding(
            ERROR,
            'distutils is missing; mmengine imports it when it starts a run',
            'pip install "setuptools<82"',
        )


def mended() -> Iterator[Finding]:
    """Whether the mends of mmengine are in place."""
    for module, purpose, _mend in mends.MENDS:
        import_module(module)
        state = {True: 'active', False: 'not needed'}.get(mends.applied.get(module))
        if state:
            yield Finding(OK, f'mend {state}: {purpose} ({module})')
        else:
            yield Finding(ERROR, f'mend not active: {purpose} ({module})')


def start_line() -> Iterator[Finding]:
    """Whether stock tools get all this from interpreter start."""
    if pth.is_installed():
        yield Finding(OK, f'stock tools of mmdet and mmseg: prepared ({pth.path()})')
    else:
        yield Finding(
            NOTE,
            'stock tools of mmdet and mmseg: not prepared (the tools of mmplugin need nothing)',
            'python -m mmplugin compat install',
        )


def one_line(error: BaseException) -> str:
    """Type and first line of an error."""
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0]}' if lines else type(error).__name__
