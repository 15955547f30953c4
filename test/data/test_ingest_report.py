from __future__ import annotations

import json

import pytest
from raw_bags import episode, PERIOD, Raw, START, write_mcap
from robot_rl.data.ingest import Ingest, IngestSettings
from robot_rl.data.ingest_report import IMAGE_FILE, IngestReport, JSON_FILE, TEXT_FILE


@pytest.fixture
def report(contract, tmp_path):
    """Write the report of a good bag, one of whose two episodes is short, and a bad one."""
    raws = episode(10) + episode(3, start=START + 100 * PERIOD)
    write_mcap(tmp_path / 'bags' / 'good', raws, outcome='success')
    write_mcap(tmp_path / 'bags' / 'worse', [Raw('/commands', b'', START)])
    ingest = Ingest([tmp_path / 'bags'], contract, IngestSettings(episode_gap=1.0))
    report = IngestReport(contract)
    for found in ingest:
        report.add(found)
    report.write(tmp_path / 'report', ingest.readings)
    return tmp_path / 'report'


def test_the_json_tells_of_every_episode_and_every_refusal(report):
    found = json.loads((report / JSON_FILE).read_text())
    assert (found['recordings'], found['refused'], found['successes']) == (2, 1, 1)
    assert (found['episodes_taken'], found['episodes_dropped'], found['transitions']) == (1, 1, 9)
    assert found['dropped_because'] == {'too short': 1}
    good, worse = found['readings']
    assert [row['taken'] for row in good['episodes']] == [True, False]
    assert 'missing topic /joint_states' in worse['refused']


def test_the_table_has_a_line_for_each_and_the_sums(report):
    lines = (report / TEXT_FILE).read_text().splitlines()
    assert lines[1].split()[:5] == ['good', '0', 'success', '9', 'yes']
    assert 'too short: 2 actions' in lines[2] and 'missing topic' in lines[3]
    assert lines[-1].startswith('1 episodes taken (1 successes), 9 steps, 0.45 s; 1 dropped')


def test_the_picture_is_a_png(report):
    assert (report / IMAGE_FILE).read_bytes().startswith(b'\x89PNG')
    assert sorted(file.name for file in report.iterdir()) == sorted(
        [IMAGE_FILE, JSON_FILE, TEXT_FILE])


def test_nothing_taken_is_reported_too(contract, tmp_path):
    IngestReport(contract).write(tmp_path / 'report', [])
    assert json.loads((tmp_path / 'report' / JSON_FILE).read_text())['transitions'] == 0
