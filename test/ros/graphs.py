"""The simulated graph as processes, and an operator who watches, switches and kills."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import os
from pathlib import Path
import signal
import time

import rclpy
from rclpy.signals import SignalHandlerOptions
from robot_rl.bringup import command, graph
from robot_rl.contract import load_contract
from robot_rl.data.bag import bag_transitions, find_bags, read_info
from robot_rl.processes import Exit, Patience, Supervisor
from robot_rl.ros.operator import Operator

PATIENCE = 60.0     # s
QUICK = Patience(first_delay=0.1)       # a killed node comes back at once


class Graph:
    """The nodes of kind `sim`; `overrides` as in bringup.py, `prefixes` begin the argv of some."""

    def __init__(self, folder: Path, overrides: dict[str, dict], contract: str = 'reach',
                 lockstep: bool = True, seed: int = 0,
                 prefixes: dict[str, list[str]] | None = None):
        self.folder, self.bags = folder, folder / 'bags'
        self.contract = load_contract(contract)
        self.ends: list[dict[str, str]] = []        # of episodes, as the policy server tells them
        self.exits: list[Exit] = []
        both = {'lockstep': lockstep}
        overrides = {'safety_stop': {'timeout': PATIENCE}, **overrides,     # it has its own test
                     'sim_bridge': {**both, **overrides.get('sim_bridge', {})},
                     'policy_server': {**both, **overrides.get('policy_server', {})}}
        specs = graph('sim', contract=contract, run_dir=str(folder), seed=seed,
                      overrides=overrides)
        with contextlib.ExitStack() as stack:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            stack.callback(rclpy.try_shutdown)
            self.operator = Operator(self._on_event)
            stack.callback(lambda: self.operator.close())
            self.supervisor = stack.enter_context(Supervisor(
                {spec.name: [*(prefixes or {}).get(spec.name, []), *command(spec)]
                 for spec in specs}, folder / 'logs', respawn=True,
                on_exit=self.exits.append, patience=QUICK))
            self.until(lambda: len(self.operator.status) == len(specs)
                       and self.operator.actor and self.says('policy_server', 'idle')
                       and self._heard())
            self._cleanup = stack.pop_all()

    def _heard(self) -> bool:
        """Return whether the recorder has found what the twin observes."""
        silent = self.operator.status['data_recorder']['silent'].split(', ')
        return not any(topic.rpartition('/')[2] == entry.topic.rpartition('/')[2]
                       for topic in silent for entry in self.contract.observations)

    def _on_event(self, kind: str, values: dict[str, str]) -> None:
        if kind == 'end':
            self.ends.append(values)

    def until(self, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait for a condition; fail with what the nodes last said."""
        assert self.operator.until(condition, seconds), (self.operator.status, self.exits)

    def says(self, node: str, text: str) -> bool:
        return text in self.operator.status.get(node, {}).get('text', '')

    def number(self, node: str, key: str) -> int:
        return self.operator.number(node, key)

    def run(self, on: bool = True, **parameters) -> None:
        """Set parameters of the policy server and switch its episodes."""
        if parameters:
            self.operator.configure('policy_server', **parameters)
        self.operator.switch('policy_server/run', on)

    def episodes(self, count: int, mode: str = 'random') -> list[dict[str, str]]:
        """Run `count` episodes; return their ends when the server idles again."""
        before = len(self.ends)
        self.run(mode=mode, run_episodes=count)
        self.until(lambda: len(self.ends) >= before + count and self.says('policy_server', 'idle'))
        return self.ends[before:]

    def kill(self, name: str) -> float:
        """Kill a node; return when, in monotonic s, once it was started again."""
        pid = self.supervisor.pids()[name]
        self.operator.status.pop(name, None)
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: self.supervisor.pids().get(name, pid) != pid)
        self.operator.status.pop(name, None)        # the last words of the dead one
        self.until(lambda: name in self.operator.status)
        return killed

    def derived(self) -> int:
        """Return how many transitions the bags hold now."""
        return sum(len(bag_transitions(bag, self.contract)) for bag in find_bags(self.bags))

    def settle(self) -> None:
        """Wait until every bag is complete and the learner holds what all of them teach."""
        self.until(lambda: not self.operator.status['data_recorder'].get('bag')
                   and all(read_info(bag).complete for bag in find_bags(self.bags))
                   and self.number('sac_learner', 'missing') == 0
                   and self.number('sac_learner', 'transitions_received') == self.derived())

    def log(self, name: str) -> str:
        return (self.folder / 'logs' / f'{name}.log').read_text()

    def close(self) -> None:
        self._cleanup.close()
