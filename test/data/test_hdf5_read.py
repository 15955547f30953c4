from __future__ import annotations

import numpy as np
import pytest
from robot_rl.data.hdf5_read import MAX_CHUNK_BYTES, MAX_TEXT_BYTES, open_hdf5
from robot_rl.errors import InvalidFile

h5py = pytest.importorskip('h5py')


@pytest.fixture
def write(tmp_path):
    """Write a file by a function that is given its root; return how to read an array of it."""
    def make(fill):
        with h5py.File(tmp_path / 'foreign.hdf5', 'w') as file:
            fill(file)

        def read(name='x', shape=(3,), **settings):
            with open_hdf5(tmp_path / 'foreign.hdf5') as root:
                return root.array(name, shape, **settings)
        return read
    return make


def other_file(tmp_path):
    with h5py.File(tmp_path / 'secret.hdf5', 'w') as file:
        file['x'] = np.arange(3.0)
    return str(tmp_path / 'secret.hdf5')


@pytest.mark.parametrize('kind', [np.float16, np.float32, '>f8', np.int32, np.uint8, bool])
def test_numbers_of_every_kind_are_read(write, kind):
    read = write(lambda file: file.create_dataset('x', data=np.array([0, 1, 1], kind)))
    assert read().tolist() == [0, 1, 1]


@pytest.mark.parametrize('settings', [
    {'compression': 'gzip', 'shuffle': True}, {'compression': 'lzf'}, {'fletcher32': True}])
def test_filters_of_the_library_are_undone(write, settings):
    read = write(lambda file: file.create_dataset('x', data=np.arange(3.0), chunks=(2,),
                                                  **settings))
    assert read().tolist() == [0, 1, 2]


def test_a_single_column_may_come_without_its_axis(write):
    read = write(lambda file: file.create_dataset('x', data=np.arange(3.0)))
    assert read(shape=(3, 1)).shape == (3, 1)


def test_links_to_other_files_are_not_followed(write, tmp_path):
    secret = other_file(tmp_path)

    def fill(file):
        file['x'] = h5py.ExternalLink(secret, '/x')
    with pytest.raises(InvalidFile, match='x: .*found a link: ExternalLink'):
        write(fill)()


def test_links_within_the_file_are_refused(write):
    def fill(file):
        file['y'] = np.arange(3.0)
        file['x'] = h5py.SoftLink('/y')
    with pytest.raises(InvalidFile, match='a link: SoftLink'):
        write(fill)()


def test_a_group_behind_a_link_is_refused(write, tmp_path):
    def fill(file):
        file['data'] = h5py.ExternalLink(other_file(tmp_path), '/')
    write(fill)
    with open_hdf5(tmp_path / 'foreign.hdf5') as root:
        with pytest.raises(InvalidFile, match='data: .*ExternalLink'):
            root.child('data')


def test_virtual_data_sets_are_refused(write, tmp_path):
    secret = other_file(tmp_path)

    def fill(file):
        layout = h5py.VirtualLayout((3,), 'f8')
        layout[:] = h5py.VirtualSource(secret, 'x', (3,))
        file.create_virtual_dataset('x', layout)
    with pytest.raises(InvalidFile, match='data that lies in other files'):
        write(fill)()


def test_raw_bytes_of_other_files_are_refused(write, tmp_path):
    (tmp_path / 'secret').write_bytes(b'12345678' * 3)
    read = write(lambda file: file.create_dataset(
        'x', (3,), 'f8', external=[(str(tmp_path / 'secret'), 0, 24)]))
    with pytest.raises(InvalidFile, match='data that lies in other files'):
        read()


def test_references_and_records_are_no_numbers(write):
    def references(file):
        file.create_dataset('x', (3,), h5py.ref_dtype)

    def texts(file):
        file.create_dataset('x', (3,), h5py.string_dtype())

    def records(file):
        file['x'] = np.zeros(3, [('a', 'f8')])
    for fill in (references, texts, records):
        with pytest.raises(InvalidFile, match=r'x: expected numbers of shape \(3,\)'):
            write(fill)()


def test_an_array_that_claims_to_be_huge_is_refused_by_its_shape(write):
    read = write(lambda file: file.create_dataset('x', (1 << 40,), 'f8', chunks=(1000,)))
    with pytest.raises(InvalidFile, match='1099511627776'):
        read()


def test_a_chunk_that_unpacks_to_more_than_its_bound_is_refused(write):
    rows = MAX_CHUNK_BYTES // 8 + 1
    read = write(lambda file: file.create_dataset('x', (3,), 'f8', chunks=(rows,),
                                                  maxshape=(None,)))
    with pytest.raises(InvalidFile, match='chunks of at most'):
        read()


def test_a_filter_that_would_load_a_plugin_is_refused(write):
    def fill(file):
        form = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        form.set_chunk((3,))
        form.set_filter(307, h5py.h5z.FLAG_OPTIONAL)       # bzip2
        space = h5py.h5s.create_simple((3,))
        h5py.h5d.create(file.id, b'x', h5py.h5t.IEEE_F64LE, space, form)
    with pytest.raises(InvalidFile, match='found filter 307'):
        write(fill)()


@pytest.mark.parametrize('data', [1.0, h5py.Empty('f8')], ids=['one value', 'nothing'])
def test_what_has_no_rows_is_no_array(write, data):
    with pytest.raises(InvalidFile, match='x: expected an array'):
        write(lambda file: file.create_dataset('x', data=data))()


def test_a_text_of_fixed_length_is_read(write, tmp_path):
    write(lambda file: file.create_dataset('a', data=np.bytes_(' text\xff '.encode('latin-1'))))
    with open_hdf5(tmp_path / 'foreign.hdf5') as root:
        assert root.text('a') == 'text\ufffd'


@pytest.mark.parametrize('value', [
    'of variable length', 7, np.array([b'a', b'b']), np.bytes_(b'x' * (MAX_TEXT_BYTES + 1)),
    h5py.Empty('S1')], ids=['variable', 'number', 'list', 'long', 'nothing'])
def test_anything_else_is_no_text(write, tmp_path, value):
    write(lambda file: file.create_dataset('a', data=value))
    with open_hdf5(tmp_path / 'foreign.hdf5') as root:
        with pytest.raises(InvalidFile, match=f'a: expected a text of at most {MAX_TEXT_BYTES}'):
            root.text('a')


@pytest.mark.parametrize('content', [b'', b'\x89HDF\r\n\x1a\n', b'text' * 1000])
def test_a_file_that_is_no_hdf5_is_refused(tmp_path, content):
    (tmp_path / 'bad.hdf5').write_bytes(content)
    with pytest.raises(InvalidFile, match='bad.hdf5: file: expected a readable HDF5 file'):
        with open_hdf5(tmp_path / 'bad.hdf5'):
            pass


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidFile, match='absent.hdf5'):
        with open_hdf5(tmp_path / 'absent.hdf5'):
            pass


def test_a_file_cut_anywhere_is_refused_or_read(write, tmp_path):
    read = write(lambda file: file.create_dataset('x', data=np.arange(3.0), chunks=(2,),
                                                  compression='gzip'))
    path = tmp_path / 'foreign.hdf5'
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        try:
            assert read().tolist() == [0, 1, 2]
        except InvalidFile:
            pass
