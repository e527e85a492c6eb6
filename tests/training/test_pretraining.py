"""pretrain: what traces hold comes into the memory, and is learned as in training."""

import numpy as np
import pytest
from agent_states import differences, state_of
from gymnasium import spaces
from toy_envs import Counter, Identity
from variants import thorough

import kagent
from kagent import traces
from kagent.callbacks import Recorder
from kagent.traces import save_trace
from kagent.training import pretraining

KINDS = ("dqn", "ppo", "sac")
OBSERVATION = spaces.Box(-1, 1, (2,), np.float32)
ACTION = spaces.Discrete(3, start=4)
BOX = spaces.Box(np.float32([-2]), np.float32([4]))
EAGER = {"run_eagerly": True}  # of few updates; tracing them takes longer


def agent_for(small, kind="dqn", observation=OBSERVATION, action=ACTION, **changes):
    given = {"observation_space": observation, "action_space": BOX if kind == "sac" else action, "compiled": EAGER}
    return small(kind, env=None, **{"learning_rate": 1e-2, **given, **changes})


def demonstrate(folder, count=4, length=10, box=False, masks=False):
    """Traces of one episode each: the action is the third of [-1, 1] that the observation's first number lies in."""
    rng = np.random.default_rng(0)
    for number in range(count):
        seen = rng.uniform(-1, 1, (length + 1, 2)).astype(np.float32)
        third = np.minimum((seen[:-1, 0] + 1) / 2 * 3, 2).astype(np.int64)
        trace = {
            "observation": seen[:-1], "final_observation": seen[-1:], "action": third + 4,
            "reward": rng.normal(size=length), "terminated": np.zeros(length, bool),
            "truncated": np.arange(length) == length - 1, "episode_length": np.array([length]),
        }  # fmt: skip
        if box:
            trace["action"] = np.float32([-2, 1, 4])[third][:, None]
        if masks:
            trace["action_mask"] = np.eye(3, dtype=bool)[third] | np.eye(3, dtype=bool)[rng.integers(0, 3, length)]
            trace["final_action_mask"] = np.ones((1, 3), bool)
        save_trace(folder / f"trace-{number:09d}.npz", trace)
    return folder


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def accuracy(agent, box=False):
    # Of squashed actions at the bounds, where the distribution is at its edge.
    seen = np.random.default_rng(1).uniform(-1, 1, (300, 2)).astype(np.float32)
    third = np.minimum((seen[:, 0] + 1) / 2 * 3, 2).astype(int)
    if isinstance(agent, kagent.SAC):
        seen, third = seen[third != 1], third[third != 1]
    action = agent.actor.to_env(agent.actor.decide([seen], None, True))[0]
    return np.mean(np.abs(action[:, 0] - np.array([-2, 1, 4])[third]) < 1) if box else np.mean(action == third + 4)


# The agent's own objective ---------------------------------------------------------------------------------


def test_recorded_episodes_are_learned_from(small, tmp_path):
    recorded = small("dqn", start=10_000)
    recorded.fit("CartPole-v1", episodes=5, verbose=0, callbacks=[Recorder(tmp_path, frequency=2)])
    agent, files = small("dqn", seed=1), contents(tmp_path)
    before = agent.get_weights()
    history = agent.pretrain(tmp_path, num_iterations=3, num_traces=2, num_updates=5)
    assert any((old != new).any() for old, new in zip(before, agent.get_weights()))
    assert contents(tmp_path) == files and len(files) == 2
    assert sorted(history) == ["gradient_norm", "loss", "q_mean"] and all(
        len(values) == 3 for values in history.values()
    )
    assert np.isfinite(history["loss"]).all() and len(set(history["loss"])) == 3
    assert (agent.updates, agent.timesteps, agent.episodes, agent.counters.due_updates_done) == (15, 0, 0, 0)
    agent.fit("CartPole-v1", steps=28, verbose=0)
    fresh = small("dqn", seed=1, compiled=EAGER)
    fresh.fit("CartPole-v1", steps=28, verbose=0)
    assert agent.updates - 15 == fresh.updates == 4 and agent.timesteps == 28


def test_a_policy_gradient_with_a_replay_memory_learns_from_traces(tmp_path):
    demonstrate(tmp_path)
    agent = kagent.Agent(
        observation_space=OBSERVATION, action_space=ACTION, objective="policy_gradient", memory=100, update=8,
        policy={"network": {"type": "mlp", "units": [4]}}, reward_estimation={"horizon": 2, "discount": 0.9},
        exploration="Sampling", seed=0,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    before = agent.get_weights()
    history = agent.pretrain(tmp_path, num_iterations=2, num_traces=2, num_updates=2)
    assert agent.updates == 4 and len(agent.memory) == 40 and np.isfinite(history["loss"]).all()
    assert any((old != new).any() for old, new in zip(before, agent.get_weights()))


def even_policy(cls, **parts):
    """An agent that takes each of three actions with the probability 1/3, and hardly learns."""
    agent = cls(
        observation_space=OBSERVATION, action_space=ACTION, seed=0,
        **{"policy": {"network": {"type": "mlp", "units": [4]}}, "optimizer": {"type": "SGD", "learning_rate": 1e-9}, **parts},
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    for variable in agent.policy.variables[-2:]:
        variable.assign(np.zeros(variable.shape))
    return agent


@pytest.mark.parametrize(
    "parts",
    [
        {"memory": "recent", "update": {"unit": "timesteps", "batch_size": 2}, "max_episode_timesteps": 9},
        {"memory": "rollout", "update": {"unit": "timesteps", "batch_size": 64, "epochs": 1}},
        {"memory": "recent", "update": {"unit": "episodes", "batch_size": 7}, "max_episode_timesteps": 9},
    ],
)
def test_an_objective_of_rollouts_learns_from_the_traces_of_the_iteration(tmp_path, parts):
    """Rewards of 1: three timesteps return 3, 2, 1; two return 2, 1. The loss is log 3 times the mean return."""
    for length in (3, 2):
        demonstrate(tmp_path / str(length), 1, length)
        trace = traces.load_trace(tmp_path / str(length) / "trace-000000000.npz")
        save_trace(tmp_path / f"trace-{length:09d}.npz", {**trace, "reward": np.ones(length)})
    given = {"objective": "policy_gradient", "reward_estimation": {"horizon": "episode"}, "exploration": "Sampling"}
    agent = even_policy(kagent.Agent, **given, **parts)
    history = agent.pretrain(tmp_path, num_iterations=2, num_traces=1, num_updates=2)
    assert sorted(history["loss"]) == pytest.approx([np.log(3) * 1.5, np.log(3) * 2])
    both = agent.pretrain(tmp_path, num_iterations=1, num_traces=2)
    assert both["loss"] == pytest.approx([np.log(3) * 9 / 5])
    assert (agent.updates, agent.timesteps, agent.counters.batches_drawn, agent.memory.built) == (5, 0, 0, False)


@pytest.mark.parametrize("cls", [kagent.PPO, kagent.VPG, thorough(kagent.A2C), thorough(kagent.TRPO)])
def test_presets_of_rollouts_learn_from_traces_by_their_own_objective(tmp_path, cls):
    demonstrate(tmp_path, length=10)
    own = {kagent.PPO: {"n_steps": 6, "n_envs": 2, "batch_size": 8, "epochs": 3}, kagent.A2C: {"batch_size": 8}}
    parts = own.get(cls, {"max_episode_timesteps": 12})
    agent = cls(
        observation_space=OBSERVATION, action_space=ACTION, network={"type": "mlp", "units": [4]}, seed=0, **parts
    )
    agent.compile(run_eagerly=True)
    before = [w.copy() for w in agent.policy.get_weights()]
    history = agent.pretrain(tmp_path, num_iterations=1, num_traces=2, num_updates=2)
    assert np.isfinite([values[0] for values in history.values()]).all() and "entropy" in history
    assert any((old != new).any() for old, new in zip(before, agent.policy.get_weights()))
    # Twenty timesteps: of PPO three passes in minibatches of 8, of the others as many as there are epochs, in whole.
    steps = {kagent.PPO: 9}.get(cls, agent.update_rule.epochs or 1)
    assert agent.updates == 2 * steps and not agent.memory.built


def test_a_replay_of_episodes_is_learned_from_as_in_training(tmp_path):
    """Another episode than the open one, which stays as it is."""
    demonstrate(tmp_path, count=2, length=5)
    agent = even_policy(
        kagent.Agent, objective="policy_gradient", memory="replay", update={"unit": "episodes", "batch_size": 2},
        reward_estimation={"horizon": "episode"}, max_episode_timesteps=12, exploration="Sampling",
    )  # fmt: skip
    for reward in (7.0, 8.0):
        agent.act(np.zeros(2, np.float32))
        agent.observe(reward, False)
    opened = agent.memory.positions.copy()
    agent.pretrain(tmp_path, 1, num_traces=2)
    assert agent.updates == 1 and len(agent.memory) == 10 and agent.memory.positions.tolist() == opened.tolist()
    agent.act(np.zeros(2, np.float32))
    agent.observe(9.0, True)
    rewards = agent.memory.storage.views["reward"]
    assert rewards[10:13].tolist() == [7.0, 8.0, 9.0] and agent.memory.finished == 3


@pytest.mark.parametrize("cls", [kagent.DPG, kagent.Random, kagent.Constant])
def test_a_policy_that_cannot_be_cloned_is_refused(tmp_path, cls):
    demonstrate(tmp_path, box=True)
    agent = cls(observation_space=OBSERVATION, action_space=BOX)
    with pytest.raises(
        ValueError, match=r"'behavior_cloning' needs a ValuePolicy or a StochasticPolicy\. Received: .*Policy"
    ):
        agent.pretrain(tmp_path, 1, objective="behavior_cloning")


@pytest.mark.parametrize("missing", ["directory", "traces"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_directory_is_said_before_anything_changes(small, tmp_path, kind, missing):
    agent, folder = small(kind), tmp_path / "nowhere"
    if missing == "traces":
        folder.mkdir()
    before = state_of(agent)
    with pytest.raises(ValueError, match=r"`directory` must .*nowhere"):
        agent.pretrain(folder, 1)
    assert differences(state_of(agent), before) == []


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_memory_is_what_training_would_have_made_of_it(small, tmp_path, nested, masked):
    env = Counter(lengths=(2, 3), ends=("terminated", "truncated", "both"), nested=nested, masked=masked)
    given = {"start": 10_000, "exploration": 1.0, "compiled": EAGER}
    agents = [small("dqn", env=env, seed=seed, **given) for seed in (0, 1)]
    agents[0].fit(env, steps=15, verbose=0, callbacks=[Recorder(tmp_path, frequency=6)])
    agents[1].pretrain(tmp_path, 1)
    first, second = (agent.memory.state() for agent in agents)
    assert first.keys() == second.keys() and first["counters"].tolist() == [15, 15]
    for name, block in first.items():
        np.testing.assert_array_equal(second[name], block)
    views = agents[1].memory.storage.views
    assert ("action_mask.0" in views) == masked
    assert not masked or (views["action_mask.0"][:15].sum(1) == 2).all()


def test_actions_of_a_box_come_back(small, tmp_path):
    env = Identity(spaces.Box(np.float32([-2, 0]), np.float32([2, 0.1])))
    given = {"start": 10_000, "exploration": "Sampling", "compiled": EAGER}
    agents = [small("sac", env=env, seed=seed, **given) for seed in (0, 1)]
    agents[0].fit(env, steps=20, verbose=0, callbacks=[Recorder(tmp_path, frequency=2)])
    agents[1].pretrain(tmp_path, 1)
    first, second = (agent.memory.storage.views["action.0"][:20] for agent in agents)
    np.testing.assert_allclose(second, first, atol=1e-5)
    assert first.std() > 0.2


@pytest.mark.thorough
def test_an_update_is_that_of_training(small, tmp_path):
    """The same draws from the same memory by another way: the dataset, through Keras's fit."""
    for kind, changes in (("dqn", {"target_update_period": 8}), ("sac", {})):
        folder = demonstrate(tmp_path / kind, box=kind == "sac")
        agent, twin = (agent_for(small, kind, **changes) for _ in range(2))
        agent.pretrain(folder, 1, num_traces=2, num_updates=3)
        twin.fit(agent.memory.dataset(8, seed=agent._random.sample_seed), steps_per_epoch=3, verbose=0)
        target = "target_policy" if kind == "dqn" else "target_critic"
        for part in ("policy", target):
            for one, other in zip(getattr(agent, part).variables, getattr(twin, part).variables):
                np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-6)
        online = agent.policy if kind == "dqn" else agent.critic
        moved = [(a.numpy() != b.numpy()).any() for a, b in zip(getattr(agent, target).variables, online.variables)]
        assert any(moved) and agent.updates == twin.updates == 3


def test_several_iterations_add_up_and_a_small_memory_keeps_the_latest(small, tmp_path):
    demonstrate(tmp_path)
    agent = agent_for(small, memory=500)
    agent.pretrain(tmp_path, num_iterations=3, num_traces=2)
    assert len(agent.memory) == 60
    agent.pretrain(tmp_path, num_iterations=1, num_traces=4)
    assert len(agent.memory) == 100 and agent.updates == 4
    tiny = agent_for(small, memory=9)
    (path,) = traces.trace_files(demonstrate(tmp_path / "one", count=1))
    tiny.pretrain(path.parent, num_iterations=1)
    latest = np.float32(traces.load_trace(path)["reward"][1:])
    assert sorted(tiny.memory.storage.views["reward"].tolist()) == sorted(latest.tolist())


def test_files_take_turns_in_an_order_of_the_agents_own(small, tmp_path, monkeypatch):
    demonstrate(tmp_path, count=5)
    read, load = [], traces.load_trace
    monkeypatch.setattr(traces, "load_trace", lambda path, *spaces: (read.append(path.name), load(path, *spaces))[1])
    orders = []
    for seed in (0, 0, 1):
        agent = agent_for(small, seed=seed)
        streams = {name: str(g.bit_generator.state) for name, g in agent._random.generators.items()}
        agent.pretrain(tmp_path, num_iterations=6, num_traces=2)
        changed = [name for name, g in agent._random.generators.items() if str(g.bit_generator.state) != streams[name]]
        assert changed == ["pretrain"] and len(read) == 12
        for passes in (read[:4], read[4:8], read[8:]):
            assert len(set(passes)) == 4  # of five, the fifth fills no iteration
        orders.append((read[:], agent.get_weights()))
        read.clear()
    assert orders[0][0] == orders[1][0] != orders[2][0]
    assert all((one == other).all() for one, other in zip(orders[0][1], orders[1][1]))


# Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("dqn", {"num_traces": 5}, "`num_traces` must be at most 4, the files there. Received: 5"),
        ("dqn", {"num_iterations": 0}, "`num_iterations` must be an integer >= 1. Received: 0"),
        ("dqn", {"num_updates": 1.5}, "`num_updates` must be an integer >= 1. Received: 1.5"),
        ("dqn", {"objective": "cloning"}, "`objective` must be one of .*'behavior_cloning'.*Received: 'cloning'"),
        (
            "sac",
            {},
            r"Trace '.*trace-000000000.npz': array 'action' must be \(10, 1\) float32. Received: \(10,\) int64",
        ),
    ],
)
def test_refusals_change_nothing(small, tmp_path, kind, arguments, message):
    demonstrate(tmp_path)
    agent = agent_for(small, kind)
    before = state_of(agent)
    with pytest.raises(ValueError, match=message):
        agent.pretrain(tmp_path, **{"num_iterations": 1, **arguments})
    assert differences(state_of(agent), before) == []


def test_masks_always_or_never(small, tmp_path):
    agent = agent_for(small)
    agent.pretrain(demonstrate(tmp_path / "without"), 1)
    before = state_of(agent)
    with pytest.raises(ValueError, match="transitions without action masks and the traces have them"):
        agent.pretrain(demonstrate(tmp_path / "with", masks=True), 1)
    demonstrate(tmp_path / "without", count=1, masks=True)
    for objective in (None, "behavior_cloning"):
        with pytest.raises(
            ValueError, match=r"always or never. Received: \['action_mask', 'final_action_mask'\].*0.npz.*1.npz"
        ):
            agent.pretrain(tmp_path / "without", 1, objective=objective)
    assert differences(state_of(agent), before) == []


def test_a_broken_file_is_named_and_adds_nothing(small, tmp_path):
    demonstrate(tmp_path, count=1)
    path = tmp_path / "trace-000000000.npz"
    trace = traces.load_trace(path)
    trace["action"][3] = 7
    save_trace(path, trace)
    agent = agent_for(small)
    with pytest.raises(ValueError, match=r"trace-000000000.npz': array 'action' must be from 4 to 6. Received: 7"):
        agent.pretrain(tmp_path, 1)
    assert len(agent.memory) == agent.updates == 0


# Behaviour cloning -----------------------------------------------------------------------------------------


@pytest.mark.sensitive
@pytest.mark.parametrize(
    ("kind", "changes", "updates"),
    [
        ("dqn", {"jit": True, "compiled": {"steps_per_execution": 4}}, 100), thorough(("ppo", {"epochs": 4}, 20)),
        thorough(("sac", {"gradient_steps": 20}, 40)),
        thorough(("ppo", {"action": BOX, "log_std": -1.0, "network": {"type": "mlp", "units": [32, 32]}, "learning_rate": 3e-3}, 30)),
    ],
)  # fmt: skip
def test_cloning_does_what_was_done(small, tmp_path, kind, changes, updates):
    box = kind == "sac" or "action" in changes
    files = contents(demonstrate(tmp_path, length=50, box=box))
    agent = agent_for(small, kind, **changes)
    jit, compiled = changes.get("jit", False), changes.get("compiled", {})
    agent.compile(jit_compile=jit, **compiled)
    before = accuracy(agent, box)
    history = agent.pretrain(tmp_path, 2, 4, num_updates=updates, objective="behavior_cloning")
    assert set(history) - {"gradient_norm"} == {"loss"} and history["loss"][1] < history["loss"][0]
    assert accuracy(agent, box) > max(0.75, before) and contents(tmp_path) == files
    assert all(np.isfinite(w).all() for w in agent.get_weights())
    # In one update: minibatches of a replay agent; of a rollout's, passes over 200 timesteps, 8 at a time.
    steps = {"dqn": compiled.get("steps_per_execution", 1), "sac": 20, "ppo": 25 * changes.get("epochs", 2)}[kind]
    assert agent.updates == 2 * updates * steps and agent.timesteps == agent.counters.batches_drawn == 0
    assert not agent.memory.built


def test_cloning_and_training_go_on_with_each_other(small, tmp_path):
    agent = small("ppo", env=Identity(ACTION), batch_size=16, epochs=1, compiled=EAGER)
    demonstrations = kagent.PPO(Identity(ACTION), seed=3)
    demonstrations.compile(jit_compile=False)
    demonstrations.fit(Identity(ACTION), steps=60, verbose=0, callbacks=[Recorder(tmp_path, frequency=3)])
    agent.fit(Identity(ACTION), steps=20, verbose=0)
    agent.pretrain(tmp_path, 1, num_updates=2, objective="behavior_cloning")
    updates = agent.updates
    agent.fit(Identity(ACTION), steps=44, verbose=0)
    assert agent.timesteps == 64 and agent.updates > updates


def test_cloning_looks_at_the_traces_of_the_iteration_alone(small, tmp_path, monkeypatch):
    for count, length in ((2, 5), (1, 30)):
        demonstrate(tmp_path, count, length)  # one of 30 timesteps and one of 5
    looked, update = [], pretraining._Cloning.update
    monkeypatch.setattr(pretraining._Cloning, "update", lambda self: (looked.append(len(self.memory)), update(self))[1])
    agent_for(small).pretrain(tmp_path, 4, objective="behavior_cloning")
    assert sorted(looked) == [5, 5, 30, 30]


def test_cloning_obeys_masks(small, tmp_path):
    """With masks, what is forbidden need not be unlearned: the loss is lower from the start."""
    first = []
    for masks in (False, True):
        agent = agent_for(small, learning_rate=1e-6, gradient_steps=8)
        folder = demonstrate(tmp_path / str(masks), masks=masks)
        first.append(agent.pretrain(folder, 1, 4, objective="behavior_cloning")["loss"][0])
    assert first[0] == pytest.approx(np.log(3), abs=0.3) and 0.2 < first[1] < 0.75 * first[0]


# Files -----------------------------------------------------------------------------------------------------


def test_its_random_stream_is_saved(small, tmp_path):
    demonstrate(tmp_path / "traces")
    agent = agent_for(small)
    agent.pretrain(tmp_path / "traces", 1)
    agent.save(tmp_path / "a.keras", include_memory=True)
    loaded = kagent.load(tmp_path / "a.keras")
    loaded.jit_compile, loaded.run_eagerly = False, True
    assert differences(state_of(loaded), state_of(agent)) == []
    for each in (agent, loaded):
        each.pretrain(tmp_path / "traces", 2, 2)
    assert differences(state_of(loaded), state_of(agent)) == []


def test_files_of_agents_without_that_stream_are_read(small, tmp_path):
    older, agent = small("dqn", start=10_000), small("dqn", seed=5)
    kept = older._random.generators.pop("pretrain")
    older.fit("CartPole-v1", steps=30, verbose=0)
    older.save(tmp_path / "older.keras")
    older.save_weights(tmp_path / "older.weights.h5")
    own = str(agent._random["pretrain"].bit_generator.state)
    agent.load_weights(tmp_path / "older.weights.h5")
    assert agent.timesteps == 30 and str(agent._random["pretrain"].bit_generator.state) == own
    loaded = kagent.load(tmp_path / "older.keras")
    assert str(loaded._random["pretrain"].bit_generator.state) == str(kept.bit_generator.state)
