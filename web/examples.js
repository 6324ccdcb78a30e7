/** Searches to begin with: those that the demo has pictures of, or some for photographs. */

import { build, element, safeUrl } from "./dom.js";
import { chooseCollection, chooseKeyword, setPlaceholder } from "./form.js";
import { showRecent } from "./recent.js";
import { addressOf, searchOf } from "./search.js";
import { pictures } from "./words.js";

const OF_THE_DEMO = [
  { t: "horse", s_query: "two horses amidst flowers" },
  { t: "dog", s_query: "a dog with a guitar under the moon" },
  { t: "cow", s_query: "three cows" },
  { t: "cat", s_query: "Katze mit Pizza" },
];
const OF_PHOTOGRAPHS = [
  { t: "horse", s_query: "horses amidst flowers" },
  { t: "lighthouse", s_query: "a lighthouse in a storm" },
  { t: "breakfast", s_query: "coffee and a croissant from above" },
  { t: "street", s_query: "a rainy street at night with neon lights" },
];

let isReady = false; // before it is, a page that shows them would jump
let areWanted = false;

export function showExamples(are) {
  areWanted = are;
  element("examples").hidden = !(areWanted && isReady);
  if (areWanted) showRecent();
}

/** Offer *collections*, before all else, and show what is there to begin with. */
export function offerCollections(collections) {
  element("collection-list").replaceChildren(...collections.map(collectionButton));
  element("collections").hidden = !collections.length;
  isReady = true;
  showExamples(areWanted);
}

/** Choose the examples of this edition, which *config* names. */
export function setUpExamples({ demo, demo_keywords: keywords, docs, sources }) {
  const examples = demo ? OF_THE_DEMO.filter(({ t }) => keywords.includes(t)) : OF_PHOTOGRAPHS;
  element("example-list").replaceChildren(...examples.map(exampleLink));
  element("keyword-list").replaceChildren(...keywords.map(keywordButton));
  element("keywords").hidden = !keywords.length;
  element("demo").hidden = !demo;
  element("docs").hidden = !docs;
  if (examples.length) setPlaceholder(examples[0]);
  if (demo) offerPhotographs();
  else if (sources?.length) showSources(sources);
}

/** Say that the demo's pictures are drawn, and how photographs are had without an account. */
function offerPhotographs() {
  const [openverse, commons] = ["imagesearch serve --source openverse", "SOURCE_CONTACT=you@example.org imagesearch serve --source commons"].map((textContent) => build("code", { textContent }));
  element("source").replaceChildren("Pictures are drawn on this machine, with no network; CLIP compares each one with your words. For photographs without an account: ", openverse, " or, with your address for Wikimedia, ", commons);
}

/** Say where the pictures come from, and what those places ask to be said of them. */
function showSources(sources) {
  const links = sources.flatMap((source, at) => [at ? (at < sources.length - 1 ? ", " : " and ") : "", linkTo(source)]);
  const notes = sources.map(({ note }) => (note ? ` ${note}` : ""));
  element("source").replaceChildren("Pictures come from ", ...links, "; CLIP compares each one with your words.", ...notes);
}

function linkTo({ name, site }) {
  const url = safeUrl(site, location.href);
  return url ? build("a", { href: url, rel: "noopener", target: "_blank", textContent: name }) : name;
}

function exampleLink(example) {
  const href = addressOf(searchOf(new URLSearchParams(example)));
  return build("li", {}, build("a", { href, className: "inside" }, build("b", { textContent: example.t }), ` ${example.s_query}`));
}

function collectionButton({ name, images, updating }) {
  const words = ` ${pictures(images)}${updating ? " so far, more are on their way" : ""}`;
  const button = build("button", { type: "button" }, build("b", {}, build("bdi", { textContent: name })), words);
  button.addEventListener("click", () => chooseCollection(name));
  return build("li", {}, button);
}

function keywordButton(keyword) {
  const button = build("button", { type: "button", textContent: keyword });
  button.addEventListener("click", () => chooseKeyword(keyword));
  return build("li", {}, button);
}
