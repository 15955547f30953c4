"""Which sections of a ROS parameter file are of no node: rcl passes over them without a word."""

from __future__ import annotations

from collections.abc import Iterator
import re

from robot_rl.bounded_yaml import load_bounded
from robot_rl.bringup import KINDS, NodeSpec
from robot_rl.schema import suggestion
import yaml

MOST = 100_000          # nodes of YAML
MOST_BYTES = 16 << 20
NAMES = {name for names in KINDS.values() for name in names}


def unmatched_sections(file: str, specs: tuple[NodeSpec, ...]) -> str:
    """Return a warning of sections that seem to be of one of the nodes and are not, or ''.

    It is told of a node's name in another namespace, where the node has no section of its own (or
    it is another robot's), and of a name that is nearly a node's. Others are of somebody else. A
    file that cannot be read is told of by the nodes.
    """
    try:
        with open(file, 'rb') as stream:
            found = load_bounded(stream.read(MOST_BYTES).decode(), MOST)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return ''
    nodes = {spec.name: '/'.join(['', *filter(None, (spec.namespace, spec.name))])
             for spec in specs}
    sections = {section: section.rpartition('/')[2] for section in _sections(found)}
    bare = {name for name, node in nodes.items() if not any(
        last == name and _matches(section, node) for section, last in sections.items())}
    odd = [section for section, last in sections.items()
           if last in bare or last not in NAMES and suggestion(last, nodes)]
    if not odd:
        return ''
    meant = dict.fromkeys(last if last in bare else suggestion(last, nodes)
                          for last in map(sections.get, odd))
    advice = '; '.join(f'write /**/{name}' if name in bare else name for name in meant)
    return (f'{file}: section{"s" * (len(odd) > 1)} {", ".join(odd)} '
            f'{"are" if len(odd) > 1 else "is"} of no node that is started here; {advice}')


def _sections(found, name: str = '') -> Iterator[str]:
    """Give the names, as they are written, of what holds `ros__parameters`."""
    for key, below in found.items() if isinstance(found, dict) else ():
        if key == 'ros__parameters':
            yield name
        else:
            yield from _sections(below, f'{name}/{key}' if name else str(key))


def _matches(section: str, node: str) -> bool:
    """Tell whether rcl takes a section for that of a node: ** is any names, * is one."""
    pattern = re.escape('/' + section.lstrip('/'))
    pattern = pattern.replace(r'/\*\*', '(/[^/]+)*').replace(r'\*', '[^/]+')
    return re.fullmatch(pattern, node) is not None
