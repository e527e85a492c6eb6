"""Conservative Q-learning, for recorded experience.

    `gradient_steps` times an update:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory
        b = `drawn_actions` uniform actions, as many of pi at s, and as many of pi at s', each with its density
        target = r + discount * min over critics of Q_target(s', a'), a' of pi at s'
        gap    = log mean over b of exp(Q(s, b)) / density(b) - Q(s, a)
        each critic Q moves by Adam to lower the mean of (target - Q(s, a))^2 / 2 + alpha * gap
        pi, the temperature and Q_target move as those of SAC

With `backup_entropy` the target has SAC's term -discount * temperature * log pi(a' | s'). In the first `policy_warmup` gradient
steps of the agent pi moves to lower the mean of temperature * log pi(b | s) - log pi(a | s).

Equation 4 and appendix F of Kumar et al. 2020 (arXiv:2006.04779), and the authors' program. The losses are in
`kagent/objectives/conservative.py`, with the equation in `kagent/ops/offline.py`; the rest is SAC's, `kagent/agents/sac.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agents.arguments import FromPart
from kagent.agents.sac import SAC, check_dropout
from kagent.agents.temperature import initial_temperature
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.objectives import ConservativeSoftActorCriticObjective
from kagent.parts import Scheduled
from kagent.policies import Role


@register_agent(
    "cql", summary="SAC whose critics distrust actions that were not taken: offline learning; continuous actions"
)
class CQL(SAC):
    """Conservative Q-learning (Kumar et al. 2020, "Conservative Q-Learning for Offline Reinforcement Learning",
    arXiv:2006.04779), the variant CQL(H) with a fixed `alpha`.

    For `Box` actions with finite bounds, and nestings of these; `DiscreteCQL` is for discrete ones. It is made for `fit` of recorded
    episodes, and goes on with `fit` of an environment as SAC does.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        alpha: Weight of the distance between values of drawn actions and of the one taken, > 0; more distrusts others more. It stands
            beside half of the squared error, as in the paper's equation. The authors' program has the whole squared error: its
            `min_q_weight` of 5 is an `alpha` of 2.5.
        drawn_actions: Actions drawn of each of three kinds.
        backup_entropy: Whether targets have the entropy term of SAC. The authors' program has none (`deterministic_backup=True`).
        policy_warmup: Gradient steps of the agent in which the policy imitates the recorded actions, while the critics learn. Then it
            climbs the critics.
        learning_rate, critic_learning_rate: As for `SAC`. The policy's is the smaller one, as in the paper, for training of a million
            gradient steps. In a few thousand a policy that is slower than its critics stays behind them: give both the same.
        temperature, target_entropy, subset, stochastic_critics: As for `SAC`.
        normalize: As for `SAC`. Of recorded episodes the statistics are those of all of them. Observations without floats, such as
            images, need False.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **arguments: Those of `SAC`, with its defaults.

    Attributes: the arguments by their names, as the agent's parts have them; read-only.

    Raises:
        ValueError, TypeError: As `SAC`.

    Example:

    >>> recorder = kagent.callbacks.Recorder("swung")
    >>> history = kagent.Random("Pendulum-v1", seed=0).fit("Pendulum-v1", episodes=50, callbacks=[recorder])
    >>> falling = {"type": "linear", "initial": 1e-3, "final": 0.0}
    >>> offline = kagent.CQL("Pendulum-v1", alpha=10.0, learning_rate=falling, critic_learning_rate=falling, seed=0)
    >>> history = offline.fit("swung", updates=5_000)
    """

    alpha = FromPart("objective.alpha")
    drawn_actions = FromPart("objective.drawn_actions")
    backup_entropy = FromPart("objective.backup_entropy")
    policy_warmup = FromPart("objective.policy_warmup")

    def __init__(
        self,
        env: Source | None = None,
        *,
        alpha: float = 5.0,
        drawn_actions: int = 10,
        backup_entropy: bool = False,
        policy_warmup: int = 0,
        learning_rate: Scheduled = 1e-4,
        critic_learning_rate: Scheduled | None = 3e-4,
        temperature: Role | float | str | dict[str, Any] = "auto",
        target_entropy: float | str = "auto",
        subset: int | None = None,
        stochastic_critics: bool = False,
        normalize: bool | str | None = "observation",
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **arguments: Any,
    ):
        _, learned = initial_temperature(temperature, target_entropy, arguments)
        objective = ConservativeSoftActorCriticObjective(
            target_entropy=target_entropy,
            learn_temperature=learned,
            stochastic_critics=stochastic_critics,
            subset=subset,
            alpha=alpha,
            drawn_actions=drawn_actions,
            backup_entropy=backup_entropy,
            policy_warmup=policy_warmup,
        )
        super().__init__(
            env,
            observation_space=observation_space,
            action_space=action_space,
            n_envs=n_envs,
            seed=seed,
            name=name,
            **{
                "learning_rate": learning_rate,
                "critic_learning_rate": critic_learning_rate,
                "temperature": temperature,
                "objective": objective,
                "normalize": normalize,
                **arguments,
            },
        )
        check_dropout(self.critic, stochastic_critics)
