"""Who is in the graph already, where a demo is to start one of its own."""

from __future__ import annotations

import os

from robot_rl.contract import Contract
from robot_rl.errors import UserError
from robot_rl.ros import live_graph
from robot_rl.ros.live_graph import Ear, listening
from robot_rl.ros.neighbours import owner, UNKNOWN

SERVER = 'policy_server'
ELSEWHERE = 42, 43      # ROS domains to advise: the other one, where it is the first already


def refuse_company(contract: Contract, command: str) -> None:
    """Look who is there until somebody is found, at most live_graph.DISCOVERY s.

    Raises UserError where a policy server runs, or somebody publishes the contract's action topic
    or listens to it: a robot that listens would do what the demo commands.
    """
    with listening() as ear:
        if not ear.until(lambda: _company(ear, contract), live_graph.DISCOVERY):
            return
        ear.until(lambda: UNKNOWN not in ''.join(_company(ear, contract)), live_graph.DISCOVERY)
        found = ', '.join(sorted(_company(ear, contract)))
    here = os.environ.get('ROS_DOMAIN_ID', '0')
    other = next(domain for domain in ELSEWHERE if str(domain) != here)
    raise UserError(f'ROS domain {here}: expected nobody whom the demo could move or hear, found '
                    f'{found}; end it (a killed node stays for 20 s), or take another domain: '
                    f'ROS_DOMAIN_ID={other} make {command}')


def _company(ear: Ear, contract: Contract) -> set[str]:
    topic = ear.resolve_topic_name(contract.action.topic)
    found = {name for name in ear.get_fully_qualified_node_names()
             if name.rpartition('/')[2] == SERVER}
    for infos, does in ((ear.get_publishers_info_by_topic(topic), 'publishes'),
                        (ear.get_subscriptions_info_by_topic(topic), 'listens to')):
        found |= {f'{owner(info)} ({does} {topic})' for info in infos}
    return found
