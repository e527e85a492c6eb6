"""Whether a memory takes what environments give, and gives what networks learn from."""

from __future__ import annotations

from kagent.memories.memory import Memory


def is_made_for(
    memory: Memory, num_envs: int, masked: bool, source: str = "the environment gives", acted: bool = True
) -> bool:
    """Whether a memory is built for transitions of so many environments, with masks or without.

    Args:
        memory: The memory.
        num_envs: Environments, each of which adds a transition per timestep.
        masked: Whether transitions have action masks.
        source: Words for the message: who has masks or none.
        acted: Whether the agent's own actor chose the actions, so that its state is known.

    Raises:
        ValueError: It holds some already that have masks where these have none, or the other way round; or it keeps the actor's
            state, which is not known.
    """
    if memory.actor_state and not acted:
        raise ValueError(
            f"The memory keeps the state that the actor acted from, and {source} none: such a policy learns from `fit`, or "
            "`act` and `observe`"
        )
    if not memory.built or not memory.fits(num_envs):
        return False
    if memory.masked != masked and len(memory):
        raise ValueError(
            f"The memory holds transitions {'with' if memory.masked else 'without'} action masks and "
            f"{source} {'them' if masked else 'none'}: `agent.memory.clear()` it, or train where masks are alike"
        )
    return bool(memory.masked == masked)


def keep_sequences(memory: Memory) -> None:
    """Has a memory make minibatches of whole sequences from now on, for recurrent networks, by its method `keep_sequences()`.

    Its `experience` then gives indices `(K, L, B)`: of each minibatch L consecutive timesteps of B columns. L is its
    `sequence_length`; where it has none, or None, L are all the timesteps that it hands out together.

    Args:
        memory: The memory, configured and not built.

    Raises:
        ValueError: It has no such method, because it hands out single timesteps.
    """
    keep = getattr(memory, "keep_sequences", None) if memory.consecutive else None
    if keep is None:
        raise ValueError(
            f"`memory` {type(memory).__name__} hands out single timesteps, and a recurrent network learns from sequences of them. "
            "Allowed: Rollout, Recent, RecentEpisodes, ReplayEpisodes or ReplaySequences, or networks without recurrent layers"
        )
    keep()
