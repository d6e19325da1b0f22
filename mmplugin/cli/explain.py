"""From an exception of the frameworks to the one line that names its cause."""

import difflib
import errno
import inspect
import linecache
import re
import traceback
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from mmplugin.compat.probes import PINS

PACKAGE = Path(__file__).resolve().parents[1]


def explain(error: BaseException) -> str | None:
    """The cause in one line when it is one a user can mend, else None.

    Known causes: a missing package, name, file, permission or disk space; an empty data set; what
    a config says that a constructor refuses; an unreadable checkpoint; an image or setting that
    mmplugin refuses; a GPU out of memory.
    """
    lines = (rule(error) for rule in RULES)
    return next((line for line in lines if line is not None), None)


def install_hint(module: str) -> str:
    """How to get a module or distribution: the tested release where the project pins one."""
    of_distribution = (pin for pin in PINS.values() if pin.startswith(f'{module}=='))
    pin = PINS.get(module) or next(of_distribution, None)
    if pin:
        return f'install it with `pip install {pin}` (or `uv pip install`)'
    return f'install the package that provides {module}, or run bash tools/setup.sh'


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest known names, or nothing."""
    near = difflib.get_close_matches(wrong, list(known), n=3, cutoff=0.6)
    return f'; did you mean {" or ".join(map(repr, near))}?' if near else ''


def message_of(error: BaseException) -> str:
    """The exception's own words, without those that workers and registries put around them."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if text.startswith('Caught ') and 'Original Traceback' in text:
        text = text.strip().splitlines()[-1]  # a worker process sends its traceback as text
    # mmengine before 0.10.6 raises again with this prefix, once for each level of the config
    while match := re.match(r'class `\w+` in [\w./\\]+: (.*)', text, re.S):
        text = match[1]
    return text


def frames(error: BaseException, *functions: str) -> list[dict]:
    """Local variables of the calls to ``functions`` the exception came through, outermost first."""
    calls = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return [frame.f_locals for frame in calls if frame.f_code.co_name in functions]


def missing_package(error: BaseException) -> str | None:
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package = error.name.partition('.')[0]
    return f'the package {package} is not installed; {install_hint(package)}'


def unknown_type(error: BaseException) -> str | None:
    match = re.match(r'([\w.]+) is not in the (?:(\w+)::)?(.+?) registry', message_of(error))
    builds = [call for call in frames(error, 'build_from_cfg') if 'registry' in call]
    if isinstance(error, KeyError) and match is not None and builds:
        return not_registered(match[1], builds[-1]['registry'])
    # mmengine looks an optimizer's class up by itself, and trips over the None it gets
    for call in frames(error, '__call__'):
        if call.get('optimizer_cls', error) is None:
            return not_registered(call['self'].optimizer_cfg['type'], call['registry'])
    return None


def not_registered(name: str, registry) -> str:
    known = registered(registry)
    scope, _, bare = name.rpartition('.')
    elsewhere = sorted(full for full, plain in known.items() if plain == bare)
    hint = f'; did you mean {elsewhere[0]!r}?' if elsewhere else did_you_mean(name, known)
    if scope and find_spec(scope.partition('.')[0]) is None:
        return f"the config's type={name!r} needs {scope}; {install_hint(scope)}{hint}"
    hint = hint or (
        '; a class of another package takes that package as prefix, as in mmplugin.PoolFormer'
    )
    where = f'under the prefix {scope!r}' if scope else f'in {registry.scope}'
    return f'the config has type={name!r}, but there is no such {registry.name} {where}{hint}'


def registered(registry) -> dict[str, str]:
    """Every name the registry's family knows, with its scope as prefix, and the bare name."""
    while registry.parent is not None:
        registry = registry.parent
    names = {}
    for child in (registry, *registry.children.values()):
        child.import_from_location()
        for name in child.module_dict:
            names[name if child is registry else f'{child.scope}.{name}'] = name
    return names


def unknown_argument(error: BaseException) -> str | None:
    match = re.search(r"got an unexpected keyword argument '(\w+)'", message_of(error))
    builds = frames(error, 'build_from_cfg')
    if match is None or not builds or builds[-1].get('obj_cls') is None:
        return None
    kind, wrong = builds[-1]['obj_cls'], match[1]
    known = arguments_of(kind)
    return (
        f'the config has an unknown key {wrong!r} in dict(type={kind.__name__!r}, ...)'
        f'{did_you_mean(wrong, known) or ";"} its keys are {", ".join(known)}'
    )


def arguments_of(kind: type) -> list[str]:
    """Names a class takes, those it hands on to its bases included."""
    names = []
    for base in inspect.getmro(kind) if inspect.isclass(kind) else ():
        if '__init__' not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        names += [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in dict.fromkeys(names) if name != 'self']


def bad_file(error: BaseException) -> str | None:
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENOSPC:
        return f'no space left on the disk{f" for {error.filename}" if error.filename else ""}'
    if error.errno is None or error.filename is None:
        return message_of(error)
    return f'{error.filename}: {error.strerror}'


def empty_data_set(error: BaseException) -> str | None:
    serialized = frames(error, '_serialize_data')
    if not serialized or 'at least one array' not in message_of(error):
        return None
    data_set = serialized[-1]['self']
    where = getattr(data_set, 'ann_file', '') or data_set.data_prefix
    return (
        f'the {type(data_set).__name__} of {where} is empty: no picture is there or none is left '
        f'after filtering; check that metainfo.classes {data_set.metainfo.get("classes")} are '
        'names of its annotations, and filter_cfg'
    )


def refused_here(error: BaseException) -> str | None:
    """Faults that mmplugin raises by a ``raise`` statement are written for the user."""
    steps = traceback.extract_tb(error.__traceback__)
    if not steps or not Path(steps[-1].filename).is_relative_to(PACKAGE):
        return None
    if not linecache.getline(steps[-1].filename, steps[-1].lineno).lstrip().startswith('raise '):
        return None
    return message_of(error)


def refused_by_constructor(error: BaseException) -> str | None:
    builds = frames(error, 'build_from_cfg')
    kind = getattr(builds[-1].get('obj_cls'), '__name__', None) if builds else None
    if kind is None:
        return None
    reason = message_of(error)
    if not isinstance(error, ValueError):
        reason = f'{type(error).__name__}: {reason}'
    return f"the config's dict(type={kind!r}, ...) cannot be built: {reason}"


def out_of_memory(error: BaseException) -> str | None:
    if type(error).__name__ != 'OutOfMemoryError':
        return None
    return (
        'the GPU ran out of memory; lower train_dataloader.batch_size, or use --amp or '
        f'model.backbone.with_cp=True: {message_of(error).partition(". ")[0]}'
    )


RULES = (
    missing_package,
    unknown_type,
    unknown_argument,
    bad_file,
    empty_data_set,
    refused_here,
    refused_by_constructor,
    out_of_memory,
)
