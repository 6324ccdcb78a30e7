/** One search, from its first question to its last picture. */

import { answers, ask } from "./api.js";
import { isLast, sleep } from "./client.js";
import { loadCollections } from "./collections.js";
import { notePlace } from "./place.js";
import { MOST, atLeast } from "./search.js";
import * as view from "./view.js";

const SPOKEN_EVERY_SECONDS = 8; // while one answer is waited for: a scorer that starts takes more than one of these
const MOST_PAGES = 5; // of MOST: a search of everything looks at no more

let shown = new AbortController(); // ends when another search takes the place of this one
let running = new AbortController(); // ends with it, and when a person stops what is fetched
let isAtWork = false;
let isStopped = false;

/** End the search that is shown, and all that is fetched for it, without a word. */
export function drop() {
  shown.abort();
  shown = new AbortController();
  rest();
}

/** End what is running, without a word. */
function rest() {
  running.abort();
  running = new AbortController();
  isStopped = isAtWork = false;
}

/** End what is running and begin anew; returns the signal that ends what begins. */
function begin() {
  rest();
  isAtWork = true;
  return running.signal;
}

/** End what is running because a person says so: what is there stays. Returns false when nothing is. */
export function stop() {
  if (!isAtWork) return false;
  isStopped = true;
  isAtWork = false;
  running.abort();
  return true;
}

/**
 * Run *search*; a search already running is dropped.
 *
 * moveFocus: bring the focus to the results; count: pictures that were shown before, and are again;
 * onShown: called when the first pictures are there.
 */
export async function run(search, { moveFocus = false, count = 0, onShown = () => {} } = {}) {
  drop();
  const signal = begin();
  const begun = performance.now(); // a clock that nobody sets
  view.showStart(search);
  const again = () => run(search, { moveFocus: true });
  try {
    const asked = atLeast(count, search);
    const answer = await follow(search, signal, { asked, moveFocus, onShown });
    isAtWork = false;
    view.showEnd(answer, search, { seconds: (performance.now() - begun) / 1000, again });
    offerMore(search, answer, asked);
  } catch (error) {
    if (signal.aborted) return isStopped && view.showStopped(search, again);
    isAtWork = false;
    view.showFailure(error, search, again);
    goOnWhenBack(error, again, signal);
  }
}

/** Have *again* called when the connection is back, whose lack *error* may tell of, unless *signal* ends that. */
function goOnWhenBack(error, again, signal) {
  if (error.kind === "unreached") addEventListener("online", again, { once: true, signal });
}

/** Ask until the answer is whole, as *asked* for *search*; each one is shown. Returns the last. */
async function follow(search, signal, { asked, moveFocus, onShown }) {
  let isShown = false;
  let answer;
  const counted = search.filters.collection && loadCollections(); // how many pictures it has by now
  for await (answer of answers(asked, patiently(signal))) {
    await counted;
    if (signal.aborted) throw signal.reason;
    const isOver = isLast(answer, asked);
    if (isOver) isAtWork = false; // there is nothing left to stop
    await view.showAnswer(answer, search, isOver);
    if (signal.aborted) throw signal.reason;
    if (answer.results.length && !isShown) {
      isShown = true;
      if (moveFocus) view.focusHeading();
      onShown();
    }
  }
  return answer;
}

const offerMore = (search, answer, asked) => view.showMore(answer.next ? () => more(search, answer, asked) : null);

/** Show what comes after *answer*; when the pool was fetched anew meanwhile, that from its beginning. */
async function more(search, answer, asked) {
  const signal = begin();
  const again = () => more(search, answer, asked);
  view.showMoreOnItsWay();
  try {
    const page = await ask(asked, { ...patiently(signal), cursor: answer.next });
    const results = page.restarted ? page.results : [...answer.results, ...page.results];
    const longer = { ...page, results };
    view.showLonger(longer, search);
    notePlace();
    offerMore(search, longer, asked);
  } catch (error) {
    if (signal.aborted && !isStopped) return;
    if (!isStopped) view.showFailure(error, search, again);
    goOnWhenBack(error, again, signal);
    offerMore(search, answer, asked);
  } finally {
    if (!signal.aborted) isAtWork = false;
  }
}

/** Show the pictures that are folded under *leader*, a hit of *search*. */
export async function showSimilar(search, leader) {
  const { signal } = shown; // not of what is running: that may be stopped, or be followed by more
  const again = () => showSimilar(search, leader);
  try {
    view.showUnfolded(leader, await similarTo(leader, search, signal));
  } catch (error) {
    if (signal.aborted) return;
    view.showFailure(error, search, again);
    goOnWhenBack(error, again, signal);
  }
}

/** The hits that *leader* names as similar, as far as they come among the first pages. */
async function similarTo({ similar }, search, signal) {
  const unfoldedSearch = { ...search, fold: "false", k: String(MOST) };
  const hits = new Map();
  let cursor = null;
  for (let page = 0; page < MOST_PAGES && hits.size < similar.length; page++) {
    const answer = await ask(unfoldedSearch, { signal, cursor, retries: 0, during: aloud });
    for (const hit of answer.results) if (similar.includes(hit.image_id)) hits.set(hit.image_id, hit);
    cursor = answer.next;
    if (!cursor) break;
  }
  return [...hits.values()];
}

/** How the client waits: the person hears and sees that it does. */
const patiently = (signal) => ({ signal, during: aloud, pause: countDown });

/** *asking*, and have those who hear the page know that it still waits for the answer. */
async function aloud(asking) {
  let waited = 0;
  const timer = setInterval(() => view.sayStillAtWork(waited += SPOKEN_EVERY_SECONDS), SPOKEN_EVERY_SECONDS * 1000);
  try {
    return await asking;
  } finally {
    clearInterval(timer);
  }
}

async function countDown(failure, signal) {
  if (failure.kind === "unreached") throw failure; // the browser says when the connection is back
  const seconds = Math.max(1, Math.ceil(failure.retrySeconds));
  for (let left = seconds; left > 0; left--) {
    view.showCountdown(failure, left, left === seconds ? stop : null);
    await sleep(1, signal);
  }
  view.showCountdown(failure, 0);
}
