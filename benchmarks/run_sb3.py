"""Child: one run of one workload with Stable-Baselines3 (`python -m benchmarks.run_sb3 W1a --steps 5000`)."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks import measurement
from benchmarks.workloads import A2C, DDPG, DQN, PPO, QRDQN, SAC, TD3, TQC, TRPO, CrossQ, RecurrentPPO, Workload


def hide_tensorflow() -> None:
    """Make `import tensorflow` fail in this process, as where the peers live without kagent.

    They do not use it, yet TensorBoard (behind torch) loads it when it is there, for 600 MB and seconds, and
    TensorFlow Probability (behind SBX) then refuses to be imported without tf-keras.
    """
    sys.modules["tensorflow"] = None  # type: ignore[assignment]


def keywords(workload: Workload) -> tuple[str, dict[str, Any]]:
    """Class name and constructor keywords, in the words Stable-Baselines3 and SBX share."""
    a = workload.algorithm
    words: dict[str, Any]
    if isinstance(a, DQN):
        words = dict(
            learning_rate=a.learning_rate,
            buffer_size=a.capacity,
            learning_starts=a.start,
            batch_size=a.batch_size,
            gamma=a.discount,
            train_freq=a.frequency * workload.executions,
            gradient_steps=a.gradient_steps * workload.executions,
            target_update_interval=a.target_period,
            exploration_initial_eps=a.epsilon_initial,
            exploration_final_eps=a.epsilon_final,
            exploration_fraction=a.epsilon_fraction,
        )
        if isinstance(a, QRDQN):
            return "QRDQN", words | dict(max_grad_norm=a.max_grad_norm, policy_kwargs={"n_quantiles": a.quantiles})
        return "DQN", words
    if isinstance(a, SAC | DDPG):
        words = dict(
            learning_rate=a.learning_rate,
            buffer_size=a.capacity,
            learning_starts=a.start,
            batch_size=a.batch_size,
            tau=a.tau,
            gamma=a.discount,
            train_freq=a.frequency,
            gradient_steps=a.gradient_steps,
        )
        if isinstance(a, TQC):
            quantiles = {"n_quantiles": a.quantiles, "n_critics": 2}
            return "TQC", words | dict(top_quantiles_to_drop_per_net=a.dropped, policy_kwargs=quantiles)
        if isinstance(a, TD3):
            delayed = dict(
                policy_delay=a.policy_delay,
                target_policy_noise=a.target_noise,
                target_noise_clip=a.target_noise_clip,
            )
            return "TD3", words | delayed
        if isinstance(a, CrossQ):
            del words["tau"]
            return "CrossQ", words | {"policy_delay": a.policy_delay}
        return "DDPG" if isinstance(a, DDPG) else "SAC", words
    if isinstance(a, A2C):
        return "A2C", dict(
            learning_rate=a.learning_rate,
            n_steps=a.n_steps,
            gamma=a.discount,
            gae_lambda=a.gae_lambda,
            ent_coef=a.entropy_coefficient,
            vf_coef=a.value_coefficient,
            max_grad_norm=a.max_grad_norm,
            rms_prop_eps=a.rms_prop_eps,
        )
    if isinstance(a, TRPO):
        return "TRPO", dict(
            learning_rate=a.learning_rate,
            n_steps=a.n_steps,
            batch_size=a.batch_size,
            gamma=a.discount,
            gae_lambda=a.gae_lambda,
            target_kl=a.max_kl,
            cg_max_steps=a.cg_iterations,
            cg_damping=a.cg_damping,
            n_critic_updates=a.critic_epochs,
        )
    rate, clip = a.learning_rate, a.clip_range
    words = dict(
        learning_rate=(lambda remaining: remaining * rate) if a.annealed else rate,
        clip_range=(lambda remaining: remaining * clip) if a.annealed else clip,
        n_steps=a.n_steps,
        batch_size=a.batch_size,
        n_epochs=a.epochs,
        gamma=a.discount,
        gae_lambda=a.gae_lambda,
        ent_coef=a.entropy_coefficient,
        vf_coef=a.value_coefficient,
        max_grad_norm=a.max_grad_norm,
    )
    if isinstance(a, RecurrentPPO):
        return "RecurrentPPO", words | {"policy_kwargs": {"lstm_hidden_size": a.lstm}}
    return "PPO", words


def noise(amount: float, env: Any) -> Any:
    """Gaussian noise on actions, of which Stable-Baselines3 and SBX scale the range to [-1, 1] before."""
    import numpy as np
    from stable_baselines3.common.noise import NormalActionNoise

    shape = env.action_space.shape
    return NormalActionNoise(np.zeros(shape), np.full(shape, amount))


def run(
    library: Any,
    activations: Mapping[str, Any],
    workload: Workload,
    steps: int,
    seed: int,
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Learn (or act) with the library's class of the workload's algorithm, and measure; `extra` goes into the constructor."""
    import gymnasium as gym
    from stable_baselines3.common.env_util import make_vec_env

    name, arguments = keywords(workload)
    # A single env is wrapped in Monitor and DummyVecEnv by the library itself, as for any of its users.
    make = functools.partial(measurement.make_env, workload)
    env: Any = make() if workload.n_envs == 1 else make_vec_env(make, workload.n_envs)
    # The network for images is the same in both libraries: its last layer has 512 units.
    layers = [] if workload.images else list(workload.units)
    policy = {"net_arch": layers, "activation_fn": activations[workload.activation]}
    policy |= {**arguments.get("policy_kwargs", {}), **extra.get("policy_kwargs", {})}
    if isinstance(workload.algorithm, DDPG):
        arguments["action_noise"] = noise(workload.algorithm.noise, env)
    arguments |= {**extra, "policy_kwargs": policy}
    clock = measurement.Timeline()
    kind = "MlpLstmPolicy" if name == "RecurrentPPO" else "CnnPolicy" if workload.images else "MlpPolicy"
    model = getattr(library, name)(kind, env, seed=seed, device="cpu", verbose=0, **arguments)
    if workload.acting:
        seen = measurement.observations(gym.make(workload.env), seed)
        return measurement.acting_figures(lambda o: model.predict(o, deterministic=True), seen, steps)

    train: Callable[..., None] = model.train

    def first_train(*args: Any, **kwargs: Any) -> None:
        train(*args, **kwargs)
        clock.update(model.num_timesteps)
        model.train = train

    model.train = first_train
    clock.start()
    model.learn(total_timesteps=steps)
    clock.end(model.num_timesteps)
    a = workload.algorithm
    # PPO counts passes over the rollout, the others gradient steps.
    batches = a.n_steps * workload.n_envs // a.batch_size if isinstance(a, PPO) else 1
    returns = [float(episode["r"]) for episode in model.ep_info_buffer]
    return clock.figures() | measurement.returns(returns) | {"gradient_steps": model._n_updates * batches}


def measure(workload: Workload, steps: int, seed: int) -> dict[str, Any]:
    """One run; PyTorch's threads follow OMP_NUM_THREADS."""
    hide_tensorflow()
    import torch

    base = measurement.memory_mb()
    import stable_baselines3 as library

    packages = ["stable-baselines3", "torch", "gymnasium", "numpy"]
    if isinstance(workload.algorithm, QRDQN | TQC | CrossQ | TRPO | RecurrentPPO):
        import sb3_contrib as library

        packages.append("sb3-contrib")
    record = run(library, {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}, workload, steps, seed, {})
    versions = measurement.versions(*packages)
    return record | {"base_mb": base, "versions": versions, "torch_threads": torch.get_num_threads()}


if __name__ == "__main__":
    measurement.child("sb3", measure)
