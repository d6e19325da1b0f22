"""The checkpoint that a run can go on from."""

import zipfile
import zlib
from pathlib import Path


def is_whole(path: Path) -> bool:
    """Whether a checkpoint of mmengine was written to its end: its checksums are all right."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return False


def latest_whole(work_dir: str) -> tuple[str | None, list[str]]:
    """The checkpoint to go on from.

    That is the one the file ``last_checkpoint`` names or, where it is missing or not whole, the
    newest ``epoch_*.pth`` or ``iter_*.pth`` that is.

    Args:
        work_dir: folder of the run.

    Returns:
        Its path, None where there is none; and the paths passed over because they are not whole.
    """
    folder, named = Path(work_dir), None
    if (folder / 'last_checkpoint').is_file():
        named = (folder / 'last_checkpoint').read_text(encoding='utf-8').strip()
        if '://' in named:  # on other storage, which keeps no half-written files
            return named, []
    # a run with another out_dir has its checkpoints beside the one named
    folders = {folder, Path(named).parent} if named else {folder}
    found = [p for f in folders for kind in ('epoch', 'iter') for p in f.glob(f'{kind}_*.pth')]
    found.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    broken = []
    for path in [named] * bool(named) + [str(path) for path in found]:
        if path in broken:
            continue
        if is_whole(Path(path)):
            return path, broken
        broken.append(path)
    return None, broken
