"""Returns and advantages, with numbers worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import kagent
from kagent import RewardEstimation, reward_estimation, schedules
from kagent.schedules import Clock

NEVER, LAST = [False] * 4, [False, False, False, True]
COUNT, FINAL = [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 1.0]
AHEAD = [20.0, 30.0, 40.0, 50.0]  # values of the successors of states worth 10, 20, 30, 40


def close(found, expected):
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("horizon", "expected"),
    [
        (0, [1, 2, 3, 4]),
        (1, [2, 3.5, 5, 4]),
        (2, [2.75, 4.5, 5, 4]),
        (3, [3.25, 4.5, 5, 4]),
        (100, [3.25, 4.5, 5, 4]),
        ("episode", [3.25, 4.5, 5, 4]),
    ],
)
def test_rewards_up_to_the_horizon(horizon, expected):
    close(RewardEstimation(horizon, 0.5).returns(COUNT, LAST, NEVER), expected)


@pytest.mark.parametrize(
    ("horizon", "expected"), [(0, [18, 27, 36, 1]), (1, [24.3, 32.4, 0.9, 1]), (3, [0.729, 0.81, 0.9, 1])]
)
def test_what_follows_the_horizon_is_estimated(horizon, expected):
    for when in (None, "early", "late"):
        close(RewardEstimation(horizon, 0.9, estimate_horizon=when).returns(FINAL, LAST, NEVER, AHEAD), expected)
    plain = RewardEstimation(horizon, 0.9, estimate_horizon=False).returns(FINAL, LAST, NEVER, AHEAD)
    close(plain, RewardEstimation(horizon, 0.9).returns(FINAL, LAST, NEVER))


def test_a_truncated_episode_loses_no_reward_and_goes_on_behind_its_end():
    # 1 + 0.9 * 50 = 46; two steps: 0 + 0.9 * 46 = 41.4
    close(RewardEstimation(0, 0.9).returns(FINAL, NEVER, LAST, AHEAD), [18, 27, 36, 46])
    close(RewardEstimation(1, 0.9).returns(FINAL, NEVER, LAST, AHEAD), [24.3, 32.4, 41.4, 46])
    close(RewardEstimation("episode", 0.5).returns(COUNT, NEVER, LAST, AHEAD), [6.375, 10.75, 17.5, 29])
    close(RewardEstimation("episode", 0.5).returns(COUNT, NEVER, LAST), [3.25, 4.5, 5, 4])


def test_terminal_states_are_estimated_where_one_asks():
    close(RewardEstimation(0, 0.9, estimate_terminal=True).returns(FINAL, LAST, NEVER, AHEAD), [18, 27, 36, 46])


def test_without_discount_nothing_that_follows_counts():
    for horizon in (0, 2, "episode"):
        close(RewardEstimation(horizon, 0.0).returns(COUNT, NEVER, LAST, AHEAD), COUNT)


def test_an_end_within_keeps_episodes_apart():
    # Episodes 1, 2 (terminated) and 3, 4 (cut by the end of the rows), halved.
    ends = [False, True, False, False]
    close(RewardEstimation("episode", 0.5).returns(COUNT, ends, NEVER, AHEAD), [2, 2, 3 + 0.5 * 29, 4 + 0.5 * 50])
    close(RewardEstimation(1, 0.5).returns(COUNT, ends, NEVER, AHEAD), [2, 2, 17.5, 29])
    close(RewardEstimation(1, 0.5).returns(COUNT, NEVER, ends, AHEAD), [1 + 0.5 * 17, 17, 17.5, 29])


def test_environments_side_by_side():
    rewards, ends = np.stack([COUNT, FINAL], axis=1), np.stack([LAST, NEVER], axis=1)
    found = RewardEstimation(1, 0.5).returns(rewards, ends, np.zeros((4, 2)), np.stack([AHEAD, AHEAD], axis=1))
    # The second goes on: 0 + 0.5 * 0 + 0.25 * 30 and so on, at last 1 + 0.5 * 50.
    close(found, [[2 + 7.5, 7.5], [3.5 + 10, 10], [5, 0.5 * 26], [4, 26]])


def test_lambda_returns():
    one_step = RewardEstimation(0, 0.9).returns(FINAL, LAST, NEVER, AHEAD)
    close(RewardEstimation(0, 0.9, return_lambda=0.0).returns(FINAL, LAST, NEVER, AHEAD), one_step)
    to_the_end = RewardEstimation("episode", 0.9).returns(FINAL, LAST, NEVER, AHEAD)
    close(RewardEstimation(0, 0.9, return_lambda=1.0).returns(FINAL, LAST, NEVER, AHEAD), to_the_end)
    # 1; 0.9 * (0.5 * 40 + 0.5 * 1) = 18.45; 0.9 * (15 + 9.225) = 21.8025; 0.9 * (10 + 10.90125) = 18.811125
    found = RewardEstimation(0, 0.9, return_lambda=0.5).returns(FINAL, LAST, NEVER, AHEAD)
    close(found, [18.811125, 21.8025, 18.45, 1])


def test_advantages():
    values = [10.0, 20.0, 30.0, 40.0]
    rollout = (FINAL, LAST, NEVER, AHEAD)
    close(RewardEstimation(0, 0.9).advantages(*rollout, values), [8, 7, 6, -39])
    close(RewardEstimation(0, 0.9, gae_lambda=0.0).advantages(*rollout, values=values), [8, 7, 6, -39])
    whole = RewardEstimation("episode", 0.9).returns(*rollout) - np.float32(values)
    close(RewardEstimation(0, 0.9, gae_lambda=1.0).advantages(*rollout, values=values), whole)
    # With 0.9 * 0.5 = 0.45: -39; 6 - 17.55; 7 - 5.1975; 8 + 0.811125
    found = RewardEstimation(0, 0.9, gae_lambda=0.5)
    close(found.advantages(*rollout, values=values), [8.811125, 1.8025, -11.55, -39])
    close(found.estimates(*rollout, values)[0], [18.811125, 21.8025, 18.45, 1])
    close(RewardEstimation(1, 0.9).estimates(*rollout, values)[0], [24.3, 32.4, 0.9, 1])


def test_normalizing_leaves_padding_out():
    weight = [1, 1, 0, 0]
    estimation = RewardEstimation(
        0, 0.5, estimate_advantage=True, normalize_returns=True, normalize_advantages=True
    )  # fmt: skip
    rewards, values = [1.0, 3.0, 100.0, 7.0], [0.0, 0.0, 0.0, 0.0]
    close(
        estimation.returns(rewards, LAST, NEVER, weight=weight)[:2], [-(0.5**0.5), 0.5**0.5]
    )  # 1 and 3: mean 2, deviation sqrt(2)
    close(estimation.advantages(rewards, LAST, NEVER, None, values, weight=weight)[:2], [-(0.5**0.5), 0.5**0.5])
    assert estimation.returns(rewards, LAST, NEVER).mean() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("words", [{"estimate_advantage": True}, {"gae_lambda": 0.0}])
def test_advantages_are_of_the_returns_that_the_critic_learns(words):
    # Without what follows, or by a lambda of 0 with values of 0 behind: the returns are 1 and 3, which become -1 and 1 times
    # the root of 1/2; of them the values 0.5 and -0.5 are subtracted.
    estimation = RewardEstimation(0, 0.5, normalize_returns=True, **words)
    rollout = ([1.0, 3.0], [False, True], [False, False], [0.0, 0.0], [0.5, -0.5])
    learned, advantages = estimation.estimates(*rollout)
    close(learned, [-(0.5**0.5), 0.5**0.5])
    close(advantages, [-(0.5**0.5) - 0.5, 0.5**0.5 + 0.5])


def test_schedules_are_read_by_the_clock():
    falling = schedules.Linear(1.0, 0.0, steps=10, unit="updates")
    estimation = RewardEstimation(schedules.Linear(0, 2, steps=10, unit="updates"), falling)
    close(estimation.returns(COUNT, LAST, NEVER), COUNT)  # horizon 0
    close(estimation.returns(COUNT, LAST, NEVER, clock=Clock(updates=5)), [2, 3.5, 5, 4])  # horizon 1, discount 1/2
    lambdas = RewardEstimation(0, 0.9, gae_lambda=falling)
    halfway = lambdas.advantages(FINAL, LAST, NEVER, AHEAD, [10.0, 20.0, 30.0, 40.0], clock=Clock(updates=5))
    close(halfway, [8.811125, 1.8025, -11.55, -39])


def test_a_scheduled_horizon_of_transitions():
    """Windows of consecutive timesteps: after 5 of 10 updates of 2 timesteps, with a discount of 1/2."""
    estimation = RewardEstimation(schedules.Linear(0, 2, steps=10, unit="updates"), 0.5)
    column = np.array([[1.0], [2.0], [3.0], [4.0]], np.float32)
    seen = {name: tf.constant(column) for name in ("observation", "action", "reward")}
    flags = {
        name: tf.constant(np.array(given)[:, None]) for name, given in (("terminated", LAST), ("truncated", NEVER))
    }
    experience = {**seen, **flags, "next_observation": tf.constant(column + 10), "valid": tf.ones((4, 1), bool)}
    for updates, reward, discount, successor in (
        (0, [1, 2, 3, 4], [0.5] * 4, [11, 12, 13, 14]),
        (5, [2, 3.5, 5, 4], [0.25, 0.25, 0.25, 0.5], [12, 13, 14, 14]),
    ):
        found = estimation.transitions(experience, Clock(updates=tf.constant(updates, tf.float64)))
        assert found["reward"].numpy().tolist() == reward and found["discount"].numpy().tolist() == discount
        assert found["next_observation"].numpy().tolist() == successor


@pytest.mark.parametrize("jit", [False, True])
def test_in_a_compiled_program(jit):
    estimation = RewardEstimation(schedules.Linear(0, 2, steps=10, unit="updates"), 0.5)

    @tf.function(jit_compile=jit)
    def program(rewards, terminated, updates):
        return estimation.returns(rewards, terminated, tf.zeros_like(terminated), clock=Clock(updates=updates))

    found = program(tf.constant(COUNT), tf.constant(LAST), tf.constant(5.0, tf.float64))
    np.testing.assert_allclose(found, [2, 3.5, 5, 4])


@given(st.data())
def test_returns_are_what_a_loop_finds(data):
    length = data.draw(st.integers(1, 12))
    small = st.integers(-3, 3).map(float)
    rewards, ahead = (data.draw(st.lists(small, min_size=length, max_size=length)) for _ in range(2))
    ends = data.draw(st.lists(st.sampled_from(["", "", "terminated", "truncated"]), min_size=length, max_size=length))
    horizon = data.draw(st.one_of(st.integers(0, 14), st.just("episode")))
    further = length if horizon == "episode" else horizon
    expected = []
    for t in range(length):
        total, weight = 0.0, 1.0
        for step in range(t, min(t + further + 1, length)):
            total, weight, last = total + weight * rewards[step], weight * 0.5, step
            if ends[step]:
                break
        expected.append(total + (weight * ahead[last] if ends[last] != "terminated" else 0.0))
    flags = [[end == name for end in ends] for name in ("terminated", "truncated")]
    found = RewardEstimation(horizon, 0.5).returns(rewards, *flags, ahead)
    np.testing.assert_allclose(found, expected, atol=1e-6)


# Bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"horizon": -1}, r"reward_estimation.horizon` must be an integer >= 0.*Received: -1"),
        ({"horizon": 1.5}, r"horizon` must be an integer >= 0.*Received: 1.5"),
        ({"horizon": True}, r"horizon` must be an integer >= 0.*Received: True"),
        ({"horizon": "all"}, r"horizon` must be an integer >= 0.*'episode'. Received: 'all'"),
        ({"discount": 1.1}, r"reward_estimation.discount` must be in \[0.0, 1.0\]. Received: 1.1"),
        ({"estimate_horizon": True}, r"estimate_horizon` must be False, 'early', 'late' or None. Received: True"),
        ({"estimate_horizon": 0}, r"estimate_horizon` must be False, 'early', 'late' or None. Received: 0"),
        ({"estimate_horizon": "soon"}, r"estimate_horizon` must be.*Received: 'soon'"),
        ({"estimate_terminal": True, "estimate_horizon": False}, r"estimate_terminal` needs estimate_horizon"),
        ({"gae_lambda": 0.9, "return_lambda": 0.9}, r"takes gae_lambda or return_lambda, not both"),
        ({"gae_lambda": 0.9, "horizon": 3}, r"gae_lambda` mixes all horizons and needs horizon=0. Received: horizon=3"),
        ({"return_lambda": 0.9, "estimate_horizon": False}, r"return_lambda` needs estimate_horizon"),
    ],
)
def test_what_means_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RewardEstimation(**arguments)


@pytest.mark.parametrize("name", ["estimate_actions", "estimate_terminal", "estimate_advantage", "normalize_returns"])
def test_flags_are_bools(name):
    with pytest.raises(TypeError, match=rf"`reward_estimation.{name}` must be True or False. Received: 1"):
        RewardEstimation(**{name: 1})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([1.0, 2.0], [False], [False, False]), r"of one shape.*'rewards': \(2,\), 'terminated': \(1,\)"),
        (([], [], []), "none empty"),
        ((np.zeros((1, 1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))), r"\(T,\) or \(T, N\)"),
        (([np.nan], [False], [False]), "`rewards` must be finite"),
        (([1.0], [False], [False], [np.inf]), "`next_values` must be finite"),
    ],
)
def test_bad_arrays_are_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        RewardEstimation(0, 0.9).returns(*arrays)


def test_missing_estimates_are_asked_for():
    with pytest.raises(ValueError, match="`next_values` is needed"):
        RewardEstimation(0, 0.9, estimate_horizon="late").returns([1.0], [False], [False])
    with pytest.raises(ValueError, match="`values` is needed"):
        RewardEstimation(0, 0.9).advantages([1.0], [False], [False], [2.0])
    with pytest.raises(TypeError, match="`terminated` must be bools"):
        RewardEstimation(0, 0.9).returns([1.0], [2], [False])


def test_dicts_in_the_page_s_words_and_the_later_ones():
    made = reward_estimation.get({"horizon": 2, "predict_horizon_values": "early", "trace_decay": None})
    assert made == RewardEstimation(2, estimate_horizon="early")
    assert reward_estimation.get({"gae_decay": 0.5}).gae_lambda == 0.5
    with pytest.raises(ValueError, match="another name of 'gae_lambda'"):
        reward_estimation.get({"gae_lambda": 0.5, "gae_decay": 0.5})
    with pytest.raises(ValueError, match=r"has no argument \['horizn'\]. Known: \['horizon'"):
        reward_estimation.get({"horizn": 2})


# In agents -------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_ppo_with_n_step_advantages_learns_from_them(small):
    class Watching(kagent.PPO):
        def prepare(self, experience):
            prepared = super().prepare(experience)
            self.seen = [experience["reward"], prepared["return"], prepared["advantage"]]
            return prepared

    estimation = RewardEstimation("episode", 0.5, estimate_horizon=False, estimate_advantage=True)
    agent = small(Watching, compiled={"run_eagerly": True})
    config = {**agent.get_config(), "reward_estimation": reward_estimation.REWARD_ESTIMATIONS.serialize(estimation)}
    parts = {
        k: v for k, v in config.items() if k not in ("agent", "images", "observation_space", "action_space", "name")
    }
    agent = kagent.Agent("CartPole-v1", **parts)
    assert agent.reward_estimation == estimation
    agent.compile(jit_compile=False)
    agent.fit("CartPole-v1", steps=16, verbose=0)
    assert agent.updates == 4


@pytest.mark.parametrize(
    "changes", [{"return_lambda": 0.5}, {"gae_lambda": 0.9}, {"estimate_advantage": True}, {"normalize_returns": True}]
)
@pytest.mark.parametrize("kind", ["dqn", "sac"])
def test_what_an_objective_cannot_do_is_refused_by_name(small, kind, changes):
    config = {**small(kind).get_config(), "reward_estimation": changes}
    with pytest.raises(ValueError, match=rf"needs reward_estimation.{next(iter(changes))}="):
        kagent.Agent.from_config(config)


@pytest.mark.thorough
def test_action_estimates_are_double_q_learning(small):
    # A target that never moves and a policy that moves fast soon disagree about the best action.
    config = small("dqn", learning_rate=0.1, target_update_period=10**6).get_config()
    finals = []
    for objective, estimation in (({"double": True}, {}), ({}, {"estimate_actions": True}), ({}, {})):
        changed = {
            "objective": {**config["objective"], **objective},
            "reward_estimation": {"discount": 0.9, **estimation},
        }
        agent = kagent.Agent.from_config({**config, **changed})
        agent.compile(jit_compile=False)
        agent.fit("CartPole-v1", steps=100, verbose=0)
        finals.append(agent.get_weights())
    double, estimated, plain = finals
    assert all((a == b).all() for a, b in zip(double, estimated, strict=True))
    assert not all((a == b).all() for a, b in zip(double, plain, strict=True))
