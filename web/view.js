/** What the page shows of a search: how far it is, what came of it, and what went wrong. */

import { cardOf, dropCards, foldAll, showCards, shownHits, unfold } from "./cards.js";
import { collectionNamed } from "./collections.js";
import { announce, element, setText } from "./dom.js";
import { showExamples } from "./examples.js";
import { failureWords, outlookOf } from "./failures.js";
import { hideFilters, showFilters, takeOff } from "./filters.js";
import * as form from "./form.js";
import { addressOf, canBeTakenOff, nameOf, placeOf } from "./search.js";
import { number, pictures, quoted, sentence } from "./words.js";

const MILLISECONDS_BETWEEN_WORDS = 4000; // of progress, for those who hear it

const NOTHING = { results: [] }; // an answer

let shownAddress = null; // of the search whose pictures are on the page
let shown = null; // {answer, search} that they are of
let spokenAt = -Infinity;
let sayOutcome = () => {}; // shows again how the search ended, if it did and there is something to say

const show = (name) => { document.documentElement.dataset.view = name; };

export function showIdle() {
  show("idle");
  document.title = "imagesearch";
  form.clearErrors();
  element("notice").hidden = element("progress").hidden = true;
  element("more").hidden = true;
  announce("");
  dropResults();
  showExamples(true);
}

/** Say that the picture of this search is not in this window; *choose* asks for one. */
export function showLostPicture(search, choose) {
  show("search");
  dropResults();
  showFilters(NOTHING, search);
  showHeading("Like a picture");
  element("progress").hidden = element("more").hidden = true;
  showNotice("The picture is not here", "This search is by a picture, which an address cannot hold. Choose it again, drop it here or paste it.", { isCalm: true, again: choose, call: "Choose a picture" });
  announce(noticeText());
}

export function showStart(search) {
  show("search");
  document.title = `${nameOf(search)} · imagesearch`;
  showHeading(nameOf(search), { isRepeated: !search.minus.length });
  form.clearErrors();
  for (const id of ["notice", "summary", "cut", "awaiting", "more"]) element(id).hidden = true;
  hideFilters();
  showExamples(false);
  sayOutcome = () => {};
  fade(addressOf(search) !== shownAddress);
  showProgress({}, search);
  announce(sentence(searching(search)));
}

/** isRepeated: the form says the same, and where room is scarce the heading can go. */
function showHeading(text, { isRepeated = false } = {}) {
  setText("results-heading", text);
  element("results-heading").classList.toggle("repeated", isRepeated);
}

/** The pictures of another search stay, faded, until the new ones come; those of this one are its own. */
function fade(areOfAnotherSearch) {
  element("cards").classList.toggle("old", areOfAnotherSearch);
  element("cards").inert = areOfAnotherSearch;
}

/** Show *answer*; the promise is that of `showCards`. */
export async function showAnswer(answer, search, isOver) {
  element("notice").hidden = true;
  const built = answer.results.length && showResults(answer, search);
  if (isOver) element("progress").hidden = true;
  else showProgress(answer, search);
  await built;
}

function showResults(answer, search) {
  const isFirst = shownAddress !== addressOf(search);
  shownAddress = addressOf(search);
  fade(false);
  element("cut").hidden = !answer.query_truncated;
  setText("awaiting", awaiting(answer, search));
  if (isFirst) foldAll();
  if (isFirst) announce(`The first ${pictures(answer.results.length)} are here.`);
  return showPictures(answer, search);
}

function showPictures(answer, search) {
  shown = { answer, search };
  return showCards(answer.results);
}

// ---------------------------------------------------------------- progress

function showProgress(answer, search) {
  const { pool } = answer;
  const bar = element("progress-bar");
  if (pool?.images) {
    bar.max = pool.images;
    bar.value = pool.embedded + pool.rejected;
  } else {
    bar.removeAttribute("value");
  }
  const text = progressText(answer, search);
  element("progress-label").textContent = text;
  element("progress").hidden = false;
  if (pool) speak(text);
}

function progressText({ pool, keywords }, search) {
  const place = placeOf(search, keywords);
  if (!pool) return `${searching(search)} …`;
  if (pool.state === "requested" || !pool.images) return `Fetching pictures for ${place} …`;
  const verb = pool.state === "embedding" ? "Looking at the pictures for" : "Fetching pictures for";
  return `${verb} ${place} … ${number(pool.embedded)} of ${number(pool.images)} ready`;
}

const searching = (search) => `Searching ${placeOf(search)}`.trim();

/** Have progress spoken, now and then: each poll would be a stammer, and none a long silence. */
function speak(text) {
  if (performance.now() < spokenAt + MILLISECONDS_BETWEEN_WORDS) return;
  spokenAt = performance.now();
  announce(text);
}

/** The number makes it another text each time: the same one would not be spoken again. */
export const sayStillAtWork = (waited) => announce(`Still searching, ${number(waited)} seconds without an answer.`);

// ---------------------------------------------------------------- the end

export function showEnd(answer, search, { seconds, again }) {
  const count = answer.results.length;
  sayOutcome = () => showOutcome(answer, search, again);
  sayOutcome();
  if (!count && (answer.complete || element("cards").inert)) dropResults();
  setText("summary", count ? `${summary(answer, search)} · ${secondsText(seconds)}` : "");
  showFilters(answer, search);
  const words = `${pictures(count && shownHits().length)} found. ${awaiting(answer, search)}`.trim();
  announce(element("notice").hidden ? words : noticeText());
}

function showOutcome(answer, search, again) {
  const isFailed = answer.pool?.state === "failed" && !(answer.complete && answer.results.length);
  element("notice").hidden = true;
  if (isFailed) showNotice(...poolFailed(answer), { again });
  else if (!answer.results.length) showNothing(answer, search);
  else if (answer.matched === false) showNotice("Nothing here shows that.", "The nearest are these.", { isCalm: true });
}

function summary(answer, search) {
  const count = shownHits().length;
  const compared = answer.matching ?? answer.pool?.embedded ?? inCollection(search);
  const text = compared == null ? pictures(count) : `${number(count)} of ${pictures(Math.max(count, compared))}`;
  return `${text} from ${placeOf(search, answer.keywords)}`;
}

/** How many pictures a search of a collection looked through; undefined where that is not known. */
function inCollection({ filters }) {
  const isNarrowed = Object.keys(filters).length > 1;
  return isNarrowed ? undefined : collectionNamed(filters.collection)?.images;
}

/** What a search of everything, or of a collection, may have missed. */
function awaiting(answer, { scope, filters }) {
  const { complete, covered, exhaustive } = answer;
  const collection = collectionNamed(filters.collection);
  if (collection?.updating) return `${pictures(collection.images)} so far, more are on their way.`;
  if (exhaustive === false) {
    const others = Object.keys(filters).length ? "the filters may fit others, too" : "there may be others further down";
    return `Only the nearest of all stored pictures were looked through: ${others}.`;
  }
  if (!scope || complete) return "";
  const share = covered == null ? "the others" : `${Math.floor(100 * covered)} % of all`;
  return `Some stored pictures wait for a new model: ${share} were compared.`;
}

function poolFailed({ pool, results }) {
  const reason = pool.reason ? sentence(pool.reason) : "The server gives no reason.";
  const rest = results.length ? " What was ready by then is shown below." : "";
  return ["The pictures could not all be fetched", reason + rest];
}

function showNothing(answer, search) {
  showNotice(...nothing(answer, search), { isCalm: true });
  showExamples(true);
}

function nothing(answer, search) {
  const { pool, complete, keywords } = answer;
  const { collection } = search.filters;
  if (collection && !collectionNamed(collection)) return [`Nothing of a collection ${quoted(collection)}`, "It may have another name by now, or be gone."];
  if (collectionNamed(collection)?.updating) return ["No pictures yet", awaiting(answer, search)];
  if (inCollection(search) === 0) return ["No pictures", `The folder of ${quoted(collection)} has none that can be read.`];
  if (search.scope && !complete) return ["No pictures yet", awaiting(answer, search)];
  if (Object.keys(search.filters).length) return ["No picture is left", "The filters leave out all of them. Take one off."];
  if (search.scope) return ["Nothing is stored yet", "Search with a keyword first; its pictures are kept."];
  if (pool?.images) return ["No usable picture", `${pictures(pool.images)} came for ${placeOf(search, keywords)}, but none of them could be read.`];
  return [`No pictures for ${placeOf(search, keywords)}`, "Try another keyword: a single, general word finds the most. The details belong in the description."];
}

export function showStopped(search, again) {
  element("progress").hidden = true;
  if (element("cards").inert) dropResults();
  showFiltersOf(search);
  const text = shownHits().length ? "What had come by then is shown." : "Nothing had come by then.";
  sayOutcome = () => showNotice("Stopped", text, { isCalm: true, again, call: "Go on" });
  sayOutcome();
  announce("Stopped.");
}

/** Show the filters of a search that is not at its end: what a person does not see stays in the next one. */
function showFiltersOf(search) {
  showFilters(shownAddress === addressOf(search) ? shown.answer : NOTHING, search);
}

// ---------------------------------------------------------------- more

/** Offer more pictures, which *more* brings; null when there are none. */
export function showMore(more) {
  const button = element("more");
  button.hidden = !more;
  button.disabled = false;
  button.textContent = "Show more";
  button.onclick = more;
}

export function showMoreOnItsWay() {
  element("more").disabled = true;
  element("more").textContent = "Fetching more …";
}

/** Show the longer answer; the focus goes to the first picture that is new. */
export function showLonger(answer, search) {
  sayOutcome = () => { element("notice").hidden = true; };
  sayOutcome();
  if (answer.restarted) foldAll();
  const countBefore = answer.restarted ? 0 : shownHits().length;
  const hadFocus = document.activeElement === document.body || document.activeElement === element("more");
  showPictures(answer, search);
  setText("summary", summary(answer, search));
  setText("awaiting", awaiting(answer, search));
  showFilters(answer, search);
  announce(`${pictures(shownHits().length - countBefore)} more. ${awaiting(answer, search)}`.trim());
  if (hadFocus) element("cards").children[countBefore]?.querySelector(".open").focus({ preventScroll: true });
}

/** Show the hits *similar* beside *leader*, and say how many of its similar pictures they are not. */
export function showUnfolded(leader, similar) {
  const { answer, search } = shown;
  unfold(leader, similar);
  showCards(answer.results);
  sayOutcome(); // an attempt before this one may have failed, and said so in its place
  if (!element("summary").hidden) setText("summary", summary(answer, search));
  cardOf(leader.image_id)?.querySelector(".open").focus();
  const missing = leader.similar.length - similar.length;
  const shownText = `${number(similar.length)} of ${number(leader.similar.length)} similar pictures are shown.`;
  if (missing) showNotice(shownText, "The others are too far down the results.", { isCalm: true });
  announce(missing ? noticeText() : shownText);
}

// ---------------------------------------------------------------- notices

function showNotice(title, text, { again = null, call = "Try again", isCalm = false } = {}) {
  setText("notice-title", title);
  setText("notice-text", text);
  setText("notice-wait", "");
  const button = element("notice-again");
  element("notice").classList.toggle("calm", isCalm);
  element("notice").hidden = false;
  button.textContent = call;
  button.hidden = !again;
  button.onclick = again;
}

const noticeText = () => `${sentence(element("notice-title").textContent)} ${element("notice-text").textContent}`;

/** Say that *failure* is waited out for *left* seconds more; *stop*, given at first, ends that. */
export function showCountdown(failure, left, stop = null) {
  if (stop) {
    element("progress").hidden = true;
    const { title, text } = failureWords(failure);
    showNotice(title, text, { again: stop, call: "Stop" });
    announce(`${title}. Trying again in ${left} seconds.`);
  }
  setText("notice-wait", left ? `Trying again in ${left} s.` : "Trying again …");
}

/** Say that *search* failed; *again* tries it again, where that can help. */
export function showFailure(failure, search, again) {
  const { title, text } = failureWords(failure);
  const { field } = failure.error ?? {};
  element("progress").hidden = true;
  if (element("cards").inert) dropResults();
  showFiltersOf(search);
  if (form.showFailure(field, text)) return;
  showNotice(title, text, wayOn(failure, search, again));
  setText("notice-wait", outlookOf(failure));
  announce(noticeText());
}

function wayOn({ error, isForEver }, search, again) {
  if (!isForEver) return { again };
  const { field } = error;
  return canBeTakenOff(field) ? { again: () => takeOff(search, field), call: "Take it off" } : {};
}

function dropResults() {
  shownAddress = null;
  fade(false);
  for (const id of ["summary", "cut", "awaiting"]) element(id).hidden = true;
  dropCards();
}

/** Bring the focus to the results, unless the person is busy elsewhere. */
export function focusHeading() {
  const active = document.activeElement;
  if (active === document.body || element("search").contains(active)) element("results-heading").focus({ preventScroll: true });
}

const secondsText = (count) => `${Math.max(0.1, count).toFixed(1)} s`;
