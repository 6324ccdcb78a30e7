"""Each service of the cloud edition is asked to end in the middle of its work: SIGTERM."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from imagesearch.doors.wsgi import KILLED_SECONDS
from imagesearch.local.emulated.processes import Child
from tests.e2e.cloud_counts import EMBEDDED_IMAGES, HELD_IMAGES, POOL_SIZE, FaultyCloud, eventually

END_SECONDS = 60.0
REDELIVERY_SECONDS = 3.0


def ended(child: Child) -> float:
    """Return the seconds until *child*, which was sent SIGTERM, has ended by itself."""
    began = time.monotonic()
    assert child.process is not None
    status = child.process.wait(END_SECONDS)
    # uvicorn raises the signal that it has handled again when all is done.
    assert status in (0, -signal.SIGTERM), child.last_words()
    return time.monotonic() - began


def in_hand(faulty: FaultyCloud, name: str) -> None:
    """Return when the service has read what was sent to it before."""
    for _ in range(3):
        assert requests.get(f"{faulty.child(name).url}/alive", timeout=20).status_code == 200


def test_query_asked_to_end_answers_the_searches_that_it_has(faulty: FaultyCloud) -> None:
    keyword, query = "giraffe", faulty.child("query")
    with ThreadPoolExecutor(4) as callers:
        faulty.gallery.hold_after(POOL_SIZE - HELD_IMAGES)
        try:
            waiting = [callers.submit(faulty.search, keyword, wait=25, k=200) for _ in range(4)]
            eventually("it has begun", lambda: faulty.embedded(keyword) >= EMBEDDED_IMAGES)
            in_hand(faulty, "query")
            before = faulty.counts(keyword)
            query.terminate()
            seconds = ended(query)
            answers = [one.result() for one in waiting]
        finally:
            faulty.gallery.release()
    assert [one.status_code for one in answers] == [200] * 4
    assert not any(one.json()["complete"] for one in answers)
    assert seconds < KILLED_SECONDS
    faulty.stack.restart("query")
    faulty.assert_whole(keyword)
    row = f"4 answers from what was embedded; ended after {seconds:.1f} s"
    faulty.record("SIGTERM to query amid 4 searches of an unfinished pool", before, row)


def test_fetch_asked_to_end_finishes_its_job(faulty: FaultyCloud) -> None:
    keyword, fetch = "bear", faulty.child("fetch")
    faulty.begin(keyword)
    before = faulty.counts(keyword)
    fetch.terminate()
    faulty.gallery.release()
    eventually("the job is done", lambda: faulty.units("FetchJob", keyword))
    seconds = ended(fetch)
    assert seconds < KILLED_SECONDS
    faulty.stack.restart("fetch")
    faulty.assert_whole(keyword)
    time.sleep(REDELIVERY_SECONDS)  # had it not been acked, it would come again
    (job,) = faulty.units("FetchJob", keyword)
    assert (job["outcome"], job["status"], job["stored"]) == ("fetched", 204, POOL_SIZE)
    row = f"{faulty.counts(keyword)}; ended {seconds:.1f} s after it"
    faulty.record("SIGTERM to fetch amid its downloads", before, row)


def test_inference_asked_to_end_finishes_what_it_has(faulty: FaultyCloud) -> None:
    keyword, inference = "horse", faulty.child("inference")
    faulty.begin(keyword)
    before = faulty.counts(keyword)
    faulty.child("firestore").pause()  # a score has to wait for it
    try:
        with ThreadPoolExecutor(1) as callers:
            score = callers.submit(scored, faulty, keyword)
            in_hand(faulty, "inference")
            time.sleep(0.5)  # the request is at Firestore by now
            inference.terminate()
            time.sleep(0.5)
            assert not score.done()
            faulty.child("firestore").resume()
            answer = score.result()
    finally:
        faulty.child("firestore").resume()
    seconds = ended(inference)
    assert "Finished server process" in inference.log
    assert answer.status_code == 200
    assert answer.json()["embedded"] >= 24
    assert seconds < KILLED_SECONDS
    with faulty.resting():
        faulty.gallery.release()
        faulty.stack.restart("inference")
    faulty.assert_whole(keyword)
    row = f"200 with {answer.json()['embedded']} images, ended {seconds:.1f} s after it"
    faulty.record("SIGTERM to inference amid a score", before, f"{row}; {faulty.counts(keyword)}")


def scored(faulty: FaultyCloud, keyword: str) -> requests.Response:
    asked = {"pool_id": faulty.key(keyword).pool_id, "generation": 1, "query": "x", "top_k": 200}
    return requests.post(f"{faulty.child('inference').url}/score", json=asked, timeout=60)
