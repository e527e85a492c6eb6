"""What Stable-Baselines3 reaches in cells of the learning table, on the same machine.

Its agents train with the shipped settings (`kagent/tuned/*.json`) in its own words, or with its defaults where the cell has ours, for
as long, on the same seeds, and play 100 greedy episodes on the same environment seeds. Observations and rewards are normalized by its
`VecNormalize` where the settings say so. It needs an environment with Stable-Baselines3 and sb3-contrib, without TensorFlow or with
it; MuJoCo's cells need `gymnasium[mujoco]`, too. One file per run is written under `benchmarks/results/sb3/<task>/`; runs whose file
exists are skipped.

    python -m benchmarks.learning_peer                                  # MuJoCo's cells, which it judges
    python -m benchmarks.learning_peer --tasks a2c-lunarlander --seeds 5
    python -m benchmarks.learning_peer --tasks ppo-hopper --seeds 1 --steps 4000 --results /tmp/trial
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measurement, speed
from benchmarks.learning_cells import EPISODES, EVALUATION, FIRST_SEED, TASKS, Task, settings_of
from benchmarks.learning_run import is_loaded, load
from benchmarks.learning_table import PEERS
from benchmarks.run_sb3 import hide_tensorflow, noise

# An argument of a preset, and its name there. The values are the same numbers.
NAMES = {
    "learning_rate": "learning_rate",
    "batch_size": "batch_size",
    "discount": "gamma",
    "n_steps": "n_steps",
    "epochs": "n_epochs",
    "gae_lambda": "gae_lambda",
    "clip_range": "clip_range",
    "entropy_coefficient": "ent_coef",
    "value_coefficient": "vf_coef",
    "max_grad_norm": "max_grad_norm",
    "memory": "buffer_size",
    "start": "learning_starts",
    "frequency": "train_freq",
    "gradient_steps": "gradient_steps",
    "tau": "tau",
    "temperature": "ent_coef",
    "top_quantiles_to_drop_per_net": "top_quantiles_to_drop_per_net",
    "rms_prop_eps": "rms_prop_eps",
    "max_kl": "target_kl",
    "cg_iterations": "cg_max_steps",
    "cg_damping": "cg_damping",
    "critic_learning_rate": "learning_rate",
    "critic_batch_size": "batch_size",
}


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings where A2C's parts are arguments, as other presets and Stable-Baselines3 have them; others as they are.

    Args:
        settings: As `benchmarks.learning_cells.settings_of` gives them.

    Raises:
        ValueError: A part that is not one of Stable-Baselines3's A2C.
    """
    words = dict(settings)
    memory = words.get("memory")
    if not isinstance(memory, Mapping):
        return words
    estimation, optimizer = words.get("reward_estimation", {}), words.get("optimizer", {})
    steps, discount, gae_lambda = memory.get("steps", 0), estimation.get("discount"), estimation.get("gae_lambda")
    rate, epsilon, longest = (optimizer.get(name) for name in ("learning_rate", "epsilon", "global_clipnorm"))
    envs = words["fit"].get("n_envs", 1)
    theirs = {
        "memory": {"type": "Rollout", "steps": steps},
        "update": {"type": "Update", "unit": "timesteps", "batch_size": steps * envs, "epochs": 1},
        "reward_estimation": {
            "type": "RewardEstimation", "discount": discount, "gae_lambda": gae_lambda, "estimate_horizon": "late"
        },
        "optimizer": {
            "type": "RMSprop", "learning_rate": rate, "rho": 0.99, "epsilon": epsilon, "global_clipnorm": longest
        },
    }  # fmt: skip
    for name, part in theirs.items():
        if words.pop(name, None) != part:
            raise ValueError(f"Stable-Baselines3 has no word for {name}={settings.get(name)!r}")
    return words | {
        "n_steps": steps,
        "discount": discount,
        "gae_lambda": gae_lambda,
        "learning_rate": rate,
        "rms_prop_eps": math.sqrt(epsilon),  # added outside the root there
        "max_grad_norm": longest,
    }


def translated(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of a preset in the words of Stable-Baselines3.

    Args:
        settings: As `benchmarks.learning_cells.settings_of` gives them.

    Returns:
        Constructor arguments, with `policy_kwargs` whose `activation_fn` is a name, and schedules as they are written; and the rest:
        `steps`, `n_envs`, `normalize`, and the `noise` on actions, in parts of half their range.

    Raises:
        ValueError: Settings that have no word there.
    """
    words: dict[str, Any] = {}
    policy: dict[str, Any] = {}
    rest: dict[str, Any] = {"normalize": False, "noise": None, "n_envs": 1}
    settings = flat(settings)
    for name, value in settings.items():
        if name == "fit":
            rest |= value
        elif name == "critic_weight":  # of half the squared error
            words["vf_coef"] = value / 2
        elif name == "critic_steps":  # there: passes over the rollout
            steps = settings["n_steps"] * settings["fit"].get("n_envs", 1)
            words["n_critic_updates"] = value * settings["critic_batch_size"] // steps
        elif name in NAMES:
            words[NAMES[name]] = value
        elif name == "normalize":
            rest["normalize"] = value
        elif (
            name == "network"
            and value["type"] == "mlp"
            and set(value) <= {"type", "units", "activation", "initialization"}
        ):
            policy |= {"net_arch": value["units"], "activation_fn": value["activation"]}
            if "initialization" in value:
                policy["ortho_init"] = value["initialization"] == "orthogonal"
        elif name == "head_gain" and value == "fan_in":
            policy["ortho_init"] = False
        elif name == "log_std":
            policy["log_std_init"] = value
        elif name == "exploration" and value["type"] == "ActionNoise" and value["random_steps"] == settings["start"]:
            rest["noise"] = value["amount"]
        else:
            raise ValueError(f"Stable-Baselines3 has no word for {name}={value!r}")
    return {**words, "policy_kwargs": policy}, rest


def linear(schedule: Mapping[str, Any]) -> Callable[[float], float]:
    """A `Linear` schedule as a function of the part of training that is left, 1 to 0.

    Args:
        schedule: As it is written in settings.

    Raises:
        ValueError: Another schedule.
    """
    if set(schedule) != {"type", "initial", "final"} or schedule["type"] != "Linear":
        raise ValueError(f"Stable-Baselines3 has no word for the schedule {schedule!r}")
    first, last = schedule["initial"], schedule["final"]
    return lambda left: last + (first - last) * left


def greedy_returns(model: Any, normalize: Any, environment: str, episodes: int, seed: int) -> list[float]:
    """Returns of greedy episodes, rewards as the environment gives them.

    Args:
        model: A trained one.
        normalize: The `VecNormalize` that it was trained with, for observations; None: there is none.
        environment: A gymnasium id.
        episodes: How many.
        seed: Of the environment's first reset.
    """
    import gymnasium as gym

    env, found = gym.make(environment), []
    observation, _ = env.reset(seed=seed)
    for _ in range(episodes):
        total, over = 0.0, False
        while not over:
            seen = observation if normalize is None else normalize.normalize_obs(observation)
            action, _ = model.predict(seen, deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action)
            total, over = total + float(reward), terminated or truncated
        found.append(total)
        observation, _ = env.reset()
    return found


def run(task: Task, seed: int, steps: int | None, episodes: int) -> dict[str, Any]:
    """Trains one seed of one cell with Stable-Baselines3, and evaluates it: JSON-ready."""
    hide_tensorflow()
    import stable_baselines3
    import torch
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)
    settings = settings_of(task)
    if settings is None:
        raise LookupError(f"no tuned settings for {task.algorithm} on {task.environment}")
    words, rest = translated(settings)
    name = task.algorithm.upper()
    library: Any = stable_baselines3
    packages = ["stable-baselines3", "torch", "gymnasium", "numpy"]
    if not hasattr(library, name):
        import sb3_contrib

        library, packages = sb3_contrib, [*packages, "sb3-contrib"]
    if "activation_fn" in (policy := words["policy_kwargs"]):
        policy["activation_fn"] = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[policy["activation_fn"]]
    if isinstance(rate := words.get("learning_rate"), Mapping):
        words["learning_rate"] = linear(rate)
    env: Any = make_vec_env(task.environment, rest["n_envs"], seed=seed)
    normalize = None
    if rest["normalize"]:
        observation, reward = (rest["normalize"] in (True, name) for name in ("observation", "reward"))
        normalize = VecNormalize(env, gamma=words["gamma"], norm_obs=observation, norm_reward=reward)
    if rest["noise"] is not None:
        words["action_noise"] = noise(rest["noise"], env)
    model = getattr(library, name)("MlpPolicy", normalize or env, seed=seed, device="cpu", **words)
    loads, began = [load()], time.perf_counter()
    model.learn(rest["steps"] if steps is None else steps)
    seconds = time.perf_counter() - began
    loads.append(load())
    trained = [float(episode["r"]) for episode in model.ep_info_buffer]
    returns = greedy_returns(model, normalize, task.environment, episodes, EVALUATION + seed)
    return {
        "task": task.name,
        "library": name if library is stable_baselines3 else f"{name} (contrib)",
        "seed": seed,
        "settings": settings,
        "returns": returns,
        "mean": statistics.fmean(returns),
        "training": {"episodes": len(trained), "mean": statistics.fmean(trained) if trained else None},  # its last ones
        "evaluation": {"episodes": episodes, "seed": EVALUATION + seed, "greedy": True, "agent": "last"},
        "seconds": seconds,
        "steps_per_second": model.num_timesteps / seconds,
        "timesteps": model.num_timesteps,
        "load": loads,
        "loaded": is_loaded(loads),
        "date": datetime.date.today().isoformat(),
        "machine": f"{speed.processor()}, {os.cpu_count()} cores",
        "versions": measurement.versions(*packages),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is missing, one after another, each in a process of its own; 1 if a run failed."""
    without = [name for name, task in TASKS.items() if task.gate is None]
    p = argparse.ArgumentParser("python -m benchmarks.learning_peer", description=__doc__.split("\n")[0])
    p.add_argument("--tasks", type=speed.names_of(list(TASKS), "task"), default=without, help="names, with commas")
    p.add_argument("--seeds", type=int, default=2, help="seeds of each, at most (2)")
    p.add_argument("--steps", type=int, help="timesteps in place of those of the settings")
    p.add_argument("--episodes", type=int, default=EPISODES, help="greedy episodes of each evaluation (100)")
    p.add_argument("--results", type=Path, default=PEERS, help="where files go (benchmarks/results/sb3)")
    p.add_argument("--timeout", type=float, default=10800.0, help="seconds for one run (10800)")
    p.add_argument("--here", type=Path, help=argparse.SUPPRESS)  # the file of the one run that this process makes
    a = p.parse_args(argv)
    if (a.steps is not None or a.episodes != EPISODES) and a.results == PEERS:
        p.error("--steps, --episodes: that is another measurement; say --results FOLDER for its files")
    if a.here is not None:
        record = run(TASKS[a.tasks[0]], int(a.here.stem), a.steps, a.episodes)
        a.here.with_suffix(".new").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        a.here.with_suffix(".new").replace(a.here)
        print(json.dumps({key: record[key] for key in ("mean", "seconds")}), flush=True)
        return 0
    failed = 0
    for seed in range(FIRST_SEED, FIRST_SEED + a.seeds):
        for name in a.tasks:
            file = a.results.resolve() / name / f"{seed}.json"
            if seed - FIRST_SEED >= TASKS[name].seeds or file.exists():
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            arguments = ["--tasks", name, "--here", os.fspath(file), "--episodes", str(a.episodes)]
            arguments += ["--results", os.fspath(a.results)] + ([] if a.steps is None else ["--steps", str(a.steps)])
            one = {variable: "1" for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
            record = speed.run_child("benchmarks.learning_peer", arguments, one, a.timeout)
            failed += "error" in record
            said = (
                record["error"].splitlines()[-1]
                if "error" in record
                else f"{record['mean']:.1f} in {record['seconds']:.0f} s"
            )
            speed.say(f"{name} seed {seed} with Stable-Baselines3: {said}")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
