"""Which nodes run, with which parameters and topics: the launch files and the demo both read it.

Every name is relative, so a namespace moves the whole graph. What one node keeps private (its
`~/steps`) another subscribes to under a short name of its own, joined here and nowhere else.
Of a parameter's values the last one counts: the node's default, the parameter file, the
arguments of `graph`, `overrides`.
"""

from __future__ import annotations

from dataclasses import dataclass
import json
import math
import os
from pathlib import Path
import sys

from robot_rl.errors import InvalidFile, Problem, UserError
from robot_rl.paths import contract_path, shared_file
from robot_rl.run_folder import keep_contract, KEPT_FOLDER

KINDS = {
    'sim': ('sim_bridge', 'safety_stop', 'policy_server', 'data_recorder', 'sac_learner'),
    'robot': ('sim_bridge', 'safety_stop', 'policy_server', 'data_recorder', 'sac_learner'),
    'ingest': ('demo_ingest',),
}

RUN = Path('runs/today')        # where the nodes write as config/robot_rl.yaml says

FOLDERS = {     # node -> its parameter, and the folder of a run that it writes to
    'sim_bridge': ('explorers_dir', 'explorers'),
    'policy_server': ('kept_dir', KEPT_FOLDER),
    'data_recorder': ('bag_root', 'bags'),
    'sac_learner': ('checkpoint_dir', 'checkpoints'),
    'demo_ingest': ('fit_dir', 'demonstrators'),
}

REMAPPINGS = {
    'safety_stop': (('heartbeat', 'policy_server/heartbeat'),),
    'policy_server': (('labels', 'data_recorder/events'),      # a human's verdict on an episode
                      ('discard_episode', 'data_recorder/discard_episode'),     # by a button
                      ('stopped', 'safety_stop/stopped')),
    'data_recorder': (('steps', 'policy_server/steps'), ('events', 'policy_server/events'),
                      ('safety_events', 'safety_stop/events')),
    'sac_learner': (('republish', 'data_recorder/republish'),
                    ('recorder_status', 'data_recorder/status')),
    'sim_bridge': (('/tf', 'tf'), ('/tf_static', 'tf_static')),     # one tree per namespace
    'demo_ingest': (),
}

SEEDED = ('policy_server', 'sac_learner', 'sim_bridge')
# s without the policy server's tick or heartbeat, where nothing real moves: that a workstation is
# busy for an instant is no reason to stop there.
SIMULATED_SILENCE = 1.0
PATIENT = {'policy_server': 'late_timeout', 'safety_stop': 'timeout'}   # node -> its parameter


@dataclass(frozen=True)
class NodeSpec:
    """One node to start; `parameters` win over `parameters_file`."""

    name: str
    executable: str
    namespace: str                              # empty: the root
    parameters: dict
    remappings: tuple[tuple[str, str], ...]     # (from, to)
    parameters_file: str                        # empty: none

    @property
    def enclave(self) -> str:
        """Where SROS 2 finds the keys of the node, as in config/sros2/policy.xml."""
        return f'/robot_rl/{self.name}'


def graph(kind: str, *, contract: str, params_file: str = '', namespace: str = '',
          run_dir: str = '', use_sim_time: bool | None = None, seed: int | None = None,
          autostart: bool = True, overrides: dict[str, dict] | None = None,
          nodes: tuple[str, ...] = ()) -> tuple[NodeSpec, ...]:
    """Return the nodes of `sim`, `robot` or `ingest`, in the order in which to start them.

    params_file   YAML for all nodes; empty is the shipped config/robot_rl.yaml
    run_dir       what the nodes write goes below it; empty leaves that to the parameter file
    use_sim_time  None is true in `sim` and left to the parameter file elsewhere
    seed          None leaves it to the parameter file
    overrides     {node: {parameter: value}}
    nodes         those of this host, where others run elsewhere; empty: all

    Raises UserError for an unknown kind or node and InvalidFile for a missing parameter file.
    """
    if kind not in KINDS:
        raise UserError(f'graph: expected one of {", ".join(KINDS)}, found {kind!r}')
    overrides = overrides or {}
    for argument, names in (('overrides', overrides), ('nodes', nodes)):
        for name in names:
            if name not in KINDS[kind]:
                raise UserError(f'{argument}: expected nodes of {kind} '
                                f'({", ".join(KINDS[kind])}), found {name!r}')
    file = _parameters_file(params_file)
    sim_time = kind == 'sim' if use_sim_time is None else use_sim_time
    specs = []
    for name in KINDS[kind]:
        if nodes and name not in nodes:
            continue
        parameters = {'contract': _absolute(contract)}
        if name == 'sim_bridge':
            parameters['twin'] = kind == 'sim'
        if name == 'sim_bridge' and kind == 'sim':
            parameters['use_sim_time'] = False      # it publishes the clock that others follow
        elif sim_time or use_sim_time is not None:
            parameters['use_sim_time'] = sim_time
        if name in PATIENT and kind == 'sim':
            parameters[PATIENT[name]] = SIMULATED_SILENCE
        if name in SEEDED and seed is not None:
            parameters['seed'] = seed
        if name == 'policy_server':
            parameters['autostart'] = autostart
        if name in FOLDERS and run_dir:
            key, folder = FOLDERS[name]
            parameters[key] = str(Path(run_dir).absolute() / folder)
        parameters.update(overrides.get(name, {}))
        specs.append(NodeSpec(name, name, namespace.strip('/'), parameters, REMAPPINGS[name],
                              file))
    return tuple(specs)


def keep_run_contract(contract: str, run_dir: str, params_file: str) -> None:
    """Leave a copy of the contract in the folder of the run; arguments as of `graph`.

    Nothing is done where only the parameter file knows the folder, or no such contract is there:
    the nodes say that. Raises OSError.
    """
    file = contract_path(contract)
    if (run_dir or not params_file) and file.is_file():
        keep_contract(Path(run_dir) if run_dir else RUN, file.read_text(encoding='utf-8'))


def keep_apart() -> None:
    """Keep this process and its nodes on this machine, in a ROS domain of their own.

    What the environment says already stands.
    """
    os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
    if 'ROS_LOCALHOST_ONLY' not in os.environ:      # what it was called before Jazzy
        os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')


def command(spec: NodeSpec, log_level: str = '') -> list[str]:
    """Return the argv that starts a node as a process of this interpreter."""
    argv = [sys.executable, '-P', '-m', f'robot_rl.nodes.{spec.executable}', '--ros-args',
            '--enclave', spec.enclave, '-r', f'__node:={spec.name}']
    if spec.namespace:
        argv += ['-r', f'__ns:=/{spec.namespace}']
    for source, target in spec.remappings:
        argv += ['-r', f'{source}:={target}']
    if spec.parameters_file:
        argv += ['--params-file', spec.parameters_file]
    for name, value in spec.parameters.items():
        argv += ['-p', f'{name}:={parameter_text(value)}']
    return argv + (['--log-level', log_level] if log_level else [])


def parameter_text(value) -> str:
    """Return a parameter's value as YAML that rcl reads back as the same value and type.

    Strings are always quoted: rcl takes a bare y, n, on, off for a boolean, a bare 7 for a number.
    An empty list has no element to tell its type, so it is written as [''], as in the files.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return '.nan' if math.isnan(value) else '.inf' if value > 0 else '-.inf'
    if isinstance(value, (list, tuple)):
        return '[' + ', '.join(parameter_text(item) for item in value or ['']) + ']'
    if not isinstance(value, (bool, int, float, str)):
        raise UserError(f'parameter: expected a boolean, number, text or a list of them, '
                        f'found {value!r}')
    return json.dumps(value, ensure_ascii=False)


def _parameters_file(params_file: str) -> str:
    if not params_file:
        shipped = shared_file('config/robot_rl.yaml')
        return str(shipped) if shipped else ''
    if not Path(params_file).is_file():
        raise InvalidFile(params_file, [Problem('params_file', 'a file', 'nothing')])
    return str(Path(params_file).absolute())


def _absolute(contract: str) -> str:
    """Make a path independent of the node's working folder; a shipped contract's name stays."""
    if '/' in contract or contract.endswith(('.yaml', '.yml')):
        return str(Path(contract).absolute())
    return contract
