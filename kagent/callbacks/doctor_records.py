"""The doctor's records beside the checkpoints of a run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path

from kagent.callbacks.checkpoint_files import SUFFIX
from kagent.diagnosis.record import Record, from_json, to_json
from kagent.files.atomic_files import replacing

_ENDING = ".doctor.json"


def write(checkpoint: Path, record: Record, checkpoints: Iterable[Path]) -> None:
    """Writes the record of a checkpoint, and deletes those of checkpoints that are no more."""
    try:
        with replacing(_place(checkpoint)) as beside:
            beside.write_text(json.dumps(to_json(record)) + "\n", encoding="utf-8")
        kept = {_place(path) for path in checkpoints}
        for path in list(checkpoint.parent.iterdir()):
            if path.name.endswith(_ENDING) and path not in kept and _series(path) == _series(_place(checkpoint)):
                path.unlink()
    except OSError as error:
        warnings.warn(f"The doctor's record of {checkpoint.name!r} could not be written: {error}", stacklevel=4)


def read(checkpoint: Path | None, learned: int) -> Record | None:
    """The record of a checkpoint that an agent goes on from, which has so many timesteps and gradient steps together; None: there is
    none."""
    if checkpoint is None or not learned or not _place(checkpoint).is_file():
        return None
    try:
        return from_json(json.loads(_place(checkpoint).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        warnings.warn(f"The doctor watches from here on: {_place(checkpoint).name!r} is damaged: {error}", stacklevel=4)
        return None


def _place(checkpoint: Path) -> Path:
    return checkpoint.with_name(checkpoint.name.removesuffix(SUFFIX) + _ENDING)


def _series(record: Path) -> str:
    name, _, age = record.name.removesuffix(_ENDING).rpartition("-")
    return name if age.isdigit() else record.name
