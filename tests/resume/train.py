"""`python train.py FOLDER STOP CASE [CASE ...]`: trains under the stock BackupAndRestore, killed on the way.

Each case is left at the end of the epoch that is its stop number STOP: all but the last by an exception, the last by
SIGKILL. Where a case has no such stop, it runs to its end and writes `FOLDER/CASE.json`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import keras
from cases import CASES, train


class Left(Exception):
    pass


class Leave(keras.callbacks.Callback):
    """Stands behind BackupAndRestore in the list, so that the epoch's backup is written."""

    def __init__(self, epoch, kill):
        super().__init__()
        self.epoch, self.kill = epoch, kill

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            assert min(self.model._run.trainer.collector.lengths) > 0, "not in mid-episode"
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Left


def main():
    folder, stop, names = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    for name in names:
        stops = CASES[name]["stops"]
        callbacks = [keras.callbacks.BackupAndRestore(folder / name)]
        if stop < len(stops):
            callbacks.append(Leave(stops[stop], kill=name == names[-1]))
        try:
            # Another seed than that of the run which is continued: all that matters is in the file.
            result = train(name, callbacks, seed=7 + 100 * stop)
        except Left:
            continue
        (folder / f"{name}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
