/** The page's client of the API: where config.json says it is, with the key that a person gave. */

import { Client } from "./client.js";
import { pictureNamed } from "./pictures.js";
import { questionOf } from "./search.js";

const KEY = "key"; // in the window's storage, so that it goes with the window

let config = { api: "", demo: false, demo_keywords: [] };
let configLoaded = null;
let client = null;
let hasAsked = false; // the page asks by itself, and nothing is early any more
let tellOfKey = () => {};
const early = new Map(); // URL -> {fetched, cancel} of what it was asked for before its time, for one taker

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

export const apiBase = () => new URL(config.api ? `${config.api.replace(/\/+$/, "")}/` : "./", document.baseURI);

/** The client, once `loadConfig` is done. */
const api = () => (client ??= new Client(apiBase(), { apiKey: sessionStorage.getItem(KEY) ?? "", askForKey: anotherKey, fetch: fetchOnce }));

/** What the API is asked of *search*, as `Client` takes it. */
function asked(search) {
  const picture = search.picture && pictureNamed(search.picture).blob;
  return { ...questionOf(search), picture };
}

/** Each answer to *search* until the whole one, as `Client.answers` has them. */
export const answers = (search, options) => api().answers(asked(search), options);

/** What there is of *search* now, as `Client.ask` has it. */
export const ask = (search, options) => api().ask(asked(search), options);

/** What the server says of its collections of own pictures; null where it does not. */
export async function askCollections() {
  try {
    return await api().collections({ retries: 0 }); // what is asked for must not wait for it
  } catch {
    return null;
  }
}

/** Have *listener* called each time that a person has given a key. */
export function onKey(listener) {
  tellOfKey = listener;
}

async function anotherKey() {
  const { askForKey } = await import("./key.js"); // few servers want one
  const key = await askForKey(sessionStorage.getItem(KEY) !== null);
  if (!key) return "";
  sessionStorage.setItem(KEY, key);
  afterThisTask().then(tellOfKey); // when the client has it
  return key;
}

/** Ask what `answers` will ask first for *search*, before its module is there; returns the hits, [] for none. */
export async function askEarly(search) {
  if (hasAsked) return [];
  const [url, options] = api().question(asked(search));
  const controller = new AbortController();
  const fetched = fetch(url, { ...options, signal: controller.signal }).then((response) => [response, response.clone()]);
  early.set(url.href, { fetched, cancel: () => controller.abort() });
  return fetched.then(([, copy]) => copy.json()).then(({ results }) => results ?? []).catch(() => []); // who asks again says what failed
}

/** `fetch`, or what was fetched early of the same URL; the signal among *options* ends that, too. */
function fetchOnce(url, options) {
  hasAsked = true;
  const begun = early.get(url.href);
  early.delete(url.href);
  if (!begun) return fetch(url, options);
  options.signal.addEventListener("abort", begun.cancel);
  return afterThisTask().then(() => begun.fetched).then(([response]) => response); // the page answers to the person in between
}

const afterThisTask = () => new Promise((resolve) => setTimeout(resolve));
