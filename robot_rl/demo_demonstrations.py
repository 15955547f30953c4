"""`robot_rl demo-demonstrations`: the second prior, from a person's recordings to a report.

A scripted person is recorded on the robot. Behavioural cloning (BC) and the posterior demonstrator
are fitted to the same recordings and measured; then the learner steers the posterior. The twin
that plays the robot has the gap from the start: a person demonstrates on the robot itself.
"""

from __future__ import annotations

from robot_rl.bringup import graph, NodeSpec
from robot_rl.demo import Demo, figure, LOCKSTEP_SILENCE, percent, time_left
from robot_rl.errors import UserError
from robot_rl.progress import bar
from robot_rl.run_folder import BAGS, DEMONSTRATIONS, MEASURED

FITS = ('BC', 'posterior')      # as the report names them, in the order in which they are made
POLICY_WAIT = 120.0             # s, for the updates that are due once the base is measured
RESET_TIMEOUT = 5.0             # s; the twin takes milliseconds
# The others join when it is their turn.
START = ('sim_bridge', 'safety_stop', 'policy_server', 'data_recorder')


class DemonstrationsDemo(Demo):
    """Record, fit, measure, steer; takes DemonstrationsOptions."""

    command = 'demo-demonstrations'
    mode = 'learn'
    check_after = 20

    def check(self) -> None:
        """Raise UserError for what cannot work, or where nobody demonstrates."""
        super().check()
        if not self.contract.simulation.demonstrator:
            raise UserError(f'{self.contract.file}: simulation.demonstrator: expected '
                            'module:function of a scripted person, found nothing')
        alpha = self.options.alpha
        if -1.0 < alpha < 0.0:
            raise UserError(f'--alpha: expected from 0 to 10, or -1, found {alpha:g}')

    def graph(self) -> tuple[NodeSpec, ...]:
        """Return what records the person; twin and policy server go in lockstep."""
        return tuple(self._spec(name, **self._recording(DEMONSTRATIONS)
                                if name == 'data_recorder' else {}) for name in START)

    def tell(self) -> None:
        """Record a person, fit and measure two demonstrators, steer the one, keep the better."""
        session, options = self.session, self.options
        session.start()
        session.run('demonstrations', 'scripted', options.demonstrations)
        session.settle('last bags')
        session.use(self._spec('data_recorder', **self._recording(MEASURED)))
        for name in FITS:
            self._fit(name)
            session.run(f'try {name}', 'demonstrate', options.evaluation)
        session.settle('last bags')
        session.use(self._spec('data_recorder'))        # from here on the learner learns from it
        session.use(self._spec('sac_learner'))
        self.learn()
        self.keep()

    def _fit(self, name: str) -> None:
        """Have a demonstrator fitted; the server has it afterwards."""
        session, operator = self.session, self.session.operator
        alpha = 0.0 if name == 'BC' else self.options.alpha
        session.use(self._spec('demo_ingest', alpha=alpha))
        operator.trigger('demo_ingest/fit')

        def fitted() -> bool:
            status = operator.status.get('demo_ingest', {})
            if status.get('fit') in ('failed', 'cancelled'):
                raise UserError(f'fit {name}: {status["fit"]}: {status["fit_reason"]}')
            return status.get('fit') == 'done' and status['fit_version'] == operator.status.get(
                'policy_server', {}).get('demonstrator')

        session.wait(f'fit {name}', fitted)

    def _recording(self, folder: str) -> dict:
        return {'bag_root': str(self.options.run_dir / folder)}

    def _spec(self, name: str, **parameters) -> NodeSpec:
        """Return a node of the graph, with other parameters than its usual ones."""
        options, kind = self.options, 'ingest' if name == 'demo_ingest' else 'sim'
        shown = [str(options.run_dir / DEMONSTRATIONS)]
        usual = {
            'sim_bridge': {'lockstep': True, 'gap': options.gap},
            'safety_stop': {'timeout': LOCKSTEP_SILENCE},
            'policy_server': {'lockstep': True, 'mode': 'evaluate', 'max_policy_lag': 1,
                              'policy_wait': POLICY_WAIT, 'reset_timeout': RESET_TIMEOUT},
            'data_recorder': self._recording(BAGS),
            'sac_learner': {'method': 'steer', 'demo_bags': shown, 'width': 128, 'threads': 1,
                            'autotrain': True, 'critic_warmup': 1000, 'target_rate': 0.02},
            'demo_ingest': {'bags': shown, 'members': options.members,
                            'fit_updates': options.fit_updates, 'fit_seed': options.seed,
                            'fit_threads': 1, 'alpha': options.alpha},
        }
        [spec] = [spec for spec in graph(kind, contract=options.contract,
                                         run_dir=str(options.run_dir), seed=options.seed,
                                         overrides={name: {**usual[name], **parameters}})
                  if spec.name == name]
        return spec

    def summary(self, report: dict) -> str:
        """Return what came of it, for a person."""
        lines = [f'{one["name"]}: success {percent(one["success"])} of {one["episodes"]} episodes;'
                 ' held-out actions in its regions of '
                 + ', '.join(f'{level:.0%}: {found:.0%}' for level, found in zip(
                     one['levels'], one['covered']))
                 for one in report['demonstrators'] if one['version'] > 0]
        base, reached = report['base'] or {}, report['reached']
        lines.append(
            f'steered: success {percent(base.get("base_success"))} before the first update, '
            f'{percent(report["success_final"])} in the end; target {report["target"]:.0%} '
            + (f'reached after {reached["episodes"]} episodes, {reached["robot_steps"]} robot '
               'steps of training' if reached else 'not reached'))
        kept = report['kept'] or {}
        lines.append(f'kept: {kept.get("policy", "nothing")}; {report["updates"] or 0} updates, '
                     f'{report["wall_seconds"]} s')
        return '\n'.join(lines)

    def line(self, phase: str) -> str:
        """Return the progress line of a phase."""
        if not phase.startswith('fit'):
            return super().line(phase)
        status = self.session.operator.status.get('demo_ingest', {})
        done, updates, loss, alpha, left = (figure(status, f'fit_{key}') for key in (
            'percent', 'updates', 'loss', 'alpha', 'eta'))
        return (f'{phase:<15} {bar(done / 100.0)} {done:3.0f} %  '
                f'{status.get("fit_stage", "")}  updates {updates:.0f}  loss {loss:.3f}  '
                f'alpha {alpha:.2g}{time_left(left)}')
