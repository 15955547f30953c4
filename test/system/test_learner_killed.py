from __future__ import annotations

import time

from graphs import Graph
import pytest
from robot_rl.curves import read_curves

MINUTES = 2.0
CHECKPOINT = 200        # updates between checkpoints
SETTINGS = {'sac_learner': {'width': 128, 'start_transitions': 300, 'autotrain': True,
                            'checkpoint_period': CHECKPOINT},
            'policy_server': {'max_policy_lag': 1, 'policy_wait': 5.0}}


@pytest.fixture
def graph(tmp_path):
    graph = Graph(tmp_path, SETTINGS, seed=1)
    yield graph
    graph.close()


def successes(graph: Graph) -> list[bool]:
    return [end['success'] == 'True' for end in graph.ends]


@pytest.mark.timeout(300)
def test_reach_is_learned_although_the_learner_is_killed(graph, tmp_path):
    began = time.monotonic()
    checkpoints = tmp_path / 'checkpoints'
    graph.run(mode='learn', run_episodes=0)
    graph.until(lambda: any(checkpoints.glob('*.safetensors')))
    received = graph.number('sac_learner', 'transitions_received')
    graph.kill('sac_learner')
    assert graph.number('sac_learner', 'updates') >= CHECKPOINT
    assert 'resumed' in graph.log('sac_learner')
    graph.until(lambda: graph.number('sac_learner', 'transitions_received') >= received > 0)
    graph.until(lambda: sum(successes(graph)[-20:]) >= 19, seconds=MINUTES * 60.0)
    graph.run(False)
    graph.until(lambda: graph.says('policy_server', 'idle'))
    graph.settle()
    graph.until(lambda: graph.number('sac_learner', 'owed') == 0)
    graph.until(lambda: graph.number('policy_server', 'newest_policy')
                == graph.number('sac_learner', 'updates'))
    evaluated = graph.episodes(20, 'evaluate')
    assert sum(end['success'] == 'True' for end in evaluated) >= 18
    assert time.monotonic() - began < MINUTES * 60.0
    graph.settle()
    assert [report.code for report in graph.exits] == [-9]
    assert len(list((checkpoints / 'curves').iterdir())) == 2       # one of each life
    steps = read_curves(checkpoints / 'curves')['learner/critic_loss'].steps
    assert steps == sorted(set(steps)) and steps[0] < CHECKPOINT < steps[-1]
