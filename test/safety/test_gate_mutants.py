"""The properties notice a gate that is broken in any one place of its table or of its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
import copy
from dataclasses import replace
from pathlib import Path
import sys
import types

from gate_properties import PROPERTIES
import pytest
from robot_rl.safety import gate as gate_module
from robot_rl.safety.gate import Gate, RULES

SOURCE = Path(gate_module.__file__).read_text()
OPPOSITE = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq,
            ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
NEIGHBOUR = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
# What a reason says besides its name is checked in test_gate.py.
WORDS = ('silence == inf', 'never heard')


def notices(kind: type) -> bool:
    """Tell whether some property fails for a gate of this kind."""
    for check in PROPERTIES:
        try:
            check(kind)
        except Exception:  # noqa: B902, a broken gate may raise anything
            return True
    return False


def of(rules) -> type:
    return type('Mutant', (Gate,), {'rules': tuple(rules)})


def inverted(rule):
    return replace(rule, look=lambda contract, it: (
        '' if rule.look(contract, it) is None else None))


def test_the_gate_itself_is_well():
    assert not notices(of(RULES))


@pytest.mark.parametrize('index', range(len(RULES)), ids=lambda index: RULES[index].name)
def test_a_rule_that_is_dropped_is_noticed(index):
    assert notices(of(RULES[:index] + RULES[index + 1:]))


@pytest.mark.parametrize('index', range(len(RULES)), ids=lambda index: RULES[index].name)
def test_a_rule_that_is_inverted_is_noticed(index):
    assert notices(of([*RULES[:index], inverted(RULES[index]), *RULES[index + 1:]]))


@pytest.mark.parametrize('index', range(len(RULES) - 1), ids=lambda index: RULES[index].name)
def test_two_rules_that_change_places_are_noticed(index):
    first, second = RULES[index:index + 2]
    assert notices(of([*RULES[:index], second, first, *RULES[index + 2:]]))


def mutants() -> Iterator[tuple[str, ast.Module]]:
    """Yield the module's tree with one operator changed or one `not` dropped, and where."""
    tree = ast.parse(SOURCE)
    for index, node in enumerate(ast.walk(tree)):
        for change in changes(node):
            mutant = copy.deepcopy(tree)
            found = list(ast.walk(mutant))[index]
            before = ast.unparse(node)
            if not any(word in before for word in WORDS):
                change(found)
                yield f'{node.lineno}: {before} -> {ast.unparse(found)}', mutant


def changes(node: ast.AST) -> Iterator:
    """Yield what can be done to a node in place."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for table in (OPPOSITE, NEIGHBOUR):
                if type(operator) in table:
                    new = table[type(operator)]()
                    yield lambda found, place=place, new=new: found.ops.__setitem__(place, new)
    elif isinstance(node, ast.BoolOp):
        new = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        yield lambda found: setattr(found, 'op', new)
        for place in range(len(node.values)):
            yield lambda found, place=place: drop(found, place)
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield lambda found: setattr(found, 'op', ARITHMETIC[type(found.op)]())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.Invert)):
        yield lambda found: setattr(found, 'op', ast.UAdd())
    elif isinstance(node, ast.IfExp):
        yield lambda found: found.__dict__.update(body=found.orelse, orelse=found.body)


def drop(node: ast.BoolOp, place: int) -> None:
    """Drop one operand; where one is left, it is doubled, as an operator needs two."""
    del node.values[place]
    node.values *= 2


MUTANTS = dict(mutants())


@pytest.mark.parametrize('name', MUTANTS)
def test_a_changed_operator_is_noticed(name, monkeypatch):
    module = types.ModuleType('robot_rl.safety.mutant')
    monkeypatch.setitem(sys.modules, module.__name__, module)       # dataclasses look it up
    tree = ast.fix_missing_locations(MUTANTS[name])
    try:
        exec(compile(tree, name, 'exec'), vars(module))  # noqa: S102, our own source
    except Exception:  # noqa: B902, it cannot even be loaded
        return
    assert notices(module.Gate)
