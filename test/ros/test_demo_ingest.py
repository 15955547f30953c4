from __future__ import annotations

import json

from diagnostic_msgs.msg import DiagnosticStatus
from episodes import make_steps
import numpy as np
import pytest
from robot_rl.data import cdr
from robot_rl.data.bag import BagWriter
from robot_rl.data.steps import STEPS_TYPE
from robot_rl.nodes.demo_ingest import DemoIngest
from robot_rl.ros.codecs import step_message
from robot_rl.ros.qos import LATCHED
from std_srvs.srv import Trigger


def write_bag(folder, contract, number: int, interface: dict | None = None,
              outcome: str = 'success') -> None:
    """Write the bag of a made-up episode as the recorder does."""
    custom_data = {'interface': json.dumps(interface or contract.interface),
                   'outcome': outcome, 'steps_topic': '/policy_server/steps'}
    writer = BagWriter(folder, custom_data)
    topic = writer.add_topic('/policy_server/steps', STEPS_TYPE)
    for step in make_steps(contract, number):
        message = step_message(step)
        dims = [cdr.new('std_msgs/msg/MultiArrayDimension', label=dim.label, size=dim.size,
                        stride=0) for dim in message.layout.dim]
        layout = cdr.new('std_msgs/msg/MultiArrayLayout', dim=dims, data_offset=0)
        writer.write(topic, cdr.encode(STEPS_TYPE, cdr.new(
            STEPS_TYPE, layout=layout, data=np.array(message.data))), step.stamp, step.stamp)
    writer.close(custom_data)


@pytest.fixture
def scan(start, make_contract, tmp_path):
    """Scan folders; return the bench when the scan is over."""
    def begin(*folders, **parameters):
        contract = make_contract()
        bench = start(DemoIngest, contract=str(contract.file),
                      bags=[str(folder) for folder in folders], **parameters)
        assert bench.call(Trigger, 'demo_ingest/scan').success
        bench.event('scanned')
        return bench
    return begin


def test_a_scan_counts_what_the_bags_hold(scan, make_contract, tmp_path):
    for number in (1, 2):
        write_bag(tmp_path / 'bags' / f'episode_{number}', make_contract(), number)
    bench = scan(tmp_path / 'bags')
    bench.says(text='scanned: 2 bags, 2 episodes, 12 transitions, 0 dropped', bags=2, episodes=2,
               transitions=12, successes=2, refused=0)


def test_one_bad_bag_never_stops_the_others(scan, make_contract, tmp_path):
    contract = make_contract()
    write_bag(tmp_path / 'bags' / 'episode_1', contract, 1,
              interface={**contract.interface, 'control_rate': 10.0})
    bad = tmp_path / 'bags' / 'episode_2'
    bad.mkdir()
    (bad / 'metadata.yaml').write_text('rosbag2_bagfile_information: 3')
    write_bag(tmp_path / 'bags' / 'episode_3', contract, 3)
    bench = scan(tmp_path / 'nowhere', tmp_path / 'bags')
    reasons = [values['reason'] for kind, values in bench.events if kind == 'refused']
    assert [part in reason for part, reason in zip(
        ('no such file', 'control_rate: expected 20.0, found 10.0', 'episode_2'), reasons,
        strict=True)] == [True] * 3
    bench.says(text=f'{tmp_path}/nowhere: no such folder; scanned: 1 bags, 1 episodes, '
               '6 transitions, 0 dropped, 3 refused', bags=1, transitions=6, refused=3)


def test_only_successes_are_taken_where_asked_for_and_the_rest_is_told(scan, make_contract,
                                                                       tmp_path):
    for number, outcome in enumerate(('success', 'failure')):
        write_bag(tmp_path / 'bags' / f'episode_{number}', make_contract(), number + 1,
                  outcome=outcome)
    bench = scan(tmp_path / 'bags', outcomes='successes')
    bench.says(text='scanned: 2 bags, 1 episodes, 6 transitions, 1 dropped', episodes=1,
               dropped=1, transitions=6)
    assert 'not a success: failure' in bench.event('dropped')['reason']


def test_a_scan_leaves_a_report_where_it_is_told_to(scan, make_contract, tmp_path):
    write_bag(tmp_path / 'bags' / 'episode_1', make_contract(), 1)
    scan(tmp_path / 'bags', report_dir=str(tmp_path / 'report'))
    found = json.loads((tmp_path / 'report' / 'demonstrations.json').read_text())
    assert found['transitions'] == 6 and (tmp_path / 'report' / 'coverage.png').is_file()


def test_a_report_that_cannot_be_written_is_told_and_the_scan_counts(scan, make_contract,
                                                                     tmp_path):
    write_bag(tmp_path / 'bags' / 'episode_1', make_contract(), 1)
    (tmp_path / 'taken').write_text('x')
    bench = scan(tmp_path / 'bags', report_dir=str(tmp_path / 'taken'))
    assert 'taken' in bench.event('no_report')['reason']
    bench.says(text='scanned: 1 bags, 1 episodes, 6 transitions, 0 dropped', episodes=1)


def test_a_folder_that_does_not_exist_is_told_before_a_scan(start, tmp_path):
    bench = start(DemoIngest, bags=[str(tmp_path / 'nowhere')])
    bench.says(text=f'{tmp_path}/nowhere: no such folder; no scan yet')
    levels = bench.listen('diagnostic_msgs/msg/DiagnosticArray', 'demo_ingest/status', LATCHED)
    bench.until(lambda: levels)
    assert levels[-1].status[0].level == DiagnosticStatus.WARN


def test_a_scan_of_nothing_is_refused(start):
    bench = start(DemoIngest)
    answer = bench.call(Trigger, 'demo_ingest/scan')
    assert (answer.success, answer.message) == (False, 'the parameter bags names no folder')


def test_the_folders_may_change_while_running(start, tmp_path):
    bench = start(DemoIngest)
    assert bench.set(bags=[str(tmp_path)])[0].successful
    assert bench.call(Trigger, 'demo_ingest/scan').success
    assert 'no bag in it' in bench.event('refused')['reason']
