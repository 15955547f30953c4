from __future__ import annotations

import contextlib

from graphs import Graph
import numpy as np
import pytest
from robot_rl.data.bag import bag_steps, find_bags, read_info
from robot_rl.data.steps import Status
from robot_rl.errors import UserError

SETTINGS = {'sac_learner': {'width': 8, 'start_transitions': 1_000_000},
            'policy_server': {'reset_timeout': 2.0}}


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    graph = Graph(tmp_path_factory.mktemp('robot'), SETTINGS)
    yield graph
    graph.close()


def clear_stops(graph) -> None:
    for name in ('safety_stop', 'policy_server'):
        if graph.says(name, 'stopped'):
            with contextlib.suppress(UserError):    # its cause lasts: try again
                graph.operator.trigger(f'{name}/clear_stop')


@pytest.mark.parametrize('name', ['policy_server', 'sim_bridge'])
def test_episodes_go_on_after_a_node_was_killed(graph, name):
    ended = len(graph.ends)
    graph.run(mode='random', run_episodes=0)
    graph.until(lambda: len(graph.ends) >= ended + 2)
    graph.kill(name)
    ended = len(graph.ends)
    if name == 'policy_server':         # it forgets that it was told to run: safe, not handy
        graph.until(lambda: clear_stops(graph) or graph.says('policy_server', 'idle'))
        graph.run(mode='random', run_episodes=0)

    def goes_on() -> bool:
        clear_stops(graph)              # a robot that falls silent is stopped until somebody looks
        if graph.operator.status['policy_server']['text'] == 'random: idle':
            graph.run()                 # killed in a reset: its time-out ended the run
        return len(graph.ends) >= ended + 4

    graph.until(goes_on)
    graph.run(False)
    graph.until(lambda: graph.says('policy_server', 'idle'))
    graph.settle()
    assert [report.code for report in graph.exits if report.name == name] == [-9]
    assert {report.name for report in graph.exits} <= {'policy_server', 'sim_bridge'}
    assert all(read_info(bag).complete for bag in find_bags(graph.bags))


def test_no_episode_joins_the_times_of_two_simulators(graph):
    for bag in find_bags(graph.bags):
        stamps = np.array([step.stamp for step in bag_steps(bag, graph.contract)
                           if step.status is not Status.BROKEN])
        assert (np.diff(stamps) > 0).all(), bag.name
