"""Sentences about words of other libraries that no argument of kagent stands for."""

from __future__ import annotations

ADVICE = {
    "env_kwargs": "an environment with arguments of its own is a callable: lambda: gymnasium.make(\"CartPole-v1\", ...)",
    "anneal_lr": 'let the rate fall: learning_rate={"type": "linear", "initial": 3e-4, "final": 0.0}',
    "num_minibatches": "`batch_size` is the size of one minibatch",
    "loss": "an algorithm has its own loss; `objective` takes another one",
    "dueling": "`kagent.DQN(env, dueling=True)` has dueling heads",
    "prioritized_replay": "`kagent.DQN(env, prioritized=True)`, or memory={\"type\": \"prioritized\", \"capacity\": 100_000}",
    "use_sde_at_warmup": 'exploration="sampling" acts by the policy from the first timestep on',
    "clip_vloss": "`kagent.PPO(env, value_clip_range=...)` says how far values may move",
    "use_gae": "`gae_lambda` belongs to `kagent.PPO` and `kagent.TRPO`",
    "render_mode": "make the environment yourself: env=gymnasium.make(\"CartPole-v1\", render_mode=\"human\")",
    "render": "make the environment yourself: env=gymnasium.make(\"CartPole-v1\", render_mode=\"human\")",
    "vec_env_cls": "a vector environment of processes is made by gymnasium: env=gymnasium.make_vec(\"CartPole-v1\", 8, \"async\")",
    "seed": "the seed is the agent's, from its making on: kagent.PPO(env, seed=0)",
    "framework": "kagent runs on TensorFlow, by Keras: there is nothing to choose",
    "optimize_memory_usage": "a replay memory stores each observation of 512 bytes or more once",
    "action_scaling": "actions are brought to the bounds of the environment's space",
    "capture_video": "`kagent record FOLDER` makes a video of a trained agent",
    "stop_fn": 'a callback ends training: keras.callbacks.EarlyStopping("episode_return", mode="max", patience=10)',
    "save_best_fn": 'a callback saves: keras.callbacks.ModelCheckpoint("a.keras", "episode_return", mode="max", save_best_only=True)',
    "batch_size": "the size of batches is the agent's: kagent.PPO(env, batch_size=...)",
    "lr_schedule": 'a learning rate may be a schedule: learning_rate={"type": "linear", "initial": 3e-4, "final": 0.0}',
    "optimizer_kwargs": 'an optimizer may be a dict: optimizer={"type": "adam", "learning_rate": 3e-4, "epsilon": 1e-5}',
    "gpu": 'device="GPU:0"',
    "normalize": 'preprocessing="running_normalization" normalizes observations',
    "reward_scale": 'preprocessing={"reward": {"type": "rescaling", "scale": 0.1}} scales rewards',
    "input_shape": "shapes are those of the environment's spaces",
    "weights_only": 'agent.save_weights("agent.weights.h5") writes weights, training state and memory, not the structure',
    "include_optimizer": "optimizers go to every file of an agent",
    "save_format": 'the name says the format: agent.save("agent.keras"), agent.save_weights("agent.weights.h5")',
    "beta": "`inverse_temperature` is of kagent.IQL, `entropy_coefficient` of kagent.PPO",
    "lstm": 'a recurrent network is network={"rnn": 64}, or has Keras layers in a list: network=[keras.layers.LSTM(64)]',
    "enable_critic_lstm": 'the critic has a recurrent network of its own; critic="shared" shares the policy\'s',
    "burn_in": "`kagent.memories.ReplaySequences` has one, for DQN with a recurrent network",
    "with_lagrange": "the weight of kagent.CQL's penalty is fixed: kagent.CQL(env, alpha=5.0)",
    "deterministic_backup": "kagent.CQL has its opposite, `backup_entropy`, which is False by default",
    "bc_steps": 'clone first: agent.pretrain("folder", num_iterations, objective="behavior_cloning")',
    "demonstrations": 'recorded episodes are what `fit` takes: agent.fit("folder", updates=10_000)',
    "her": "hindsight is a memory: memory=kagent.memories.Hindsight(100_000)",
    "reset_num_timesteps": "counters go on from one `fit` to the next; a new agent begins at 0",
}  # fmt: skip
ADVICE["kwargs"] = ADVICE["make_kwargs"] = ADVICE["env_config"] = ADVICE["vec_env_kwargs"] = ADVICE["env_kwargs"]
ADVICE["env_args"] = ADVICE["env_kwargs"]
ADVICE["loss_fn"] = ADVICE["loss_function"] = ADVICE["loss"]
ADVICE["cuda"] = ADVICE["use_gpu"] = ADVICE["use_cuda"] = ADVICE["gpu"]
ADVICE["state_dim"] = ADVICE["action_dim"] = ADVICE["obs_dim"] = ADVICE["input_dim"] = ADVICE["input_shape"]
for _other in "lstm_hidden_size n_lstm_layers lstm_units lstm_cell_size use_lstm gru rnn recurrent rnn_hidden_dim rnn_units".split():
    ADVICE[_other] = ADVICE["lstm"]
for _other in "dataset offline_data offline_dataset expert_data expert_demonstrations".split():
    ADVICE[_other] = ADVICE["demonstrations"]
ADVICE["shared_lstm"] = ADVICE["enable_critic_lstm"]
ADVICE["lagrange_thresh"] = ADVICE["lagrange"] = ADVICE["target_action_gap"] = ADVICE["with_lagrange"]
ADVICE["bc_iters"] = ADVICE["bc_warmup"] = ADVICE["bc_steps"]
ADVICE["visualize"] = ADVICE["render"]
ADVICE["action_bound_method"] = ADVICE["action_scaling"]
ADVICE["final_prioritized_replay_beta"] = ADVICE["prioritized"] = ADVICE["prioritized_replay_alpha"] = ADVICE["per"] = (
    ADVICE["prioritized_replay"]
)
