"""Copy what is readable of interrupted recordings into complete bags beside them."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path
import shutil

from robot_rl.data.bag import BagWriter, is_empty, mcap_files, NOTHING, read_info, RECOVERED
from robot_rl.data.bag_metadata import METADATA_FILE
from robot_rl.data.scan import Channel, Message, Scan
from robot_rl.errors import UserError
from robot_rl.files import sync_folder


@dataclass(frozen=True)
class Recovered:
    """What became of one interrupted recording."""

    original: Path
    folder: Path | None         # the complete copy; None where nothing was readable
    messages: int
    reason: str                 # why the recording ends where it ends
    empty: bool = False         # no message ever reached the disk


def recover(root: Path) -> list[Recovered]:
    """Recover each interrupted bag in a folder that has no recovered twin yet.

    The originals stay as they are. Call it only while nothing records into the folder.
    """
    return [recover_bag(folder) for folder in sorted(root.iterdir())
            if not folder.name.startswith('.') and not folder.name.endswith(RECOVERED)
            and any(folder.glob('*.mcap')) and not (folder / METADATA_FILE).exists()
            and not folder.with_name(folder.name + RECOVERED).exists()]


def recover_bag(original: Path, reason: str = '') -> Recovered:
    """Recover one interrupted bag, to which nobody writes any more; `reason` is why it was cut.

    The copy says so in its custom data: `cut`, and outcome `incomplete` where the recorder did not
    come to write another.
    """
    twin = original.with_name(original.name + RECOVERED)
    unfinished = original.with_name(f'.{twin.name}')
    if unfinished.exists():     # our own half-made copy, from a crash in here
        shutil.rmtree(unfinished)
    try:
        scans = [Scan(path) for path in mcap_files(original)]
        info = read_info(original)
        if not info.message_count and is_empty(mcap_files(original)):
            return Recovered(original, None, 0, NOTHING, empty=True)
        if not info.message_count:
            for _ in scans[0]:
                pass
            return Recovered(original, None, 0, f'no readable message: {scans[0].damage}')
        custom_data = dict(info.custom_data)
        if custom_data.get('outcome') != 'discarded' and 'ended' not in custom_data:
            custom_data['outcome'] = 'incomplete'
        for key in ('sequence', 'transitions'):     # it was never published: it has no number yet
            custom_data.pop(key, None)
        writer = BagWriter(unfinished, custom_data, name=twin.name)
        for scan in scans:
            _copy(scan, writer)
        reason = (reason or scans[-1].damage
                  or f'interrupted before {METADATA_FILE} was written')
        writer.close({**custom_data, 'cut': reason})
        os.rename(unfinished, twin)
        sync_folder(original.parent)
    except (OSError, UserError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        return Recovered(original, None, 0, str(error))
    return Recovered(original, twin, writer.message_count, reason)


def _copy(scan: Scan, writer: BagWriter) -> None:
    ids: dict[Channel, int] = {}
    for item in scan:
        if isinstance(item, Channel) and item not in ids:
            ids[item] = writer.add_topic(item.topic, item.type, item.qos,
                                         (item.definition, item.type_hash))
        elif isinstance(item, Message):
            writer.write(ids[item.channel], item.data, item.log_time, item.publish_time)
