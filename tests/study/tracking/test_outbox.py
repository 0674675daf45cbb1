import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from study.errors import OutboxError
from study.record.epoch import EpochReport
from study.tracking.messages import EpochEnded, RunKey, Tags
from study.tracking.outbox import Outbox


def epoch(trial_id, number):
    return EpochEnded("experiment", RunKey("trial_id", trial_id), EpochReport(number, {}))


def tagged(text):
    return Tags("experiment", RunKey("trial_id", "a"), {"text": text})


def test_messages_come_out_in_order_and_stay_until_dropped(tmp_path):
    outbox = Outbox(tmp_path / "box.sqlite")
    before = time.time() * 1000
    for number in range(5):
        outbox.put(epoch("a", number))
    messages = outbox.first(3)
    assert [posted.message for posted in messages] == [epoch("a", number) for number in range(3)]
    assert outbox.first(3) == messages
    assert before - 1 <= messages[0].sent_at <= time.time() * 1000
    outbox.drop(message.number for message in messages[:2])
    assert [posted.message.report.epoch for posted in outbox.first(10)] == [2, 3, 4]
    assert [posted.message.report.epoch for posted in outbox.first(10, after=messages[2].number)] == [3, 4]
    assert len(outbox) == 3
    outbox.close()


def test_what_was_put_survives_the_process_that_put_it(tmp_path):
    first = Outbox(tmp_path / "box.sqlite")
    first.put(tagged("x"))
    first.close()
    again = Outbox(tmp_path / "box.sqlite")
    again.put(tagged("y"))
    assert [posted.message for posted in again.first(10)] == [tagged("x"), tagged("y")]
    again.close()


def test_threads_may_put_at_once(tmp_path):
    outbox = Outbox(tmp_path / "box.sqlite")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: outbox.put(epoch("a", number)), range(200)))
    assert sorted(posted.message.report.epoch for posted in outbox.first(1000)) == list(range(200))
    outbox.close()


def test_a_rejected_message_is_kept_apart_with_why(tmp_path):
    outbox = Outbox(tmp_path / "box.sqlite")
    outbox.put(tagged("gone"))
    outbox.put(tagged("here"))
    outbox.reject(outbox.first(1)[0], "no such run")
    assert [posted.message for posted in outbox.first(10)] == [tagged("here")]
    outbox.close()
    with closing(sqlite3.connect(tmp_path / "box.sqlite")) as database:
        found = database.execute("SELECT kind, body, reason FROM rejected").fetchall()
    assert found == [("Tags", tagged("gone").to_json(), "no such run")]


def test_an_outbox_is_refilled_as_a_whole_or_not_at_all(tmp_path):
    outbox = Outbox(tmp_path / "box.sqlite")
    outbox.put(tagged("old"))
    outbox.put(tagged("refused"))
    outbox.reject(outbox.first(2)[1], "wrong")

    def refill(fails):
        with outbox.refilled():
            for number in (1, 2):
                outbox.put(epoch("a", number), at=1000 * number)
            if fails:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refill(fails=True)
    assert ([posted.message for posted in outbox.first(10)], outbox.rejected()) == ([tagged("old")], 1)
    refill(fails=False)
    assert [(posted.sent_at, posted.message.report.epoch) for posted in outbox.first(10)] == [(1000, 1), (2000, 2)]
    assert (len(outbox), outbox.rejected()) == (2, 0)
    outbox.close()


def test_a_full_disk_is_told_in_a_line_and_nothing_put_before_is_lost(tmp_path):
    outbox = Outbox(tmp_path / "box.sqlite")
    (pages,) = outbox._database.execute("PRAGMA page_count").fetchone()
    outbox._database.execute(f"PRAGMA max_page_count = {pages + 3}")

    def fill():
        for _ in range(1000):
            outbox.put(tagged(1000 * "x"))

    with pytest.raises(OutboxError, match=r"cannot write .*box.sqlite \(database or disk is full\): free space"):
        fill()
    put = len(outbox)
    assert put > 0
    outbox._database.execute("PRAGMA max_page_count = 1000")
    outbox.put(tagged("the one that failed"))
    assert len(outbox) == put + 1
    outbox.tidy()
    outbox.close()


def test_the_log_is_folded_into_the_file_while_others_have_it_open(tmp_path):
    outbox, other = Outbox(tmp_path / "box.sqlite"), Outbox(tmp_path / "box.sqlite")
    for number in range(100):
        other.put(epoch("a", number))
    outbox.tidy()
    alone = sqlite3.connect(f"file:{tmp_path / 'box.sqlite'}?immutable=1", uri=True)
    assert alone.execute("SELECT count(*) FROM message").fetchone() == (100,)
    alone.close()
    other.close()
    outbox.close()
