"""`robot_rl demo`: the first prior, from an untrained simulator to a report.

Train explorers, see the sim-optimal policy fail, learn from the explorers, keep the better. The
twin that plays the robot is perturbed by a declared gap.
"""

from __future__ import annotations

from robot_rl.bringup import graph, NodeSpec
from robot_rl.demo import Demo, figure, LOCKSTEP_SILENCE, percent, time_left
from robot_rl.errors import UserError
from robot_rl.progress import bar

STEPS_PER_UPDATE = 9        # simulated steps to one update, in training explorers


class SimulatorDemo(Demo):
    """Exploration transfer; takes SimulatorOptions."""

    def check(self) -> None:
        """Raise UserError for what cannot work, or is too little to train explorers with."""
        super().check()
        from robot_rl.sim.explorer_run import check_trainable
        from robot_rl.sim.explorer_settings import TrainSettings

        steps = self.options.sim_steps
        check_trainable(self.contract, TrainSettings(steps, steps // STEPS_PER_UPDATE),
                        {'steps': '--sim-steps'})

    def graph(self) -> tuple[NodeSpec, ...]:
        """Return the graph: the twin in lockstep, as fast as the machine allows."""
        options = self.options
        return graph(
            'sim', contract=options.contract, run_dir=str(options.run_dir), seed=options.seed,
            overrides={'sim_bridge': {'lockstep': True, 'gap': options.gap,
                                      'sim_steps': options.sim_steps,
                                      'sim_updates': options.sim_steps // STEPS_PER_UPDATE,
                                      'train_seed': options.seed},
                       'safety_stop': {'timeout': LOCKSTEP_SILENCE},
                       'policy_server': {'lockstep': True, 'mode': 'evaluate',
                                         'max_policy_lag': 1},
                       'sac_learner': {'width': 128, 'threads': 1, 'autotrain': True}})

    def tell(self) -> None:
        """Train explorers, try the sim-optimal policy, learn, keep the better."""
        session = self.session
        session.start()
        session.operator.trigger('sim_bridge/train_explorers')
        session.wait('train explorers', self._trained)
        session.run('sim-optimal', 'transfer', self.options.evaluation)
        self.learn()
        self.keep()

    def _trained(self) -> bool:
        """Whether both artifacts are there; raise UserError with the reason where they fail."""
        status = self.session.operator.status
        bridge, server = status.get('sim_bridge', {}), status.get('policy_server', {})
        if bridge.get('training') in ('failed', 'cancelled'):
            raise UserError(f'train explorers: {bridge["training"]}: {bridge["training_reason"]}')
        return bridge.get('training') == 'done' and server.get('explorers', '0') != '0' and (
            server.get('sim_optimal', '-1') != '-1')

    def line(self, phase: str) -> str:
        """Return the progress line of a phase."""
        if phase != 'train explorers':
            return super().line(phase)
        status = self.session.operator.status.get('sim_bridge', {})
        done, steps, rate, pool, cells, left = (figure(status, f'training_{key}') for key in (
            'percent', 'steps', 'steps_per_second', 'pool', 'cells', 'eta'))
        return (f'{phase:<15} {bar(done / 100.0)} {done:3.0f} %  sim steps {steps:.0f} '
                f'{rate:.0f}/s  pool {pool:.0f}  cells {cells:.0f}{time_left(left)}')

    def summary(self, report: dict) -> str:
        """Return what came of it, for a person."""
        kept = report['kept'] or {}
        return (f'success of the sim-optimal policy {percent(report["success_sim_optimal"])}, of '
                f'the explorers {percent(report["success_explorers"])}, learned '
                f'{percent(report["success_final"])}; kept: {kept.get("policy", "nothing")}; '
                f'{report["episodes"]} episodes, {report["robot_steps"]} robot steps '
                f'({report["robot_seconds"] / 60:.1f} min of robot time), '
                f'{report["updates"] or 0} updates in {report["wall_seconds"]} s')
