"""What a memory must hold: the documented formula, inferred and enforced."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_envs import Counter

import kagent
from kagent import RewardEstimation, Update, memories
from kagent.memories import (
    Prioritized,
    Recent,
    RecentEpisodes,
    Replay,
    ReplayEpisodes,
    Rollout,
    required_capacity,
    resolve,
)
from kagent.schedules import Linear


@given(batch=st.integers(1, 500), horizon=st.integers(0, 200), longest=st.none() | st.integers(1, 1000))
def test_the_formula_for_timesteps(batch, horizon, longest):
    found = required_capacity(Update(batch_size=batch), RewardEstimation(horizon=horizon), longest)
    assert found == max(batch + 1 + horizon, longest or 0)


@given(batch=st.integers(1, 500), longest=st.integers(1, 1000))
def test_the_formulas_with_whole_episodes(batch, longest):
    episode = RewardEstimation(horizon="episode")
    assert required_capacity(Update(batch_size=batch), episode, longest) == batch + 1 + longest
    for estimation in (episode, RewardEstimation(horizon=3)):
        rule = Update("episodes", batch_size=batch)
        assert required_capacity(rule, estimation, longest) == (batch + 1) * longest


def test_a_horizon_that_is_a_schedule_counts_with_its_largest():
    estimation = RewardEstimation(horizon=Linear(2.0, 7.5, steps=10, unit="timesteps"))
    assert required_capacity(Update(batch_size=8), estimation) == 8 + 1 + 7


@pytest.mark.parametrize(
    "rule, estimation",
    [(Update("episodes", batch_size=2), RewardEstimation()), (Update(), RewardEstimation(horizon="episode"))],
)
def test_what_cannot_be_inferred_is_said(rule, estimation):
    with pytest.raises(ValueError, match=r"`memory.capacity` cannot be inferred .*: give it, or max_episode_timesteps"):
        required_capacity(rule, estimation)
    with pytest.raises(ValueError, match=r"`memory.capacity` cannot be inferred"):
        resolve(None, rule, estimation)
    assert resolve(50, rule, estimation).capacity == 50  # given, it cannot be checked


def test_every_memory_is_inferred():
    timesteps, episodes = Update(batch_size=8), Update("episodes", batch_size=3)
    estimation = RewardEstimation(horizon=3)
    for identifier, rule, kind, capacity in (
        (None, timesteps, Replay, 20),
        ("replay", timesteps, Replay, 20),
        ("recent", timesteps, Recent, 20),
        ("prioritized", timesteps, Prioritized, 20),
        ({"type": "recent"}, episodes, RecentEpisodes, 80),
        (None, episodes, ReplayEpisodes, 80),
    ):
        memory = resolve(identifier, rule, estimation, max_episode_timesteps=20)
        assert type(memory) is kind and memory.capacity == capacity
    assert isinstance(resolve({"type": "rollout", "steps": 4}, timesteps, estimation, 20), Rollout)


def test_too_small_a_capacity_is_refused_with_the_least():
    rule, estimation = Update(batch_size=8), RewardEstimation(horizon=3)
    for capacity, longest, least in ((11, None, 12), (12, 13, 13)):
        with pytest.raises(ValueError, match=rf"`memory.capacity` must be at least {least} .*Received: {capacity}"):
            resolve(capacity, rule, estimation, longest)
        assert resolve(least, rule, estimation, longest).capacity == least


def test_an_agent_infers_and_refuses_before_any_step():
    def make(**parts):
        size = {} if "update" in parts else {"batch_size": 8}
        return kagent.DQN(Counter(), **{**size, "network": {"type": "mlp", "units": []}, **parts})

    agent = make(memory=None, reward_estimation={"horizon": 3})
    assert agent.memory.capacity == 12 and kagent.DQN.from_config(agent.get_config()).memory.capacity == 12
    assert make(memory="replay").memory.capacity == 13  # DQN's own horizon is 4
    assert make(memory="replay", horizon=0).memory.capacity == 9
    with pytest.raises(ValueError, match=r"`memory.capacity` must be at least 12 .*Received: 11"):
        make(memory=11, reward_estimation={"horizon": 3})
    with pytest.raises(ValueError, match=r"`memory.capacity` cannot be inferred with update.unit='episodes'"):
        make(memory="recent", update={"unit": "episodes", "batch_size": 2})


def test_a_memory_without_capacity_needs_an_agent():
    for kind in (Replay, Recent, RecentEpisodes, Prioritized):
        with pytest.raises(ValueError, match=r"`memory.capacity` must be given here. Received: None"):
            kind().build(Counter().observation_space, Counter().action_space)


def test_the_former_name_stays():
    assert memories.suit is resolve
