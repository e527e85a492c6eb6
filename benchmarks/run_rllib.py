"""Child: one run of one workload with RLlib (`python -m benchmarks.run_rllib W2a --steps 5000`).

PPO of its present API in one process: `num_env_runners=0`, environments and learner side by side in it. RLlib has no schedule of the
clip range, so that one stays where it begins. Its first update includes the start of Ray, which `build_algo` does.
"""

from __future__ import annotations

import math
from typing import Any

from benchmarks import measurement, run_sb3
from benchmarks.workloads import PPO, Workload


def measure(workload: Workload, steps: int, seed: int) -> dict[str, Any]:
    """One run; PyTorch's threads follow OMP_NUM_THREADS."""
    run_sb3.hide_tensorflow()
    import torch  # noqa: F401  (the memory of its import is not RLlib's)

    base = measurement.memory_mb()
    from ray.rllib.algorithms.ppo import PPOConfig

    a = workload.algorithm
    assert isinstance(a, PPO)
    timesteps = a.n_steps * workload.n_envs
    config = (
        PPOConfig()
        .environment(workload.env)
        .framework("torch")
        .env_runners(num_env_runners=0, num_envs_per_env_runner=workload.n_envs, rollout_fragment_length=a.n_steps)
        .learners(num_learners=0)
        .training(
            train_batch_size_per_learner=timesteps,
            minibatch_size=a.batch_size,
            num_epochs=a.epochs,
            lr=[[0, a.learning_rate], [steps, 0.0]] if a.annealed else a.learning_rate,
            gamma=a.discount,
            lambda_=a.gae_lambda,
            clip_param=a.clip_range,
            entropy_coeff=a.entropy_coefficient,
            vf_loss_coeff=a.value_coefficient,
            vf_clip_param=math.inf,
            grad_clip=a.max_grad_norm,
            use_kl_loss=False,
        )
        .rl_module(
            model_config={
                "fcnet_hiddens": list(workload.units),
                "fcnet_activation": workload.activation,
                "vf_share_layers": False,
            }
        )
        .debugging(seed=seed, log_level="ERROR")
    )
    clock = measurement.Timeline()
    algorithm = config.build_algo()
    clock.start()
    done, returns = 0, []
    while done < steps:
        result = algorithm.train()
        done = int(result["num_env_steps_sampled_lifetime"])
        clock.update(done)
        returns.append(result["env_runners"].get("episode_return_mean", math.nan))
    clock.end(done)
    algorithm.stop()
    episodes = {"episode_return": None if math.isnan(returns[-1]) else returns[-1]}
    gradient_steps = len(returns) * a.epochs * math.ceil(timesteps / a.batch_size)
    versions = measurement.versions("ray", "torch", "gymnasium", "numpy")
    return clock.figures() | episodes | {"base_mb": base, "versions": versions, "gradient_steps": gradient_steps}


if __name__ == "__main__":
    measurement.child("rllib", measure)
