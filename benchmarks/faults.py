"""Faults injected into the running graph: what stops the robot, how soon, and what is lost.

The simulated robot (`reach`, 20 Hz, with e-stop, dead-man's handle and limits) runs in real time,
five nodes as processes. A fault hits an episode in its middle, at a random phase; the operator
clears the stops, as a person would, and it goes on. Kinds: `fault_kinds.py: KINDS`.

    survived    afterwards the robot acts again and all nodes run, with nothing more than
                clear_stop; and the nodes told what it was, where it had to be noticed
    lost        a witness listens to the steps that policy_server sends. A transition is two of
                them in a row that can be learned from; it must be in the bags once. `lost` counts
                those that are not there, `twice` the surplus. What was recorded less than 1 s
                before the recorder was killed, or while the disk was full, until the episode that
                it cut has ended, is counted apart, in `window`
    to stop     ms from the instant from which the robot had to stop (the press, the kill, the end
                of a time-out; for an observation that is not good the age limit of the last good
                one) to the first stop action at a subscriber
    untrained   transitions in the bags that the learner has not received when all is quiet
    moved       actions after the first stop action, before a stop was cleared, that were no stop
    outside     actions outside the contract's range, or further from the last one than its rate

Killed, the benchmark goes on where it was when it is started again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
import os
from pathlib import Path
import platform
import sys
import time
from typing import TYPE_CHECKING

from fault_account import account, Log, plan, too_fast, transitions
from namespaces import two_hosts
import numpy as np
from robot_rl.benchmarking import finish, parser_of, verdicts
from robot_rl.bringup import keep_apart
from robot_rl.engine import Failure, run_cells
from robot_rl.errors import EXIT_BAD_INPUT, UserError
from robot_rl.progress import bar, ProgressLine

if TYPE_CHECKING:       # ROS: the table needs none
    from fault_kinds import Kind
    from faulty_graph import FaultyGraph

OWN_MOUNTS = 'ROBOT_RL_OWN_MOUNTS'      # set where disks may be filled
INJECTIONS, FAST_INJECTIONS = 20, 2     # of each kind
SESSION = 40            # injections into one graph
WINDOW = 10**9          # ns before a kill of the recorder that may be lost
PHASE = 0.0, 0.1        # s from the sight of an episode to the fault: two control periods
CUT_PHASE = 0.0, 1.5    # s, before one that cuts the recording: three flushes
TOLD = 10.0             # s in which a fault is to be noticed
TRIES = 5               # of one injection, where something else ends the episode first
ENDS = ('success', 'failure', 'horizon')
STOP_GOAL, WATCHDOG_GOAL = 100.0, 150.0     # ms: a period and 50 ms; silence and half of it
LEAST_INJECTIONS, LEAST_KINDS = 500, 15


def rows(injections: Sequence[dict]) -> list[dict]:
    """Return a row for each kind, in the order of their first injections' names."""
    found = []
    for name in sorted({injection['kind'] for injection in injections}):
        ours = [injection for injection in injections if injection['kind'] == name]
        times = [injection['ms'] for injection in ours if injection['ms'] is not None]
        row = {'fault': name, 'injections': len(ours),
               'survived': sum(injection['survived'] for injection in ours),
               **{cost: sum(injection[cost] for injection in ours)
                  for cost in ('lost', 'window', 'twice', 'moved')},
               'stopped_by': ours[0]['stopped_by'], **_percentiles(times),
               'reasons': dict(Counter(injection['reason'] for injection in ours))}
        found.append(row)
    return found


def _percentiles(times: Sequence[float]) -> dict[str, float | None]:
    if not times:
        return {'p50': None, 'p99': None, 'max': None}
    p50, p99 = np.percentile(times, (50, 99))
    return {'p50': round(float(p50), 1), 'p99': round(float(p99), 1),
            'max': round(float(max(times)), 1)}


def claims(injections: Sequence[dict], sessions: Sequence[dict], full: bool) -> list[dict]:
    """Return what is claimed, and whether it holds; `full`: also of how many injections."""
    def p99(stopped_by: str) -> float:
        times = [TOLD * 1e3 if injection['ms'] is None else injection['ms']     # no stop came
                 for injection in injections if injection['stopped_by'] == stopped_by]
        return round(float(np.percentile(times, 99)), 1) if times else 0.0

    def total(name: str, items: Sequence[dict]) -> int:
        return sum(item[name] for item in items)

    def most(claim: str, value: float, goal: float) -> dict:
        return {'claim': claim, 'value': value, 'goal': goal, 'holds': value <= goal}

    def least(claim: str, value: int, goal: int) -> dict:
        return {'claim': claim, 'value': value, 'goal': goal, 'holds': value >= goal}

    counts = [
        least('injections', len(injections), LEAST_INJECTIONS),
        least('kinds', len({injection['kind'] for injection in injections}), LEAST_KINDS)]
    return counts * full + [
        least('survived', total('survived', injections), len(injections)),
        most('transitions lost beyond the window', total('lost', injections), 0),
        most('transitions recorded twice', total('twice', injections), 0),
        most('transitions not trained on after recovery', total('untrained', sessions), 0),
        most('actions outside limits', total('outside', sessions), 0),
        most('ms to the stop by the gate, p99', p99('gate'), STOP_GOAL),
        most('ms to the stop by the watchdog, p99', p99('watchdog'), WATCHDOG_GOAL)]


def show(result: dict) -> str:
    """Return the table and the claims as text."""
    def cell(value) -> str:
        return f'{"" if value is None else value:>8}'

    names = ('survived', 'lost', 'window', 'twice', 'p50', 'p99', 'max', 'moved')
    lines = [f'{"fault":22}{"injected":>8} ' + ''.join(f'{name:>8}' for name in names)
             + '  reason given']
    for row in result['rows']:
        reasons = ', '.join(f'{reason or "-"} {count}' for reason, count in row['reasons'].items())
        lines.append(f'{row["fault"]:22}{row["injections"]:>8} '
                     + ''.join(cell(row[name]) for name in names) + f'  {reasons}')
    lines += ['', f'p50, p99 and max in ms to the stop; {result["transitions"]} transitions seen; '
              f'{result["repeated"]} injections repeated, as something else ended the episode', '',
              *verdicts(result['claims'])]
    return '\n'.join(lines)


def inject(graph: FaultyGraph, kind: Kind, rng: np.random.Generator) -> dict:
    """Inject a fault until it meets an episode that nothing else ends; return what came of it."""
    for tried in range(TRIES):
        if not graph.recover():
            raise UserError(f'before {kind.name}: the graph does not run')
        time.sleep(rng.uniform(*(CUT_PHASE if kind.cuts_recording else PHASE)))
        found = inject_once(graph, kind)
        if found:
            return {**found, 'repeated': tried}
    raise UserError(f'{kind.name}: something else stopped the robot {TRIES} times: '
                    f'{graph.told(time.time_ns() - 10**10)}')


def inject_once(graph: FaultyGraph, kind: Kind) -> dict | None:
    """Inject a fault; return None where something else ended the episode first."""
    begun, due, problem = time.time_ns(), None, ''

    def reason() -> str | None:
        """Return what was told of the fault, '' where something else ended the episode."""
        for event in graph.told(begun):
            if event.word.startswith(kind.reasons):
                return event.word
            if kind.stopped_by and (event.stop or event.word in ENDS):
                return ''
        return None

    try:
        with kind.fault(graph) as due:
            if kind.reasons:
                graph.operator.until(lambda: reason() is not None, TOLD)
            if kind.stopped_by:
                graph.operator.until(lambda: reason() == '' or graph.first_stop(begun), TOLD)
            due = due() if callable(due) else due
    except UserError as error:
        problem = str(error)
    faulty = time.time_ns()
    runs = graph.recover()
    if not runs:
        problem = f'{problem} {graph.said()}'
    told = (reason() or '') if kind.reasons else ''
    stop = graph.first_stop(begun) if kind.stopped_by else None
    if kind.stopped_by and reason() == '':
        return None
    excused_to = (due or faulty) if kind.cuts_recording else 0
    return {'kind': kind.name, 'stopped_by': kind.stopped_by, 'begun': begun,
            'ended': time.time_ns(), 'reason': told.partition(':')[0], 'problem': problem,
            'runs': runs,
            'survived': bool(runs and not problem and (told or not kind.reasons)
                             and (stop or not kind.stopped_by)),
            'ms': round((stop - due) * 1e-6, 2) if stop else None,
            'moved': graph.moved(stop) if stop else 0,
            'excused': [begun - WINDOW, excused_to] if kind.cuts_recording else None}


def have_two_hosts() -> bool:
    """Tell whether this machine and user can have a second host."""
    try:
        with two_hosts():
            return True
    except OSError:
        return False


@dataclass(frozen=True)
class Session:
    """What is injected into one graph."""

    log: Path
    folder: Path
    kinds: tuple[str, ...]
    done: int               # injections before it
    total: int              # of the whole benchmark


def run_session(session: Session) -> None:
    """Start a graph, inject, and count what it cost."""
    import fault_kinds
    from faulty_graph import FaultyGraph

    line, began = ProgressLine(), time.monotonic()
    folder, kinds = session.folder, [fault_kinds.KINDS[name] for name in session.kinds]
    log = Log(session.log)
    number, injections = log.started, []

    def tell(what: str) -> None:
        done, count = session.done + len(injections), max(1, len(injections))
        pace = (time.monotonic() - began) / count
        line.show(f'{bar(done / session.total)} {done}/{session.total} {what}, '
                  f'{pace * (session.total - done) / 60:.0f} min left')

    disks = [folder / 'bags', folder / 'checkpoints'] * any(kind.needs_mounts for kind in kinds)
    for disk in disks:
        fault_kinds.mount(disk)
    graph = FaultyGraph(folder, number, have_two_hosts(), kinds[0].away)
    try:
        rng = np.random.default_rng([number, len(kinds)])
        for kind in kinds:
            tell(kind.name)
            injections.append({'session': number, **inject(graph, kind, rng)})
            log.write(injections[-1])
            if not injections[-1]['runs']:      # the next ones get a graph that does
                break
        tell('counting')
        end, seen = graph.settle(), graph.around.steps[:]
        log.finish({
            'session': number, 'costs': account(seen, end['bags'], injections),
            'transitions': len(transitions([item.step for item in seen])),
            'untrained': abs(end['recorded'] - end['received']),
            'outside': graph.around.outside + too_fast(seen, graph.contract)}, injections)
    finally:
        graph.close()
        for disk in disks:
            fault_kinds.unmount(disk)
    line.end()


def run(path: Path, kinds: Sequence[Kind], each: int) -> Log:
    """Inject what the log lacks, in sessions, and return it.

    Each session has a process of its own: the middleware looks for network devices only once.
    """
    while True:
        log = Log(path)
        left = plan(kinds, each, Counter(item['kind'] for item in log.injections))
        if not left:
            return log
        chosen = [kind.name for kind in left if kind.away == left[0].away][:SESSION]
        session = Session(path, path.parent / f'session_{log.started:03d}', tuple(chosen),
                          len(log.injections), len(log.injections) + len(left))
        for _, outcome in run_cells(run_session, [session], workers=1):
            if isinstance(outcome, Failure):
                raise UserError(outcome.reason)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0 if every claim holds."""
    keep_apart()
    from fault_kinds import KINDS

    parser = parser_of(__doc__, 'faults', 'two injections of each kind')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, metavar='KIND',
                        help=f'some of: {", ".join(KINDS)}')
    parser.add_argument('--injections', type=int, help='of each kind')
    parser.add_argument('--run-dir', type=Path, default=Path('runs/faults'),
                        help='logs, bags, and what was injected so far: it goes on from there')
    options = parser.parse_args(arguments)
    each = options.injections or (FAST_INJECTIONS if options.fast else INJECTIONS)
    hosts = have_two_hosts()
    kinds = [kind for kind in map(KINDS.get, options.kinds or KINDS)
             if (OWN_MOUNTS in os.environ or not kind.needs_mounts) and (hosts or not kind.away)]
    options.run_dir.mkdir(parents=True, exist_ok=True)
    try:
        log = run(options.run_dir / 'injections.jsonl', kinds, each)
    except UserError as error:
        print(f'error: {error}', file=sys.stderr)
        return EXIT_BAD_INPUT
    result = {
        'benchmark': 'faults', 'cpus': os.cpu_count(), 'rows': rows(log.injections),
        'transitions': sum(session['transitions'] for session in log.sessions),
        'repeated': sum(injection['repeated'] for injection in log.injections),
        'own_hosts': hosts, 'left_out': [name for name in KINDS if KINDS[name] not in kinds],
        'versions': {'python': platform.python_version(), 'numpy': np.__version__},
        'claims': claims(log.injections, log.sessions,
                         not (options.fast or options.kinds or options.injections))}
    print(show(result))
    return finish(parser, options, __file__, result)


def move_to_own_mounts() -> None:
    """Go on in a name space whose mounts are our own, where the system allows it.

    As root without users of our own: those could not come back from a second host.
    """
    for own in (['unshare', '-m'], ['unshare', '-rm']):
        if OWN_MOUNTS not in os.environ and os.system(f'{" ".join(own)} true 2>/dev/null') == 0:
            os.environ[OWN_MOUNTS] = '1'
            os.execvp(own[0], [*own, sys.executable, *sys.argv])


if __name__ == '__main__':
    move_to_own_mounts()
    sys.exit(main())
