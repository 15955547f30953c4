from __future__ import annotations

from dataclasses import replace
import random

import numpy as np
import pytest
from recording import episode_steps
from robot_rl.bundle import pack, unpack
from robot_rl.data.episode import EpisodeRecord
from robot_rl.data.episode_message import decode_episode, encode_episode
from robot_rl.data.transitions import COLUMNS, derive_transitions
from robot_rl.errors import Mismatch, UserError


@pytest.fixture
def record(contract) -> EpisodeRecord:
    return EpisodeRecord('episode_000001', 1, 4, derive_transitions(episode_steps(5), contract),
                         'success', '', 'a session', 1_700_000_000_000_000_001, 'learn', 7)


@pytest.fixture
def forge(record, contract):
    """Return the bytes of the record with arrays or manifest entries changed."""
    def do(arrays=None, **manifest) -> bytes:
        found, header = unpack(encode_episode(record, contract), 'x')
        found = {name: array for name, array in {**found, **(arrays or {})}.items()
                 if array is not None}
        return pack(found, header | manifest)
    return do


def test_an_episode_survives_the_wire_bit_for_bit(record, contract):
    found = decode_episode(encode_episode(record, contract), contract, 'x')
    assert replace(found, transitions=None) == replace(record, transitions=None)
    for name in COLUMNS:
        assert np.array_equal(getattr(found.transitions, name), getattr(record.transitions, name))


def test_an_episode_of_another_contract_is_refused(record, contract, make_contract):
    data = encode_episode(record, make_contract(**{'[-1.0]': '[-2.0]'}))
    with pytest.raises(Mismatch, match=r'action.low: expected \[-1.0\], found \[-2.0\]'):
        decode_episode(data, contract, 'x')


@pytest.mark.parametrize(('name', 'value'), [
    ('kind', 'gaussian'), ('name', 3), ('sequence', '1'), ('sequence', True), ('total', None),
    ('stamp', 1.5), ('mode', None), ('mode', 'fly'), ('label', []), ('session', {}),
    ('policy_version', 'x')])
def test_a_header_of_another_type_is_refused(forge, contract, name, value):
    with pytest.raises(UserError, match=f'^x: {name}: expected'):
        decode_episode(forge(**{name: value}), contract, 'x')


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(('name', 'array'), [
    ('observation', zeros(5, 3)), ('observation', zeros(4, 2)), ('action', zeros(5)),
    ('next_observation', None), ('reward', None), ('terminated', zeros(6)),
    ('truncated', zeros(5, dtype=np.float64)), ('action', np.full((5, 1), np.nan, np.float32)),
    ('reward', np.full(5, np.inf, np.float32)), ('reward', zeros()), ('reward', zeros(5, 1))])
def test_arrays_that_are_not_transitions_are_refused(forge, contract, name, array):
    with pytest.raises(UserError, match='^x: '):
        decode_episode(forge(arrays={name: array}), contract, 'x')


def test_damaged_bytes_are_refused_or_decode(record, contract):
    rng, data = random.Random(0), encode_episode(record, contract)
    for _ in range(2000):
        damaged = bytearray(data[:rng.choice([len(data), rng.randrange(len(data))])])
        for _ in range(rng.randint(0, 3)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            found = decode_episode(bytes(damaged), contract, 'x')
        except UserError:
            continue
        assert found.transitions.observation.shape == (5, 2)
