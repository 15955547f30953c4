from __future__ import annotations

from dataclasses import replace
import json

import numpy as np
import pytest
from raw_bags import (command, COMMANDS, episode, event, joint_state, JOINTS, PERIOD, Raw, SCORE,
                      score, START, TYPES, write_mcap)
from recording import episode_steps, write_episode
from robot_rl.data.bag import bag_transitions
from robot_rl.data.bag_metadata import METADATA_FILE
from robot_rl.data.ingest import Ingest, IngestSettings, match_topic
from robot_rl.data.steps import Mode, Source, Status
from robot_rl.data.transitions import COLUMNS
from robot_rl.errors import UserError


@pytest.fixture
def read(contract, tmp_path):
    """Ingest raw messages; return the taken demonstrations and the only reading."""
    def run(raws, settings=IngestSettings(), contract=contract, **custom_data):
        folder = tmp_path / f'bag_{len(list(tmp_path.iterdir()))}'
        ingest = Ingest([write_mcap(folder, raws, **custom_data)], contract, settings)
        found = list(ingest)
        reading, = ingest.readings
        return found, reading
    return run


def positions(demonstration) -> list[float]:
    return [round(step.observation[0] * 100, 6) for step in demonstration.steps]


def test_a_step_is_what_was_seen_and_the_command_that_answered_it(read):
    (found,), reading = read(episode(10))
    assert positions(found) == list(range(10))
    assert found.transitions.action[:, 0] == pytest.approx(-np.arange(9) / 100)
    assert [step.index for step in found.steps] == list(range(10))
    assert found.steps[-1].status is Status.TRUNCATED and found.steps[0].source is Source.HUMAN
    assert (reading.dropped, reading.damage, reading.refused) == ({}, [], '')


def test_messages_that_jitter_by_less_than_a_quarter_period_keep_their_cycle(read):
    rng = np.random.default_rng(0)
    raws = [replace(raw, time=raw.time + round(rng.uniform(-0.2, 0.2) * PERIOD))
            if index > 1 else raw for index, raw in enumerate(episode(20))]
    (found,), _ = read(sorted(raws, key=lambda raw: raw.time))
    assert positions(found) == list(range(20))
    assert found.transitions.action[:, 0] == pytest.approx(-np.arange(19) / 100)


def test_fast_topics_are_sampled_at_the_control_rate(read):
    raws = sorted((Raw(JOINTS, joint_state(index / 1000, START + index * 5_000_000),
                       START + index * 5_000_000) for index in range(200)), key=lambda r: r.time)
    raws.insert(1, Raw(COMMANDS, command(0.5), START + 1))
    raws += [Raw(COMMANDS, command(0.5), START + index * 5_000_000) for index in range(1, 200, 20)]
    (found,), _ = read(sorted(raws, key=lambda raw: raw.time))
    assert np.allclose(np.diff([step.observation[0] for step in found.steps]), 0.01)
    assert len(found.steps) == 20


def test_the_episode_ends_with_its_first_success(read):
    (found,), _ = read(episode(20, first=90))
    assert found.steps[-1].success and found.steps[-1].status is Status.TERMINATED
    assert (found.outcome, len(found.transitions)) == ('success', 10)
    assert found.transitions.terminated.tolist() == [0.0] * 9 + [1.0]


def test_a_gap_over_max_age_costs_the_pair_and_joins_nothing(read):
    raws = episode(10) + episode(10, start=START + 20 * PERIOD, first=20)
    (found,), reading = read(raws)
    steps = np.diff(found.transitions.observation[:, 0])
    assert (found.transitions.next_observation[:, 0]
            - found.transitions.observation[:, 0]).max() < 0.011
    assert steps.max() > 0.05 and found.transitions.truncated.sum() == 2
    assert reading.dropped == {'gap: arm over max_age': 1}


def test_a_silence_longer_than_the_gap_parameter_begins_an_episode(read):
    raws = episode(10) + episode(8, start=START + 100 * PERIOD, first=20)
    found, _ = read(raws, IngestSettings(episode_gap=2.0))
    assert [positions(one)[0] for one in found] == [0.0, 20.0]
    assert [one.number for one in found] == [0, 1]


def test_messages_that_are_not_finite_are_counted_and_the_last_good_one_holds(read):
    raws = episode(10)
    raws[4] = Raw(JOINTS, joint_state(float('nan'), raws[4].time), raws[4].time)
    (found,), reading = read(raws)
    assert positions(found) == [0, 1, 1, 3, 4, 5, 6, 7, 8, 9]
    assert reading.dropped == {'sensor_msgs/msg/JointState: position.j is not finite': 1}


def test_time_going_back_begins_again_and_is_counted(read):
    (found,), reading = read(episode(10) + episode(10, start=START - 100 * PERIOD, first=20))
    assert reading.dropped == {'time going back': 1}
    assert len(found.transitions) == 18


def test_simulated_time_recorded_in_wall_time_is_followed_by_its_stamps(read):
    raws = [replace(raw, time=START + (raw.time - START) // 10)     # ten times real time
            for raw in episode(10, stamp=1_000_000_000)]
    (found,), _ = read(raws)
    assert positions(found) == list(range(10))
    assert found.steps[3].stamp == 1_000_000_000 + 3 * PERIOD


def test_what_comes_before_the_first_command_is_dropped(read):
    raws = [raw for raw in episode(12) if raw.topic == JOINTS or raw.time > START + 4 * PERIOD]
    (found,), reading = read(raws)
    assert positions(found)[0] == 4 and reading.dropped == {'before the first command': 4}


def test_velocity_commands_do_not_last_and_positions_do(read, make_contract):
    raws = [raw for raw in episode(40) if raw.topic == JOINTS or raw.time < START + 5 * PERIOD]
    (found,), reading = read(raws)
    assert len(found.transitions) < 20 and reading.dropped['gap: no command'] > 0
    holding = make_contract(**{'on_stop: zeros': 'on_stop: hold\n  measured: [arm.position.j]'})
    (found,), reading = read(raws, contract=holding)
    assert len(found.transitions) == 39 and not reading.dropped


@pytest.mark.parametrize('action, expected', [('next', np.arange(1, 10) / 100),
                                              ('measured', np.arange(9) / 100)])
def test_a_guided_robot_tells_its_actions_by_what_it_measured(read, make_contract, action,
                                                              expected):
    text = f'measured: [arm.position.j]\ndemonstration: {{action: {action}}}\nepisode:'
    guided = make_contract(**{'on_stop: zeros\nepisode:': f'on_stop: zeros\n  {text}'})
    (found,), _ = read(episode(10, commands=False), contract=guided)
    assert found.transitions.action[:, 0] == pytest.approx(expected)


def test_actions_outside_the_limits_are_clipped_and_counted(read):
    raws = [Raw(COMMANDS, command(3.0), raw.time) if raw.topic == COMMANDS else raw
            for raw in episode(10)]
    (found,), reading = read(raws)
    assert found.transitions.action.max() == 1.0 and found.steps[0].requested[0] == 3.0
    assert reading.dropped == {'action outside its limits, clipped': 9}


def test_events_mark_episodes_and_tell_how_they_ended(read):
    raws = episode(6, first=1) + [event('start', START + 6 * PERIOD)]
    raws += episode(8, start=START + 7 * PERIOD, first=20)
    raws += [event('failure', START + 15 * PERIOD)]
    raws += episode(8, start=START + 16 * PERIOD, first=40)
    raws += [event('start', START + 24 * PERIOD)]
    raws += episode(8, start=START + 25 * PERIOD, first=60)
    raws += [event('success', START + 33 * PERIOD)]
    found, reading = read(raws)
    assert [one.outcome for one in found] == ['failure', 'success']
    assert [positions(one)[0] for one in found] == [20.0, 60.0]
    assert reading.dropped['before the start of an episode'] == 2


def test_only_successes_are_taken_where_asked_for(read):
    raws = episode(8) + [event('failure', START + 8 * PERIOD)]
    raws += episode(8, start=START + 9 * PERIOD) + [event('success', START + 17 * PERIOD)]
    found, reading = read(raws, IngestSettings(outcomes='successes'))
    assert [one.outcome for one in found] == ['success']
    assert [row['reason'] for row in reading.episodes] == ['not a success: failure', '']


@pytest.mark.parametrize('label, reason', [('failure', 'not a success: failure'),
                                           ('success', '')])
def test_the_label_of_a_bag_is_its_outcome(read, label, reason):
    _, reading = read(episode(8), IngestSettings(outcomes='successes'), label=label)
    assert reading.episodes[0]['reason'] == reason


def test_a_short_episode_is_dropped_with_its_length(read):
    found, reading = read(episode(4))
    assert not found
    assert reading.episodes[0]['reason'] == 'too short: 3 actions, at least 5'


def test_a_bag_of_the_recorder_gives_the_bits_that_the_learner_has(contract, tmp_path):
    write_episode(tmp_path / 'bag', episode_steps(9), interface=json.dumps(contract.interface))
    found, = Ingest([tmp_path / 'bag'], contract)
    expected = bag_transitions(tmp_path / 'bag', contract)
    for column in COLUMNS:
        assert np.array_equal(getattr(found.transitions, column), getattr(expected, column))


def test_several_episodes_of_a_policy_in_one_bag_are_told_apart(contract, tmp_path):
    write_episode(tmp_path / 'bag', [*episode_steps(6), *episode_steps(7, episode=1)])
    assert [len(one.transitions) for one in Ingest([tmp_path / 'bag'], contract)] == [6, 7]


def test_a_bag_of_another_contract_is_refused_by_key(read, contract):
    other = {**contract.interface, 'control_rate': 10.0}
    _, reading = read(episode(8), interface=json.dumps(other))
    assert 'control_rate: expected 20.0, found 10.0' in reading.refused


def test_recordings_that_are_read_together_give_what_each_gives_alone(contract, tmp_path):
    order = episode(8, first=30)
    for index in range(0, len(order), 2):       # another driver: the joints the other way round
        time = order[index].time
        order[index] = Raw(JOINTS, joint_state((30 + index) / 100, time, ('j', 'other')), time)
    folders = [write_mcap(tmp_path / name, raws) for name, raws in (
        ('a', episode(8)), ('b', order), ('c', episode(8, first=60)))]
    together = list(Ingest([tmp_path], contract))
    alone = [found for folder in folders for found in Ingest([folder], contract)]
    assert len(together) == len(alone) == 3
    for found, expected in zip(together, alone):
        for column in COLUMNS:
            assert np.array_equal(getattr(found.transitions, column),
                                  getattr(expected.transitions, column))


def test_joint_states_without_efforts_are_read_as_rclpy_writes_them(read):
    raws = [replace(raw, data=raw.data + b'junk' * 2) if raw.topic == JOINTS else raw
            for raw in episode(10)]
    (found,), reading = read(raws)
    assert positions(found) == list(range(10)) and not reading.dropped


def test_one_bad_bag_never_stops_the_others(contract, tmp_path):
    write_mcap(tmp_path / 'a', episode(8))
    (tmp_path / 'b').mkdir()
    (tmp_path / 'b' / 'b_0.mcap').write_bytes(b'nonsense')
    (tmp_path / 'c').mkdir()
    (tmp_path / 'c' / METADATA_FILE).write_text('rosbag2_bagfile_information: 3')
    write_mcap(tmp_path / 'd', episode(9))
    ingest = Ingest([tmp_path / 'nowhere', tmp_path], contract)
    assert [len(found.transitions) for found in ingest] == [7, 8]
    reasons = [reading.refused for reading in ingest.readings]
    for reason, part in zip(reasons, ('no such file', '', 'not an MCAP file', 'metadata', ''),
                            strict=True):
        assert part in reason and bool(part) == bool(reason)


def test_a_missing_topic_is_named_with_what_is_there(read):
    _, reading = read([raw for raw in episode(8) if raw.topic == COMMANDS])
    assert 'missing topic /joint_states' in reading.refused and '/commands' in reading.refused


def test_a_type_mismatch_is_named(read, monkeypatch):
    raws = [replace(raw, data=command(1.0)) for raw in episode(8)]
    monkeypatch.setitem(TYPES, JOINTS, TYPES[COMMANDS])
    _, reading = read(raws)
    assert 'type mismatch: /joint_states: expected sensor_msgs/msg/JointState' in reading.refused


TOPIC_TYPE = TYPES[JOINTS]


@pytest.mark.parametrize('topics, found', [
    (['/joint_states', '/left/joint_states'], '/joint_states'),
    (['/left/joint_states', '/joint_states_raw'], '/left/joint_states')])
def test_a_topic_is_found_by_its_name_or_in_the_only_namespace(topics, found):
    assert match_topic('joint_states', TOPIC_TYPE, dict.fromkeys(topics, TOPIC_TYPE)) == found


def test_a_topic_that_two_namespaces_have_is_refused():
    with pytest.raises(UserError, match='/a/joint_states, /b/joint_states may be meant'):
        match_topic('joint_states', TOPIC_TYPE, {'/a/joint_states': TOPIC_TYPE,
                                                 '/b/joint_states': TOPIC_TYPE})


def test_reading_stops_when_asked_to(contract, tmp_path):
    for name in 'ab':
        write_mcap(tmp_path / name, episode(8))
    ingest = Ingest([tmp_path], contract, stop=lambda: bool(ingest.readings))
    assert len(list(ingest)) == len(ingest.readings) == 1


def scored(count: int = 10, late: int = 2_000_000) -> list[Raw]:
    """Return cycles in which the score i / 8 follows the observation i after `late` ns."""
    raws = episode(count) + [score(index / 8, START + index * PERIOD + late)
                             for index in range(count)]
    return sorted(raws, key=lambda raw: raw.time)


def test_the_reward_of_a_topic_is_what_was_newest_when_the_next_observation_was_taken(read, paid):
    (found,), reading = read(scored(), contract=paid)
    assert [step.reward for step in found.steps] == [index / 8 for index in range(10)]
    assert found.transitions.reward.tolist() == [index / 8 for index in range(1, 10)]
    assert (reading.dropped, reading.refused) == ({}, '')


def test_a_reward_that_comes_after_the_tick_counts_for_the_next(read, paid):
    first = score(-1.0, START - 1)
    (found,), _ = read([first, *scored(late=PERIOD // 2)], contract=paid)
    assert found.transitions.reward.tolist() == [index / 8 for index in range(9)]


def test_raw_topics_give_the_rewards_that_the_step_records_tell(read, paid, tmp_path):
    (aligned,), _ = read(scored(), contract=paid)
    steps = [replace(step, mode=Mode.LEARN) for step in aligned.steps]
    write_episode(tmp_path / 'ours', steps)
    recorded, = Ingest([tmp_path / 'ours'], paid)
    for name in COLUMNS:
        assert np.array_equal(getattr(recorded.transitions, name),
                              getattr(aligned.transitions, name)), name
    assert np.array_equal(bag_transitions(tmp_path / 'ours', paid).reward,
                          aligned.transitions.reward)


def test_a_silent_reward_costs_its_transitions_and_is_told(read, paid):
    raws = [raw for raw in scored(20) if raw.topic != SCORE
            or not 5 * PERIOD < raw.time - START < 11 * PERIOD]
    (found,), reading = read(raws, contract=paid)
    assert reading.dropped == {'gap: reward over max_age': 1}
    assert len(found.transitions) < 16 and found.transitions.truncated.sum() == 2
    ends = np.round(found.transitions.next_observation[:, 0] * 100)
    assert (np.abs(found.transitions.reward * 8 - ends) <= 2).all()     # 0.1 s is two periods


def test_a_reward_that_is_not_finite_is_counted_and_the_last_one_holds(read, paid):
    raws = [score(float('nan'), raw.time) if raw.topic == SCORE
            and raw.time == START + 4 * PERIOD + 2_000_000 else raw for raw in scored()]
    (found,), reading = read(raws, contract=paid)
    assert found.transitions.reward[2:5].tolist() == [3 / 8, 3 / 8, 5 / 8]
    assert reading.dropped == {'std_msgs/msg/Float32: data is not finite': 1}


def test_a_recording_without_the_reward_topic_is_refused_by_its_name(read, paid):
    found, reading = read(episode(10), contract=paid)
    assert not found
    assert reading.refused.startswith('missing topic /score of type std_msgs/msg/Float32')


def test_our_recording_made_under_a_reward_function_is_refused_under_a_topic(paid, tmp_path):
    write_episode(tmp_path / 'ours', episode_steps(10))
    ingest = Ingest([tmp_path / 'ours'], paid)
    assert not list(ingest)
    assert ingest.readings[0].refused == (
        'reward topic score: expected what was published, found nothing')
