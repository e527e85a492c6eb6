"""The workloads as data: every library's child translates these numbers into its own words.

Where they come from: W1a and W2a are rl-zoo3's tuned CartPole settings; W2b is Stable-Baselines3's
defaults; W3 is rl-zoo3's tuned Pendulum setting, cut to 10,000 steps. W1b is the classic DQN of one update
every four steps, with learning rate 1e-3, target copy every 500 steps, epsilon 1 to .05 over the first 20%,
1,000 steps before learning, discount .99. W1b16 is W1b with 16 due updates in one call:
`compile(steps_per_execution=16)` for kagent; the peers, which have no such word, train 16 gradient steps
every 64 env steps. W5 is W3's setting for TD3, W6 is rl-zoo3's tuned CartPole setting of QR-DQN, which is W1a's, and W7
is W3 with quantile critics. C1 is PPO with environments in the program, of PureJaxRL's sizes; C2 is W1b so. Their peer is
PureJaxRL's way, written anew (benchmarks/run_purejax.py), where gymnax is installed. Compilation is a large part of so short
a run: their rates after the first update are those to compare. Stable-Baselines3's QR-DQN and TQC are those of
sb3-contrib; SBX has no QR-DQN. RLlib runs W2a and W2b. What a peer does not let one set is left alone: SBX's DQN does not
clip gradients (the others: global norm 10).

W8 is Stable-Baselines3's A2C in eight environments, W9 rl-zoo3's tuned CartPole setting of TRPO. W10 and W11 are W3 for DDPG
and for CrossQ, of a policy step every three critic steps. W12 is W2a with an LSTM of 64 units before one layer of 64, policy and
critic apart, as sb3-contrib's recurrent PPO. SBX is not compared there.

I1 and I2 are from pixels: an Atari game (extra `atari`) with the usual preprocessing and four frames, the network of Mnih et al. 2015
(convolutions and 512 units) in each library, shared by policy and critic in PPO. I1 is DQN's update of 32 every four steps, after 200
steps; I2 is PPO with rollouts of 8 environments x 64 steps and 4 epochs in batches of 128.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DQN:
    """Deep Q-network; epsilon falls linearly over `epsilon_fraction` of the run; periods are env steps."""

    learning_rate: float
    batch_size: int
    capacity: int
    frequency: int
    gradient_steps: int
    target_period: int
    epsilon_final: float
    epsilon_fraction: float
    start: int = 1000
    epsilon_initial: float = 1.0
    discount: float = 0.99
    max_grad_norm: float = 10.0


@dataclass(frozen=True)
class PPO:
    """Proximal policy optimization; `annealed` takes learning rate and clip range linearly to 0."""

    n_steps: int
    batch_size: int
    epochs: int
    learning_rate: float = 3e-4
    annealed: bool = False
    discount: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.5
    max_grad_norm: float = 0.5


@dataclass(frozen=True)
class RecurrentPPO(PPO):
    """PPO whose policy and critic have an LSTM each before their layers."""

    lstm: int = 64


@dataclass(frozen=True)
class A2C:
    """Advantage actor-critic with RMSProp; one gradient step of each whole rollout."""

    n_steps: int = 5
    learning_rate: float = 7e-4
    discount: float = 0.99
    gae_lambda: float = 1.0
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.5
    max_grad_norm: float = 0.5
    rms_prop_eps: float = 1e-5


@dataclass(frozen=True)
class TRPO:
    """Trust region policy optimization; the critic takes `critic_epochs` passes over each rollout."""

    n_steps: int
    batch_size: int
    critic_epochs: int
    learning_rate: float = 1e-3
    discount: float = 0.99
    gae_lambda: float = 0.98
    max_kl: float = 0.01
    cg_iterations: int = 15
    cg_damping: float = 1e-3


@dataclass(frozen=True)
class SAC:
    """Soft actor-critic, twin critics, learned temperature."""

    learning_rate: float
    batch_size: int
    capacity: int
    start: int
    frequency: int = 1
    gradient_steps: int = 1
    discount: float = 0.99
    tau: float = 0.005


@dataclass(frozen=True)
class QRDQN(DQN):
    """DQN of quantiles."""

    quantiles: int = 10


@dataclass(frozen=True)
class TQC(SAC):
    """SAC of quantile critics, of which the largest are left out of targets."""

    quantiles: int = 25
    dropped: int = 2  # of each critic


@dataclass(frozen=True)
class CrossQ(SAC):
    """SAC without target networks, with batch renormalization in the critics; `tau` has no meaning."""

    policy_delay: int = 3


@dataclass(frozen=True)
class DDPG:
    """Deep deterministic policy gradient; noise in half ranges of the actions."""

    learning_rate: float
    batch_size: int
    capacity: int
    start: int
    frequency: int = 1
    gradient_steps: int = 1
    discount: float = 0.99
    tau: float = 0.005
    noise: float = 0.1


@dataclass(frozen=True)
class TD3(DDPG):
    """Twin delayed deterministic policy gradient."""

    policy_delay: int = 2
    target_noise: float = 0.2
    target_noise_clip: float = 0.5


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    `steps` are env steps (calls of the greedy policy where `acting` is True); `compiled`: the environments are in kagent's program,
    `kagent.environments.compiled`, whose `executions` are rollouts in a call; `must` and `aim` are ratios of
    whole-run speed per peer, or, under "rate", calls per second. `against` names a workload whose peers are
    compared too. With `images` each library's network for images takes the place of `units`. `libraries` are those that have the algorithm.
    """

    name: str
    title: str
    env: str
    steps: int
    units: tuple[int, ...]
    activation: str
    algorithm: DQN | PPO | A2C | TRPO | SAC | DDPG
    n_envs: int = 1
    executions: int = 1
    acting: bool = False
    compiled: bool = False
    against: str | None = None
    images: bool = False
    libraries: tuple[str, ...] = ("kagent", "sb3", "sbx")
    must: Mapping[str, float] = field(default_factory=dict)
    aim: Mapping[str, float] = field(default_factory=dict)

    def scaled(self, scale: float) -> int:
        """Env steps at this scale, rounded up to whole updates so that every library does the same work."""
        a = self.algorithm
        rollouts = self.executions if self.compiled else 1
        period = (
            rollouts * a.n_steps * self.n_envs if isinstance(a, PPO | A2C | TRPO) else a.frequency * self.executions
        )
        return math.ceil(max(1, round(self.steps * scale)) / period) * period


_W1A = DQN(2.3e-3, 64, 100_000, 256, 128, 10, epsilon_final=0.04, epsilon_fraction=0.16)
_W1B = DQN(1e-3, 32, 50_000, 4, 1, 500, epsilon_final=0.05, epsilon_fraction=0.2)
_W2A = PPO(32, 256, 20, 1e-3, True, discount=0.98, gae_lambda=0.8)
_W2B = PPO(2048, 64, 10)
_C1 = {count: PPO(32, 8 * count, 4, gae_lambda=0.95) for count in (8, 64, 512, 4096)}
_W3 = SAC(1e-3, 256, 1_000_000, 100)
_W5 = TD3(1e-3, 256, 1_000_000, 100)
_W6 = QRDQN(2.3e-3, 64, 100_000, 256, 128, 10, epsilon_final=0.04, epsilon_fraction=0.16)
_W7 = TQC(1e-3, 256, 1_000_000, 100)
_W8 = A2C()
_W9 = TRPO(512, 512, 20)
_W10 = DDPG(1e-3, 256, 1_000_000, 100)
_W11 = CrossQ(1e-3, 256, 1_000_000, 100)
_W12 = RecurrentPPO(32, 256, 20, 1e-3, True, discount=0.98, gae_lambda=0.8)
_I1 = DQN(1e-4, 32, 10_000, 4, 1, 1000, epsilon_final=0.05, epsilon_fraction=0.5, start=200)
_I2 = PPO(64, 128, 4, 2.5e-4, clip_range=0.1, entropy_coefficient=0.01)
_CARTPOLE, _SMALL, _LARGE = "CartPole-v1", (64, 64), (256, 256)

WORKLOADS: dict[str, Workload] = {
    w.name: w
    for w in (
        Workload(
            "W1a",
            "DQN CartPole, MLP 256-256, batch 64, 128 gradient steps every 256 steps",
            _CARTPOLE,
            50_000,
            _LARGE,
            "relu",
            _W1A,
            must={"sb3": 3, "sbx": 1.5},
            aim={"sb3": 4, "sbx": 2},
        ),
        Workload(
            "W1b",
            "DQN CartPole, MLP 64-64, batch 32, 1 gradient step every 4 steps, one update per call",
            _CARTPOLE,
            50_000,
            _SMALL,
            "relu",
            _W1B,
            must={"sb3": 1.5},
            aim={"sb3": 2.5},
        ),
        Workload(
            "W1b16",
            "W1b with 16 due updates per call (peers: 16 gradient steps every 64 steps)",
            _CARTPOLE,
            50_000,
            _SMALL,
            "relu",
            _W1B,
            executions=16,
            against="W1b",
            must={"sb3": 4},
            aim={"sb3": 8},
        ),
        Workload(
            "W2a",
            "PPO CartPole, 8 envs x 32 steps, 20 epochs of one batch of 256, separate tanh 64-64",
            _CARTPOLE,
            100_000,
            _SMALL,
            "tanh",
            _W2A,
            n_envs=8,
            libraries=("kagent", "sb3", "sbx", "rllib"),
            must={"sb3": 3, "sbx": 2},
            aim={"sb3": 4, "sbx": 3},
        ),
        Workload(
            "W2b",
            "PPO CartPole, 1 env x 2048 steps, 10 epochs of batch 64, separate tanh 64-64",
            _CARTPOLE,
            50_000,
            _SMALL,
            "tanh",
            _W2B,
            libraries=("kagent", "sb3", "sbx", "rllib"),
            must={"sb3": 5},
            aim={"sb3": 8, "sbx": 8},
        ),
        Workload(
            "W3",
            "SAC Pendulum, MLP 256-256, batch 256, 1 gradient step per env step",
            "Pendulum-v1",
            10_000,
            _LARGE,
            "relu",
            _W3,
            must={"sb3": 1.7, "sbx": 1},
            aim={"sb3": 2.2, "sbx": 1.3},
        ),
        Workload(
            "W4",
            "greedy action for one CartPole observation, MLP 64-64 (calls per second)",
            _CARTPOLE,
            20_000,
            _SMALL,
            "relu",
            _W1B,
            acting=True,
            must={"rate": 60_000},
            aim={"rate": 100_000},
        ),
        Workload(
            "W5",
            "TD3 Pendulum, MLP 256-256, batch 256, 1 gradient step per env step, policy delay 2",
            "Pendulum-v1",
            10_000,
            _LARGE,
            "relu",
            _W5,
            must={"sb3": 1},
            aim={"sb3": 2, "sbx": 1.3},
        ),
        Workload(
            "W6",
            "QR-DQN CartPole, 10 quantiles, else as W1a",
            _CARTPOLE,
            50_000,
            _LARGE,
            "relu",
            _W6,
            libraries=("kagent", "sb3"),
            must={"sb3": 1},
            aim={"sb3": 2.5},
        ),
        Workload(
            "W7",
            "TQC Pendulum, 2 critics of 25 quantiles, else as W3",
            "Pendulum-v1",
            10_000,
            _LARGE,
            "relu",
            _W7,
            must={"sb3": 1},
            aim={"sb3": 1.5},
        ),
        Workload(
            "W8",
            "A2C CartPole, 8 envs x 5 steps, RMSProp, separate tanh 64-64",
            _CARTPOLE,
            100_000,
            _SMALL,
            "tanh",
            _W8,
            n_envs=8,
            libraries=("kagent", "sb3"),
            must={"sb3": 1},
        ),
        Workload(
            "W9",
            "TRPO CartPole, 2 envs x 512 steps, critic 20 epochs of batch 512, separate tanh 64-64",
            _CARTPOLE,
            100_000,
            _SMALL,
            "tanh",
            _W9,
            n_envs=2,
            libraries=("kagent", "sb3"),
            must={"sb3": 1},
        ),
        Workload(
            "W10",
            "DDPG Pendulum, else as W3",
            "Pendulum-v1",
            10_000,
            _LARGE,
            "relu",
            _W10,
            libraries=("kagent", "sb3"),
            must={"sb3": 1},
        ),
        Workload(
            "W11",
            "CrossQ Pendulum, policy delay 3, else as W3",
            "Pendulum-v1",
            10_000,
            _LARGE,
            "relu",
            _W11,
            libraries=("kagent", "sb3"),
            must={"sb3": 1},
        ),
        Workload(
            "W12",
            "recurrent PPO CartPole, LSTM 64 and tanh 64, else as W2a",
            _CARTPOLE,
            100_000,
            (64,),
            "tanh",
            _W12,
            n_envs=8,
            libraries=("kagent", "sb3"),
            must={"sb3": 1},
        ),
        *(
            Workload(
                f"C1-{count}",
                f"PPO CartPole in the program, {count} envs x 32 steps, 4 epochs of 4 minibatches, separate tanh 64-64",
                _CARTPOLE,
                {8: 500_000, 64: 2_000_000, 512: 4_000_000, 4096: 8_000_000}[count],
                _SMALL,
                "tanh",
                algorithm,
                n_envs=count,
                executions=80 // count or 1,
                compiled=True,
                libraries=("kagent", "purejax"),
                must={"purejax": 1.2},
                aim={"purejax": 1.5},
            )
            for count, algorithm in _C1.items()
        ),
        Workload(
            "I1",
            "DQN Pong from pixels, 4 x 84 x 84, batch 32, 1 gradient step every 4 steps",
            "ALE/Pong-v5",
            3_000,
            (512,),
            "relu",
            _I1,
            images=True,
            libraries=("kagent", "sb3"),
            must={"sb3": 2},
            aim={"sb3": 2.5},
        ),
        Workload(
            "I2",
            "PPO Pong from pixels, 4 x 84 x 84, 8 envs x 64 steps, 4 epochs of batch 128",
            "ALE/Pong-v5",
            12_288,
            (512,),
            "relu",
            _I2,
            n_envs=8,
            images=True,
            libraries=("kagent", "sb3"),
            must={"sb3": 1.4},
            aim={"sb3": 1.8},
        ),
        Workload(
            "C2",
            "W1b in the program, 500 updates per call",
            _CARTPOLE,
            200_000,
            _SMALL,
            "relu",
            _W1B,
            executions=500,
            compiled=True,
            libraries=("kagent", "purejax"),
            must={"purejax": 1},
        ),
    )
}
