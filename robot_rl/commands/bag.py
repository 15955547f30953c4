"""`robot_rl bag inspect`: how recorded episodes went, and what their topics did."""

from __future__ import annotations

import argparse
from collections import Counter
import contextlib
from dataclasses import asdict
import json
from pathlib import Path
from typing import TYPE_CHECKING

from robot_rl.commands.parsing import add_command, add_group, add_json
from robot_rl.errors import EXIT_FAILED, UserError
from robot_rl.progress import followed
from robot_rl.terminal import aligned, printable

if TYPE_CHECKING:
    from robot_rl.data.bag_summary import BagSummary, TopicSummary
    from robot_rl.data.ingest_read import Recording

HEAD = ('episode', 'outcome', 'label', 'mode', 'policy', 'steps', 'transitions', 'duration (s)',
        'dropped', 'lost', 'missing', 'note')
TOPIC_HEAD = ('topic', 'type', 'messages', 'rate (Hz)', 'largest gap (s)', 'first (s)',
              'last (s)', 'note')
STYLES = {'success': 'good', 'failure': 'bad', 'aborted': 'bad', 'unreadable': 'bad',
          'interrupted': 'odd', 'incomplete': 'odd', 'abandoned': 'odd', 'open': 'odd',
          'empty': 'odd', 'discarded': 'faint'}
EXAMPLES = {'robot_rl bag inspect runs/demo/bags': 'every episode of a run',
            'robot_rl bag inspect runs/demo/bags/episode_000003': 'one, with its topics',
            'robot_rl bag inspect --topics --json bags': 'all that is known, for a program'}


def add(commands) -> None:
    """Add the group and its one command."""
    group = add_group(commands, 'bag', 'look into recordings', 'Look into recordings.', EXAMPLES)
    parser = add_command(
        group, 'inspect', 'episodes, outcomes, rates and gaps',
        'Show a line for each episode: outcome, label (what a person said), mode and version of\n'
        'the policy, steps, and messages dropped (for want of memory), lost (by the middleware)\n'
        'and missing (step records). Of one bag, or with --topics, a line for each topic as\n'
        'well: the rate is that of the median time between two messages.\n'
        'Ends with exit code 1 where a bag is unreadable; the others are shown.', EXAMPLES, _run)
    parser.add_argument('folders', type=Path, nargs='+', metavar='DIR',
                        help='a bag, or a folder of bags; MCAP or sqlite3')
    parser.add_argument('--topics', action='store_true',
                        help='show the topics of every bag; reads every message')
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    from robot_rl.data.bag_summary import summarize

    recordings = [(root, recording) for root in arguments.folders for recording in _find(root)]
    topics = arguments.topics or len(recordings) == 1
    bags = [summarize(_name(root, recording.name, len(arguments.folders) > 1), recording, topics)
            for root, recording in followed(recordings, 'bags')]
    print(json.dumps([asdict(bag) for bag in bags], indent=2) if arguments.json
          else '\n'.join(_lines(bags)))
    return EXIT_FAILED if any(bag.state == 'unreadable' for bag in bags) else 0


def _find(root: Path) -> list[Recording]:
    """Return the recordings at a path, those that were discarded last; raise UserError of none."""
    from robot_rl.data.bag import DISCARDED
    from robot_rl.data.ingest_read import find_recordings

    if not (root / DISCARDED).is_dir():
        return find_recordings(root)
    found = []
    for folder in (root, root / DISCARDED):
        with contextlib.suppress(UserError):        # one of them may be empty
            found += find_recordings(folder)
    return found or find_recordings(root)


def _name(root: Path, name: str, several: bool) -> str:
    """Return what to call a recording: what the folder's name on the command line leaves open."""
    place = Path(name)
    if several:
        return str(place)
    return place.resolve().name if place == root else str(place.relative_to(root))


def _lines(bags: list[BagSummary]) -> list[str]:
    lines = aligned([HEAD, *map(_row, bags)], STYLES)
    for bag in bags:
        if bag.topics is not None:
            lines += ['', printable(bag.name), *aligned([TOPIC_HEAD, *map(_topic, bag.topics)])]
    return [*lines, '', _total(bags)]


def _row(bag: BagSummary) -> tuple[str, ...]:
    numbers = (bag.policy_version, bag.steps, bag.transitions, bag.duration, bag.dropped, bag.lost,
               bag.missing_steps)
    return (bag.name, _outcome(bag), bag.label, bag.mode, *map(_text, numbers), bag.reason)


def _outcome(bag: BagSummary) -> str:
    return bag.outcome if bag.state == 'complete' else bag.state


def _topic(topic: TopicSummary) -> tuple[str, ...]:
    back = f'the clock went back {topic.backwards} times' if topic.backwards else ''
    return (topic.name, topic.type, _text(topic.messages), _text(topic.rate), _text(topic.gap, 3),
            _text(topic.first, 3), _text(topic.last, 3), back)


def _text(number: float | None, digits: int = 1) -> str:
    if number is None:
        return ''
    return str(number) if isinstance(number, int) else f'{number:.{digits}f}'


def _total(bags: list[BagSummary]) -> str:
    outcomes = Counter(map(_outcome, bags))
    counted = ', '.join(f'{count} {printable(outcome) or "of other recorders"}'
                        for outcome, count in outcomes.most_common())
    seconds = sum(bag.duration or 0.0 for bag in bags)
    missed = sum((bag.dropped or 0) + (bag.lost or 0) + (bag.missing_steps or 0) for bag in bags)
    taught = sum(bag.transitions or 0 for bag in bags)
    return (f'{len(bags)} bag{"s" * (len(bags) != 1)}: {counted}; {taught} transitions, '
            f'{seconds / 60.0:.1f} min, {missed} messages dropped, lost or missing')
