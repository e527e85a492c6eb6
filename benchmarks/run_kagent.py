"""Child: one run of one workload with kagent (`python -m benchmarks.run_kagent W1a --steps 5000`)."""

from __future__ import annotations

import itertools
from typing import Any

from benchmarks import measurement
from benchmarks.workloads import A2C, DDPG, DQN, QRDQN, SAC, TD3, TQC, TRPO, CrossQ, RecurrentPPO, Workload


def agent_of(workload: Workload, env: Any, seed: int) -> Any:
    """The preset, in kagent's words."""
    import kagent

    a = workload.algorithm
    network: Any = {"type": "mlp", "units": list(workload.units), "activation": workload.activation}
    if workload.images:
        network = "cnn"
    common: dict[str, Any] = {"network": network, "seed": seed, "discount": a.discount}
    if isinstance(a, DQN):
        preset: Any = kagent.DQN
        if isinstance(a, QRDQN):
            preset = kagent.QRDQN
            common |= {"quantiles": a.quantiles}
        return preset(
            env,
            learning_rate=a.learning_rate,
            memory=a.capacity,
            batch_size=a.batch_size,
            start=a.start,
            frequency=a.frequency,
            gradient_steps=a.gradient_steps,
            horizon=0,
            target_update_period=a.target_period,
            exploration=kagent.EpsilonGreedy(a.epsilon_initial, a.epsilon_final, a.epsilon_fraction),
            max_grad_norm=a.max_grad_norm,
            **common,
        )
    if isinstance(a, DDPG):
        preset = kagent.DPG
        if isinstance(a, TD3):
            preset = kagent.TD3
            common |= {
                "policy_delay": a.policy_delay,
                "target_noise": a.target_noise,
                "target_noise_clip": a.target_noise_clip,
            }
        return preset(
            env,
            learning_rate=a.learning_rate,
            memory=a.capacity,
            batch_size=a.batch_size,
            start=a.start,
            frequency=a.frequency,
            gradient_steps=a.gradient_steps,
            tau=a.tau,
            exploration=a.noise,
            **common,
        )
    if isinstance(a, SAC):
        preset = kagent.SAC
        if isinstance(a, TQC):
            preset = kagent.TQC
            common |= {"quantiles": a.quantiles, "top_quantiles_to_drop_per_net": a.dropped}
        if isinstance(a, CrossQ):
            preset = kagent.CrossQ
            common |= {"critic_network": network, "policy_delay": a.policy_delay}
        else:
            common |= {"tau": a.tau}
        return preset(
            env,
            learning_rate=a.learning_rate,
            memory=a.capacity,
            batch_size=a.batch_size,
            start=a.start,
            frequency=a.frequency,
            gradient_steps=a.gradient_steps,
            **common,
        )
    common["n_envs"] = workload.n_envs
    if isinstance(a, A2C):
        del common["discount"]
        batch = a.n_steps * workload.n_envs
        return kagent.A2C(
            env,
            memory={"type": "Rollout", "steps": a.n_steps},
            update={"type": "Update", "unit": "timesteps", "batch_size": batch, "epochs": 1},
            reward_estimation={
                "type": "RewardEstimation",
                "discount": a.discount,
                "gae_lambda": a.gae_lambda,
                "estimate_horizon": "late",
            },
            # Added under the root, where the peer's PyTorch adds it outside; half the squared error here.
            optimizer={
                "type": "RMSprop",
                "learning_rate": a.learning_rate,
                "rho": 0.99,
                "epsilon": a.rms_prop_eps**2,
                "global_clipnorm": a.max_grad_norm,
            },
            entropy_coefficient=a.entropy_coefficient,
            critic_weight=2 * a.value_coefficient,
            **common,
        )
    if isinstance(a, TRPO):
        return kagent.TRPO(
            env,
            n_steps=a.n_steps,
            gae_lambda=a.gae_lambda,
            max_kl=a.max_kl,
            cg_iterations=a.cg_iterations,
            cg_damping=a.cg_damping,
            critic_learning_rate=a.learning_rate,
            critic_steps=a.critic_epochs * a.n_steps * workload.n_envs // a.batch_size,
            critic_batch_size=a.batch_size,
            **common,
        )
    preset = kagent.PPO
    if isinstance(a, RecurrentPPO):
        preset = kagent.RecurrentPPO
        layers = [{"type": "dense", "size": size, "activation": workload.activation} for size in workload.units]
        common["network"] = [{"type": "internal_lstm", "size": a.lstm}, *layers]
    falling = kagent.schedules.Linear
    return preset(
        env,
        n_steps=a.n_steps,
        batch_size=a.batch_size,
        epochs=a.epochs,
        learning_rate=falling(a.learning_rate, 0.0) if a.annealed else a.learning_rate,
        clip_range=falling(a.clip_range, 0.0) if a.annealed else a.clip_range,
        gae_lambda=a.gae_lambda,
        entropy_coefficient=a.entropy_coefficient,
        value_coefficient=a.value_coefficient,
        max_grad_norm=a.max_grad_norm,
        **common,
    )


def watcher(clock: measurement.Timeline) -> Any:
    """A callback that stops the clock at the first update and keeps what each training episode returned."""
    import kagent

    class Watcher(kagent.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.returns: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if not clock.updated:
                clock.update(self.model.timesteps)

        def on_episode_end(self, episode: int, logs: Any = None) -> None:
            self.returns.append(float(logs["episode_return"]))

    return Watcher()


def numpy_rate(observations: list[Any], units: tuple[int, ...], seed: int) -> float:
    """Greedy actions per second of a plain NumPy forward pass, without any library or check, for scale."""
    import numpy as np

    generator = np.random.default_rng(seed)
    sizes = [observations[0].shape[0], *units, 2]
    w = [generator.standard_normal(pair, np.float32) for pair in itertools.pairwise(sizes)]
    b = [np.zeros(size, np.float32) for size in sizes[1:]]

    def act(x: Any) -> int:
        for i in range(len(w) - 1):
            x = np.maximum(x @ w[i] + b[i], 0)
        return int((x @ w[-1] + b[-1]).argmax())

    return measurement.acting_figures(act, observations, 20_000)["steady_rate"]


def measure(workload: Workload, steps: int, seed: int) -> dict[str, Any]:
    """One run. The threads of XLA, TensorFlow and NumPy follow the environment variables."""
    import keras  # noqa: F401

    base = measurement.memory_mb()
    import gymnasium as gym

    import kagent

    # A single env is made by the caller, as for the peers; several by the library, as for SB3's DummyVecEnv.
    env: Any = measurement.make_env(workload) if workload.n_envs == 1 else workload.env
    if workload.compiled:
        env = kagent.environments.compiled.CartPole(workload.n_envs)
    versions = measurement.versions("tensorflow", "keras", "gymnasium", "numpy") | {"kagent": kagent.__version__}
    common = {"base_mb": base, "versions": versions}
    clock = measurement.Timeline()
    agent = agent_of(workload, env, seed)
    if workload.acting:
        seen = measurement.observations(gym.make(workload.env), seed)
        figures = measurement.acting_figures(lambda o: agent.act(o, deterministic=True), seen, steps)
        return figures | common | {"numpy_rate": numpy_rate(seen, workload.units, seed)}

    if workload.executions > 1:
        agent.compile(steps_per_execution=workload.executions)
    watch = watcher(clock)
    clock.start()
    agent.fit(env, steps=steps, callbacks=[watch], verbose=0)
    clock.end(agent.timesteps)
    return clock.figures() | measurement.returns(watch.returns) | common | {"gradient_steps": agent.updates}


if __name__ == "__main__":
    measurement.child("kagent", measure)
