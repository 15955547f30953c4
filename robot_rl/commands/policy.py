"""`robot_rl policy inspect`: what a policy or a checkpoint is, and where it comes from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
import json
from pathlib import Path
from typing import TYPE_CHECKING

from robot_rl.commands.contracts import add_contract
from robot_rl.commands.parsing import add_command, add_group, add_json
from robot_rl.errors import EXIT_FAILED, UserError
from robot_rl.terminal import aligned, painted, printable

if TYPE_CHECKING:
    from robot_rl.learning.artifact_summary import ArtifactSummary

EXAMPLES = {'robot_rl policy inspect runs/demo/policy.safetensors': 'what it is',
            'robot_rl policy inspect actor.safetensors --contract my_robot.yaml':
            'and whether it fits'}
SHOWN = ('kind', 'version', 'contract_hash', 'interface')       # elsewhere than among the rest
MAX_DEPTH = 6           # of nested mappings that are indented; deeper ones go on one line
MAX_NAMED = 10          # policies of a folder
MAX_TEXT = 100          # characters of a value


def add(commands) -> None:
    """Add the group and its one command."""
    group = add_group(commands, 'policy', 'look into policies and checkpoints',
                      'Look into policies and checkpoints.', EXAMPLES)
    parser = add_command(
        group, 'inspect', 'what it is, its layers, vectors and provenance',
        'Show what a file of this package is: a policy, explorers, a demonstrator or a\n'
        'checkpoint. The file is checked as a whole; nothing in it is run.\n'
        'Ends with exit code 1 where it does not fit the contract that is asked for.',
        EXAMPLES, _run)
    parser.add_argument('file', type=Path, help='a .safetensors file that this package wrote')
    add_contract(parser, '--contract')
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    from robot_rl.contract import load_contract
    from robot_rl.learning.artifact_summary import read_artifact

    if arguments.file.is_dir():
        raise UserError(f'{arguments.file}: expected a safetensors file, found a folder'
                        + _within(arguments.file))
    contract = load_contract(arguments.contract) if arguments.contract else None
    found = read_artifact(arguments.file, contract)
    print(json.dumps(asdict(found), indent=2) if arguments.json
          else '\n'.join(_lines(found, arguments.contract)))
    return EXIT_FAILED if found.misfit else 0


def _within(folder: Path) -> str:
    """Return the names of the policies in a folder, those that lie the least deep first."""
    found = sorted((path.relative_to(folder) for path in folder.rglob('*.safetensors')),
                   key=lambda path: (len(path.parts), path))
    if not found:
        return ''
    more = f' and {len(found) - MAX_NAMED} more' if len(found) > MAX_NAMED else ''
    return f'; it has {", ".join(map(str, found[:MAX_NAMED]))}{more}'


def _lines(found: ArtifactSummary, contract: str | None) -> Iterator[str]:
    from robot_rl.learning.artifact_summary import KINDS

    manifest = found.manifest
    interface = manifest.get('interface')
    interface = interface if isinstance(interface, dict) else {}
    yield f'file        {printable(found.file)}, {found.bytes:,} bytes'
    yield f'digest      sha256 {found.digest}'
    yield f'kind        {printable(found.kind)}: {KINDS.get(found.kind, "unknown here")}'
    if 'version' in manifest:
        yield f'version     {_value(manifest["version"])}'
    if interface:
        yield (f'contract    {_value(manifest.get("contract_hash"))}, task '
               f'{_value(interface.get("task"))}, {_value(interface.get("control_rate"))} Hz')
    if found.networks:
        yield from ['', 'networks', *aligned([
            ('name', 'count', 'layers', 'parameters'),
            *((one.name, str(one.count), ' -> '.join(map(str, one.sizes)), f'{one.parameters:,}')
              for one in found.networks)])]
    if found.arrays:
        yield from ['', 'arrays', *aligned([
            ('name', 'type', 'shape'),
            *((one.name, one.type, ' x '.join(map(str, one.shape)) or 'one number')
              for one in found.arrays)])]
    yield from _vector(interface, 'observation', ('names', 'units'))
    yield from _vector(interface, 'action', ('names', 'units', 'low', 'high', 'max_rate'))
    rest = {key: value for key, value in manifest.items() if key not in SHOWN}
    provenance = rest.pop('provenance', {})
    for title, values in (('settings', rest), ('provenance', provenance)):
        if values:
            yield from ['', title, *_nested(values, 1)]
    if found.misfit is not None:        # last: nobody scrolls back for what was asked
        fits = painted('no', 'bad') if found.misfit else painted('yes', 'good')
        yield from ['', f'fits {printable(contract)}: {fits}',
                    *(f'  {printable(line)}' for line in found.misfit.splitlines())]


def _vector(interface: dict, part: str, keys: tuple[str, ...]) -> list[str]:
    """Return the table of a vector, of which the manifest has a list for each key."""
    columns = [interface.get(f'{part}.{key}') for key in keys]
    if not all(isinstance(column, list) for column in columns):
        return []
    rows = [(str(index), *map(_value, row)) for index, row in enumerate(zip(*columns))]
    return ['', part, *aligned([('', *keys), *rows])]


def _nested(value, depth: int) -> Iterator[str]:
    """Yield the lines of a mapping, each level of it indented."""
    indent = '  ' * depth
    if not isinstance(value, dict):
        yield f'{indent}{_value(value)}'
        return
    for key, inner in value.items():
        if isinstance(inner, dict) and inner and depth < MAX_DEPTH:
            yield f'{indent}{printable(key)}:'
            yield from _nested(inner, depth + 1)
        else:
            yield f'{indent}{printable(key)}: {_value(inner)}'


def _value(value) -> str:
    """Return a value on one line that is not too long."""
    text = value if value and isinstance(value, str) else json.dumps(value)
    text = printable(text).replace('\n', ' ')
    return text if len(text) <= MAX_TEXT else f'{text[:MAX_TEXT]} ... ({len(text)} characters)'
