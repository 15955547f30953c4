"""`robot_rl new` asks a robot that runs; what it writes is what the robot has."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped, TwistStamped
from live_robot import ACTION, Robot
import pytest
from robot_rl.cli import main
from robot_rl.ros import live_graph
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger
import yaml


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Run the command once, for a robot and a node of ours; return (file, output)."""
    robot, folder = Robot(), tmp_path_factory.mktemp('new')
    try:
        robot.every(20.0, PoseStamped, 'tcp/pose', lambda _: PoseStamped())
        robot.every(20.0, String, 'words', lambda _: String())
        robot.every(20.0, Bool, 'e_stop', lambda _: Bool())
        robot.node.create_subscription(TwistStamped, 'twist', lambda _: None, 1)
        ours = robot.beside('policy_server')
        ours.create_publisher(Float64MultiArray, 'policy_server/steps', 1)
        ours.create_subscription(Float64MultiArray, 'own/commands', lambda _: None, 1)
        ours.create_service(Trigger, 'policy_server/stop', lambda _, response: response)
        twin = robot.beside('sim_bridge')
        twin.create_publisher(PoseStamped, 'twin/pose', 1)
        twin.create_publisher(PoseStamped, 'tcp/pose', 1)       # beside the robot's
        twin.create_service(Trigger, 'twin/reset', lambda _, response: response)
        robot.start()
        with pytest.MonkeyPatch.context() as patch, pytest.MonkeyPatch.context() as folders:
            patch.setattr(live_graph, 'DISCOVERY', 5.0)     # on a busy machine
            folders.chdir(folder)
            assert main(['new', '--robot', 'arm', '--task', 'push', '--seconds', '1']) == 0
    finally:
        robot.close()
    return folder / 'arm_push.yaml'


def test_observations_are_what_the_robot_publishes(run):
    document = yaml.safe_load(run.read_text())
    joints, *others = document['observation']
    assert joints['topic'] == 'joint_states'
    assert joints['select'] == {array: ['elbow', 'finger', 'shoulder']
                                for array in ('position', 'velocity')}
    assert {entry['topic'] for entry in others} == {'tip', 'tcp/pose'}


def test_the_action_is_that_of_the_controller_that_tells_its_joints(run):
    action = yaml.safe_load(run.read_text())['action']
    assert (action['topic'], action['names']) == (ACTION, ['shoulder', 'elbow'])
    assert '# or: topic: twist, type: geometry_msgs/msg/TwistStamped, of /robot' in run.read_text()


def test_switches_and_resets_are_named_and_our_own_nodes_are_not(run):
    text = run.read_text()
    assert 'e_stop: {topic: e_stop, ' in text
    assert 'reset: {service: sim_bridge/reset, type: std_srvs/srv/Trigger}' in text
    assert 'own/commands' not in text and 'policy_server' not in text and 'twin' not in text


def test_what_is_left_is_told_by_check(run, capsys):
    assert main(['check', str(run)]) == 2
    assert 'action.low: expected a list of 2 numbers' in capsys.readouterr().err


def test_a_file_is_never_overwritten(run, capsys):
    before = run.read_bytes()
    assert main(['new', '--robot', 'arm', '--task', 'push', '--out', str(run)]) == 2
    assert 'exists already' in capsys.readouterr().err
    assert run.read_bytes() == before


def test_a_name_that_could_be_a_path_is_refused(capsys):
    with pytest.raises(SystemExit) as error:
        main(['new', '--robot', '../arm', '--task', 'push'])
    assert error.value.code == 2
    assert 'expected letters, digits and _' in capsys.readouterr().err


def test_an_empty_graph_gives_no_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(live_graph, 'DISCOVERY', 0.2)
    out = tmp_path / 'contract.yaml'
    assert main(['new', '--robot', 'arm', '--task', 'push', '--out', str(out),
                 '--seconds', '0.1']) == 2
    assert 'expected topics of a robot, found none' in capsys.readouterr().err
    assert not out.exists()
