"""Learning from trace files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kagent.compat.tensorforce.programs.episodes import joined, trace_of


def pretrain(
    agent: Any, directory: Path, num_iterations: int, num_traces: int | None, num_updates: int, extension: str
) -> None:
    """Learns from the trace files in a directory; see `Agent.pretrain`."""
    found = sorted(path for path in directory.glob(f"*{extension}") if path.is_file())
    count = len(found) if num_traces is None else num_traces
    if not 0 < count <= len(found):
        raise ValueError(
            f"`num_traces` must be from 1 to {len(found)}, the files in {directory}. Received: {num_traces}"
        )
    with np.load(found[0], allow_pickle=False) as first:
        own = "terminated" in first.files
    if own:
        agent.model.pretrain(directory, num_iterations, count, num_updates)
        return
    draw = np.random.default_rng(agent.model.next_seed())
    for _ in range(num_iterations):
        chosen = draw.permutation(len(found))[:count]
        agent.experience(**joined([trace_of(found[i]) for i in chosen]))
        for _ in range(num_updates):
            agent.update()
