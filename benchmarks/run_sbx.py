"""Child: one run of one workload with SBX (`python -m benchmarks.run_sbx W1a --steps 5000`)."""

from __future__ import annotations

from typing import Any

from benchmarks import measurement, run_sb3
from benchmarks.workloads import PPO, Workload


def measure(workload: Workload, steps: int, seed: int) -> dict[str, Any]:
    """One run; SBX speaks Stable-Baselines3's words, with flax activations."""
    run_sb3.hide_tensorflow()
    import jax

    base = measurement.memory_mb()
    import flax.linen
    import sbx

    # Its train() reads the losses back, so the clock stops after the work, not after its dispatch.
    extra = {"policy_kwargs": {"ortho_init": True}} if isinstance(workload.algorithm, PPO) else {}
    activations = {"relu": flax.linen.relu, "tanh": flax.linen.tanh}
    record = run_sb3.run(sbx, activations, workload, steps, seed, extra)
    versions = measurement.versions("sbx-rl", "stable-baselines3", "jax", "jaxlib", "flax", "gymnasium", "numpy")
    return record | {"base_mb": base, "versions": versions, "devices": [d.platform for d in jax.devices()]}


if __name__ == "__main__":
    measurement.child("sbx", measure)
