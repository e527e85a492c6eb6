"""Names of arguments: close ones, and those of other libraries.

The table holds names of Stable-Baselines3, RLlib, TF-Agents, Tianshou, CleanRL, Tensorforce and Keras. Constructors, `fit`,
`Agent.create`, parts given as dicts and the command line all look names up here. Imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

# kagent's name to the names that it has elsewhere. Of several names of kagent the first that the class takes is meant;
# "fit.steps" is an argument of `fit`, "compile.loss" one of `compile`.
_NAMES = {
    "learning_rate": "lr lrate rate step_size alpha_lr initial_lr",
    "learning_rate critic_learning_rate": "policy_lr pi_lr actor_lr actor_learning_rate policy_learning_rate",
    "critic_learning_rate critic_optimizer": "critic_lr vf_lr value_lr q_lr qf_lr",
    "critic_optimizer": "value_optimizer vf_optimizer q_optimizer",
    "discount": "gamma discount_factor discount_rate",
    "gae_lambda reward_estimation": "lambda lambda_ lam lambda_value gae_lam td_lambda",
    "entropy_coefficient temperature entropy_regularization": (
        "ent_coef entropy_coeff entropy_coef ent_coeff ent_weight entropy_weight entropy_beta entropy_cost"
    ),
    "value_coefficient critic_weight": (
        "vf_coef vf_coeff vf_loss_coeff value_coef value_coeff value_loss_coef value_pred_loss_coef value_loss_coeff "
        "critic_coef"
    ),
    "temperature": "alpha initial_alpha autotune auto_alpha init_temperature initial_log_alpha",
    "target_entropy": "entropy_target",
    "clip_range": (
        "clip_coef clip_param eps_clip clip_epsilon clip_ratio clip clipping epsilon_clip "
        "importance_ratio_clipping likelihood_ratio_clipping cliprange"
    ),
    "normalize_advantage": (
        "norm_adv normalize_advantages advantage_normalization standardize_advantages normalise_advantage "
        "norm_advantage"
    ),
    "max_grad_norm optimizer": (
        "grad_clip grad_norm clip_grad clip_grad_norm gradient_clipping gradient_norm_clipping max_gradient_norm "
        "clipnorm global_clipnorm grad_norm_clipping"
    ),
    "max_kl": "target_kl max_kl_divergence kl_threshold kl_bound",
    "cg_iterations": "cg_max_steps cg_iters max_cg_iterations",
    "linesearch_iterations": "line_search_max_iter line_search_steps backtrack_steps",
    "critic_steps": "n_critic_updates optim_critic_iters train_v_iters vf_iterations vf_iters",
    "memory capacity": (
        "buffer_size replay_size replay_buffer_size memory_size replay_capacity replay_buffer_capacity "
        "replay_buffer_max_length max_replay_size replay_buffer replay_buffer_config replay_buffer_class "
        "replay_buffer_kwargs buffer buffer_capacity experience_replay max_size"
    ),
    "n_steps memory": (
        "num_steps n_step_rollout rollout_length rollout_steps rollout_fragment_length step_per_collect "
        "collect_steps collect_steps_per_iteration horizon_length nsteps steps_per_update train_batch_size "
        "train_batch_size_per_learner update_timestep"
    ),
    "batch_size": (
        "minibatch_size sgd_minibatch_size mini_batch_size batchsize minibatch subsampling_fraction bs "
        "nbatch sample_batch_size"
    ),
    "epochs gradient_steps": (
        "n_epochs num_epochs update_epochs ppo_epoch ppo_epochs k_epochs num_sgd_iter n_optimizer_epochs "
        "repeat_per_collect noptepochs train_iters multi_step"
    ),
    "n_envs": (
        "num_envs num_env n_env nenvs env_num training_num num_environments num_workers num_env_runners "
        "num_envs_per_worker num_envs_per_env_runner num_parallel_environments"
    ),
    "start": (
        "learning_starts learning_start start_learning start_updating start_steps warmup warmup_steps random_steps "
        "initial_collect_steps start_timesteps min_buffer_size min_replay_size learn_start update_after "
        "num_steps_sampled_before_learning_starts nb_steps_warmup start_training replay_start_size"
    ),
    "frequency": (
        "train_freq train_frequency update_frequency update_freq update_every train_every train_interval "
        "training_intensity learn_every update_interval step_per_train"
    ),
    "gradient_steps": "updates_per_step update_per_step num_updates_per_step utd utd_ratio n_updates train_steps_per_step",
    "target_update_period": (
        "target_update_interval target_update_freq target_update_frequency target_network_frequency "
        "target_network_update_freq target_sync_frequency target_update target_model_update update_target_every "
        "sync_every target_network_update_period"
    ),
    "tau": "polyak polyak_tau target_update_tau target_network_tau soft_tau target_smoothing target_update_weight soft_update",
    "horizon": "n_step n_step_update estimation_step n_step_return_horizon multi_step_horizon nstep n_step_horizon",
    "initial exploration": "start_e eps_start epsilon_start exploration_initial_eps initial_epsilon eps_max",
    "final exploration": "end_e eps_end epsilon_end exploration_final_eps final_epsilon epsilon_min eps_min",
    "fraction exploration": "exploration_fraction epsilon_decay eps_decay exploration_decay",
    "steps exploration": "epsilon_timesteps epsilon_decay_steps eps_decay_steps",
    "exploration": (
        "epsilon eps epsilon_greedy exploration_rate exploration_config exploration_noise action_noise ou_stddev "
        "noise noise_std expl_noise sigma ou_noise eps_training policy_noise"
    ),
    "double": "double_q is_double double_dqn use_double double_q_learning",
    "huber": "huber_loss huber_delta use_huber td_errors_loss_fn clip_loss_grad huber_loss_delta",
    "members": "n_critics num_critics n_critic twin_q num_q twin ensemble_size",
    "network": (
        "net net_arch policy_kwargs hidden_sizes hidden_dim hidden_dims hidden_layers hidden_units layers layer_sizes "
        "fc_layer_params fcnet_hiddens model_config q_network q_net qnet actor_network actor_net actor model network_spec "
        "units network_arch"
    ),
    "log_std": "log_std_init init_log_std initial_log_std",
    "critic": "value_network value_net critic_network critic_net vf",
    "baseline": "baseline_policy critic",
    "l2_regularization": "weight_decay l2 l2_reg l2_coef",
    "preprocessing": "observation_filter obs_filter normalize_observations normalize_obs norm_obs frame_stack obs_norm",
    "max_episode_timesteps": "max_episode_steps max_ep_len max_episode_length max_ep_length time_limit",
    "observation_space": "state_space obs_space time_step_spec observation_spec",
    "action_space": "action_spec act_space",
    "env": "environment env_id env_name gym_id task env_fn",
    "seed": "random_seed random_state seeds",
    "summarizer": "tensorboard_log log_dir logdir tb_log_name tensorboard logger",
    "saver": "checkpoint checkpoint_dir checkpoint_freq save_freq save_path save_dir",
    "fit.steps": (
        "total_timesteps timesteps total_steps num_timesteps n_timesteps nb_steps num_iterations max_timesteps "
        "total_timestep num_train_steps train_steps training_steps num_steps_total timesteps_total"
    ),
    "fit.episodes": "num_episodes n_episodes nb_episodes total_episodes max_epoch num_eps number_of_episodes",
    "fit.updates": "num_updates total_updates",
    "fit.steps_per_epoch": "step_per_epoch log_interval timesteps_per_iteration steps_per_iteration",
    "fit.callbacks": "callback hooks callbacks_list",
    "fit.verbose": "progress_bar verbosity quiet show_progress",
    "fit.validation_env": "eval_env test_env evaluation_env validation_data validation_split eval_envs",
    "fit.validation_episodes fit.episodes": "n_eval_episodes eval_episodes num_eval_episodes episode_per_test validation_steps",
    "fit.validation_freq": "eval_freq evaluation_interval eval_interval eval_frequency",
    "compile.jit_compile": "jit xla compile",
    "compile.run_eagerly": "eager debug",
    "compile.loss": "loss_fn loss_function",
}
# What no argument says.
_ADVICE = {
    "env_kwargs": "an environment with arguments of its own is a callable: lambda: gymnasium.make(\"CartPole-v1\", ...)",
    "target_kl": "`kagent.TRPO(env, max_kl=...)` bounds the KL divergence",
    "anneal_lr": 'let the rate fall: learning_rate={"type": "linear", "initial": 3e-4, "final": 0.0}',
    "num_minibatches": "`batch_size` is the size of one minibatch",
    "dueling": "`kagent.DuelingDQN(env)` has dueling heads",
    "prioritized_replay": 'memory={"type": "prioritized", "capacity": 100_000}',
    "use_gae": "`gae_lambda` belongs to `kagent.PPO` and `kagent.TRPO`",
    "render_mode": "make the environment yourself: env=gymnasium.make(\"CartPole-v1\", render_mode=\"human\")",
    "render": "make the environment yourself: env=gymnasium.make(\"CartPole-v1\", render_mode=\"human\")",
    "batch_size": "the size of batches is the agent's: kagent.PPO(env, batch_size=...)",
    "reset_num_timesteps": "counters go on from one `fit` to the next; a new agent begins at 0",
}  # fmt: skip
_ADVICE["kwargs"] = _ADVICE["make_kwargs"] = _ADVICE["env_config"] = _ADVICE["vec_env_kwargs"] = _ADVICE["env_kwargs"]
_ADVICE["env_args"] = _ADVICE["env_kwargs"]
_ADVICE["prioritized"] = _ADVICE["prioritized_replay_alpha"] = _ADVICE["per"] = _ADVICE["prioritized_replay"]

_MEANT: dict[str, list[str]] = {}
for _own, _others in _NAMES.items():
    for _other in _others.split():
        _MEANT.setdefault(_other, []).extend(_own.split())

_POLICY = re.compile(r"(Actor|Cnn|Mlp|MultiInput)\w*Policy")
POLICY_ADVICE = (
    'No policy is named: `network` says its layers, as in {example}(env, network={{"type": "mlp", "units": [64, 64]}})'
)


def suggest(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `name` probably means, or None.

    Args:
        name: What was received.
        known: What there is; "fit.steps" is `steps` too.

    Example:

    >>> suggest("gamma", ["discount", "horizon"])
    'discount'
    >>> suggest("hori_zon", ["discount", "horizon"])
    'horizon'
    """
    known, plain = list(known), _plain(name)
    for wanted in _MEANT.get(plain, []):
        for key in known:
            if key == wanted or key.rpartition(".")[2] == wanted.rpartition(".")[2]:
                return key
    if plain in _ADVICE or plain in _MEANT:
        return None
    last = [key for key in known if key.endswith(f".{name}")]
    close = difflib.get_close_matches(name, known, n=1) or last or difflib.get_close_matches(plain, known, n=1)
    return close[0] if close else None


def advise(name: str) -> str | None:
    """A sentence about a name for which there is no argument here, or None.

    Example:

    >>> advise("total_timesteps")
    "'total_timesteps' is `steps` of `fit`: agent.fit(env, steps=...)"
    """
    plain = _plain(name)
    if plain in _ADVICE:
        return f"{name!r}: {_ADVICE[plain]}"
    for wanted in _MEANT.get(plain, [plain]):
        method, _, argument = wanted.rpartition(".")
        if not method and f"fit.{argument}" in _NAMES:
            method = "fit"
        if method:
            call = f"agent.fit(env, {argument}=...)" if method == "fit" else f"agent.{method}({argument}=...)"
            return f"{name!r} is `{argument}` of `{method}`: {call}"
    return f"{name!r} is `{_MEANT[plain][0]}` in kagent, which is no argument here" if plain in _MEANT else None


def meaning(name: str) -> str:
    """kagent's name for `name`, or `name` itself with underscores: "lr" is "learning_rate", "num_steps" may be "n_steps"."""
    plain = _plain(name)
    return _MEANT.get(plain, [plain])[0]


def hints(unknown: Collection[str], known: Iterable[str]) -> str:
    """The end of a message about names that are not known: a blank and what is meant by them, or "" .

    Example:

    >>> hints(["lr"], ["learning_rate", "discount"])
    " Did you mean 'learning_rate'?"
    """
    known = list(known)
    meant = {name: suggest(str(name), known) for name in unknown}
    found = {name: own for name, own in meant.items() if own is not None}
    said = [advice for name, own in meant.items() if own is None and (advice := advise(str(name)))]
    parts = []
    if found:
        pairs = [f"{own!r}" if len(meant) == 1 else f"{own!r} for {name!r}" for name, own in found.items()]
        parts.append(f" Did you mean {', '.join(pairs)}?")
    return "".join([*parts, *(f" {sentence}." for sentence in said)])


def refusal(what: str, unknown: Collection[str], known: Collection[str]) -> str:
    """The message about settings that `what` does not take."""
    return f"{what} has no argument {sorted(unknown)}.{_hints_and_known(unknown, known)}"


def unexpected(what: str, unknown: Collection[str], known: Collection[str]) -> str:
    """The message about keywords that were given in a call of `what`, in Python's words."""
    return f"{what} got an unexpected keyword argument {', '.join(map(repr, sorted(unknown)))}.{_hints_and_known(unknown, known)}"


def _hints_and_known(unknown: Collection[str], known: Collection[str]) -> str:
    return f"{hints(sorted(unknown), known)} Known: {', '.join(sorted(known))}."


def is_policy_name(value: object) -> bool:
    """Whether this is the name of a policy of Stable-Baselines3, such as "MlpPolicy"."""
    return bool(_POLICY.fullmatch(value if isinstance(value, str) else getattr(value, "__name__", "")))


def _plain(name: str) -> str:
    return name.strip().lstrip("-").lower().replace("-", "_").rpartition(".")[2]
