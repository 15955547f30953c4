from __future__ import annotations

import json

import numpy as np
import pytest
from robot_rl.bundle import MAX_HEADER_BYTES, pack, unpack
from robot_rl.errors import UserError


def forge(header, body: bytes = b'', size: int | None = None) -> bytes:
    """Return bytes with a header of our own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, 'little') + text + body


MANIFEST = {'manifest': '{"a": 1}'}


@pytest.mark.parametrize('array', [
    np.arange(6, dtype=np.float32).reshape(2, 3), np.array(3.5, np.float32), np.zeros((0, 4)),
    np.arange(12).reshape(3, 4).T, np.arange(10, dtype=np.uint8)[::2], np.array([True, False])],
    ids=['matrix', 'number', 'empty', 'transposed', 'strided', 'bool'])
def test_an_array_keeps_its_bits_type_and_shape(array):
    arrays, manifest = unpack(pack({'a': array}, {'kind': 'x', 'n': [1, None]}), 'x')
    assert np.array_equal(arrays['a'], array) and arrays['a'].dtype == array.dtype
    assert arrays['a'].shape == array.shape and manifest == {'kind': 'x', 'n': [1, None]}


def test_the_same_content_gives_the_same_bytes():
    assert pack({'a': np.ones(2)}, {'b': 1, 'c': 2}) == pack({'a': np.ones(2)}, {'c': 2, 'b': 1})


@pytest.mark.parametrize('data', [
    b'', b'short', bytes(8), b'\xff' * 8, b'\xff' * 100, forge({}), forge([]), forge(b'{'),
    forge(b'\xff'), forge({'__metadata__': None}), forge({'__metadata__': {}}),
    forge({'__metadata__': {'manifest': 'x'}}), forge({'__metadata__': {'manifest': '[]'}}),
    forge({'__metadata__': {'manifest': 3}}), forge({'__metadata__': MANIFEST}, b'x'),
    forge({'__metadata__': MANIFEST}, size=10 ** 9),
    forge({'__metadata__': {'manifest': '[' * 100_000}}), forge(b'[' * 100_000),
    forge({'__metadata__': MANIFEST, 'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 4]}},
          bytes(4)),
    forge({'__metadata__': MANIFEST, 'a': {'dtype': 'F32', 'shape': [0, 2 ** 63],
                                           'data_offsets': [0, 0]}}),
    forge({'__metadata__': MANIFEST, 'a': {'dtype': 'F32', 'shape': [2 ** 40, 2 ** 40, 0],
                                           'data_offsets': [0, 0]}}),
    forge({'__metadata__': MANIFEST, 'a': {'dtype': 'F8_E4M3', 'shape': [1],
                                           'data_offsets': [0, 1]}}, b'x'),
    forge(b'{"__metadata__": {"manifest": "' + b'9' * 10_000 + b'"}}')])
def test_bytes_of_another_kind_are_refused(data):
    with pytest.raises(UserError, match='^some/file: not a file of this package: '):
        unpack(data, 'some/file')


def test_a_flipped_bit_in_the_numbers_is_refused():
    data = bytearray(pack({'x': np.ones(4, np.float32)}, {}))
    data[-2] ^= 1
    with pytest.raises(UserError, match='the checksum does not match'):
        unpack(bytes(data), 'test')


def test_more_bytes_than_accepted_are_refused():
    data = pack({'a': np.zeros(100)}, {})
    with pytest.raises(UserError, match='at most 500 are accepted'):
        unpack(data, 'x', max_bytes=500)


def test_a_header_longer_than_accepted_is_refused():
    header = {'__metadata__': MANIFEST | {'x': ' ' * MAX_HEADER_BYTES}}
    with pytest.raises(UserError, match='cut short or too long'):
        unpack(forge(header), 'x')
