"""The libraries compared, and the thread setting each runs a workload with.

A setting is a set of environment variables for the child; every other thread variable is removed from its
environment. How well `BEST` is known (two cores, other work on the machine, short runs):

- SB3: one thread wins clearly on W1a, W1b and W2a and makes no difference on W4; two on W3, see below. W1b16 and
  W2b were not tried apart and follow W1b and W2a.
- SBX: the settings differ by less than the noise.
- kagent: XLA's threads gain on W1a, see below, and W3 does not care; one thread was faster on W2b in both of two runs;
  elsewhere the noise was larger than the differences, so `DEFAULT` is an assumption there.

`python -m benchmarks.speed --threads calibrate` measures all of it again: do so on a quiet machine, and on one with
more cores, before publishing figures.
"""

from __future__ import annotations

import contextlib
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
        """Whether the library can be imported here; nothing but a package around it is imported to find out."""
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.util.find_spec(self.module) is not None
        return False


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
    "rllib": Library("RLlib", "ray.rllib", "benchmarks.run_rllib", {"one": _ONE, "all": {}}),
    "purejax": Library("PureJaxRL's way", "gymnax", "benchmarks.run_purejax", {"one": _ONE | _XLA, "all": {}}),
}

DEFAULT = "one"
BEST: dict[tuple[str, str], str] = {
    # The only workload on which PyTorch may gain from a second core: medians of three runs on a busy machine
    # 86 (55-114) steps/s against 76 (71-81) on one, so not beyond doubt; elsewhere it loses, up to tenfold.
    ("sb3", "W3"): "all",
    # Not tried apart: they follow W3, of whose kind they are.
    ("sb3", "W5"): "all",
    ("sb3", "W7"): "all",
    # Short runs: 153 to 155 steps/s against 106 to 118 on one thread (W10), 53 to 63 against 43 to 46 (W11).
    ("sb3", "W10"): "all",
    ("sb3", "W11"): "all",
    ("kagent", "W5"): "numpy-one",
    ("kagent", "W7"): "numpy-one",
    ("kagent", "W10"): "numpy-one",
    # SAC's steps are TensorFlow's kernels, products side by side: threads within one do not matter (medians of three,
    # alternating: 5.7 ms with two, 5.6 with one).
    ("kagent", "W3"): "numpy-one",
    # 128 gradient steps of W1a, alternating: 60.1, 60.0, 59.7 ms on one thread, 55.4, 58.0, 54.6 with XLA's.
    ("kagent", "W1a"): "numpy-one",
    ("kagent", "W6"): "numpy-one",  # not tried apart
}


def best_setting(library: str, workload: str) -> str:
    """Name of the setting `library` runs `workload` with, unless the user asks for another."""
    return BEST.get((library, workload), DEFAULT)
