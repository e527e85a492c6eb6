"""When updates happen, to the timestep."""

import keras
import numpy as np
import pytest
from toy_envs import Counter

import kagent
from kagent import Update
from kagent.callbacks import Callback


class Instants(keras.callbacks.Callback):
    """Writes down the timesteps at which updates are made."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.model.timesteps)


class Episodes(Instants):
    """Writes down the finished episodes at which updates are made."""

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.model.episodes)


def instants(agent, steps, **arguments):
    callback = Instants()
    agent.fit("CartPole-v1", steps=steps, callbacks=[callback], verbose=0, **arguments)
    return callback.seen


def configured(small, **rule):
    return small("dqn", update={"unit": "timesteps", **rule}, compiled={"run_eagerly": True})


def test_a_batch_size_alone_is_the_frequency_too(small):
    assert instants(configured(small, batch_size=8), 40) == [8, 16, 24, 32, 40]


def test_the_first_waits_for_the_start_across_episodes(small):
    agent = configured(small, batch_size=8, frequency=25, start=100)
    assert instants(agent, 160) == [100, 125, 150]
    assert agent.episodes > 2  # random play lasts some 20 steps
    assert instants(agent, 40) == [175, 200]


def test_the_first_waits_for_a_batch(small):
    assert instants(configured(small, batch_size=10, frequency=4, start=3), 20) == [10, 14, 18]


def test_a_part_of_the_batch_size(small):
    assert instants(configured(small, batch_size=32, frequency=0.25), 60) == [32, 40, 48, 56]


def test_a_frequency_may_be_a_schedule(small, tmp_path):
    """It is read at each update, and says when the next one is due; also after a file."""
    linear = {"type": "linear", "unit": "timesteps", "num_steps": 20, "initial_value": 2, "final_value": 7}
    agent = configured(small, batch_size=4, frequency=linear)
    assert agent.update_rule.period == 2
    assert instants(agent, 20) == [4, 7, 11, 16]  # 3, 3.75, 4.75 and 6 later
    agent.save_weights(tmp_path / "a.weights.h5")
    again = configured(small, batch_size=4, frequency=linear)
    again.load_weights(tmp_path / "a.weights.h5")
    assert instants(again, 20) == instants(agent, 20) == [22, 29, 36]
    assert again.get_config()["update"]["frequency"]["type"] == "Linear"
    two = configured(small, batch_size=4, frequency=linear)
    two.compile(jit_compile=False, steps_per_execution=2)
    assert instants(two, 8) == [8]  # the second, 4 after the first as it is read then
    with pytest.raises(ValueError, match=r"`update.frequency` must be in"):
        Update(frequency={**linear, "initial_value": 0.5})


def test_due_updates_are_taken_together(small):
    agent = configured(small, batch_size=8, frequency=5)
    agent.compile(jit_compile=False, steps_per_execution=3)
    assert instants(agent, 50) == [18, 33, 48]  # 8, 13, 18 | 23, 28, 33 | ...
    assert agent.updates == 9


def test_a_bound_on_gradient_steps_inside_a_call_shortens_the_call(small):
    agent = configured(small, batch_size=8, frequency=5)
    agent.compile(jit_compile=False, steps_per_execution=3)
    callback = Instants()
    agent.fit("CartPole-v1", updates=4, callbacks=[callback], verbose=0)
    assert callback.seen == [18, 23] and agent.updates == 4
    assert instants(agent, 15) == [38] and agent.updates == 7  # 28, 33, 38, in one call as before
    agent.fit("CartPole-v1", max_updates=8, verbose=0)
    assert (agent.updates, agent.timesteps) == (8, 43)


def test_several_environments_count_together(small):
    agent = configured(small, batch_size=8, frequency=4)
    assert instants(agent, 24, n_envs=3) == [9, 12, 18, 21, 24]  # due at 8, 12, 16, 20, 24


def test_never_leaves_it_to_the_user(small):
    agent = configured(small, batch_size=8, frequency="never")
    assert instants(agent, 100) == [] and agent.updates == 0
    before = agent.get_weights()
    logs = agent.update()
    assert agent.updates == 1 and np.isfinite(logs["loss"])
    assert not all((a == b).all() for a, b in zip(before, agent.get_weights()))
    assert instants(agent, 20) == []


def test_an_update_asked_for_moves_none_that_is_due(small):
    class Asking(Callback):
        def on_episode_end(self, episode, logs=None):
            self.model.update()

    agent = configured(small, batch_size=8, frequency=30)
    seen, asking = Instants(), Asking()
    history = agent.fit("CartPole-v1", steps=120, steps_per_epoch=120, callbacks=[seen, asking], verbose=0).history
    assert seen.seen == [8, 38, 68, 98]
    assert agent.episodes > 1 and agent.updates == 4 + agent.episodes == history["updates"][0]
    agent = configured(small, batch_size=8, frequency="never")
    history = agent.fit("CartPole-v1", steps=120, callbacks=[asking], verbose=0).history
    assert np.isfinite(history["loss"][-1])


def test_there_must_be_something_to_learn_from(small):
    with pytest.raises(RuntimeError, match="`update` needs a memory with experience"):
        small("dqn").update()
    agent = small("ppo")
    agent.fit("CartPole-v1", steps=10, verbose=0)
    with pytest.raises(RuntimeError, match="`update` needs a full rollout"):
        agent.update()


@pytest.mark.parametrize("wrong", [0, -1, 0.0, 1.5, "always", True, float("nan")])
def test_frequencies_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"`update.frequency` must be an integer >= 1, a part .* Received: "):
        Update(frequency=wrong)


def test_a_rollout_has_no_frequency(small):
    config = {
        **small("ppo").get_config(),
        "update": {"unit": "timesteps", "batch_size": 8, "epochs": 2, "frequency": 4},
    }
    with pytest.raises(
        ValueError, match=r"A rollout memory is learned from when it is full, .*no update.steps, update.frequency"
    ):
        kagent.Agent.from_config(config)


def test_it_is_the_agent_s_rule_and_in_its_file(small, tmp_path):
    agent = configured(small, batch_size=8, frequency=0.5)
    agent.save(tmp_path / "a.keras")
    assert kagent.load(tmp_path / "a.keras").update_rule == agent.update_rule == Update(batch_size=8, frequency=0.5)
    assert (agent.update_rule.first, agent.update_rule.period) == (8, 4)


# Counted in episodes ---------------------------------------------------------------------------------------


def episodic(rule, env=None, memory="recent", capacity=100, **parts):
    """The policy gradient on a toy, on whole episodes."""
    agent = kagent.Agent(
        Counter() if env is None else env,
        policy={"type": "StochasticPolicy", "network": {"type": "mlp", "units": [4]}},
        objective="policy_gradient",
        memory={"type": memory, "capacity": capacity},
        update={"unit": "episodes", **rule},
        reward_estimation={"horizon": "episode", "discount": 0.9},
        exploration="sampling",
        seed=0,
        **parts,
    )
    agent.compile(run_eagerly=True)
    return agent


@pytest.mark.parametrize("memory", ["recent", "replay"])
def test_episodes_first_at_the_start_then_every_period(memory):
    env, watch = Counter(lengths=(1,)), Episodes()
    agent = episodic({"batch_size": 3, "frequency": 2, "start": 5}, env, memory)
    agent.fit(env, episodes=20, callbacks=[watch], verbose=0)
    assert watch.seen == [5, 7, 9, 11, 13, 15, 17, 19] and agent.updates == 8
    agent.fit(env, episodes=2, callbacks=[watch], verbose=0)
    assert watch.seen[8:] == [21]


@pytest.mark.parametrize("frequency, expected", [(None, [4, 8, 12]), (0.5, [4, 6, 8, 10, 12]), ("never", [])])
def test_episodes_and_the_other_frequencies(frequency, expected):
    env, watch = Counter(lengths=(2, 5)), Episodes()
    agent = episodic({"batch_size": 4, "frequency": frequency}, env)
    agent.fit(env, episodes=13, callbacks=[watch], verbose=0)
    assert watch.seen == expected


def test_episodes_of_several_environments_count_together():
    watch = Episodes()
    agent = episodic({"batch_size": 2, "frequency": 1})
    agent.fit(lambda: Counter(lengths=(3,)), episodes=6, n_envs=3, callbacks=[watch], verbose=0)
    assert watch.seen == [3, 3, 6, 6, 6]  # due at 2, 3, 4, 5, 6; three end at once
    assert agent.updates == 5


def test_episodes_in_a_loop_of_ones_own():
    env = Counter(lengths=(2,))
    agent, seen = episodic({"batch_size": 2, "frequency": 3}, env), []
    with pytest.raises(RuntimeError, match="`update` needs a memory with a finished episode"):
        agent.update()
    observation, _ = env.reset()
    for step in range(1, 20):
        observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
        if agent.observe(reward, terminated, truncated, observation) is not None:
            seen.append(step)
        if terminated or truncated:
            observation, _ = env.reset()
    assert seen == [4, 10, 16]  # at the end of episodes 2, 5 and 8


def test_what_does_not_go_with_episodes_is_refused(small):
    with pytest.raises(ValueError, match=r"`memory` Rollout counts timesteps and needs update.unit='timesteps'"):
        kagent.Agent.from_config(
            {**small("ppo").get_config(), "update": {"unit": "episodes", "batch_size": 2, "epochs": 1}}
        )
    with pytest.raises(ValueError, match=r"`memory` RecentEpisodes counts episodes and needs update.unit='episodes'"):
        episodic({"unit": "timesteps", "batch_size": 2}, memory="RecentEpisodes")
    with pytest.raises(ValueError, match=r"RecentEpisodes gives whole batches, and needs update.epochs, or .*steps=1"):
        episodic({"batch_size": 2, "steps": 3})
    with pytest.raises(ValueError, match=r"A replay memory needs update.steps"):
        episodic({"batch_size": 2, "epochs": 3}, memory="replay")
    with pytest.raises(ValueError, match=r"`steps_per_execution` must be 1 with a RecentEpisodes memory"):
        episodic({"batch_size": 2}).compile(steps_per_execution=2)
    with pytest.raises(ValueError, match=r"`update.unit` must be 'timesteps' or 'episodes'. Received: 'steps'"):
        Update(unit="steps")


@pytest.mark.thorough
def test_recent_timesteps_are_learned_from_again(small):
    config = {
        **small("ppo").get_config(),
        "update": {"unit": "timesteps", "batch_size": 8, "frequency": 4, "epochs": 2},
    }
    agent = kagent.Agent.from_config({**config, "memory": {"type": "recent", "capacity": 20}})
    agent.compile(jit_compile=False)
    assert instants(agent, 30) == [8, 12, 16, 20, 24, 28]
    assert agent.updates == 12 and len(agent.memory) == 20 and agent.train_function.traces == 1
