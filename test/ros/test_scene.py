"""What the real graph shows in RViz, and that it shows nothing to nobody."""

from __future__ import annotations

import time

from arm import Arm, AT_GOAL
from graphs import Graph
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from made_policies import actor, demonstrator, explorers
import numpy as np
import pytest
from robot_rl.actors import DEMONSTRATOR, explorer_color, PERSON, RANDOM, STOPPED
from robot_rl.contract import load_contract
from robot_rl.data.steps import Status
from robot_rl.nodes.policy_server import PolicyServer
from robot_rl.paths import contract_path
from robot_rl.ros import scene
from robot_rl.ros.codecs import bytes_message
from robot_rl.ros.qos import LATCHED, STREAM
from robot_rl.visited import Visited
from sensor_msgs.msg import PointCloud2
from shown import faults, faults_of_cloud, names, places
from std_msgs.msg import Float64MultiArray, UInt8MultiArray
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import Marker, MarkerArray

ALL = {('workspace', 0), ('goal', 0), ('action', 0), ('fan', 0), ('plan', 0), ('text', 0)}
PERSON_TOPIC = '{topic: leader, type: std_msgs/msg/Float64MultiArray, timeout: 0.5}'
SAFETY = f"""
safety:
  limits:
    tip.point.x: [-0.6, 0.6]
    tip.point.y: [-0.6, 0.6]
  intervention: {PERSON_TOPIC}
"""
PLAN = np.tile([0.4, -0.2, 0.1], (4, 1))        # rad/s
SMALL = {'sac_learner': {'width': 8, 'start_transitions': 1_000_000}}


class Shown:
    """All that came on the topics of RViz."""

    def __init__(self, node):
        self.policy: list[MarkerArray] = []
        self.world: list[MarkerArray] = []
        self.clouds: list[PointCloud2] = []
        for kind, topic, received in ((MarkerArray, 'policy_server/markers', self.policy),
                                      (MarkerArray, 'sim_bridge/markers', self.world),
                                      (PointCloud2, 'policy_server/visited', self.clouds)):
            node.create_subscription(kind, topic, received.append, STREAM)

    def now(self, ns: str) -> Marker:
        return next(marker for marker in self.policy[-1].markers if marker.ns == ns)

    def colors(self) -> set[int]:
        return set(places(self.clouds[-1])['rgb'].tolist()) if self.clouds else set()


def rgb(color) -> int:
    visited = Visited()
    visited.add((0.0, 0.0, 0.0), color)
    return int(visited.points['rgb'][0])


# The whole graph.

@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Explorers, a demonstrator and chance act in turn; then the server is deactivated."""
    folder = tmp_path_factory.mktemp('graph')
    path = folder / 'contract.yaml'
    person = f'safety:\n  intervention: {PERSON_TOPIC}\n'
    path.write_text(contract_path('puck_push').read_text().replace('safety:\n', person, 1))
    graph = Graph(folder, SMALL, contract=str(path), seed=3)
    try:
        return session(graph)
    finally:
        graph.close()


def session(graph: Graph) -> Shown:
    """Have everybody act; return what was shown, `active` before the deactivation."""
    operator = graph.operator
    shown = Shown(operator)
    graph.until(lambda: shown.policy and shown.world)
    for topic, data in (('explorers', explorers(graph.contract, *np.full((2, 3), 0.3))),
                        ('demonstrator', demonstrator(graph.contract, PLAN, spread=0.2))):
        publisher = operator.create_publisher(UInt8MultiArray, topic, LATCHED)
        publisher.publish(bytes_message(data))
        graph.until(lambda topic=topic: graph.number('policy_server', topic) > 0)
    for mode, sign in (('explore', lambda: {rgb(explorer_color(number)) for number in range(2)}
                        <= shown.colors()),
                       ('random', lambda: rgb(RANDOM) in shown.colors()),
                       ('demonstrate', lambda: rgb(DEMONSTRATOR) in shown.colors()
                        and shown.now('plan').action == Marker.ADD)):
        graph.run(mode=mode, run_episodes=0)
        graph.until(sign)
    graph.run(on=False)
    graph.until(lambda: graph.says('policy_server', 'idle'))
    shown.active = list(shown.policy)
    client = operator.create_client(ChangeState, 'policy_server/change_state')
    graph.until(client.service_is_ready)
    future = client.call_async(ChangeState.Request(
        transition=Transition(id=Transition.TRANSITION_DEACTIVATE)))
    graph.until(future.done)
    assert future.result().success
    graph.until(lambda: shown.policy[-1].markers[0].action == Marker.DELETEALL
                and not len(shown.clouds[-1].data))
    return shown


def test_every_marker_of_the_graph_is_one_that_rviz_shows(run):
    markers = [marker for array in run.policy + run.world for marker in array.markers]
    assert len(markers) > 100
    assert not [(marker.ns, marker.id, found) for marker in markers if (found := faults(marker))]
    assert {marker.header.frame_id for marker in markers} == {'world'}


def test_every_name_is_there_once_in_a_message(run):
    for array in run.policy + run.world:
        assert len(set(names(array.markers))) == len(array.markers)


def test_every_message_names_every_marker_so_that_none_is_left_behind(run):
    assert {frozenset(names(array.markers)) for array in run.active} == {frozenset(ALL)}
    numbers = {frozenset(names(array.markers)) for array in run.world}
    assert len(numbers) == 1


def test_everything_was_shown_at_some_time(run):
    added = {marker.ns for array in run.active for marker in array.markers
             if marker.action == Marker.ADD}
    assert added == {ns for ns, _ in ALL}


def test_every_cloud_is_one_that_rviz_shows(run):
    assert not [found for cloud in run.clouds if (found := faults_of_cloud(cloud))]
    assert {cloud.header.frame_id for cloud in run.clouds} == {'world'}


def test_visited_places_are_within_reach_at_the_height_of_the_peg(run):
    found = places(run.clouds[-2])
    assert len(found) > 500
    assert np.hypot(found['x'], found['y']).max() < 0.51
    assert np.unique(found['z']).tolist() == [np.float32(0.019)]


def test_what_was_shown_is_deleted_by_the_deactivation_and_nothing_comes_after_it(run):
    ends = [index for index, array in enumerate(run.policy)
            if array.markers[0].action == Marker.DELETEALL]
    assert ends == [len(run.policy) - 1]
    assert run.clouds[-1].width == 0 and run.clouds[-2].width > 0


# One server, whose robot is the test.

@pytest.fixture
def serve(start, make_contract):
    """Start a lockstep policy server of `reach` with people and limits; it idles."""
    def begin(look=True, safety=SAFETY, horizon=30, **parameters):
        contract = make_contract(**{'horizon: 50': f'horizon: {horizon}',
                                    'reward: robot': f'{safety}\nreward: robot'})
        bench = start(PolicyServer, contract=str(contract.file), **{
            'lockstep': True, 'mode': 'random', **parameters})
        arm = Arm(bench, contract)
        bench.until(lambda: bench.status.get('text', '').endswith('idle'))
        shown = Shown(bench.probe) if look else None
        if look:
            bench.until(lambda: shown.policy)
        return bench, arm, shown
    return begin


def begin(bench) -> None:
    assert bench.call(SetBool, 'policy_server/run', data=True).success


def ended(arm: Arm) -> int:
    """Count the episodes that have ended."""
    return sum(step.status is not Status.RUNNING for step in arm.steps)


def offer(bench, topic: str, data: bytes) -> None:
    shelf, before = bench.node._policies, getattr(bench.node._policies, topic)
    bench.publisher(UInt8MultiArray, topic, LATCHED).publish(bytes_message(data))
    bench.until(lambda: getattr(shelf, topic) is not before)


def test_before_anything_acts_the_workspace_the_goal_and_the_text_are_shown(serve):
    bench, arm, shown = serve()
    added = {marker.ns for marker in shown.policy[0].markers if marker.action == Marker.ADD}
    assert added == {'workspace', 'goal', 'text'}
    place = shown.now('goal').pose.position
    assert (place.x, place.y) == AT_GOAL and shown.now('goal').scale.x == 0.06
    assert shown.now('text').text == 'random: idle'


def test_the_arrow_leads_from_where_the_robot_is_to_where_the_action_takes_it(serve):
    bench, arm, shown = serve(horizon=10_000)
    arm.tip = 0.38, 0.0
    begin(bench)
    bench.until(lambda: shown.now('action').action == Marker.ADD and arm.steps)
    marker = shown.now('action')
    assert (marker.points[0].x, marker.points[0].y, marker.points[0].z) == (0.38, 0.0, 0.02)
    end = [marker.points[1].x, marker.points[1].y, marker.points[1].z]
    ends = [arm.contract.path(step.observation, np.tile(step.executed, (5, 1)))[-1]
            for step in arm.steps]
    assert np.abs(np.array(ends) - end).max(1).min() < 1e-12
    assert (marker.color.r, marker.color.g) == pytest.approx(RANDOM[:2])


def test_a_person_who_acts_is_seen_in_colour_and_text_and_so_are_the_places(serve):
    bench, arm, shown = serve(horizon=10_000)
    leader = bench.publisher(Float64MultiArray, 'leader', STREAM)
    begin(bench)
    bench.until(lambda: arm.steps)

    def seen() -> bool:
        leader.publish(Float64MultiArray(data=[1.0, 1.0]))
        return 'a person acts' in shown.now('text').text and rgb(PERSON) in shown.colors()

    bench.until(seen)
    arrow = shown.now('action').color
    assert (arrow.r, arrow.g, arrow.b) == pytest.approx(PERSON)
    words = shown.now('text').color
    assert (words.r, words.g, words.b) == pytest.approx([0.5 + 0.5 * part for part in PERSON])


def test_the_text_tells_episodes_and_their_success(serve):
    bench, arm, shown = serve(horizon=3, run_episodes=3)
    arm.velocity = 0.1, 0.1
    begin(bench)
    bench.until(lambda: 'last 3' in shown.now('text').text and ended(arm) == 3)
    assert shown.now('text').text.split('\n') == [
        'random: idle', 'episode 3, step 3', 'success 0 of the last 3']
    arm.tip = AT_GOAL
    assert bench.set(run_episodes=1)[0].successful
    begin(bench)
    bench.until(lambda: 'success 1 of the last 4' in shown.now('text').text)


def test_a_stop_is_told_in_red_and_ends_what_moves(serve):
    bench, arm, shown = serve(mode='learn', horizon=10_000)
    offer(bench, 'actor', actor(arm.contract, version=4))
    begin(bench)
    bench.until(lambda: 'learner, version 4 acts' in shown.now('text').text)
    assert bench.call(Trigger, 'policy_server/stop').success
    bench.until(lambda: 'stopped' in shown.now('text').text)
    color = shown.now('text').color
    assert (color.r, color.g, color.b) == pytest.approx(STOPPED)
    assert shown.now('action').action == shown.now('plan').action == Marker.DELETE
    assert shown.now('goal').action == Marker.ADD


def test_each_new_plan_is_shown_as_a_fan_and_the_plan_by_how_sure_it_is(serve):
    bench, arm, shown = serve(mode='demonstrate', horizon=10_000)
    plan = np.array([[0.1, -0.1], [0.2, -0.2], [0.3, -0.3], [0.4, -0.4]])
    offer(bench, 'demonstrator', demonstrator(arm.contract, plan, spread=0.1))
    begin(bench)
    bench.until(lambda: shown.now('plan').action == Marker.ADD)
    fan, path = shown.now('fan'), shown.now('plan')
    assert len(fan.points) == 16 * 4 * 2 and len(path.points) == len(path.colors) == 4 * 2
    ends = np.array([[point.x, point.y, point.z] for point in path.points])
    assert ends[0].tolist() == [0.0, 0.0, 0.02]         # where the robot is
    expected = arm.contract.path(arm.steps[0].observation, plan)
    assert np.allclose(ends[1::2], expected, atol=0.02)
    greens = [color.g for color in path.colors]     # two members ever further apart: redder
    assert greens == sorted(greens, reverse=True) and greens[0] > greens[-1]


def test_a_plan_is_gone_when_somebody_without_plans_acts(serve):
    bench, arm, shown = serve(mode='demonstrate')
    offer(bench, 'demonstrator', demonstrator(arm.contract, np.full((4, 2), 0.1)))
    begin(bench)
    bench.until(lambda: shown.now('plan').action == Marker.ADD)
    assert bench.set(mode='random')[0].successful
    bench.until(lambda: 'chance acts' in shown.now('text').text)
    assert shown.now('fan').action == shown.now('plan').action == Marker.DELETE


def test_messages_and_clouds_keep_their_rates_however_fast_the_world_is(serve, monkeypatch):
    bench, arm, shown = serve(horizon=10_000)
    clock = Clock(time.monotonic())
    monkeypatch.setattr(scene, 'time', clock)
    sent: dict[str, list[float]] = {'_markers': [], '_cloud': []}
    for name, times in sent.items():
        publisher = getattr(bench.node._output.scene, name)
        publisher.publish = lambda _, times=times: times.append(clock.now)
    begin(bench)
    bench.until(lambda: len(sent['_cloud']) >= 3)
    assert len(arm.steps) > 100
    for times, least in ((sent['_markers'], scene.PERIOD), (sent['_cloud'], scene.CLOUD)):
        found = np.diff(times)
        assert least - 1e-6 < found.min() and found.max() < least + scene.PERIOD + 1e-6


class Clock:
    """Time that passes, whatever the machine does: 10 ms each time that somebody asks."""

    def __init__(self, now: float):
        self.now = now

    def monotonic(self) -> float:
        self.now += 0.01
        return self.now


def test_who_looks_late_sees_what_was_visited_before(serve):
    bench, arm, _ = serve(look=False, run_episodes=1)
    arm.tip = 0.1, 0.2
    begin(bench)
    bench.until(lambda: ended(arm) == 1)
    shown = Shown(bench.probe)
    bench.until(lambda: shown.clouds)
    found = places(shown.clouds[0])
    assert len(found) == 30 and np.allclose(found['y'], 0.2)


def test_nothing_is_sent_or_computed_where_nobody_looks(serve, monkeypatch):
    bench, arm, _ = serve(look=False, mode='demonstrate', run_episodes=1)
    view = bench.node._output.scene
    offer(bench, 'demonstrator', demonstrator(arm.contract, np.full((4, 2), 0.1)))
    for publisher in (view._markers, view._cloud):
        publisher.publish = lambda _: pytest.fail('was sent')
    policy = type(bench.node._policies.demonstrator.policy)
    monkeypatch.setattr(policy, 'fan', lambda *_: pytest.fail('was asked for a fan'))
    monkeypatch.setattr(view, '_all', lambda *_: pytest.fail('was drawn'))
    begin(bench)
    bench.until(lambda: ended(arm) == 1)
    bench.node.deactivate('deactivated')


def test_a_contract_without_a_display_shows_nothing_and_runs(start, make_contract):
    text = load_contract('reach').text
    section = text[text.index('display:'):text.index('simulation:')]
    contract = make_contract(**{section: '', 'horizon: 50': 'horizon: 3'})
    bench = start(PolicyServer, contract=str(contract.file), lockstep=True, mode='random',
                  run_episodes=2)
    arm, shown = Arm(bench, contract), Shown(bench.probe)
    bench.until(lambda: bench.status.get('text', '').endswith('idle'))
    begin(bench)
    bench.until(lambda: len(arm.steps) >= 8)
    assert not shown.policy and not shown.clouds


def test_a_path_that_fails_shows_nothing_and_the_robot_goes_on(serve):
    bench, arm, shown = serve(run_episodes=2)

    def fail(*_):
        raise ValueError('no such link')

    bench.node.contract.__dict__['display'].__dict__['path'] = fail
    begin(bench)
    bench.until(lambda: ended(arm) == 2)
    assert {step.status for step in arm.steps} == {Status.RUNNING, Status.TRUNCATED}


def test_looking_does_not_change_what_is_done(serve):
    runs = []
    for look in (False, True):
        bench, arm, _ = serve(look=look, mode='demonstrate', seed=5, run_episodes=1)
        offer(bench, 'demonstrator', demonstrator(arm.contract, np.full((4, 2), 0.1)))
        begin(bench)
        bench.until(lambda: ended(arm))
        runs.append(np.array([step.requested for step in arm.steps]))
    assert np.array_equal(*runs)


def test_a_goal_that_is_observed_moves_with_it(start, make_contract):
    contract = make_contract(**{'goal: [0.22, 0.18, 0.02]': 'goal: [tip.point.x, 0.0, 0.5]'})
    bench = start(PolicyServer, contract=str(contract.file), lockstep=True, mode='random')
    arm = Arm(bench, contract)
    bench.until(lambda: bench.status.get('text', '').endswith('idle'))
    shown = Shown(bench.probe)
    bench.until(lambda: shown.policy)
    assert shown.now('goal').action == Marker.DELETE
    arm.tip = 0.3, -0.1
    begin(bench)
    bench.until(lambda: shown.now('goal').action == Marker.ADD)
    place = shown.now('goal').pose.position
    assert (place.x, place.y, place.z) == (0.3, 0.0, 0.5)


@pytest.mark.parametrize(('simulated', 'seconds'), [(False, 2), (True, 0)])
def test_what_is_not_sent_again_leaves_rviz_by_itself_unless_time_is_simulated(
        serve, simulated, seconds):
    bench, arm, shown = serve(use_sim_time=simulated)
    assert {marker.lifetime.sec for marker in shown.policy[-1].markers} == {seconds}
