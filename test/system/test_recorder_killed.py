from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
import time

from graphs import Graph, PATIENCE
import pytest
from robot_rl.data.bag import bag_steps, find_bags, read_bag
from robot_rl.data.steps import Status, Step, step_from_message
from robot_rl.errors import UserError
from robot_rl.ros.qos import STEPS
from std_msgs.msg import Float64MultiArray

FLUSH = 0.5         # s, flush_period
SLACK = 0.5         # s, of scheduling on a busy machine
SETTINGS = {'data_recorder': {'flush_period': FLUSH},
            'sac_learner': {'width': 8, 'start_transitions': 1_000_000}}
PERIOD = 50_000_000     # ns, of the control and of the simulated topics


@pytest.fixture
def graph(tmp_path):
    """Start a robot in real time, so that the recorder has messages in memory when it dies."""
    graph = Graph(tmp_path, SETTINGS, lockstep=False)
    yield graph
    graph.close()


def attend(graph: Graph, condition: Callable[[], object]) -> None:
    """Wait as one who clears the stops of a robot in real time: a busy machine may be late."""
    def clear() -> None:
        if graph.says('policy_server', 'stopped'):
            with suppress(UserError):       # refused while the cause lasts, or cleared already
                graph.operator.trigger('policy_server/clear_stop')
                graph.run()

    assert graph.operator.until(condition, PATIENCE, clear), graph.operator.status


def pairs(steps: Iterable[Step]) -> list[tuple[int, int]]:
    """Return the stamps of steps that a transition joins."""
    steps = list(steps)
    return [(now.stamp, after.stamp) for now, after in zip(steps, steps[1:])
            if now.status is Status.RUNNING and after.status is not Status.BROKEN
            and after.episode == now.episode]


def recorded(graph: Graph) -> list[tuple[int, int]]:
    return sorted(pair for bag in find_bags(graph.bags)
                  for pair in pairs(bag_steps(bag, graph.contract)))


def test_a_killed_recorder_loses_no_step_and_of_the_rest_at_most_the_flush_window(graph):
    seen: list[tuple[float, Step]] = []     # when it arrived here, and what
    sizes = len(graph.contract.layout), len(graph.contract.action.layout)
    graph.operator.create_subscription(
        Float64MultiArray, 'policy_server/steps', lambda message: seen.append(
            (time.monotonic(), step_from_message(message, *sizes))), STEPS)
    graph.until(lambda: graph.operator.count_publishers('policy_server/steps'))
    graph.run(mode='random', run_episodes=0)
    attend(graph, lambda: seen and seen[-1][1].index >= 30)
    killed = graph.kill('data_recorder')

    [recovered] = graph.bags.glob('*_recovered')
    found = bag_steps(recovered, graph.contract)
    owed = [step for arrived, step in seen if arrived < killed - FLUSH - SLACK
            and step.episode == found[0].episode]       # an earlier one may have ended in success
    assert len(owed) > 5
    assert len(found) >= len(owed)
    assert [step.index for step in found] == list(range(len(found)))    # nothing lost in between
    for topic in ('/joint_states', '/tip', '/arm_controller/commands'):
        times = [message.log_time for message in read_bag(recovered, [topic])
                 if message.log_time >= found[0].stamp]
        assert times[-1] >= owed[-1].stamp - PERIOD, topic
    assert 'recovered' in graph.log('data_recorder')

    before = len(find_bags(graph.bags))
    attend(graph, lambda: len(find_bags(graph.bags)) >= before + 2)
    graph.run(False)
    graph.until(lambda: graph.says('policy_server', 'idle')
                or graph.says('policy_server', 'stopped'))
    graph.settle()
    assert recorded(graph) == sorted(pairs(step for _, step in seen))     # each of them, once
    assert graph.number('sac_learner', 'transitions_received') == graph.derived() > 50
    assert recovered in find_bags(graph.bags)
