"""The libraries compared, and the thread setting at which each was fastest on each workload.

A setting is a set of environment variables for the child; every other thread variable is removed from its
environment. `BEST` was measured by `python -m benchmarks.speed --threads calibrate` on two cores. Measure
again where there are more: what wins on two cores for small networks (mostly one thread) need not win on
sixteen.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

THREAD_VARIABLES = (
    "XLA_FLAGS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
_ONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_XLA = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


@dataclass(frozen=True)
class Library:
    """How to find a library, how to run it, and its thread settings by name."""

    title: str
    module: str
    child: str
    settings: Mapping[str, Mapping[str, str]]

    @property
    def installed(self) -> bool:
        """Whether the library can be imported here; nothing is imported to find out."""
        return importlib.util.find_spec(self.module) is not None


LIBRARIES: dict[str, Library] = {
    "kagent": Library(
        "kagent",
        "kagent",
        "benchmarks.run_kagent",
        {
            # NumPy on one thread; XLA's matrix products on one; all of TensorFlow on one.
            "one": _ONE | _XLA | {"TF_NUM_INTRAOP_THREADS": "1"},
            "xla-one": _ONE | _XLA,
            "numpy-one": _ONE,
            "all": {},
        },
    ),
    "sb3": Library("SB3", "stable_baselines3", "benchmarks.run_sb3", {"one": _ONE, "all": {}}),
    "sbx": Library("SBX", "sbx", "benchmarks.run_sbx", {"one": _ONE | _XLA, "torch-one": _ONE, "all": {}}),
}

DEFAULT = "one"
BEST: dict[tuple[str, str], str] = {
    # PyTorch gains from a second core on 256x256 products alone (114 against 81 steps/s); elsewhere it loses,
    # up to tenfold on a busy machine.
    ("sb3", "W3"): "all",
}


def best_setting(library: str, workload: str) -> str:
    """Name of the setting `library` runs `workload` with, unless the user asks for another."""
    return BEST.get((library, workload), DEFAULT)
