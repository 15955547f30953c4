"""The page of a run: whole, by itself, with the report's numbers, and nobody else's markup."""

from __future__ import annotations

import fcntl
from html import unescape
from html.parser import HTMLParser
import json
import os
import re
from xml.etree import ElementTree

from made_policies import demonstrator
import numpy as np
import pytest
from robot_rl.contract import load_contract
from robot_rl.curves import CurveWriter
from robot_rl.report import charts as report_charts, page as report_page
from robot_rl.report.figures import build_report, LEARNED
from robot_rl.report.page import _troubles, drawing, inline, PAGE, PICTURES, write_page
from robot_rl.report.run import write_report
from robot_rl.run_folder import read_run
from test_report import Mode, record, RUN, save_explorers
from test_report_bags import event, EVENTS, H, P, write_bag

REACH = load_contract('reach')
HOSTILE = '<script>alert(1)</script>"\'&$x^{$\x1b[31m'
SILENT = 'e_stop_silent: e_stop silent for 0.52 s, timeout 0.5 s'
VOID = {'meta', 'img', 'br', 'hr', 'input', 'link'}
SECTIONS = ['success', 'returns', 'lengths', 'coverage', 'calibration', 'losses', 'values',
            'latency', 'interventions', 'ends', 'video', 'all']


class Page(HTMLParser):
    """A parsed page: its elements are closed in order, its sections and attributes are kept."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.html, self.open, self.elements, self.ids = html, [], [], []
        self.sections: dict[str, str] = {}
        self._section = None
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.elements.append((tag, found))
        self.ids += [found['id']] if 'id' in found else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == 'section':
            self._section = found['id']
            self.sections[self._section] = ''

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == 'id']

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self._section:
            self.sections[self._section] += data

    def charts(self) -> list[str]:
        """Return the SVG of every chart."""
        return re.findall(r'<svg.*?</svg>', self.html, re.DOTALL)


def page_of(run_dir) -> tuple[dict, Page]:
    report = write_report(run_dir)
    return report, Page((run_dir / PAGE).read_text(encoding='utf-8'))


def words_of(run_dir) -> Page:
    """Return the page of a run without its charts: drawing is slow."""
    report, _ = build_report(run_dir)
    write_page(run_dir, report, [], run_dir.name, read_run(run_dir).get('started'))
    return Page((run_dir / PAGE).read_text(encoding='utf-8'))


def add_curves(run_dir) -> None:
    writer = CurveWriter(run_dir / LEARNED, pytest.fail)
    for step in range(10, 60, 10):
        writer.add(step, {f'learner/{name}': step / 100 for name in (
            'critic_loss', 'actor_loss', 'entropy', 'temperature', 'q_mean')}, 1e9)
        writer.add(step, {'episode/q_first': -1.0, 'episode/return_discounted': -2.0}, 1e9)
    writer.close()


def make_full(run_dir):
    """Return a run that has something to say in every section."""
    record(run_dir, *RUN, (5, Mode.EXPLORE, 3, True))
    fit = run_dir / 'demonstrators' / 'request' / 'data'
    fit.mkdir(parents=True)
    (fit / 'demonstrator.safetensors').write_bytes(demonstrator(
        REACH, np.zeros((2, 2)), 1, calibration={'levels': [0.5, 0.9], 'covered': [0.4, 0.8]}))
    save_explorers(run_dir / 'explorers')
    add_curves(run_dir)
    write_bag(run_dir / 'bags' / 'helped', [P, H, H, P], [
        (EVENTS, event(5, 'policy_server', 'end', episode='7', reason=SILENT)),
        (EVENTS, event(5, 'policy_server', 'stop', reason=SILENT))],
        start=1_700_000_000 * 10 ** 9, late=1_000_000)
    (run_dir / 'final.gif').write_bytes(b'GIF89a made')
    (run_dir / 'run.json').write_text(json.dumps({
        'started': 1.7e9, 'ended': 'completed', 'sac_learner': {'updates': 12345},
        'kept': {'policy': 'sim_optimal', 'sim_optimal_successes': 8, 'sim_optimal_episodes': 10},
        'target': 0.9, 'reached': {'robot_steps': 777}}))
    return run_dir


@pytest.fixture(scope='module')
def full(tmp_path_factory):
    """Return a full run, its report and its page; made once, as drawing is slow."""
    run_dir = make_full(tmp_path_factory.mktemp('full') / 'run')
    return run_dir, *page_of(run_dir)


def test_every_section_of_a_full_run_has_its_chart_and_its_line(full):
    run_dir, _, page = full
    assert list(page.sections) == SECTIONS
    assert len(page.charts()) == 10
    assert sorted(path.stem for path in (run_dir / PICTURES).iterdir()) == sorted(
        {*SECTIONS} - {'success', 'calibration', 'video', 'all'})
    for name in ('success', 'returns', 'lengths', 'coverage', 'latency', 'interventions', 'ends',
                 'losses', 'values'):
        assert 'n = ' in page.sections[name], name


def test_the_page_has_the_numbers_of_the_report(full):
    run_dir, report, page = full
    [told] = re.findall(r'<pre>(.*?)</pre>', page.html, re.DOTALL)
    assert json.loads(unescape(told)) == report == json.loads(
        (run_dir / 'report.json').read_text())
    tiles = re.findall(r'<div class="tile"><b>(.*?)</b><span>(.*?)</span>', page.html)
    assert tiles == [
        ('100%', 'success at the end, greedy, n = 2'), ('9', 'episodes'),
        (f'{report["robot_steps"]}', 'robot steps, 0.0 min'), ('12,345', 'updates'),
        ('1', 'stops'), ('1', 'times a person took over'),
        ('sim-optimal', 'policy that was kept, 8 of 10'), ('777', 'training steps to 90%, greedy')]
    assert (f'counts the {report["training_steps"]} of {report["robot_steps"]} robot steps'
            in page.sections['success'])
    assert 0 < report['training_steps'] < report['robot_steps']
    assert 'took over 1 times, for 2 actions, in 1 of n = 9 episodes' in (
        page.sections['interventions'])
    assert report['stops'] == {'policy_server: e_stop_silent': 1}
    assert report['ended_by']['e_stop_silent'] == 1
    assert '"not recorded": no message in the bag tells why' in page.sections['ends']
    assert f'e_stop_silent11 by policy_server{SILENT}' in page.sections['ends']
    assert report['curves']['learner/q_mean'] == 0.5
    for mode, one in report['modes'].items():
        assert f'{one["success"]:.0%} ({one["success_low"]:.0%}' in page.sections['success'], mode


def test_a_page_needs_nothing_from_elsewhere(full):
    _, _, page = full
    for tag, attributes in page.elements:
        assert tag not in ('script', 'link', 'iframe', 'object', 'base')
        for name, value in attributes.items():
            assert not name.startswith('on')
            if name in ('src', 'href', 'xlink:href'):
                assert value.startswith(('data:image/', '#')), value
    urls = set(re.findall(r'url\((.)', page.html))
    assert urls <= {'#'}
    policy = next(attributes['content'] for tag, attributes in page.elements
                  if attributes.get('http-equiv') == 'Content-Security-Policy')
    assert policy.startswith("default-src 'none'")


def test_charts_are_whole_scale_and_take_the_colour_of_the_text(full):
    _, _, page = full
    assert len(page.ids) == len(set(page.ids))
    for chart in page.charts():
        root = ElementTree.fromstring(chart)
        assert 'viewBox' in root.attrib and not {'width', 'height'} & set(root.attrib)
        assert 'currentColor' in chart and 'mathdefault' not in chart


def test_a_run_without_a_learner_says_why_instead_of_empty_charts(tmp_path):
    run_dir = record(tmp_path / 'run', (5, Mode.RANDOM, -1, False))
    report, page = page_of(run_dir)
    assert report['curves'] == {}
    for name, why in {'losses': 'No learner left curves', 'values': 'No learner left curves',
                      'calibration': 'No demonstrator was fitted', 'video': 'No video',
                      'interventions': 'No person took over in 1 episodes'}.items():
        assert why in page.sections[name]
    assert len(page.charts()) == 6


def test_a_run_without_an_episode_has_a_page_without_charts(tmp_path):
    _, page = page_of(record(tmp_path / 'run'))
    assert page.charts() == [] and 'No episode was recorded' in page.sections['success']


def test_a_crashed_run_has_a_page(tmp_path):
    full = make_full(tmp_path / 'run')
    os.unlink(full / 'run.json')
    os.unlink(full / 'bags' / 'helped' / 'metadata.yaml')
    [curves] = (full / LEARNED).iterdir()
    with open(curves, 'r+b') as file:
        file.truncate(curves.stat().st_size - 3)
    report, page = page_of(full)
    assert 'ended: no record; killed, or no demo' in page.html and report['ended'] is None
    assert 'n = 5 moments' in page.sections['losses'] and 'n = 4 episodes' in (
        page.sections['values'])
    assert report['interventions'] == {'episodes': 1, 'times': 1, 'actions': 2}


@pytest.mark.parametrize('told', [{}, {'ended': 'running'}])
def test_a_run_is_running_where_its_recorder_holds_its_lock(tmp_path, told):
    record(tmp_path, (3, Mode.LEARN, 0, True))
    (tmp_path / 'run.json').write_text(json.dumps(told))
    with open(tmp_path / 'bags' / '.lock', 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        report, page = page_of(tmp_path)
        assert report['ended'] == 'running' and '; running; ' in page.html
    report, page = page_of(tmp_path)
    assert report['ended'] is None and 'ended: no record' in page.html


def test_a_damaged_bag_is_told_at_the_top(tmp_path):
    record(tmp_path, (3, Mode.LEARN, 0, True))
    (tmp_path / 'bags' / 'episode_000001' / 'metadata.yaml').write_text('x: [')
    page = words_of(tmp_path)
    assert 'bags/episode_000001' in page.html.partition('<section')[0]


def test_bags_that_are_refused_for_the_same_reason_are_one_line():
    page = _troubles({'bags_unreadable': [f'bags/{name}: action.high: other' for name in 'abc']
                      + ['bags/d: no MCAP'], 'messages_dropped': 0, 'coverage': None})
    assert page == ['bags/a and 2 more: action.high: other', 'bags/d: no MCAP']
    many = [f'bags/{number}: why {number}' for number in range(9)]
    assert _troubles({'bags_unreadable': many, 'messages_dropped': 0, 'coverage': None}) == [
        *many[:5], '9 bags cannot be read']


def test_what_others_wrote_is_text_and_never_markup(tmp_path):
    run_dir = record(tmp_path / '<b onclick=x>&run', *RUN)
    write_bag(run_dir / 'bags' / 'x', [P], [
        (EVENTS, event(1, 'policy_server', 'end', episode='7', reason=HOSTILE)),
        (EVENTS, event(1, HOSTILE, 'stop', reason=HOSTILE))])
    (run_dir / 'bags' / f'z{HOSTILE[:7]}').mkdir()
    (run_dir / 'bags' / f'z{HOSTILE[:7]}' / 'metadata.yaml').write_text('[')
    (run_dir / 'run.json').write_text(json.dumps({
        'ended': f'failed: {HOSTILE}', 'gap': HOSTILE, 'video': HOSTILE, 'seed': HOSTILE,
        'kept': {'policy': 'learned', HOSTILE: 1}, 'reached': {'robot_steps': HOSTILE},
        'target': HOSTILE, 'sac_learner': {'updates': HOSTILE}, 'started': HOSTILE}))
    _, page = page_of(run_dir)
    assert '<script' not in page.html and '<b ' not in page.html and '\x1b' not in page.html
    assert not any(tag == 'script' for tag, _ in page.elements)
    assert '<b onclick=x>&run' in unescape(page.html)
    assert 'alert(1)' in page.sections['ends'] and '$x^{$' in page.sections['ends']


@pytest.mark.parametrize('run', [
    {'sac_learner': 1, 'policy_server': []}, {'kept': {'policy': []}}, {'evaluation': 'x'},
    {'evaluation': -1}, {'reached': 5, 'target': []}, {'started': 1e300}, {'video': {}}])
def test_a_run_json_of_other_types_is_no_error(tmp_path, run):
    run_dir = record(tmp_path / 'run', *RUN)
    (run_dir / 'run.json').write_text(json.dumps(run))
    words_of(run_dir)


@pytest.mark.parametrize(('content', 'said'), [
    (b'private', 'no GIF'), (b'GIF8 and more', 'too large')])
def test_a_video_that_is_none_is_not_taken_into_the_page(tmp_path, monkeypatch, content, said):
    monkeypatch.setattr(report_page, 'MAX_VIDEO_BYTES', 8)
    run_dir = record(tmp_path / 'run', (5, Mode.LEARN, 0, True))
    (run_dir / 'final.gif').write_bytes(content)
    page = words_of(run_dir)
    assert said in page.sections['video'] and '<img' not in page.html


@pytest.mark.parametrize(('limit', 'pixels'), [(6, True), (7, False)])
def test_many_points_are_drawn_as_pixels(monkeypatch, tmp_path, limit, pixels):
    monkeypatch.setattr(report_charts, 'MANY', limit)
    _, episodes = build_report(record(tmp_path, *[(3, Mode.LEARN, 0, True)] * 7))
    with drawing():
        chart = report_charts._per_episode(episodes, 'returns', 'Returns', 'sum',
                                           lambda one: one.reward)
        found = inline(chart)
    assert ('data:image/png' in found) is pixels
