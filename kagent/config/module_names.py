"""What other libraries have in their modules, and where that is in kagent."""

from __future__ import annotations

_PLACES = {
    "DDQN": "kagent.DoubleDQN",
    "DQNAgent": "kagent.DQN",
    "PPO2": "kagent.PPO",
    "A3C": "kagent.A2C, of several environments side by side",
    "MaskablePPO": "kagent.PPO, which respects the masks that an environment gives",
    "REDQ": "kagent.SAC(env, members=10, subset=2, gradient_steps=20)",
    "DroQ": "kagent.SAC(env, stochastic_critics=True, critic_network=...)",
    "BC": 'agent.pretrain(directory, num_iterations, objective="behavior_cloning")',
    "make": 'gymnasium.make, or an environment\'s id itself: kagent.PPO("CartPole-v1")',
    "make_vec": 'n_envs of the agent: kagent.PPO("CartPole-v1", n_envs=8)',
    "load_model": "kagent.load",
    "load_from_hub": "kagent.hub.from_hub",
    "from_hub": "kagent.hub.from_hub",
    "push_to_hub": "kagent.hub.push_to_hub",
    "package_to_hub": "kagent.hub.push_to_hub",
    "save": "agent.save",
    "train": "agent.fit",
    "learn": "agent.fit",
    "evaluate": "agent.evaluate",
    "set_random_seed": "keras.utils.set_random_seed, or seed= of the agent",
    "Callback": "kagent.callbacks.Callback",
    "Checkpoint": "kagent.callbacks.Checkpoint",
    "CheckpointCallback": "kagent.callbacks.Checkpoint",
    "EvalCallback": "validation_env of fit: agent.fit(env, validation_env=...)",
    "Monitor": "kagent.callbacks.EpisodeCSV, for the file; `fit` counts returns and lengths by itself",
    "StopTrainingOnRewardThreshold": 'keras.callbacks.EarlyStopping("episode_return", mode="max", baseline=...)',
    "Recorder": "kagent.callbacks.Recorder",
    "Summarizer": "kagent.callbacks.Summarizer",
    "ReplayBuffer": "kagent.memories.Replay",
    "PrioritizedReplayBuffer": "kagent.memories.Prioritized",
    "RolloutBuffer": "kagent.memories.Rollout",
    "OUNoise": "kagent.exploration.OrnsteinUhlenbeckNoise",
    "NormalActionNoise": "kagent.exploration.ActionNoise",
    "EpsGreedy": "kagent.exploration.EpsilonGreedy",
    "VecNormalize": "normalize of the agent: kagent.PPO(env, normalize=True)",
    "FrameStack": "gymnasium.wrappers.FrameStackObservation, or kagent.preprocessing.Sequence",
    "LinearSchedule": "kagent.schedules.Linear",
    "ExponentialDecay": "kagent.schedules.Exponential",
    "NatureCNN": "kagent.networks.CNN",
}
_OTHERS = {
    "make_vec": "make_vec_env DummyVecEnv SubprocVecEnv vectorize",
    "evaluate": "evaluate_policy",
    "VecNormalize": "NormalizeObservation NormalizeReward",
    "ReplayBuffer": "SequentialMemory ReplayMemory",
    "PrioritizedReplayBuffer": "PrioritizedReplay",
    "OUNoise": "OrnsteinUhlenbeckActionNoise",
    "NormalActionNoise": "GaussianNoise",
    "EpsGreedy": "EpsGreedyQPolicy",
}
_PLACES |= {other: _PLACES[name] for name, others in _OTHERS.items() for other in others.split()}


def elsewhere(name: str) -> str | None:
    """Where in kagent that is which other libraries have by the name `name`, or None.

    Example:

    >>> elsewhere("DDQN")
    'kagent.DoubleDQN'
    """
    return _PLACES.get(name)


def missing(module: str, name: str) -> str:
    """The message about a name that a module does not have."""
    place = elsewhere(name)
    return f"module {module!r} has no attribute {name!r}" + (f": it is {place}" if place else "")
