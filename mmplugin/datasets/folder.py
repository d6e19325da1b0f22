"""Whole-folder writing: a data set is either complete and intact, or not there."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

MANIFEST = 'mmplugin_dataset.json'
"""Written last: what the folder was made from, and the SHA-256 of each of its files."""


def write_folder(out: str | Path, spec: dict, fill: Callable[[Path], None]) -> bool:
    """Make ``out`` hold exactly what ``fill`` writes for ``spec``.

    The files are written next to ``out`` and moved into place in one rename, so an interrupted run
    leaves nothing at ``out``. An intact folder of the same ``spec`` is kept; one that was made
    here from another ``spec``, or has lost or changed files since, is replaced.

    Args:
        out: The folder. Its parents are made.
        spec: Everything the content depends on, plain JSON data.
        fill: Writes all files below the folder it is given.

    Returns:
        True when the folder was written, False when it was there already.

    Raises:
        FileExistsError: ``out`` exists and was not made by this function, or holds files that were
            added since. It is left untouched.
    """
    out = Path(out)
    if _in_the_way(out):
        if _is_intact(out, spec):
            return False
        _refuse_foreign_files(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f'.{out.name}.', suffix='.partial', dir=out.parent))
    try:
        made = scratch / 'new'
        made.mkdir()
        fill(made)
        manifest = {'spec': spec, 'sha256': _digests(made)}
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding='utf-8')
        if out.exists():
            os.replace(out, scratch / 'old')
        os.replace(made, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return True


def source_digest() -> str:
    """SHA-256 over the source files of this room, so that other code makes other data.

    Part of the ``spec`` of every generated set.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob('*.py')):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _in_the_way(out: Path) -> bool:
    if out.is_dir() and not out.is_symlink():
        return any(out.iterdir())
    return out.exists() or out.is_symlink()


def _read_manifest(out: Path) -> dict | None:
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding='utf-8'))
        return manifest if {'spec', 'sha256'} <= manifest.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _is_intact(out: Path, spec: dict) -> bool:
    manifest = _read_manifest(out)
    # through JSON, so that tuples compare equal to lists
    wanted = json.loads(json.dumps(spec))
    return (
        manifest is not None and manifest['spec'] == wanted and manifest['sha256'] == _digests(out)
    )


def _refuse_foreign_files(out: Path) -> None:
    manifest = _read_manifest(out)
    if manifest is None:
        raise FileExistsError(
            f'{out} exists and is not a data set made by mmplugin (no readable {MANIFEST}); '
            'nothing was changed. Choose another folder or remove this one.'
        )
    foreign = sorted(_files(out) - manifest['sha256'].keys())
    if foreign:
        raise FileExistsError(
            f'{out} holds {len(foreign)} file(s) mmplugin did not make, such as {foreign[0]!r}; '
            'nothing was changed. Move them away or choose another folder.'
        )


def _files(folder: Path) -> set[str]:
    found = (path for path in folder.rglob('*') if not path.is_dir() or path.is_symlink())
    return {path.relative_to(folder).as_posix() for path in found} - {MANIFEST}


def _digests(folder: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in sorted(_files(folder))
    }
