"""The shipped view against what the nodes publish, and under a namespace."""

from __future__ import annotations

import ast
from pathlib import Path

from every_node import folders, node_class
import pytest
from robot_rl.ros.qos import LATCHED
import yaml

ROOT = Path(__file__).parents[2]
VIEW = yaml.safe_load((ROOT / 'rviz/robot_rl.rviz').read_text())['Visualization Manager']
LAUNCH = (ROOT / 'launch/rviz.launch.py').read_text()
TYPES = {'rviz_default_plugins/MarkerArray': 'visualization_msgs/msg/MarkerArray',
         'rviz_default_plugins/PointCloud2': 'sensor_msgs/msg/PointCloud2',
         'rviz_default_plugins/RobotModel': 'std_msgs/msg/String'}
OF_OTHERS = {'/robot_description'}      # of robot_state_publisher
DURABILITY = {'Volatile': 'VOLATILE', 'Transient Local': 'TRANSIENT_LOCAL'}


def topics() -> dict[str, tuple[str, dict]]:
    """Return the type and the settings of every topic of the view."""
    found = {}
    for display in VIEW['Displays']:
        for key in ('Topic', 'Description Topic'):
            if key in display:
                found[display[key]['Value']] = TYPES[display['Class']], display[key]
    return found


def remapped() -> dict[str, str]:
    """Return REMAPPINGS of the launch file, which cannot be imported without `launch`."""
    for node in ast.parse(LAUNCH).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == 'REMAPPINGS':
            return dict(eval(compile(ast.Expression(node.value), '', 'eval')))
    raise AssertionError('no REMAPPINGS')


@pytest.mark.parametrize('name', ['policy_server', 'sim_bridge'])
def test_the_view_shows_all_that_a_node_publishes_for_it_with_its_type(start, tmp_path, name):
    bench = start(node_class(name), **folders(name, tmp_path))
    wanted = {topic: kind for topic, (kind, _) in topics().items()
              if topic.startswith(f'/{name}/')}
    bench.until(lambda: wanted == {
        topic: kind for topic, [kind] in bench.probe.get_publisher_names_and_types_by_node(
            name, '/') if kind in TYPES.values() and topic.startswith(f'/{name}/')})


def test_the_view_names_no_topic_of_anybody_else():
    assert {topic for topic in topics() if topic.split('/')[1] not in (
        'policy_server', 'sim_bridge')} == OF_OTHERS


@pytest.mark.parametrize('topic', topics())
def test_the_view_asks_for_no_more_than_is_offered_and_gets_what_was_sent_before(topic):
    settings = topics()[topic][1]
    assert DURABILITY[settings['Durability Policy']] == LATCHED.durability.name
    assert settings['Reliability Policy'].upper() == LATCHED.reliability.name


def test_every_topic_of_the_view_follows_the_namespace_of_the_graph():
    names = remapped()
    assert set(names) == {*topics(), '/tf', '/tf_static'}
    assert all(source == f'/{target}' for source, target in names.items())


def test_the_view_shows_the_robot_model_and_the_tree_of_frames():
    assert {'rviz_default_plugins/RobotModel', 'rviz_default_plugins/TF'} <= {
        display['Class'] for display in VIEW['Displays']}
    assert VIEW['Global Options']['Fixed Frame'] == 'world'


def test_every_display_is_on():
    assert all(display['Enabled'] and display['Value'] for display in VIEW['Displays'])


def test_the_launch_file_declares_what_it_uses():
    calls: dict[str, set[str]] = {'DeclareLaunchArgument': set(), 'LaunchConfiguration': set()}
    for node in ast.walk(ast.parse(LAUNCH)):
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') in calls:
            calls[node.func.id].add(node.args[0].value)
    declared, used = calls.values()
    assert used == declared
