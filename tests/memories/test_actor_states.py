"""What the actor knew of an episode, kept beside each timestep for losses that need it."""

import gymnasium
import keras
import numpy as np
import pytest

import kagent
from kagent import policies
from kagent.memories import Replay, Rollout
from kagent.memories.transition import Transition
from kagent.reward_estimation import RewardEstimation
from kagent.schedules import Clock
from kagent.update import Update

BOX, TWO = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32), gymnasium.spaces.Discrete(2)
SPECS = [((2,), np.dtype(np.float32)), ((), np.dtype(np.int64))]


def step(numbers, ended=False, state=True):
    numbers = np.asarray(numbers)
    flags, parts = np.full(len(numbers), ended), [np.stack([numbers, -numbers], 1).astype(np.float32), numbers * 10]
    place = [numbers[:, None].astype(np.float32)]
    return Transition(
        place, [numbers.astype(np.int32) % 2], numbers.astype(float), flags, ~flags & False, place,
        actor_state=parts if state else None,
    )  # fmt: skip


def test_a_window_has_the_state_of_its_first_timestep():
    memory = Replay(capacity=8)
    memory.keep_state(SPECS)
    rule = Update(unit="timesteps", batch_size=2, frequency=1, steps=1)
    memory.configure(rule, RewardEstimation(horizon=2, discount=0.5), Clock)
    memory.build(BOX, TWO, num_envs=2)
    for t in range(4):
        memory.append_step(step([t + 1, 100 + t + 1], ended=t == 3))
    found = memory.nest(memory.storage.views)
    rows = {int(place): i for i, place in enumerate(found["observation"][:8, 0])}
    # 1 + 2 / 2 + 3 / 4, and the last windows of the episode are shorter.
    assert [found["reward"][rows[n]] for n in (1, 2, 3, 4)] == [2.75, 2 + 1.5 + 1, 3 + 2, 4]
    first, second = found["actor_state"]
    assert all(first[i].tolist() == [n, -n] and second[i] == 10 * n for n, i in rows.items())


def test_open_windows_come_back_with_their_states():
    def made():
        memory = Replay(capacity=8)
        memory.keep_state(SPECS)
        memory.configure(Update(batch_size=2, frequency=1, steps=1), RewardEstimation(horizon=3), Clock)
        memory.build(BOX, TWO)
        return memory

    one, other = made(), made()
    for t in range(6):
        one.append_step(step([t]))
    other.restore({name: np.array(part) for name, part in one.state().items()})
    for memory in (one, other):
        memory.append_step(step([6], ended=True))
    assert all(np.array_equal(part, other.state()[name]) for name, part in one.state().items())


@pytest.mark.parametrize("make", [lambda: Replay(capacity=4), lambda: Rollout(steps=4)])
def test_timesteps_without_the_state_are_refused(make):
    memory = make()
    memory.keep_state(SPECS)
    memory.build(BOX, TWO)
    with pytest.raises(ValueError, match=r"keeps the actor's state of every timestep, 2 part\(s\)"):
        memory.append_step(step([1], state=False))
    plain = make()
    plain.build(BOX, TWO)
    plain.append_step(step([1]))  # a state that nobody needs is dropped
    assert "actor_state" not in plain.nest(plain.storage.views)


@keras.saving.register_keras_serializable("test_actor_states")
class Remembering(policies.StochasticPolicy):
    keeps_state = True


def agent_of(**arguments):
    agent = kagent.PPO(
        "Pendulum-v1",
        policy=Remembering(network={"type": "mlp", "units": [4]}, state_dependent_noise=3),
        n_steps=8,
        batch_size=8,
        epochs=1,
        seed=0,
        **arguments,
    )
    agent.compile(run_eagerly=True)
    return agent


def kept(agent):
    return [np.array(part) for part in agent.memory.nest(agent.memory.storage.views)["actor_state"]]


def test_a_rollout_has_the_noise_that_was_acted_with():
    agent, seen = agent_of(n_envs=2), []
    act = agent.actor.decide_from

    def watched(leaves, state, *rest):
        seen.append([np.array(part) for part in state])
        return act(leaves, state, *rest)

    agent.actor.decide_from = watched
    agent.fit("Pendulum-v1", steps=16, verbose=0)
    found = kept(agent)
    assert len(found) == len(agent.actor.initial_state(1)) > 0
    for i, part in enumerate(found):
        expected = np.concatenate([state[i] for state in seen[:8]])
        assert np.array_equal(part, expected.astype(part.dtype))
    assert any(np.ptp(part) > 0 for part in found)


def test_minibatches_have_the_state_and_a_loop_of_ones_own_keeps_it():
    agent, batches = agent_of(), []
    train_step = agent.train_step

    def watched(batch):
        batches.append(batch)
        return train_step(batch)

    agent.train_step = watched
    env = gymnasium.make("Pendulum-v1")
    observation, _ = env.reset(seed=1)
    for _ in range(8):
        action = agent.act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        agent.observe(reward, terminated, truncated, observation)
    (batch,) = batches
    shapes = [(8, *part.shape[1:]) for part in agent.actor.initial_state(1)]
    assert [tuple(part.shape) for part in batch["actor_state"]] == shapes
    rows = [np.sort(part.reshape(8, -1), axis=0) for part in kept(agent)]
    assert all(np.array_equal(np.sort(np.reshape(b, (8, -1)), axis=0), r) for b, r in zip(batch["actor_state"], rows))


def test_it_goes_through_files(tmp_path):
    one = agent_of()
    one.fit("Pendulum-v1", steps=12, verbose=0)
    one.save_weights(tmp_path / "a.weights.h5")
    other = agent_of()
    other.load_weights(tmp_path / "a.weights.h5")
    assert all(np.array_equal(a[:4], b[:4]) for a, b in zip(kept(one), kept(other)))
    one.fit("Pendulum-v1", steps=12, verbose=0)
    other.fit("Pendulum-v1", steps=12, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights()))


def test_what_others_did_is_refused_before_anything_is_remembered():
    agent = agent_of()
    with pytest.raises(ValueError, match="keeps the state that the actor acted from, and `experience` has none"):
        agent.experience(np.zeros((2, 3)), np.zeros((2, 1)), [0, 1], [0.0, 0.0])
    assert agent.timesteps == 0 and len(agent.memory) == 0
