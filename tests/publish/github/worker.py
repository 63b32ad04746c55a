"""A publisher in a process of its own, which a test can kill: it says `ready`, waits for its task, and publishes."""

import json
import sys
import time
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


print("ready", flush=True)
task = json.loads(sys.stdin.readline())
pace = Pace(between_writes_s=0, first_wait_s=0.01, longest_wait_s=0.1, upload_grace_s=0.05, attempts=12)
publisher = GitHub(resolve(GithubOptions(**task["options"]), task["environment"]), pace=pace, clock=Hurried)
publisher.publish(finished(Path(task["dist"])), lambda *_: None)
