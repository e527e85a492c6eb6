"""What Keras's BackupAndRestore left where its process was killed."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import keras

from kagent.files.atomic_files import replacing

# The names are those of Keras; `tests/callbacks/test_backups.py` breaks where they change.
_WEIGHTS, _NUMBER = "latest.weights.h5", "training_metadata.json"


def mend_backups(callbacks: Any) -> None:
    """Has training go on from the weights of a `BackupAndRestore` whose `training_metadata.json` is damaged.

    Keras writes the weights, then the number of the epoch, and not beside first: a kill or a full disk in between leaves a file
    that is cut, which Keras reads before it trains. The epoch follows from the timesteps in the weights, so the file is deleted.

    Args:
        callbacks: As given to `fit`: one, several, a `CallbackList` or None.

    Raises:
        ValueError: There is a number of the epoch, and no weights that go with it.
    """
    for folder in _backup_folders(callbacks):
        _mend(folder)


def weights_of_backups(callbacks: Any) -> list[Path]:
    """The files that the `BackupAndRestore`s among these callbacks will write an agent's weights to.

    Args:
        callbacks: As given to `fit`.
    """
    return [folder / _WEIGHTS for folder in _backup_folders(callbacks) if "://" not in str(folder)]


def _backup_folders(callbacks: Any) -> list[Path]:
    given = getattr(callbacks, "callbacks", callbacks)
    listed = given if isinstance(given, list | tuple) else [given]
    return [Path(one.backup_dir) for one in listed if isinstance(one, keras.callbacks.BackupAndRestore)]


def _mend(folder: Path) -> None:
    _bring_back(folder)
    for suffix in ("", ".bkp"):
        weights, metadata = (folder / f"{name}{suffix}" for name in (_WEIGHTS, _NUMBER))
        if not metadata.is_file():
            continue
        if not _is_whole(metadata):
            metadata.unlink()
            if weights.is_file():
                warnings.warn(
                    f"{str(metadata)!r} is damaged, most likely because its process was killed or its disk full while it was written. "
                    f"Training goes on from {weights.name!r}, and the epoch follows from its timesteps",
                    stacklevel=5,  # the call of `fit`
                )
        elif not weights.is_file() and not suffix:
            raise ValueError(
                f"{str(metadata)!r} says which epoch to go on with, but {weights.name!r} is not there. Put the weights back, "
                "or delete the folder to begin anew"
            )


def _bring_back(folder: Path) -> None:
    # Of a double checkpoint Keras looks at the older files where the newest weights cannot be read, and not where they are gone.
    newest, older = folder / _WEIGHTS, folder / f"{_WEIGHTS}.bkp"
    if newest.is_file() or not older.is_file():
        return
    metadata, former = folder / _NUMBER, folder / f"{_NUMBER}.bkp"
    metadata.unlink(missing_ok=True)  # of the weights that are gone
    for source, target in ((older, newest), (former, metadata)):
        if source.is_file():
            with replacing(target) as beside:
                shutil.copyfile(source, beside)
    warnings.warn(
        f"{str(newest)!r} is gone: training goes on from the backup before, {older.name!r}", stacklevel=6
    )  # the call of `fit`


def _is_whole(path: Path) -> bool:
    try:
        epoch = json.loads(path.read_bytes())["epoch"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return isinstance(epoch, int) and not isinstance(epoch, bool) and epoch >= 0
