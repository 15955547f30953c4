"""The parameters of sac_learner."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.learning.config import CORES, DEMONSTRATOR, METHODS, SAC, SIM_OPTIMAL
from robot_rl.ros.settings import limit, parameter


@dataclass(frozen=True)
class Settings:
    """Learns from recorded transitions in a thread of its own, and publishes what it learned."""

    contract: str = parameter('', 'Contract file, or the name of a shipped contract')
    checkpoint_dir: str = parameter('checkpoints', 'Folder of the checkpoints')
    checkpoint_period: int = parameter(2000, 'Updates between checkpoints', low=1)
    keep_checkpoints: int = parameter(3, 'Checkpoints kept', low=2, high=1000)
    publish_period: int = parameter(500, 'Updates between actors while behind', low=1)
    demo_bags: tuple = parameter(
        ('',), 'Recordings of demonstrations or of earlier sessions, or folders of them')
    method: str = parameter('full', 'What is learned: the actions, or the noise of a demonstrator',
                            choices=METHODS)
    core: str = parameter(SAC, 'How full is built: sac, or xqc, which learns more of a transition '
                          'and takes some 7 times as long', choices=CORES)
    noise_bound: float = parameter(1.5, 'Largest latent noise in steer, each dimension',
                                   low=0.01, high=10.0)
    noise_entropy: float = parameter(0.0, 'Target entropy in steer per noise dimension, nats',
                                     low=-10.0, high=0.69)
    start_from: str = parameter('', 'Policy that the actor starts from; empty: random parameters',
                                choices=('', SIM_OPTIMAL, DEMONSTRATOR))
    teacher_weight: float = parameter(
        0.3, 'How firmly an actor that starts as a demonstrator stays as it acts, at first',
        low=0.0, high=100.0)
    critic_warmup: int = parameter(0, 'First updates, of the critics alone', low=0)
    autotrain: bool = parameter(False, 'Train from the start, without a call of ~/train')
    deterministic: bool = parameter(
        False, 'Take one episode after the other: a killed learner then goes on bit for bit')
    threads: int = parameter(1, 'Processor threads of one update', low=1, high=256)
    compiled: bool = parameter(False, 'Compile the updates, for some 1.4 times as many a second')
    bfloat16: bool = parameter(
        False, 'Matrix products in bfloat16, on processors with instructions for it')
    seed: int = parameter(0, 'Seed of parameters, batches and noise', low=0)
    utd_ratio: float = parameter(0.0, 'Critic updates per transition of the robot; 0: 4 with a '
                                 'demonstrator, else 1', low=0.0, high=100.0)
    batch: int = parameter(256, 'Transitions per update', low=1, high=65536)
    start_transitions: int = parameter(1000, 'Transitions before the first update', low=1)
    demo_weight: float = parameter(1.0, "Share of demo_bags in a batch, beside 1 of the robot's "
                                   'episodes', low=0.0)
    width: int = parameter(256, 'Units per hidden layer', low=8, high=4096)
    depth: int = parameter(2, 'Hidden layers', low=1, high=8)
    critics: int = parameter(2, 'Critics in the ensemble', low=1, high=64)
    critic_subset: int = parameter(2, 'Critics whose minimum is the target', low=1, high=64)
    layer_norm: bool = parameter(True, 'Layer norm in the critics')
    discount: float = parameter(0.98, 'Discount per control step', low=0.0, high=1.0)
    target_rate: float = parameter(0.005, 'Share of the critic mixed into its target per update',
                                   low=0.0, high=1.0)
    learning_rate: float = parameter(3e-4, 'Adam step size', low=1e-8, high=1.0)
    actor_period: int = parameter(2, 'Critic updates per actor update', low=1, high=1000)
    initial_temperature: float = parameter(0.2, 'Entropy weight at the start', low=1e-6)
    target_entropy: float = parameter(-1.0, 'Target entropy per action dimension, nats',
                                      low=-10.0, high=1.0)
    warn_behind: float = limit(300.0, 'Time that the updates owed take above which diagnostics '
                               'warn, s')
    error_behind: float = limit(0.0, 'The same for an error')
    warn_transition_age: float = limit(0.0, 'Age of the newest transition above which they warn, '
                                       's')
    warn_unsaved: float = limit(1800.0, 'Time with updates that no checkpoint has above which '
                                'they warn, s')
