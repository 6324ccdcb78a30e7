/**
 * A client of the search API, for any page and for Node; it imports nothing. docs/clients.md has examples, and
 * client.d.ts what there is.
 */

const FIRST_WAIT_SECONDS = 0.5; // a known keyword answers well within it, a new one shows its progress
const NEXT_WAIT_SECONDS = 0.25; // a longer one would keep the first images back until it ends
const PAUSE_SECONDS = 0.5;
const REQUEST_TIMEOUT_SECONDS = 100; // above the API's longest wait and its patience with a scorer that starts
const GIVE_UP_SECONDS = 300;
const RETRY_PAUSES_SECONDS = [1, 2, 4]; // where the server does not say when
export const LONGEST_RETRY_SECONDS = 120; // what asks for a longer pause is told at once
const MOST_PAGES = 1000; // of a search: the API looks at 1000 pictures, so more are none of its answers
const WORTH_WAITING = new Set([429, 502, 503, 504]);
const TELLING_WHEN = new Set([429, 504]); // a server in good order: it is asked again as often as it says
const FOR_EVER = new Set([400, 405, 413, 422]); // what is asked is wrong, and stays so
const LOGIN = new Set([401, 403, 407]); // without a reason of the API's, of what stands before it
const PICTURES = ["picture", "unlike_picture"];
const FILTERS = ["orientation", "colour", "tag", "user", "source", "year", "month", "collection", "folder", "album", "camera"];

/** Why there is no answer; the message is a sentence for a person. client.d.ts has its fields. */
export class SearchFailed extends Error {
  constructor(kind, message, { status = 0, error = {}, retrySeconds = null } = {}) {
    super(message);
    this.name = "SearchFailed";
    Object.assign(this, { kind, status, error, retrySeconds, isForEver: FOR_EVER.has(status), tries: 1 });
  }
}

export class Client {
  #base;
  #apiKey;
  #askForKey;
  #fetch;

  /** A client of the API at *url*; client.d.ts has its options, and those of its methods. */
  constructor(url, { apiKey = "", askForKey = () => "", fetch = (...asked) => globalThis.fetch(...asked) } = {}) {
    this.#base = new URL(String(url).replace(/\/*$/, "/"));
    this.#apiKey = apiKey;
    this.#askForKey = askForKey;
    this.#fetch = fetch;
  }

  /** The hits of *search*, the best first, page after page, each once; options: those of `ask`. */
  async *search(search, options = {}) {
    const given = new Set();
    let { cursor = search.cursor } = options;
    for (let page = 0; page < MOST_PAGES; page++) {
      const answer = await this.page(search, { ...options, cursor });
      for (const hit of answer.results) {
        if (given.has(hit.image_id)) continue; // the pool has changed, and its pages began anew
        given.add(hit.image_id);
        yield hit;
      }
      cursor = answer.next;
      if (!cursor) return;
    }
    throw new SearchFailed("odd", `${this.#base.href} answers with more than ${MOST_PAGES} pages`);
  }

  /** One page of *search*, when all the pictures of its keyword are there; options: those of `ask`. */
  async page(search, options = {}) {
    let last;
    for await (last of this.answers(search, options));
    return last;
  }

  /** Each answer to *search* while its pictures come, the whole one last; options: those of `ask`. */
  async *answers(search, options = {}) {
    const giveUpAt = now() + GIVE_UP_SECONDS;
    let waitSeconds = FIRST_WAIT_SECONDS;
    for (;;) {
      const { answer, pauseSeconds } = await this.#asked(search, { ...options, waitSeconds }, giveUpAt);
      yield answer;
      if (isLast(answer, search)) return;
      giveUpBefore(pauseSeconds, giveUpAt, "the pictures are on their way");
      await sleep(pauseSeconds, options.signal);
      waitSeconds = NEXT_WAIT_SECONDS;
    }
  }

  /** What there is of *search* now. Raises a SearchFailed, and an AbortError once its signal is aborted. */
  async ask(search, options = {}) {
    return (await this.#asked(search, options)).answer;
  }

  /** The pool of that id, and why pictures of it were rejected; options: those of `ask`. */
  pool(poolId, options) {
    return this.#read(`pools/${encodeURIComponent(poolId)}`, "pool_id", options);
  }

  /** The collections of own pictures; nobody is asked for a key; options: those of `ask`. */
  async collections(options) {
    return (await this.#read("collections", "collections", options)).collections;
  }

  /** What `ask` fetches: a URL, and the options of `fetch`. A picture takes a form, all else an address. */
  question(search, { waitSeconds = FIRST_WAIT_SECONDS, cursor = search.cursor } = {}) {
    const url = new URL("search", this.#base);
    const params = paramsOf({ ...search, wait: waitSeconds, cursor });
    const pictures = PICTURES.filter((name) => search[name]);
    if (!pictures.length) {
      url.search = params;
      return [url, this.#withKey({})];
    }
    const form = new FormData();
    for (const [name, value] of params) form.append(name, value);
    for (const name of pictures) form.append(name, search[name], name);
    return [url, this.#withKey({ method: "POST", body: form })];
  }

  /** docs/clients.md has the rule; the Python client has the same, and a table of cases holds them to it. */
  async #patiently(ask, { signal, retries = Infinity, pause = waitFor, during = (asking) => asking } = {}, giveUpAt = now() + GIVE_UP_SECONDS) {
    const pauses = [...RETRY_PAUSES_SECONDS];
    for (let tries = 1; ; tries++) {
      try {
        return await during(ask(signal));
      } catch (failure) {
        if (signal?.aborted || !(failure instanceof SearchFailed)) throw failure;
        failure.tries = tries;
        const { status, retrySeconds } = failure;
        if (retrySeconds === null || retrySeconds > LONGEST_RETRY_SECONDS || tries > retries) throw failure;
        const next = retrySeconds && TELLING_WHEN.has(status) ? retrySeconds : pauses.shift();
        if (!next) throw failure;
        failure.retrySeconds = retrySeconds || next;
        giveUpBefore(failure.retrySeconds, giveUpAt, failure.message);
        await pause(failure, signal);
      }
    }
  }

  #asked(search, options, giveUpAt) {
    return this.#patiently(async (signal) => {
      let reached = await this.#reach(...this.question(search, options), signal);
      if (reached.response.status === 401 && reached.answer?.error) {
        const key = await this.#askForKey();
        if (key) {
          this.#apiKey = key;
          reached = await this.#reach(...this.question(search, options), signal);
        }
      }
      return this.#checked(reached, search);
    }, options, giveUpAt);
  }

  #read(path, field, options) {
    return this.#patiently(async (signal) => {
      const reached = await this.#reach(new URL(path, this.#base), this.#withKey({}), signal);
      if (reached.response.status !== 200 || !reached.answer?.[field]) throw this.#failureOf(reached);
      return reached.answer;
    }, options);
  }

  #withKey(options) {
    return this.#apiKey ? { ...options, headers: { "X-API-Key": this.#apiKey } } : options;
  }

  /** Fetch *url* with *options*; *signal* ends it, and so does the time limit. */
  async #reach(url, options, signal) {
    // One controller for both: `AbortSignal.any` is younger than browsers that are still in use.
    const controller = new AbortController();
    const cancel = () => controller.abort();
    let isLate = false;
    const timer = setTimeout(() => { isLate = true; cancel(); }, REQUEST_TIMEOUT_SECONDS * 1000);
    signal?.addEventListener("abort", cancel);
    if (signal?.aborted) cancel();
    try {
      const response = await this.#fetch(url, { ...options, signal: controller.signal });
      return { response, answer: parse(await response.text()) };
    } catch {
      if (signal?.aborted) throw aborted();
      const { origin } = this.#base;
      if (isLate) throw new SearchFailed("late", `${origin} was silent for ${REQUEST_TIMEOUT_SECONDS} seconds`);
      // Once more, as a connection that broke looks the same from another origin.
      if (await this.#isKeptFromUs(controller.signal)) throw new SearchFailed("login", `${origin} answers, but not to this page: a login stands before it, or it does not allow this page`, { retrySeconds: 0 });
      throw new SearchFailed("unreached", `${origin} does not answer`, { retrySeconds: 0 });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Whether the server is there, and what it answers may not be read: it leads to a sign-in, or allows no such page. */
  async #isKeptFromUs(signal) {
    const isOwn = this.#base.origin === globalThis.location?.origin;
    const options = isOwn ? { redirect: "manual" } : { mode: "no-cors" };
    const url = new URL("collections", this.#base); // files of the page are for their own origin alone
    return this.#fetch(url, { ...options, signal }).then(({ type }) => type.startsWith("opaque"), () => false);
  }

  #checked({ response, answer }, search) {
    const hasResults = response.status === 200 && Array.isArray(answer?.results);
    const isOnItsWay = response.status === 202 && answer?.pool;
    if (!hasResults && !isOnItsWay) throw this.#failureOf({ response, answer });
    const unheard = hasResults && unheardOf(search, answer);
    if (unheard) throw new SearchFailed("older", `the answer knows nothing of ${unheard}: it is of another version`, { status: 200 });
    return { answer: { results: [], complete: false, ...answer }, pauseSeconds: retryAfter(response) ?? PAUSE_SECONDS };
  }

  #failureOf({ response, answer }) {
    const { status } = response;
    const error = typeof answer?.error === "object" && answer.error !== null ? answer.error : {};
    const retrySeconds = WORTH_WAITING.has(status) ? retryAfter(response) ?? 0 : null;
    const isLogin = LOGIN.has(status) && !error.message;
    const kind = isLogin ? "login" : status >= 400 ? "refused" : "odd";
    const reason = { login: "a login is asked for, which is not here", refused: error.message ?? "no reason given", odd: `${this.#base.href} does not answer as an imagesearch does` }[kind];
    return new SearchFailed(kind, `${reason} (HTTP ${status})`, { status, error, retrySeconds });
  }
}

/** The URLSearchParams of *search*, without its pictures and what has no text. */
function paramsOf(search) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (PICTURES.includes(name)) continue;
    for (const each of [value].flat()) if (each !== undefined && each !== null && each !== "") params.append(name, each);
  }
  return params;
}

/** A search of everything is: what awaits a new model does so until a person searches its keyword. */
export const isLast = (answer, search) => search.scope === "catalog" || !answer.pool || answer.complete || answer.pool.state === "failed";

/** Seconds of a Retry-After header (seconds or a date) within the bounds of sense, or null. */
function retryAfter(response) {
  const value = (response.headers.get("Retry-After") ?? "").trim();
  const isDate = /[a-z]/i.test(value); // a browser reads "-5" as one, too
  const seconds = /^\d+(\.\d+)?$/.test(value) ? Number(value) : isDate ? (Date.parse(value) - Date.now()) / 1000 : NaN;
  return Number.isNaN(seconds) ? null : Math.min(Math.max(seconds, 0.5), 86_400);
}

function parse(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

/** The part of *search* that an older server did not hear of, which its *answer* would name. */
function unheardOf(search, answer) {
  const lists = ["minus", "like", "unlike"].find((name) => search[name]?.length && !answer[name]);
  return lists ?? FILTERS.find((name) => search[name] && search[name] !== "all" && !answer.filters?.[name]);
}

const now = () => performance.now() / 1000; // a clock that nobody sets

/** Throw instead of a pause that would end too late. */
function giveUpBefore(pauseSeconds, giveUpAt, reason) {
  if (now() + pauseSeconds > giveUpAt) throw new SearchFailed("unfinished", `no complete answer within ${GIVE_UP_SECONDS} seconds: ${reason}`);
}

const aborted = () => new DOMException("the search was given up", "AbortError");

const waitFor = (failure, signal) => sleep(failure.retrySeconds, signal);

/** End after so many seconds; an AbortError once *signal* is aborted. */
export function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const cancel = () => { clearTimeout(timer); reject(aborted()); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", cancel); resolve(); }, seconds * 1000);
    if (signal?.aborted) cancel();
    else signal?.addEventListener("abort", cancel, { once: true });
  });
}
