"""Names of arguments: close ones, and those of other libraries.

The table holds names of Stable-Baselines3, RLlib, TF-Agents, Tianshou, CleanRL, Tensorforce and Keras. Constructors, `fit`,
`Agent.create`, parts, as objects and as dicts, and the command line all look names up here. Imports neither Keras nor TensorFlow.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from kagent.config.advice import ADVICE

# kagent's name to the names that it has elsewhere. Of several names of kagent the first that the class takes is meant;
# "fit.steps" is an argument of `fit`, "act.mask" one of `act`, "part.size" one of a part alone.
_NAMES = {
    "learning_rate optimizer": "lr lrate rate step_size initial_lr",
    "learning_rate critic_learning_rate": "policy_lr pi_lr actor_lr actor_learning_rate policy_learning_rate",
    "critic_learning_rate critic_optimizer": "critic_lr vf_lr value_lr q_lr qf_lr",
    "temperature_learning_rate learning_rate optimizer": "alpha_lr ent_coef_lr temperature_lr alpha_learning_rate",
    "critic_optimizer": "value_optimizer vf_optimizer q_optimizer",
    "discount": "gamma discount_factor discount_rate",
    "gae_lambda return_lambda reward_estimation": "lambda lambda_ lam lambda_value gae_lam td_lambda q_lambda gae",
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
    "max_kl target_kl": "max_kl_divergence kl_threshold kl_bound kl_target",
    "value_clip_range": "clip_range_vf vf_clip_param value_clip cliprange_vf value_clip_param",
    "cg_iterations": "cg_max_steps cg_iters max_cg_iterations",
    "linesearch_iterations": "line_search_max_iter line_search_steps backtrack_steps",
    "critic_steps": "n_critic_updates optim_critic_iters train_v_iters vf_iterations vf_iters",
    "memory capacity": (
        "buffer_size replay_size replay_buffer_size memory_size replay_capacity replay_buffer_capacity "
        "replay_buffer_max_length max_replay_size replay_buffer replay_buffer_config replay_buffer_class "
        "replay_buffer_kwargs buffer buffer_capacity memory_capacity experience_replay max_size"
    ),
    "part.capacity part.batch_size": "size maxlen max_len limit",
    "n_steps memory": (
        "num_steps n_step_rollout rollout_length rollout_steps rollout_fragment_length step_per_collect "
        "collect_steps collect_steps_per_iteration horizon_length nsteps steps_per_update train_batch_size "
        "train_batch_size_per_learner update_timestep"
    ),
    "batch_size": (
        "minibatch_size sgd_minibatch_size mini_batch_size batchsize minibatch subsampling_fraction bs "
        "nbatch sample_batch_size batch"
    ),
    "epochs gradient_steps": (
        "n_epochs num_epochs update_epochs ppo_epoch ppo_epochs k_epochs num_sgd_iter n_optimizer_epochs "
        "repeat_per_collect noptepochs train_iters multi_step"
    ),
    "n_envs": (
        "num_envs num_env n_env nenvs env_num training_num num_environments num_workers num_env_runners "
        "num_envs_per_worker num_envs_per_env_runner num_rollout_workers num_parallel_environments"
    ),
    "start": (
        "learning_starts learning_start start_learning start_updating start_steps warmup warmup_steps random_steps "
        "initial_collect_steps start_timesteps min_buffer_size min_replay_size learn_start update_after "
        "num_steps_sampled_before_learning_starts nb_steps_warmup start_training replay_start_size"
    ),
    "frequency": (
        "train_freq train_frequency update_frequency update_freq update_every train_every train_interval "
        "training_intensity learn_every update_interval step_per_train freq every"
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
    "part.initial": "start start_value init begin initial_value value_max",
    "part.final": "end end_value stop final_value value_min",
    "part.amount part.sigma": "std stddev scale",
    "part.beta_1": "betas beta1",
    "exploration part.final part.amount part.epsilon part.sigma": (
        "epsilon eps epsilon_greedy exploration_rate exploration_config exploration_noise action_noise ou_stddev "
        "noise noise_std expl_noise sigma ou_noise eps_training policy_noise"
    ),
    "dueling": "is_dueling use_dueling enable_dueling_network dueling_dqn dueling_network dueling_architecture",
    "noisy": "is_noisy use_noisy noisy_net noisy_nets noisynet noisy_networks noisy_dqn",
    "atoms": "num_atoms n_atoms",
    "low": "v_min vmin",
    "high": "v_max vmax",
    "double": "double_q is_double enable_double_dqn double_dqn use_double double_q_learning",
    "huber": "huber_loss huber_delta use_huber td_errors_loss_fn clip_loss_grad huber_loss_delta delta_clip",
    "subset": "num_min_qs num_min_q num_q_min subset_size target_subset",
    "policy_delay": "policy_freq policy_frequency actor_delay policy_update_delay actor_update_freq update_actor_freq",
    "target_noise": "target_policy_noise target_noise_std",
    "target_noise_clip": "noise_clip target_policy_noise_clip",
    "quantiles samples": "n_quantiles num_quantiles",
    "samples": "n_tau num_tau num_tau_samples online_sample_size",
    "target_samples": "n_tau_prime num_tau_prime_samples target_sample_size",
    "policy_samples": "num_quantile_samples sample_size",
    "cosines": "n_cos num_cosines embedding_dim quantile_embedding_dim",
    "expectile": "iql_tau iql_expectile expectile_tau",
    "inverse_temperature": "beta awr_temperature adv_temperature iql_temperature weight_temp",
    "max_weight": "max_advantage adv_clip exp_adv_max max_exp_advantage",
    "alpha": "cql_alpha cql_weight conservative_weight min_q_weight bc_alpha",
    "backup_entropy": "entropy_backup use_entropy_backup entropy_in_target",
    "policy_warmup": "bc_steps bc_iters bc_warmup policy_eval_start",
    "drawn_actions": "n_action_samples cql_n_actions num_actions num_random n_random_actions",
    "part.n_sampled_goals": "n_sampled_goal her_k future_k replay_k",
    "part.strategy": "goal_selection_strategy her_strategy replay_strategy",
    "sequence_length": "max_seq_len seq_len sequence_len unroll_length bptt_length",
    "members": "n_critics num_critics n_critic twin_q num_q twin ensemble_size",
    "network part.activation": "activation activation_fn act act_fn nonlinearity hidden_activation",
    "network policy part.units part.size": (
        "net net_arch policy_kwargs hidden_sizes hidden_dim hidden_dims hidden_layers hidden_units layers layer_sizes "
        "fc_layer_params fcnet_hiddens hiddens model_config q_network q_net qnet actor_network actor_net actor model network_spec "
        "units network_arch"
    ),
    "state_dependent_noise part.period": "use_sde sde sde_sample_freq use_gsde gsde",
    "part.expln": "use_expln",
    "log_std": "log_std_init init_log_std initial_log_std",
    "critic": "value_network value_net critic_network critic_net vf",
    "baseline": "baseline_policy critic",
    "l2_regularization": "weight_decay l2 l2_reg l2_coef",
    "act.deterministic exploration": "explore",
    "act.deterministic": "greedy exploit eval_mode training train stochastic is_training",
    "act.mask": "action_mask action_masks available_actions legal_actions valid_actions avail_actions",
    "act.observation": "obs state",
    "observe.next_observation": "next_obs next_state obs_next new_obs new_state new_observation state_next",
    "observe.terminated": "done dones is_done is_terminal terminal_flag",
    "observe.truncated": "truncate truncation time_limit_reached",
    "observe.reward": "rewards rew",
    "act.parallel": "env_index env_idx stream",
    "save.include_memory": "save_memory save_buffer include_buffer include_replay_buffer with_memory",
    "save.servable": "servable_only numpy numpy_only deployable for_serving",
    "save.filepath pretrain.directory": "path filename file file_path fname save_path folder",
    "normalize preprocessing": (
        "observation_filter obs_filter normalize_observations normalize_obs norm_obs obs_norm normalize_env vec_normalize "
        "norm_reward norm_rewards normalize_reward normalize_rewards reward_norm reward_normalization rew_norm"
    ),
    "preprocessing": "frame_stack framestack num_stack observation_wrapper",
    "max_episode_timesteps": "max_episode_steps max_ep_len max_episode_length max_ep_length time_limit nb_max_episode_steps",
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
    "fit.step_timeout": "timeout",
    "fit.reset_options": "reset_kwargs",
    "fit.replay_limit": "",
    "compile.jit_compile": "jit xla compile",
    "compile.optimizer": "",
    "compile.run_eagerly": "eager debug",
    "compile.steps_per_execution": "steps_per_call",
    "compile.metrics": "metric",
}
_FIRST = {"fit": "env, ", "act": "observation, "}
_MEANT: dict[str, list[str]] = {}
_BESIDE: dict[str, list[str]] = {}  # kagent's names to those of the same meaning in other places of kagent
for _own, _others in _NAMES.items():
    for _other in _others.split():
        _MEANT.setdefault(_other, []).extend(_own.split())
    for _name in _own.split():
        _BESIDE.setdefault(_name, []).extend(_own.split())
_OPPOSITES = ("explore", "training", "train", "is_training", "stochastic")  # of `deterministic`

_PARTS = {
    "ActionNoise": "gaussian gaussian_noise normal normal_noise normal_action_noise noise",
    "CNN": "nature nature_cnn conv conv2d convnet",
    "EpsilonGreedy": "egreedy e_greedy eps_greedy epsilon",
    "Hindsight": "her_replay_buffer hindsight_replay_buffer hindsight_experience_replay_buffer",
    "Impala": "resnet residual impalacnn",
    "MLP": "dense fc fcnet fully_connected feedforward",
    "OrnsteinUhlenbeckNoise": "ou ou_noise ornstein_uhlenbeck_action_noise",
    "Prioritized": "per prioritized_replay_buffer prioritized_experience_replay",
    "Recent": "fifo queue",
    "ReplayEpisodes": "episode_replay episode_replay_buffer",
    "ReplaySequences": "r2d2 sequence_replay sequence_replay_buffer recurrent_replay recurrent_replay_buffer",
    "Replay": "replay_buffer buffer uniform uniform_replay experience_replay deque",
    "Rollout": "rollout_buffer on_policy",
    "Sampling": "softmax boltzmann stochastic categorical",
}

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
    beside = [] if _method_of(plain) else _BESIDE.get(plain, [])
    for wanted in [*_MEANT.get(plain, []), *beside]:
        for key in known:
            if key == wanted or key.rpartition(".")[2] == wanted.rpartition(".")[2]:
                return key
    if plain in ADVICE or plain in _MEANT:
        return None
    last = [key for key in known if key.endswith(f".{name}")]
    if _method_of(plain) and not last:
        return None
    close = difflib.get_close_matches(name, known, n=1) or last or difflib.get_close_matches(plain, known, n=1)
    return close[0] if close else None


def advise(name: str) -> str | None:
    """A sentence about a name for which there is no argument here, or None.

    Example:

    >>> advise("total_timesteps")
    "'total_timesteps' is `steps` of `fit`: agent.fit(env, steps=...)"
    """
    plain = _plain(name)
    if plain in ADVICE:
        return f"{name!r}: {ADVICE[plain]}"
    meant = [wanted for wanted in _MEANT.get(plain, [plain]) if not wanted.startswith("part.")]
    for wanted in meant:
        method, _, argument = wanted.rpartition(".")
        method = method or _method_of(argument)
        if method:
            call = f"agent.{method}({_FIRST.get(method, '')}{argument}=...)"
            return f"{name!r} is `{argument}` of `{method}`: {call}"
    return f"{name!r} is `{meant[0]}` in kagent, which is no argument here" if plain in _MEANT and meant else None


def _method_of(argument: str) -> str:
    return next((method for method in ("fit", "compile") if f"{method}.{argument}" in _NAMES), "")


def suggest_part(name: str, known: Iterable[str]) -> str | None:
    """The part among `known` that `name` probably means, or None.

    Example:

    >>> suggest_part("replay_buffer", ["Prioritized", "Replay"])
    'Replay'
    """
    known, plain = list(known), _plain(name).replace("_", "")
    for own, others in _PARTS.items():
        if own in known and plain in others.replace("_", "").split():
            return own
    if _plain(name) in ADVICE:
        return None
    lower = {own.lower(): own for own in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    return lower[close[0]] if close else None


def part_hint(name: str, known: Iterable[str]) -> str:
    """The end of a message about a part that is not known: a blank and what is meant by it, or "".

    Example:

    >>> part_hint("HerReplayBuffer", ["Hindsight", "Replay"])
    " Did you mean 'Hindsight'?"
    """
    close = suggest_part(name, known)
    if close is not None:
        return f" Did you mean {close!r}?"
    plain = _plain(name)
    return f" {name!r}: {ADVICE[plain]}." if plain in ADVICE else ""


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
        own_words = {name: f"{own!r}{_turned(name, own)}" for name, own in found.items()}
        pairs = [own if len(meant) == 1 else f"{own} for {name!r}" for name, own in own_words.items()]
        parts.append(f" Did you mean {', '.join(pairs)}?")
    return "".join([*parts, *(f" {sentence}." for sentence in said)])


def _turned(name: str, own: str) -> str:
    return ", its opposite" if own == "deterministic" and _plain(name) in _OPPOSITES else ""


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
