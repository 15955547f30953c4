from __future__ import annotations

from pathlib import Path

from every_node import folders, node_class, NODES, settings
import pytest
from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters, ListParameters
from robot_rl.contract import load_contract
from robot_rl.errors import UserError
from robot_rl.schema import load_yaml

FILE = Path(__file__).parents[2] / 'config' / 'robot_rl.yaml'
OF_ROS = ('use_sim_time', 'start_type_description_service')
# Text that has no list of choices, because it names files or holds YAML.
FREE_TEXT = {'contract', 'bag_root', 'checkpoint_dir', 'demo_bags', 'explorers_dir', 'gap', 'bags',
             'train_gaps', 'report_dir', 'fit_dir', 'kept_dir'}
ANY_NODE = pytest.mark.parametrize('name', NODES)
NUMBERS = [(name, key) for name in NODES for key, item in settings(name).items()
           if type(item.default) in (int, float)]
EVERY = [(name, key) for name in NODES for key in settings(name)]
WRONG_TYPE = {bool: 'x', int: 0.5, float: 'x', str: 1, tuple: 1}


@pytest.fixture
def begin(start, tmp_path):
    def begin(name: str, **parameters):
        return start(node_class(name), **{**folders(name, tmp_path), **parameters})
    return begin


def outside(item) -> list:
    """Return values of the right type on both sides of the range."""
    low, high = item.metadata['low'], item.metadata['high']
    if isinstance(item.default, int):
        return [low - 1] + ([high + 1] if high is not None and high < 2 ** 31 - 1 else [])
    return [low - 0.1, float('nan')] + ([high * 1.01] if high is not None else [])


@ANY_NODE
def test_exactly_the_fields_of_settings_are_declared(begin, name):
    bench = begin(name)
    found = bench.call(ListParameters, f'{name}/list_parameters').result.names
    assert set(found) - set(OF_ROS) == set(settings(name))


@ANY_NODE
def test_a_node_tells_its_contract_and_a_recorder_its_folder(capfd, begin, tmp_path, name):
    begin(name)
    contract = load_contract('reach')
    said = capfd.readouterr().err
    assert f'contract {contract.file.absolute()}, hash {contract.hash}' in said
    assert (f'bags in {tmp_path / "bags"}' in said) == (name == 'data_recorder')


@ANY_NODE
def test_every_parameter_is_described_and_bounded(begin, name):
    bench = begin(name)
    names = list(settings(name))
    found = bench.call(DescribeParameters, f'{name}/describe_parameters', names=names)
    for descriptor in found.descriptors:
        kind, key = descriptor.type, descriptor.name
        assert descriptor.description, key
        assert not descriptor.dynamic_typing, key
        if kind == ParameterType.PARAMETER_INTEGER:
            assert descriptor.integer_range, key
        elif kind == ParameterType.PARAMETER_DOUBLE:
            assert descriptor.floating_point_range, key
        elif kind != ParameterType.PARAMETER_BOOL:
            assert descriptor.additional_constraints or key in FREE_TEXT, key


@pytest.mark.parametrize('name, key', NUMBERS)
def test_a_number_out_of_range_is_refused_at_start_by_name(begin, name, key):
    for value in outside(settings(name)[key]):
        with pytest.raises(UserError, match=f'{name}: parameter.*{key}'):
            begin(name, **{key: value})


@pytest.mark.parametrize('name, key', EVERY)
def test_a_value_of_the_wrong_type_is_refused_at_start_by_name(begin, name, key):
    wrong = WRONG_TYPE[type(settings(name)[key].default)]
    with pytest.raises(UserError, match=f'{name}: parameter.*{key}'):
        begin(name, **{key: wrong})


def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(begin):
    with pytest.raises(UserError, match='mode: expected one of random, learn, evaluate'):
        begin('policy_server', mode='fly')


def test_a_misspelt_parameter_is_refused_at_start_with_the_one_that_is_near(begin):
    with pytest.raises(UserError) as refused:
        begin('safety_stop', timout=0.1)
    assert str(refused.value) == (
        'safety_stop: parameter: expected one of its own, as --help lists them, found '
        "'timout'; did you mean timeout? One of another node goes below that name")


def test_parameters_of_other_nodes_are_told_once_and_those_of_ros_never(capfd, begin):
    begin('safety_stop', warn_rate=0.5, robot_description='x', **{
        'use_sim_time': False, 'start_type_description_service': False,
        'qos_overrides./heartbeat.subscription.depth': 3})
    said = [line for line in capfd.readouterr().err.splitlines() if '[WARN]' in line]
    assert len(said) == 1 and said[0].endswith(
        'ignored, as no parameters of this node: robot_description, warn_rate')


@ANY_NODE
def test_a_read_only_parameter_is_refused_while_running(begin, name):
    fixed = {key: item for key, item in settings(name).items() if not item.metadata['live']}
    bench = begin(name)
    values = {key: list(item.default) if isinstance(item.default, tuple) else item.default
              for key, item in fixed.items()}
    for key, result in zip(values, bench.set(**values), strict=True):
        assert not result.successful, key
        assert 'read-only' in result.reason, key


@ANY_NODE
def test_a_live_parameter_is_checked_while_running(begin, name):
    live = {key: item for key, item in settings(name).items() if item.metadata['live']}
    bench = begin(name)
    for key, item in live.items():
        bad = outside(item) if type(item.default) in (int, float) else []
        for value in [*bad, WRONG_TYPE[type(item.default)]]:
            [result] = bench.set(**{key: value})
            assert not result.successful, (key, value)
            assert result.reason, (key, value)


def test_live_parameters_change_the_settings(begin):
    bench = begin('policy_server')
    assert all(result.successful for result in bench.set(mode='evaluate', run_episodes=3))
    assert (bench.node.settings.mode, bench.node.settings.run_episodes) == ('evaluate', 3)
    [result] = bench.set(mode='fly')
    assert result.reason == ('mode: expected one of random, learn, evaluate, explore, mixed, '
                             "transfer, demonstrate, scripted, found 'fly'")
    assert bench.node.settings.mode == 'evaluate'


@ANY_NODE
def test_the_shipped_file_names_exactly_the_declared_parameters(name):
    assert list(load_yaml(FILE)[f'/**/{name}']['ros__parameters']) == list(settings(name))


@ANY_NODE
def test_the_shipped_values_are_the_defaults_or_their_comment_says_otherwise(name):
    values = load_yaml(FILE)[f'/**/{name}']['ros__parameters']
    block = FILE.read_text().partition(f'/**/{name}:')[2].partition('/**/')[0]
    for key, item in settings(name).items():
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        assert type(values[key]) is type(default), key
        comment = block.partition(f' {key}: ')[2].partition(': ')[0]
        assert values[key] == default or 'default' in comment, key


@ANY_NODE
def test_the_shipped_file_is_accepted(begin, name):
    values = load_yaml(FILE)[f'/**/{name}']['ros__parameters']
    begin(name, **{key: value for key, value in values.items()
                   if key not in ('bag_root', 'checkpoint_dir', 'explorers_dir', 'fit_dir')})
