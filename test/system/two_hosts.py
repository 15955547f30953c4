"""The robot on one host; learner and operator on another, behind a cable that is cut.

`PYTHONPATH=.:test/ros python test/system/two_hosts.py 3 30` measures cuts of 3 and of 30 s,
with the lease of 20 s that the middleware has by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import sys
import tempfile
import time

from graphs import Graph
from isolation import claim_domain
import pytest
import rclpy
from rclpy.signals import SignalHandlerOptions
from robot_rl.bundle import unpack
from robot_rl.data.bag import bag_steps, find_bags, read_bag, read_info
from robot_rl.data.step_bag import STEPS_TOPIC
from robot_rl.errors import UserError
from robot_rl.ros import operator as operators
from robot_rl.ros.operator import Operator

sys.path.insert(0, str(Path(__file__).parents[2] / 'benchmarks'))

from namespaces import Cable, Host, Quality, two_hosts  # noqa: E402, I100

ON_ROBOT = ('sim_bridge', 'safety_stop', 'policy_server', 'data_recorder')
SETTINGS = {'sac_learner': {'width': 8, 'start_transitions': 100, 'publish_period': 50,
                            'utd_ratio': 0.2, 'autotrain': True},
            'safety_stop': {'timeout': 1.0}}        # a cut is longer: it would show
CUT = 3.0           # s
CUT_EPISODES = 5    # begun and recorded in it, at least
# Of the middleware: silence after which a peer is forgotten. Its own default is 20 s.
SHORT_LEASE = """<dds><profiles xmlns="http://www.eprosima.com">
  <participant profile_name="impatient" is_default_profile="true"><rtps><builtin>
    <discovery_config>
      <leaseDuration><sec>2</sec></leaseDuration>
      <leaseAnnouncement><sec>0</sec><nanosec>500000000</nanosec></leaseAnnouncement>
    </discovery_config></builtin></rtps></participant></profiles></dds>"""
# Datagrams that need no fragments: one lost frame of 44 loses the whole one.
SMALL_DATAGRAMS = 'UDPv4?max_msg_size=1400B'


class TwoHosts(Graph):
    """A graph across two hosts; this process is the operator on the learner's."""

    def __init__(self, folder: Path, robot: Host, cable: Cable):
        self.robot, self.cable = robot, cable
        super().__init__(folder, SETTINGS, prefixes=dict.fromkeys(ON_ROBOT, robot.prefix))

    def learn(self, run_episodes: int = 0) -> None:
        """Run episodes until the robot acts by what it has taught."""
        self.run(mode='learn', run_episodes=run_episodes)
        self.until(lambda: self.number('policy_server', 'newest_policy') > 0)

    def recorded(self) -> list[Path]:
        """Return the complete bags, the newest last; they lie on the robot's disk."""
        return [bag for bag in find_bags(self.bags) if read_info(bag).complete]

    def cut_off(self, seconds: float = CUT) -> list[Path]:
        """Cut the cable; return the episodes that were begun and ended since.

        They are told by when they were begun: on a busy machine the recorder completes the last
        ones from before only after the cut.
        """
        self.cable.quality.up = False
        cut, before, end = time.time_ns(), len(self.recorded()), time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end
                   and len(self.begun_since(cut)) >= CUT_EPISODES, seconds + 30.0)
        assert self.number('sac_learner', 'episodes_received') <= before + 1    # of an instant ago
        return self.begun_since(cut)

    def begun_since(self, instant: int) -> list[Path]:
        """Return the complete bags whose first step was published after so many ns."""
        return [bag for bag in self.recorded()
                if next(iter(read_bag(bag, [STEPS_TOPIC]))).publish_time > instant]

    def look_again(self) -> None:
        """Take the place of the operator as a newcomer, whom nobody has to forget."""
        self.operator.close()
        rclpy.try_shutdown()
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.operator = Operator(self._on_event)
        self.ends.clear()
        self.until(lambda: len(self.operator.status) == len(ON_ROBOT) + 1)

    def catch_up(self) -> None:
        """Wait until both hosts agree on all that was recorded, and on the policy."""
        self.until(lambda: self.says('policy_server', 'idle'))
        self.settle()
        self.until(lambda: self.number('sac_learner', 'owed') == 0
                   and self.number('policy_server', 'newest_policy')
                   == self.number('sac_learner', 'updates'))

    def checkpoint(self) -> dict:
        """Return what a checkpoint written now says of itself."""
        self.operator.trigger('sac_learner/save_checkpoint')
        updates = self.number('sac_learner', 'updates')
        file = self.folder / f'checkpoints/checkpoint_{updates:09}.safetensors'
        self.until(file.exists)
        return unpack(file.read_bytes(), str(file), 1 << 30)[1]


@contextlib.contextmanager
def graph_on(folder: Path) -> Iterator[TwoHosts]:
    """Start the graph; in the end every node must end by itself."""
    with two_hosts() as (robot, workstation, cable), workstation.entered():
        graph = TwoHosts(folder, robot, cable)
        try:
            yield graph
            codes = graph.supervisor.stop()
            assert codes == dict.fromkeys(codes, 0), [
                (name, graph.log(name)) for name, code in codes.items() if code]
            assert not graph.exits
        finally:
            graph.close()


@pytest.fixture(scope='module')
def graph(request, tmp_path_factory):
    """Start the graph on a `clean` or a `lossy` cable, or with a `short lease`."""
    folder = tmp_path_factory.mktemp('hosts')
    with contextlib.ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
        if request.param == 'lossy':
            environment.setenv('FASTDDS_BUILTIN_TRANSPORTS', SMALL_DATAGRAMS)
        elif request.param == 'short lease':
            profile = folder / 'lease.xml'
            profile.write_text(SHORT_LEASE)
            environment.setenv('FASTDDS_DEFAULT_PROFILES_FILE', str(profile))
        try:
            graph = stack.enter_context(graph_on(folder))
        except OSError as error:
            pytest.skip(f'no second host on this machine: {error}')
        if request.param == 'lossy':
            graph.cable.quality = Quality(delay=0.05, jitter=0.02, loss=0.05)
        yield graph


def on(*cables: str):
    """Parametrise a test with the graphs on these."""
    return pytest.mark.parametrize('graph', cables, indirect=True, scope='module')


def versions(bags: list[Path], graph: Graph) -> set[int]:
    return {step.policy_version for bag in bags for step in bag_steps(bag, graph.contract)}


def assert_nothing_was_lost(graph: TwoHosts) -> None:
    """Compare what is on the robot's disk with what the learner holds."""
    bags, derived = graph.recorded(), graph.derived()
    assert graph.number('sac_learner', 'episodes_received') == len(bags)
    assert graph.number('sac_learner', 'transitions_trained_on') == derived
    assert graph.number('policy_server', 'episodes') == len(bags)
    assert graph.number('data_recorder', 'missing_steps') == 0
    found = graph.checkpoint()
    assert (found['episodes'], found['transitions']) == (len(bags), derived)
    assert graph.number('safety_stop', 'stops') == 0
    assert {end['reason'] for end in graph.ends} <= {'horizon', 'success'}
    told = [end['episode'] for end in graph.ends]
    assert sorted(set(told)) == sorted(told)


@pytest.mark.timeout(180)
@on('clean')
def test_a_call_that_was_not_answered_is_not_done_later(graph, monkeypatch):
    graph.learn()
    graph.cable.quality.up = False
    monkeypatch.setattr(operators, 'CALL_TIMEOUT', 0.5)
    with pytest.raises(UserError, match='policy_server/stop: no answer in 0.5 s'):
        graph.operator.trigger('policy_server/stop')
    monkeypatch.undo()
    graph.cable.quality.up = True
    episodes = graph.number('policy_server', 'episodes')
    graph.until(lambda: graph.number('policy_server', 'episodes') > episodes + CUT_EPISODES)
    graph.run(False)
    graph.catch_up()
    assert_nothing_was_lost(graph)


@pytest.mark.timeout(180)
@on('lossy')
def test_the_robot_goes_on_while_cut_off_and_the_learner_catches_up(graph):
    graph.learn()
    before = graph.number('policy_server', 'newest_policy')
    alone = graph.cut_off()
    [version] = versions(alone[1:], graph)      # a newer one was on its way when it was cut
    assert version >= before
    graph.cable.quality.up = True
    graph.until(lambda: graph.number('policy_server', 'newest_policy') > version)
    graph.run(False)
    graph.catch_up()
    assert_nothing_was_lost(graph)


@pytest.mark.timeout(180)
@on('short lease')
def test_hosts_that_forgot_each_other_find_again_what_nobody_tells_of(graph):
    graph.learn(run_episodes=25)
    graph.cut_off()
    graph.until(lambda: len(graph.recorded()) == 25)        # and then no more that would tell
    graph.cable.quality.up = True
    graph.look_again()      # this process has read its middleware's profile before
    graph.catch_up()
    assert_nothing_was_lost(graph)
    assert 'asking the recorder to send all again' in graph.log('sac_learner')


def measure(cuts: list[float]) -> None:
    """Print how long it takes after cuts of so many seconds until all is as it should be."""
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'SUBNET'
    for seconds in cuts:
        with tempfile.TemporaryDirectory() as folder, graph_on(Path(folder)) as graph:
            graph.learn()
            missed, heard = len(graph.cut_off(seconds)), graph.number('policy_server', 'episodes')
            graph.cable.quality.up, back = True, time.monotonic()
            graph.until(lambda: graph.number('policy_server', 'episodes') > heard)
            seen = time.monotonic() - back
            behind = graph.number('data_recorder', 'published')
            graph.until(lambda: graph.number('sac_learner', 'episodes_received') >= behind)
            caught_up = time.monotonic() - back
            graph.run(False)
            graph.catch_up()
            assert_nothing_was_lost(graph)
            print(f'{seconds:g} s cut off, {missed} episodes: the operator sees the robot after '
                  f'{seen:.1f} s, the learner has all after {caught_up:.1f} s', flush=True)


if __name__ == '__main__':
    LOCK = claim_domain()
    measure([float(text) for text in sys.argv[1:]])
