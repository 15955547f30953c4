"""What `robot_rl up` says of a parameter file whose sections name none of its nodes."""

from __future__ import annotations

import pytest
from robot_rl import bringup
from robot_rl.parameter_file import unmatched_sections
from robot_rl.paths import shared_file

PARAMETERS = ': {ros__parameters: {seed: 1}}\n'


@pytest.fixture
def warned(tmp_path):
    """Return what is said of the sections of a file, for a robot's nodes."""
    def warn(*sections: str, namespace: str = '', nodes: tuple[str, ...] = ()) -> str:
        file = tmp_path / 'mine.yaml'
        file.write_text(''.join(section + PARAMETERS for section in sections))
        said = unmatched_sections(str(file), bringup.graph(
            'robot', contract='reach', namespace=namespace, nodes=nodes))
        return said.removeprefix(f'{file}: ')
    return warn


def test_a_node_in_a_namespace_is_not_the_one_of_a_bare_name(warned):
    assert warned('policy_server', namespace='cell') == (
        'section policy_server is of no node that is started here; write /**/policy_server')
    assert warned('policy_server') == ''


def test_a_misspelt_node_is_told_with_what_may_be_meant(warned):
    assert warned('/**/polcy_server', '/**/safety_stop') == (
        'section /**/polcy_server is of no node that is started here; '
        'did you mean policy_server?')


def test_several_are_one_warning(warned):
    assert warned('policy_server', 'safety_stop', namespace='cell').startswith(
        'sections policy_server, safety_stop are of no node')


@pytest.mark.parametrize('section', ['/**', '/*/policy_server', '/cell/left/policy_server',
                                     'cell/left/policy_server', '/**/policy_server', '/cell/**'])
def test_a_section_that_rcl_takes_is_not_told_of(warned, section):
    namespace = 'cell' if section == '/*/policy_server' else 'cell/left'
    assert warned(section, namespace=namespace) == ''


def test_sections_of_others_and_of_other_robots_are_nobodys_mistake(warned):
    assert warned('/left/policy_server', '/right/policy_server', 'controller_manager',
                  '/**/sac_learner', namespace='left', nodes=('policy_server',)) == ''


def test_a_nested_section_is_found(tmp_path):
    file = tmp_path / 'nested.yaml'
    file.write_text('right:\n  policy_server' + PARAMETERS)
    specs = bringup.graph('robot', contract='reach', namespace='left')
    assert 'section right/policy_server is' in unmatched_sections(str(file), specs)
    specs = bringup.graph('robot', contract='reach', namespace='right')
    assert unmatched_sections(str(file), specs) == ''


def test_the_shipped_file_fits_every_graph():
    file = str(shared_file('config/robot_rl.yaml'))
    for kind in bringup.KINDS:
        assert unmatched_sections(file, bringup.graph(kind, contract='reach', namespace='x')) == ''


@pytest.mark.parametrize('text', ['', '[', '3', '\x00', 'a: {ros__parameters: 3}'])
def test_what_cannot_be_read_is_left_to_the_nodes(tmp_path, text):
    file = tmp_path / 'bad.yaml'
    file.write_text(text)
    assert unmatched_sections(str(file), bringup.graph('robot', contract='reach')) == ''
