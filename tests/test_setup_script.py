"""tools/setup.sh, run for real in small checkouts; interpreters and installers are stand-ins."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = shlex.quote(sys.executable)
# all that setup.sh calls, flock being optional
COMMANDS = (
    *('awk', 'bash', 'cat', 'cksum', 'df', 'dirname', 'env', 'find', 'flock', 'grep', 'head'),
    *('mkdir', 'rm', 'sed', 'sleep'),
)
# answers as a Python of another version would; anything else fails
OTHER_VERSION = 'case "$*" in *version_info*) echo {version} ;; *) exit 1 ;; esac'
# the running Python, with modules before its own
REAL = f'PYTHONPATH={{modules}} exec {PYTHON} "$@"'
DOCTOR = f'case "$*" in *doctor*) echo "ready: for anything" ;; *) exec {PYTHON} "$@" ;; esac'


class Checkout:
    """The files setup.sh reads, in a folder with a space, and a PATH without any Python."""

    def __init__(self, folder):
        self.root = folder / 'a checkout'
        self.bin = folder / 'bin'
        self.bin.mkdir()
        for name in COMMANDS:
            (self.bin / name).symlink_to(shutil.which(name))
        for name in ('requirements', 'tools'):
            shutil.copytree(ROOT / name, self.root / name)
        (self.root / 'mmplugin').mkdir()
        for name in ('setup.py', 'pyproject.toml', 'mmplugin/__init__.py'):
            shutil.copy(ROOT / name, self.root / name)
        self.venv = self.root / '.venv'

    def script(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # never write through a link to the real command
        path.write_text(f'#!{shutil.which("bash")}\n{text}\n')
        path.chmod(0o755)
        return path

    def stub(self, name, text):
        return self.script(self.bin / name, text)

    def finished(self, uv='echo "$@" >>"$0.calls"'):
        """Make .venv look as setup.sh leaves it; its uv writes down how it is called."""
        self.script(self.venv / 'bin' / 'python', DOCTOR)
        self.script(self.venv / 'bin' / 'uv', uv)
        (self.root / 'mmplugin' / '.mim' / 'configs').mkdir(parents=True)
        inputs = 'requirements/lock.txt setup.py pyproject.toml mmplugin/__init__.py tools/setup.sh'
        checksum = subprocess.run(
            f'cat {inputs} | cksum', shell=True, cwd=self.root, capture_output=True, text=True
        ).stdout
        self.state('ready', checksum)

    def state(self, word, checksum='-\n'):
        self.venv.mkdir(exist_ok=True)
        (self.venv / 'setup-state').write_text(f'{word}\n{self.root}\n{checksum}')

    def run(self, **environ):
        """Run setup.sh from another folder; return its exit code, output and error lines."""
        kept = {'HOME': os.environ.get('HOME', '/')}
        done = subprocess.run(
            [str(self.bin / 'bash'), str(self.root / 'tools' / 'setup.sh')],
            cwd=self.bin,
            env={**kept, 'PATH': str(self.bin), **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr.splitlines()


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.fixture
def python(checkout, tmp_path):
    """A function that puts the running Python on PATH with stand-ins for some of its modules."""

    def put(name='python3', **modules):
        folder = tmp_path / 'modules'
        folder.mkdir(exist_ok=True)
        for module, text in modules.items():
            (folder / f'{module}.py').write_text(text)
        return checkout.stub(name, REAL.format(modules=shlex.quote(str(folder))))

    return put


def error_of(result):
    """The one error line of a run that failed."""
    code, _, errors = result
    assert code == 1, result
    (line,) = errors
    assert line.startswith('setup.sh: error: ')
    return line


def test_no_python(checkout):
    assert 'no python3 found' in error_of(checkout.run())


@pytest.mark.parametrize('version', ['3.9', '3.14'])
def test_python_out_of_range_is_named_with_those_that_are_fine(checkout, version):
    checkout.stub('python3', OTHER_VERSION.format(version=version))
    line = error_of(checkout.run())
    assert f'python3 is Python {version}' in line
    assert '3.10, 3.11, 3.12, 3.13' in line


def test_another_python_is_looked_for(checkout, python):
    checkout.stub('python3', OTHER_VERSION.format(version='3.9'))
    python('python3.12')
    checkout.stub('df', 'echo; echo disk 9 9 1024 9% /')
    assert '1 MB free' in error_of(checkout.run())  # past the search


def test_python_asked_for_that_does_not_run(checkout, python):
    python()
    assert 'PYTHON=nonsense is no Python' in error_of(checkout.run(PYTHON='nonsense'))


def test_python_asked_for_is_not_replaced_by_another(checkout, python):
    python()
    old = checkout.stub('old', OTHER_VERSION.format(version='3.8'))
    for name in ('old', './old', str(old)):
        assert 'old is Python 3.8' in error_of(checkout.run(PYTHON=name))


MISSING = 'raise ImportError'


def test_python_without_ensurepip(checkout, python):
    python(ensurepip=MISSING, virtualenv=MISSING, pip=MISSING)
    line = error_of(checkout.run())
    assert f'apt install python3.{sys.version_info.minor}-venv' in line
    assert 'without root' in line


@pytest.mark.parametrize(
    ('modules', 'maker'),
    [
        ({}, 'venv'),
        ({'ensurepip': MISSING, 'virtualenv': ''}, 'virtualenv'),
        ({'ensurepip': MISSING, 'virtualenv': MISSING, 'pip': "__version__ = '23.0'"}, 'pip'),
        ({'ensurepip': MISSING, 'virtualenv': MISSING, 'pip': "__version__ = '22.0'"}, ''),
    ],
)
def test_ways_to_make_an_environment(checkout, python, modules, maker):
    path = python(**{'ensurepip': '', **modules})
    code = '. tools/find_python.sh; maker_of "$1"'
    done = subprocess.run(
        ['bash', '-c', code, '-', str(path)], cwd=checkout.root, capture_output=True, text=True
    )
    assert done.stdout.strip() == maker


def test_no_disk(checkout, python):
    python(ensurepip='')
    checkout.stub('df', 'echo Filesystem; echo disk 9000000 8000000 1000000 89% /')
    line = error_of(checkout.run())
    assert '976 MB free' in line
    assert '6144 MB' in line
    assert not (checkout.venv / 'bin').exists()


def test_no_network(checkout, python):
    python()
    checkout.stub('df', 'echo Filesystem; echo disk 9 9 99000000 0% /')
    result = checkout.run(PIP_INDEX_URL='http://127.0.0.1:9/simple', PIP_CONFIG_FILE=os.devnull)
    assert 'cannot reach the package index' in error_of(result)
    assert (checkout.venv / 'setup.log').read_text()
    assert (checkout.venv / 'setup-state').read_text().startswith('installing')


def test_an_environment_of_somebody_else_is_left_alone(checkout, python):
    python()
    theirs = checkout.script(checkout.venv / 'bin' / 'python', 'exit 1')
    assert 'made by something else' in error_of(checkout.run())
    assert theirs.exists()


def test_nothing_to_do(checkout):
    checkout.finished()
    code, out, errors = checkout.run()
    assert (code, errors) == (0, [])
    assert out == 'setup.sh: .venv is ready\n'
    assert not (checkout.venv / 'bin' / 'uv.calls').exists()


def test_changed_lock_updates_without_starting_afresh(checkout):
    checkout.finished()
    with (checkout.root / 'requirements' / 'lock.txt').open('a') as lock:
        lock.write('# more\n')
    code, out, errors = checkout.run()
    assert (code, errors) == (0, [])
    assert 'updating .venv' in out
    assert 'doctor: ready: for anything' in out
    packages, project = (checkout.venv / 'bin' / 'uv.calls').read_text().splitlines()
    assert '--no-deps' in packages and packages.endswith('requirements/lock.txt')
    assert '--no-deps' in project and project.endswith('--editable .')
    assert checkout.run()[1] == 'setup.sh: .venv is ready\n'


@pytest.mark.parametrize(
    ('words', 'cause'),
    [
        ('error: No space left on device (os error 28)', 'the disk is full'),
        ('error: client error (Connect): dns error', 'cannot reach the package index'),
        ('error: something new', 'installing the locked packages'),
    ],
)
def test_failed_installer_is_explained_and_not_taken_for_done(checkout, words, cause):
    checkout.finished(uv=f'echo "{words}"; exit 2')
    (checkout.root / 'setup.py').write_text('')
    line = error_of(checkout.run())
    assert cause in line
    assert str(checkout.venv / 'setup.log') in line
    assert words in (checkout.venv / 'setup.log').read_text()
    assert 'did not finish' in checkout.run()[1]


def test_doctor_that_objects_is_quoted(checkout):
    checkout.finished()
    checkout.script(
        checkout.venv / 'bin' / 'python',
        'case "$*" in *doctor*) echo "error torch is ill"; exit 1 ;; '
        f'*) exec {PYTHON} "$@" ;; esac',
    )
    (checkout.root / 'setup.py').write_text('')
    code, _, errors = checkout.run()
    assert code == 1
    assert errors[-1] == 'error torch is ill'


def test_interrupted_set_up_starts_afresh(checkout, python):
    checkout.finished()
    checkout.state('installing')
    python(ensurepip='', venv="if __name__ == '__main__': raise SystemExit('as far as this')")
    left = checkout.script(checkout.venv / 'bin' / 'half-installed', '')
    checkout.stub('df', 'echo; echo disk 9 9 99000000 0% /')
    result = checkout.run()
    assert 'did not finish' in result[1]
    assert 'making .venv' in error_of(result)
    assert not left.exists()


def test_moved_checkout_starts_afresh(checkout):
    checkout.finished()
    checkout.root = checkout.root.rename(checkout.root.with_name('moved'))
    assert 'no python3 found' in error_of(checkout.run())


def test_other_environments_are_shut_out(checkout):
    checkout.finished(uv='env >>"$0.env"')
    (checkout.root / 'setup.py').write_text('')
    names = ('PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV', 'CONDA_PREFIX', 'UV_PYTHON')
    outside = dict.fromkeys(names, '/elsewhere')
    assert checkout.run(**outside)[0] == 0
    assert '/elsewhere' not in (checkout.venv / 'bin' / 'uv.env').read_text()


def test_index_of_pip_is_handed_to_uv_and_that_of_uv_respected(checkout):
    checkout.finished(uv='env >>"$0.env"')
    settings = '":env:.index-url=\'file:///mine\'" "global.index-url=\'file:///other\'"'
    checkout.script(
        checkout.venv / 'bin' / 'python',
        f'case "$*" in *"config list") printf "%s\\n" {settings} ;; *doctor*) ;; '
        f'*) exec {PYTHON} "$@" ;; esac',
    )
    seen = checkout.venv / 'bin' / 'uv.env'
    (checkout.root / 'setup.py').write_text('')
    assert checkout.run()[0] == 0
    assert 'UV_DEFAULT_INDEX=file:///mine' in seen.read_text().splitlines()
    seen.unlink()
    (checkout.root / 'setup.py').write_text('changed')
    assert checkout.run(UV_DEFAULT_INDEX='file:///uvs')[0] == 0
    assert 'UV_DEFAULT_INDEX=file:///uvs' in seen.read_text().splitlines()
