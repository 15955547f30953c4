from __future__ import annotations

import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.tasks import go_to


@pytest.mark.parametrize('name', ['ur5e_forward', 'base_cmd_vel'])
def test_it_succeeds_at_the_goal_only_and_pays_for_coming_nearer(name):
    contract = load_contract(name)
    observation = np.zeros((3, len(contract.layout)))
    slot = contract.layout.slots['goal']
    observation[:, slot.start] = 0.9 * go_to.TOLERANCE, 0.5, 7.0      # m, along x
    assert contract.is_success(observation).tolist() == [True, False, False]
    reward, terminated = contract.judge(observation, np.zeros((3, len(contract.action.layout))),
                                        observation)
    assert reward.tolist() == [1.0, -0.5, -1.0]
    assert terminated.tolist() == [True, False, False]


def test_the_sparse_reward_counts_steps_to_go():
    contract = load_contract('servo_twist')
    observation = np.zeros((2, len(contract.layout)))
    observation[1, contract.layout.slots['here']] = 1.0
    view = contract.layout.view(observation)
    reward, terminated = go_to.sparse_reward(view, None, view)
    assert (reward.tolist(), terminated.tolist()) == ([0.0, -1.0], [True, False])
