"""How the stand-in for ``mmcv._ext`` is found, what it answers, and when it steps back."""

import ast
import importlib
import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from mmplugin.compat import finder

_ROOT = Path(__file__).parents[2]


def _python(code: str, *folders: Path) -> subprocess.CompletedProcess:
    """Run code in a fresh interpreter with folders, then the repository, first on the path."""
    path = os.pathsep.join([*map(str, folders), str(_ROOT)])
    return subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        env={**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=120,
    )


def _asserted_names() -> set[str]:
    """Every name that a file of mmcv.ops demands from its binary module."""
    import mmcv

    names = set()
    for file in (Path(mmcv.__file__).parent / 'ops').glob('*.py'):
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'load_ext':
                names.update(ast.literal_eval(node.args[1]))
    return names


def test_mmcv_ops_imports_with_every_name_it_asserts():
    import mmcv
    import mmcv.ops

    names = _asserted_names()
    assert mmcv.__version__ != '2.1.0' or len(names) == 112
    ext = importlib.import_module('mmcv._ext')
    assert all(callable(getattr(ext, name)) for name in names)


def test_spec_is_real():
    spec = importlib.util.find_spec('mmcv._ext')
    module = importlib.import_module('mmcv._ext')
    assert module.__spec__.name == spec.name == 'mmcv._ext'
    assert module.__spec__.loader is not None
    assert 'mmplugin' in module.__spec__.origin


def test_finder_answers_nothing_else():
    for name in ('mmcv', 'mmcv.ops', 'mmcv._extra', '_ext', 'mmplugin'):
        assert finder.MmcvExtFinder().find_spec(name) is None


def test_install_is_idempotent_and_appends():
    finder.install()
    finder.install()
    ours = [i for i, f in enumerate(sys.meta_path) if isinstance(f, finder.MmcvExtFinder)]
    paths = [i for i, f in enumerate(sys.meta_path) if f is importlib.machinery.PathFinder]
    assert len(ours) == 1
    assert ours[0] > paths[0]


def test_op_without_pytorch_form_names_itself_and_the_cure():
    ext = importlib.import_module('mmcv._ext')
    with pytest.raises(NotImplementedError, match=r"'carafe_forward'.*compiled mmcv.*config"):
        ext.carafe_forward(1, kernel=2)
    with pytest.raises(AttributeError, match='__wrapped__'):
        _ = ext.__wrapped__


def test_mmcv_reports_that_nothing_was_compiled():
    from mmcv.ops import get_compiler_version, get_compiling_cuda_version

    assert get_compiler_version().startswith('not compiled')
    assert get_compiling_cuda_version().startswith('not compiled')


def test_flavour_of_this_environment():
    assert finder.flavour() == 'no-compile'


def test_flavours_without_importing_mmcv(tmp_path):
    done = _python(
        """
        import sys
        from mmplugin.compat import finder
        sys.meta_path = [f for f in sys.meta_path if not isinstance(f, finder.MmcvExtFinder)]
        print(finder.flavour())
        finder.install()
        print(finder.flavour())
        kept, sys.path[:] = list(sys.path), []
        print(finder.flavour())
        sys.path[:] = kept
        assert 'mmcv' not in sys.modules and 'torch' not in sys.modules
        """
    )
    assert done.stdout.split() == ['no-ops', 'no-compile', 'missing'], done.stderr


def test_a_compiled_module_wins(tmp_path):
    names = sorted(_asserted_names())
    body = ''.join(f'def {name}(*args, **kwargs): return {name!r}\n' for name in names)
    (tmp_path / '_ext.py').write_text(body, encoding='utf-8')
    done = _python(
        f"""
        import importlib.util
        import sys
        import mmplugin
        from mmplugin.compat import finder
        finder.install()
        # the package without its __init__, which would load torch and opencv
        spec = importlib.util.find_spec('mmcv')
        mmcv = sys.modules['mmcv'] = importlib.util.module_from_spec(spec)
        mmcv.__path__.append({str(tmp_path)!r})
        print(finder.flavour())
        import mmcv._ext
        print(finder.flavour(), mmcv._ext.nms(), mmcv._ext.__file__)
        """
    )
    before, after, answer, file = done.stdout.split(maxsplit=3)
    assert (before, after, answer) == ('compiled', 'compiled', 'nms'), done.stderr
    assert Path(file.strip()).parent == tmp_path


def test_broken_torchvision_gives_one_clear_runtime_error(tmp_path):
    fake = tmp_path / 'torchvision'
    fake.mkdir()
    line = "raise RuntimeError('operator torchvision::nms does not exist')\n"
    (fake / '__init__.py').write_text(line, encoding='utf-8')
    done = _python(
        """
        from mmplugin.compat import finder
        finder.install()
        import mmcv._ext
        """,
        tmp_path,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith('RuntimeError: torch ')
    assert 'operator torchvision::nms does not exist' in last
    release, minor = torch.__version__.split('+')[0], int(torch.__version__.split('.')[1])
    assert f'torch {release}' in last
    assert f'"torch=={release}" "torchvision==0.{minor + 15}.*"' in last


def test_importing_the_finder_loads_no_torch():
    done = _python(
        """
        import sys
        from mmplugin.compat import finder
        finder.install()
        print([m for m in ('torch', 'numpy', 'mmcv', 'importlib.abc') if m in sys.modules])
        """
    )
    assert done.stdout.strip() in ('[]', "['importlib.abc']"), done.stderr
    source = Path(finder.__file__).read_text(encoding='utf-8')
    assert 'importlib.abc' not in source


def test_mmcv_full_available_and_paramwise_optimizer():
    from mmcv.ops import DeformConv2dPack
    from mmengine.optim import build_optim_wrapper
    from mmengine.utils.dl_utils import mmcv_full_available

    assert mmcv_full_available()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), DeformConv2dPack(4, 4, 3))
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
            paramwise_cfg=dict(norm_decay_mult=0.0, dcn_offset_lr_mult=0.1),
        ),
    )
    of = {id(g['params'][0]): g for g in wrapper.optimizer.param_groups}
    assert of[id(model[1].weight)]['weight_decay'] == 0
    assert of[id(model[2].conv_offset.weight)]['lr'] == pytest.approx(1e-4)
    assert of[id(model[2].weight)]['lr'] == pytest.approx(1e-3)


def test_sync_batchnorm_converts_and_reverts_on_cpu():
    from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    weight = model[1].weight
    reverted = revert_sync_batchnorm(convert_sync_batchnorm(model))
    assert isinstance(reverted[1], nn.modules.batchnorm._BatchNorm)
    assert not isinstance(reverted[1], nn.SyncBatchNorm)
    assert reverted[1].weight is weight
    assert reverted(torch.rand(2, 3, 8, 8)).shape == (2, 4, 6, 6)
