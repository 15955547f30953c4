"""`robot_rl.bringup.graph` as a launch description; imports launch, which the rest never needs."""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from robot_rl.bringup import graph, keep_run_contract, NodeSpec

RESPAWN_DELAY = 2.0     # s
BOOLEAN = ['true', 'false', 'True', 'False']


def graph_description(kind: str) -> LaunchDescription:
    """Return the launch description of `sim`, `robot` or `ingest` with its arguments."""
    return LaunchDescription([*_arguments(kind), OpaqueFunction(function=_nodes, args=[kind])])


def _arguments(kind: str) -> list[DeclareLaunchArgument]:
    sim_time = 'true' if kind == 'sim' else 'false'
    arguments = [
        DeclareLaunchArgument(
            'contract', default_value='puck_push',
            description='task contract: a YAML file, or the name of a shipped one'),
        DeclareLaunchArgument(
            'params_file', default_value='',
            description='parameters of all nodes; empty: the shipped config/robot_rl.yaml'),
        DeclareLaunchArgument(
            'namespace', default_value='', description='namespace of the whole graph'),
        DeclareLaunchArgument(
            'use_sim_time', default_value=sim_time, choices=BOOLEAN,
            description='follow /clock instead of the wall clock'),
        DeclareLaunchArgument(
            'run_dir', default_value='',
            description='what the nodes write goes below it; empty: where params_file says'),
        DeclareLaunchArgument(
            'log_level', default_value='info',
            choices=['debug', 'info', 'warn', 'error', 'fatal'],
            description='least severe message that is shown'),
        DeclareLaunchArgument(
            'respawn', default_value='false', choices=BOOLEAN,
            description='start a node again that died'),
    ]
    if kind == 'ingest':
        return arguments
    return [
        *arguments,
        DeclareLaunchArgument(
            'nodes', default_value='',
            description='what runs on this host, such as policy_server,data_recorder; empty: all'),
        DeclareLaunchArgument(
            'autostart', default_value='true', choices=BOOLEAN,
            description='configure and activate the policy server at start'),
        DeclareLaunchArgument(
            'seed', default_value='', description='of all random draws; empty: from params_file'),
    ]


def _nodes(context: LaunchContext, kind: str) -> list:
    def text(name: str, default: str = '') -> str:
        return LaunchConfiguration(name, default=default).perform(context)

    def flag(name: str) -> bool:
        return text(name, 'true').lower() == 'true'

    seed = text('seed')
    if seed and not seed.isdecimal():
        raise ValueError(f'seed: expected an integer >= 0, found {seed!r}')
    specs = graph(kind, contract=text('contract'), params_file=text('params_file'),
                  namespace=text('namespace'), run_dir=text('run_dir'),
                  use_sim_time=flag('use_sim_time'), autostart=flag('autostart'),
                  seed=int(seed) if seed else None,
                  nodes=tuple(name.strip() for name in text('nodes').split(',') if name.strip()))
    keep_run_contract(text('contract'), text('run_dir'), text('params_file'))
    names = ', '.join(spec.name for spec in specs)
    return [LogInfo(msg=f'robot_rl: {kind} graph: {names}'),
            *(_node(spec, text('log_level'), flag('respawn')) for spec in specs)]


def _node(spec: NodeSpec, log_level: str, respawn: bool) -> Node:
    files = [spec.parameters_file] if spec.parameters_file else []
    # Without a type launch reads text as YAML, and a contract named 7 would become a number.
    parameters = {name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
                  for name, value in spec.parameters.items()}
    return Node(
        package='robot_rl', executable=spec.executable, name=spec.name, namespace=spec.namespace,
        parameters=[*files, parameters], remappings=list(spec.remappings),
        arguments=['--ros-args', '--log-level', log_level, '--enclave', spec.enclave],
        output='screen', emulate_tty=True,
        respawn=respawn, respawn_delay=RESPAWN_DELAY)
