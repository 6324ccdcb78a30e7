/** Asking the query function: what it is sent, and what can come of it. */

import { failureWords } from "./words.js";
import { pictureNamed } from "./pictures.js";
import { questionOf } from "./search.js";

export const FIRST_WAIT_SECONDS = 0.5; // a known keyword answers well within it, a new one shows its progress
const PAUSE_SECONDS = 0.5;
const REQUEST_TIMEOUT_SECONDS = 100; // above the API's longest wait and its patience with a scorer that starts
const KEY = "key"; // in the window's storage, so that it goes with the window
const RETRY_SECONDS = 5; // when an answer worth waiting for does not say
const WORTH_WAITING = new Set([429, 502, 503, 504]);
const FOR_EVER = new Set([400, 405, 413, 422]); // what is asked is wrong, and stays so

let config = { api: "", demo: false, demo_keywords: [] };
let configLoaded = null;
let hasAsked = false; // the page asks by itself, and nothing is early any more
const early = new Map(); // URL -> {reached, cancel} of what it was asked for before its time, for one taker

/**
 * What went wrong, in words for the person; `retrySeconds` is set when waiting may help, and
 * `isForEver` when the same can never succeed.
 */
export class Failure extends Error {
  constructor(title, text, { field = null, retrySeconds = null, isUnreached = false, isForEver = false } = {}) {
    super(title);
    Object.assign(this, { title, text, field, retrySeconds, isUnreached, isForEver });
  }
}

/** The page's settings, from config.json beside it; without one, the API of this origin. */
export const loadConfig = () => (configLoaded ??= readConfig());

async function readConfig() {
  try {
    config = { ...config, ...(await (await fetch("config.json")).json()) };
  } catch {
    console.warn("config.json could not be read; the API of this origin is used");
  }
  return config;
}

/** What the server says of its collections of own pictures; null where it does not. */
export async function askCollections() {
  try {
    const answer = await (await fetch(new URL("collections", apiBase()), withKey({}))).json();
    return Array.isArray(answer.collections) ? answer.collections : null;
  } catch {
    return null;
  }
}

export const apiBase = () => new URL(config.api ? `${config.api.replace(/\/+$/, "")}/` : "./", document.baseURI);

/**
 * Ask *search*; the server may wait *waitSeconds* for its pool. Raises a Failure.
 *
 * cursor: the `next` of an answer to the same search, for what comes after it.
 */
export async function ask(search, waitSeconds, signal, cursor = null) {
  hasAsked = true;
  const params = questionOf(search);
  params.set("wait", waitSeconds);
  if (cursor) params.set("cursor", cursor);
  const [url, options] = request(params, search.picture);
  const { response, body } = await (takeEarly(url, signal) ?? reach(url, options, signal));
  if (signal.aborted) throw unreached();
  return checked(response, parse(body));
}

/** Ask what `ask` will ask first for *search*, before its module is there; returns the hits, [] for none. */
export async function askEarly(search) {
  if (hasAsked) return [];
  const params = questionOf(search);
  params.set("wait", FIRST_WAIT_SECONDS);
  const [url, options] = request(params);
  const controller = new AbortController();
  const reached = reach(url, options, controller.signal);
  early.set(url.href, { reached, cancel: () => controller.abort() });
  return reached.then(({ body }) => parse(body)?.results ?? [], () => []); // who asks again says what failed
}

/** What was asked early of the URL, or undefined; *signal* ends that, too. */
function takeEarly({ href }, signal) {
  const begun = early.get(href);
  early.delete(href);
  if (!begun) return undefined;
  signal.addEventListener("abort", begun.cancel);
  return afterThisTask().then(() => begun.reached); // the page answers to the person in between
}

const afterThisTask = () => new Promise((resolve) => setTimeout(resolve));

/** Where to ask and how: a picture takes a form, all else an address. */
function request(params, pictureName) {
  const url = new URL("search", apiBase());
  if (!pictureName) {
    url.search = params;
    return [url, {}];
  }
  const form = new FormData();
  for (const [name, value] of params) form.append(name, value);
  form.append("picture", pictureNamed(pictureName).blob, "picture");
  return [url, { method: "POST", body: form }];
}

function checked(response, answer) {
  const hasResults = response.status === 200 && Array.isArray(answer?.results);
  const isOnItsWay = response.status === 202 && answer?.pool;
  if (!hasResults && !isOnItsWay) throw failureOf(response, answer);
  return { results: [], complete: false, ...answer, pauseSeconds: retryAfter(response) ?? PAUSE_SECONDS };
}

/** Fetch *url* with *options*; *signal* ends it, and so does the time limit. */
/** The answer to what is asked with the key that a person gave; one that is missing or wrong is asked for. */
async function reach(url, options, signal) {
  const answer = await reachOnce(url, options, signal);
  if (answer.response.status !== 401) return answer;
  const key = prompt("This server asks for a key:")?.trim();
  if (!key) return answer;
  sessionStorage.setItem(KEY, key);
  return reachOnce(url, options, signal);
}

function withKey(options) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...options, headers: { "X-API-Key": key } } : options;
}

async function reachOnce(url, options, signal) {
  // One controller for both: `AbortSignal.any` is younger than browsers that are still in use.
  const controller = new AbortController();
  const cancel = () => controller.abort();
  let isLate = false;
  const timer = setTimeout(() => { isLate = true; cancel(); }, REQUEST_TIMEOUT_SECONDS * 1000);
  signal.addEventListener("abort", cancel);
  if (signal.aborted) cancel();
  try {
    const response = await fetch(url, { ...withKey(options), signal: controller.signal });
    return { response, body: await response.text() };
  } catch {
    throw isLate ? tooLate() : unreached();
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
  }
}

const tooLate = () => new Failure("No answer from the server", `It was silent for ${REQUEST_TIMEOUT_SECONDS} seconds.`);

function unreached() {
  const text = navigator.onLine
    ? "Check your network, or whether the server is running."
    : "You are offline. The search goes on when the connection is back.";
  return new Failure("No connection to the server", text, { isUnreached: true });
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
  const { status } = response;
  const error = answer?.error ?? {};
  const { title, text } = failureWords(status, error);
  const retrySeconds = WORTH_WAITING.has(status) ? retryAfter(response) ?? RETRY_SECONDS : null;
  return new Failure(title, text, { field: error.field, retrySeconds, isForEver: FOR_EVER.has(status) });
}
