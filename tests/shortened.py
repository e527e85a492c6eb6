"""Examples of the documentation are run for what they call, so their training ends after a few timesteps."""

import kagent

ENOUGH = 8


def fits(patch, longest):
    """Has `fit` take `longest` timesteps at most, without a progress bar; of a replay agent `ENOUGH` after its first update will do.
    `pretrain` makes two iterations of two updates.

    Args:
        patch: pytest's `monkeypatch`.
        longest: Timesteps, in place of the thousands that an example asks for.
    """
    fit = kagent.Agent.fit

    def short(agent, *args, **kwargs):
        rule, replays = agent.update_rule, isinstance(agent.memory, kagent.memories.Replay)
        first = max(rule.start or 0, rule.batch_size) if replays and rule.unit == "timesteps" else longest
        enough = longest if kwargs.get("callbacks") else first + ENOUGH  # a callback may need more episodes
        few = {name: min(longest, enough) for name in ("steps", "max_steps") if (kwargs.get(name) or 0) > longest}
        most = {**few, "episodes": 2, "updates": 2, "epochs": 2, "steps_per_epoch": 20}
        bounds = {name: min(value, kwargs[name]) for name, value in most.items() if isinstance(kwargs.get(name), int)}
        return fit(agent, *args, **{**kwargs, **bounds, "verbose": 0})

    pretrain = kagent.Agent.pretrain

    def shortly(agent, *args, **kwargs):
        most = {"num_iterations": 2, "num_updates": 2}
        few = {name: min(value, kwargs[name]) for name, value in most.items() if name in kwargs}
        return pretrain(agent, *args, **{**kwargs, **few})

    patch.setattr(kagent.Agent, "fit", short)
    patch.setattr(kagent.Agent, "pretrain", shortly)


def evaluations(patch):
    """Has `evaluate` play two episodes at most."""
    evaluate = kagent.Agent.evaluate

    def short(agent, env=None, episodes=10, **kwargs):
        return evaluate(agent, env, min(episodes, 2), **kwargs)

    patch.setattr(kagent.Agent, "evaluate", short)
