/**
 * The search page: asks the query function what the form or the address says, and shows the answer.
 *
 * The markup lives in index.html and the looks in style.css; config.json names the API and says
 * whether this is the demo. Every text of the server enters the page through textContent.
 */

const FIRST_WAIT_SECONDS = 0.5; // a known keyword answers well within it, a new one shows its progress
const NEXT_WAIT_SECONDS = 0.25; // a longer one would keep the first images back until it ends
const PAUSE_SECONDS = 0.5;
const REQUEST_TIMEOUT_SECONDS = 100; // above the API's longest wait and its patience with a scorer that starts
const GIVE_UP_SECONDS = 300;
const RETRY_SECONDS = 5; // when an answer worth waiting for does not say
const LONGEST_COUNTDOWN_SECONDS = 120;
const RETRIES = 3;

const EXAMPLES = [
  { t: "circle", s_query: "a red circle on a blue background" },
  { t: "night", s_query: "three yellow stars" },
  { t: "butterfly", s_query: "a pink butterfly in a meadow" },
  { t: "sea", s_query: "two orange fish" },
];

const element = (id) => document.getElementById(id);
const form = element("search");
const fields = { t: element("keyword"), s_query: element("query"), k: element("count") };
const everything = element("everything");
const cards = new Map(); // image_id -> <li>, so that a picture that stays is not built again

let config = { api: "", demo: false, demo_keywords: [] };
let running = new AbortController();
let shownAddress = null; // of the search whose pictures are on the page

// ---------------------------------------------------------------- asking the API

/** What went wrong, in words for the person; `retrySeconds` is set when waiting may help. */
class Failure extends Error {
  constructor(title, text, { field = null, retrySeconds = null } = {}) {
    super(title);
    Object.assign(this, { title, text, field, retrySeconds });
  }
}

const FAILURES = {
  400: ["This search was not accepted", "Change it and send it again."],
  404: ["The search was not found", "Nothing answers at the address that config.json gives."],
  413: ["That is too much text", "Shorten the keyword or the description."],
  422: ["The server could not read this search", "Change it and send it again."],
  429: ["Too many searches just now", "The server asks for a short break."],
  500: ["Something broke on the server", "Your search is fine. Try it again in a moment."],
  502: ["The search is not available right now", "The server is starting or too busy."],
  503: ["The search is not available right now", "The server is starting or too busy."],
  504: ["The search took too long", "The server gave up waiting. A second try is often faster."],
};
const WORTH_WAITING = new Set([429, 502, 503, 504]);

const apiBase = () => new URL(config.api ? `${config.api.replace(/\/+$/, "")}/` : "./", document.baseURI);

function searchUrl(search, waitSeconds) {
  const url = new URL("search", apiBase());
  url.search = new URLSearchParams({ ...search, wait: waitSeconds });
  return url;
}

/** Fetch *url*; *signal* ends it, and so does the time limit. */
async function reach(url, signal) {
  // One controller for both: `AbortSignal.any` is younger than browsers that are still in use.
  const request = new AbortController();
  const cancel = () => request.abort();
  let isLate = false;
  const timer = setTimeout(() => { isLate = true; cancel(); }, REQUEST_TIMEOUT_SECONDS * 1000);
  signal.addEventListener("abort", cancel);
  if (signal.aborted) cancel();
  try {
    const response = await fetch(url, { signal: request.signal });
    return { response, body: await response.text() };
  } catch (error) {
    if (isLate) throw new Failure("No answer from the server", `It was silent for ${REQUEST_TIMEOUT_SECONDS} seconds.`);
    throw new Failure("No connection to the server", "Check your network, or whether the server is running.");
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
  }
}

/** Seconds of a Retry-After header (seconds or a date), or null. */
function retryAfter(response) {
  const value = response.headers.get("Retry-After");
  if (value === null) return null;
  const seconds = Number.isNaN(Number(value)) ? (Date.parse(value) - Date.now()) / 1000 : Number(value);
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null;
}

function parse(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

function failureOf(response, answer) {
  const status = response.status;
  const [title, text] = FAILURES[status] ?? (status >= 500 ? FAILURES[500] : [
    "The server's answer makes no sense",
    `Something that is not a search answer came back (HTTP ${status}).`,
  ]);
  const error = answer?.error ?? {};
  const retrySeconds = WORTH_WAITING.has(status) ? retryAfter(response) ?? RETRY_SECONDS : null;
  return new Failure(title, wordsOf(error) ?? text, { field: error.field, retrySeconds });
}

/** The server's own words: as they are beside a field, whose name they begin with. */
function wordsOf({ message, field }) {
  if (typeof message !== "string" || !message) return null;
  return field in fields ? message : sentence(message);
}

async function ask(search, waitSeconds, signal) {
  const { response, body } = await reach(searchUrl(search, waitSeconds), signal);
  const answer = parse(body);
  const found = response.status === 200 && Array.isArray(answer?.results);
  const waiting = response.status === 202 && answer?.pool;
  if (!found && !waiting) throw failureOf(response, answer);
  return { results: [], complete: false, ...answer, pauseSeconds: retryAfter(response) ?? PAUSE_SECONDS };
}

async function askPatiently(search, waitSeconds, signal) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask(search, waitSeconds, signal);
    } catch (failure) {
      const short = failure.retrySeconds !== null && failure.retrySeconds <= LONGEST_COUNTDOWN_SECONDS;
      if (!short || attempt === RETRIES) throw failure;
      await countDown(failure, signal);
    }
  }
}

// ---------------------------------------------------------------- one search, from start to end

/** Run *search* ({t, s_query, k} or {scope, s_query, k}); a search already running is dropped. */
async function run(search, { moveFocus }) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  showStart(search);
  try {
    await follow(search, signal, moveFocus);
  } catch (error) {
    if (!signal.aborted) showFailure(error, search);
  }
}

async function follow(search, signal, moveFocus) {
  const deadline = performance.now() + GIVE_UP_SECONDS * 1000; // a clock that nobody sets
  let wait = FIRST_WAIT_SECONDS;
  let answer;
  do {
    answer = await askPatiently(search, wait, signal);
    showAnswer(answer, search);
    if (moveFocus && answer.results.length) moveFocus = focusHeading();
    if (isOver(answer, search)) return showEnd(answer, search);
    await sleep(answer.pauseSeconds, signal);
    wait = NEXT_WAIT_SECONDS;
  } while (performance.now() < deadline);
  throw new Failure("Still not finished", `After ${GIVE_UP_SECONDS / 60} minutes some images are not ready. Try again to go on from here.`);
}

/** A search of everything is: what awaits a new model does so until a person searches its keyword. */
const isOver = (answer, search) => Boolean(search.scope) || answer.complete || answer.pool?.state === "failed";

function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

async function countDown(failure, signal) {
  const seconds = Math.max(1, Math.ceil(failure.retrySeconds));
  element("progress").hidden = true;
  showNotice(failure.title, failure.text);
  announce(`${failure.title}. Trying again in ${seconds} seconds.`);
  for (let left = seconds; left > 0; left--) {
    setText("notice-wait", `Trying again in ${left} s.`);
    await sleep(1, signal);
  }
  setText("notice-wait", "Trying again …");
}

// ---------------------------------------------------------------- showing

const announce = (text) => { element("status").textContent = text; };
const quoted = (text) => `“${text}”`;
const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`).replace(/^\S/, (first) => first.toUpperCase());
const whole = new Intl.NumberFormat("en");
const oneDigit = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const place = (search) => (search.scope ? "everything stored so far" : quoted(search.t));

function setText(id, text) {
  element(id).textContent = text;
  element(id).hidden = !text;
}

function showNotice(title, text, { again = null, calm = false } = {}) {
  setText("notice-title", title);
  setText("notice-text", text);
  setText("notice-wait", "");
  element("notice").classList.toggle("calm", calm);
  element("notice").hidden = false;
  element("notice-again").hidden = !again;
  element("notice-again").onclick = again;
}

function showStart(search) {
  document.body.dataset.view = "search";
  document.title = `${search.s_query} · imagesearch`;
  clearErrors();
  element("notice").hidden = true;
  element("examples").hidden = true;
  fadeResults(addressOf(search) !== shownAddress);
  showProgress(null, search);
  announce(`Searching ${place(search)}.`);
}

/** The pictures of another search stay, faded, until the new ones come; those of this one are its own. */
function fadeResults(areOfAnotherSearch) {
  element("results").classList.toggle("old", areOfAnotherSearch);
  element("results").inert = areOfAnotherSearch;
}

function showAnswer(answer, search) {
  element("notice").hidden = true;
  if (answer.results.length) showResults(answer, search);
  else if (element("results").inert) element("results").hidden = true;
  if (isOver(answer, search)) element("progress").hidden = true;
  else showProgress(answer.pool, search);
}

function progressText(pool, search) {
  if (!pool) return `Searching ${place(search)} …`;
  if (pool.state === "requested" || !pool.images) return `Fetching images for ${place(search)} …`;
  const verb = pool.state === "embedding" ? "Looking at the images for" : "Fetching images for";
  return `${verb} ${place(search)} … ${whole.format(pool.embedded)} of ${whole.format(pool.images)} ready`;
}

function showProgress(pool, search) {
  const bar = element("progress-bar");
  if (pool?.images) {
    bar.max = pool.images;
    bar.value = pool.embedded + pool.rejected;
  } else {
    bar.removeAttribute("value");
  }
  element("progress-label").textContent = progressText(pool, search);
  element("progress").hidden = false;
}

function showResults(answer, search) {
  const section = element("results");
  if (shownAddress !== addressOf(search)) announce(`The first ${answer.results.length} pictures are here.`);
  shownAddress = addressOf(search);
  fadeResults(false);
  section.hidden = false;
  element("results-heading").textContent = quoted(search.s_query);
  element("cut").hidden = !answer.query_truncated;
  setText("awaiting", awaiting(answer, search));
  showSummary(answer, search);
  showCards(answer);
}

function showSummary(answer, search) {
  const shown = whole.format(answer.results.length);
  const { pool, timings } = answer;
  const compared = pool ? `${shown} of ${whole.format(pool.embedded)} images` : `${shown} images`;
  const soFar = isOver(answer, search) ? "" : " so far";
  const time = timings ? `, ${duration(timings.total_seconds)}` : "";
  setText("summary", `${compared} from ${place(search)}${soFar}${time}`);
}

function awaiting({ complete }, { scope }) {
  return scope && !complete ? "Some stored pictures wait for a new model and were not compared: it looks at them when their keyword is searched." : "";
}

function duration(seconds) {
  return seconds < 1 ? `${Math.max(1, Math.round(seconds * 1000))} ms` : `${oneDigit.format(seconds)} s`;
}

function showEnd(answer, search) {
  const again = () => run(search, { moveFocus: true });
  const answered = answer.complete && answer.results.length;
  if (answer.pool?.state === "failed" && !answered) {
    const reason = answer.pool.reason ? sentence(answer.pool.reason) : "The server gives no reason.";
    const rest = answer.results.length ? " What was ready by then is shown below." : "";
    showNotice("The images could not all be fetched", reason + rest, { again });
  } else if (!answer.results.length) {
    showNotice(...nothingFound(answer, search), { calm: true });
    showExamples();
  }
  if (!answer.results.length && (answer.complete || element("results").inert)) dropResults();
  const found = `${answer.results.length} pictures found. ${awaiting(answer, search)}`.trim();
  announce(element("notice").hidden ? found : noticeText());
}

const noticeText = () => `${element("notice-title").textContent}. ${element("notice-text").textContent}`;

function nothingFound({ pool, complete }, search) {
  if (search.scope && !complete) return ["No pictures yet", awaiting({ complete }, search)];
  if (search.scope) return ["Nothing is stored yet", "Search with a keyword first; its images are kept."];
  if (pool?.images) return ["No usable picture", `${whole.format(pool.images)} images came for ${quoted(search.t)}, but none of them could be read.`];
  return [`No pictures for ${quoted(search.t)}`, "Try another keyword: a single, general word finds the most. The details belong in the description."];
}

function showFailure(error, search) {
  const failure = error instanceof Failure ? error : new Failure("Something broke on this page", String(error));
  element("progress").hidden = true;
  if (element("results").inert) dropResults();
  if (failure.field in fields) return showFieldError(fields[failure.field], failure.text);
  showNotice(failure.title, failure.text, { again: () => run(search, { moveFocus: true }) });
  if (failure.retrySeconds !== null) setText("notice-wait", comeBack(failure.retrySeconds));
  announce(noticeText());
}

function comeBack(seconds) {
  const minutes = Math.round(seconds / 60);
  return seconds > LONGEST_COUNTDOWN_SECONDS ? `Come back in about ${minutes} minutes.` : `It still fails after ${RETRIES + 1} tries.`;
}

function dropResults() {
  shownAddress = null;
  element("results").hidden = true;
  element("cards").replaceChildren();
  cards.clear();
}

function focusHeading() {
  const active = document.activeElement;
  if (active === document.body || form.contains(active)) element("results-heading").focus();
  return false;
}

// ---------------------------------------------------------------- cards

/** Put the cards in order; those already there move, so no picture is loaded twice. */
function showCards(answer) {
  const list = element("cards");
  const focused = document.activeElement;
  const best = answer.results[0].relevance;
  const items = answer.results.map((hit, i) => card(hit, i + 1, answer.top_scores?.[i], best));
  items.forEach((item, i) => list.children[i] !== item && list.insertBefore(item, list.children[i] ?? null));
  while (list.children.length > items.length) list.lastChild.remove();
  for (const [id, item] of cards) if (!item.isConnected) cards.delete(id);
  if (list.contains(focused)) focused.focus({ preventScroll: true });
}

function card(hit, rank, logit, best) {
  const item = cards.get(hit.image_id) ?? newCard(hit);
  cards.set(hit.image_id, item);
  const number = oneDigit.format(logit ?? 100 * hit.score);
  const share = hit.relevance == null ? "" : `, ${percent(hit.relevance)} of the relevance of all pictures compared`;
  const score = item.querySelector(".score");
  score.title = `Cosine ${hit.score.toFixed(3)}${share}`;
  score.querySelector(".rank").textContent = rank;
  score.querySelector(".number").textContent = number;
  score.querySelector(".bar").hidden = hit.relevance == null;
  score.querySelector(".bar").style.setProperty("--share", hit.relevance / best || 0);
  return item;
}

function percent(share) {
  return share < 0.001 ? "under 0.1 %" : `${oneDigit.format(100 * share)} %`;
}

function build(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function newCard(hit) {
  const caption = build("div", { className: "caption" }, scoreLine(), creditLine(hit));
  const item = build("li", { className: "card" }, frame(hit), caption);
  const [width, height] = sizeOf(hit);
  item.style.setProperty("--ratio", Math.min(2.4, Math.max(0.6, width / height)));
  return item;
}

/** Width and height in pixels; a common shape when the answer lacks them. */
const sizeOf = ({ width, height }) => (width > 0 && height > 0 ? [width, height] : [640, 427]);

function scoreLine() {
  const hidden = (text) => build("span", { className: "visually-hidden", textContent: text });
  return build("p", { className: "score" },
    hidden("Rank "), build("span", { className: "rank" }),
    build("span", { className: "bar" }),
    hidden(" score "), build("span", { className: "number" }));
}

/** The URL as text when it is http(s), else null: a javascript: link must never be made. */
function safeUrl(value) {
  if (typeof value !== "string" || !value) return null;
  try {
    const url = new URL(value, apiBase());
    return /^https?:$/.test(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function link(url, properties, ...children) {
  return url ? build("a", { href: url, target: "_blank", rel: "noopener", ...properties }, ...children) : build("span", {}, ...children);
}

/** The picture; the credit below holds the link for the keyboard, so this one is only for pointers. */
function frame(hit) {
  const [width, height] = sizeOf(hit);
  const alt = hit.tags?.length ? hit.tags.join(", ") : "Picture without a description";
  const image = build("img", { alt, width, height, loading: "lazy", decoding: "async" });
  const holder = build("div", { className: "frame" }, link(safeUrl(hit.page_url), { tabIndex: -1 }, image));
  image.addEventListener("load", () => image.classList.add("loaded"));
  image.addEventListener("error", () => image.replaceWith(missing(alt)));
  const url = safeUrl(hit.url);
  if (url) image.src = url;
  else image.replaceWith(missing(alt));
  return holder;
}

function missing(alt) {
  return build("span", { className: "missing", role: "img", ariaLabel: `${alt} (not available)` }, "Picture not available");
}

function creditLine(hit) {
  const { user, source } = hit.credit ?? {};
  const by = user ? `Picture by ${user}` : "Picture";
  const credit = source ? `${by} on ${source}` : by;
  return build("p", { className: "credit" }, link(safeUrl(hit.page_url), {}, credit));
}

// ---------------------------------------------------------------- form, address, history

function showFieldError(input, text) {
  input.setAttribute("aria-invalid", "true");
  setText(`${input.id}-error`, text);
  if (input.disabled) return announce(text);
  input.focus();
}

function clearError(input) {
  input.removeAttribute("aria-invalid");
  setText(`${input.id}-error`, "");
}

const clearErrors = () => Object.values(fields).forEach(clearError);

function complaint(input) {
  if (input === fields.t) return `Type a keyword, such as ${quoted(input.placeholder)}.`;
  if (input === fields.s_query) return "Describe what should be in the picture.";
  return "Type a whole number from 1 to 200.";
}

function searchOfForm() {
  const what = everything.checked ? { scope: "catalog" } : { t: fields.t.value.trim() };
  return { ...what, s_query: fields.s_query.value.trim(), k: fields.k.value };
}

/** The search of the address, as it stands there (the API judges it), or null when it is not one. */
function searchOfAddress() {
  const given = new URLSearchParams(location.search);
  const all = given.get("scope") === "catalog";
  const search = all ? { scope: "catalog" } : { t: given.get("t")?.trim() };
  Object.assign(search, { s_query: given.get("s_query")?.trim(), k: given.get("k") ?? "10" });
  return (all || search.t) && search.s_query ? search : null;
}

function fillForm() {
  const given = new URLSearchParams(location.search);
  fields.t.value = given.get("t") ?? "";
  fields.s_query.value = given.get("s_query") ?? "";
  fields.k.value = given.get("k") ?? "10";
  everything.checked = given.get("scope") === "catalog";
  syncScope();
}

function syncScope() {
  fields.t.disabled = everything.checked;
  if (everything.checked) clearError(fields.t);
}

const addressOf = (search) => `?${new URLSearchParams(search)}`;

function go(search) {
  const address = addressOf(search);
  if (address !== location.search) history.pushState(null, "", address);
  run(search, { moveFocus: true });
}

function showIdle() {
  running.abort();
  document.body.dataset.view = "idle";
  document.title = "imagesearch";
  for (const id of ["notice", "progress"]) element(id).hidden = true;
  clearErrors();
  dropResults();
  showExamples();
}

function readAddress({ moveFocus = false } = {}) {
  fillForm();
  const search = searchOfAddress();
  if (search) return run(search, { moveFocus });
  showIdle();
  if (fields.t.value || fields.s_query.value) form.checkValidity(); // half a search: say what lacks
}

// ---------------------------------------------------------------- demo

function exampleLink(search) {
  const anchor = build("a", { href: addressOf({ ...search, k: 10 }) },
    build("b", { textContent: search.t }), ` ${search.s_query}`);
  return build("li", {}, anchor);
}

function keywordButton(keyword) {
  const button = build("button", { type: "button", textContent: keyword });
  button.addEventListener("click", () => {
    everything.checked = false;
    syncScope();
    fields.t.value = keyword;
    clearError(fields.t);
    fields.s_query.focus();
  });
  return build("li", {}, button);
}

function showExamples() {
  element("examples").hidden = !config.demo;
}

function setUpDemo() {
  element("demo").hidden = !config.demo;
  if (!config.demo) return;
  const known = new Set(config.demo_keywords);
  element("example-list").replaceChildren(...EXAMPLES.filter(({ t }) => known.has(t)).map(exampleLink));
  element("keyword-list").replaceChildren(...config.demo_keywords.map(keywordButton));
  fields.t.placeholder = EXAMPLES[0].t;
  fields.s_query.placeholder = EXAMPLES[0].s_query;
  element("source").textContent = "Pictures are drawn on this machine; CLIP compares each one with your words.";
}

// ---------------------------------------------------------------- start

async function loadConfig() {
  try {
    config = { ...config, ...(await (await fetch("config.json")).json()) };
  } catch {
    console.warn("config.json could not be read; the API of this origin is used");
  }
}

const plainClick = (event) => event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);

/** Links that stay on this page change the address without loading the page again. */
function followInside(event) {
  const anchor = event.target.closest("#home, #example-list a");
  if (!anchor || !plainClick(event)) return;
  event.preventDefault();
  if (anchor.href !== location.href) history.pushState(null, "", anchor.href);
  readAddress({ moveFocus: true });
}

function listen() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(searchOfForm());
  });
  // The browser finds what is wrong; we say it beside the field, where it stays readable.
  form.addEventListener("invalid", (event) => {
    event.preventDefault();
    showFieldError(event.target, complaint(event.target));
    form.querySelector(":invalid").focus();
  }, true);
  form.addEventListener("input", (event) => clearError(event.target === everything ? fields.t : event.target));
  everything.addEventListener("change", syncScope);
  document.addEventListener("click", followInside);
  addEventListener("popstate", () => readAddress());
}

await loadConfig();
setUpDemo();
listen();
readAddress();
