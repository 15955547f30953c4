"""The command `robot_rl`: each file of commands/ is one of its commands."""
# PYTHON_ARGCOMPLETE_OK

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from robot_rl import __version__
from robot_rl.commands import (
    bag, call, check, demo, exporting, importing, new, policy, report, runs, up)
from robot_rl.commands.parsing import listed
from robot_rl.errors import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED, UserError
from robot_rl.terminal import painted, printable

# In this order.
COMMANDS = (demo, new, check, up, call, runs, report, policy, bag, importing, exporting)
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
        return _fail(error, EXIT_BAD_INPUT)
    except BrokenPipeError:         # `| head` has read enough; nothing more may be flushed into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:        # a full disk, a folder that cannot be written
        return _fail(error, EXIT_FAILED)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; what they do is imported when they do it."""
    parser = argparse.ArgumentParser(
        prog='robot_rl', description='Robot learning from two imperfect priors, on ROS 2.',
        epilog=f'{listed("examples", EXAMPLES)}\n\n{listed("exit codes", EXIT_CODES)}',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='version', version=f'robot_rl {__version__}')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for command in COMMANDS:
        command.add(commands)
    return parser


def _fail(error: Exception, code: int) -> int:
    print(painted('error:', 'bad', sys.stderr), printable(str(error)), file=sys.stderr)
    return code


if __name__ == '__main__':
    sys.exit(main())
