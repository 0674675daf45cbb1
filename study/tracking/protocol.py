"""The lines of JSON between the sender and its process."""

from study.record.json_record import JsonRecord, json_record

FINISH = "finish\n"
"""Send what is left, and end."""


@json_record
class Order(JsonRecord):
    """The first line that the process reads.

    outbox: the file to send; artifacts: folder for them where the store is a database
    experiment: looked at before anything is sent, if given
    beside_trials: whether the process leaves the cores to others that want them
    """

    outbox: str
    tracking_uri: str
    artifacts: str
    experiment: str | None
    beside_trials: bool


@json_record
class Progress(JsonRecord):
    """A line that the process writes.

    sent: numbers of messages that have arrived, or were put aside
    refused: why one of them was put aside
    problem: why nothing can be sent at present; None once it can
    unusable: after the look at the experiment: why nothing can ever be sent to it
    """

    sent: tuple[int, ...] = ()
    refused: str | None = None
    problem: str | None = None
    unusable: str | None = None
