from __future__ import annotations

from dataclasses import replace
import json
import os
import struct
import time

from made_policies import explorers
import numpy as np
import pytest
from robot_rl.contract import Contract, load_contract
from robot_rl.curves import CurveWriter
from robot_rl.data import cdr
from robot_rl.data.bag import BagWriter, find_bags, read_info, set_custom_data
from robot_rl.data.recorder import EpisodeRecorder, RecorderSettings, Topic
from robot_rl.data.steps import Mode, Source, Status, Step, STEPS_TYPE
from robot_rl.errors import InvalidFile, UserError
from robot_rl.learning.coverage import Coverage
from robot_rl.learning.policy import decode_explorers
from robot_rl.report.episodes import Episode
from robot_rl.report.figures import BASE, build_report, LEARNED, plot_success, wilson
from robot_rl.report.run import write_report

REACH = load_contract('reach')
PNG = b'\x89PNG\r\n\x1a\n'


def step_bytes(step: Step) -> bytes:
    segments = step.segments()
    dims = [cdr.new('std_msgs/msg/MultiArrayDimension', label=label, size=values.size, stride=0)
            for label, values in segments]
    layout = cdr.new('std_msgs/msg/MultiArrayLayout', dim=dims, data_offset=0)
    data = np.concatenate([values for _, values in segments])
    return cdr.encode(STEPS_TYPE, cdr.new(STEPS_TYPE, layout=layout, data=data))


def episode_steps(number: int, count: int, mode: Mode, version: int, success: bool) -> list[Step]:
    last = Status.TERMINATED if success else Status.TRUNCATED
    return [Step(number * 10 ** 9 + index, number, index,
                 last if index == count else Status.RUNNING, Source.POLICY, mode, version,
                 success and index == count, np.zeros(6), np.zeros(2), np.zeros(2))
            for index in range(count + 1)]


def record(run_dir, *episodes, contract: Contract = REACH, folder: str = 'bags'):
    """Record episodes (actions, mode, version, success) as the recorder does."""
    topic = Topic('/policy_server/steps', STEPS_TYPE)
    recorder = EpisodeRecorder(run_dir / folder, contract, [topic], RecorderSettings(settle=0.0),
                               topic.name, lambda episode: None, lambda kind, values: None)
    for number, episode in enumerate(episodes, start=1):
        for step in episode_steps(number, *episode):
            recorder.put(0, step_bytes(step), step.stamp, time.time_ns())
    recorder.close()
    (run_dir / 'contract.yaml').write_text(contract.text)
    return run_dir


RUN = [(5, Mode.EVALUATE, 0, False), (5, Mode.EVALUATE, 0, True), (7, Mode.RANDOM, -1, False),
       (4, Mode.LEARN, 10, True), (3, Mode.EVALUATE, 10, False), (2, Mode.EVALUATE, 20, True),
       (2, Mode.EVALUATE, 20, True)]


# Wilson score intervals, as of R's prop.test(correct = FALSE) and statsmodels.
@pytest.mark.parametrize(('successes', 'count', 'interval'), [
    (0, 10, (0.0, 0.27753)), (10, 10, (0.72247, 1.0)), (8, 10, (0.49016, 0.94332)),
    (50, 100, (0.40383, 0.59617)), (1, 1, (0.20654, 1.0)), (0, 0, (0.0, 1.0))])
def test_wilson_interval(successes, count, interval):
    assert wilson(successes, count) == pytest.approx(interval, abs=1e-5)


def test_wilson_interval_always_holds_the_rate():
    for count in range(1, 200):
        for successes in range(count + 1):
            low, high = wilson(successes, count)
            assert 0.0 <= low <= successes / count <= high <= 1.0


def test_a_report_counts_what_is_in_the_bags(tmp_path):
    report, episodes = build_report(record(tmp_path, *RUN))
    assert [episode.steps for episode in episodes] == [5, 5, 7, 4, 3, 2, 2]
    expected = {'task': 'reach', 'success_first': 0.5, 'success_final': 1.0,
                'evaluation_episodes': [2, 2], 'episodes': 7, 'episodes_learned_from': 2,
                'robot_steps': 28, 'robot_seconds': 1.4, 'transitions_recorded': 28,
                'messages_dropped': 0, 'bags_unreadable': [],
                'outcomes': {'success': 4, 'truncated': 3}, 'contract_hash': REACH.hash}
    assert {key: report[key] for key in expected} == expected


def test_the_newest_bag_has_the_contract_of_a_run_that_keeps_none(tmp_path):
    (record(tmp_path, *RUN) / 'contract.yaml').unlink()
    first, *_, last = find_bags(tmp_path / 'bags')
    set_custom_data(first, contract='task: another')
    report, episodes = build_report(tmp_path)
    assert (report['contract_hash'], len(episodes)) == (REACH.hash, 7)
    assert not (tmp_path / 'contract.yaml').exists()
    set_custom_data(last, contract='task: another')
    with pytest.raises(InvalidFile, match='custom_data.contract: control_rate: expected'):
        build_report(tmp_path)


def test_what_a_run_did_not_say_is_null(tmp_path):
    report, _ = build_report(record(tmp_path, (3, Mode.LEARN, 0, False)))
    assert {key for key, value in report.items() if value is None} == {
        'seed', 'success_first', 'success_final', 'success_sim_optimal', 'success_explorers',
        'base', 'target', 'reached', 'kept', 'coverage', 'wall_seconds', 'seconds', 'updates',
        'transitions_received', 'transitions_trained_on', 'policy_swaps', 'ended', 'video', 'gap',
        'versions', 'latency_ms'}


def test_what_was_stopped_is_in_no_rate_and_counted_beside_it(tmp_path):
    record(tmp_path, *[(5, Mode.EVALUATE, 4, True)] * 2, *[(5, Mode.EVALUATE, 4, False)] * 3,
           (5, Mode.EXPLORE, 0, False))
    for folder, outcome in zip(find_bags(tmp_path / 'bags')[2:], (
            'aborted', 'truncated', 'abandoned', 'incomplete')):
        set_custom_data(folder, outcome=outcome)
    report, _ = build_report(tmp_path)
    assert (report['success_final'], report['evaluation_episodes']) == (2 / 3, [0, 3])
    assert report['evaluation_left_out'] == {'stopped': 2, 'helped': 0}
    assert report['success_explorers'] is None
    assert (report['episodes'], report['episodes_left_out']) == (6, {'stopped': 3, 'helped': 0})
    evaluate, explore = (report['modes'][mode] for mode in ('evaluate', 'explore'))
    assert (evaluate['episodes'], evaluate['counted'], evaluate['successes']) == (5, 3, 2)
    assert (explore['counted'], explore['stopped'], explore['success']) == (0, 1, None)


def test_updates_that_no_run_json_tells_are_those_of_the_curves(tmp_path):
    record(tmp_path, (3, Mode.LEARN, 0, False))
    writer = CurveWriter(tmp_path / LEARNED, on_error=pytest.fail)
    for updates in (10, 4321):
        writer.add(updates, {'progress/policy_version': 1.0}, 1e9)
    writer.close()
    assert build_report(tmp_path)[0]['updates'] == 4321
    (tmp_path / 'run.json').write_text(json.dumps({'sac_learner': {'updates': 9}}))
    assert build_report(tmp_path)[0]['updates'] == 9


def test_what_the_nodes_said_is_taken_over(tmp_path):
    record(tmp_path, (3, Mode.LEARN, 0, False))
    run = {'seed': 4, 'ended': 'completed', 'sac_learner': {'updates': 9},
           'policy_server': {'policy_swaps': 2}}
    (tmp_path / 'run.json').write_text(json.dumps(run))
    report, _ = build_report(tmp_path)
    assert (report['seed'], report['ended'], report['updates'], report['policy_swaps']) == (
        4, 'completed', 9, 2)


def test_episodes_are_told_apart_by_their_mode(tmp_path):
    report, _ = build_report(record(
        tmp_path, (5, Mode.TRANSFER, 9, False), (5, Mode.TRANSFER, 9, True),
        (5, Mode.EXPLORE, 3, True), (5, Mode.LEARN, 0, True), (5, Mode.EVALUATE, 4, True)))
    expected = {'success_sim_optimal': 0.5, 'success_explorers': 1.0, 'success_final': 1.0,
                'episodes_learned_from': 2, 'evaluation_episodes': [0, 1]}
    assert {key: report[key] for key in expected} == expected


def test_the_newest_evaluation_is_the_final_one_whatever_its_version_counts(tmp_path):
    report, _ = build_report(record(
        tmp_path, (5, Mode.EVALUATE, 900, False), (5, Mode.EVALUATE, 20, True)))
    assert (report['success_final'], report['evaluation_episodes']) == (1.0, [0, 1])


def test_episodes_that_the_learner_never_saw_are_counted_and_not_as_its_own(tmp_path):
    record(tmp_path, (3, Mode.SCRIPTED, -1, True), folder='demonstrations')
    record(tmp_path, (4, Mode.DEMONSTRATE, 1, False), folder='measured')
    report, episodes = build_report(record(tmp_path, (5, Mode.LEARN, 0, True)))
    assert [(episode.folder, episode.steps) for episode in episodes] == [
        ('demonstrations', 3), ('measured', 4), ('bags', 5)]
    assert (report['episodes'], report['episodes_learned_from'], report['robot_steps']) == (
        3, 1, 12)


def test_a_run_that_ended_before_anything_was_learned_has_a_report(tmp_path):
    record(tmp_path, (3, Mode.SCRIPTED, -1, True), folder='demonstrations')
    assert write_report(tmp_path)['episodes'] == 1
    assert (tmp_path / 'success.png').read_bytes().startswith(PNG)


def test_how_the_steered_policy_did_before_learning_is_taken_over(tmp_path):
    record(tmp_path, *RUN)
    base = {'base_success': '0.25', 'base_success_low': '0.1', 'base_success_high': '0.5',
            'base_episodes': 12}
    (tmp_path / 'run.json').write_text(json.dumps({
        'sac_learner': base, 'reached': {'episodes': 40}, 'target': 0.9}))
    report, _ = build_report(tmp_path)
    assert report['base'] == {'base_success': 0.25, 'base_success_low': 0.1,
                              'base_success_high': 0.5, 'base_episodes': 12.0}
    assert (report['reached'], report['target']) == ({'episodes': 40}, 0.9)
    (tmp_path / 'run.json').write_text(json.dumps({'sac_learner': {**base, BASE[0]: 'x'}}))
    assert build_report(tmp_path)[0]['base'] is None


@pytest.mark.parametrize('kept', [
    {'policy': 'learned', 'learned_successes': 19}, {'policy': 'sim_optimal'},
    {'policy': 'demonstrator'}])
def test_what_was_kept_is_taken_over(tmp_path, kept):
    record(tmp_path, *RUN)
    (tmp_path / 'run.json').write_text(json.dumps({'kept': kept}))
    assert write_report(tmp_path)['kept'] == kept


def test_what_policy_server_kept_in_a_run_by_hand_is_in_the_report(tmp_path):
    record(tmp_path, *RUN)
    path, facts = tmp_path / 'kept' / 'kept.json', {'policy': 'learned', 'learned_successes': 19}
    path.parent.mkdir()
    path.write_text(json.dumps(facts))
    assert write_report(tmp_path)['kept'] == facts
    assert 'policy that was kept' in (tmp_path / 'report.html').read_text()
    path.write_text('{')
    assert write_report(tmp_path)['kept'] is None


@pytest.mark.parametrize('kept', [1, [], {}, {'policy': 'x'}, None])
def test_a_kept_policy_that_is_none_is_null(tmp_path, kept):
    record(tmp_path, *RUN)
    (tmp_path / 'run.json').write_text(json.dumps({'kept': kept}))
    assert write_report(tmp_path)['kept'] is None


def save_explorers(folder, contract: Contract = REACH) -> Coverage:
    """Put an artifact of one explorer there; return its certificate."""
    data = explorers(contract, [0.5] * len(contract.action.layout))
    folder.mkdir(parents=True)
    (folder / 'explorers.safetensors').write_bytes(data)
    return decode_explorers(data, contract, 'made')[1]


def test_the_robots_coverage_stands_beside_the_simulators(tmp_path):
    record(tmp_path, (5, Mode.EXPLORE, 0, False), (4, Mode.LEARN, 0, False),
           (3, Mode.EVALUATE, 0, False))
    simulator = save_explorers(tmp_path / 'explorers' / 'ab12')
    found = build_report(tmp_path)[0]['coverage']
    robot = every = Coverage.empty(simulator.features)
    for count in (5, 4, 3):
        every = every.add(np.zeros((count, 6)))
    assert found == {
        'simulator': simulator.summary(), 'warning': '',
        'robot': {'explorers': robot.add(np.zeros((5, 6))).summary(), 'explorer_episodes': 1,
                  'all': every.summary()}}


def test_a_robot_that_stands_still_is_warned_of(tmp_path):
    record(tmp_path, *[(5, Mode.EXPLORE, 0, False)] * 10)
    save_explorers(tmp_path / 'explorers')
    report = write_report(tmp_path)
    assert 'lambda_min' in report['coverage']['warning']
    assert json.loads((tmp_path / 'report.json').read_text()) == report


def test_of_several_explorers_the_newest_count(tmp_path):
    record(tmp_path, (5, Mode.EXPLORE, 0, False))
    for age, name in enumerate(('b', 'a')):
        save_explorers(tmp_path / 'explorers' / name)
        os.utime(tmp_path / 'explorers' / name / 'explorers.safetensors', (100 - age,) * 2)
    (tmp_path / 'explorers' / 'a' / 'explorers.safetensors').write_bytes(b'older and unreadable')
    os.utime(tmp_path / 'explorers' / 'a' / 'explorers.safetensors', (1, 1))
    assert build_report(tmp_path)[0]['coverage']['warning'] == ''


def test_explorers_that_cannot_be_read_are_named(tmp_path):
    record(tmp_path, (5, Mode.EXPLORE, 0, False))
    save_explorers(tmp_path / 'explorers', load_contract('puck_push'))
    found = write_report(tmp_path)['coverage']
    assert found['robot'] is None and 'explorers.safetensors: made under' in found['warning']


def test_a_report_is_written_as_json_and_picture(tmp_path):
    report = write_report(record(tmp_path, *RUN))
    assert json.loads((tmp_path / 'report.json').read_text()) == report
    assert (tmp_path / 'success.png').read_bytes().startswith(PNG)
    assert not list(tmp_path.glob('*.tmp'))


def test_a_run_without_any_episode_has_a_report(tmp_path):
    report = write_report(record(tmp_path))
    assert report['episodes'] == report['robot_steps'] == 0 and report['success_final'] is None
    assert (tmp_path / 'success.png').is_file()


def test_a_recording_that_was_killed_is_counted_as_far_as_it_goes(tmp_path):
    record(tmp_path, (5, Mode.LEARN, 0, True))
    writer = BagWriter(tmp_path / 'bags' / 'episode_000002', {'outcome': 'incomplete'})
    topic = writer.add_topic('/policy_server/steps', STEPS_TYPE)
    for step in episode_steps(2, 5, Mode.LEARN, 0, True)[:4]:
        writer.write(topic, step_bytes(step), step.stamp, step.stamp)
    writer.flush()
    with open(tmp_path / 'bags' / 'episode_000002' / 'episode_000002_0.mcap', 'ab') as stream:
        stream.write(b'half a rec')
    report = write_report(tmp_path)
    assert report['outcomes'] == {'incomplete': 1, 'success': 1}
    assert report['transitions_recorded'] == 5 + 3 and report['bags_unreadable'] == []
    assert report['episodes_learned_from'] == 2     # its steps tell its mode


@pytest.mark.parametrize('text', ['garbage: [', '', '{}'])
def test_a_damaged_bag_is_named_and_the_others_are_counted(tmp_path, text):
    record(tmp_path, (5, Mode.LEARN, 0, True), (5, Mode.LEARN, 0, True))
    (tmp_path / 'bags' / 'episode_000002' / 'metadata.yaml').write_text(text)
    report = write_report(tmp_path)
    assert report['episodes'] == 1 and report['transitions_recorded'] == 5
    assert len(report['bags_unreadable']) == 1 and 'episode_000002' in report['bags_unreadable'][0]


def test_a_bag_of_another_contract_is_named(tmp_path):
    action = replace(REACH.action, low=REACH.action.low * 2)
    record(tmp_path, (5, Mode.LEARN, 0, True), contract=replace(REACH, action=action))
    report, _ = build_report(tmp_path)
    assert report['episodes'] == 0 and 'action.low' in report['bags_unreadable'][0]


def test_counts_in_a_bag_that_are_no_numbers_are_passed_over(tmp_path):
    record(tmp_path, (5, Mode.LEARN, 0, True))
    path = tmp_path / 'bags' / 'episode_000001' / 'metadata.yaml'
    text = path.read_text().replace("dropped: '0'", "dropped: '--'")
    path.write_text(text)
    assert read_info(path.parent).custom_data['dropped'] == '--'
    assert build_report(tmp_path)[0]['messages_dropped'] == 0


@pytest.mark.parametrize('prepare', [
    lambda run: None, lambda run: (run / 'bags').write_text('x'),
    lambda run: (run / 'bags').mkdir(),
    lambda run: record(run).joinpath('run.json').write_text('{'),
    lambda run: record(run).joinpath('run.json').write_text('[1]'),
    lambda run: record(run).joinpath('run.json').write_bytes(b'\xff'),
    lambda run: record(run).joinpath('contract.yaml').write_text('task: x')],
    ids=['nothing', 'a file', 'no contract', 'half', 'a list', 'bytes', 'bad contract'])
def test_a_folder_that_is_not_a_run_is_refused_by_name(tmp_path, prepare):
    prepare(tmp_path)
    with pytest.raises(UserError, match=str(tmp_path)):
        write_report(tmp_path)


def width_and_height(path) -> tuple[int, int]:
    return struct.unpack('>II', path.read_bytes()[16:24])


@pytest.mark.parametrize('count', [0, 1, 4, 10])
@pytest.mark.parametrize('outcome', ['success', 'failure'])
def test_a_picture_is_drawn_of_any_number_of_equal_outcomes(tmp_path, count, outcome):
    episodes = [Episode(str(number), mode, version, outcome, 5, 0)
                for mode, version in (('learn', 3), ('evaluate', 4), ('explore', 0),
                                      ('transfer', 9)) for number in range(count)]
    plot_success(episodes, tmp_path / 'success.png', 'reach')
    assert width_and_height(tmp_path / 'success.png') == (1050, 630)


def test_a_picture_names_each_demonstrator(tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    drawn = []
    monkeypatch.setattr(Figure, 'savefig', lambda figure, path, **_: (
        drawn.append(figure), path.write_bytes(b'')))
    episodes = [Episode(str(number), mode, version, 'success', 5, 0)
                for number, (mode, version) in enumerate((
                    ('scripted', -1), ('demonstrate', 1), ('demonstrate', 2), ('learn', 0),
                    ('demonstrate', 2), ('demonstrate', 3)))]
    plot_success(episodes, tmp_path / 'success.png', 'reach', fits={1: 'BC', 2: 'posterior'})
    legend = drawn[0].axes[0].get_legend_handles_labels()[1]
    assert sorted(legend) == ['BC, sampled', 'demonstrator, sampled', 'posterior, sampled',
                              'the person', 'while learning, last 20 episodes']
