"""The command `robot_rl`: each file of commands/ is one of its commands.

Everything is imported where main() handles Ctrl-C: it takes a while, and may be interrupted.
"""
# PYTHON_ARGCOMPLETE_OK

from __future__ import annotations

import os
import sys

COMMANDS = ('demo', 'new', 'check', 'up', 'call', 'runs', 'report', 'policy', 'bag', 'importing',
            'exporting')        # files of commands/, in the order of the help
INTERRUPTED = 130               # as errors.EXIT_INTERRUPTED, which may not be imported yet
EXAMPLES = {
    'robot_rl demo': 'from a simulator to a policy, ends with a report',
    'robot_rl demo-demonstrations': "from a person's recordings to a policy",
    'robot_rl check config/puck_push.yaml': 'check a contract, show its vectors',
    'robot_rl up my_robot.yaml': 'start the graph; status, set and call then speak to it',
    'robot_rl runs': 'what is in runs/, newest first',
    'robot_rl report runs/today': 'plots and figures of what happened',
    'robot_rl policy inspect runs/demo/policy.safetensors': 'what a policy is',
    'robot_rl bag inspect runs/demo/bags': 'how the episodes went',
}
EXIT_CODES = {
    '0': 'done',
    '1': 'a check failed, or the machine refused: a full disk, a read-only folder',
    '2': 'bad input: the command line, a file, a folder',
    '130': 'interrupted by Ctrl-C',
}


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit code, as EXIT_CODES lists them."""
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(argv: list[str] | None) -> int:
    import contextlib

    from robot_rl.errors import EXIT_BAD_INPUT, EXIT_FAILED, refusal, UserError

    parser = build_parser()
    if '_ARGCOMPLETE' in os.environ:        # the shell asks what could come next
        with contextlib.suppress(ImportError):
            import argcomplete

            argcomplete.autocomplete(parser)
    arguments = parser.parse_args(argv)
    try:
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except UserError as error:
        return _fail(str(error), EXIT_BAD_INPUT)
    except BrokenPipeError:         # `| head` has read enough; nothing more may be flushed into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:        # a full disk, a folder that cannot be written
        return _fail(refusal(error), EXIT_FAILED)


def build_parser():
    """Return the ArgumentParser of all commands; what they do is imported when they do it."""
    import argparse
    import importlib

    from robot_rl import __version__
    from robot_rl.commands.parsing import listed

    parser = argparse.ArgumentParser(
        prog='robot_rl', description='Robot learning from two imperfect priors, on ROS 2.',
        epilog=f'{listed("examples", EXAMPLES)}\n\n{listed("exit codes", EXIT_CODES)}',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='version', version=f'robot_rl {__version__}')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for name in COMMANDS:
        importlib.import_module(f'robot_rl.commands.{name}').add(commands)
    return parser


def _fail(error: str, code: int) -> int:
    from robot_rl.terminal import painted, printable

    print(painted('error:', 'bad', sys.stderr), printable(error), file=sys.stderr)
    return code


if __name__ == '__main__':
    sys.exit(main())
