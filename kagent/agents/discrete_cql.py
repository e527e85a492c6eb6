"""Conservative Q-learning of discrete actions, for recorded experience.

    `gradient_steps` times an update:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory
        b      = the action of the largest Q(s', b)
        target = r + discount * Q_target(s', b)                the second term is 0 where s' is terminal
        gap    = log sum over c of exp Q(s, c) - Q(s, a)
        Q moves by Adam to lower the mean of huber(target - Q(s, a)) + alpha * gap

Equation 4 of Kumar et al. 2020 (arXiv:2006.04779). The loss is in `kagent/objectives/conservative.py`, with its equation in
`kagent/ops/imitation.py`; the rest is that of DQN, `kagent/agents/dqn.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agents.arguments import FromPart
from kagent.agents.dqn import DQN
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.objectives import ConservativeActionValueObjective
from kagent.parts import Scheduled
from kagent.schedules import Schedule


@register_agent(
    "discretecql", summary="double DQN that distrusts actions that were not taken: offline learning; discrete actions"
)
class DiscreteCQL(DQN):
    """Conservative Q-learning of discrete actions (Kumar et al. 2020, "Conservative Q-Learning for Offline Reinforcement Learning",
    arXiv:2006.04779), on a double DQN.

    For discrete actions, as `DQN`; `CQL` is for continuous ones. It is made for `fit` of recorded episodes, and goes on with `fit` of an
    environment as DQN does. The paper has it on QR-DQN.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        alpha: Weight of the distance between values of all actions and of the one taken, > 0; more distrusts others more. May be a
            schedule.
        double, huber, horizon: As for `DQN`; further rewards are of the actions of the record, whatever their quality, so that 0
            is the default.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **arguments: Those of `DQN`, with its defaults.

    Attributes: the arguments by their names, as the agent's parts have them; read-only.

    Raises:
        ValueError, TypeError: As `DQN`.

    Example:

    >>> history = agent.fit("CartPole-v1", episodes=5, callbacks=[kagent.callbacks.Recorder("tried")])
    >>> offline = kagent.DiscreteCQL("CartPole-v1", learning_rate=1e-3, target_update_period=500, seed=0)
    >>> history = offline.fit("tried", updates=5_000)
    """

    alpha = FromPart("objective.alpha")

    def __init__(
        self,
        env: Source | None = None,
        *,
        alpha: Scheduled = 1.0,
        double: bool = True,
        huber: float | None = 1.0,
        horizon: int | Schedule | dict[str, Any] | None = 0,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **arguments: Any,
    ):
        super().__init__(
            env,
            observation_space=observation_space,
            action_space=action_space,
            n_envs=n_envs,
            seed=seed,
            name=name,
            horizon=horizon,
            **{"objective": ConservativeActionValueObjective(huber=huber, double=double, alpha=alpha), **arguments},
        )
