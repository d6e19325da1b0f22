"""The doctor: findings, exit codes, and never a traceback."""

import sys

import pytest

from mmplugin import __version__
from mmplugin.compat import doctor, probes

from .environments import ROOT, run_python, site_packages


def doctor_in(*options, **environ):
    """Run the doctor in an interpreter of its own."""
    found = run_python(*options, '-m', 'mmplugin', 'doctor', **environ)
    assert 'Traceback' not in found.stdout + found.stderr
    return found


def package(folder, name, text='', version=None):
    """Write a package of one file, and metadata where a version is given."""
    (folder / name).mkdir(parents=True)
    (folder / name / '__init__.py').write_text(text)
    if version:
        distribution(folder, name, version)


def distribution(folder, name, version):
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir(parents=True)
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')


def test_this_environment_is_ready():
    lines = []
    code = doctor.report(lines.append)
    text = '\n'.join(lines)
    assert code == 0, text
    assert lines[-1].startswith('ready: training and testing can run (0 errors')
    for name in ('torch', 'torchvision', 'mmengine', 'mmdet', 'mmsegmentation', 'numpy'):
        assert f'ok     {name} ' in text
    assert 'torch and torchvision belong together (nms runs)' in text
    assert 'mmcv ops: ' in text
    assert text.count('mend active') + text.count('mend not needed') == len(probes.mends.MENDS)


def test_empty_environment_lists_what_to_install():
    found = doctor_in('-S')
    assert found.returncode == 1
    for name in ('torch', 'torchvision', 'numpy'):
        assert f'error  {name} is missing\n         mend: pip install {name}\n' in found.stdout
    assert 'error  mmcv is missing\n         mend: pip install mmcv-lite==2.1.0\n' in found.stdout
    assert 'neither mmdet nor mmseg: nothing to train' in found.stdout
    assert 'not looked at until that is mended: torch_starts, torch_pair' in found.stdout
    assert found.stdout.splitlines()[-1].startswith('not ready (')


def test_broken_torch_is_a_finding(tmp_path):
    package(tmp_path, 'torch', "raise OSError('libcudart.so.13: cannot open shared object file')")
    found = doctor_in(PYTHONPATH=str(tmp_path))
    assert found.returncode == 1
    assert 'error  torch cannot be imported: OSError: libcudart.so.13: cannot' in found.stdout
    assert 'mend: pip install --force-reinstall torch torchvision' in found.stdout
    assert found.stderr == ''


def test_torch_that_ends_python_is_a_finding(tmp_path):
    package(tmp_path, 'torch', 'import os\nos.abort()')
    found = doctor_in(PYTHONPATH=str(tmp_path))
    assert found.returncode == 1
    assert 'importing torch ends Python (exit code -6)' in found.stdout


def test_torchvision_of_another_build_is_a_finding(monkeypatch, tmp_path):
    package(
        tmp_path, 'torchvision', "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    for name in [name for name in sys.modules if name.partition('.')[0] == 'torchvision']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    (finding,) = probes.torch_pair()
    assert finding.level == probes.ERROR
    assert 'do not belong together: RuntimeError: operator torchvision::nms' in finding.text
    assert 'both from the same package index' in finding.mend


@pytest.mark.parametrize(
    ('distributions', 'level', 'text'),
    [
        ([], None, ''),
        (['onedl-mmdetection'], probes.ERROR, 'upstream and onedl packages are mixed'),
        (['mmcv'], probes.ERROR, 'mmcv mmcv-lite write over each other'),
        (['opencv-python', 'opencv-python-headless'], probes.NOTE, 'write over each other; one is'),
    ],
)
def test_packages_that_write_over_each_other(distributions, level, text, monkeypatch, tmp_path):
    for name in ('mmengine', 'mmcv-lite', 'mmdet', *distributions):
        distribution(tmp_path, name, '1.0')
    outside = [entry for entry in sys.path if entry != str(site_packages())]
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *outside])
    findings = list(probes.supported())
    assert [finding.level for finding in findings] == [level] * bool(level)
    assert not level or text in findings[0].text


def test_old_torch_is_a_finding(monkeypatch, tmp_path):
    distribution(tmp_path, 'torch', '1.13.1+cu117')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    assert 'torch 1.13.1+cu117 is too old' in [finding.text for finding in probes.supported()]


def test_one_framework_is_enough(monkeypatch):
    known = probes.find_spec
    monkeypatch.setattr(probes, 'find_spec', lambda name: (name != 'mmseg' and known(name)) or None)
    monkeypatch.setattr(probes, 'installed', lambda name: {} if name == 'mmseg' else {name: '1'})
    findings = [finding for finding in probes.versions() if finding.level != probes.OK]
    assert [(finding.level, finding.text) for finding in findings] == [
        (probes.NOTE, 'mmseg is missing: no segmentation')
    ]


def test_what_a_probe_raises_is_a_finding(monkeypatch):
    def broken_probe():
        yield probes.Finding(probes.OK, 'so far so good')
        raise SystemExit('a package ended the program\nfor its own reasons')

    monkeypatch.setattr(doctor, 'STAGES', ((broken_probe,), (probes.versions,)))
    lines = []
    assert doctor.report(lines.append) == 1
    assert lines[1] == 'error  broken probe: SystemExit: a package ended the program'
    assert lines[2] == 'note   not looked at until that is mended: versions'


def test_version_and_usage():
    assert run_python('-m', 'mmplugin', '--version').stdout == f'mmplugin {__version__}\n'
    for words in ([], ['compat'], ['compat', 'sideways']):
        wrong = run_python('-m', 'mmplugin', *words, cwd=ROOT)
        assert wrong.returncode == 2 and 'usage: python -m mmplugin' in wrong.stderr
