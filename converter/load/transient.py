"""A failure that a second attempt may cure; download.py catches it, no user ever sees it."""


class TransientError(Exception):
    """What happened, in words without credentials; `retry_after_s` is the server's own wish."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
