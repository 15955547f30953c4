"""The parameters of policy_server."""

from __future__ import annotations

from dataclasses import dataclass

from robot_rl.casting import MODES
from robot_rl.learning.diffusion_policy import MAX_CHUNK
from robot_rl.ros.settings import limit, parameter


@dataclass(frozen=True)
class Settings:
    """Runs the policy on the robot: observations in, actions out, a step record per tick."""

    contract: str = parameter('', 'Contract file, or the name of a shipped contract')
    mode: str = parameter('learn', 'Who acts in the next episodes', live=True, choices=MODES)
    seed: int = parameter(0, 'Seed of random actions, of sampling and of who explores', low=0)
    lockstep: bool = parameter(False, 'Act on every complete observation, not by timer')
    autostart: bool = parameter(True, 'Configure and activate at start')
    run_episodes: int = parameter(0, 'Episodes after which ~/run ends by itself; 0: never',
                                  low=0, live=True)
    random_tail: bool = parameter(
        True, 'An explorer acts up to a random step, random actions after it', live=True)
    explore_fraction: float = parameter(
        1.0, 'Share of the episodes of mode mixed that explore, at the start',
        low=0.0, high=1.0, live=True)
    explore_least: float = parameter(0.1, 'The same at the end', low=0.0, high=1.0, live=True)
    explore_episodes: int = parameter(
        200, 'Episodes of mode mixed from the start to the end', low=1, live=True)
    evaluation_episodes: int = parameter(
        20, 'Episodes of each policy in ~/evaluate_and_keep', low=1, live=True)
    kept_dir: str = parameter(
        '', 'Folder of the policy that ~/evaluate_and_keep kept, read again at the start; empty: '
        'none')
    max_policy_lag: int = parameter(
        -1, 'In modes learn and mixed, episodes the actor may be behind before the next one '
        'waits; -1: never', low=-1, high=1000, live=True)
    policy_wait: float = parameter(20.0, 'Longest such wait, s', low=0.0, high=3600.0, live=True)
    plan_ahead: int = parameter(
        0, 'Ticks before its turn that the next plan of a demonstrator is begun; 0: in its tick',
        low=0, high=MAX_CHUNK)
    reset_timeout: float = parameter(30.0, 'Longest reset of the world, s', low=0.1, high=3600.0)
    late_timeout: float = parameter(
        0.0, 'Time without a tick, in wall time, before policy_late stops the robot, s; 0: as '
        'many control periods as the contract says, which is the least in any case', low=0.0,
        high=60.0)
    observation_timeout: float = parameter(
        2.0, 'Silence of an observed topic in wall time that ends a lockstep episode, s',
        low=0.1, high=60.0)
    warn_rate: float = limit(0.9, 'Rate of an observed topic below which diagnostics warn, as '
                             'share of what the contract needs')
    error_rate: float = limit(0.5, 'The same for an error')
    warn_age: float = limit(0.8, 'Age of an observation when acted on (p99 of a minute) above '
                            'which they warn, as share of its max_age')
    warn_tick: float = limit(0.5, 'Time of a tick (p99 of a minute) above which they warn, as '
                             'share of the control period')
    error_tick: float = limit(1.0, 'The same for an error')
    warn_late: float = limit(0.01, 'Control periods of a minute that may go by without a tick '
                             'before they warn, as share')
    error_late: float = limit(0.1, 'The same for an error')
    warn_policy_age: float = limit(0.0, 'Age of the policy in use above which they warn, s')
