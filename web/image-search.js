/**
 * `<image-search>`: a search in any page, by one tag. It asks the imagesearch that this file came from.
 *
 *   <script type="module" src="https://pictures.example/image-search.js"></script>
 *   <image-search query="horses amidst flowers"></image-search>
 *
 * docs/embedding.md has its attributes and events.
 */

import { Client, SearchFailed, sleep } from "./client.js";
import { EAGER, build, safeUrl, unseen } from "./dom.js";
import { MATCHES, altOf, creditOf, pictures, sentence } from "./words.js";

const COUNT = 12;
const ATTRIBUTES = ["api", "query", "keyword", "collection", "k", "label"];
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
.unseen, .visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`);

class ImageSearch extends HTMLElement {
  static observedAttributes = ATTRIBUTES;

  #input = build("input", { id: "words", type: "search", autocomplete: "off", maxLength: 500 });
  #label = build("label", { htmlFor: "words" });
  #state = build("p", { className: "state" });
  #status = build("p", { className: "unseen", role: "status" });
  #notice = build("div", { className: "notice", role: "alert", hidden: true });
  #list = build("ol");
  #more = build("button", { className: "more quiet", type: "button", textContent: "Show more", hidden: true });
  #client = null;
  #running = null; // the controller of the search that is under way, or was
  #hits = [];
  #next = null; // the cursor of what comes after them
  #failed = null; // what is tried again by a button, or when the network is back
  #key = "";
  #isDue = false;

  constructor() {
    super();
    const button = build("button", { textContent: "Search" });
    const form = build("form", { role: "search" }, this.#label, build("div", { className: "row" }, this.#input, button));
    const whole = build("div", { lang: "en", dir: "auto" }, form, this.#state, this.#status, this.#notice, this.#list, this.#more);
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
    if (name === "query" && now) this.#input.value = now; // what somebody types stays else
    if (this.isConnected) this.#whenSettled();
  }

  /** Search once for all attributes that are set in one go. */
  #whenSettled() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#label.textContent = this.getAttribute("label") ?? "What should be in the picture";
      if (this.isConnected && this.getAttribute("query")) this.#search();
    });
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
    this.#say("Searching …");
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
      for await (const answer of this.#client.answers(search, options)) {
        this.#hits = answer.results;
        this.#show(this.#hits);
        this.#told(answer, "image-search-answer");
        this.#say(stateOf(answer, this.#hits.length));
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
      this.#say(stateOf(answer, this.#hits.length));
      this.#more.hidden = !this.#next;
      this.#list.children[before]?.querySelector("a, [tabindex]")?.focus();
    }, () => this.#showMore());
  }

  #told(detail, type, options = {}) {
    return this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true, ...options }));
  }

  #say(text) {
    this.#state.textContent = text;
    this.#status.textContent = text;
  }

  /** Before another try: say why, and wait; the network that is back ends the wait. */
  async #wait(failure, signal) {
    const ended = new AbortController();
    const end = () => ended.abort();
    signal.addEventListener("abort", end);
    addEventListener("online", end);
    this.#say(`${wordsOf(failure)} Trying again in ${Math.ceil(failure.retrySeconds)} s …`);
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
    const retry = build("button", { type: "button", textContent: "Try again", onclick: again });
    this.#say("");
    this.#tell(wordsOf(failure), failure.isForEver ? "" : retry);
    this.#failed = failure.kind === "unreached" ? again : null;
    this.#told(failure, "image-search-failure");
  }

  #tell(text, control) {
    this.#notice.replaceChildren(build("p", { textContent: text }), control);
    this.#notice.hidden = false;
  }

  /** Ask the person for the key of a server that wants one; it lasts as long as the page. */
  #askForKey(signal) {
    const field = build("input", { type: "password", autocomplete: "off", ariaLabel: "Key" });
    const form = build("form", { className: "row" }, field, build("button", { textContent: "Try again" }));
    this.#say("");
    this.#tell("This server asks for a key, which its owner gives.", form);
    return new Promise((resolve) => {
      signal.addEventListener("abort", () => resolve(""));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.#key = field.value.trim();
        this.#notice.hidden = true;
        this.#say("Searching …");
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
    card.querySelector(".match").textContent = MATCHES[match] ?? ""; // of a model without thresholds nothing is claimed
    return card;
  }

  #card(hit, isEager) {
    const [width, height] = hit.width > 0 && hit.height > 0 ? [hit.width, hit.height] : [640, 427];
    const link = this.#link(hit, "picture", this.#picture(hit, width, height, isEager));
    const credit = this.#link(hit, "credit", build("bdi", { textContent: creditOf(hit) }), unseen(`, of ${altOf(hit)}`));
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
    const missing = () => build("span", { className: "missing", textContent: `Picture not available: ${altOf(hit)}` });
    const src = safeUrl(hit.url, this.#base);
    if (!src) return missing();
    const image = build("img", { alt: altOf(hit), width, height, loading: isEager ? "eager" : "lazy", decoding: "async", src });
    image.addEventListener("error", () => image.replaceWith(missing()));
    return image;
  }
}

/** The client's sentence on *failure*, and what can be done; one that is none of its own is ours. */
function wordsOf(failure) {
  if (!(failure instanceof SearchFailed)) return "Something broke in this search.";
  const said = failure.message.startsWith("http") ? `${failure.message}.` : sentence(failure.message); // an address stays as it is
  if (failure.kind !== "unreached") return said;
  return navigator.onLine ? `${said} Check your network, or whether it is running.` : "You are offline. The search goes on when the connection is back.";
}

/** What is said of *answer* while *shown* pictures are there. */
function stateOf({ matched, complete, pool, scope }, shown) {
  const isOnItsWay = scope !== "catalog" && pool && !complete && pool.state !== "failed";
  if (isOnItsWay) return shown ? `${pictures(shown)} so far, more are on their way.` : "The first pictures of this keyword are on their way …";
  if (!shown) return "No pictures were found.";
  return matched === false ? "Nothing here shows that. The nearest are these." : `${pictures(shown)}, the best first.`;
}

if (!customElements.get("image-search")) customElements.define("image-search", ImageSearch);
