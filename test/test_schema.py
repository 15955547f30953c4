from __future__ import annotations

import math

import pytest
from robot_rl.errors import InvalidFile
from robot_rl.schema import load_yaml, MAX_FILE_BYTES, Section, show


def section(**data) -> Section:
    return Section(data, 'root', [])


def reported(part: Section) -> list[str]:
    return [problem.key for problem in part.problems]


@pytest.mark.parametrize('text', [
    'a: [1', 'a: 1\na: 2', '{[a]: 1}', '!!python/object/apply:os.system [ls]', 'a: 2024-13-45',
    'a: !!int x', 'a: !!timestamp x', 'a: !!map x', 'a: !!float', 'a: &x [*y]', '[' * 3000,
    '- a', 'text', '', '\x00'])
def test_a_file_that_is_not_a_mapping_in_yaml_is_refused(tmp_path, text):
    (tmp_path / 'bad.yaml').write_text(text)
    with pytest.raises(InvalidFile, match='bad.yaml: file: expected'):
        load_yaml(tmp_path / 'bad.yaml')


@pytest.mark.parametrize('data', [b'\xff\xfe', b'a: \xc3'])
def test_bytes_that_are_not_text_are_refused(tmp_path, data):
    (tmp_path / 'bad.yaml').write_bytes(data)
    with pytest.raises(InvalidFile, match='a readable YAML file'):
        load_yaml(tmp_path / 'bad.yaml')


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path, found in ((tmp_path / 'absent.yaml', 'No such file or directory'),
                        (tmp_path, 'Is a directory')):
        with pytest.raises(InvalidFile) as caught:
            load_yaml(path)
        assert str(caught.value) == f'{path}: file: expected a readable YAML file, found {found}'


def test_a_huge_file_is_refused_unread(tmp_path):
    (tmp_path / 'huge.yaml').write_bytes(b' ' * (MAX_FILE_BYTES + 1))
    with pytest.raises(InvalidFile, match=f'at most {MAX_FILE_BYTES} bytes'):
        load_yaml(tmp_path / 'huge.yaml')


def test_a_key_given_twice_deep_inside_is_refused(tmp_path):
    (tmp_path / 'bad.yaml').write_text('a: [{b: {c: 1, c: 2}}]')
    with pytest.raises(InvalidFile, match="key 'c' is given twice"):
        load_yaml(tmp_path / 'bad.yaml')


def test_merge_keys_still_work(tmp_path):
    (tmp_path / 'good.yaml').write_text('base: &b {x: 1}\nmine: {<<: *b, y2: 2}')
    assert load_yaml(tmp_path / 'good.yaml')['mine'] == {'x': 1, 'y2': 2}


def test_a_value_of_exploding_aliases_is_shown_in_one_short_line(tmp_path):
    lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]']
    lines += [f'a{n}: &a{n} [{", ".join([f"*a{n - 1}"] * 9)}]' for n in range(1, 30)]
    (tmp_path / 'bomb.yaml').write_text('\n'.join(lines))
    assert len(show(load_yaml(tmp_path / 'bomb.yaml')['a29'])) <= 60


def test_getters_return_what_is_there_and_report_nothing():
    part = section(t='a', n=2, i=3, ts=['a', 'b'], ns=[1, 2.5], s={'x': 'y2'})
    assert (part.text('t'), part.number('n'), part.integer('i')) == ('a', 2.0, 3)
    assert (part.texts('ts'), part.numbers('ns', 2)) == (('a', 'b'), (1.0, 2.5))
    assert part.section('s').text('x') == 'y2'
    part.refuse_unknown()
    assert not part.problems


@pytest.mark.parametrize('value', [None, True, '1', math.nan, math.inf, [1], 10 ** 400])
def test_what_is_not_a_finite_number_is_reported_and_stands_in_as_nan(value):
    part = section(a=value)
    assert math.isnan(part.number('a')) and reported(part) == ['root.a']


@pytest.mark.parametrize(('bounds', 'good', 'bad'), [
    ({'above': 0.0}, 0.1, 0.0), ({'least': 0.0}, 0.0, -0.1)])
def test_bounds_of_a_number(bounds, good, bad):
    part = section(good=good, bad=bad)
    assert part.number('good', **bounds) == good
    part.number('bad', **bounds)
    assert reported(part) == ['root.bad']


@pytest.mark.parametrize('value', [None, True, 1.0, '1', -1])
def test_what_is_not_a_count_is_reported(value):
    part = section(a=value)
    assert part.integer('a') == 0 and reported(part) == ['root.a']


@pytest.mark.parametrize('value', [None, '', 3, ['a']])
def test_what_is_not_text_is_reported(value):
    part = section(a=value)
    part.text('a')
    assert reported(part) == ['root.a']


def test_each_bad_name_of_a_list_is_reported_at_its_place():
    part = section(a=['x', True, 'x', '', 'z'])
    assert len(part.texts('a')) == 5
    assert reported(part) == ['root.a[1]', 'root.a[2]', 'root.a[3]']


def test_each_bad_number_of_a_list_is_reported_at_its_place():
    part = section(a=[1, 'x', math.nan])
    part.numbers('a', 3)
    assert reported(part) == ['root.a[1]', 'root.a[2]']


def test_defaults_stand_in_for_missing_keys():
    part = section()
    assert (part.text('a', default='x'), part.number('b', default=None),
            part.integer('c', default=2), part.texts('d', default=())) == ('x', None, 2, ())
    assert not part.section('e', required=False).data and not part.problems


def test_a_missing_key_is_reported_as_nothing():
    part = section()
    part.text('a')
    assert part.problems[0].found == 'nothing'


def test_a_section_that_is_not_a_mapping_is_reported_once_and_reads_as_empty():
    part = section(a=[1])
    part.section('a').refuse_unknown()
    assert [str(problem) for problem in part.problems] == [
        'root.a: expected a mapping, found [1]']


def test_unknown_keys_of_any_type_are_reported():
    part = Section({True: 1, 3: 2, 'c': 3}, '', [])
    part.refuse_unknown()
    assert reported(part) == ['True', '3', 'c']
