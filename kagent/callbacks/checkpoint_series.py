"""A series of checkpoints, and the run that owns it."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

from kagent.callbacks.checkpoint_files import SUFFIX, File, file_names, find
from kagent.files import segments


class Series:
    """The checkpoints of one name in a directory, and which of them the run of an agent has written or gone on from.

    Args:
        directory: Where the files are.
        name: Name of the series; "": not known yet.
        load: What the run begins with, as of `Checkpoint`.

    Attributes:
        own: The run's files and their ages, in timesteps or episodes.
        damaged: Files that the run could not load. They stay.
    """

    def __init__(self, directory: Path, name: str, load: bool | str):
        self.directory, self.name, self.load = directory, name, load
        self.own: dict[Path, int] = {}
        self.damaged: set[Path] = set()

    @property
    def files(self) -> list[File]:
        """All files that there are, the newest last."""
        return find(self.directory, self.name)

    @property
    def newest(self) -> Path | None:
        """The newest of the run's own files, or None."""
        return max(self.own, key=self.own.__getitem__, default=None)

    @property
    def memory_folder(self) -> Path:
        """Where the memories of the files are, where these are large."""
        return self.directory / f"{self.name}{segments.SUFFIX}"

    def place_of(self, age: int) -> Path:
        """Where the checkpoint of an age is written to.

        Raises:
            FileExistsError: Another run's file is there.
        """
        path = self.directory / f"{self.name}-{age}{SUFFIX}"
        if os.path.lexists(path) and path not in self.own and path not in self.damaged:
            raise FileExistsError(
                f"{str(path)!r} was written by another run while this one was training. Give every run its own "
                "`directory` or `filename`"
            )
        return path

    def add(self, path: Path, age: int, most: int) -> None:
        """Notes a file that was written, and deletes the run's oldest files beyond `most`."""
        self.damaged.discard(path)
        self.own[path] = age
        # Files which were not there when this run began are not its own: they stay, and so do damaged ones.
        for old in sorted(self.own, key=self.own.__getitem__)[:-most]:
            if old != path:  # as it would be if somebody had given a file a later number
                with contextlib.suppress(FileNotFoundError):
                    old.unlink()
                del self.own[old]

    def aside(self) -> Path:
        """Where the files go to make room for a new run: a folder that does not exist yet."""
        folders = (self.directory / f"{self.name}-before-{number}" for number in itertools.count(1))
        return next(folder for folder in folders if not os.path.lexists(folder))

    def set_aside(self) -> Path:
        """Moves all files into the folder `aside`, which it returns; that of their memories too."""
        folder = self.aside()
        folder.mkdir()
        if self.memory_folder.is_dir():
            os.replace(self.memory_folder, folder / self.memory_folder.name)
        for file in self.files:
            os.replace(file.path, folder / file.path.name)
        return folder

    def refuse_mixing(self, begin: int, counted: str, what: str) -> None:
        """Refuses a run from a point which some files are beyond.

        Args:
            begin: Age of the point.
            counted: What ages are in: "timesteps" or "episodes".
            what: What the run would begin with, for the message.

        Raises:
            ValueError: There are such files.
        """
        later = [file for file in self.files if file.age > begin and file.path not in self.damaged]
        if later:
            raise ValueError(
                f"{what} is {begin} {counted} old, and {str(self.directory)!r} holds checkpoints from beyond that: "
                f"{file_names(later)}. Give what branches off there another `filename`, move them away, or go on from the "
                "newest with load=True"
            )
