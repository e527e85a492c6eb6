"""What other libraries have in their modules, and where that is in kagent."""

from __future__ import annotations

PLACES = {
    "DDQN": "kagent.DoubleDQN",
    "DQNAgent": "kagent.DQN",
    "PPO2": "kagent.PPO",
    "A3C": "kagent.A2C, of several environments side by side",
    "MaskablePPO": "kagent.PPO, which respects the masks that an environment gives",
    "REDQ": "kagent.SAC(env, members=10, subset=2, gradient_steps=20)",
    "DroQ": "kagent.SAC(env, stochastic_critics=True, critic_network=...)",
    "R2D2": 'kagent.DQN(env, network={"rnn": 64}, memory=kagent.memories.ReplaySequences(...))',
    "RND": 'preprocessing={"reward": "rnd"} of the agent',
    "BehaviorCloning": "kagent.BC",
    "TD3PlusBC": "kagent.TD3BC",
    "CQLSAC": "kagent.CQL",
    "PPOLSTM": "kagent.RecurrentPPO",
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
    "HerReplayBuffer": "kagent.memories.Hindsight",
    "SequenceReplay": "kagent.memories.ReplaySequences",
    "EpisodeReplay": "kagent.memories.ReplayEpisodes",
    "NStepReplayBuffer": "kagent.memories.Replay, with horizon= of the agent",
    "FrameStackReplay": "kagent.memories.Replay, which stores each frame of stacked observations once",
    "MDPDataset": "kagent.datasets.Episodes",
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
    "ReplayBuffer": "SequentialMemory ReplayMemory DictReplayBuffer",
    "RolloutBuffer": "DictRolloutBuffer RecurrentRolloutBuffer RecurrentDictRolloutBuffer",
    "HerReplayBuffer": "HER HindsightExperienceReplay HindsightReplayBuffer HERReplayBuffer",
    "SequenceReplay": "SequenceReplayBuffer RecurrentReplayBuffer R2D2Buffer",
    "EpisodeReplay": "EpisodeReplayBuffer",
    "BehaviorCloning": "BehaviourCloning DiscreteBC",
    "TD3PlusBC": "TD3_BC",
    "PPOLSTM": "PPO_LSTM LSTMPPO RecurrentPPO2",
    "MDPDataset": "OfflineDataset D4RLDataset MinariDataset",
    "RND": "RandomNetworkDistillation RNDPPO",
    "PrioritizedReplayBuffer": "PrioritizedReplay",
    "OUNoise": "OrnsteinUhlenbeckActionNoise",
    "NormalActionNoise": "GaussianNoise",
    "EpsGreedy": "EpsGreedyQPolicy",
}
PLACES |= {other: PLACES[name] for name, others in _OTHERS.items() for other in others.split()}

_FOLDED = {name.replace("_", "").lower(): place for name, place in PLACES.items()}


def elsewhere(name: str) -> str | None:
    """Where in kagent that is which other libraries have by the name `name`, or None.

    Example:

    >>> elsewhere("DDQN")
    'kagent.DoubleDQN'
    """
    return PLACES.get(name)


def algorithm_elsewhere(name: str) -> str | None:
    """Where in kagent that algorithm is which other libraries have by the name `name`, in any case, or None.

    Example:

    >>> algorithm_elsewhere("r2d2") == elsewhere("R2D2")
    True
    """
    return _FOLDED.get(name.replace("_", "").replace("-", "").lower())


def missing(module: str, name: str) -> str:
    """The message about a name that a module does not have."""
    place = elsewhere(name)
    return f"module {module!r} has no attribute {name!r}" + (f": it is {place}" if place else "")
