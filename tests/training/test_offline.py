"""fit of recorded episodes: what is in the memory, how long it learns, statistics, validation, resume, and what is refused."""

import re

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from agent_states import differences, state_of
from gymnasium import spaces
from keras.callbacks import BackupAndRestore
from toy_envs import Counter
from variants import thorough

from kagent import datasets
from kagent.callbacks import EpisodeCSV, EpisodeLog, Recorder
from kagent.traces import save_trace

pytestmark = pytest.mark.eager
OBSERVATION, ACTION = spaces.Box(-50, 50, (2,), np.float32), spaces.Discrete(3)


def trace(number=0, length=10, masks=False, **changes):
    rng = np.random.default_rng(number)
    seen = rng.normal(5, 3, (length + 1, 2)).astype(np.float32)
    found = {
        "observation": seen[:-1], "final_observation": seen[-1:], "action": rng.integers(0, 3, length),
        "reward": rng.normal(size=length), "terminated": np.zeros(length, bool),
        "truncated": np.arange(length) == length - 1, "episode_length": np.array([length]), **changes,
    }  # fmt: skip
    if masks:
        found["action_mask"] = np.eye(3, dtype=bool)[found["action"]] | np.array([True, False, False])
        found["final_action_mask"] = np.ones((1, 3), bool)
    return found


def agent_for(small, **changes):
    return small(
        "dqn", env=None, observation_space=OBSERVATION, action_space=ACTION, **{"target_update_period": 7, **changes}
    )


def test_a_folder_goes_into_the_memory_and_is_learned_from(small, tmp_path):
    recorded = small("dqn", start=10_000)
    recorded.fit("CartPole-v1", episodes=4, verbose=0, callbacks=[Recorder(tmp_path)])
    count = len(recorded.memory)
    agent = small("dqn", seed=1)
    history = agent.fit(tmp_path, epochs=2, verbose=0, validation_env="CartPole-v1", validation_episodes=2)
    passes = -(-count // 8)
    assert agent.updates == 2 * passes and (agent.timesteps, agent.episodes) == (0, 0) and len(agent.memory) == count
    assert history.epoch == [0, 1] and history.history["updates"] == [passes, 2 * passes]
    assert {"loss", "q_mean", "updates", "val_episode_return"} <= set(history.history)
    for name in ("observation.0", "reward", "terminated", "truncated", "next_observation.0"):
        found, expected = (np.asarray(one.memory.storage.views[name][:count]) for one in (agent, recorded))
        np.testing.assert_array_equal(found, expected)
    again = agent.fit(str(tmp_path), updates=5, verbose=0)  # the same episodes are not there twice
    assert again.history["updates"] == [2 * passes + 5] and len(agent.memory) == count
    agent.fit("CartPole-v1", steps=20, verbose=0)  # and on with an environment
    assert len(agent.memory) == count + 20 and agent.timesteps == 20
    with pytest.raises(ValueError, match=rf"holds {count + 20} transitions that are not of recorded episodes"):
        agent.fit(tmp_path, verbose=0)
    assert len(agent.memory) == count + 20


@pytest.mark.parametrize(
    "changes", [{"prioritized": True}, {"gradient_steps": 3}, thorough({}), thorough({"horizon": 2})]
)
def test_it_is_what_pretrain_does_of_one_trace(small, tmp_path, changes):
    save_trace(tmp_path / "trace-0.npz", trace(length=40))
    one, other = agent_for(small, **changes), agent_for(small, **changes)
    one.pretrain(tmp_path, num_iterations=1, num_updates=6)
    other.fit(tmp_path, updates=6 * changes.get("gradient_steps", 1), verbose=0)
    found, expected = state_of(other), state_of(one)
    assert [name for name in differences(found, expected) if "pretrain" not in name and "random" not in name] == []


def test_statistics_are_those_of_all_the_episodes(small):
    episodes = datasets.Episodes([trace(n, 20 + n) for n in range(4)])
    agent = agent_for(small, normalize="observation", memory=200)
    agent.fit(episodes, updates=2, verbose=0)
    seen = np.concatenate([np.concatenate([t["observation"], t["final_observation"]]) for t in episodes])
    (statistics,) = agent.preprocessing.statistics()[0]
    np.testing.assert_allclose(statistics["mean"], seen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(statistics["variance"], seen.var(0), rtol=1e-5)
    kept = np.asarray(agent.memory.storage.views["observation.0"][:20])
    np.testing.assert_allclose(kept, (episodes[0]["observation"] - seen.mean(0)) / seen.std(0), atol=1e-4)
    after = np.asarray(agent.memory.storage.views["next_observation.0"][:20])
    np.testing.assert_array_equal(after[:-1], kept[1:])
    agent.fit(episodes, updates=2, verbose=0)
    assert float(agent.preprocessing.statistics()[0][0]["weight"]) == len(seen)  # not learned again


def test_masks_come_along(small):
    agent = agent_for(small)
    agent.fit(datasets.Episodes([trace(n, masks=True) for n in range(3)]), updates=2, verbose=0)
    assert agent.memory.masked and np.asarray(agent.memory.storage.views["action_mask.0"][:30]).all(1).mean() < 1
    mixed = datasets.Episodes([trace(0), trace(1, masks=True)])
    with pytest.raises(ValueError, match="action masks always or never"):
        agent_for(small).fit(mixed, verbose=0)


class Killed(Exception):
    pass


def test_killed_and_resumed_is_uninterrupted(small, tmp_path):
    episodes = datasets.Episodes([trace(n) for n in range(5)])

    def kill(epoch, logs):
        if epoch == 1:
            raise Killed

    def fit(*callbacks):
        agent = agent_for(small, learning_rate={"type": "Linear", "initial": 1e-2, "final": 1e-3})
        history = agent.fit(episodes, epochs=4, callbacks=[*callbacks], verbose=0)
        return agent, history.history["loss"]

    whole, losses = fit()
    with pytest.raises(Killed):
        fit(BackupAndRestore(tmp_path / "backup"), keras.callbacks.LambdaCallback(on_epoch_end=kill))
    resumed, last = fit(BackupAndRestore(tmp_path / "backup"))
    assert differences(state_of(resumed), state_of(whole)) == [] and last == losses[-len(last) :]


def test_epochs_and_bounds(small):
    episodes = datasets.Episodes([trace(n) for n in range(5)])  # 50 timesteps in batches of 8
    seen = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    agent = agent_for(small)
    assert agent.fit(episodes, verbose=0, callbacks=[watch]).history["updates"] == [7] and seen == list(range(7))
    assert agent.fit(episodes, updates=10, verbose=0).history["updates"] == [14, 17]
    assert agent.fit(episodes, epochs=2, steps_per_epoch=3, verbose=0).history["updates"] == [20, 23]
    assert agent.fit(episodes, max_updates=25, verbose=0).history["updates"] == [25]
    assert agent.fit(episodes, epochs=5, initial_epoch=3, steps_per_epoch=2, verbose=0).epoch == [3, 4]
    with pytest.warns(UserWarning, match="fit takes 0 gradient steps: its bound is reached. The agent has 29"):
        agent.fit(episodes, max_updates=25, verbose=0)
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(agent, "stop_training", epoch == 1))
    assert agent.fit(episodes, max_updates=np.inf, callbacks=[stop], verbose=0).epoch == [0, 1]


@pytest.mark.parametrize("changes", [{}, *map(thorough, ({"prioritized": True}, {"gradient_steps": 2}))])
def test_a_bound_inside_a_call_shortens_the_call(small, tmp_path, changes):
    episodes = datasets.Episodes([trace(n) for n in range(5)])
    seen, steps = [], changes.get("gradient_steps", 1)

    def made():
        return agent_for(small, compiled={"run_eagerly": True, "steps_per_execution": 3}, **changes)

    agent = made()
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(agent.updates))
    agent.fit(episodes, updates=7 * steps, verbose=0, callbacks=[watch])
    assert seen == [3 * steps, 6 * steps, 7 * steps]
    agent.save_weights(tmp_path / "a.weights.h5")
    again = made()
    again.load_weights(tmp_path / "a.weights.h5")
    assert again._run.recorded == 50  # the file says it: the episodes may be put into the memory again
    for one in (agent, again):  # the element behind that of the short call is the same with an iterator and without
        one.fit(episodes, epochs=1, steps_per_epoch=5 * steps, verbose=0)
        assert one.updates == 12 * steps
    assert differences(state_of(again), state_of(agent)) == []


def test_a_dataset_of_transitions_is_validated_too(small, tmp_path):
    agent = small("dqn", env=Counter())
    agent.fit(Counter(), steps=40, verbose=0)
    log = tmp_path / "log.csv"
    history = agent.fit(
        agent.memory.dataset(8), epochs=2, steps_per_epoch=2, validation_env=Counter, validation_episodes=2,
        validation_freq=2, callbacks=[keras.callbacks.CSVLogger(log)], verbose=0,
    )  # fmt: skip
    assert len(history.history["val_episode_return"]) == 1
    assert "val_episode_return" in log.read_text().splitlines()[0]


def test_what_cannot_be_learned_from_is_refused_and_nothing_changes(small, tmp_path):
    episodes = datasets.Episodes([trace(n) for n in range(5)])
    for words, message in (
        ({"steps": 10}, "gradient steps. Received: steps"),
        ({"n_envs": 2, "max_episodes": 3}, "Received: max_episodes, n_envs"),
        ({"steps_per_epoch": "episode"}, "`steps_per_epoch` must be an integer"),
        ({"epochs": 0}, "`epochs` must be an integer"),
        ({"verbose": 3}, "`verbose` must be"),
        (
            {"reset_options": {}, "step_timeout": 3},
            r"go with `validation_env`. Received: reset_options=\{\}, step_timeout=3",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            agent_for(small).fit(episodes, **{"verbose": 0, **words})
    with pytest.raises(ValueError, match=r"needs a replay memory.*Received: an agent with a Rollout"):
        small("ppo", env=None, observation_space=OBSERVATION, action_space=ACTION).fit(episodes, verbose=0)
    with pytest.raises(ValueError, match=r"room for all 50 timesteps of the recorded episodes. Received: capacity=49"):
        agent_for(small, memory=49).fit(episodes, verbose=0)
    with pytest.raises(ValueError, match="must hold traces"):
        agent_for(small).fit(tmp_path, verbose=0)
    sequences = {
        "network": {"rnn": 3},
        "memory": {"type": "replay_sequences", "sequence_length": 4, "burn_in": 1, "capacity": 50},
    }
    with pytest.raises(ValueError, match=r"without recurrent layers.*Received: DQN with recurrent layers"):
        agent_for(small, **sequences).fit(episodes, verbose=0)
    transitions = tf.data.Dataset.from_tensors({"reward": [1.0]})
    with pytest.raises(ValueError, match="Received: step_timeout=3"):
        agent_for(small).fit(transitions, step_timeout=3, verbose=0)
    agent = agent_for(small, normalize=True)
    agent.fit(episodes, updates=1, verbose=0)
    before = state_of(agent)
    wrong = datasets.Episodes([trace(1), trace(2, reward=np.full(10, np.nan))])
    with pytest.raises(ValueError, match=r"Trace 1 of episodes.*'reward'"):
        agent.fit(wrong, verbose=0)
    assert differences(state_of(agent), before) == []


def test_a_full_memory_that_has_overwritten_recorded_steps_is_not_replaced(small):
    agent = small("dqn", memory=40, batch_size=4, start=1)
    rows = {"observation": np.zeros((40, 4), np.float32), "final_observation": np.zeros((1, 4), np.float32)}
    episodes = datasets.Episodes([trace(length=40, action=np.zeros(40, np.int64), **rows)])
    agent.fit(episodes, updates=1, verbose=0)
    agent.fit(episodes, updates=1, verbose=0)
    agent.fit("CartPole-v1", steps=5, verbose=0)
    with pytest.raises(ValueError, match="40 transitions that are not of recorded episodes"):
        agent.fit(episodes, updates=1, verbose=0)


def test_episodes_of_other_forms_are_refused_by_name(small):
    for none in ([], iter(())):
        with pytest.raises(ValueError, match="must have an episode"):
            datasets.Episodes(none)
    for wrong, kind in ((trace(), "dict"), ("folder", "str"), (3, "int")):
        with pytest.raises(TypeError, match=f"`readers` must be a list of traces.*Received: {kind}. .*from_traces"):
            datasets.Episodes(wrong)
    agent = agent_for(small)
    for wrong, message in (
        ([1, 2], r"Trace 1 of episodes must be a dict of arrays. Received: list"),
        (trace(reward=[1.0] * 10), r"Trace 1 of episodes: it must be NumPy arrays by name. Received: list as 'reward'"),
        ({**trace(), 3: np.ones(10)}, r"Received: ndarray as 3"),
        (
            trace(length=0, truncated=np.zeros(0, bool)),
            r"it must have at least one timestep. Received: 'reward' of shape \(0,\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            agent.fit(datasets.Episodes([trace(), wrong]), verbose=0)
    with pytest.raises(
        TypeError, match=r"Received: list\. .*`fit` of a directory of traces, of kagent\.datasets\.Episodes\(\["
    ):
        agent.fit([trace()], updates=1, verbose=0)


def test_callbacks_of_episodes_are_told_of(small, tmp_path):
    given = [
        EpisodeLog(),
        Recorder(tmp_path / "r"),
        EpisodeCSV(tmp_path / "e.csv"),
        keras.callbacks.CSVLogger(tmp_path / "l.csv"),
    ]
    agent = agent_for(small)
    with pytest.warns(
        UserWarning, match="plays no episodes, and EpisodeCSV, EpisodeLog, Recorder will have nothing to write"
    ):
        agent.fit(datasets.Episodes([trace()]), updates=1, callbacks=given, verbose=0)


def test_a_memory_that_a_callback_clears_is_said(small):
    clear = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: agent.memory.clear())
    agent = agent_for(small)
    with pytest.raises(ValueError, match="`memory` was cleared while `fit` learned"):
        agent.fit(datasets.Episodes([trace()]), updates=2, steps_per_epoch=1, callbacks=[clear], verbose=0)


def test_a_name_of_an_environment_is_no_folder(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CartPole-v1").mkdir()
    agent = small("dqn")
    agent.fit("CartPole-v1", steps=3, verbose=0)
    assert agent.timesteps == 3 and "CartPole-v1" in gymnasium.registry


def test_its_progress_is_a_line_of_gradient_steps(small, capsys):
    data = datasets.Episodes([trace(0), trace(1)])
    agent_for(small).fit(data, updates=3, steps_per_epoch=2, verbose=2)
    first, line, second, last = capsys.readouterr().out.splitlines()
    assert (first, second) == ("Epoch 1/2", "Epoch 2/2")
    assert re.fullmatch(r"2/2 - \d+s - loss: \d\.\d{4} - updates: 2", line)
    assert re.fullmatch(r"1/2 - \d+s - loss: \d\.\d{4} - updates: 3", last)
