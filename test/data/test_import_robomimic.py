from __future__ import annotations

from exporting import LENGTHS, recorded, torn_steps, write_bag
import numpy as np
import pytest
from recording import episode_steps
from robot_rl.data.bag import bag_steps, bag_transitions, find_bags, read_info
from robot_rl.data.export import export
from robot_rl.data.export_robomimic import robomimic_file
from robot_rl.data.import_robomimic import import_robomimic
from robot_rl.data.ingest import Ingest
from robot_rl.data.steps import Mode, Source, Status
from robot_rl.data.transitions import COLUMNS
from robot_rl.errors import InvalidFile, Mismatch, UserError

h5py = pytest.importorskip('h5py')


@pytest.fixture
def there_and_back(tmp_path, contract):
    """Export bags and import the export; return both folders' bags."""
    def go(root):
        export([root], tmp_path / 'out.hdf5', contract, robomimic_file)
        import_robomimic(tmp_path / 'out.hdf5', tmp_path / 'again', contract)
        return find_bags(root), find_bags(tmp_path / 'again')
    return go


@pytest.fixture
def foreign(tmp_path):
    """Write a file as robomimic's own tools do, changed as a test wants it."""
    def write(**changed):
        rng = np.random.default_rng(0)
        state = rng.normal(0.0, 0.1, (6, 2))
        arrays = {'obs/arm': state[:-1], 'next_obs/arm': state[1:], 'obs/image': np.zeros((5, 3)),
                  'actions': rng.uniform(-1, 1, (5, 1)), 'rewards': np.zeros(5),
                  'dones': np.zeros(5, int), 'states': np.zeros((5, 7)), **changed}
        path = tmp_path / 'foreign.hdf5'
        with h5py.File(path, 'w') as file:
            for number in (0, 1):
                demo = file.create_group(f'data/demo_{number}')
                demo.attrs['num_samples'] = 5
                for key, values in arrays.items():
                    if values is not None:
                        demo[key] = values
            file['data'].attrs['total'] = 10
            file['data'].attrs['env_args'] = '{"env_name": "Lift", "type": 1, "env_kwargs": {}}'
        return path
    return write


def same(one, other) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS)


def test_transitions_come_back_to_the_bit(there_and_back, tmp_path, contract):
    before, after = there_and_back(recorded(tmp_path / 'bags', contract))
    assert len(before) == len(after) == len(LENGTHS)
    for one, other in zip(before, after):
        assert same(bag_transitions(one, contract), bag_transitions(other, contract))


def test_step_records_come_back_but_for_the_action_after_the_end(there_and_back, tmp_path,
                                                                 contract):
    before, after = there_and_back(recorded(tmp_path / 'bags', contract))
    for one, other in zip(bag_steps(before[0], contract)[:-1], bag_steps(after[0], contract)):
        for name in ('stamp', 'index', 'status', 'source', 'mode', 'policy_version', 'success'):
            assert getattr(one, name) == getattr(other, name), name
        for name in ('observation', 'requested', 'executed'):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
    ends = [bag_steps(folder, contract)[-1].status for folder in after]
    assert ends == [Status.TRUNCATED, Status.TRUNCATED, Status.ABORTED]


def test_outcomes_labels_and_origins_come_back(there_and_back, tmp_path, contract):
    _, after = there_and_back(recorded(tmp_path / 'bags', contract))
    said = [read_info(folder).custom_data for folder in after]
    assert [(one['outcome'], one['label'], one['source_bag'], one['source_session'])
            for one in said] == [('success', 'success', 'episode_000001', 's1'),
                                 ('truncated', '', 'episode_000002', 's1'),
                                 ('aborted', '', 'episode_000003', 's1')]
    assert [one['transitions'] for one in said] == [str(length) for length in LENGTHS]


def test_a_torn_episode_comes_back_as_its_parts(there_and_back, tmp_path, contract):
    write_bag(tmp_path / 'bags' / 'torn', contract, torn_steps(20, 8), label='failure')
    (torn,), after = there_and_back(tmp_path / 'bags')
    parts = [bag_transitions(folder, contract) for folder in after]
    whole = bag_transitions(torn, contract)
    for name in COLUMNS:
        assert np.array_equal(getattr(whole, name),
                              np.concatenate([getattr(part, name) for part in parts])), name


def test_demo_ingest_reads_what_was_imported(there_and_back, tmp_path, contract):
    before, after = there_and_back(recorded(tmp_path / 'bags', contract))
    for one, other in zip(Ingest(before, contract), Ingest(after, contract), strict=True):
        assert same(one.transitions, other.transitions)


def test_a_reward_on_a_topic_comes_back(tmp_path, paid):
    from dataclasses import replace
    steps = [replace(step, reward=step.index / 3) for step in episode_steps(6)]
    write_bag(tmp_path / 'bags' / 'one', paid, steps)
    export([tmp_path / 'bags'], tmp_path / 'out.hdf5', paid, robomimic_file)
    import_robomimic(tmp_path / 'out.hdf5', tmp_path / 'again', paid)
    bag, = find_bags(tmp_path / 'again')
    assert same(bag_transitions(bag, paid), bag_transitions(tmp_path / 'bags' / 'one', paid))


def test_a_file_of_robomimic_becomes_demonstrations(foreign, tmp_path, contract):
    found = import_robomimic(foreign(), tmp_path / 'bags', contract)
    assert (found.episodes, found.transitions) == (2, 10)
    first, second = (bag_steps(bag, contract) for bag in find_bags(tmp_path / 'bags'))
    assert {step.source for step in first} == {Source.HUMAN}
    assert {step.mode for step in first} == {Mode.DEMONSTRATE}
    assert first[-1].status is Status.TRUNCATED and first[-1].stamp < second[0].stamp
    assert first[1].stamp - first[0].stamp == 50_000_000


def test_actions_from_minus_one_to_one_are_from_low_to_high(foreign, tmp_path, make_contract):
    contract = make_contract(**{'low: [-1.0]': 'low: [2.0]', 'high: [1.0]': 'high: [6.0]'})
    import_robomimic(foreign(actions=np.array([[-1.0], [-0.5], [0.0], [0.5], [1.0]])),
                     tmp_path / 'bags', contract)
    found = bag_transitions(find_bags(tmp_path / 'bags')[0], contract)
    assert found.action[:, 0].tolist() == [2.0, 3.0, 4.0, 5.0, 6.0]


def test_without_next_obs_the_last_observation_ends_the_episode(foreign, tmp_path, contract):
    found = import_robomimic(foreign(**{'next_obs/arm': None}), tmp_path / 'bags', contract)
    assert found.transitions == 8


def test_where_the_contract_sees_success_the_task_ended(foreign, tmp_path, contract):
    state = np.full((6, 2), 0.1)
    state[-1, 0] = 1.5
    import_robomimic(foreign(**{'obs/arm': state[:-1], 'next_obs/arm': state[1:]}),
                     tmp_path / 'bags', contract)
    bag = find_bags(tmp_path / 'bags')[0]
    assert bag_steps(bag, contract)[-1].status is Status.TERMINATED
    assert read_info(bag).custom_data['outcome'] == 'success'


def test_rewards_that_the_contract_pays_otherwise_are_counted(foreign, tmp_path, contract):
    assert import_robomimic(foreign(), tmp_path / 'bags', contract).repaid == 10
    export([tmp_path / 'bags'], tmp_path / 'out.hdf5', contract, robomimic_file)
    assert import_robomimic(tmp_path / 'out.hdf5', tmp_path / 'again', contract).repaid == 0


BAD = {
    'a missing observation': ({'obs/arm': None}, 'data/demo_0/obs/arm: .*found nothing'),
    'a wrong width': ({'obs/arm': np.zeros((5, 3))}, r'data/demo_0/obs/arm: .*\(5, 3\)'),
    'a wrong length': ({'obs/arm': np.zeros((4, 2))}, r'data/demo_0/obs/arm: .*\(4, 2\)'),
    'NaN': ({'obs/arm': np.full((5, 2), np.nan)}, 'data/demo_0/obs/arm: .*nan.* in row 0'),
    'too large for float32': ({'actions': np.full((5, 1), 1e300)}, 'data/demo_0/actions: '),
    'no actions': ({'actions': None}, 'data/demo_0/actions: '),
    'no rows': ({'actions': np.zeros((0, 1))}, 'data/demo_0/actions: .*found 0'),
    'more joints': ({'actions': np.zeros((5, 2))}, r'data/demo_0/actions: .*\(5, 2\)'),
    'actions in other units': ({'actions': np.full((5, 1), 1.5)},
                               'data/demo_0/actions: expected -1 to 1'),
    'text': ({'actions': np.array([[b'a']] * 5)}, 'data/demo_0/actions: '),
    'a gap': ({'next_obs/arm': np.ones((5, 2))}, 'data/demo_0/next_obs: .*row 0'),
}


@pytest.mark.parametrize(('changed', 'message'), BAD.values(), ids=list(BAD))
def test_what_is_wrong_is_named_by_file_and_key(foreign, tmp_path, contract, changed, message):
    with pytest.raises(InvalidFile, match=f'foreign.hdf5: {message}'):
        import_robomimic(foreign(**changed), tmp_path / 'bags', contract)
    assert not [path for path in tmp_path.iterdir() if 'bags' in path.name]


def test_a_reward_topic_needs_rewards_in_the_file(foreign, tmp_path, paid):
    with pytest.raises(InvalidFile, match='data/demo_0/rewards: .*found nothing'):
        import_robomimic(foreign(rewards=None), tmp_path / 'bags', paid)


def test_an_export_under_another_contract_is_refused_key_by_key(tmp_path, contract,
                                                                make_contract):
    export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out.hdf5', contract,
           robomimic_file)
    other = make_contract(**{'high: [1.0]': 'high: [2.0]'})
    with pytest.raises(Mismatch, match=r'action.high: expected \[2.0\], found \[1.0\]'):
        import_robomimic(tmp_path / 'out.hdf5', tmp_path / 'again', other)


@pytest.mark.parametrize(('key', 'row', 'value'), [
    ('status', 0, 1), ('status', -1, 9), ('source', 0, 9), ('mode', 0, -2), ('stamp', 1, 0),
    ('stamp', 0, -1)])
def test_step_records_that_cannot_be_are_refused(tmp_path, contract, key, row, value):
    export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out.hdf5', contract,
           robomimic_file)
    with h5py.File(tmp_path / 'out.hdf5', 'r+') as file:
        file[f'robot_rl/demo_0/{key}'][row] = value
    with pytest.raises(InvalidFile, match=f'robot_rl/demo_0/{key}: '):
        import_robomimic(tmp_path / 'out.hdf5', tmp_path / 'again', contract)


@pytest.mark.parametrize(('key', 'text', 'message'), [
    ('layout', b'2', "layout: expected 1, found '2'; export the bags again"),
    ('interface', b'{', 'interface: expected JSON'),
    ('interface', b'[' * 100_000, 'interface: expected JSON')])
def test_a_layout_or_interface_that_cannot_be_is_refused(tmp_path, contract, key, text, message):
    export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out.hdf5', contract,
           robomimic_file)
    with h5py.File(tmp_path / 'out.hdf5', 'r+') as file:
        del file[f'robot_rl/{key}']
        file[f'robot_rl/{key}'] = np.bytes_(text)
    with pytest.raises(InvalidFile, match=f'robot_rl/{message}'):
        import_robomimic(tmp_path / 'out.hdf5', tmp_path / 'again', contract)


def test_a_damaged_heap_of_texts_is_not_even_looked_at(tmp_path, contract):
    """One that was kept libhdf5 2.0 busy for ever."""
    export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out.hdf5', contract,
           robomimic_file)
    head, heap, rest = (tmp_path / 'out.hdf5').read_bytes().partition(b'GCOL')
    assert heap
    (tmp_path / 'out.hdf5').write_bytes(head + heap + b'\xff' * 64 + rest[64:])
    assert import_robomimic(tmp_path / 'out.hdf5', tmp_path / 'again', contract).episodes == 3


def test_a_demo_whose_name_is_no_text_is_refused(foreign, tmp_path, contract):
    path = foreign()
    path.write_bytes(path.read_bytes().replace(b'demo_1', b'd\xff\xfe__1'))
    with pytest.raises(InvalidFile, match='data: expected 1 to 100000 groups demo_0, demo_1'):
        import_robomimic(path, tmp_path / 'bags', contract)


def test_damaged_bytes_are_refused_or_read(tmp_path, contract):
    export([recorded(tmp_path / 'bags', contract)], tmp_path / 'out.hdf5', contract,
           robomimic_file)
    whole, rng = (tmp_path / 'out.hdf5').read_bytes(), np.random.default_rng(0)
    refused = 0
    for number in range(40):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=20):
            damaged[place] = rng.integers(256)
        (tmp_path / 'bad.hdf5').write_bytes(damaged)
        try:
            import_robomimic(tmp_path / 'bad.hdf5', tmp_path / f'again_{number}', contract)
        except UserError as error:
            refused += 1
            assert 'bad.hdf5' in str(error)
    assert refused > 5


def test_a_folder_that_exists_is_never_written_into(foreign, tmp_path, contract):
    with pytest.raises(UserError, match='exists already'):
        import_robomimic(foreign(), tmp_path, contract)


def test_a_contract_whose_actions_are_measured_is_refused(foreign, tmp_path, make_contract):
    contract = make_contract(**{
        'on_stop: zeros': 'on_stop: zeros\n  measured: [arm.velocity.j]',
        'task: tiny': 'task: tiny\ndemonstration: {action: measured}'})
    with pytest.raises(UserError, match='demonstration.action: expected topic'):
        import_robomimic(foreign(), tmp_path / 'bags', contract)


def test_demos_are_taken_in_the_order_of_their_numbers(tmp_path, contract, foreign):
    path = foreign()
    with h5py.File(path, 'r+') as file:
        file.move('data/demo_1', 'data/demo_10')
        file.copy('data/demo_0', file['data'], 'demo_2')
    import_robomimic(path, tmp_path / 'bags', contract)
    notes = [read_info(bag).custom_data['note'] for bag in find_bags(tmp_path / 'bags')]
    assert notes == [f'demo_{number} of foreign.hdf5' for number in (0, 2, 10)]
