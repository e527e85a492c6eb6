"""Child: what `import kagent` and its presets cost after `import keras` (`python -m benchmarks.imports`)."""

from __future__ import annotations

import json
import time
from typing import Any

from benchmarks import measurement


def measure() -> dict[str, Any]:
    """Seconds and MB of the imports of a fresh process, each on top of the one before."""
    clock = [time.perf_counter()]
    import keras  # noqa: F401

    clock.append(time.perf_counter())
    base = measurement.memory_mb()
    import kagent

    clock.append(time.perf_counter())
    # Names are resolved on first use: this is what a program that builds an agent pays.
    presets: list[type] = [kagent.DQN, kagent.PPO, kagent.SAC]
    clock.append(time.perf_counter())
    return {
        "keras_seconds": clock[1] - clock[0],
        "kagent_seconds": clock[2] - clock[1],
        "presets_seconds": clock[3] - clock[2],
        "added_seconds": clock[3] - clock[1],
        "added_mb": measurement.memory_mb() - base,
        "presets": len(presets),
        "versions": measurement.versions("tensorflow", "keras") | {"kagent": kagent.__version__},
    }


if __name__ == "__main__":
    print(json.dumps({"library": "kagent", "workload": "W0"} | measure()), flush=True)
