"""Change how an agent learns by overriding `train_step` alone, as in any Keras model.

Conservative Q-learning (Kumar et al. 2020, arXiv:2006.04779, eq. 4 with CQL(H)): beside the temporal-difference error,
values of actions that were not taken are pushed down. Everything else, from replay to saving, stays DQN's.

    python examples/custom_train_step.py
"""

import argparse

import tensorflow as tf

import kagent
from kagent import ops

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--steps", type=int, default=30_000, help="timesteps to train (default: %(default)s)")
parser.add_argument("--out", default="conservative.keras", help="where the agent is saved (default: %(default)s)")


@kagent.register_agent("conservative_dqn")
class ConservativeDQN(kagent.DQN):
    """DQN that does not believe in what it has not tried."""

    conservatism = 0.1

    def train_step(self, batch):
        best = tf.reduce_max(self.target_policy.values(batch["next_observation"]), axis=-1)
        target = batch["reward"] + batch["discount"] * best  # for any horizon, memory and schedule

        def loss(batch):
            values = self.policy.values(batch["observation"], training=True)
            taken = tf.gather(values, batch["action"], batch_dims=1)
            error = ops.weighted_mean(tf.square(batch["target"] - taken), batch["weight"])
            overestimation = ops.weighted_mean(tf.reduce_logsumexp(values, axis=-1) - taken, batch["weight"])
            logs = {"error": error, "overestimation": overestimation, "errors": batch["target"] - taken}
            return error + self.conservatism * overestimation, logs

        value, logs = self.minimize("policy", loss, {**batch, "target": target})
        self.report_errors(logs.pop("errors"))  # by which a prioritized memory draws
        return {"loss": value, **logs}


def main() -> None:
    args = parser.parse_args()
    agent = ConservativeDQN("CartPole-v1", learning_rate=1e-3, gradient_steps=4, target_update_period=500, seed=0)
    agent.fit("CartPole-v1", steps=args.steps)  # compiled, as every train_step is
    agent.save(args.out)
    result = kagent.load(args.out).evaluate("CartPole-v1")
    print(f"mean return of 10 episodes: {result['episode_return']:.1f}")


if __name__ == "__main__":
    main()
