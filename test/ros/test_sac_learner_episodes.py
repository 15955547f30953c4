"""What the learner receives: episodes in any order, twice, or not at all; bags."""

from __future__ import annotations

import time

from episodes import make_record, make_steps, record_raw, SESSION
import pytest
from rclpy.serialization import serialize_message
from robot_rl.contract import load_contract
from robot_rl.data.episode_message import encode_episode
from robot_rl.data.recorder import EpisodeRecorder, RecorderSettings, Topic
from robot_rl.data.steps import Mode, STEPS_TYPE
from robot_rl.errors import UserError
from robot_rl.ros.codecs import bytes_message, step_message


def test_it_asks_once_for_what_was_recorded_before_it_was_there(learn):
    recorder = learn([(1, 2), (2, 2)])
    recorder.until(episodes_received=2, transitions_received=12, missing=0)
    assert recorder.asked == 1


def test_an_episode_that_comes_twice_counts_once(learn):
    recorder = learn()
    for _ in range(2):
        recorder.send(make_record(recorder.contract, 1, 1))
    recorder.send(make_record(recorder.contract, 2, 2))
    recorder.until(episodes_received=2, transitions_received=12, transitions_trained_on=12)


@pytest.mark.parametrize('mode', [Mode.EVALUATE, Mode.TRANSFER])
def test_an_evaluation_is_received_but_not_learned_from(learn, mode):
    recorder = learn()
    recorder.send(make_record(recorder.contract, 1, 1, mode=mode))
    recorder.until(episodes_received=1, transitions_received=6, transitions_trained_on=0)


def test_episodes_of_explorers_are_a_source_of_their_own(learn):
    recorder = learn()
    for number, mode in enumerate((Mode.EXPLORE, Mode.LEARN, Mode.EXPLORE), start=1):
        recorder.send(make_record(recorder.contract, number, number, mode=mode))
    recorder.until(transitions_trained_on=18, transitions_explorers=12, owed=18)


def test_bags_of_demonstrations_are_a_source_of_their_own(learn, tmp_path):
    contract = load_contract('reach')
    folder = tmp_path / 'demos'
    topic = Topic('/policy_server/steps', STEPS_TYPE)
    recording = EpisodeRecorder(folder, contract, [topic], RecorderSettings(settle=0.0),
                                topic.name, lambda episode: None, lambda kind, values: None)
    for step in make_steps(contract, 1, 7):
        recording.put(0, serialize_message(step_message(step)), step.stamp, time.time_ns())
    recording.close()
    recorder = learn(demo_bags=[str(folder)])
    recorder.until(transitions_demos=7, transitions_trained_on=0, owed=0)
    recorder.send(make_record(recorder.contract, 1, 1))
    recorder.until(transitions_demos=7, transitions_trained_on=6, owed=6)


def test_anybodys_recordings_are_demonstrations_and_a_bad_one_only_warns(learn, tmp_path):
    folder = tmp_path / 'demos'
    record_raw(load_contract('reach'), folder / 'good')
    record_raw(load_contract('reach'), folder / 'torn')
    torn = next((folder / 'torn').glob('*.mcap'))
    torn.write_bytes(b'no recording')
    recorder = learn(demo_bags=[str(folder)])
    status = recorder.warns(f'demo_bags: 1 not read whole, such as {folder / "torn"}')
    assert int(status['transitions_demos']) >= 6


def test_demo_bags_that_hold_nothing_are_refused_with_what_was_found(learn, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='demo_bags: .*empty'):
        learn(demo_bags=[str(tmp_path / 'empty')])
    with pytest.raises(UserError, match='demo_bags: .*nowhere'):
        learn(demo_bags=[str(tmp_path / 'nowhere')])


def test_a_gap_in_the_totals_makes_it_ask_for_all_again(learn):
    recorder = learn()
    recorder.bench.until(lambda: recorder.asked == 1)
    recorder.sent = [make_record(recorder.contract, number, 3) for number in (1, 2, 3)]
    recorder.send(recorder.sent[2])
    recorder.until(episodes_received=3, missing=0, transitions_received=18)
    assert recorder.asked >= 2


def test_a_gap_that_no_episode_tells_of_is_in_the_words_of_the_recorder(learn):
    recorder = learn()
    recorder.bench.until(lambda: recorder.asked == 1)
    recorder.sent = [make_record(recorder.contract, number, 3) for number in (1, 2, 3)]
    recorder.say(session=SESSION, published=3)
    recorder.until(episodes_received=3, missing=0, transitions_received=18)
    assert recorder.asked >= 2


@pytest.mark.parametrize('words', [{}, {'session': SESSION}, {'session': '', 'published': 3},
                                   {'session': SESSION, 'published': 'x'}], ids=str)
def test_a_recorder_that_does_not_say_how_many_is_not_asked(learn, words):
    recorder = learn()
    recorder.bench.until(lambda: recorder.asked == 1)
    recorder.say(**words)
    recorder.send(make_record(recorder.contract, 1, 1))
    recorder.until(episodes_received=1, missing=0)
    assert recorder.asked == 1


def test_what_was_sent_twice_is_in_the_buffer_once(learn):
    recorder = learn([(number, 3) for number in (1, 2, 3)])
    recorder.until(episodes_received=3)
    for record in recorder.sent * 2:
        recorder.send(record)
    recorder.send(make_record(recorder.contract, 4, 4))         # comes after all of these
    recorder.until(episodes_received=4, transitions_received=24, transitions_trained_on=24)
    assert len(recorder.bench.node._trainer._learner.replays['robot']) == 24


def test_a_gap_that_nobody_fills_shows_in_the_status(learn):
    recorder = learn()
    recorder.send(make_record(recorder.contract, 3, 3))
    recorder.bench.says(missing=2, episodes_received=1)


@pytest.mark.parametrize('data', [b'', b'\x00garbage' * 99, b'\xff' * 64],
                         ids=['nothing', 'text', 'huge header'])
def test_garbage_on_transitions_is_counted_and_learning_goes_on(learn, data):
    recorder = learn()
    recorder.transitions.publish(bytes_message(data))
    recorder.until(refused=1)
    recorder.send(make_record(recorder.contract, 1, 1))
    recorder.until(episodes_received=1)
    recorder.bench.says(refused=1, episodes_received=1)
    assert recorder.bench.node._trainer.alive


def test_an_episode_of_another_contract_is_refused(learn, make_contract):
    recorder = learn()
    other = make_contract(**{'control_rate: 20.0': 'control_rate: 10.0'})
    recorder.transitions.publish(bytes_message(encode_episode(make_record(other, 1, 1), other)))
    recorder.until(refused=1, episodes_received=0)


def test_deterministic_it_learns_in_the_recorders_order(learn, monkeypatch):
    recorder = learn(deterministic=True, autotrain=True)
    learner, order = recorder.bench.node._trainer._learner, []
    add = learner.add
    monkeypatch.setattr(learner, 'add', lambda key, *rest: order.append(key) or add(key, *rest))
    recorder.send(make_record(recorder.contract, 2, 2, 12))
    recorder.until(episodes_received=1, missing=1)
    assert recorder.progress.updates == 0
    recorder.send(make_record(recorder.contract, 1, 2, 12))
    recorder.until(updates=24)
    assert [key.rpartition('/')[2] for key in order] == ['episode_000001', 'episode_000002']
