/** `<image-search>`, a search in any page by one tag, of the imagesearch that this file is from: docs/embedding.md. */

import { Client, SearchFailed, sleep } from "./client.js";
import { build, safeUrl, unseen } from "./dom.js";
import { MATCHES, altOf, creditOf, pictures, sentence } from "./words.js";

const COUNT = 12;
const EAGER = 6; // pictures: where they are in the page is not known
const ATTRIBUTES = ["api", "query", "keyword", "collection", "k", "label", "lang"];
const ENGLISH = {
  label: "What should be in the picture",
  search: "Search",
  more: "Show more",
  again: "Try again",
  searching: "Searching …",
  key: "Key",
  keyWanted: "This server asks for a key, which its owner gives.",
  broken: "Something broke in this search.",
  network: "Check your network, or whether it is running.",
  offline: "You are offline. The search goes on when the connection is back.",
  onTheWay: "The first pictures of this keyword are on their way …",
  nothing: "No pictures were found.",
  noMatch: "Nothing here shows that. The nearest are these.",
  missing: "Picture not available",
  undescribed: undefined, // as words.js has it
  matches: MATCHES,
  failures: {}, // the client's sentences are English
  soFar: (count) => `${pictures(count)} so far, more are on their way.`,
  best: (count) => `${pictures(count)}, the best first.`,
  countdown: (seconds) => `Trying again in ${seconds} s …`,
};
/** Its texts in other languages, which only pages that speak them load. */
const LANGUAGES = { de: () => import("./image-search.de.js") };
const OF_A_SEARCH = { query: "s_query", keyword: "t", collection: "collection" };

/* Dark where the page around it is: `color-scheme` is inherited. A sheet, as a page's policy may allow no style inside. */
const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host { --paper: light-dark(#fff, #101614); --ink: light-dark(#17221e, #e9eeeb); --muted: light-dark(#55625c, #a3b1aa);
  --line: light-dark(#d9dfda, #2b3632); --edge: light-dark(#84908a, #6d7b75); --accent: light-dark(#0c6a52, #74d2ae);
  --on-accent: light-dark(#fff, #06231a); --mat: light-dark(#e8ece8, #222c28); --alarm: light-dark(#a3301f, #ff9a86);
  display: block; container-type: inline-size; padding: 1rem; border: 1px solid var(--line); border-radius: 1rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; text-align: start; }
:host([hidden]), [hidden] { display: none !important; }
*, ::before { box-sizing: border-box; }
p, ol { margin: 0; padding: 0; list-style: none; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
[tabindex="-1"]:focus { outline: none; }
label { display: block; margin-block-end: .25rem; font-weight: 600; }
.row { display: flex; flex-wrap: wrap; gap: .5rem; }
input { flex: 1 1 12rem; min-width: 0; padding: .5rem .8rem; border: 1px solid var(--edge); border-radius: .75rem; background: var(--paper); color: inherit; font: inherit; }
button { min-height: 2.75rem; padding: .4rem 1.2rem; border: 1px solid var(--accent); border-radius: .75rem; background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600; cursor: pointer; }
.quiet { background: none; color: var(--accent); }
.state { min-height: 1.5em; margin-block: .6rem; color: var(--muted); }
.notice { margin-block: .6rem; padding: .8rem 1rem; border-inline-start: 4px solid var(--alarm); background: var(--mat); }
.notice p { margin-block-end: .6rem; }
ol { display: flex; flex-wrap: wrap; gap: 1rem; }
ol::after { content: ""; flex: 1e6 0 0; }
li { flex: var(--ratio) 1 calc(9rem * var(--ratio)); min-width: min(9rem, 45cqi); }
.picture { display: block; background: var(--mat); border-radius: .5rem; }
img { display: block; width: 100%; height: auto; border-radius: .5rem; }
.missing { display: grid; place-items: center; min-height: 8rem; color: var(--muted); }
.caption { display: flex; flex-wrap: wrap; gap: 0 .6rem; padding-block-start: .3rem; font-size: .875rem; overflow-wrap: anywhere; }
.caption a { color: var(--muted); }
.more { margin-block-start: 1rem; }
.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`);

class ImageSearch extends HTMLElement {
  static observedAttributes = ATTRIBUTES;

  #input = build("input", { id: "words", type: "search", autocomplete: "off" });
  #label = build("label", { htmlFor: "words" });
  #button = build("button");
  #state = build("p", { className: "state", role: "status" });
  #notice = build("div", { className: "notice", role: "alert", hidden: true });
  #list = build("ol");
  #more = build("button", { className: "more quiet", type: "button", hidden: true });
  #client = null;
  #running = null; // the controller of the search that is under way, or was
  #hits = [];
  #next = null; // the cursor of what comes after them
  #failed = null; // what is tried again by a button, or when the network is back
  #key = "";
  #isDue = false;
  #texts = ENGLISH;
  #spoken = null;

  constructor() {
    super();
    const form = build("form", { role: "search" }, this.#label, build("div", { className: "row" }, this.#input, this.#button));
    const whole = build("div", { dir: "auto" }, form, this.#state, this.#notice, this.#list, this.#more);
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    root.adoptedStyleSheets = [sheet];
    root.append(whole);
    form.addEventListener("submit", (event) => this.#submit(event));
    this.#more.addEventListener("click", () => this.#showMore());
  }

  connectedCallback() {
    addEventListener("online", this.#goOn);
    this.#whenSettled();
  }

  disconnectedCallback() {
    removeEventListener("online", this.#goOn);
    this.#running?.abort();
  }

  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === "api") this.#key = ""; // it is of the server before
    if (name === "query" && (now || this.#input.value === before)) this.#input.value = now ?? ""; // what somebody types stays else
    if (this.isConnected) this.#whenSettled();
  }

  /** Search once for all attributes that are set in one go. */
  #whenSettled() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(async () => {
      const asked = this.#language();
      if (asked !== this.#spoken) await this.#speak(asked);
      this.#isDue = false;
      this.#label.textContent = this.getAttribute("label") ?? this.#texts.label;
      if (this.isConnected) this.#search();
    });
  }

  /** Which of its languages is that of where it stands; English of others. */
  #language() {
    const [language] = (this.closest("[lang]")?.lang ?? "").toLowerCase().split("-");
    return language in LANGUAGES ? language : "en";
  }

  async #speak(language) {
    this.#spoken = language;
    try {
      this.#texts = (await LANGUAGES[language]?.())?.default ?? ENGLISH;
    } catch {
      this.#texts = ENGLISH; // which is here
    }
    this.#label.parentNode.parentNode.lang = this.#texts === ENGLISH ? "en" : language;
    this.#button.textContent = this.#texts.search;
    this.#more.textContent = this.#texts.more;
    this.#list.replaceChildren();
  }

  #submit(event) {
    event.preventDefault();
    const words = this.#input.value.trim();
    if (!words) return this.#input.focus();
    if (words === this.getAttribute("query")) this.#search();
    else this.setAttribute("query", words);
  }

  #goOn = () => this.#failed?.();

  get #base() {
    const api = this.getAttribute("api");
    if (api === null) return new URL("./", import.meta.url);
    try {
      return new URL(api, document.baseURI);
    } catch {
      throw new SearchFailed("odd", `the attribute api must be an address, got “${api}”`);
    }
  }

  get #asked() {
    const search = { k: Number(this.getAttribute("k")) || COUNT };
    for (const [attribute, parameter] of Object.entries(OF_A_SEARCH)) search[parameter] = this.getAttribute(attribute) ?? "";
    return search;
  }

  /** Do *work* with the client, its signal and its patience; a newer one ends it, and a failure is told. */
  async #run(work, again) {
    this.#running?.abort();
    const { signal } = (this.#running = new AbortController());
    this.#failed = null;
    this.#notice.hidden = true;
    this.#say(this.#texts.searching);
    this.#list.setAttribute("aria-busy", "true");
    try {
      this.#client = new Client(this.#base, { apiKey: this.#key, askForKey: () => this.#askForKey(signal) });
      await work({ signal, pause: (failure) => this.#wait(failure, signal) });
    } catch (failure) {
      if (signal.aborted) return;
      if (!(failure instanceof SearchFailed)) console.error(failure);
      this.#fail(failure, again);
    }
    if (!signal.aborted) this.#list.removeAttribute("aria-busy");
  }

  #search() {
    this.#hits = [];
    this.#next = null;
    this.#show([]);
    const search = this.#asked;
    return this.#run(async (options) => {
      if (!search.s_query) return this.#say("");
      for await (const answer of this.#client.answers(search, options)) {
        this.#hits = answer.results;
        this.#show(this.#hits);
        this.#told(answer, "image-search-answer");
        this.#say(this.#stateOf(answer));
        this.#next = answer.next ?? null;
      }
      this.#more.hidden = !this.#next;
    }, () => this.#search());
  }

  #showMore() {
    const before = this.#hits.length;
    const search = this.#asked;
    return this.#run(async (options) => {
      const answer = await this.#client.ask(search, { ...options, cursor: this.#next });
      const known = new Set(this.#hits.map((hit) => hit.image_id));
      this.#hits = [...this.#hits, ...answer.results.filter((hit) => !known.has(hit.image_id))];
      this.#next = answer.next ?? null;
      this.#show(this.#hits);
      this.#told(answer, "image-search-answer");
      this.#say(this.#stateOf(answer));
      this.#more.hidden = !this.#next;
      this.#list.children[before]?.querySelector("a, [tabindex]")?.focus();
    }, () => this.#showMore());
  }

  #told(detail, type, options = {}) {
    return this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true, ...options }));
  }

  #say(text) {
    this.#state.textContent = text;
  }

  /** Before another try: say why, and wait; the network that is back ends the wait. */
  async #wait(failure, signal) {
    const ended = new AbortController();
    const end = () => ended.abort();
    signal.addEventListener("abort", end);
    addEventListener("online", end);
    this.#say(`${this.#wordsOf(failure)} ${this.#texts.countdown(Math.ceil(failure.retrySeconds))}`);
    try {
      await sleep(failure.retrySeconds, ended.signal);
    } catch (aborted) {
      if (signal.aborted) throw aborted;
    } finally {
      signal.removeEventListener("abort", end);
      removeEventListener("online", end);
    }
  }

  #fail(failure, again) {
    const retry = build("button", { type: "button", textContent: this.#texts.again, onclick: again });
    this.#say("");
    this.#tell(this.#wordsOf(failure), failure.isForEver ? "" : retry);
    this.#failed = failure.kind === "unreached" ? again : null;
    this.#told(failure, "image-search-failure");
  }

  #tell(text, control) {
    this.#notice.replaceChildren(build("p", { textContent: text }), control);
    this.#notice.hidden = false;
  }

  /** Ask the person for the key of a server that wants one; it lasts as long as the page. */
  #askForKey(signal) {
    const field = build("input", { type: "password", autocomplete: "off", ariaLabel: this.#texts.key });
    const form = build("form", { className: "row" }, field, build("button", { textContent: this.#texts.again }));
    this.#say("");
    this.#tell(this.#texts.keyWanted, form);
    return new Promise((resolve) => {
      signal.addEventListener("abort", () => resolve(""));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.#key = field.value.trim();
        this.#notice.hidden = true;
        this.#say(this.#texts.searching);
        resolve(this.#key);
      });
    });
  }

  /** Show *hits*; a picture that stays is not built again, so that it does not load twice. */
  #show(hits) {
    const cards = new Map([...this.#list.children].map((card) => [card.dataset.image, card]));
    this.#list.replaceChildren(...hits.map((hit, i) => this.#updated(cards.get(hit.image_id) ?? this.#card(hit, i < EAGER), hit)));
    if (!hits.length) this.#more.hidden = true;
  }

  #updated(card, { match }) {
    card.querySelector(".match").textContent = this.#texts.matches[match] ?? ""; // of a model without thresholds nothing is claimed
    return card;
  }

  #card(hit, isEager) {
    const [width, height] = hit.width > 0 && hit.height > 0 ? [hit.width, hit.height] : [640, 427];
    const link = this.#link(hit, "picture", this.#picture(hit, width, height, isEager));
    const credit = this.#link(hit, "credit", build("bdi", { textContent: creditOf(hit) }), unseen(`, ${altOf(hit, this.#texts.undescribed)}`));
    const licence = safeUrl(hit.credit?.licence_url, this.#base);
    const terms = licence ? build("a", { href: licence, target: "_blank", rel: "noopener", textContent: hit.credit.licence }) : hit.credit?.licence ?? "";
    const card = build("li", {}, link, build("p", { className: "caption" }, build("b", { className: "match" }), credit, terms));
    card.dataset.image = hit.image_id;
    card.style.setProperty("--ratio", Math.min(2.6, Math.max(0.5, width / height)));
    return card;
  }

  /** A link to where *hit* comes from, or else to its picture; what it shows where there is neither. */
  #link(hit, className, ...shown) {
    const href = safeUrl(hit.page_url, this.#base) ?? safeUrl(hit.url, this.#base);
    if (!href) return build("span", { className }, ...shown);
    const link = build("a", { className, href, target: "_blank", rel: "noopener" }, ...shown);
    link.addEventListener("click", (event) => {
      if (!this.#told(hit, "image-search-choose", { cancelable: true })) event.preventDefault();
    });
    return link;
  }

  #picture(hit, width, height, isEager) {
    const missing = () => build("span", { className: "missing", textContent: `${this.#texts.missing}: ${altOf(hit, this.#texts.undescribed)}` });
    const src = safeUrl(hit.url, this.#base);
    if (!src) return missing();
    const image = build("img", { alt: altOf(hit, this.#texts.undescribed), width, height, loading: isEager ? "eager" : "lazy", decoding: "async", src });
    image.addEventListener("error", () => image.replaceWith(missing()));
    return image;
  }

  /** The client's sentence on *failure*, and what can be done; one that is none of its own is ours. */
  #wordsOf(failure) {
    const { broken, failures, network, offline } = this.#texts;
    if (!(failure instanceof SearchFailed)) return broken;
    if (failure.kind === "unreached" && !navigator.onLine) return offline;
    const text = (!failure.error.message && failures[failure.kind]) || failure.message;
    const said = text.startsWith("http") ? `${text}.` : sentence(text); // an address stays as it is
    return failure.kind === "unreached" ? `${said} ${network}` : said;
  }

  /** What is said of *answer* while its pictures are there. */
  #stateOf({ matched, complete, pool, scope }) {
    const { best, noMatch, nothing, onTheWay, soFar } = this.#texts;
    const shown = this.#hits.length;
    const isOnItsWay = scope !== "catalog" && pool && !complete && pool.state !== "failed";
    if (isOnItsWay) return shown ? soFar(shown) : onTheWay;
    if (!shown) return nothing;
    return matched === false ? noMatch : best(shown);
  }
}

if (!customElements.get("image-search")) customElements.define("image-search", ImageSearch);
