"""Publishers in processes of their own, which a test can kill: forked, because starting takes longer than publishing.

It reads tasks, one a line, and answers each with a process id; `{"wait": id}` is answered with what it died of.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

from converter.manifest.publish import GithubOptions
from converter.publish import finished
from converter.publish.github import GitHub, Pace, resolve


class Hurried:
    """A clock on which an hour's limit is over at once."""

    time = staticmethod(time.time)

    @staticmethod
    def sleep(seconds):
        time.sleep(min(seconds, 0.1))


PACE = Pace(between_writes_s=0, first_wait_s=0.01, longest_wait_s=0.1, upload_grace_s=0.05, attempts=12)


def publish(task):
    publisher = GitHub(resolve(GithubOptions(**task["options"]), task["environment"]), pace=PACE, clock=Hurried)
    publisher.publish(finished(Path(task["dist"])), lambda *_: None)


for line in sys.stdin:
    task = json.loads(line)
    if "wait" in task:
        print(os.waitpid(task["wait"], 0)[1], flush=True)
        continue
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    try:
        publish(task)
    except BaseException:
        Path(task["errors"]).write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)
